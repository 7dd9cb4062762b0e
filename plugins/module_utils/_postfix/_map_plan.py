# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""A lookup table as it was read, and what a run would change about it, as data. No I/O."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field, replace

from ._map_entry import (
    PasswordMapError,
    RequestedEntry,
    fold,
)
from ._password_map import (
    Edit,
    PasswordMap,
    edit,
    read_map,
    replace_source,
)
from ._programs import TABLE_TYPES, TableType

__all__ = ["MapPlan", "MapSnapshot", "check_source_path", "find_table_type", "plan_map", "rehearse"]

# What Postfix surely accepts as it is.
_PLAIN = re.compile(rb"[\w@\[\]:.-]+\Z")


@dataclass(frozen=True)
class MapSnapshot:
    """What there is of a map: its source, None if it is missing, and its compiled table.

    `utf8` is the instance's `smtputf8_enable`; `secret` says that the map's values are logins.
    `listing` has the entries of the compiled table, None if it is missing or can't be read.
    `wrong_attributes` has the files whose owner, mode or context is wrong, `other_tables` the
    compiled tables of other types; `is_left_behind` says that a killed run has left files.
    """

    path: str
    type: TableType
    utf8: bool
    secret: bool = True
    source: bytes | None = field(default=None, repr=False)
    has_table: bool = False
    is_older: bool = False
    listing: frozenset[bytes] | None = field(default=None, repr=False)
    wrong_attributes: tuple[str, ...] = ()
    other_tables: tuple[str, ...] = ()
    is_left_behind: bool = False

    @property
    def name(self) -> str:
        """The map as a setting names it."""
        return f"{self.type.name}:{self.path}"

    @property
    def content(self) -> bytes | None:
        """What the map holds, in the form of a source: if it has none, what is in its table."""
        if self.source is not None:
            return self.source
        lines = sorted(self.listing or ())
        return b"".join(line.replace(b"\t", b" ", 1) + b"\n" for line in lines) or None

    def parse(self) -> PasswordMap:
        """Find the entries of the source."""
        return read_map(self.source or b"", self.utf8, self.secret)

    def parse_content(self) -> PasswordMap:
        """Find the entries that the map holds, with or without its source."""
        return read_map(self.content or b"", self.utf8, self.secret)


@dataclass(frozen=True)
class MapPlan:
    """What a run would do with one map.

    `table_problem` says why the table has to be made again, None if it is right. `expected` has
    what the new table must find for these lookup keys, None for nothing.
    """

    now: MapSnapshot
    edit: Edit
    writes_source: bool
    table_problem: str | None
    expected: t.Mapping[bytes, bytes | None] = field(default_factory=dict, repr=False)

    @property
    def wrong_attributes(self) -> tuple[str, ...]:
        """The files whose owner, mode or context is wrong."""
        return self.now.wrong_attributes

    @property
    def is_left_behind(self) -> bool:
        """Whether a killed run has left files."""
        return self.now.is_left_behind

    @property
    def other_tables(self) -> tuple[str, ...]:
        """The compiled tables of other types."""
        return self.now.other_tables

    @property
    def replaces(self) -> bool:
        """Whether there is a file to replace."""
        return bool(self.writes_source or self.table_problem)

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.replaces or self.wrong_attributes or self.is_left_behind)

    def describe_other_tables(self) -> list[str]:
        """What to warn of."""
        return [
            f"{table} is a table of another type than {self.now.type.name}. It is not kept up to"
            " date and may hold old passwords. Remove it if no setting of Postfix names it"
            for table in self.other_tables
        ]


def check_source_path(path: str) -> str:
    """Return the path that a task gives for a map's source. Raises PasswordMapError if it can't be one."""
    if not os.path.isabs(path):
        raise PasswordMapError(f"the path {path} is not absolute")
    suffixes = {table_type.suffix for table_type in TABLE_TYPES.values()} - {""}
    base, suffix = os.path.splitext(path)
    if suffix in suffixes:
        raise PasswordMapError(f"{path} is the name of a table; give the map's source, like {base}")
    return path


def find_table_type(requested: str | None, default: str) -> TableType:
    """The type that a task requests, or else the instance's default_database_type.

    Raises PasswordMapError for a default that can't be used here.
    """
    name = requested or default
    if name not in TABLE_TYPES:
        raise PasswordMapError(
            f"Postfix's default_database_type is {name}, which this module can't make. Set"
            f" map_type to one of {', '.join(sorted(TABLE_TYPES))}"
        )
    return TABLE_TYPES[name]


