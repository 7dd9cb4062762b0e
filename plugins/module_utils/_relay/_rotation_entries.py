# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The entries of a rotation: which have the old key, and how the previous logins come back. No I/O."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._postfix._map_entry import (
    RequestedEntry,
    RequestedLine,
    decode,
    fold,
)
from .._postfix._password_map import edit

if t.TYPE_CHECKING:
    from .._postfix._password_map import PasswordMap
    from ._rotation_plan import RotatedEntry

__all__ = ["Restoration", "find_old_entries", "follow_keys", "restore_map"]


def find_old_entries(
    current: PasswordMap, rotated: t.Iterable[RotatedEntry], old_access_key: str
) -> tuple[list[RequestedEntry], list[str]]:
    """Those of the entries that have the old key now, with their logins; and what to warn of."""
    entries = []
    warnings = []
    for each in rotated:
        username = _find_username(current, fold(each.entry.key.encode(), current.utf8))
        if username == old_access_key:
            entries.append(each.entry)
        elif username != each.entry.username:
            warnings.append(
                f"the entry {each.entry.key!r} of {each.path} was changed by somebody else meanwhile,"
                " so it stays as it is"
            )
    return entries, warnings


@dataclass(frozen=True)
class Restoration:
    """How a map becomes what it was: its whole `source`, or else the `entries` to write."""

    source: bytes | None
    entries: tuple[RequestedEntry, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the map comes back byte for byte."""
        return self.source is not None


def restore_map(current: PasswordMap, kept: PasswordMap) -> Restoration:
    """How the previous logins come back.

    Byte for byte if nothing but logins is different; what somebody else has changed since stays.
    """
    if current.source == kept.source:
        return Restoration(kept.source)
    rotated = [
        folded
        for folded in kept.first
        if folded in current.first
        and _find_username(kept, folded) != _find_username(current, folded)
    ]
    if edit(kept, [_restore_entry(current, folded) for folded in rotated]).source == current.source:
        return Restoration(kept.source)
    return Restoration(None, tuple(_restore_entry(kept, folded) for folded in rotated))


def follow_keys(
    keys: t.Mapping[str, str],
    now: PasswordMap,
    kept: PasswordMap | None,
    changed: t.Iterable[str],
) -> dict[str, str]:
    """The user names of a record's `keys`, once the logins of those that `changed` are others.

    With none of them, a run was killed after it had changed some; what is `kept` tells which.
    """
    ours = {fold(key.encode(), now.utf8) for key in changed}
    result = dict(keys)
    for key, username in keys.items():
        folded = fold(key.encode(), now.utf8)
        actual = _find_username(now, folded)
        was = _find_username(kept, folded) if kept else None
        if actual is not None and (folded in ours or (not ours and was in (username, actual))):
            result[key] = actual
    return result


def _restore_entry(held: PasswordMap, folded: bytes) -> RequestedLine:
    key, value = held.parse_entry(held.first[folded])
    return RequestedLine(decode(key), requested_by="the previous map", line=value)


def _find_username(held: PasswordMap, folded: bytes) -> str | None:
    number = held.first.get(folded)
    return None if number is None else decode(held.parse_entry(number)[1].partition(b":")[0])
