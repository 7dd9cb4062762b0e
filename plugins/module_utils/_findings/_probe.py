# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Whether this Postfix gets mail to its relay, by Postfix's own probe. No message is sent."""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
import typing as t
from dataclasses import dataclass, replace

from .._postfix._destination import parse_host
from .._postfix._main_cf import (
    read_settings,
    split_tokens,
)
from .._postfix._master_cf import read_overrides
from .._postfix._services import (
    LateError,
    Probe,
    ProbeError,
    Resolution,
    forget_failures,
    probe,
    resolve,
    rewrite,
)
from .._ses._mail_manager import MAIL_MANAGER_ACCEPTS, is_mail_manager_host
from .._ses._redaction import (
    is_harmless,
    redact,
    redact_message,
)
from .._smtp._replies import explain_postfix, may_postfix_succeed_later
from .._smtp._server import is_ses_host

if t.TYPE_CHECKING:
    from .._postfix._programs import Postfix

__all__ = ["RelayProbe", "probe_relay"]

# SES's mailbox simulator ignores the label, which makes the recipient new to Postfix.
_RECIPIENT = "success+{label}@simulator.amazonses.com"
# While other mail to the server fails, the queue manager may suspend delivery again and again.
_ATTEMPTS = 3
# verify(8) completes this name like that of any local sender.
_SENDER = "double-bounce"
_FALLBACK = "smtp_fallback_relay"
# cleanup(8) applies these to a probe, too, after it was asked where the recipient's mail goes.
_ALIASES = ("canonical_maps", "recipient_canonical_maps", "virtual_alias_maps")
_SETTINGS = ("queue_directory", "relayhost", _FALLBACK, *_ALIASES)
# SES rejects MAIL without a login with 530, and a wrong login in reply to AUTH.
_AFTER_LOGIN = re.compile(
    r"host \S+ said: (?!530)[45]\d\d[ -].* \(in reply to (?:MAIL FROM|RCPT TO) command\)"
)
_REPLY = re.compile(r"2\d\d[ -]")
_SERVICE = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class RelayProbe:
    """What a probe found.

    `accepted` is None if Postfix could not be asked; then `reason` says why. Otherwise `reason` is
    the server's reply, or Postfix's own words; it explains a known refusal of SES. `transport` and `nexthop` are None if unknown.
    `is_late` says that Postfix was asked, and had no answer in time; `may_pass` that the next probe
    may succeed where this one failed.
    """

    accepted: bool | None = None
    reason: str = ""
    recipient: str | None = None
    transport: str | None = None
    nexthop: str | None = None
    is_late: bool = False
    may_pass: bool = False

    def show(self) -> dict[str, t.Any]:
        """The probe as a result has it."""
        return {
            "accepted": self.accepted,
            "reason": self.reason,
            "recipient": self.recipient,
            "transport": self.transport,
            "nexthop": self.nexthop,
        }


def probe_relay(postfix: Postfix, directory: str, timeout: float, *, running: bool) -> RelayProbe:
    """Ask the instance in `directory` whether mail gets to its relay; `timeout` is in seconds.

    Raises PostfixError if its settings can't be read.
    """
    if os.geteuid() != 0:
        return RelayProbe(None, "only root can ask Postfix for a probe: set become")
    stranger = _stranger(directory)
    if stranger:
        return RelayProbe(
            None, f"{stranger} can be changed by others than root: correct its owner and mode"
        )
    if not running:
        return RelayProbe(None, "Postfix is not running")
    asked = _Asked(postfix, directory)
    try:
        return asked.outcome(timeout)
    except ProbeError as exc:
        is_late = isinstance(exc, LateError)
        return replace(asked.found, reason=str(exc), is_late=is_late, may_pass=is_late)


def _new_recipient() -> str:
    """One that Postfix was not asked about before, or it would answer from its cache."""
    return _RECIPIENT.format(label=secrets.token_hex(8))


def _stranger(directory: str) -> str:
    """What others than root can change of the settings that say where to ask, empty if nothing."""
    for path in (directory, os.path.join(directory, "main.cf")):
        status = os.stat(path)
        if status.st_uid not in (0, os.getuid()) or status.st_mode & stat.S_IWOTH:
            return path
    return ""


def _show(answer: Probe, route: Resolution) -> str:
    """The reason, without what main.cf or a table may have of a secret in the next hop."""
    return answer.reason if is_harmless(route.nexthop) else redact_message(answer.reason)


def _explained(words: str) -> str:
    """Postfix's words, and what the answer of SES in them means, if it is a known one."""
    return ". ".join(filter(None, [words, explain_postfix(words)]))


def _accepted(answer: Probe, route: Resolution) -> str:
    """The reply of a server that accepts mail, and what that means where it is Mail Manager."""
    is_manager = any(
        is_mail_manager_host(parse_host(hop) or "") for hop in split_tokens(route.nexthop)
    )
    return _show(answer, route) + (f". {MAIL_MANAGER_ACCEPTS}" if is_manager else "")


