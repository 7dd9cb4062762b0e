# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What was there before the relay was set up, and what of it is still as we wrote it.

It is kept in the directory `.mailops-ses` beside main.cf, for root alone: `relay.json`, which
holds no password, and the former main.cf and map, byte for byte. relay.json comes last when it is
made and goes first when it is removed, so that where it is, the rest is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import typing as t
from dataclasses import asdict, dataclass, field, replace

from .._files._attempts import (
    cleaning_up,
)
from .._files._safe_path import make_private
from .._files._safe_walk import Places
from .._files._secret_file import (
    Staging,
    put_in_force,
    remove_files,
)
from ._settings import RelayError

if t.TYPE_CHECKING:
    from .._files._safe_path import Directory, SafePath
    from ._settings import SettingChange

__all__ = ["FileState", "MapState", "Ours", "Record", "RecordStore", "RecordedSetting", "digest"]

_FORMAT = 1
_RECORD = "relay.json"
_MAIN_CF = "main.cf.before"
_MAP = "map.before"


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

    `wrote` has the digest of its content; while a run is under way, of the former and the coming
    ones. `whole` says that all of our changes were made to our own content, so that to put the
    former file back loses nothing of anybody else's.
    """

    wrote: tuple[str, ...] = ()
    whole: bool = True

    def is_ours(self, content: bytes | None, before: bytes | None) -> bool:
        """Whether the file, with what was there before us, has no changes of anybody else."""
        return self.whole and (content == before or digest(content) in self.wrote)

    def next(self, content: bytes | None, before: bytes | None, *coming: bytes | None) -> FileState:
        """The state while `content` is replaced by what is `coming`, one after the other."""
        wrote = dict.fromkeys(map(digest, (content, *coming)))
        return FileState(tuple(wrote), self.is_ours(content, before))

    def final(self, content: bytes | None) -> FileState:
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

    `keys` has the user name of each key; `routes` is as in Record.
    """

    map_type: str
    keys: t.Mapping[str, str]
    settings: t.AbstractSet[str]
    routes: str | None


@dataclass(frozen=True)
class Record:
    """All of it. `routes` is the path of the table with the senders' servers, if we have entries in it.

    `former_routes` has the server that a sender of ours had there before.
    """

    map: MapState
    settings: t.Mapping[str, RecordedSetting] = field(default_factory=dict)
    main_cf: FileState = field(default_factory=FileState)
    routes: str | None = None
    former_routes: t.Mapping[str, str] = field(default_factory=dict)
    reload_pending: bool = False

    def begun(
        self,
        ours: Ours,
        changes: t.Sequence[SettingChange],
        main_cf: FileState,
        its_map: FileState,
        former_routes: t.Mapping[str, str],
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
            former_routes={**former_routes, **self.former_routes},
        )

    def finished(self, ours: Ours) -> Record:
        """The record when that is done, but for the state of the files."""
        return replace(
            self,
            map=replace(self.map, type=ours.map_type, keys=ours.keys),
            settings={name: said for name, said in self.settings.items() if name in ours.settings},
            routes=ours.routes,
            former_routes={
                key: server for key, server in self.former_routes.items() if key in ours.keys
            },
            reload_pending=False,
        )

    @property
    def is_under_way(self) -> bool:
        """Whether the run that wrote it did not come to its end."""
        return self.reload_pending or any(
            len(state.wrote) > 1 for state in (self.main_cf, self.map.file)
        )


