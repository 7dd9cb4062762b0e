# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Giving a relay another IAM key: which logins change, and how they come back. No I/O.

The previous source of each map is kept beside it until the rotation is confirmed or undone; where it
is kept, a rotation is pending. The order, so that a process that is killed at any instant leaves
logins that work, and enough for the next run to go on: the relay's record, the previous source, the
source, its table; the reload, if the type needs one; the record again; and what was kept goes last.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from .._postfix._map_entry import RequestedEntry, fold
from .._postfix._map_plan import plan_map
from .._postfix._password_map import read_map
from .._smtp._server import SmtpLogin, SmtpServer
from ._phases import (
    CleanUp,
    MapChange,
    Phase,
    RecordPlan,
    TransactionPlan,
    order_phases,
)
from ._plan import (
    diff_map,
    diff_part,
)
from ._record import digest
from ._rotation_entries import find_old_entries, follow_keys, restore_map

if t.TYPE_CHECKING:
    from .._postfix._map_plan import MapPlan, MapSnapshot
    from ._record import Record

__all__ = [
    "MapRotation",
    "RotatedEntries",
    "RotatedEntry",
    "RotatedMap",
    "RotationPlan",
    "RotationRequest",
    "RotationSnapshot",
    "diff",
    "plan_rotation",
]


@dataclass(frozen=True)
class RotatedEntry:
    """An entry of the map `path`, with the login that it is to have.

    `servers` are those to which Postfix would offer it.
    """

    path: str
    entry: RequestedEntry
    servers: tuple[SmtpServer, ...] = ()

    def list_logins(self) -> list[SmtpLogin]:
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
class RotationRequest:
    """What a task requests. `logins` has the entries that were found with the old key."""

    state: str
    logins: tuple[RotatedEntry, ...] = ()
    old_access_key: str = ""


@dataclass(frozen=True)
class RotatedMap:
    """A map that a rotation has to do with: what there is of it, and the logins that are for it.

    `kept` is what it was before a rotation that is pending, `kept_path` where that is or would be.
    """

    now: MapSnapshot
    kept_path: str
    kept: bytes | None = field(repr=False)
    logins: tuple[RotatedEntry, ...] = ()


@dataclass(frozen=True)
class RotationSnapshot:
    """All that a rotation reads. `map_before` is the map from before the relay that has the `record`;
    `is_left` says that a killed run has left files beside the record.
    """

    maps: tuple[RotatedMap, ...]
    record: Record | None
    map_before: bytes | None = field(default=None, repr=False)
    is_left: bool = False


@dataclass(frozen=True)
class MapRotation:
    """What a run would do with one map.

    `keeps` says that its source is kept at `kept`; `removes` that what is there goes.
    """

    path: str
    table: str
    kept: str
    plan: MapPlan
    keeps: bool = False
    removes: bool = False

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return self.plan.changed or self.removes


@dataclass(frozen=True)
class RotationPlan:
    """All that a run would do, and whether previous maps are kept after it.

    `record` says that the relay's record does not say yet what is in the map.
    """

    maps: tuple[MapRotation, ...]
    is_pending: bool
    needs_reload: bool
    writes_record: bool
    warnings: tuple[str, ...]
    transaction: TransactionPlan

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return self.writes_record or any(each.changed for each in self.maps)

    @property
    def entries_changed(self) -> list[str]:
        """The keys of all entries that get another login."""
        return [key for each in self.maps for key in each.plan.edit.entries_changed]


def plan_rotation(request: RotationRequest, now: RotationSnapshot) -> RotationPlan:
    """Compare what a task requests with what is there.

    Raises PasswordMapError if it can't be done.
    """
    maps: list[MapRotation] = []
    warnings: list[str] = []
    for each in now.maps:
        one, about = _plan_map(request, each)
        maps += [one] if one else []
        warnings += about
    kept = {each.now.path for each in now.maps if each.kept is not None}
    pending = request.state == "replaced" and any(m.keeps or m.path in kept for m in maps)
    # What a killed run left may have become active without Postfix being told.
    reload = any(
        not each.plan.now.type.suffix and (each.plan.writes_source or each.plan.is_left_behind)
        for each in maps
    )
    record = _plan_record(now, maps)
    changes = tuple(
        MapChange(each.plan, backup=each.keeps, as_kept=True) for each in maps if each.plan.replaces
    )
    return RotationPlan(
        maps=tuple(maps),
        is_pending=pending,
        needs_reload=reload,
        writes_record=record is not None and record.during is None,
        warnings=tuple(warnings),
        transaction=TransactionPlan(
            maps=tuple(each.plan for each in maps),
            locks=tuple(each.path for each in maps),
            phases=order_phases(
                [Phase("the logins", changes, reload)], reload=reload, pending=False
            ),
            record=record,
            clean_up=CleanUp(
                "the logins are in place, but the previous ones can't be removed",
                removes_last=tuple(each.kept for each in maps if each.removes),
            ),
        ),
    )


