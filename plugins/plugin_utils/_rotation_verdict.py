# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Whether the old access key can be deactivated after a rotation. Pure functions, no Ansible.

The answer is no, unless every host that belongs to the rotation was read completely and none of
them holds the old key. What could not be reached, read or understood counts against it.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..module_utils._postfix._destination import parse_host
from ..module_utils._ses._mail_manager import MAIL_MANAGER
from ..module_utils._smtp._server import region_of_endpoint
from ._host_answer import (
    INFO,
    AnswerError,
    check_answer,
    read_message,
)
from ._rotation_lines import (
    list_few,
    write_rotation_lines,
)

__all__ = ("HostRecord", "judge_rotation")

_ACCESS_KEY = re.compile(r"[A-Z0-9]{16,128}")


@dataclass(frozen=True)
class HostRecord:
    """What a play knows of a host.

    ``answers`` are registered results of postfix_relay_info, the first of them about all instances;
    without any, nobody asked the host. ``is_left_out`` says that --limit left it out. ``trouble`` is
    what went wrong while its key was replaced. ``touched`` says that its entries may have changed.
    """

    answers: tuple[t.Any, ...] = ()
    is_left_out: bool = False
    trouble: str = ""
    was_touched: bool = False


class _Host:
    """A host, as its answers have it."""

    def __init__(self, name: str, record: HostRecord, new: str, old: str) -> None:
        self.name = name
        self.record = record
        #: Why nobody can tell which keys it holds.
        self.gaps: list[str] = []
        instances = [each for answer in self._answers() for each in answer["instances"]]
        self._entries = [entry for each in instances for entry in each["entries"]]
        self._logins = [entry for entry in self._entries if _is_for_ses(entry)]
        #: The lookup keys of its logins to Mail Manager, which no rotation of an access key changes.
        self.mail_manager = sorted(
            {entry["key"] for entry in self._entries if entry["system"] == MAIL_MANAGER}
        )
        self.pending = any(each["rotation_pending"] for each in instances)
        self._names = {entry["username"] for entry in self._logins}
        self.has_new = new in self._names
        self.uses_new = any(entry["username"] == new and entry["active"] for entry in self._logins)
        self.has_old = any(old in (entry["username"], entry["key"]) for entry in self._entries) or (
            any(f"{old}:" in entry["key"] for entry in self._entries)
        )
        self.others = sorted(name for name in self._names - {new, old} if name)

    @property
    def is_read(self) -> bool:
        """Whether all its entries are known."""
        return not self.gaps

    @property
    def has_login(self) -> bool:
        """Whether it has an SES login."""
        return bool(self._logins)

    def list_reasons(self) -> list[str]:
        """Why the old key can't be deactivated because of this host; empty if it can."""
        found = ["has the old key"] if self.has_old else []
        if self.pending:
            found.append("has a rotation that is not finished")
        if self.record.trouble:
            found.append(read_message(self.record.trouble))
        found += self.gaps
        if None in self._names:
            found.append("has an SES login whose user name can't be told")
        if self._logins and not (self.uses_new or self.has_old):
            if self.others:
                found.append(
                    f"has SES logins, but with neither the old nor the new key: {list_few(self.others)}"
                    " (check the spelling of the old access key)"
                )
            elif self.has_new:
                found.append("has the new key in the source of a map only, where it is not active")
        return list(dict.fromkeys(found))

    def judge_after_trouble(self) -> str | None:
        """Which list it belongs to if the rotation failed somewhere; None if to none of them."""
        if not self.is_read:
            return "may_hold_new_key" if self.record.was_touched else "not_touched"
        if self.pending or (self.has_new and (self.record.trouble or self.has_old)):
            return "may_hold_new_key"
        if self.has_new or not self.has_login:
            return None
        return "rolled_back" if self.record.was_touched else "not_touched"

    def _answers(self) -> list[dict[str, t.Any]]:
        """The answers that are of use; what is missing in one is a gap."""
        if self.record.is_left_out:
            self.gaps.append("was left out by --limit, so nothing is known about it")
            return []
        if not self.record.answers:
            self.gaps.append("was not asked which keys it holds")
        return [answer for answer in map(self._answer, self.record.answers) if answer is not None]

    def _answer(self, result: t.Any) -> dict[str, t.Any] | None:
        for state, what in (("unreachable", "can't be reached"), ("failed", "can't be read")):
            if isinstance(result, dict) and result.get(state):
                self.gaps.append(f"{what}: {read_message(result.get('msg'))}")
                return None
        try:
            answer: dict[str, t.Any] = check_answer(INFO, result)
        except AnswerError as exc:
            self.gaps.append(f"its answer is not one of postfix_relay_info: {exc}")
            return None
        if not answer["root"]:
            self.gaps.append("was not read as root: run the playbook with -b (become)")
        unreadable = answer["unreadable_instances"]
        if unreadable:
            self.gaps.append(f"has Postfix instances that can't be read: {list_few(unreadable)}")
        elif not answer["instances"]:
            self.gaps.append("has no Postfix instance that was found")
        unread = [
            f"{each['table']} of {list_few(each['settings'])} in {instance['config_directory']}"
            for instance in answer["instances"]
            for each in instance["maps"]
            if not each["complete"]
        ]
        if unread:
            self.gaps.append(f"has password maps that can't be read completely: {list_few(unread)}")
        return answer