class RecordStore:
    """The record of the instance whose configuration is in `directory`."""

    def __init__(self, directory: str, places: Places | None = None) -> None:
        # A link in its place is not followed.
        self._place = (places or Places()).directory(directory).file(".mailops-ses")
        self.directory = str(self._place)
        self._inside: Directory | None = None

    def load(self) -> Record | None:
        """The record, None if there is none.

        Raises RelayError if it can't be understood, UnsafePathError if it is not root's.
        """
        path = self._file(_RECORD)
        content = path.read() if path else None
        if content is None:
            return None
        try:
            return _record(json.loads(content.decode()))
        except (ValueError, TypeError, KeyError):
            raise RelayError(
                f"{path} is damaged: what was there before this relay was set up can't be"
                f" told any more. If that does not matter, remove {self.directory}"
            ) from None

    @property
    def staging(self) -> Staging:
        """Where the record is made. The directory must be there."""
        return Staging(self._made(_RECORD))

    def main_cf_before(self) -> bytes | None:
        """The former main.cf."""
        path = self._file(_MAIN_CF)
        return path.read() if path else None

    def map_before(self) -> bytes | None:
        """The former source of the password map, None if there was none."""
        path = self._file(_MAP)
        return path.read() if path else None

    def create(self) -> None:
        """Make the directory, if it is not there, and an empty staging directory in it."""
        where = self._place.directory
        if where.status(self._place.name) is None:
            self._inside = where.make(self._place.name)
        make_private(self._made("").directory.descriptor, 0o700)
        self.staging.remove()
        self.staging.create()

    def stage(
        self, record: Record, before: tuple[bytes, bytes | None] | None = None
    ) -> list[tuple[str, str]]:
        """Write a record; returns what is to be renamed, in this order.

        `before` has the former main.cf and source of the map, when the record is the first one.
        """
        renames: list[tuple[str, str]] = []
        staging = self.staging
        if before is not None:
            main_cf, map_source = before
            renames.append((staging.write(main_cf), self._made(_MAIN_CF)))
            if map_source is not None:
                renames.append((staging.write(map_source), self._made(_MAP)))
        content = json.dumps({"format": _FORMAT, **asdict(record)}, indent=1).encode() + b"\n"
        renames.append((staging.write(content), self._made(_RECORD)))
        return renames

    def save(self, record: Record) -> None:
        """Put a record in force."""
        self.create()
        try:
            put_in_force(self.stage(record))
        finally:
            self.staging.clean_up()

    def is_left_behind(self) -> bool:
        """Whether a killed run has left files here, and perhaps no record."""
        path = self._file(_RECORD)
        return path is not None and (Staging(path).is_there() or path.status() is None)

    def clean_up(self) -> None:
        """Remove what was staged, and the directory if there is no record in it."""
        path = self._file(_RECORD)
        if path is None:
            return
        with cleaning_up(self._place.directory.places, f"{self.directory} can't be cleaned up"):
            Staging(path).remove()
            if not self._made("").directory.names():
                self._remove_directory()

    def remove(self) -> None:
        """Remove the record with all that is in its directory."""
        if self._file(_RECORD) is None:
            return
        self.staging.remove()
        remove_files([self._made(_RECORD)])
        remove_files([self._made(_MAIN_CF), self._made(_MAP)])
        self._remove_directory()

    def _remove_directory(self) -> None:
        self._inside = None
        os.rmdir(self._place.name, dir_fd=self._place.directory.descriptor)
        self._place.directory.sync()

    def _file(self, name: str) -> SafePath | None:
        """The path of one of its files, None if there is no directory."""
        if self._inside is None and self._place.directory.status(self._place.name) is None:
            return None
        return self._made(name)

    def _made(self, name: str) -> SafePath:
        if self._inside is None:
            self._inside = self._place.directory.own(self._place.name)
        return self._inside.file(name)


def _record(said: t.Any) -> Record:
    if said.pop("format") != _FORMAT:
        raise ValueError("another format")
    of_map = said.pop("map")
    return Record(
        map=MapState(**{**of_map, "file": _file_state(of_map["file"])}),
        settings={name: RecordedSetting(**value) for name, value in said.pop("settings").items()},
        main_cf=_file_state(said.pop("main_cf")),
        **said,
    )


def _file_state(said: t.Mapping[str, t.Any]) -> FileState:
    return FileState(tuple(said["wrote"]), said["whole"])
