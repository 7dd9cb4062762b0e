# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Removing the relay: what it set goes, and what was there before comes back. No I/O.

Byte for byte where nobody else has touched the file since; otherwise setting by setting and entry
by entry, and what somebody has changed stays. main.cf first, then the reload, then the map, which
nothing looks at any more; the record last, so that the next run goes on if this one is killed.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .._postfix._main_cf import split_tokens
from .._postfix._map_plan import plan_map
from .._postfix._password_map import edit, read_map
from .._postfix._programs import TABLE_TYPES
from .._postfix._table_name import parse_table_name
from .._ses._redaction import redact, redact_entry
from ._entries import restore_entries, restore_routes
from ._phases import (
    CleanUp,
    ConfigChange,
    MapChange,
    Phase,
    RecordPlan,
    TransactionPlan,
    order_phases,
    sort_changes,
)
from ._plan import ContentChange, RelayPlan
from ._record import MAIN_CF, MAP, MASTER_CF
from ._settings import (
    MAPS,
    SettingChange,
    restore_setting,
)
from ._transport import restore_services

if t.TYPE_CHECKING:
    from .._postfix._map_plan import MapPlan
    from ._plan import RelayRequest
    from ._record import Record
    from ._snapshot import RelaySnapshot

__all__ = ["plan_removal"]


def plan_removal(request: RelayRequest, now: RelaySnapshot) -> RelayPlan:
    """Compare what was there before with what is there."""
    record = now.record
    clean_up = CleanUp("the relay is taken back, but not all that it needed can be removed")
    if record is None:
        return _plan_without_record(now, clean_up)
    main_cf, settings, warnings = _plan_main_cf(record, now)
    master_cf, about = _plan_master_cf(record, now)
    table, removes, more = _plan_map(record, now, settings)
    routes = _plan_routes(record, now)
    ours = record.map.keys.items() if removes else ()
    gone = tuple(redact_entry(key, f"{username}:PASSWORD").key for key, username in ours)
    after = {change.name: change.after for change in settings}
    reload = bool(settings or main_cf is not None or master_cf or record.reload_pending)
    removes += _list_routes_to_remove(record, now, routes)
    # With the relay goes what a rotation of its key has kept.
    removes += (now.kept_map,) if now.kept_map else ()
    return RelayPlan(
        path=record.map.path,
        table=f"{record.map.type}:{record.map.path}",
        relayhost=redact(after.get("relayhost", now.values.get("relayhost")) or ""),
        settings=tuple(settings),
        main_cf=main_cf,
        master_cf=master_cf,
        map=table,
        routes=routes,
        routes_path=record.routes or "",
        removes=removes,
        entries_removed=table.edit.entries_removed if table else gone,
        was_interrupted=record.is_under_way,
        writes_record=True,
        needs_reload=reload,
        warnings=(*warnings, *about, *more),
        transaction=TransactionPlan(
            maps=tuple(plan for plan in (table, routes) if plan),
            locks=(record.map.path,) if now.map else (),
            phases=(
                *order_phases(
                    _list_phases(settings, main_cf, master_cf, request.backup),
                    reload=reload,
                    pending=record.reload_pending,
                ),
                Phase("the tables", _list_maps(table, routes, request.backup)),
            ),
            record=RecordPlan(record, _begin(record, now) if reload else None, None),
            clean_up=replace(
                clean_up,
                removes=removes,
                left_beside=tuple(filter(None, (record.map.path, record.routes))),
            ),
        ),
    )


def _plan_without_record(now: RelaySnapshot, clean_up: CleanUp) -> RelayPlan:
    relayhost = redact(now.values.get("relayhost", ""))
    warning = (
        f"relayhost is {relayhost}, but there is no record of this module's in"
        f" {now.record_directory}: it was set by somebody else, so it stays as it is"
    )
    return RelayPlan(
        path=now.path,
        table=now.table,
        relayhost=relayhost,
        was_interrupted=now.is_left,
        warnings=(warning,) if "email-smtp" in relayhost else (),
        transaction=TransactionPlan(clean_up, record=RecordPlan(None, None, None)),
    )


def _plan_main_cf(
    record: Record, now: RelaySnapshot
) -> tuple[bytes | None, list[SettingChange], list[str]]:
    """The whole previous main.cf, if it can come back; what changes; and what to warn of."""
    previous = now.kept.get(MAIN_CF)
    if now.main_cf == previous or now.explicit is None:
        return None, [], []
    settings: list[SettingChange] = []
    if previous is not None and record.main_cf.is_ours(now.main_cf, previous):
        settings = [
            SettingChange(name, now.explicit.get(name), setting.before)
            for name, setting in record.settings.items()
            if now.explicit.get(name) != setting.before
        ]
        return previous, settings, []
    warnings = []
    for name, setting in record.settings.items():
        explicit = now.explicit.get(name)
        change, warning = restore_setting(name, setting.before, setting.wrote, explicit)
        settings += [change] if change else []
        warnings += [warning] if warning else []
    return None, settings, warnings


