# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Paths that nobody but root and the running user can redirect.

A path is resolved once, from / on, one descriptor after the other, and every directory and link on
the way is checked. Which of them are accepted is in Places.
"""

from __future__ import annotations

import errno
import os
import stat
import typing as t

from ._safe_path import (
    ON_THE_WAY,
    UNCHANGED,
    Directory,
    SafePath,
    SecretFileError,
    UnsafePathError,
    describe_owner,
    name_path_in,
)

if t.TYPE_CHECKING:
    from ._safe_path import Identity

__all__ = ["MissingDirectoryError", "Places", "resolve_path"]

_MOST_LINKS = 40


class MissingDirectoryError(SecretFileError):
    """A directory of a path does not exist."""


class Places:
    """Resolves paths, each once. `warn` takes what is to be said about a directory.

    With `removing`, an unsafe directory is something to warn of: what is removed there is safe to
    remove, because nothing is followed.
    """

    def __init__(
        self, warn: t.Callable[[str], object] | None = None, removing: bool = False
    ) -> None:
        self._warn = warn
        self.removing = removing
        self._found: dict[str, SafePath] = {}
        self._warned: set[str] = set()
        #: What each file was when it was first read, None for one that was not there.
        self.seen: dict[str, Identity | None] = {}

    def warn(self, message: str) -> None:
        """Say it, once."""
        if self._warn and message not in self._warned:
            self._warned.add(message)
            self._warn(message)

    def look_again(self) -> None:
        """Begin to read anew: what was read before does not count any more."""
        self.seen.clear()

    def find(self, path: str) -> SafePath:
        """Resolve the path of a file, which need not be there.

        Raises UnsafePathError if others can redirect it, MissingDirectoryError.
        """
        if isinstance(path, SafePath):
            return path
        if path not in self._found:
            directory, name = self._walk(path)
            if not name:
                raise SecretFileError(f"{path} is not a regular file. {UNCHANGED}")
            self._found[path] = directory.get_path(name)
        return self._found[path]

    def open_directory(self, path: str) -> Directory:
        """Open a directory. Raises as find()."""
        return self._walk(path, to_file=False)[0]

    def _walk(self, path: str, to_file: bool = True) -> tuple[Directory, str]:
        if "\0" in path or not _is_encodable(path):
            raise SecretFileError(
                f"the path {path!a} has a character that no file's name can have. {UNCHANGED}"
            )
        parents = [self._open(None, "/", path)]
        pending = os.path.join(os.getcwd(), path).split("/")[::-1]
        links = 0
        while pending:
            name = pending.pop()
            if name in ("", "."):
                continue
            if name == "..":
                parents = parents[:-1] or parents
                continue
            found = parents[-1].stat(name)
            last = to_file and all(each in ("", ".") for each in pending)
            if found is not None and stat.S_ISLNK(found.st_mode):
                problem = self._link_problem(parents[-1], name, found, path)
                if problem and last and self.removing:
                    # The link itself can be removed, or replaced.
                    return parents[-1], name
                if problem:
                    raise UnsafePathError(f"{problem}. {UNCHANGED}")
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(name, dir_fd=parents[-1].descriptor)
                parents = parents[:1] if target.startswith("/") else parents
                pending += target.split("/")[::-1]
            elif last:
                return parents[-1], name
            else:
                parents.append(self._open(parents[-1], name, path))
        return parents[-1], ""

    def _open(self, parent: Directory | None, name: str, path: str) -> Directory:
        real = os.path.join(parent.path, name) if parent else name
        try:
            if parent:
                descriptor = os.open(name, ON_THE_WAY, dir_fd=parent.descriptor)
            else:
                descriptor = os.open(name, ON_THE_WAY)
        except FileNotFoundError:
            raise MissingDirectoryError(f"the directory {real} does not exist") from None
        except OSError as exc:
            raise name_path_in(exc, real) from None
        directory = Directory(descriptor, real, self)
        self._check_directory(directory, path)
        return directory

    def _check_directory(self, directory: Directory, path: str) -> None:
        found = os.fstat(directory.descriptor)
        what = f"the directory {directory.path} ({describe_owner(found)}), on the way to {path},"
        sticky = bool(found.st_mode & stat.S_ISVTX) and found.st_uid == 0
        directory.shared = found.st_uid not in (0, os.geteuid()) or bool(found.st_mode & 0o022)
        if found.st_uid not in (0, os.geteuid()):
            self._refuse(
                f"{what} belongs to another user, who can exchange what root writes there. Run:"
                f" chown root {directory.path}"
            )
        if found.st_mode & stat.S_IWOTH and not sticky:
            self._refuse(
                f"{what} can be written to by everybody, who can exchange what root writes there."
                f" Run: chmod o-w {directory.path}"
            )
        elif found.st_mode & stat.S_IWGRP and not sticky:
            self.warn(
                f"{what} can be written to by its group, whose members can exchange the files in"
                f" it. Run: chmod g-w {directory.path}"
            )

    def _link_problem(
        self, directory: Directory, name: str, found: os.stat_result, path: str
    ) -> str | None:
        link = os.path.join(directory.path, name)
        what = f"the symbolic link {link} ({describe_owner(found)}), on the way to {path},"
        if found.st_uid not in (0, os.geteuid()):
            return (
                f"{what} belongs to another user, who decides where it leads. Look at it and remove"
                f" it, or run: chown --no-dereference root {link}"
            )
        if directory.shared:
            return (
                f"{what} is in a directory that other users can write to ({directory.path}), so"
                " another user may have put it there. Replace it by the file, or run:"
                f" chmod go-w {directory.path}"
            )
        return None

    def _refuse(self, problem: str) -> None:
        if not self.removing:
            raise UnsafePathError(f"{problem}. {UNCHANGED}")
        self.warn(problem)


def _is_encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def resolve_path(path: str) -> SafePath:
    """Resolve a path, if that has not been done yet. Raises as Places.find()."""
    return path if isinstance(path, SafePath) else Places().find(path)
