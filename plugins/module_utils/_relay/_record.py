# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What was there before the relay was set up, and what of it is still as we wrote it.

It is kept in the directory `.mailops-ses` beside main.cf, for root alone: `relay.json`, which
holds no password, and the previous main.cf and map, byte for byte. relay.json comes last when it is
made and goes first when it is removed, so that where it is, the rest is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import typing as t
from dataclasses import asdict, dataclass, field, replace

from .._files._attempts import warn_of_failed_clean_up
from .._files._safe_path import make_private
from .._files._safe_walk import Places
from .._files._secret_file import (
    Staging,
    remove_files,
    replace_files,
)
from ._settings import RelayError

if t.TYPE_CHECKING:
    from .._files._safe_path import Directory, SafePath
    from ._settings import SettingChange

__all__ = [
    "MAIN_CF",
    "MAP",
    "MASTER_CF",
    "FileState",
    "MapState",
    "Ours",
    "Record",
    "RecordStore",
    "RecordedSetting",
    "digest",
]

# That of 0.1.0; a record that says something of master.cf has the next one.
_FORMAT = 1
_WITH_MASTER_CF = 2
_RECORD = "relay.json"
# The name that the format has for `previous_routes`.
_PREVIOUS_ROUTES = "former_routes"
#: The names of the files from before the relay.
MAIN_CF = "main.cf.before"
MASTER_CF = "master.cf.before"
MAP = "map.before"


def digest(content: bytes | None) -> str:
    """The SHA-256 of a file's content, empty for a file that is not there."""
    return "" if content is None else hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class RecordedSetting:
    """A setting's value from before ours, None if main.cf had none, and what we wrote."""

    before: str | None
    wrote: str


@dataclass(frozen=True)
class FileState:
    """A file as we wrote it.

    `wrote` has the digest of its content; while a run is under way, of the previous and the coming
    ones. `whole` says that all of our changes were made to our own content, so that to put the
    previous file back loses nothing of anybody else's.
    """

    wrote: tuple[str, ...] = ()
    whole: bool = True

    def is_ours(self, content: bytes | None, before: bytes | None) -> bool:
        """Whether the file, with what was there before us, has no changes of anybody else."""
        return self.whole and (content == before or digest(content) in self.wrote)

    def begin(
        self, content: bytes | None, before: bytes | None, *coming: bytes | None
    ) -> FileState:
        """The state while `content` is replaced by what is `coming`, one after the other."""
        return FileState((digest(content),), self.is_ours(content, before)).expect(*coming)

    def expect(self, *coming: bytes | None) -> FileState:
        """The same while more is `coming`."""
        return FileState(tuple(dict.fromkeys((*self.wrote, *map(digest, coming)))), self.whole)

    def finish(self, content: bytes | None) -> FileState:
        """The state when that is done. What somebody else has made of it since is not ours."""
        ours = digest(content)
        return FileState((ours if ours in self.wrote else self.wrote[-1],), self.whole)


@dataclass(frozen=True)
class MapState:
    """The password map: the names of our keys, each with the user name that we gave it.

    `existed` says that there was one before. Then `map.before` has its source, or what its table
    held if that was `only_table`, which some people leave without its source.
    """

    path: str
    type: str
    existed: bool
    file: FileState = field(default_factory=FileState)
    keys: t.Mapping[str, str] = field(default_factory=dict)
    only_table: bool = False


