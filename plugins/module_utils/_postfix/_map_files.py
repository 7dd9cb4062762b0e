# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The files of a lookup table: reading them, and making their successors beside them.

What is changed about them is decided in _map_plan.py; the caller renames the successors.
"""

from __future__ import annotations

import contextlib
import typing as t

from .._files._obstacles import check_replaceable
from .._files._safe_path import UnsafePathError
from .._files._secret_file import (
    Staging,
    check_lock,
    make_backup_name,
    make_kept_name,
)
from ._main_cf import read_settings
from ._map_plan import MapPlan, MapSnapshot
from ._programs import is_older

if t.TYPE_CHECKING:
    from .._files._attributes import FileAttributes
    from .._files._safe_path import SafePath
    from .._files._safe_walk import Places
    from ._programs import Postfix, TableType

__all__ = ["MapFiles", "StagedMap", "Tools", "make_map"]

_TABLE_SUFFIXES = (".db", ".lmdb", ".cdb", ".pag", ".dir")


class Tools(t.NamedTuple):
    """What works on the files of a host: Postfix's programs, their attributes, the safe paths."""

    postfix: Postfix
    attributes: FileAttributes
    places: Places


class StagedMap(t.NamedTuple):
    """Files that are ready, with the names that they are to get, in this order; and the backup's."""

    renames: tuple[tuple[str, str], ...] = ()
    backup: str | None = None


def make_map(
    postfix: Postfix, plan: MapPlan, for_source: Staging, for_table: Staging
) -> tuple[SafePath, SafePath | None]:
    """Make a map's source and compiled table as planned, and look up in it what it must find.

    Returns their paths. Raises PostfixError.
    """
    table_type = plan.now.type
    content = plan.edit.source
    # postmap works as the owner of the source and gives the table its mode, so for now this
    # is a file of root's, or of whoever runs this.
    staged = for_table.write(content)
    # Written before the table is made, or the table would be older than its source for ever.
    source = staged if for_source is for_table else for_source.write(content)
    table = postfix.compile(table_type, staged) if table_type.suffix else None
    postfix.verify(table_type, staged, plan.expected)
    return source, t.cast("SafePath | None", table)


