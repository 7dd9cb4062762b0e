# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Setting up the relay: what it lacks, and giving it that in one transaction.

The order, so that a process that is killed at any instant leaves a Postfix that delivers, and
enough for the next run to go on: the record of what was there, before a password is on the disk; the
password map, with the keys that are no longer wanted still in it; main.cf and the table with the senders' servers, in the steps
of _relay_steps.py; and only then, when nothing asks for them any more, the old keys go.
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
from .._files._secret_file import (
    SecretFileError,
    backup_name,
    in_force,
    put_in_force,
    read_if_there,
)
from .._postfix._main_cf import tokens
from .._postfix._map_entry import (
    PasswordMapError,
    Wanted,
    fold,
)
from .._postfix._master_cf import overrides
from .._postfix._password_map import read_map
from .._postfix._programs import PostfixError
from .._postfix._rehearsal import rehearse_map
from .._postfix._tls import check_ca_file, system_ca_file
from .._ses._redaction import redact
from ._checks import (
    ALSO_READ,
    check_maps,
    check_overrides,
    check_routes,
    check_routing,
    check_tls_policy,
)
from ._plan import (
    Outcome,
    RelayPlan,
    RelayRequest,
    former_routes,
    routes_taken_back,
    taken_back,
    wanted_entries,
    wanted_routes,
)
from ._record import (
    MapState,
    Ours,
    Record,
)
from ._settings import (
    MAPS,
    NAMES,
    RelayError,
    RelayLogins,
    SettingChange,
    changes,
    given_back,
    predicted,
    wanted_settings,
)
from ._steps import (
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
    from .._postfix._map_update import MapUpdate, Plan
    from ._instance import Instance
    from ._steps import Renames

__all__ = ["RelaySetup"]


class RelaySetup:
    """The relay of one instance as a task asks for it."""

    def __init__(self, request: RelayRequest, instance: Instance) -> None:
        self._request = request
        self._instance = instance
        self._path = instance.map_path(request.path)
        self._type = instance.map_type(request.map_type, self._path)
        self._table = f"{self._type.name}:{self._path}"
        self._routes_path = instance.routes_path(self._path)
        self.ca_file = request.ca_file
        if self.ca_file is None and request.tls_level == "secure":
            self.ca_file = system_ca_file()
        self._settings = wanted_settings(
            request.logins,
            request.senders,
            table=self._table,
            sender_table=f"{self._type.name}:{self._routes_path}",
            tls_level=request.tls_level,
            ca_file=self.ca_file,
        )
        self._read_wanted()
        self._map = self._map_update()
        self._record: Record | None = None
        self._stale: list[Wanted] = []
        self._prove: t.Callable[[], object] = lambda: None

    def plan(self) -> RelayPlan:
        """Compare what is wanted with what is there. Reads only, and takes no lock.

        Raises RelayError, PasswordMapError, PostfixError or SecretFileError if what would be there
        then could not work.
        """
        self._record = self._instance.store.load()
        self._refuse_other_path()
        self._read_wanted()
        settings, values, warnings = self._plan_settings()
        self._stale, more = self._stale_keys()
        self._map = self._map_update(self._stale)
        of_map = self._map.plan()
        routes_update = self._routes_update()
        routes = routes_update.plan() if routes_update else None
        former = self._record.routes if self._record and not routes else None
        self._check(values, thoroughly=bool(settings))
        # Where settings change, what that comes to is only known once they are staged.
        more += [] if settings else self._check_routes(values)
        if settings:
            check_replaceable(self._instance.main_cf.path)
        is_left = self._instance.store.is_left_behind() or self._instance.main_cf.staging.is_there()
        return RelayPlan(
            path=self._path,
            table=self._table,
            relayhost=", ".join(login.destination for login in self._request.logins),
            settings=tuple(settings),
            map=of_map,
            routes=routes,
            routes_path=self._routes_path,
            removes=self._instance.map_files(former),
            entries_removed=of_map.edit.entries_removed,
            interrupted=is_left or bool(self._record and self._record.is_under_way),
            record=bool(self._record and self._record != self._record.finished(self._ours)),
            reload=self._needs_reload(settings, [of_map, routes]),
            warnings=(*warnings, *more, *_other_tables(of_map.other_tables, self._type.name)),
        )

    def apply(self, prove: t.Callable[[], object] = lambda: None) -> Outcome:
        """Plan again with the locks held, and do it.

        `prove` is called once all is in force. If it raises an error, everything is rolled back.
        """
        self._prove = prove
        with self._instance.locked(), self._map.locked(), uninterrupted():
            return until_unchanged(self._instance.places, self._apply)

    def _apply(self) -> Outcome:
        instance = self._instance
        instance.read()
        plan = self.plan()
        backups: list[str] = []
        if plan.changed:
            # The map as it is until nobody asks for the old keys any more.
            of_map = self._map_update(backup=self._request.backup)
            backup = self._request.backup and not of_map.plan().writes_source
            backups += self._put_in_force(plan, of_map)
            problem = "the relay is set up, but what it does not need any more can't be removed"
            errors = (OSError, PasswordMapError, PostfixError, SecretFileError)
            with cleaning_up(instance.places, problem, errors):
                backups += until_unchanged(instance.places, lambda: self._finish(plan, backup))
        return Outcome(plan, instance.reloaded, tuple(backups))

    def rehearse(self, plan: RelayPlan, directory: Directory) -> None:
        """Do what a run would do before it changes anything. Raises what that would."""
        instance = self._instance
        if plan.settings:
            main_cf = instance.main_cf.rehearsed(directory)
            main_cf.staging.create()
            self._staged(plan, main_cf)
        for of_map, wanted in (
            (plan.map, self._wanted),
            (plan.routes, wanted_routes(self._request)),
        ):
            if of_map and (of_map.writes_source or of_map.table_problem):
                rehearse_map(instance.postfix, directory, self._type, wanted)

    # What is wanted

    def _read_wanted(self) -> None:
        """What the map is to have, which depends on the entries that it has."""
        instance, request = self._instance, self._request
        content = instance.map_content(self._path, self._type) or b""
        self._wanted = wanted_entries(request, content, instance.utf8)
        self._ours = Ours(
            map_type=self._type.name,
            keys={entry.key: entry.username for entry in self._wanted},
            settings={setting.name for setting in self._settings},
            routes=self._routes_path if request.senders else None,
        )

    def _map_update(self, stale: t.Iterable[Wanted] = (), backup: bool = False) -> MapUpdate:
        return self._instance.map_update(
            self._path, self._type, [*self._wanted, *stale], backup=backup
        )

    def _routes_update(self) -> MapUpdate | None:
        wanted: list[Wanted] = [*wanted_routes(self._request)]
        stays = bool(wanted)
        if self._record and self._record.routes == self._routes_path:
            content = self._instance.map_content(self._routes_path, self._type) or b""
            utf8 = self._instance.utf8
            gone, has_others = routes_taken_back(self._record, content, utf8, wanted)
            wanted += gone
            stays = stays or has_others
        if not stays:
            return None
        return self._instance.map_update(self._routes_path, self._type, wanted, secret=False)

    # What there is, and what it lacks

    def _refuse_other_path(self) -> None:
        if self._record and self._record.map.path != self._path:
            raise RelayError(
                f"this relay was set up with the password map {self._record.map.path}, and now"
                f" {self._path} is asked for. Take the relay back first (state=absent)"
            )

    def _plan_settings(self) -> tuple[list[SettingChange], dict[str, str], list[str]]:
        """What changes in main.cf, the values afterwards, and what to warn of."""
        instance = self._instance
        recorded = self._record.settings if self._record else {}
        dropped = [name for name in recorded if name not in self._ours.settings]
        if not dropped and all(
            setting.satisfied_by(instance.values.get(setting.name, ""))
            for setting in self._settings
        ):
            return [], instance.values, []
        explicit = instance.main_cf.explicit(())
        found = changes(self._settings, instance.values, explicit)
        warnings = []
        for name in dropped:
            ours = recorded[name]
            change, warning = given_back(name, ours.before, ours.wrote, explicit.get(name))
            found += [change] if change else []
            warnings += [warning] if warning else []
        return found, predicted(self._settings, instance.values, explicit, found), warnings

    def _stale_keys(self) -> tuple[list[Wanted], list[str]]:
        """Our keys of former runs that nobody wants any more, as the map is to have them."""
        if self._record is None:
            return [], []
        utf8 = self._instance.utf8
        asked = {fold(entry.key.encode(), utf8) for entry in self._wanted}
        of_map = self._record.map
        keys = {
            key: username
            for key, username in of_map.keys.items()
            if fold(key.encode(), utf8) not in asked
        }
        if not keys:
            return [], []
        before = self._instance.store.map_before() if of_map.existed else None
        current = read_map(self._instance.read_map(self._path) or b"", utf8)
        return taken_back(keys, current, None if before is None else read_map(before, utf8))

    def _needs_reload(
        self, settings: t.Sequence[SettingChange], plans: t.Iterable[Plan | None]
    ) -> bool:
        """Whether running processes would go on with what they have read."""
        if settings or (self._record and self._record.reload_pending):
            return True
        # The login for a sender's new server has to be known before mail goes there.
        if sum(plan.writes_source for plan in plans if plan) > 1:
            return True
        # Mail that is on its way to a server that nobody wants any more would find no key.
        if any(not entry.present for entry in self._stale):
            return True
        return not self._type.suffix and any(plan.writes_source for plan in plans if plan)

    def _check(self, values: t.Mapping[str, str], thoroughly: bool) -> None:
        """Raise RelayError if mail would not go as asked for with these values."""
        request, postfix = self._request, self._instance.postfix
        logins = [*request.logins, *request.senders]
        check_routing(values, len(request.logins))
        found = overrides(postfix, self._instance.directory, self._ours.settings)
        check_overrides(found, values, self._settings)
        check_maps(postfix, tokens(values.get(MAPS, "")), self._table, logins)
        policies = values.get("smtp_tls_policy_maps", "")
        check_tls_policy(postfix, policies, request.tls_level, logins)
        if self.ca_file:
            check_ca_file(self.ca_file, thoroughly)

    def _check_routes(self, values: t.Mapping[str, str]) -> list[str]:
        """Raise RelayError if mail would not reach the relay with these values; returns warnings."""
        instance, request = self._instance, self._request
        return check_routes(
            instance.postfix,
            instance.directory,
            instance.values,
            values,
            RelayLogins(request.logins, request.senders),
            tls_level=request.tls_level,
            table=self._table,
            sender_table=f"{self._type.name}:{self._routes_path}",
        )

    # Doing it

    def _put_in_force(self, plan: RelayPlan, of_map: MapUpdate) -> list[str]:
        """All that is new, in one transaction; returns the paths of backups."""
        instance = self._instance
        first = self._record is None
        pending = self._record is not None and self._record.reload_pending
        routes = self._routes_update()
        plans = [(update, update.plan()) for update in (of_map, routes) if update]
        for update, its in plans:
            update.repair(its)
        try:
            with contextlib.ExitStack() as stack:
                main_cfs, copies = self._stage_main_cf(plan, stack)
                if plan.settings or any(its.replaces for _update, its in plans) or not first:
                    coming = [path for files in main_cfs for path, _target in files]
                    stack.enter_context(in_force(self._stage_record(plan, of_map, coming, stack)))
                staged = [stack.enter_context(update.staged(its)) for update, its in plans]
                backups = [ready.backup for ready in staged if ready.backup]
                backups += [backup for _copy, backup in copies]
                # The routes are not there without senders.
                routing = [pair for ready in staged[1:] for pair in ready.renames]
                steps = [
                    [*staged[0].renames, *copies, *main_cfs[0]],
                    [*routing, *main_cfs[1]],
                    main_cfs[2],
                ]
                steps = [files for files in steps if files]
                put_in_force_in_steps(stack, instance, steps, pending=pending, reload=plan.reload)
                self._prove()
        except BaseException:
            instance.reload_again()
            raise
        return backups

    def _stage_main_cf(
        self, plan: RelayPlan, stack: contextlib.ExitStack
    ) -> tuple[list[Renames], Renames]:
        """main.cf after each step, to be renamed; and its backup."""
        main_cf = self._instance.main_cf
        stack.callback(main_cf.staging.clean_up)
        main_cf.staging.remove()
        if not plan.settings:
            return [[], [], []], []
        main_cf.staging.create()
        staged = self._staged(plan, main_cf)
        ready: list[Renames] = [[(path, main_cf.path)] if path else [] for path in staged]
        if not self._request.backup:
            return ready, []
        copy = main_cf.staging.write_like(main_cf.read(), main_cf.path)
        return ready, [(copy, backup_name(main_cf.path))]

    def _staged(self, plan: RelayPlan, main_cf: MainCf) -> list[SafePath | None]:
        """main.cf after each step, once the last is sure to have the effect."""
        staged = stage_main_cf(main_cf, in_steps(plan.settings, self._ours.settings))
        last = [path for path in staged if path][-1]
        values = main_cf.staged_settings(last, (*NAMES, *ALSO_READ))
        for setting in self._settings:
            value = values.get(setting.name, "")
            if not setting.satisfied_by(value):
                raise RelayError(
                    f"with these changes {setting.name} would be {redact(value)!r}, and not"
                    f" {setting.value!r}. Look at how main.cf sets it"
                )
        self._check(values, thoroughly=True)
        self._check_routes(values)
        return staged

    def _stage_record(
        self,
        plan: RelayPlan,
        of_map: MapUpdate,
        main_cfs: t.Iterable[str],
        stack: contextlib.ExitStack,
    ) -> Renames:
        """The record with what was there before and what is about to be, ready to be renamed."""
        store = self._instance.store
        now = self._instance.main_cf.read()
        source = of_map.source
        coming = [read_if_there(path) for path in main_cfs] or [now]
        routes = None
        if self._request.senders:
            routes = self._instance.map_content(self._routes_path, self._type)
        before: tuple[bytes, bytes | None] | None = None
        record = self._record
        if record is None:
            main_cf_before, map_before = now, source
            entries = of_map.table_entries() if source is None else source
            before = now, entries
            record = Record(
                MapState(
                    self._path,
                    self._type.name,
                    existed=entries is not None,
                    only_table=source is None and entries is not None,
                )
            )
        else:
            main_cf_before = store.main_cf_before() or b""
            map_before = store.map_before() if record.map.existed else None
        self._record = replace(
            record.begun(
                self._ours,
                plan.settings,
                record.main_cf.next(now, main_cf_before, *coming),
                record.map.file.next(
                    source, map_before, of_map.plan().edit.source, self._map.plan().edit.source
                ),
                former_routes(
                    wanted_routes(self._request),
                    record.map.keys if record.routes else (),
                    routes or b"",
                    self._instance.utf8,
                ),
            ),
            reload_pending=plan.reload,
        )
        stack.callback(store.clean_up)
        store.create()
        return store.stage(self._record, before)

    def _finish(self, plan: RelayPlan, backup: bool) -> list[str]:
        """Take away what nobody asks for any more, and record that this run is over.

        Returns the paths of backups.
        """
        instance = self._instance
        backups = []
        if self._stale:
            update = self._map_update(self._stale, backup=backup)
            with update.staged(update.plan()) as staged:
                put_in_force(staged.renames)
            backups += [staged.backup] if staged.backup else []
        instance.remove_files(plan.removes)
        if self._record is None:
            instance.store.remove()
            return backups
        record = self._record.finished(self._ours)
        of_map = record.map.file.final(self._instance.read_map(self._path))
        main_cf = record.main_cf.final(instance.main_cf.read())
        instance.store.save(replace(record, main_cf=main_cf, map=replace(record.map, file=of_map)))
        return backups


def _other_tables(tables: t.Iterable[str], type_name: str) -> list[str]:
    return [
        f"{table} is a table of another type than {type_name}. It is not kept up to date and may"
        " hold old passwords. Remove it if no setting of Postfix names it"
        for table in tables
    ]
