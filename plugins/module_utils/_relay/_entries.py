# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The entries of a relay's two tables: which it needs, and how they leave again. No I/O."""

from __future__ import annotations

import os
import typing as t

from .._postfix._map_entry import (
    RequestedEntry,
    RequestedLine,
    fold,
)
from .._ses._redaction import redact_entry

if t.TYPE_CHECKING:
    from .._postfix._password_map import PasswordMap
    from ._plan import RelayRequest
    from ._record import Record

__all__ = [
    "find_previous_routes",
    "list_entries",
    "list_routes",
    "restore_entries",
    "restore_routes",
]


def list_entries(request: RelayRequest, held: PasswordMap) -> list[RequestedEntry]:
    """The entries that the password map, which holds these, is to have.

    One for the bare name of a server gets the same login, because Postfix finds it first. To remove
    it would leave mail without a login that goes there by another way.
    """
    keys = [(login.key, login) for login in (*request.logins, *request.senders)]
    hosts = {each.login.server.host: each for each in request.logins}
    keys += [
        (host, login)
        for host, login in hosts.items()
        if fold(host.encode(), held.utf8) in held.first
    ]
    return [RequestedEntry.with_login(key, login.login) for key, login in keys]


def list_routes(request: RelayRequest) -> list[RequestedLine]:
    """The entries of the table with the senders' servers."""
    return [
        RequestedLine(
            sender.key, requested_by=sender.login.requested_by, line=sender.destination.encode()
        )
        for sender in request.senders
    ]


def find_previous_routes(
    routes: t.Iterable[RequestedLine], ours: t.Container[str], held: PasswordMap
) -> dict[str, str]:
    """The servers that senders have in the table already, but for those whose keys are `ours`."""
    found = {
        entry.key: _find_value(held, fold(entry.key.encode(), held.utf8))
        for entry in routes
        if entry.key not in ours
    }
    return {key: os.fsdecode(line) for key, line in found.items() if line is not None}


def restore_routes(
    record: Record, held: PasswordMap, requested: t.Iterable[RequestedEntry] = ()
) -> tuple[list[RequestedEntry], bool]:
    """How those of our keys that are not `requested` leave the table with the senders' servers.

    And whether it then has entries of somebody else's, so that it stays.
    """
    still = {fold(entry.key.encode(), held.utf8) for entry in requested}
    ours = {fold(key.encode(), held.utf8): key for key in record.map.keys}
    gone: list[RequestedEntry] = []
    for folded, key in ours.items():
        server = record.previous_routes.get(key)
        if folded not in held.first or folded in still:
            continue
        if server is None:
            gone.append(RequestedEntry(key, present=False))
        else:
            gone.append(
                RequestedLine(key, requested_by="the previous table", line=os.fsencode(server))
            )
    has_others = any(key not in ours and key not in still for key in held.first)
    return gone, has_others or any(entry.present for entry in gone)


def restore_entries(
    keys: t.Mapping[str, str], current: PasswordMap, previous: PasswordMap | None
) -> tuple[list[RequestedEntry], list[str]]:
    """How our `keys`, with the user name of each, leave the map; and what to warn of.

    A key that was there before gets its previous value, the others go. An entry with another user
    name than ours is not ours any more, and stays.
    """
    entries: list[RequestedEntry] = []
    warnings = []
    for key, username in keys.items():
        folded = fold(key.encode(), current.utf8)
        now = _find_value(current, folded)
        was = _find_value(previous, folded) if previous else None
        if now in (None, was):
            continue
        if now is not None and now.partition(b":")[0] != username.encode():
            shown = redact_entry(key, f"{username}:PASSWORD").key
            warnings.append(
                f"the entry {shown!r} of the password map was changed by somebody else since, so it"
                " stays as it is"
            )
        elif was is not None:
            entries.append(RequestedLine(key, requested_by="the previous map", line=was))
        else:
            entries.append(RequestedEntry(key, present=False))
    return entries, warnings


def _find_value(held: PasswordMap, folded: bytes) -> bytes | None:
    number = held.first.get(folded)
    return None if number is None else held.parse_entry(number)[1]
