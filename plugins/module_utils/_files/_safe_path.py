# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Files that are reached through the descriptor of their directory, and never through a link.

To exchange a directory or a name while this works gains nothing. _safe_walk.py opens and checks
the directories on the way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import stat
import sys
import typing as t

__all__ = [
    "ON_THE_WAY",
    "UNCHANGED",
    "ChangedError",
    "Directory",
    "SafePath",
    "SecretFileError",
    "UnsafePathError",
    "describe_owner",
    "make_private",
    "name_path_in",
]

_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a directory on the way needs no permission to list it, where the system knows O_PATH.
ON_THE_WAY = getattr(os, "O_PATH", os.O_RDONLY) | _DIRECTORY
_ACCESS_LISTS = ("system.posix_acl_access", "system.posix_acl_default")
_NO_ATTRIBUTE = frozenset({errno.ENODATA, errno.ENOTSUP, errno.EINVAL})
UNCHANGED = "Nothing was changed"
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class SecretFileError(Exception):
    """Something stands where a file is to be, or somebody holds the lock."""


class UnsafePathError(SecretFileError):
    """Another user decides what a path leads to."""


class ChangedError(SecretFileError):
    """A file is not what it was when it was read."""


# What tells a file's content from any other: device, inode, size, and time of the last change.
Identity = t.Tuple[int, int, int, int]  # for Python 3.7


if t.TYPE_CHECKING:

    class Places(t.Protocol):
        """What resolves the paths of a run."""

        removing: bool
        seen: dict[str, Identity | None]

        def warn(self, message: str) -> None:
            """Say it, once."""

        def look_again(self) -> None:
            """Begin to read anew."""