def _plan_master_cf(record: Record, now: RelaySnapshot) -> tuple[ContentChange | None, list[str]]:
    """The whole previous master.cf, if it can come back, else without our services; and warnings."""
    previous = now.kept.get(MASTER_CF)
    if record.master_cf is None or previous is None or now.master_cf in (None, previous):
        return None, []
    services = now.master_cf or b""
    if record.master_cf.is_ours(services, previous):
        return ContentChange(services, previous), []
    restored, warnings = restore_services(record, services)
    return ContentChange(services, restored) if restored != services else None, warnings


def _plan_map(
    record: Record, now: RelaySnapshot, settings: t.Sequence[SettingChange]
) -> tuple[MapPlan | None, tuple[str, ...], list[str]]:
    """What changes in the map, or which files of it go; and what to warn of."""
    path = record.map.path
    if now.map is None:
        return None, now.files.get(path, ()), []
    content = now.map.content
    before = now.kept.get(MAP)
    current = now.map.parse_content()
    previous = None if before is None else read_map(before, now.utf8)
    entries, warnings = restore_entries(record.map.keys, current, previous)
    whole: bytes | None = None
    if content is None or record.map.file.is_ours(content, before):
        whole = before or b""
    elif now.map.source is None:
        whole = edit(current, entries).source
    listed = _find_types(now, path, settings)
    is_needed = before is not None or listed & {record.map.type, "texthash"}
    if not is_needed and whole is not None and not read_map(whole, now.utf8).first:
        stay = {path + TABLE_TYPES[name].suffix for name in listed & TABLE_TYPES.keys()}
        return None, tuple(name for name in now.files.get(path, ()) if name not in stay), []
    table = plan_map(now.map, entries, source=whole)
    # With the table, the source has done its work, if there was none before.
    return table, ((path,) if record.map.only_table and whole is not None else ()), warnings


def _plan_routes(record: Record, now: RelaySnapshot) -> MapPlan | None:
    """How our entries leave the table with the senders' servers, None if it goes with them."""
    if now.routes is None:
        return None
    held = now.routes.parse_content()
    gone, has_others = restore_routes(record, held)
    if not has_others:
        return None
    # People who keep the compiled table alone lose nothing of theirs.
    source = edit(held, gone).source if now.routes.source is None else None
    return plan_map(now.routes, gone, source=source)


def _list_routes_to_remove(
    record: Record, now: RelaySnapshot, routes: MapPlan | None
) -> tuple[str, ...]:
    """The files of the table with the senders' servers that go."""
    if record.routes is None:
        return ()
    if routes is None:
        return now.files.get(record.routes, ())
    # With the compiled table, the source has done its work, if there was none before.
    return (record.routes,) if now.routes and now.routes.source is None else ()


def _find_types(now: RelaySnapshot, path: str, settings: t.Sequence[SettingChange]) -> set[str]:
    """As which types main.cf will still have the map: without it Postfix would defer all mail."""
    changed = {change.name: change.after or "" for change in settings}
    names = map(parse_table_name, split_tokens(changed.get(MAPS, now.values.get(MAPS, ""))))
    return {name.type for name in names if name.path == path}


def _list_phases(
    settings: t.Sequence[SettingChange],
    whole: bytes | None,
    master_cf: ContentChange | None,
    backup: bool,
) -> list[Phase]:
    """The routing goes before what the client needs for it, and its service last of all."""
    _needed, routing, client = sort_changes(settings, ())
    files: list[ConfigChange] = []
    if whole is not None:
        files += [ConfigChange("main.cf", routing)] if routing and client else []
        files += [ConfigChange("main.cf", content=whole)]
    else:
        files += [ConfigChange("main.cf", each) for each in (routing, client) if each]
    if files:
        files[0] = replace(files[0], backup=backup)
    names = ("the routing", "what the client needed") if len(files) > 1 else ("main.cf",)
    phases = [Phase(name, (file,), needs_reload=True) for name, file in zip(names, files)]
    if master_cf:
        service = ConfigChange("master.cf", content=master_cf.after, backup=backup)
        phases.append(Phase("the service", (service,), needs_reload=True))
    return phases


def _list_maps(
    table: MapPlan | None, routes: MapPlan | None, backup: bool
) -> tuple[MapChange, ...]:
    changes = [MapChange(table, backup=backup)] if table and table.replaces else []
    changes += [MapChange(routes)] if routes and routes.replaces else []
    return tuple(changes)


def _begin(record: Record, now: RelaySnapshot) -> Record:
    """The record while main.cf and master.cf are replaced."""
    main_cf = record.main_cf.begin(now.main_cf, now.kept.get(MAIN_CF))
    begun = replace(record, main_cf=main_cf, reload_pending=True)
    if record.master_cf is None:
        return begun
    master_cf = record.master_cf.begin(now.master_cf, now.kept.get(MASTER_CF))
    return replace(begun, master_cf=master_cf)
