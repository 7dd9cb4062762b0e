# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Setting up the relay: what it lacks, and in which order it gets it. No I/O.

The order, so that a process that is killed at any instant leaves a Postfix that delivers, and
enough for the next run to go on: the record of what was there before, before a password is on the
disk; the password map, with the entries that are no longer requested still in it; main.cf and the
table with the senders' servers, in the phases of _phases.py; and only then, when nothing looks for
them any more, the old entries go.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._postfix._map_entry import fold
from .._postfix._map_plan import plan_map
from .._postfix._password_map import read_map
from ._entries import (
    find_previous_routes,
    list_entries,
    list_routes,
    restore_entries,
    restore_routes,
)
from ._phases import (
    CleanUp,
    ConfigChange,
    MapChange,
    Phase,
    RecordPlan,
    StaleEntries,
    TransactionPlan,
    order_phases,
    sort_changes,
)
from ._plan import RelayPlan
from ._record import MAIN_CF, MAP, FileState, MapState, Ours, Record
from ._settings import (
    RelayError,
    find_dropped,
    lacks_setting,
    plan_settings,
    predict_values,
    restore_setting,
)

if t.TYPE_CHECKING:
    from .._postfix._map_entry import Wanted
    from .._postfix._map_plan import MapPlan, MapSnapshot
    from .._postfix._password_map import PasswordMap
    from ._plan import RelayRequest
    from ._settings import SettingChange
    from ._snapshot import RelaySnapshot

__all__ = ["plan_setup"]


@dataclass(frozen=True)
class _MapPlans:
    """The password map while `stale` entries are still in it, and once they have left it."""

    first: MapPlan
    last: MapPlan
    stale: tuple[Wanted, ...]
    entries: tuple[Wanted, ...]


def plan_setup(request: RelayRequest, now: RelaySnapshot) -> RelayPlan:
    """Compare what a task requests with what is there.

    Raises RelayError or PasswordMapError if what would be there then could not work.
    """
    record = now.record
    if record and record.map.path != now.path:
        raise RelayError(
            f"this relay was set up with the password map {record.map.path}, and now"
            f" {now.path} is asked for. Take the relay back first (state=absent)"
        )
    settings, values, warnings = _plan_settings(now)
    maps, more = _plan_map(request, now)
    ours = Ours(
        map_type=now.type.name,
        keys={entry.key: entry.username for entry in maps.entries},
        settings={setting.name for setting in now.settings},
        routes=now.routes_path if request.senders else None,
    )
    routes = _plan_routes(request, now)
    former = record.routes if record and not routes else None
    removes = now.files.get(former, ()) if former else ()
    reload = _needs_reload(now, settings, maps, routes)
    return RelayPlan(
        path=now.path,
        table=now.table,
        relayhost=", ".join(login.destination for login in request.logins),
        settings=tuple(settings),
        values=values,
        map=maps.last,
        routes=routes,
        routes_path=now.routes_path,
        removes=removes,
        entries_removed=maps.last.edit.entries_removed,
        interrupted=now.is_left or bool(record and record.is_under_way),
        record=bool(record and record != record.finish(ours)),
        reload=reload,
        warnings=(*warnings, *more, *maps.last.describe_other_tables()),
        transaction=TransactionPlan(
            maps=tuple(each for each in (maps.first, routes) if each),
            locks=(now.path,),
            phases=order_phases(
                _list_phases(request, settings, ours, maps.first, routes, reload=reload),
                reload=reload,
                pending=bool(record and record.reload_pending),
            ),
            record=_plan_record(
                request,
                now,
                ours,
                settings,
                maps,
                replaces=any(plan.replaces for plan in (maps.first, routes) if plan),
                reload=reload,
            ),
            repairs=True,
            clean_up=CleanUp(
                "the relay is set up, but what it does not need any more can't be removed",
                stale=(
                    StaleEntries(
                        maps.first,
                        maps.stale,
                        backup=request.backup and not maps.first.writes_source,
                    )
                    if maps.stale
                    else None
                ),
                removes=removes,
            ),
        ),
    )


def _plan_settings(
    now: RelaySnapshot,
) -> tuple[list[SettingChange], t.Mapping[str, str], list[str]]:
    """What changes in main.cf, the values afterwards, and what to warn of."""
    recorded = now.record.settings if now.record else {}
    dropped = find_dropped(now.settings, recorded)
    if now.explicit is None or not (dropped or lacks_setting(now.settings, now.values)):
        return [], now.values, []
    found = plan_settings(now.settings, now.values, now.explicit)
    warnings = []
    for name in dropped:
        ours = recorded[name]
        change, warning = restore_setting(name, ours.before, ours.wrote, now.explicit.get(name))
        found += [change] if change else []
        warnings += [warning] if warning else []
    return found, predict_values(now.settings, now.values, now.explicit, found), warnings