class MapFiles:
    """The files of the map `path`, whose table is of one type."""

    # Links that only root or the running user can make are followed. Postfix looks for the table
    # beside the name that it is given, so that is where the table is, or a link to it.

    def __init__(self, tools: Tools, path: str, table_type: TableType) -> None:
        self._tools = tools
        self._path = path
        self._type = table_type
        self._source = tools.places.find(path)
        suffix = table_type.suffix
        self._table = tools.places.find(path + suffix) if suffix else None

    @classmethod
    def of(cls, tools: Tools, now: MapSnapshot) -> MapFiles:
        """The files that a snapshot is of."""
        return cls(tools, now.path, now.type)

    def read(self, *, utf8: bool, secret: bool = True, removing: bool = False) -> MapSnapshot:
        """Read all of it. Takes no lock.

        `removing` says that what may not be touched there does not matter: it is left to check().
        Raises SecretFileError for open modes: a mistake of the task comes before one of the file.
        """
        if secret and not removing:
            self._refuse_open_modes()
        source = self._source.read()
        table = self._table
        has_table = older = False
        if table is not None:
            table.note()
            found = table.find_safe() if removing else table.stat()
            has_table = found is not None
            status = self._source.stat() if found and source is not None else None
            older = bool(found and status and is_older(found, status))
        listing = self._list() if has_table else None
        others = () if removing else self._find_other_tables()
        attributes = self._tools.attributes
        places = self._tools.places
        in_use = [] if removing else [self._source, table, *map(places.find, others)]
        return MapSnapshot(
            path=self._path,
            type=self._type,
            utf8=utf8,
            secret=secret,
            source=source,
            has_table=has_table,
            is_older=older,
            listing=None if listing is None else frozenset(listing),
            wrong_attributes=tuple(
                path
                for path in in_use
                if path and path.stat() is not None and attributes.differ(path)
            ),
            other_tables=others,
            is_left_behind=self._is_left_behind(),
        )

    def check(self, plan: MapPlan) -> None:
        """Raise what would keep a run from doing what is planned. Changes nothing.

        Raises SecretFileError for open modes and for files that can't be replaced, PostfixError for
        a type that this Postfix does not have.
        """
        written = self._list_written()
        if plan.now.secret:
            self._refuse_open_modes()
        check_lock(self._source)
        if plan.table_problem:
            self._tools.postfix.check_type(self._type)
        if plan.edit.changes_source or plan.table_problem:
            for path in written:
                check_replaceable(path)
        for staging in self._stagings():
            staging.is_there()

    def repair(self, plan: MapPlan) -> None:
        """Give the files that a plan does not replace the owner, mode and context that they lack.

        Before it replaces the others, so that nothing can fail after that.
        """
        attributes = self._tools.attributes
        replaced = [self._source] if plan.writes_source else []
        replaced += [self._table] if plan.table_problem and self._table else []
        for path in map(self._tools.places.find, plan.wrong_attributes):
            if path in replaced:
                continue
            if path.directory.shared:
                with self._staging_beside(path).link_second_name(path) as second:
                    attributes.repair(path, second)
            else:
                attributes.repair(path)

    @contextlib.contextmanager
    def stage(
        self, plan: MapPlan, backup: bool = False, as_kept: bool = False
    ) -> t.Iterator[StagedMap]:
        """Make what a plan replaces, to be renamed in the body; removes what is left afterwards.

        With `backup`, there is a copy of the source, too: `as_kept` while a rotation is pending, or under
        a name made now.
        The lock must be held.
        """
        stagings = self._stagings()
        try:
            if plan.changed:
                for staging in stagings:
                    staging.remove()
            if plan.replaces:
                for staging in stagings:
                    staging.create()
                yield self._stage(plan, stagings, backup, as_kept)
            else:
                yield StagedMap()
        finally:
            for staging in stagings:
                staging.clean_up()

    def _stage(
        self, plan: MapPlan, stagings: t.Sequence[Staging], backup: bool, as_kept: bool
    ) -> StagedMap:
        attributes = self._tools.attributes
        for_source = stagings[0]
        source, table = make_map(self._tools.postfix, plan, for_source, stagings[-1])
        # The source first: if this process dies before the table follows, the table is older than
        # its source, which Postfix warns of and every postmap puts right. In the reverse order the
        # next postmap, by whomever, would silently bring the old entries back.
        ready: list[tuple[str, str]] = []
        name: str | None = None
        if plan.writes_source:
            if backup and plan.now.source is not None:
                name = make_kept_name(self._source) if as_kept else make_backup_name(self._source)
                ready.append((for_source.write_like(plan.now.source, self._source), name))
            attributes.give(source, self._source)
            ready.append((source, self._source))
        if table and self._table:
            attributes.give(table, self._table)
            ready.append((table, self._table))
        return StagedMap(tuple(ready), name)

    def _find_other_tables(self) -> tuple[str, ...]:
        return tuple(
            self._path + suffix
            for suffix in _TABLE_SUFFIXES
            if suffix != self._type.suffix
            and self._tools.places.find(self._path + suffix).stat() is not None
        )

    def _list_written(self) -> list[SafePath]:
        return [path for path in (self._source, self._table) if path]

    def _refuse_open_modes(self) -> None:
        self._tools.attributes.refuse_open_mode(self._list_written(), self._find_mail_owner)

    def _find_mail_owner(self) -> str:
        return read_settings(self._tools.postfix, ["mail_owner"]).get("mail_owner", "postfix")

    def _is_left_behind(self) -> bool:
        try:
            return any(staging.is_there() for staging in self._stagings())
        except UnsafePathError:
            return True  # which check() says, and the run does

    def _staging_beside(self, path: SafePath) -> Staging:
        """A staging directory in the same directory, of a name that the next run looks for."""
        return next(
            (
                staging
                for staging in self._stagings()
                if staging.directory.directory.path == path.directory.path
            ),
            Staging(path),
        )

    def _stagings(self) -> list[Staging]:
        """Where source and table are made: beside each, so mostly one directory."""
        source = Staging(self._source)
        if self._table is None:
            return [source]
        table = Staging(self._table.get_beside(self._source.name))
        return [source] if table.directory == source.directory else [source, table]

    def _list(self) -> set[bytes] | None:
        """What is in the table, which has the name of its source unless it is a link's target."""
        table, suffix = self._table, self._type.suffix
        path: str = self._path
        if table is not None and table.name.endswith(suffix):
            path = table.get_beside(table.name[: -len(suffix)])
        return self._tools.postfix.list_table(self._type, path)
