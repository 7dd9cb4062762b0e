# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Whether the user that a task runs as can do what it is to do. Most often, become was forgotten."""

from __future__ import annotations

import errno
import grp
import os
import pwd

from ._safe_path import SecretFileError

__all__ = ["check_can_give", "check_can_write", "with_remedy"]

_REMEDY = "run the task as root (become: true)"
_DENIED = (os.strerror(errno.EACCES), os.strerror(errno.EPERM))


def check_can_write(directory: str) -> None:
    """Raise SecretFileError if this user can't write to a directory that is there.

    Before anything in it is read, because the error would name only that file.
    """
    if os.geteuid() and os.path.isdir(directory) and not os.access(directory, os.W_OK | os.X_OK):
        raise SecretFileError(
            f"{_REMEDY}: the user {_name()} can't write to {directory}. Nothing was changed"
        )


def check_can_give(owner: str, group: str) -> None:
    """Raise SecretFileError if this user can't give files to an owner and a group."""
    if not os.geteuid():
        return
    groups = {os.getegid(), *os.getgroups()}
    for option, value, own in (
        ("owner", owner, {str(os.geteuid()), _name()}),
        ("group", group, {name for each in groups for name in (str(each), _group_name(each))}),
    ):
        if value not in own:
            raise SecretFileError(
                f"{_REMEDY}: the user {_name()} can't make {value} the {option} of a file. Without"
                f" root, set {option} to one of {', '.join(sorted(own))}. Nothing was changed"
            )


def with_remedy(message: str) -> str:
    """An error with what to do about it before it, if this user may not do what root may."""
    denied = os.geteuid() != 0 and any(text in message for text in _DENIED)
    return f"{_REMEDY}: {message}" if denied else message


def _name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
