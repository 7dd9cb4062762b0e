# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Giving a relay another IAM key in two phases that live on the host, and taking it back.

The former source of each map is kept beside it until the rotation is confirmed or undone; where it
is kept, a rotation is pending. The order, so that a process that is killed at any instant leaves
logins that work, and enough for the next run to go on: the relay's record, the former source, the
source, its table; the reload, if the type needs one; the record again; and what was kept goes last.
"""

from __future__ import annotations

import contextlib
import os
import typing as t
from dataclasses import dataclass, replace

from .._files._attempts import (
    cleaning_up,
    uninterrupted,
    until_unchanged,
)
from .._files._safe_path import UnsafePathError
from .._files._safe_walk import MissingDirectoryError
from .._files._secret_file import (
    Staging,
    in_force,
    kept_name,
)
from .._postfix._map_entry import fold
from .._postfix._password_map import read_map
from ._record import digest
from ._rotation_plan import (
    MapRotation,
    RotationPlan,
    followed,
    put_back,
    still_old,
)
from ._settings import (
    MAPS,
    RelayError,
)

if t.TYPE_CHECKING:
    from .._postfix._map_update import MapUpdate
    from .._postfix._programs import TableType
    from ._instance import Instance
    from ._record import Record
    from ._rotation_plan import RotatedEntry

__all__ = ["KeyRotation", "RotationRequest"]


@dataclass(frozen=True)
class RotationRequest:
    """What a task asks for. `logins` has the entries that were found with the old key."""

    state: str
    logins: tuple[RotatedEntry, ...] = ()
    old_access_key: str = ""


class KeyRotation:
    """The rotation of one instance's logins."""

    def __init__(self, request: RotationRequest, instance: Instance) -> None:
        self._request = request
        self._instance = instance
        self._tables = instance.password_tables()
        self._updates: dict[str, MapUpdate] = {}

    def plan(self) -> RotationPlan:
        """Compare what is wanted with what is there. Reads only, and takes no lock.

        A map that has no old key, and nothing that was kept or left behind, is not even read.
        Raises PasswordMapError, PostfixError or SecretFileError if it can't be done.
        """
        self._refuse_unknown_maps()
        return self._plan()

    def _plan(self) -> RotationPlan:
        self._updates = {}
        maps = []
        warnings: list[str] = []
        for path, its_type in self._tables.items():
            one, about = self._plan_map(path, its_type)
            maps += [one] if one else []
            warnings += about
        replaced = self._request.state == "replaced"
        return RotationPlan(
            maps=tuple(maps),
            pending=replaced and any(os.path.isfile(each.kept) or each.keeps for each in maps),
            # What a killed run left may have been put in force without Postfix being told.
            reload=any(
                not self._tables[each.path].suffix
                and (each.plan.writes_source or each.plan.left_behind)
                for each in maps
            ),
            record=self._lags(self._instance.store.load(), maps),
            warnings=tuple(warnings),
        )

    def apply(self) -> tuple[RotationPlan, bool]:
        """Plan again with the locks held, and do it; returns that plan, and whether Postfix was
        reloaded.
        """
        instance = self._instance
        with contextlib.ExitStack() as locks:
            locks.enter_context(instance.locked())
            for path in sorted(self._updates, key=os.path.realpath):
                locks.enter_context(self._updates[path].locked())
            # Only the maps whose locks are held.
            self._tables = {path: self._tables[path] for path in self._updates}
            locks.enter_context(uninterrupted())
            plan = until_unchanged(instance.places, self._apply)
            problem = "the logins are in place, but the former ones can't be removed"
            with cleaning_up(instance.places, problem):
                self._finish(plan)
        return plan, instance.reloaded

    def _apply(self) -> RotationPlan:
        plan = self._plan()
        self._put_in_force(plan)
        return plan

    def _refuse_unknown_maps(self) -> None:
        known = set(map(os.path.realpath, self._tables))
        for login in self._request.logins:
            if os.path.realpath(login.path) not in known:
                raise RelayError(
                    f"the entry {login.entry.key!r} is in {login.path}, which {MAPS} of main.cf does not"
                    " name as a table that can be made. Change that entry by hand"
                )

    def _plan_map(self, path: str, its_type: TableType) -> tuple[MapRotation | None, list[str]]:
        """What is to be done with a map, None if nothing; and what to warn of."""
        try:
            source = self._instance.places.find(path)
        except MissingDirectoryError:
            return None, []
        except UnsafePathError:
            # Nothing of ours is there, so without the old key it does not matter who owns it.
            real = os.path.realpath(path)
            if any(os.path.realpath(login.path) == real for login in self._request.logins):
                raise
            return None, []
        kept_path = kept_name(source)
        kept = kept_path.read()
        utf8 = self._instance.utf8
        logins = [login for login in self._request.logins if os.path.realpath(login.path) == source]
        touched = logins or kept is not None or Staging(source).is_there()
        if not touched:
            return None, []
        current = read_map(source.read() or b"", utf8)
        wanted, warnings = still_old(current, logins, self._request.old_access_key)
        whole = None
        if self._request.state == "restored" and kept is not None:
            back = put_back(current, read_map(kept, utf8))
            whole, wanted = back.source, list(back.wanted)
            if not back.is_whole:
                warnings.append(
                    f"{path} was changed by somebody else meanwhile, so its former logins come"
                    " back and the rest stays as it is"
                )
        keeps = bool(wanted) and kept is None
        update = self._instance.map_update(
            path, its_type, wanted, backup=keeps, backup_as=kept_path, source=whole
        )
        plan = update.plan()
        removes = self._request.state != "replaced" and kept is not None
        if not (plan.changed or kept is not None):
            return None, warnings
        self._updates[path] = update
        table = f"{its_type.name}:{path}"
        return MapRotation(path, table, str(kept_path), plan, keeps, removes), warnings

    def _put_in_force(self, plan: RotationPlan) -> None:
        """All that is new, in one transaction."""
        instance = self._instance
        try:
            with contextlib.ExitStack() as stack:
                files: list[tuple[str, str]] = []
                for each in plan.maps:
                    staged = stack.enter_context(self._updates[each.path].staged(each.plan))
                    files += staged.renames
                if files:
                    record = self._stage_record(plan, stack)
                    stack.enter_context(in_force([*record, *files]))
                # Before what is staged goes: as long as that is there, the next run will reload.
                if plan.reload:
                    instance.reload()
        except BaseException:
            instance.reload_again()
            raise

    def _stage_record(
        self, plan: RotationPlan, stack: contextlib.ExitStack
    ) -> list[tuple[str, str]]:
        """The record with what is about to be in the map, ready to be renamed."""
        store = self._instance.store
        record = store.load()
        of_map = _of(record, plan.maps)
        if record is None or of_map is None or not of_map.plan.edit.entries_changed:
            return []
        before = store.map_before() if record.map.existed else None
        source = self._updates[of_map.path].source
        file = record.map.file.next(source, before, of_map.plan.edit.source)
        if not self._all_ours(record, of_map):
            # To put back what was there before the relay would bring back an old key, too.
            file = replace(file, whole=False)
        stack.callback(store.clean_up)
        store.create()
        return store.stage(replace(record, map=replace(record.map, file=file)))

    def _all_ours(self, record: Record, of_map: MapRotation) -> bool:
        utf8 = self._instance.utf8
        ours = {fold(key.encode(), utf8) for key in record.map.keys}
        return all(fold(key.encode(), utf8) in ours for key in of_map.plan.edit.entries_changed)

    def _lags(self, record: Record | None, maps: t.Sequence[MapRotation]) -> bool:
        """Whether a run was killed before it had recorded what it did."""
        of_map = _of(record, maps)
        if record is None or of_map is None or of_map.plan.edit.entries_changed:
            return False
        return self._instance.store.staging.is_there() or self._after(record, of_map) != record

    def _after(self, record: Record, of_map: MapRotation) -> Record:
        """The record of a relay whose map is as it is now."""
        utf8 = self._instance.utf8
        content = self._instance.read_map(of_map.path)
        under_way = len(record.map.file.wrote) > 1
        if content is None or not under_way or digest(content) not in record.map.file.wrote:
            return record
        kept = kept_name(self._instance.places.find(of_map.path)).read()
        keys = followed(
            record.map.keys,
            read_map(content, utf8),
            None if kept is None else read_map(kept, utf8),
            of_map.plan.edit.entries_changed,
        )
        return replace(
            record, map=replace(record.map, keys=keys, file=record.map.file.final(content))
        )

    def _finish(self, plan: RotationPlan) -> None:
        """Record that this run is over, and remove what is not to be kept any more."""
        store = self._instance.store
        record = store.load()
        of_map = _of(record, plan.maps)
        if record is not None and of_map is not None:
            after = self._after(record, of_map)
            if plan.record or after != record:
                store.save(after)
        self._instance.remove_files(each.kept for each in plan.maps if each.removes)


def _of(record: Record | None, maps: t.Iterable[MapRotation]) -> MapRotation | None:
    """The map that the record is about, None if it is none of these."""
    if record is None:
        return None
    return next((each for each in maps if each.path == record.map.path), None)
