# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Which modes let others read or change a file with passwords.

The audit reports such files, and the modules that write them refuse such modes.
"""

from __future__ import annotations

import os
import pwd
import typing as t

from ._safe_path import SecretFileError

__all__ = ["lets_others_in", "list_trusted_ids", "parse_mode"]

_QUOTED = "Write it in quotes, as an octal number: mode: '0600'. Nothing was changed"


def lets_others_in(mode: int, group: int | None, path: str, groups: t.Collection[int]) -> bool:
    """Whether others can read or change a file with this mode and group at the real `path`.

    `groups` are those that may, see list_trusted_ids(); the group None is none of them. A directory
    above that others can't enter keeps them out. Raises OSError if one is not there.
    """
    for_all = bool(mode & 0o006)
    for_group = bool(mode & 0o060) and group not in groups
    folder = path
    while (for_all or for_group) and folder not in ("/", ""):
        folder = os.path.dirname(folder)
        above = os.stat(folder)
        enter = bool(above.st_mode & 0o001)
        for_all = for_all and enter
        same_group = above.st_gid == group and bool(above.st_mode & 0o010)
        for_group = for_group and (enter or same_group)
    return for_all or for_group


def list_trusted_ids(mail_owner: str) -> tuple[set[int], set[int]]:
    """The users and groups that may read passwords: root's, and those of Postfix's own user."""
    try:
        owner = pwd.getpwnam(mail_owner)
    except KeyError:
        return {0}, {0}
    return {0, owner.pw_uid}, {0, owner.pw_gid}


def parse_mode(value: object) -> int | str:
    """The mode that a task gives as a number, or as it is if it is symbolic.

    YAML reads a number without quotes as decimal, unless it begins with 0: 0600 is 384 then, which
    is right, but 600 is the mode 01130. So a number has to be one that a file with passwords may
    have. Raises SecretFileError for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if not _is_plausible(value):
            octal = f"which is the mode {value:04o} in octal" if value >= 0 else "which is negative"
            raise SecretFileError(
                f"mode is the number {value}, {octal}. YAML reads a number as decimal unless it"
                f" begins with 0. {_QUOTED}"
            )
        return int(value)
    if not isinstance(value, str):
        raise SecretFileError(f"mode must be a string, not {type(value).__name__}. {_QUOTED}")
    try:
        mode = int(value, 8)
    except ValueError:
        if any(operator in value for operator in "+-="):
            return value
        raise SecretFileError(
            f"mode is {value!r}, which is neither an octal number nor symbolic. {_QUOTED}"
        ) from None
    if mode & ~0o7777:
        raise SecretFileError(f"mode is {value!r}, which is no mode of a file. {_QUOTED}")
    return mode


def _is_plausible(mode: int) -> bool:
    """Whether a mode lets the owner read, and each next class no more than the one before."""
    owner, group, others = mode >> 6, mode >> 3 & 0o7, mode & 0o7
    return (
        0 <= owner <= 0o7
        and bool(owner & 0o4)
        and all(bits == 0 or bits & 0o4 for bits in (group, others))
        and group & ~owner == 0
        and others & ~group == 0
    )
