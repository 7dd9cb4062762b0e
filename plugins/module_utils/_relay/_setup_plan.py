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

from .._postfix._login_keys import SENDERS_OWN
from .._postfix._map_entry import fold
from .._postfix._map_plan import plan_map
from .._postfix._master_cf import parse_services
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
from ._plan import ContentChange, RelayPlan
from ._record import MAIN_CF, MAP, MASTER_CF, FileState, MapState, Ours, Record
from ._settings import (
    RelayError,
    find_dropped,
    lacks_setting,
    plan_settings,
    predict_values,
    restore_setting,
)
from ._transport import plan_service

if t.TYPE_CHECKING:
    from .._postfix._map_entry import RequestedEntry
    from .._postfix._map_plan import MapPlan, MapSnapshot
    from .._postfix._own_client import OwnClient
    from .._postfix._password_map import PasswordMap
    from ._plan import RelayRequest
    from ._settings import SettingChange
    from ._snapshot import RelaySnapshot
    from ._transport import ServicePlan

__all__ = ["plan_setup"]


@dataclass(frozen=True)
class _MapPlans:
    """The password map while `stale` entries are still in it, and once they have left it."""

    first: MapPlan
    last: MapPlan
    stale: tuple[RequestedEntry, ...]
    entries: tuple[RequestedEntry, ...]


@dataclass(frozen=True)
class _Changes:
    """What changes in main.cf, master.cf, the password map, and the table with senders' servers."""

    settings: tuple[SettingChange, ...]
    service: ServicePlan
    maps: _MapPlans
    routes: MapPlan | None


def plan_setup(request: RelayRequest, now: RelaySnapshot) -> RelayPlan:
    """Compare what a task requests with what is there.

    Raises RelayError or PasswordMapError if what would be there then could not work.
    """
    record = now.record
    if record and record.map.path != now.path:
        raise RelayError(
            f"this relay was set up with the password map {record.map.path}, and now"
            f" {now.path} is requested. Take the relay back first (state=absent)"
        )
    settings, values, warnings = _plan_settings(now)
    service = plan_service(
        now.client, _keep_senders(now), now.master_cf, record, now.kept.get(MASTER_CF)
    )
    maps, more = _plan_map(request, now)
    ours = Ours(
        map_type=now.type.name,
        keys={entry.key: entry.username for entry in maps.entries},
        settings={setting.name for setting in now.settings},
        routes=now.routes_path if request.senders else None,
        services=service.finished,
    )
    routes = _plan_routes(request, now)
    previous = record.routes if record and not routes else None
    removes = now.files.get(previous, ()) if previous else ()
    changes = _Changes(tuple(settings), service, maps, routes)
    is_changing = service.last is not None and service.last != now.master_cf
    reload = is_changing or _needs_reload(now, changes)
    return RelayPlan(
        path=now.path,
        table=now.table,
        relayhost=", ".join(login.destination for login in request.logins),
        settings=tuple(settings),
        values=values,
        master_cf=ContentChange(now.master_cf or b"", service.last or b"") if is_changing else None,
        map=maps.last,
        routes=routes,
        routes_path=now.routes_path,
        removes=removes,
        entries_removed=maps.last.edit.entries_removed,
        was_interrupted=now.is_left or bool(record and record.is_under_way),
        writes_record=bool(record and record != record.finish(ours)),
        needs_reload=reload,
        warnings=(*warnings, *service.warnings, *more, *maps.last.describe_other_tables()),
        transaction=TransactionPlan(
            maps=tuple(each for each in (maps.first, routes) if each),
            locks=(now.path,),
            phases=order_phases(
                _list_phases(request, now, ours, changes, reload=reload),
                reload=reload,
                pending=bool(record and record.reload_pending),
            ),
            record=_plan_record(request, now, ours, changes, reload=reload),
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
    now: RelaySnapshot, entries: t.Iterable[RequestedEntry], current: PasswordMap
) -> tuple[list[RequestedEntry], list[str]]:
    """How our entries of earlier runs that nobody requests any more leave the map."""
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
    entries: list[RequestedEntry] = [*list_routes(request)]
    stays = bool(entries)
    if now.record and now.record.routes == now.routes_path:
        gone, has_others = restore_routes(now.record, now.routes.parse_content(), entries)
        entries += gone
        stays = stays or has_others
    return plan_map(now.routes, entries) if stays else None


def _needs_reload(now: RelaySnapshot, changes: _Changes) -> bool:
    """Whether running processes would go on with what they have read."""
    maps, routes = changes.maps, changes.routes
    if changes.settings or (now.record and now.record.reload_pending):
        return True
    writes = [plan.writes_source for plan in (maps.last, routes) if plan]
    # The login for a sender's new server has to be known before mail goes there.
    if sum(writes) > 1:
        return True
    # Mail that is on its way to a server that nobody requests any more would find no entry.
    if any(not entry.present for entry in maps.stale):
        return True
    return not now.type.suffix and any(writes)


def _keep_senders(now: RelaySnapshot) -> OwnClient | None:
    """The client with the look-up of senders that it has now, while mail is still on its way."""
    if now.client is None or now.client.settings[SENDERS_OWN] == "yes":
        return now.client
    there = parse_services((now.master_cf or b"").decode(errors="surrogateescape"))
    service = there.get(now.client.path)
    own = service.overrides.get(SENDERS_OWN) if service else None
    if own is None or own.value != "yes":
        return now.client
    return replace(now.client, settings={**now.client.settings, SENDERS_OWN: "yes"})


def _list_phases(
    request: RelayRequest,
    now: RelaySnapshot,
    ours: Ours,
    changes: _Changes,
    *,
    reload: bool,
) -> list[Phase]:
    needed, routing, rest = sort_changes(changes.settings, ours.settings)
    first, service = changes.maps.first, changes.service
    phases: list[Phase] = []
    backup = request.backup
    services = now.master_cf
    for name, table, settings, master_cf in (
        ("what the client needs", first, needed, service.first),
        ("the routing", changes.routes, routing, None),
        ("what the client does not need any more", None, rest, service.last),
    ):
        files: list[MapChange | ConfigChange] = []
        if table and table.replaces:
            files.append(MapChange(table, backup=request.backup and table is first))
        if master_cf is not None and master_cf != services:
            is_first = services == now.master_cf
            services = master_cf
            change = ConfigChange("master.cf", content=services, backup=request.backup and is_first)
            files.append(change)
        if settings:
            files.append(ConfigChange("main.cf", settings, backup=backup))
            backup = False
        phases.append(Phase(name, tuple(files), reload))
    return phases


def _plan_record(
    request: RelayRequest,
    now: RelaySnapshot,
    ours: Ours,
    changes: _Changes,
    *,
    reload: bool,
) -> RecordPlan:
    """The record with what was there before and what is about to be, and that once it is."""
    record, table = now.record, t.cast("MapSnapshot", now.map)
    settings, service, maps = changes.settings, changes.service, changes.maps
    replaces = any(plan.replaces for plan in (maps.first, changes.routes) if plan)
    if record is None and not settings and not replaces and not service.finished:
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
    if service.services:
        if record.master_cf is None:
            keeps[MASTER_CF] = now.master_cf or b""
        state = record.master_cf or FileState()
        previous = now.kept.get(MASTER_CF) if record.master_cf else now.master_cf
        state = state.begin(now.master_cf, previous, service.first, service.last)
        begun = replace(begun, master_cf=state, services=service.services)
    return RecordPlan(now.record, replace(begun, reload_pending=reload), begun.finish(ours), keeps)