@dataclass(frozen=True)
class Ours:
    """What is a relay's own once it is set up: the names of its settings, and its keys.

    `keys` has the user name of each key; `routes` and `services` are as in Record.
    """

    map_type: str
    keys: t.Mapping[str, str]
    settings: t.AbstractSet[str]
    routes: str | None
    services: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """All of it. `routes` is the path of the table with the senders' servers, if we have entries in it.

    `previous_routes` has the server that a sender of ours had there before. `master_cf` is None where
    the relay has changed nothing in master.cf. `services` has the lines of those that are ours there,
    by name; while a run is under way, the former and the coming ones.
    """

    map: MapState
    settings: t.Mapping[str, RecordedSetting] = field(default_factory=dict)
    main_cf: FileState = field(default_factory=FileState)
    routes: str | None = None
    previous_routes: t.Mapping[str, str] = field(default_factory=dict)
    reload_pending: bool = False
    master_cf: FileState | None = None
    services: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def begin(
        self,
        ours: Ours,
        changes: t.Sequence[SettingChange],
        main_cf: FileState,
        its_map: FileState,
        previous_routes: t.Mapping[str, str],
    ) -> Record:
        """The record while a run is under way: what was ours before it still counts."""
        settings = dict(self.settings)
        for change in changes:
            if change.name in ours.settings and change.after is not None:
                known = settings.get(change.name)
                before = known.before if known else change.before
                settings[change.name] = RecordedSetting(before, change.after)
        return replace(
            self,
            map=replace(
                self.map, type=ours.map_type, file=its_map, keys={**self.map.keys, **ours.keys}
            ),
            settings=settings,
            main_cf=main_cf,
            routes=ours.routes or self.routes,
            previous_routes={**previous_routes, **self.previous_routes},
        )

    def finish(self, ours: Ours) -> Record:
        """The record when that is done, but for the state of the files."""
        return replace(
            self,
            map=replace(self.map, type=ours.map_type, keys=ours.keys),
            settings={name: said for name, said in self.settings.items() if name in ours.settings},
            routes=ours.routes,
            previous_routes={
                key: server for key, server in self.previous_routes.items() if key in ours.keys
            },
            reload_pending=False,
            master_cf=self.master_cf if ours.services else None,
            services=ours.services,
        )

    def list_states(self) -> list[tuple[str, FileState]]:
        """The files whose content is recorded, each by its name."""
        found = [("main.cf", self.main_cf), ("map", self.map.file)]
        return [*found, ("master.cf", self.master_cf)] if self.master_cf else found

    def with_states(self, states: t.Mapping[str, FileState]) -> Record:
        """The same record with other states of these files."""
        return replace(
            self,
            main_cf=states.get("main.cf", self.main_cf),
            master_cf=states.get("master.cf", self.master_cf) if self.master_cf else None,
            map=replace(self.map, file=states.get("map", self.map.file)),
        )

    @property
    def is_under_way(self) -> bool:
        """Whether the run that wrote it did not come to its end."""
        return self.reload_pending or any(
            len(state.wrote) > 1 for _name, state in self.list_states()
        )