def _plan_map(request: RotationRequest, each: RotatedMap) -> tuple[MapRotation | None, list[str]]:
    """What is to be done with a map, None if nothing; and what to warn of."""
    path, kept = each.now.path, each.kept
    current = each.now.parse()
    entries, warnings = find_old_entries(current, each.logins, request.old_access_key)
    whole = None
    if request.state == "restored" and kept is not None:
        back = restore_map(current, read_map(kept, each.now.utf8))
        whole, entries = back.source, list(back.entries)
        if not back.is_whole:
            warnings.append(
                f"{path} was changed by somebody else meanwhile, so its previous logins come"
                " back and the rest stays as it is"
            )
    keeps = bool(entries) and kept is None
    plan = plan_map(each.now, entries, source=whole, current=current)
    if not (plan.changed or kept is not None):
        return None, warnings
    removes = request.state != "replaced" and kept is not None
    return MapRotation(path, each.now.name, each.kept_path, plan, keeps, removes), warnings


def _plan_record(now: RotationSnapshot, maps: t.Iterable[MapRotation]) -> RecordPlan | None:
    """What becomes of the record of a relay whose map is one of these."""
    record = now.record
    if record is None:
        return None
    one = next((each for each in maps if each.path == record.map.path), None)
    if one is None:
        return None
    kept = next(each.kept for each in now.maps if each.now.path == one.path)
    change = one.plan.edit
    if not change.entries_changed:
        after = _follow(record, one.plan.now, one.plan.now.source, kept, ())
        return RecordPlan(record, None, after) if now.is_left or after != record else None
    source = one.plan.now.source
    file = record.map.file.begin(source, now.map_before, change.source)
    if not _has_all(record, one):
        # To restore what was there before the relay would bring back an old key, too.
        file = replace(file, whole=False)
    during = replace(record, map=replace(record.map, file=file))
    after = _follow(
        during,
        one.plan.now,
        change.source,
        source if one.keeps else kept,
        change.entries_changed,
    )
    return RecordPlan(record, during, after)


def _has_all(record: Record, one: MapRotation) -> bool:
    """Whether all entries that change are the relay's."""
    utf8 = one.plan.now.utf8
    ours = {fold(key.encode(), utf8) for key in record.map.keys}
    return all(fold(key.encode(), utf8) in ours for key in one.plan.edit.entries_changed)


def _follow(
    record: Record,
    table: MapSnapshot,
    content: bytes | None,
    kept: bytes | None,
    changed: t.Iterable[str],
) -> Record:
    """The record of a relay whose map has this content, once a run is over."""
    under_way = len(record.map.file.wrote) > 1
    if content is None or not under_way or digest(content) not in record.map.file.wrote:
        return record
    keys = follow_keys(
        record.map.keys,
        read_map(content, table.utf8),
        None if kept is None else read_map(kept, table.utf8),
        changed,
    )
    file = record.map.file.finish(content)
    return replace(record, map=replace(record.map, keys=keys, file=file))


def diff(plan: RotationPlan) -> list[dict[str, str]]:
    """The entries and files that change, for Ansible; no password is in it."""
    parts = []
    for each in plan.maps:
        parts.append(diff_map(each.path, each.plan))
        exists = [f"# {each.kept} exists"]
        if each.keeps:
            parts.append(diff_part(each.kept, [], exists))
        if each.removes:
            parts.append(diff_part(each.kept, exists, []))
        if each.plan.is_left_behind:
            left = ["# an interrupted run has left something to finish"]
            parts.append(diff_part(each.path, left, []))
    return [each for each in parts if each["before"] or each["after"]]
