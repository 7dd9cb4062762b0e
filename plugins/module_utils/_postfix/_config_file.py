# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""A file of a Postfix instance's configuration, and its successor, made beside it."""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import stat
import time
import typing as t

from .._files._safe_path import SecretFileError
from .._files._safe_walk import Places
from .._files._secret_file import (
    Staging,
    read_if_there,
)

if t.TYPE_CHECKING:
    from .._files._safe_path import (
        Directory,
        SafePath,
    )

__all__ = ["ConfigFile", "MasterCf"]

# A file that was changed a moment ago may be half written: Postfix's programs read it again and again
# until its last change is more than a second ago (dict_load_file_xt()). Ours is always whole.
_COOL_SECONDS = 3.0
# What a file system may answer to extended attributes that it has not, or may not be copied.
_NO_ATTRIBUTES = frozenset({errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.EINVAL})

_Self = t.TypeVar("_Self", bound="ConfigFile")


class ConfigFile:
    """The file `name` of the instance in `directory`. `path` is the file itself, if that is a link.

    `path` raises UnsafePathError if others can redirect it.
    """

    def __init__(self, directory: str, name: str, places: Places | None = None) -> None:
        self.directory = directory
        self.name = name
        self._places = places or Places()
        self._rehearsed_in: Directory | None = None
        self._staging: Staging | None = None

    @property
    def path(self) -> SafePath:
        """The file itself."""
        return self._places.find(os.path.join(self.directory, self.name))

    @property
    def staging(self) -> Staging:
        """Where its successor is made."""
        if self._staging is None:
            where = self._rehearsed_in
            self._staging = Staging(where.get_path(self.name) if where else self.path)
        return self._staging

    def rehearse(self: _Self, directory: Directory) -> _Self:
        """The same file, whose successors are made in another directory, and never active."""
        rehearsal = copy.copy(self)
        rehearsal._rehearsed_in = directory
        rehearsal._staging = None
        return rehearsal

    def stage_content(self, content: bytes) -> SafePath:
        """Make a file with these bytes its successor in the staging directory; returns the path."""
        staged = self.staging.write(content)
        self._give_attributes(staged)
        return staged

    def _give_attributes(self, staged: SafePath) -> None:
        """Give a staged file the owner, mode, SELinux context and access control list of this one.

        And a time that lets Postfix's programs read it at once.
        """
        if self._rehearsed_in is None:
            self.path.stat()
            with _open(self.path) as original, _open(staged) as successor:
                status = os.fstat(original)
                os.fchown(successor, status.st_uid, status.st_gid)
                os.fchmod(successor, stat.S_IMODE(status.st_mode))
                for name in _list_attributes(original):
                    _copy_attribute(original, successor, name)
        changed = time.time() - _COOL_SECONDS
        os.utime(staged.name, (changed, changed), dir_fd=staged.directory.descriptor)


class MasterCf(ConfigFile):
    """The master.cf of the instance in `directory`: its services."""

    def __init__(self, directory: str, places: Places | None = None) -> None:
        super().__init__(directory, "master.cf", places)

    def read(self) -> bytes | None:
        """Its content, None if it is not there, wherever links lead: Postfix reads it, too."""
        with contextlib.suppress(SecretFileError):  # which matters to those that write it
            self.path.note()
        return read_if_there(os.path.join(self.directory, self.name))


@contextlib.contextmanager
def _open(path: SafePath) -> t.Iterator[int]:
    descriptor = path.open(os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _list_attributes(file: int) -> list[str]:
    if not hasattr(os, "listxattr"):  # Python has it on Linux only
        return []
    try:
        return os.listxattr(file)
    except OSError as exc:
        if exc.errno not in _NO_ATTRIBUTES:
            raise
        return []


def _copy_attribute(source: int, target: int, name: str) -> None:
    try:
        os.setxattr(target, name, os.getxattr(source, name))
    except OSError as exc:
        if exc.errno not in _NO_ATTRIBUTES:
            raise
