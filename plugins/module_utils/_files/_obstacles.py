# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What keeps even root from replacing a file, and who holds a lock: read from Linux's own tables.

The system's errors for these, such as "Invalid cross-device link", don't say what it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import typing as t

from ._safe_path import (
    UNCHANGED,
    SecretFileError,
)

if t.TYPE_CHECKING:
    from ._safe_path import SafePath

__all__ = ["check_replaceable", "find_lock_holder"]

_MOUNTS = "/proc/self/mountinfo"
_LOCKS = "/proc/locks"
# linux/fs.h: FS_IOC_GETFLAGS, _IOR('f', 1, long), and two of the flags.
_GET_FLAGS = 0x80006601 | struct.calcsize("l") << 16
_FLAGS = {0x10: "immutable", 0x20: "append-only"}
_ESCAPED = re.compile(r"\\([0-7]{3})")


def check_replaceable(path: SafePath) -> None:
    """Raise SecretFileError if a file can't be replaced, or made: its file system is read-only, it is
    a mount point, or a flag of it or of its directory forbids it. Changes nothing.
    """
    directory = path.directory
    if os.fstatvfs(directory.descriptor).f_flag & os.ST_RDONLY:
        raise SecretFileError(
            f"{directory.path} is on a file system that is mounted read-only, as in a container. Mount"
            f" it for writing, or run the task where the files themselves are. {UNCHANGED}"
        )
    if str(path) in _mount_points():
        raise SecretFileError(
            f"{path} is a mount point of its own, as in a container with a bind mount for this file,"
            " so it can't be replaced. Mount its directory instead, or run the task where the file"
            f" itself is. {UNCHANGED}"
        )
    there = [directory.get_path(".")]
    if directory.stat(path.name) is not None:
        there.insert(0, path)
    for each in there:
        descriptor = each.open(os.O_RDONLY | os.O_NONBLOCK)
        try:
            flag = _flag(descriptor)
        finally:
            os.close(descriptor)
        if flag:
            name = path if each is path else directory.path
            raise SecretFileError(
                f"{name} is {flag} (lsattr shows it), so not even root can replace what is there."
                f" Find out who wants it so, then run: chattr -{flag[0]} {name}. {UNCHANGED}"
            )


def find_lock_holder(descriptor: int) -> str:
    """The process that holds the lock of an open file, in words; "another process" if unknown."""
    found = os.fstat(descriptor)
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with contextlib.suppress(OSError), open(_LOCKS, encoding="ascii") as locks:
        for words in map(str.split, locks):
            # 1: FLOCK ADVISORY WRITE 1234 00:1a:5678 0 EOF; "->" is before one that waits.
            if words[1:2] == ["FLOCK"] and words[5:6] == [device]:
                return f"the process {words[4]}"
    return "another process"


def _mount_points() -> set[str]:
    with contextlib.suppress(OSError), open(_MOUNTS, errors="surrogateescape") as mounts:
        return {
            _ESCAPED.sub(lambda match: chr(int(match.group(1), 8)), line.split()[4])
            for line in mounts
        }
    return set()


def _flag(descriptor: int) -> str | None:
    try:
        answer = fcntl.ioctl(descriptor, _GET_FLAGS, bytes(struct.calcsize("l")))
    except OSError:  # a file system without flags
        return None
    (flags,) = struct.unpack_from("i", answer)
    return next((name for flag, name in _FLAGS.items() if flags & flag), None)