def _plan_map(request: RelayRequest, now: RelaySnapshot) -> tuple[_MapPlans, list[str]]:
    """What changes in the password map, and what to warn of."""
    table = t.cast("MapSnapshot", now.map)
    current = table.parse()
    entries = list_entries(request, current if table.source is not None else table.parse_content())
    stale, warnings = _find_stale(now, entries, current)
    last = plan_map(table, [*entries, *stale], current=current)
    first = plan_map(table, entries, current=current) if stale else last
    return _MapPlans(first, last, tuple(stale), tuple(entries)), warnings


def _find_stale(
    now: RelaySnapshot, entries: t.Iterable[Wanted], current: PasswordMap
) -> tuple[list[Wanted], list[str]]:
    """How our entries of former runs that nobody requests any more leave the map."""
    if now.record is None:
        return [], []
    requested = {fold(entry.key.encode(), now.utf8) for entry in entries}
    keys = {
        key: username
        for key, username in now.record.map.keys.items()
        if fold(key.encode(), now.utf8) not in requested
    }
    if not keys:
        return [], []
    previous = now.kept.get(MAP)
    return restore_entries(
        keys, current, None if previous is None else read_map(previous, now.utf8)
    )


def _plan_routes(request: RelayRequest, now: RelaySnapshot) -> MapPlan | None:
    """What changes in the table with the senders' servers, None if it is not to be there."""
    if now.routes is None:
        return None
    entries: list[Wanted] = [*list_routes(request)]
    stays = bool(entries)
    if now.record and now.record.routes == now.routes_path:
        gone, has_others = restore_routes(now.record, now.routes.parse_content(), entries)
        entries += gone
        stays = stays or has_others
    return plan_map(now.routes, entries) if stays else None


def _needs_reload(
    now: RelaySnapshot,
    settings: t.Sequence[SettingChange],
    maps: _MapPlans,
    routes: MapPlan | None,
) -> bool:
    """Whether running processes would go on with what they have read."""
    if settings or (now.record and now.record.reload_pending):
        return True
    writes = [plan.writes_source for plan in (maps.last, routes) if plan]
    # The login for a sender's new server has to be known before mail goes there.
    if sum(writes) > 1:
        return True
    # Mail that is on its way to a server that nobody requests any more would find no entry.
    if any(not entry.present for entry in maps.stale):
        return True
    return not now.type.suffix and any(writes)


def _list_phases(
    request: RelayRequest,
    settings: t.Sequence[SettingChange],
    ours: Ours,
    first: MapPlan,
    routes: MapPlan | None,
    *,
    reload: bool,
) -> list[Phase]:
    needed, routing, rest = sort_changes(settings, ours.settings)
    phases: list[Phase] = []
    backup = request.backup
    for name, table, changes in (
        ("what the client needs", first, needed),
        ("the routing", routes, routing),
        ("what the client does not need any more", None, rest),
    ):
        files: list[MapChange | ConfigChange] = []
        if table and table.replaces:
            files.append(MapChange(table, backup=request.backup and table is first))
        if changes:
            files.append(ConfigChange("main.cf", changes, backup=backup))
            backup = False
        phases.append(Phase(name, tuple(files), reload))
    return phases


def _plan_record(
    request: RelayRequest,
    now: RelaySnapshot,
    ours: Ours,
    settings: t.Sequence[SettingChange],
    maps: _MapPlans,
    *,
    replaces: bool,
    reload: bool,
) -> RecordPlan:
    """The record with what was there before and what is about to be, and that once it is."""
    record, table = now.record, t.cast("MapSnapshot", now.map)
    if record is None and not settings and not replaces:
        return RecordPlan(None, None, None)
    keeps: dict[str, bytes] = {}
    if record is None:
        held = table.content
        keeps[MAIN_CF] = now.main_cf
        keeps.update({} if held is None else {MAP: held})
        map_previous = table.source
        main_cf = FileState().begin(now.main_cf, now.main_cf)
        record = Record(
            MapState(
                now.path,
                now.type.name,
                existed=held is not None,
                only_table=table.source is None and held is not None,
            )
        )
    else:
        map_previous = now.kept.get(MAP)
        main_cf = record.main_cf.begin(now.main_cf, now.kept.get(MAIN_CF) or b"")
    map_file = record.map.file.begin(
        table.source, map_previous, maps.first.edit.source, maps.last.edit.source
    )
    previous_routes: t.Mapping[str, str] = {}
    if request.senders and now.routes:
        previous_routes = find_previous_routes(
            list_routes(request),
            record.map.keys if record.routes else (),
            now.routes.parse_content(),
        )
    begun = record.begin(ours, settings, main_cf, map_file, previous_routes)
    return RecordPlan(now.record, replace(begun, reload_pending=reload), begun.finish(ours), keeps)
