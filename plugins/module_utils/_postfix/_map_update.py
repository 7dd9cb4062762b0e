# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""A password map and its compiled table: what they lack, and giving it to them."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t
from dataclasses import dataclass

from .._files._attempts import (
    uninterrupted,
    until_unchanged,
)
from .._files._obstacles import check_replaceable
from .._files._safe_walk import Places
from .._files._secret_file import (
    Staging,
    backup_name,
    check_lock,
    locked,
    put_in_force,
)
from ._main_cf import read_settings
from ._map_entry import (
    PasswordMapError,
    Wanted,
    fold,
)
from ._password_map import (
    Edit,
    PasswordMap,
    edit,
    read_map,
    replaced,
)
from ._programs import (
    TABLE_TYPES,
    TableType,
    is_older,
)

if t.TYPE_CHECKING:
    from .._files._attributes import FileAttributes
    from .._files._safe_path import SafePath
    from ._programs import Postfix

__all__ = ["MapRequest", "MapUpdate", "Plan", "Staged", "source_path", "table_type"]

# A run with 100,000 entries holds the lock for about a second.
_LOCK_SECONDS = 120.0
# What Postfix surely takes as it stands.
_PLAIN = re.compile(rb"[\w@\[\]:.-]+\Z")
_TABLE_SUFFIXES = (".db", ".lmdb", ".cdb", ".pag", ".dir")


@dataclass(frozen=True)
class MapRequest:
    """What a task wants of the map `path`. `utf8` is the instance's `smtputf8_enable`.

    With `source`, that is what the map's source is to be, and nothing else is looked at. `secret`
    says that the map's values are logins. `backup_as` is the backup's name, if not one made now.
    """

    path: str
    table_type: TableType
    wanted: tuple[Wanted, ...]
    exclusive: bool
    backup: bool
    utf8: bool
    source: bytes | None = None
    secret: bool = True
    backup_as: str | None = None