def judge_rotation(
    records: t.Mapping[str, HostRecord], access_key: str, old_access_key: str
) -> dict[str, t.Any]:
    """Return the verdict on the hosts of a rotation, by name.

    The filter postfix_relay_rotation documents what it returns.
    """
    hosts = [
        _Host(name, record, access_key, old_access_key) for name, record in sorted(records.items())
    ]
    reasons = {host.name: host.list_reasons() for host in hosts}
    with_new_key = [host.name for host in hosts if host.uses_new]
    verdict: dict[str, t.Any] = {
        "safe": bool(with_new_key) and not any(reasons.values()),
        "access_key": access_key,
        "old_access_key": old_access_key,
        "hosts": [host.name for host in hosts],
        "read": [host.name for host in hosts if host.is_read],
        "with_new_key": with_new_key,
        "with_old_key": [host.name for host in hosts if host.has_old],
        "without_login": [host.name for host in hosts if host.is_read and not host.has_login],
        "blocking": [{"host": name, "reasons": why} for name, why in reasons.items() if why],
        "other_access_keys": _other_keys(hosts),
        "mail_manager": [
            {"host": host.name, "keys": host.mail_manager} for host in hosts if host.mail_manager
        ],
        **_after_trouble(hosts),
    }
    return {**verdict, "lines": write_rotation_lines(verdict)}


def _is_for_ses(entry: t.Mapping[str, t.Any]) -> bool:
    """Whether an entry may be a login of an access key: by its server, password or user name."""
    hosts = [*(server["host"] for server in entry["servers"]), parse_host(entry["key"]) or ""]
    if entry["system"] == MAIL_MANAGER:
        return False
    return bool(
        entry["region"]
        or entry["version"]
        or entry["matches"]
        or any(map(region_of_endpoint, hosts))
        or _ACCESS_KEY.fullmatch(entry["username"] or "")
    )


def _other_keys(hosts: t.Iterable[_Host]) -> list[dict[str, t.Any]]:
    found: dict[str, list[str]] = {}
    for host in hosts:
        for name in host.others:
            found.setdefault(name, []).append(host.name)
    return [{"username": name, "hosts": names} for name, names in sorted(found.items())]


def _after_trouble(hosts: t.Sequence[_Host]) -> dict[str, list[str]]:
    """The hosts of a rotation that failed, by what they themselves say they hold now."""
    lists: dict[str, list[str]] = {"rolled_back": [], "may_hold_new_key": [], "not_touched": []}
    if any(host.record.trouble or host.pending for host in hosts):
        for host in hosts:
            kind = None if host.record.is_left_out else host.judge_after_trouble()
            if kind:
                lists[kind].append(host.name)
    return lists