class RecordStore:
    """The record of the instance whose configuration is in `directory`."""

    def __init__(self, directory: str, places: Places | None = None) -> None:
        # A link in its place is not followed.
        self._place = (places or Places()).open_directory(directory).get_path(".mailops-ses")
        self.directory = str(self._place)
        self._inside: Directory | None = None

    def load(self) -> Record | None:
        """The record, None if there is none.

        Raises RelayError if it can't be understood, or is of a newer version of this collection;
        UnsafePathError if it is not root's.
        """
        path = self._file(_RECORD)
        content = path.read() if path else None
        if path is None or content is None:
            return None
        try:
            said = json.loads(content.decode())
            number = int(said["format"])
            if number <= _WITH_MASTER_CF:
                return _parse_record(said)
        except (ValueError, TypeError, KeyError):
            raise RelayError(
                f"{path} is damaged: what was there before this relay was set up can't be"
                f" told any more. If that does not matter, remove {self.directory}"
            ) from None
        raise RelayError(
            f"{path} has the format {number}, and this version of mailops.ses knows none above"
            f" {_WITH_MASTER_CF}: a newer version has set up this relay. Run the task with that"
            " version or a later one. Nothing was changed"
        )

    @property
    def staging(self) -> Staging:
        """Where the record is made. The directory must be there."""
        return Staging(self._made(_RECORD))

    def read_kept(self, name: str) -> bytes | None:
        """A file from before the relay, None if there was none."""
        path = self._file(name)
        return path.read() if path else None

    def create(self) -> None:
        """Make the directory, if it is not there, and an empty staging directory in it."""
        where = self._place.directory
        if where.stat(self._place.name) is None:
            self._inside = where.make(self._place.name)
        make_private(self._made("").directory.descriptor, 0o700)
        self.staging.remove()
        self.staging.create()

    def stage(self, record: Record, keeps: t.Mapping[str, bytes]) -> list[tuple[str, str]]:
        """Write a record; returns what is to be renamed, in this order.

        `keeps` has the files from before the relay that are not kept yet, by their names here.
        """
        staging = self.staging
        renames: list[tuple[str, str]] = [
            (staging.write(content), self._made(name)) for name, content in keeps.items()
        ]
        content = json.dumps(_format_record(record), indent=1).encode() + b"\n"
        renames.append((staging.write(content), self._made(_RECORD)))
        return renames

    def save(self, record: Record) -> None:
        """Make a record the active one."""
        self.create()
        try:
            replace_files(self.stage(record, {}))
        finally:
            self.staging.clean_up()

    def is_left_behind(self) -> bool:
        """Whether a killed run has left files here, and perhaps no record."""
        path = self._file(_RECORD)
        return path is not None and (Staging(path).is_there() or path.stat() is None)

    def clean_up(self) -> None:
        """Remove what was staged, and the directory if there is no record in it."""
        path = self._file(_RECORD)
        if path is None:
            return
        with warn_of_failed_clean_up(
            self._place.directory.places, f"{self.directory} can't be cleaned up"
        ):
            Staging(path).remove()
            if not self._made("").directory.list_names():
                self._remove_directory()

    def remove(self) -> None:
        """Remove the record with all that is in its directory."""
        if self._file(_RECORD) is None:
            return
        self.staging.remove()
        remove_files([self._made(_RECORD)])
        remove_files([self._made(name) for name in (MAIN_CF, MASTER_CF, MAP)])
        self._remove_directory()

    def _remove_directory(self) -> None:
        self._inside = None
        os.rmdir(self._place.name, dir_fd=self._place.directory.descriptor)
        self._place.directory.sync()

    def _file(self, name: str) -> SafePath | None:
        """The path of one of its files, None if there is no directory."""
        if self._inside is None and self._place.directory.stat(self._place.name) is None:
            return None
        return self._made(name)

    def _made(self, name: str) -> SafePath:
        if self._inside is None:
            self._inside = self._place.directory.open_own(self._place.name)
        return self._inside.get_path(name)


def _format_record(record: Record) -> dict[str, t.Any]:
    said = asdict(record)
    said[_PREVIOUS_ROUTES] = said.pop("previous_routes")
    if record.master_cf is None:
        del said["master_cf"], said["services"]
    return {"format": _WITH_MASTER_CF if record.master_cf else _FORMAT, **said}


def _parse_record(said: t.Any) -> Record:
    if said.pop("format") not in (_FORMAT, _WITH_MASTER_CF):
        raise ValueError("another format")
    its_map = said.pop("map")
    master_cf = said.pop("master_cf", None)
    services = said.pop("services", {})
    return Record(
        map=MapState(**{**its_map, "file": _parse_state(its_map["file"])}),
        settings={name: RecordedSetting(**value) for name, value in said.pop("settings").items()},
        main_cf=_parse_state(said.pop("main_cf")),
        previous_routes=said.pop(_PREVIOUS_ROUTES, {}),
        master_cf=None if master_cf is None else _parse_state(master_cf),
        services={name: tuple(lines) for name, lines in services.items()},
        **said,
    )


def _parse_state(said: t.Mapping[str, t.Any]) -> FileState:
    return FileState(tuple(said["wrote"]), said["whole"])