class _Asked:
    """One probe; `found` has what is known so far."""

    def __init__(self, postfix: Postfix, directory: str) -> None:
        self._postfix = postfix
        self._directory = directory
        self._recipient = _new_recipient()
        self._settings = read_settings(postfix, _SETTINGS)
        self._queue = self._settings["queue_directory"]
        self._relays = set(split_tokens(self._settings["relayhost"].lower()))
        self.found = RelayProbe(recipient=self._recipient)

    def outcome(self, timeout: float) -> RelayProbe:
        """The verdict. Raises ProbeError if Postfix could not be asked."""
        sender = rewrite(self._queue, _SENDER)
        route = resolve(self._queue, sender, self._recipient)
        self.found = replace(
            self.found, transport=redact(route.transport), nexthop=redact(route.nexthop)
        )
        elsewhere = self._elsewhere(route)
        if elsewhere:
            return replace(self.found, accepted=False, reason=elsewhere)
        of_probe = resolve(self._queue, sender, self._recipient, of_probe=True)
        if of_probe[:2] != route[:2]:
            raise ProbeError(
                "the settings address_verify_* send probes another way than mail, to"
                f" {redact(of_probe.transport)}:{redact(of_probe.nexthop)}, so that a probe proves"
                " nothing"
            )
        return self._judge(self._probe(route, timeout), route, timeout)

    def _probe(self, route: Resolution, timeout: float) -> Probe:
        """The answer of an attempt that is made now. Raises ProbeError if Postfix makes none."""
        deadline = time.monotonic() + timeout
        for attempt in range(_ATTEMPTS):
            if attempt > 0:
                forget_failures(self._queue)
                self._recipient = _new_recipient()
                self.found = replace(self.found, recipient=self._recipient)
            answer = probe(self._queue, self._recipient, deadline - time.monotonic())
            if not answer.is_of_earlier_failure:
                return answer
        raise ProbeError(
            "Postfix made no attempt, because an earlier one failed. Run postqueue -f, then probe"
            f" again. It said: {_show(answer, route)}"
        )

    def _judge(self, answer: Probe, route: Resolution, timeout: float) -> RelayProbe:
        if answer.is_in_progress:
            raise LateError(f"Postfix's probe had no answer within {timeout:g} s")
        if _AFTER_LOGIN.fullmatch(answer.reason):
            self._refuse_ambiguity(route)
            reason = (
                f"the login was accepted, and the probe's address was not: {_show(answer, route)}"
            )
            return replace(self.found, accepted=True, reason=reason)
        if answer.status != "deliverable":
            words = _show(answer, route)
            may_pass = may_postfix_succeed_later(answer.reason)
            return replace(self.found, accepted=False, reason=_explained(words), may_pass=may_pass)
        self._refuse_ambiguity(route)
        if not _REPLY.match(answer.reason):
            raise ProbeError(f"the probe was not answered by a server: {_show(answer, route)}")
        return replace(self.found, accepted=True, reason=_accepted(answer, route))

    def _elsewhere(self, route: Resolution) -> str:
        """Why mail does not go to the relay, empty if it does."""
        hops = split_tokens(route.nexthop)
        if self._is_smtp(route.transport) and hops and all(map(self._is_relay, hops)):
            return ""
        return (
            "mail does not go through the relay: Postfix hands it to the transport"
            f" {redact(route.transport)}, next hop {redact(route.nexthop)!r}. Look at transport_maps,"
            " default_transport and relayhost"
        )

    def _is_relay(self, hop: str) -> bool:
        return hop.lower() in self._relays or is_ses_host(parse_host(hop) or "")

    def _is_smtp(self, transport: str) -> bool:
        """Whether master.cf has Postfix's SMTP client for a transport."""
        if not _SERVICE.fullmatch(transport):
            return False
        _code, out, _err = self._postfix.run("postconf", "-M", f"{transport}/unix")
        return out.split()[7:8] == [b"smtp"]

    def _refuse_ambiguity(self, route: Resolution) -> None:
        """Raise ProbeError if another server than the relay may have answered."""
        fallback = self._settings[_FALLBACK]
        for override in read_overrides(self._postfix, self._directory, (_FALLBACK,)):
            if override.service == f"{route.transport}/unix":
                fallback = override.value
        others = [hop for hop in split_tokens(fallback) if not self._is_relay(hop)]
        if others:
            raise ProbeError(
                f"{_FALLBACK} is {redact(', '.join(others))}, and Postfix does not say which server"
                " answered the probe"
            )
        for setting in _ALIASES:
            for table in split_tokens(self._settings[setting]):
                if self._is_in(table):
                    raise ProbeError(
                        f"{setting} has another address for the probe's recipient, in"
                        f" {redact(table)}"
                    )

    def _is_in(self, table: str) -> bool:
        """Whether a lookup table has an entry for the recipient, or can't be asked."""
        plain, domain = "success@simulator.amazonses.com", "@simulator.amazonses.com"
        keys = (self._recipient, plain, domain)
        data = b"".join(key.encode() + b"\n" for key in keys)
        code, out, err = self._postfix.run("postmap", "-q", "-", table, data=data, binary_data=True)
        # Nothing found is exit status 1 without a word.
        return bool(out.strip()) or (code != 0 and bool(err.strip()))
