# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Which SMTP client delivers to the relay: Postfix's own, or one for Amazon SES alone. Pure.

The latter is a service of master.cf. `default_transport` names it without a next hop, so the next
hop is still that of relayhost, or of sender_dependent_relayhost_maps (postconf(5)).
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .._postfix._master_cf import parse_services
from .._postfix._own_client import (
    OwnClient,
    find_service_lines,
    is_satisfied,
    place_service,
    remove_service,
)
from .._ses._redaction import is_harmless
from ._settings import RelayError, Setting

if t.TYPE_CHECKING:
    from ._record import Record, RecordedSetting

__all__ = [
    "SHARED",
    "ServicePlan",
    "check_transport",
    "list_transports",
    "plan_service",
    "restore_services",
]

#: Postfix's SMTP client for all mail.
SHARED = "smtp"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,49}")
# Services of Postfix's own master.cf, and what begins the name of a setting: default_destination_*.
_OF_POSTFIX = """
    anvil bounce cleanup default defer discard dnsblog error flush lmtp local maildrop pickup postlog
    proxymap proxywrite qmgr relay retry rewrite scache showq smtpd submission submissions smtps
    tlsmgr tlsproxy trace uucp verify virtual
"""
_TAKEN = frozenset(_OF_POSTFIX.split())
# What Debian's installer writes for "Local only", and cloud images have: no relay yet.
_LOCAL_ONLY = "error"
# Postfix's own values of these settings (postconf(5)).
_USUAL = {"default_transport": "smtp", "relay_transport": "relay"}
_CLIENT = "smtp"


@dataclass(frozen=True)
class ServicePlan:
    """What becomes of master.cf: `first`, before mail is routed to a service, and at `last`.

    None where there is no master.cf to change. `services` has the lines that are ours, by the
    service's name: those of now, of `first` and of `last`; `finished` those of `last` alone.
    """

    first: bytes | None = field(default=None, repr=False)
    last: bytes | None = field(default=None, repr=False)
    services: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    finished: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def check_transport(name: str) -> None:
    """Raise RelayError if a service can't have this name."""
    if name == SHARED:
        return
    shown = f"transport={name} " if is_harmless(name) else "transport "
    if not _NAME.fullmatch(name):
        raise RelayError(
            f"{shown}is no name for a service of master.cf. Give a letter, then letters, digits, _ or"
            " -, for example ses. Nothing was changed"
        )
    if name.lower() in _TAKEN:
        raise RelayError(
            f"{shown}is the name of a service of Postfix's own. Give another, for example ses."
            " Nothing was changed"
        )


def list_transports(
    transport: str,
    effective: t.Mapping[str, str],
    recorded: t.Mapping[str, RecordedSetting],
    master_cf: bytes | None,
) -> list[Setting]:
    """The settings that say which service delivers, if they are to change.

    With the shared client, only the exact values of Debian's choice "Local only" change, because
    they mean "no mail leaves this host". Those that we have replaced, as `recorded`, are ours
    until somebody changes them. A client for SES alone takes the place of any SMTP client
    without a next hop of its own.
    """
    services = parse_services((master_cf or b"").decode(errors="surrogateescape"))
    clients = {each.name for each in services.values() if each.program == _CLIENT}
    found = []
    for name, usual in _USUAL.items():
        value = effective.get(name, "")
        known = recorded.get(name)
        ours = {usual, known.wrote} if known else set()
        if transport == SHARED:
            was_local_only = known is not None and known.before == _LOCAL_ONLY
            if value == _LOCAL_ONLY or (was_local_only and value in ours):
                found.append(Setting(name, usual))
            continue
        service, _colon, nexthop = value.partition(":")
        is_plain = not nexthop and service in {*clients, *ours, *_USUAL.values(), transport}
        if value == _LOCAL_ONLY or is_plain:
            found.append(Setting(name, transport))
    return found


def plan_service(
    client: OwnClient | None,
    keeping: OwnClient | None,
    content: bytes | None,
    record: Record | None,
    kept: bytes | None,
) -> ServicePlan:
    """How master.cf gets the service of a relay, if it has one, and loses another of ours.

    `keeping` is the client with what mail on its way may need until the routing has changed;
    `kept` is the master.cf from before the relay. Raises RelayError if the name is not ours.
    """
    recorded = dict(record.services) if record else {}
    if client is None and not recorded:
        return ServicePlan()
    if content is None:
        raise RelayError("master.cf does not exist. Is Postfix installed? Nothing was changed")
    others = {name: lines for name, lines in recorded.items() if not client or name != client.name}
    first, last = content, content
    services, finished = dict(recorded), {}
    if client:
        there = find_service_lines(content, client.path)
        if there is not None and client.name not in recorded and not is_satisfied(content, client):
            raise RelayError(
                f"master.cf has a service {client.name} already, which is not this relay's. Give"
                " transport another name. Nothing was changed"
            )
        first = place_service(content, keeping or client)
        last = place_service(first, client)
        if there is None or client.name in recorded:
            made = [find_service_lines(each, client.path) or "" for each in (first, last)]
            lines = (*recorded.get(client.name, ()), *made)
            services[client.name] = tuple(dict.fromkeys(lines))
            finished[client.name] = (made[-1],)
    last, warnings = _remove_ours(others, last)
    if not client and record and record.master_cf and kept is not None:
        last = kept if record.master_cf.is_ours(content, kept) else last
    return ServicePlan(first, last, services, finished, tuple(warnings))


def restore_services(record: Record, content: bytes) -> tuple[bytes, list[str]]:
    """master.cf without what is ours, and what to warn of."""
    return _remove_ours(record.services, content)


def _remove_ours(
    services: t.Mapping[str, tuple[str, ...]], content: bytes
) -> tuple[bytes, list[str]]:
    warnings = []
    for name, ours in services.items():
        lines = find_service_lines(content, f"{name}/unix")
        if lines in ours:
            content = remove_service(content, f"{name}/unix")
        elif lines is not None:
            warnings.append(
                f"the service {name} in master.cf was changed by somebody else since, so it stays as"
                " it is. If nothing needs it, remove it"
            )
    return content, warnings