@dataclass(frozen=True)
class Staged:
    """Files that are ready, with the names under which they are to be in force, in this order."""

    renames: tuple[tuple[str, str], ...]
    backup: str | None


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    `table_problem` says why the table has to be made again, None if it is right; the tuples hold
    paths: of files whose owner, mode or context is wrong, and of tables of other types.
    """

    edit: Edit
    writes_source: bool
    table_problem: str | None
    wrong_attributes: tuple[str, ...]
    left_behind: bool
    other_tables: tuple[str, ...]

    @property
    def replaces(self) -> bool:
        """Whether there is a file to replace."""
        return bool(self.writes_source or self.table_problem)

    @property
    def changed(self) -> bool:
        return bool(self.replaces or self.wrong_attributes or self.left_behind)


def source_path(path: str) -> str:
    """The path that a task gives for a map's source. Raises PasswordMapError if it can't be one."""
    if not os.path.isabs(path):
        raise PasswordMapError(f"the path {path} is not absolute")
    suffixes = {table_type.suffix for table_type in TABLE_TYPES.values()} - {""}
    base, suffix = os.path.splitext(path)
    if suffix in suffixes:
        raise PasswordMapError(f"{path} is the name of a table; give the map's source, like {base}")
    return path


def table_type(asked: str | None, default: str) -> TableType:
    """The type that a task asks for, or else the instance's default_database_type.

    Raises PasswordMapError for a default that can't be used here.
    """
    name = asked or default
    if name not in TABLE_TYPES:
        raise PasswordMapError(
            f"Postfix's default_database_type is {name}, which this module can't make. Set"
            f" map_type to one of {', '.join(sorted(TABLE_TYPES))}"
        )
    return TABLE_TYPES[name]


class MapUpdate:
    """One map: a plan of what it lacks (reads only), and its application."""

    def __init__(
        self,
        request: MapRequest,
        postfix: Postfix,
        attributes: FileAttributes,
        places: Places | None = None,
    ) -> None:
        self._request = request
        self._postfix = postfix
        self._attributes = attributes
        self._places = places or Places()
        self._last: tuple[bytes | None, PasswordMap, Edit] | None = None

    def plan(self) -> Plan:
        """Compare what is wanted with what is there. Needs no write access and takes no lock."""
        if self._request.secret:
            written = [path for path in (self._source, self._table) if path]
            self._attributes.refuse_open_mode(written, self._mail_owner)
        check_lock(self._source)
        source = self._source.read()
        if self._table:
            self._table.note()
        if self._last is None or self._last[0] != source:
            current = read_map(source or b"", self._request.utf8, self._request.secret)
            self._last = (source, current, self._edit(current))
        _source, current, change = self._last
        table_problem = self._table_problem(source, current, change)
        if table_problem:
            self._postfix.check_type(self._request.table_type)
        others = tuple(
            self._request.path + suffix
            for suffix in _TABLE_SUFFIXES
            if suffix != self._request.table_type.suffix
            and self._places.find(self._request.path + suffix).status() is not None
        )
        if change.changes_source or table_problem:
            for path in filter(None, (self._source, self._table)):
                check_replaceable(path)
        in_force = [self._source, self._table, *map(self._places.find, others)]
        return Plan(
            edit=change,
            writes_source=change.changes_source or (source is None and table_problem is not None),
            table_problem=table_problem,
            wrong_attributes=tuple(
                path
                for path in in_force
                if path and path.status() is not None and self._attributes.differ(path)
            ),
            left_behind=any(staging.is_there() for staging in self._stagings()),
            other_tables=others,
        )

    # Links that only root or the running user can make are followed. Postfix looks for the table
    # beside the name that it is given, so that is where the table is, or a link to it.

    @property
    def _source(self) -> SafePath:
        return self._places.find(self._request.path)

    @property
    def _table(self) -> SafePath | None:
        suffix = self._request.table_type.suffix
        return self._places.find(self._request.path + suffix) if suffix else None

    @property
    def source(self) -> bytes | None:
        """The source as the last plan() found it, None if there was none."""
        return self._last[0] if self._last else None

    def table_entries(self) -> bytes | None:
        """What the compiled table holds, as a source; None if there is no table, or nothing in it."""
        there = self._table is not None and self._table.status() is not None
        lines = sorted((self._listing() if there else None) or ())
        return b"".join(line.replace(b"\t", b" ", 1) + b"\n" for line in lines) or None

    def locked(self) -> t.ContextManager[None]:
        """Hold the map's lock, which all that change it take."""
        return locked(self._source, _LOCK_SECONDS)

    def apply(self) -> tuple[Plan, str | None]:
        """Plan again with the lock held, and do it. Returns that plan and the backup's path."""
        with self.locked(), uninterrupted():
            return until_unchanged(self._places, self._apply)

    def _apply(self) -> tuple[Plan, str | None]:
        plan = self.plan()
        self.repair(plan)
        with self.staged(plan) as staged:
            put_in_force(staged.renames)
        return plan, staged.backup

    @contextlib.contextmanager
    def staged(self, plan: Plan) -> t.Iterator[Staged]:
        """Make what a plan replaces, to be renamed in the body; removes what is left afterwards.

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
                yield self._stage(plan, stagings[0], stagings[-1])
            else:
                yield Staged((), None)
        finally:
            for staging in stagings:
                staging.clean_up()

    def repair(self, plan: Plan) -> None:
        """Give the files that a plan does not replace the owner, mode and context that they lack.

        Before it replaces the others, so that nothing can fail after that.
        """
        replaced = [self._source] if plan.writes_source else []
        replaced += [self._table] if plan.table_problem and self._table else []
        for path in map(self._places.find, plan.wrong_attributes):
            if path in replaced:
                continue
            if path.directory.shared:
                with self._staging_beside(path).second_name(path) as second:
                    self._attributes.repair(path, second)
            else:
                self._attributes.repair(path)

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

    def _mail_owner(self) -> str:
        return read_settings(self._postfix, ["mail_owner"]).get("mail_owner", "postfix")

    def _edit(self, current: PasswordMap) -> Edit:
        if self._request.source is not None:
            return replaced(current, self._request.source)
        return edit(current, self._request.wanted, self._request.exclusive)

    def _stagings(self) -> list[Staging]:
        """Where source and table are made: beside each, so mostly one directory."""
        source = Staging(self._source)
        if self._table is None:
            return [source]
        table = Staging(self._table.beside(self._source.name))
        return [source] if table.directory == source.directory else [source, table]

    def _stage(self, plan: Plan, for_source: Staging, for_table: Staging) -> Staged:
        table_type = self._request.table_type
        content = plan.edit.source
        # postmap works as the owner of the source and gives the table its mode, so for now this
        # is a file of root's, or of whoever runs this.
        staged = for_table.write(content)
        # Written before the table is made, or the table would be older than its source for ever.
        staged_source = staged if for_source is for_table else for_source.write(content)
        table = self._postfix.compile(table_type, staged) if self._table else None
        self._postfix.verify(table_type, staged, self._expected(plan.edit))
        # The source first: if this process dies before the table follows, the table is older than
        # its source, which Postfix warns of and every postmap puts right. The other way round the
        # next postmap, by whomever, would silently bring the old entries back.
        ready: list[tuple[str, str]] = []
        backup: str | None = None
        if plan.writes_source:
            if self._request.backup and self._last and self._last[0] is not None:
                backup = self._request.backup_as or backup_name(self._source)
                ready.append((for_source.write_like(self._last[0], self._source), backup))
            self._attributes.give(staged_source, self._source)
            ready.append((staged_source, self._source))
        if table and self._table:
            self._attributes.give(table, self._table)
            ready.append((table, self._table))
        return Staged(tuple(ready), backup)

    def _expected(self, change: Edit) -> dict[bytes, bytes | None]:
        expected: dict[bytes, bytes | None] = dict.fromkeys(change.gone)
        if self._request.source is not None:
            whole = read_map(change.source, self._request.utf8)
            expected.update(whole.entry(number) for number in whole.first.values())
        for entry in self._request.wanted:
            expected[entry.key.encode()] = entry.value if entry.present else None
        if not any(expected.values()):
            # For lmdb, postmap makes an empty table on a full disk and exits with 0 (Postfix 3.7).
            # What is to be gone is not in that either.
            expected.update(self._one_that_stays(expected))
        return expected

    def _one_that_stays(self, concerned: t.Iterable[bytes]) -> dict[bytes, bytes]:
        """The last plain entry of the source that is none of `concerned`, if there is any."""
        if self._last is None or self._request.exclusive or self._request.source is not None:
            return {}
        current = self._last[1]
        folded = {fold(key, current.utf8) for key in concerned}
        for key, number in current.first.items():
            if _PLAIN.match(key) and key not in folded:
                return dict([current.entry(number)])
        return {}

    def _table_problem(
        self, source: bytes | None, current: PasswordMap, change: Edit
    ) -> str | None:
        if self._table is None:
            return None
        table = self._table.status()
        there = table is not None
        if source is None:
            return self._problem_without_source(there, current, change)
        if change.changes_source:
            return "does not have the changes to its source yet"
        if table is None:
            return "is missing"
        status = self._source.status()
        if status and is_older(table, status):
            return "is older than its source"
        listing = self._listing()
        if listing is None:
            return f"can't be read as a table of type {self._request.table_type.name}"
        if listing != current.listing():
            return "has other entries than its source"
        return None

    def _listing(self) -> set[bytes] | None:
        """What is in the table, which has the name of its source unless it is a link's target."""
        table, suffix = self._table, self._request.table_type.suffix
        path = self._request.path
        if table is not None and table.name.endswith(suffix):
            path = table.beside(table.name[: -len(suffix)])
        return self._postfix.listing(self._request.table_type, path)

    def _problem_without_source(
        self, there: bool, current: PasswordMap, change: Edit
    ) -> str | None:
        """Some people remove the source and keep the table: its entries must not be lost."""
        if self._request.source is not None:
            return "is without a source" if there else "is missing"
        listing: set[bytes] | None = set()
        if there:
            listing = self._listing()
        if listing is None and not self._request.exclusive:
            name = self._request.table_type.name
            raise PasswordMapError(
                f"{self._request.path} is missing, and its table {self._table} can't be read as one"
                f" of type {name}, so that its entries would be lost. If it is of another type, set"
                " map_type to that; if it is damaged, remove it"
            )
        entries = dict(line.split(b"\t", 1) for line in listing or () if b"\t" in line)
        keys = set(entries)
        asked = {fold(entry.key.encode(), current.utf8) for entry in self._request.wanted}
        if change.changes_source or keys & asked or (keys and self._request.exclusive):
            if keys - asked and not self._request.exclusive:
                name = f"{self._request.table_type.name}:{self._request.path}"
                lost = sorted(current.shown_key(key, entries[key]) for key in keys - asked)
                raise PasswordMapError(
                    f"{self._request.path} is missing, but its table has entries that were not"
                    f" asked for and would be lost: {', '.join(lost)}."
                    f" Bring the source back (postmap -s {name}), or remove the entries:"
                    " mailops.ses.postfix_sasl_passwd with exclusive=true"
                )
            return "is without a source" if there else "is missing"
        return None