def plan_map(
    now: MapSnapshot,
    entries: t.Sequence[RequestedEntry],
    *,
    exclusive: bool = False,
    source: bytes | None = None,
    current: PasswordMap | None = None,
) -> MapPlan:
    """Compare the entries that a map is to have with what it has.

    With `source`, that is what the map's source is to be, and nothing else is looked at. `current`
    is what now.parse() returns, for a caller that has done that. Raises PasswordMapError for
    entries that can't be stored, and if entries would be lost.
    """
    current = current or now.parse()
    change = (
        edit(current, entries, exclusive) if source is None else replace_source(current, source)
    )
    problem = None
    if now.type.suffix:
        known = {fold(entry.key.encode(), now.utf8) for entry in entries}
        if now.source is not None:
            problem = _find_problem(now, current, change)
        elif source is not None:
            problem = "is without a source" if now.has_table else "is missing"
        else:
            problem = _find_problem_without_source(now, current, change, known, exclusive)
    plan = MapPlan(
        now,
        change,
        writes_source=change.changes_source or (now.source is None and problem is not None),
        table_problem=problem,
    )
    if not plan.replaces:
        return plan
    return replace(plan, expected=_expect(plan, current, entries, source))


def rehearse(plan: MapPlan) -> MapPlan:
    """The same plan with the lookup keys of its new entries alone, and without a password."""
    hide = _hide_password if plan.now.secret else bytes
    expected: dict[bytes, bytes | None] = {
        key: hide(value) for key, value in plan.expected.items() if value is not None
    }
    source = b"".join(b"%s %s\n" % pair for pair in expected.items())
    return replace(plan, edit=replace(plan.edit, source=source), expected=expected)


def _hide_password(value: bytes) -> bytes:
    username, colon, _password = value.partition(b":")
    return (username if colon else b"USER") + b":PASSWORD"


def _find_problem(now: MapSnapshot, current: PasswordMap, change: Edit) -> str | None:
    """Why the table of a map with a source has to be made again, None if it is right."""
    if change.changes_source:
        return "does not have the changes to its source yet"
    if not now.has_table:
        return "is missing"
    if now.is_older:
        return "is older than its source"
    if now.listing is None:
        return f"can't be read as a table of type {now.type.name}"
    if now.listing != current.list_entries():
        return "has other entries than its source"
    return None


def _find_problem_without_source(
    now: MapSnapshot,
    current: PasswordMap,
    change: Edit,
    requested: t.AbstractSet[bytes],
    exclusive: bool,
) -> str | None:
    """Some people remove the source and keep the table: its entries must not be lost."""
    if now.has_table and now.listing is None and not exclusive:
        raise PasswordMapError(
            f"{now.path} is missing, and its table {now.path}{now.type.suffix} can't be read as one"
            f" of type {now.type.name}, so that its entries would be lost. If it is of another type,"
            " set map_type to that; if it is damaged, remove it"
        )
    pairs = (line.partition(b"\t") for line in now.listing or ())
    entries = {key: value for key, tab, value in pairs if tab}
    keys = set(entries)
    if not (change.changes_source or keys & requested or (keys and exclusive)):
        return None
    if keys - requested and not exclusive:
        lost = sorted(current.show_key(key, entries[key]) for key in keys - requested)
        raise PasswordMapError(
            f"{now.path} is missing, but its table has entries that were not"
            f" requested and would be lost: {', '.join(lost)}."
            f" Bring the source back (postmap -s {now.name}), or remove the entries:"
            " mailops.ses.postfix_sasl_passwd with exclusive=true"
        )
    return "is without a source" if now.has_table else "is missing"


def _expect(
    plan: MapPlan,
    current: PasswordMap,
    entries: t.Iterable[RequestedEntry],
    source: bytes | None,
) -> dict[bytes, bytes | None]:
    """What the new table must find for which lookup keys."""
    expected: dict[bytes, bytes | None] = dict.fromkeys(plan.edit.gone)
    if source is not None:
        whole = read_map(source, current.utf8)
        expected.update(whole.parse_entry(number) for number in whole.first.values())
    for entry in entries:
        expected[entry.key.encode()] = entry.value if entry.present else None
    if not any(expected.values()) and source is None:
        # For lmdb, postmap makes an empty table on a full disk and exits with 0 (Postfix 3.7).
        # What is to be gone is not in that either.
        expected.update(_find_one_that_stays(current, expected))
    return expected


def _find_one_that_stays(current: PasswordMap, concerned: t.Iterable[bytes]) -> dict[bytes, bytes]:
    """The last plain entry of the source that is none of `concerned`, if there is any."""
    folded = {fold(key, current.utf8) for key in concerned}
    for key, number in current.first.items():
        if _PLAIN.match(key) and key not in folded:
            return dict([current.parse_entry(number)])
    return {}
