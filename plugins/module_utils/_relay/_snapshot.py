# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""All that a set-up or a removal reads of a host, once, frozen: the planners look at nothing else."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._files._safe_path import UnsafePathError
from .._files._safe_walk import MissingDirectoryError
from .._files._secret_file import make_kept_name
from .._postfix._programs import TABLE_TYPES
from ._record import MAIN_CF, MAP, MASTER_CF
from ._settings import (
    find_dropped,
    lacks_setting,
    list_client,
    list_settings,
    list_unless_older,
)
from ._transport import SHARED, list_transports

if t.TYPE_CHECKING:
    from .._files._safe_path import SafePath
    from .._postfix._map_plan import MapSnapshot
    from .._postfix._own_client import OwnClient
    from .._postfix._programs import TableType
    from ._instance import Instance
    from ._plan import RelayRequest
    from ._record import Record
    from ._settings import Setting

__all__ = ["RelaySnapshot", "read_for_removal", "read_for_setup"]


@dataclass(frozen=True)
class RelaySnapshot:
    """What there is of a relay.

    `values` are the effective settings; `explicit` those that main.cf itself has, None if nobody
    asks for them; `settings` those that the relay needs, `client` the service of master.cf, if SES
    has one of its own. `kept` has the files from before the relay, by the names of the record's files.
    `path` and `type` are the password map's, `routes_path` is the table with the senders' servers.
    `map` is None where its directory is gone, or another user decides where that is; `routes` is
    also None where the relay has nothing to do with it. `files` has those of both, by the path of
    each source; `kept_map` is the backup of a pending rotation. `is_left` says that a killed run
    has left files beside main.cf or the record.
    """

    directory: str
    record_directory: str
    values: t.Mapping[str, str]
    path: str
    type: TableType
    routes_path: str
    main_cf: bytes = field(repr=False)
    master_cf: bytes | None = field(default=None, repr=False)
    utf8: bool = True
    explicit: t.Mapping[str, str] | None = None
    settings: tuple[Setting, ...] = ()
    client: OwnClient | None = None
    record: Record | None = None
    kept: t.Mapping[str, bytes | None] = field(default_factory=dict, repr=False)
    map: MapSnapshot | None = None
    routes: MapSnapshot | None = None
    files: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kept_map: str | None = None
    is_left: bool = False

    @property
    def table(self) -> str:
        """The password map as smtp_sasl_password_maps names it."""
        return f"{self.type.name}:{self.path}"


def read_for_setup(instance: Instance, request: RelayRequest) -> RelaySnapshot:
    """Read what a set-up depends on. Writes nothing, and takes no lock.

    Raises RelayError for a path that main.cf can't name and for servers that can't be had at once;
    and what the files and Postfix's programs raise.
    """
    path = instance.find_map_path(request.path)
    its_type = instance.find_map_type(request.map_type, path)
    routes_path = instance.make_routes_path(path)
    record = instance.store.load()
    recorded = record.settings if record else {}
    is_shared = request.transport == SHARED
    settings = list_settings(
        request.logins,
        request.senders,
        table=f"{its_type.name}:{path}",
        sender_table=f"{its_type.name}:{routes_path}",
        tls_level=request.tls_level,
        ca_file=request.ca_file,
        is_shared=is_shared,
    )
    settings += list_unless_older(instance.values) if is_shared else []
    main_cf, master_cf = instance.main_cf.read(), instance.master_cf.read()
    settings += list_transports(request.transport, instance.values, recorded, master_cf)
    explicit = None
    if find_dropped(settings, recorded) or lacks_setting(settings, instance.values):
        explicit = instance.main_cf.read_explicit(())
    has_routes = bool(request.senders or (record and record.routes == routes_path))
    previous = record.routes if record else None
    return RelaySnapshot(
        directory=instance.directory,
        record_directory=instance.store.directory,
        values=instance.values,
        path=path,
        type=its_type,
        routes_path=routes_path,
        main_cf=main_cf,
        master_cf=master_cf,
        utf8=instance.utf8,
        explicit=explicit,
        settings=tuple(settings),
        client=None
        if is_shared
        else list_client(
            request.transport,
            request.logins,
            request.senders,
            instance.values,
            table=f"{its_type.name}:{path}",
            tls_level=request.tls_level,
            ca_file=request.ca_file,
        ),
        record=record,
        kept=_read_kept(instance, record),
        map=instance.open_map(path, its_type).read(utf8=instance.utf8),
        routes=(
            instance.open_map(routes_path, its_type).read(utf8=instance.utf8, secret=False)
            if has_routes
            else None
        ),
        files={previous: instance.list_files(previous)} if previous else {},
        is_left=instance.is_left_behind(),
    )


def read_for_removal(instance: Instance, request: RelayRequest) -> RelaySnapshot:
    """Read what a removal depends on. Writes nothing, and takes no lock.

    Of files that are unsafe to read, it says so, and they count as not there.
    """
    record = instance.store.load()
    if record is None:
        path = instance.find_map_path(request.path)
        its_type = instance.find_map_type(request.map_type, path)
    else:
        path, its_type = record.map.path, TABLE_TYPES[record.map.type]
    main_cf = instance.main_cf.read()
    kept = _read_kept(instance, record)
    maps: dict[str, MapSnapshot] = {}
    files: dict[str, tuple[str, ...]] = {}
    kept_map = None
    if record is not None:
        for name in filter(None, (path, record.routes)):
            source = _find_reachable(instance, name)
            if source is not None:
                maps[name] = instance.open_map(name, its_type).read(
                    utf8=instance.utf8, secret=name == path, removing=True
                )
                if name == path and make_kept_name(source).stat():
                    kept_map = str(make_kept_name(source))
            files[name] = instance.list_files(name)
    return RelaySnapshot(
        directory=instance.directory,
        record_directory=instance.store.directory,
        values=instance.values,
        path=path,
        type=its_type,
        routes_path=(record.routes if record else None) or "",
        main_cf=main_cf,
        master_cf=instance.master_cf.read(),
        utf8=instance.utf8,
        explicit=instance.main_cf.read_explicit(())
        if record and main_cf != kept[MAIN_CF]
        else None,
        record=record,
        kept=kept,
        map=maps.get(path),
        routes=maps.get(record.routes) if record and record.routes else None,
        files=files,
        kept_map=kept_map,
        is_left=instance.is_left_behind(),
    )


def _read_kept(instance: Instance, record: Record | None) -> dict[str, bytes | None]:
    if record is None:
        return {}
    names = [MAIN_CF]
    names += [MAP] if record.map.existed else []
    names += [MASTER_CF] if record.master_cf else []
    return {name: instance.store.read_kept(name) for name in names}


def _find_reachable(instance: Instance, path: str) -> SafePath | None:
    """The file itself, None if its directory is gone or another user decides where that is."""
    try:
        return instance.places.find(path)
    except MissingDirectoryError:
        return None
    except UnsafePathError as exc:
        instance.places.warn(f"{exc}: the entries in {path} are left unchanged")
        return None
