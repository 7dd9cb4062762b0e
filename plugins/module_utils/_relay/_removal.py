# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Taking the relay back: what it set goes, and what was there before comes back.

Byte for byte where nobody else has touched the file since; otherwise setting by setting and entry
by entry, and what somebody has changed stays. main.cf first, then the reload, then the map, for
which nobody asks any more; the record last, so that the next run goes on if this one is killed.
"""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import replace

from .._files._attempts import (
    cleaning_up,
    uninterrupted,
    until_unchanged,
)
from .._files._obstacles import check_replaceable
from .._files._safe_path import UnsafePathError
from .._files._safe_walk import MissingDirectoryError
from .._files._secret_file import (
    backup_name,
    in_force,
    kept_name,
    locked,
    read_if_there,
)
from .._postfix._main_cf import tokens
from .._postfix._map_update import Staged
from .._postfix._password_map import edit, read_map
from .._postfix._programs import TABLE_TYPES
from .._postfix._table_name import parse_table_name
from .._ses._redaction import redact, redact_entry
from ._plan import (
    Outcome,
    RelayPlan,
    RelayRequest,
    routes_taken_back,
    taken_back,
)
from ._settings import (
    MAPS,
    NAMES,
    SettingChange,
    given_back,
)
from ._steps import (
    Steps,
    in_steps,
    put_in_force_in_steps,
    stage_main_cf,
)

if t.TYPE_CHECKING:
    from .._files._safe_path import (
        Directory,
        SafePath,
    )
    from .._postfix._main_cf import MainCf
    from .._postfix._map_update import MapUpdate
    from ._instance import Instance
    from ._record import Record
    from ._steps import Renames

__all__ = ["RelayRemoval"]

_LOCK_SECONDS = 120.0


class RelayRemoval:
    """The end of one instance's relay."""

    def __init__(self, request: RelayRequest, instance: Instance) -> None:
        self._request = request
        self._instance = instance
        self._record: Record | None = None
        self._map: MapUpdate | None = None
        self._routes: MapUpdate | None = None

    def plan(self) -> RelayPlan:
        """Compare what was there before with what is there. Reads only, and takes no lock."""
        instance = self._instance
        self._record = record = instance.store.load()
        self._map = self._routes = None
        if record is None:
            return self._plan_without_record()
        main_cf, settings, warnings = self._plan_main_cf(record)
        if settings or main_cf is not None:
            check_replaceable(instance.main_cf.path)
        removes, more = self._plan_map(record, settings)
        of_map = self._map.plan() if self._map else None
        self._routes = self._routes_update(record)
        ours = record.map.keys.items() if removes else ()
        gone = tuple(redact_entry(key, f"{username}:PASSWORD").key for key, username in ours)
        gone = of_map.edit.entries_removed if of_map else gone
        after = {change.name: change.after for change in settings}
        return RelayPlan(
            path=record.map.path,
            table=f"{record.map.type}:{record.map.path}",
            relayhost=redact(after.get("relayhost", instance.values.get("relayhost")) or ""),
            settings=tuple(settings),
            main_cf=main_cf,
            map=of_map,
            routes=self._routes.plan() if self._routes else None,
            routes_path=record.routes or "",
            # With the relay goes what a rotation of its key has kept.
            removes=(
                *removes,
                *instance.map_files(None if self._routes else record.routes),
                *self._kept(record.map.path),
            ),
            entries_removed=gone,
            interrupted=record.is_under_way,
            record=True,
            reload=bool(settings or main_cf is not None or record.reload_pending),
            warnings=(*warnings, *more),
        )

    def apply(self) -> Outcome:
        """Plan again with the locks held, and do it."""
        instance = self._instance
        with contextlib.ExitStack() as locks:
            locks.enter_context(instance.locked())
            record = instance.store.load()
            if record:
                path = self._reachable(record.map.path)
                if path is not None:
                    locks.enter_context(locked(path, _LOCK_SECONDS))
            locks.enter_context(uninterrupted())
            return until_unchanged(instance.places, self._apply)

    def _apply(self) -> Outcome:
        instance = self._instance
        instance.read()
        plan = self.plan()
        record = self._record
        backups = self._put_in_force(plan)
        problem = "the relay is taken back, but not all that it needed can be removed"
        with cleaning_up(instance.places, problem, (OSError, UnsafePathError)):
            instance.remove_files(plan.removes)
            for name in (record.map.path, record.routes) if record else ():
                instance.remove_left(name)
            instance.main_cf.staging.remove()
            instance.store.remove()
        return Outcome(plan, instance.reloaded, tuple(backups))

    def rehearse(self, plan: RelayPlan, directory: Directory) -> None:
        """Do what a run would do with main.cf before it changes anything. Raises what that would."""
        if plan.settings or plan.main_cf is not None:
            main_cf = self._instance.main_cf.rehearsed(directory)
            main_cf.staging.create()
            self._stage(plan, main_cf)

    def _plan_without_record(self) -> RelayPlan:
        instance = self._instance
        path = instance.map_path(self._request.path)
        its_type = instance.map_type(self._request.map_type, path)
        relayhost = redact(instance.values.get("relayhost", ""))
        warning = (
            f"relayhost is {relayhost}, but there is no record of this module's in"
            f" {instance.store.directory}: it was set by somebody else, so it stays as it is"
        )
        return RelayPlan(
            path=path,
            table=f"{its_type.name}:{path}",
            relayhost=relayhost,
            interrupted=instance.store.is_left_behind() or instance.main_cf.staging.is_there(),
            warnings=(warning,) if "email-smtp" in relayhost else (),
        )

    def _plan_main_cf(self, record: Record) -> tuple[bytes | None, list[SettingChange], list[str]]:
        """The whole former main.cf, if it can come back; what changes; and what to warn of."""
        instance = self._instance
        now = instance.main_cf.read()
        before = instance.store.main_cf_before()
        if now == before:
            return None, [], []
        explicit = instance.main_cf.explicit(NAMES)
        if before is not None and record.main_cf.is_ours(now, before):
            settings = [
                SettingChange(name, explicit.get(name), said.before)
                for name, said in record.settings.items()
                if explicit.get(name) != said.before
            ]
            return before, settings, []
        settings, warnings = [], []
        for name, said in record.settings.items():
            change, warning = given_back(name, said.before, said.wrote, explicit.get(name))
            settings += [change] if change else []
            warnings += [warning] if warning else []
        return None, settings, warnings

    def _plan_map(
        self, record: Record, settings: t.Sequence[SettingChange]
    ) -> tuple[tuple[str, ...], list[str]]:
        """Plan the map's update, or return the files that go with it; and what to warn of."""
        instance, of_map = self._instance, record.map
        source = self._reachable(of_map.path)
        if source is None:
            return instance.map_files(of_map.path), []
        its_type, utf8 = TABLE_TYPES[of_map.type], instance.utf8
        before = instance.store.map_before() if of_map.existed else None
        now = source.read()
        without_source = now is None
        if now is None:
            now = instance.map_update(of_map.path, its_type, []).table_entries()
        current = read_map(now or b"", utf8)
        wanted, warnings = taken_back(
            of_map.keys, current, None if before is None else read_map(before, utf8)
        )
        ours = now is None or of_map.file.is_ours(now, before)
        whole = before or b"" if ours else edit(current, wanted).source if without_source else None
        listed = self._listed_types(of_map.path, settings)
        is_needed = before is not None or listed & {of_map.type, "texthash"}
        if not is_needed and whole is not None and not read_map(whole, utf8).first:
            stay = {of_map.path + TABLE_TYPES[name].suffix for name in listed & TABLE_TYPES.keys()}
            return tuple(path for path in instance.map_files(of_map.path) if path not in stay), []
        self._map = instance.map_update(
            of_map.path, its_type, wanted, backup=self._request.backup, source=whole
        )
        # With the table, the source has done its work, if there was none before.
        return ((of_map.path,) if of_map.only_table and whole is not None else ()), warnings

    def _routes_update(self, record: Record) -> MapUpdate | None:
        """How our entries leave the table with the senders' servers, None if it goes with them."""
        source = self._reachable(record.routes) if record.routes else None
        if record.routes is None or source is None:
            return None
        utf8 = self._instance.utf8
        gone, has_others = routes_taken_back(record, source.read() or b"", utf8)
        if not has_others:
            return None
        its_type = TABLE_TYPES[record.map.type]
        return self._instance.map_update(record.routes, its_type, gone, secret=False)

    def _listed_types(self, path: str, settings: t.Sequence[SettingChange]) -> set[str]:
        """As what main.cf will still have the map: without it Postfix would defer all mail."""
        changed = {change.name: change.after or "" for change in settings}
        value = changed.get(MAPS, self._instance.values.get(MAPS, ""))
        names = map(parse_table_name, tokens(value))
        return {name.type for name in names if name.path == path}

    def _put_in_force(self, plan: RelayPlan) -> list[str]:
        """main.cf, the reload and the map, in one transaction; returns the paths of backups."""
        instance, record = self._instance, self._record
        main_cf, store = instance.main_cf, instance.store
        backups: list[str] = []
        if record is None:
            return backups
        try:
            with contextlib.ExitStack() as stack:
                stack.callback(main_cf.staging.clean_up)
                main_cf.staging.remove()
                steps: list[Renames] = []
                if plan.settings or plan.main_cf is not None:
                    main_cf.staging.create()
                    steps = [[(path, main_cf.path)] for path in self._stage(plan, main_cf)]
                    if self._request.backup:
                        backups.append(backup_name(main_cf.path))
                        copy = main_cf.staging.write_like(main_cf.read(), main_cf.path)
                        steps = [[(copy, backups[0]), *steps[0]], *steps[1:]]
                of_map = Staged((), None)
                if self._map and plan.map:
                    of_map = stack.enter_context(self._map.staged(plan.map))
                    backups += [of_map.backup] if of_map.backup else []
                of_routes = Staged((), None)
                if self._routes and plan.routes:
                    of_routes = stack.enter_context(self._routes.staged(plan.routes))
                if plan.reload:
                    stack.callback(store.clean_up)
                    store.create()
                    state = record.main_cf.next(
                        main_cf.read(),
                        store.main_cf_before(),
                        *(read_if_there(files[-1][0]) for files in steps),
                    )
                    coming = replace(record, main_cf=state, reload_pending=True)
                    stack.enter_context(in_force(store.stage(coming)))
                    put_in_force_in_steps(
                        stack, instance, steps, pending=record.reload_pending, reload=True
                    )
                stack.enter_context(in_force([*of_map.renames, *of_routes.renames]))
        except BaseException:
            instance.reload_again()
            raise
        return backups

    def _stage(self, plan: RelayPlan, main_cf: MainCf) -> list[SafePath]:
        """main.cf after each step: the routing goes before what the client needs for it."""
        routing, client = in_steps(plan.settings, ())[1:]
        if plan.main_cf is None:
            staged = stage_main_cf(main_cf, Steps((), routing, client))
            return [path for path in staged if path]
        first = stage_main_cf(main_cf, Steps((), routing, ())) if routing and client else []
        return [*(path for path in first if path), main_cf.stage_content(plan.main_cf)]

    def _reachable(self, path: str) -> SafePath | None:
        """The file itself, None if its directory is gone or another user decides where that is."""
        try:
            return self._instance.places.find(path)
        except MissingDirectoryError:
            return None
        except UnsafePathError as exc:
            self._instance.places.warn(f"{exc}: the entries in {path} are left unchanged")
            return None

    def _kept(self, path: str) -> tuple[str, ...]:
        source = self._reachable(path)
        kept = kept_name(source) if source else None
        return (str(kept),) if kept and kept.status() else ()
