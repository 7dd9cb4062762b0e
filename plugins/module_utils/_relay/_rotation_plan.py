# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Giving a relay another IAM key, as data: which logins change, and how they come back. No I/O."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._postfix._map_entry import (
    Wanted,
    WantedLine,
    fold,
    text,
)
from .._postfix._password_map import edit
from .._smtp._server import SmtpLogin, SmtpServer
from ._plan import (
    diff_of_map,
    diff_part,
)

if t.TYPE_CHECKING:
    from .._postfix._map_update import Plan
    from .._postfix._password_map import PasswordMap

__all__ = [
    "MapRotation",
    "PutBack",
    "RotatedEntries",
    "RotatedEntry",
    "RotationPlan",
    "diff",
    "followed",
    "put_back",
    "still_old",
]


@dataclass(frozen=True)
class RotatedEntry:
    """An entry of the map `path`, with the login that it is to have.

    `servers` are those to which Postfix would offer it.
    """

    path: str
    entry: Wanted
    servers: tuple[SmtpServer, ...] = ()

    def logins(self) -> list[SmtpLogin]:
        """The login at each of the servers, to be tried."""
        entry = self.entry
        return [
            SmtpLogin(server, entry.username, entry.password, entry.requested_by)
            for server in self.servers
        ]


@dataclass(frozen=True)
class RotatedEntries:
    """All entries that a task gives another login."""

    entries: tuple[RotatedEntry, ...] = ()


@dataclass(frozen=True)
class MapRotation:
    """What a run would do with one map.

    `keeps` says that its source is kept at `kept`; `removes` that what is there goes.
    """

    path: str
    table: str
    kept: str
    plan: Plan
    keeps: bool = False
    removes: bool = False

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return self.plan.changed or self.removes


@dataclass(frozen=True)
class RotationPlan:
    """All that a run would do, and whether former maps are kept after it.

    `record` says that the relay's record does not say yet what is in the map.
    """

    maps: tuple[MapRotation, ...]
    pending: bool
    reload: bool
    record: bool
    warnings: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return self.record or any(each.changed for each in self.maps)

    @property
    def entries_changed(self) -> list[str]:
        """The keys of all entries that get another login."""
        return [key for each in self.maps for key in each.plan.edit.entries_changed]


def still_old(
    current: PasswordMap, rotated: t.Iterable[RotatedEntry], old_access_key: str
) -> tuple[list[Wanted], list[str]]:
    """Those of the entries that have the old key now, with their logins; and what to warn of."""
    wanted = []
    warnings = []
    for each in rotated:
        username = _username(current, fold(each.entry.key.encode(), current.utf8))
        if username == old_access_key:
            wanted.append(each.entry)
        elif username != each.entry.username:
            warnings.append(
                f"the entry {each.entry.key!r} of {each.path} was changed by somebody else meanwhile,"
                " so it stays as it is"
            )
    return wanted, warnings


@dataclass(frozen=True)
class PutBack:
    """How a map becomes what it was: its whole `source`, or else the entries that are `wanted`."""

    source: bytes | None
    wanted: tuple[Wanted, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the map comes back byte for byte."""
        return self.source is not None


def put_back(current: PasswordMap, kept: PasswordMap) -> PutBack:
    """How the former logins come back.

    Byte for byte if nothing but logins is different; what somebody else has changed since stays.
    """
    if current.source == kept.source:
        return PutBack(kept.source)
    rotated = [
        folded
        for folded in kept.first
        if folded in current.first and _username(kept, folded) != _username(current, folded)
    ]
    if edit(kept, [_line(current, folded) for folded in rotated]).source == current.source:
        return PutBack(kept.source)
    return PutBack(None, tuple(_line(kept, folded) for folded in rotated))


def followed(
    keys: t.Mapping[str, str],
    now: PasswordMap,
    kept: PasswordMap | None,
    changed: t.Iterable[str],
) -> dict[str, str]:
    """The user names of a record's `keys`, once the logins of those that `changed` are others.

    With none of them, a run was killed after it had changed some; what is `kept` tells which.
    """
    ours = {fold(key.encode(), now.utf8) for key in changed}
    result = dict(keys)
    for key, username in keys.items():
        folded = fold(key.encode(), now.utf8)
        actual = _username(now, folded)
        was = _username(kept, folded) if kept else None
        if actual is not None and (folded in ours or (not ours and was in (username, actual))):
            result[key] = actual
    return result


def diff(plan: RotationPlan) -> list[dict[str, str]]:
    """The entries and files that change, for Ansible; no password is in it."""
    parts = []
    for each in plan.maps:
        parts.append(diff_of_map(each.path, each.plan))
        exists = [f"# {each.kept} exists"]
        if each.keeps:
            parts.append(diff_part(each.kept, [], exists))
        if each.removes:
            parts.append(diff_part(each.kept, exists, []))
        if each.plan.left_behind:
            left = ["# an interrupted run has left something to finish"]
            parts.append(diff_part(each.path, left, []))
    return [each for each in parts if each["before"] or each["after"]]


def _line(of_map: PasswordMap, folded: bytes) -> WantedLine:
    key, value = of_map.entry(of_map.first[folded])
    return WantedLine(text(key), requested_by="the former map", line=value)


def _username(of_map: PasswordMap, folded: bytes) -> str | None:
    number = of_map.first.get(folded)
    return None if number is None else text(of_map.entry(number)[1].partition(b":")[0])