class Directory:
    """An open directory. `path` is its real path, for messages.

    `shared` says that others can make, rename or remove names in it.
    """

    def __init__(self, descriptor: int, path: str, places: Places, shared: bool = False) -> None:
        self.descriptor = descriptor
        self.path = path
        self.places = places
        self.shared = shared

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.descriptor)

    def get_path(self, name: str) -> SafePath:
        """The path of a name in it."""
        return SafePath.of(self, name)

    def anchor(self, name: str = "") -> str:
        """A path that leads through the descriptor, for functions and programs that want a path.

        A program has to inherit the descriptor. Where the system has no such paths, it is the
        real path.
        """
        if sys.platform.startswith("linux") and os.path.isdir("/proc/self/fd"):
            return os.path.join(f"/proc/self/fd/{self.descriptor}", name)
        return os.path.join(self.path, name)

    def stat(self, name: str) -> os.stat_result | None:
        """What `name` itself is, None if it is not there."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise name_path_in(exc, os.path.join(self.path, name)) from None

    def list_names(self) -> list[str]:
        """The names in it."""
        descriptor = os.open(".", os.O_RDONLY | _DIRECTORY, dir_fd=self.descriptor)
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)

    def open_own(self, name: str) -> Directory:
        """Open a directory in it that belongs to this user. Raises UnsafePathError otherwise."""
        path = os.path.join(self.path, name)
        found = self.stat(name)
        if found is not None and stat.S_ISDIR(found.st_mode):
            descriptor = os.open(name, os.O_RDONLY | _DIRECTORY, dir_fd=self.descriptor)
            directory = Directory(descriptor, path, self.places)
            found = os.fstat(descriptor)
            directory.shared = bool(found.st_mode & 0o022)
            if found.st_uid == os.geteuid():
                return directory
        raise UnsafePathError(
            f"{path} is in the way{'' if found is None else f' ({describe_owner(found)})'}: it should be"
            f" a directory that belongs to the user with the ID {os.geteuid()}, or not exist. Look"
            f" at it and remove it. {UNCHANGED}"
        )

    def make(self, name: str) -> Directory:
        """Make a directory for this user alone in it. Raises FileExistsError."""
        try:
            os.mkdir(name, 0o700, dir_fd=self.descriptor)
        except OSError as exc:
            raise name_path_in(exc, os.path.join(self.path, name)) from None
        made = self.open_own(name)
        if made.list_names():
            raise UnsafePathError(f"{made.path} was exchanged by another user")
        make_private(made.descriptor, 0o700)
        return made

    def sync(self) -> None:
        """Have its names safe on the disk."""
        descriptor = os.open(".", os.O_RDONLY | _DIRECTORY, dir_fd=self.descriptor)
        try:
            os.fsync(descriptor)
        except OSError as exc:
            raise name_path_in(exc, self.path) from None
        finally:
            os.close(descriptor)


class SafePath(str):
    """The real path of a file, that its directory's descriptor and its name lead to."""

    __slots__ = ("directory", "name")

    directory: Directory
    name: str

    @classmethod
    def of(cls, directory: Directory, name: str) -> SafePath:
        """The path of `name` in an open directory."""
        path = cls(os.path.join(directory.path, name))
        path.directory = directory
        path.name = name
        return path

    def get_beside(self, name: str) -> SafePath:
        """Another name in the same directory."""
        return SafePath.of(self.directory, name)

    def __deepcopy__(self, _memo: object) -> SafePath:
        return self

    @property
    def anchored(self) -> str:
        """As Directory.anchored()."""
        return self.directory.anchor(self.name)

    @property
    def descriptors(self) -> list[int]:
        """What a program has to inherit to use the anchored path."""
        return [self.directory.descriptor]

    def stat(self) -> os.stat_result | None:
        """What the file is, None if it is not there.

        Raises UnsafePathError if it is not a regular file, or perhaps another user's. While a
        relay is removed, such a name counts as not there, with a warning.
        """
        found = self.directory.stat(self.name)
        problem = None if found is None else self._problem(found)
        if problem is None:
            return found
        if not self.directory.places.removing:
            raise UnsafePathError(f"{problem}. {UNCHANGED}")
        self.directory.places.warn(f"{problem}. It was neither read nor changed")
        return None

    def find_safe(self) -> os.stat_result | None:
        """What the file is; None if it is not there, or if status() would not accept it."""
        found = self.directory.stat(self.name)
        return None if found is None or self._problem(found) else found

    def read(self) -> bytes | None:
        """Its content, None if it is not there. Raises as status()."""
        self.note()
        if self.stat() is None:
            return None
        try:
            # O_NONBLOCK: another user may have put a FIFO there in the meantime.
            descriptor = self.open(os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as file:
            problem = self._problem(os.fstat(descriptor))
            if problem:
                raise UnsafePathError(f"{problem}. {UNCHANGED}")
            return file.read()

    def note(self) -> None:
        """Remember what it is now, if that was not done before: rename() and unlink() compare."""
        if self not in self.directory.places.seen:
            self.directory.places.seen[self] = self._identity()

    def forget(self) -> None:
        """Let rename() and unlink() take whatever is there."""
        self.directory.places.seen.pop(self, None)

    def open(self, flags: int, mode: int = 0o600) -> int:
        """Open it, but no link; returns the descriptor."""
        try:
            return os.open(
                self.name,
                flags | os.O_NOFOLLOW | os.O_CLOEXEC,
                mode,
                dir_fd=self.directory.descriptor,
            )
        except OSError as exc:
            raise name_path_in(exc, self) from None

    def rename(self, target: SafePath) -> None:
        """Give it another name, instead of what has that.

        Raises ChangedError if that is not what was read, as unlink() does.
        """
        moved = self._identity()
        target.refuse_changed()
        try:
            os.rename(
                self.name,
                target.name,
                src_dir_fd=self.directory.descriptor,
                dst_dir_fd=target.directory.descriptor,
            )
        except OSError as exc:
            raise name_path_in(exc, target) from None
        self.forget()
        target.directory.places.seen[target] = moved

    def link(self, second: SafePath) -> None:
        """Give the file itself a second name. Raises FileNotFoundError."""
        try:
            os.link(
                self.name,
                second.name,
                src_dir_fd=self.directory.descriptor,
                dst_dir_fd=second.directory.descriptor,
                follow_symlinks=False,
            )
        except OSError as exc:
            raise name_path_in(exc, self) from None

    def unlink(self) -> None:
        """Remove the name if it is there; what a link points to stays."""
        self.refuse_changed()
        try:
            os.unlink(self.name, dir_fd=self.directory.descriptor)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise name_path_in(exc, self) from None
        self.directory.places.seen[self] = None

    def refuse_changed(self) -> None:
        """Raise ChangedError if it is not what it was when it was read."""
        seen = self.directory.places.seen
        if self in seen and seen[self] != self._identity():
            raise ChangedError(
                f"{self} was changed by another process during the run. That change stays. Wait"
                " until that process has finished, then run the task again"
            )

    def _identity(self) -> Identity | None:
        found = self.directory.stat(self.name)
        return found and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def _problem(self, found: os.stat_result) -> str | None:
        if not stat.S_ISREG(found.st_mode):
            return (
                f"{self} is not a regular file ({describe_owner(found)}), which root would follow or"
                " wait for. Look at it, and remove it if it should not be there"
            )
        if not self.directory.shared:
            return None
        where = f"{self} ({describe_owner(found)}) is in a directory that other users can write to"
        if found.st_uid not in (0, os.geteuid()):
            return (
                f"{where}, and does not belong to root: its owner decides what is in it. Look at it,"
                f" then run: chown root {self}, or remove it"
            )
        if found.st_nlink > 1 and found.st_nlink > 1 + self._own_names(found):
            return (
                f"{where}, and has {found.st_nlink} names (hard links): its owner and mode would"
                " change under all of them. Copy it, and replace it by the copy, or remove it"
            )
        return None

    def _own_names(self, found: os.stat_result) -> int:
        """How many names of a file an interrupted run of ours has left beside it."""
        count = 0
        for name in self.directory.list_names():
            if name.startswith(".") and name.endswith(".mailops"):
                with contextlib.suppress(UnsafePathError):
                    own = self.directory.open_own(name)
                    each = (own.stat(inside) for inside in own.list_names())
                    count += sum(bool(one and os.path.samestat(one, found)) for one in each)
        return count


def make_private(descriptor: int, mode: int) -> None:
    """Give a new file or directory this mode and no access control list, inherited or not."""
    if hasattr(os, "removexattr"):  # Python has it on Linux only
        for name in _ACCESS_LISTS:
            _remove_attribute(descriptor, name)
    os.fchmod(descriptor, mode)


def _remove_attribute(descriptor: int, name: str) -> None:
    try:
        os.removexattr(descriptor, name)
    except OSError as exc:
        if exc.errno not in _NO_ATTRIBUTE:
            raise


def describe_owner(found: os.stat_result) -> str:
    try:
        owner = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        owner = str(found.st_uid)
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    text = f"owner {owner}, mode {stat.S_IMODE(found.st_mode):04o}"
    return f"{kind}, {text}" if kind and kind != "a directory" else text


def name_path_in(exc: OSError, path: str) -> OSError:
    """The same error with the path instead of the name."""
    return OSError(exc.errno, os.strerror(exc.errno or errno.EIO), str(path))
