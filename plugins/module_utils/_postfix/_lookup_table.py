# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""A lookup table as Postfix has it now, and as its source would make it: read, never written."""

from __future__ import annotations

import enum
import errno
import os
import typing as t
from dataclasses import dataclass, field, replace

from .._files._secret_file import (
    SecretFileError,
    read_if_there,
)
from .._ses._redaction import is_harmless
from ._main_cf import split_tokens
from ._map_entry import fold
from ._password_map import (
    PasswordMap,
    read_map,
)
from ._programs import (
    TABLE_TYPES,
    Postfix,
    TableType,
    is_older,
)
from ._table_name import parse_table_name

__all__ = ["ANY_KEY", "State", "Table", "read_table"]

#: In place of a lookup key, for a table that finds the same value for every key.
ANY_KEY = b"*"


class State(enum.Enum):
    """What Postfix and this survey can do with a table."""

    READ = "read"
    #: Postfix can use it, but it has no entries to be listed, or somewhere else.
    OPAQUE = "opaque"
    #: This user may not read it.
    DENIED = "denied"
    # Postfix can't use these, and defers the mail.
    MISSING = "missing"
    DAMAGED = "damaged"
    NO_TYPE = "no type"

    @property
    def is_usable(self) -> bool:
        """Whether Postfix can look something up in it."""
        return self in (State.READ, State.OPAQUE, State.DENIED)


@dataclass(frozen=True)
class Table:
    """A table in a setting: `name` is that for messages, `path` that of its source.

    `values` has what Postfix finds now, by folded key; of a state other than READ it has only what
    the setting itself says.
    `source` is None if it is missing or can't be read. `older` says that the table's file is older
    than its source, `proxied` that the service proxymap reads it for Postfix's clients.
    """

    name: str
    type: str
    path: str | None
    state: State
    table_path: str | None = None
    source: PasswordMap | None = None
    is_source_denied: bool = False
    is_proxied: bool = False
    is_older: bool = False
    values: t.Mapping[bytes, bytes] = field(default_factory=dict, repr=False)

    @property
    def is_inline(self) -> bool:
        """Whether main.cf or master.cf holds the values."""
        return self.type in ("inline", "static")

    @property
    def is_complete(self) -> bool:
        """Whether all is known that Postfix may find in it."""
        return self.state is not State.OPAQUE and self.state is not State.DENIED


def read_table(postfix: Postfix, token: str, utf8: bool) -> Table:
    """Read the table that a token of a setting names, like proxy:hash:/path."""
    type_name, rest, is_proxied = parse_table_name(token)
    known = bool(rest) and type_name in postfix.list_types()
    # Anything else may hold a password: "static:user:password", or that without its type.
    path = rest if os.path.isabs(rest) and is_harmless(f"{type_name}:{rest}") else None
    name = f"{type_name}:{path or ''}" if known or path else "a table without a type"
    if not known:
        return Table(name, type_name if path else "", path, State.NO_TYPE)
    if type_name not in TABLE_TYPES or path is None:
        values = _inline_values(type_name, rest, utf8)
        return Table(name, type_name, path, State.OPAQUE, values=values)
    table = _read_file(postfix, TABLE_TYPES[type_name], name, path, utf8)
    return replace(table, is_proxied=is_proxied)


def _read_file(postfix: Postfix, table_type: TableType, name: str, path: str, utf8: bool) -> Table:
    source, denied = None, False
    try:
        content = read_if_there(path)
        source = None if content is None else read_map(content, utf8)
    except SecretFileError:
        pass
    except OSError as exc:
        denied = exc.errno in (errno.EACCES, errno.EPERM)
    table_path = path + table_type.suffix
    state = State.READ
    older = False
    values: dict[bytes, bytes] = {}
    if not os.path.isfile(table_path):
        state = State.MISSING
    elif not os.access(table_path, os.R_OK):
        state = State.DENIED
    else:
        older = os.path.isfile(path) and is_older(os.stat(table_path), os.stat(path))
        # A texthash is its own source. Postfix can't use one that has a key twice (dict_thash.c).
        listing = (
            postfix.list_table(table_type, path) if table_type.suffix else _list_source(source)
        )
        if not table_type.suffix and source and source.find_repeated():
            listing = None
        if listing is None:
            state = State.DAMAGED
        else:
            values = dict(_pair(line) for line in listing)
    return Table(
        name,
        table_type.name,
        path,
        state,
        table_path=table_path,
        source=source,
        is_source_denied=denied,
        is_older=older,
        values=values,
    )


def _inline_values(type_name: str, rest: str, utf8: bool) -> dict[bytes, bytes]:
    """The entries that a setting itself has. A static table has one, for any key.

    Source: dict_inline(3) and dict_static(3). Of equal keys the last counts. What has another form is
    left out.
    """
    inside = rest.strip()
    if inside.startswith("{") and inside.endswith("}"):
        inside = inside[1:-1].strip()
    if type_name == "static":
        return {ANY_KEY: os.fsencode(inside)}
    if type_name != "inline":
        return {}
    values: dict[bytes, bytes] = {}
    for part in split_tokens(inside):
        pair = part[1:-1] if part.startswith("{") and part.endswith("}") else part
        key, equals, value = pair.partition("=")
        if equals:
            values[fold(os.fsencode(key.strip()), utf8)] = os.fsencode(value.strip())
    return values


def _list_source(source: PasswordMap | None) -> set[bytes] | None:
    return source.list_entries() if source else None


def _pair(line: bytes) -> tuple[bytes, bytes]:
    key, _tab, value = line.partition(b"\t")
    return key, value
