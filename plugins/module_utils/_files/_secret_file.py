# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Files with secrets in them, replaced whole or not at all, one process at a time.

New files are made in a directory of mode 0700 beside their target, so that nobody can read them
before they have their final owner and mode. Nothing here depends on the umask.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
import typing as t

from ._attempts import (
    LeftActiveError,
    explain,
    warn_of_failed_clean_up,
)
from ._obstacles import find_lock_holder
from ._safe_path import (
    Directory,
    SafePath,
    SecretFileError,
    UnsafePathError,
    make_private,
)
from ._safe_walk import resolve_path

__all__ = [
    "SecretFileError",
    "Staging",
    "activate",
    "check_lock",
    "hold_lock",
    "is_kept",
    "make_backup_name",
    "make_kept_name",
    "read_if_there",
    "remove_files",
    "replace_files",
]

_POLL_SECONDS = 0.05
_KEPT = ".{}.mailops.former"
# What a staging directory can hold, with the suffixes of tables and of copies.
_STAGED_NAME = re.compile(r"[0-9a-f]{16}(\.|-lock\Z|\Z)")


def read_if_there(path: str) -> bytes | None:
    """The content of a regular file, None if there is none, wherever links lead.

    For what is only read, because Postfix reads it, too. Raises SecretFileError for anything else
    than a regular file, OSError if it can't be read.
    """
    if isinstance(path, SafePath):
        return path.read()
    try:
        # Not opened first: to open a device may do something.
        if stat.S_ISREG(os.stat(path).st_mode):
            # O_NONBLOCK, because opening a FIFO would wait for its writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return file.read()
    except FileNotFoundError:
        return None
    raise SecretFileError(f"{path} is not a regular file")


def make_backup_name(path: str) -> SafePath:
    """The name that ansible-core's modules give a backup made now.

    Raises SecretFileError if something has it.
    """
    now = time.strftime("%Y-%m-%d@%H:%M:%S~", time.localtime())
    original = resolve_path(path)
    name = original.get_beside(f"{original.name}.{os.getpid()}.{now}")
    if name.directory.stat(name.name) is not None:
        raise SecretFileError(f"the backup {name} is there already")
    return name


def make_kept_name(path: SafePath) -> SafePath:
    """The name beside `path` under which what it was is kept while a rotation is pending."""
    return path.get_beside(_KEPT.format(path.name))


def is_kept(path: str) -> bool:
    """Whether a rotation of the map `path` is pending. Only looks, wherever that is."""
    directory, name = os.path.split(os.path.realpath(path))
    return os.path.isfile(os.path.join(directory, _KEPT.format(name)))


def check_lock(path: str) -> None:
    """Raise UnsafePathError if the lock of `path` can't be taken safely.

    A FIFO would make root wait for ever, and another user can keep the lock on a file of his own.
    While a relay is removed, what is in the way is removed too.
    """
    lock = _beside(path, ".mailops.lock")
    if not lock.directory.places.removing:
        lock.stat()


@contextlib.contextmanager
def hold_lock(path: str, seconds: float) -> t.Iterator[None]:
    """Hold the lock of `path`, the file `.NAME.mailops.lock` beside it, waiting at most `seconds`.

    The kernel releases it when the process dies, however it dies. The file itself stays: removing
    it would let two processes hold locks on two files of the same name.
    """
    lock = _beside(path, ".mailops.lock")
    check_lock(path)
    if lock.directory.places.removing and lock.stat() is None:
        lock.unlink()
    descriptor = lock.open(os.O_RDWR | os.O_CREAT | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        is_own = stat.S_ISREG(found.st_mode) and found.st_uid in (0, os.geteuid())
        # Where others can write, a second name may be that of any file of root's.
        if not is_own or (lock.directory.shared and found.st_nlink > 1):
            raise UnsafePathError(
                f"{lock} is in the way: it should be a file of root's. Remove it. Nothing was changed"
            )
        make_private(descriptor, 0o600)
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise SecretFileError(
                        f"{find_lock_holder(descriptor)} has held the lock {lock} for {seconds:g} seconds."
                        " Most likely it is another run of this collection on this host: wait until"
                        f" that is over. If it hangs, end it (fuser -v {lock} shows it). Nothing was"
                        " changed"
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


class Staging:
    """The directory `.NAME.mailops` beside a target, where its successor is made.

    Its name is always the same, so that whoever holds the lock next finds what a killed process
    has left. The names inside are random: a program that a killed process had started writes to
    no file of its successor.
    """

    def __init__(self, target: str) -> None:
        self.directory = _beside(target, ".mailops")
        self._inside: Directory | None = None

    def is_there(self) -> bool:
        """Whether a killed process left it, or one is at work.

        Raises UnsafePathError if something else is there, as remove() does.
        """
        if self.directory.directory.stat(self.directory.name) is None:
            return False
        if not self._is_to_unlink():
            self._open_left()
        return True

    def create(self) -> None:
        """Make it. Raises FileExistsError if it is there."""
        self._inside = self.directory.directory.make(self.directory.name)

    def remove(self) -> None:
        """Remove it with all files in it, if it is there.

        Raises SecretFileError if it is not a directory of ours.
        """
        self._inside = None
        where = self.directory.directory
        if where.stat(self.directory.name) is None:
            return
        if self._is_to_unlink():
            self.directory.unlink()
            return
        _empty(self._open_left())
        os.rmdir(self.directory.name, dir_fd=where.descriptor)
        where.sync()

    def clean_up(self) -> None:
        """Remove it when the work is done, or undone."""
        with warn_of_failed_clean_up(
            self.directory.directory.places, f"{self.directory} can't be removed"
        ):
            self.remove()

    def make_folder(self) -> Directory:
        """Make a new directory of mode 0700 in it."""
        return self._open().make(os.urandom(8).hex())

    def write(self, content: bytes, path: SafePath | None = None) -> SafePath:
        """Write a new file of mode 0600 in it, or in a folder() of it; returns its path."""
        path = path or self._make_path()
        descriptor = path.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with open(descriptor, "wb") as file:
                make_private(descriptor, 0o600)
                file.write(content)
        except OSError as exc:
            raise OSError(exc.errno, os.strerror(exc.errno or errno.EIO), str(path)) from None
        return path

    def write_like(self, content: bytes, like: str) -> SafePath:
        """Write a new file in it with the owner of `like`, for nobody else to read; its path."""
        pattern = resolve_path(like).stat()
        path = self.write(content)
        if pattern:
            descriptor = path.open(os.O_RDONLY)
            try:
                os.fchown(descriptor, pattern.st_uid, pattern.st_gid)
                os.fchmod(descriptor, pattern.st_mode & 0o600)
            finally:
                os.close(descriptor)
        return path

    @contextlib.contextmanager
    def link_second_name(self, path: SafePath) -> t.Iterator[SafePath]:
        """A second name of a file where nobody else can exchange it, if it is there and safe."""
        self.create()
        try:
            second = self._make_path()
            path.link(second)
            found = second.directory.stat(second.name)
            if found is None or not stat.S_ISREG(found.st_mode) or found.st_nlink != 2:
                raise UnsafePathError(f"{path} was exchanged by another user")
            yield second
        finally:
            self.clean_up()

    def _open(self) -> Directory:
        if self._inside is None:
            self._inside = self.directory.directory.open_own(self.directory.name)
        return self._inside

    def _make_path(self) -> SafePath:
        return self._open().get_path(os.urandom(8).hex())

    def _open_left(self) -> Directory:
        """What a killed process left. In a directory of others' it could be anything of root's."""
        left = self.directory.directory.open_own(self.directory.name)
        strange = [name for name in left.list_names() if not _STAGED_NAME.match(name)]
        if strange and self.directory.directory.shared:
            raise UnsafePathError(
                f"{left.path} is in the way: it holds {strange[0]!r}, which this collection did not"
                " put there. Look at it and remove it. Nothing was changed"
            )
        return left

    def _is_to_unlink(self) -> bool:
        """Whether there is a name that can be removed at once, and a relay is removed."""
        where = self.directory.directory
        found = where.stat(self.directory.name)
        return where.places.removing and found is not None and not stat.S_ISDIR(found.st_mode)


def replace_files(staged: t.Sequence[tuple[str, str]]) -> None:
    """Rename staged files over their targets, in this order, all or none of them.

    They are safe on the disk first.
    """
    with activate(staged):
        pass


@contextlib.contextmanager
def activate(staged: t.Sequence[tuple[str, str]]) -> t.Iterator[None]:
    """Rename staged files over their targets as replace_files() does, for what the body does next.

    If the body fails, or a rename, all targets are again the files that they were, with their
    inodes; those that were not there are gone. What somebody else has changed meanwhile stays, and
    then, with LeftActiveError, so does all that came before it. For Ctrl-C not to come in between,
    use it in defer_interrupts().
    """
    pairs = _safe(staged)
    for path, _target in pairs:
        _sync(path)
    done: list[tuple[SafePath, SafePath | None]] = []
    try:
        for path, target in pairs:
            # A second name beside the staged file, so in the same file system as the target.
            previous: SafePath | None = path.get_beside(path.name + ".former")
            try:
                target.link(path.get_beside(path.name + ".former"))
            except FileNotFoundError:
                previous = None
            path.rename(target)
            done.append((target, previous))
        _sync_directories(target for _path, target in pairs)
        yield
    except LeftActiveError:
        raise
    except BaseException:
        try:
            for target, previous in reversed(done):
                if previous:
                    previous.rename(target)
                else:
                    target.unlink()
            _sync_directories(target for target, _former in done)
        except (OSError, SecretFileError) as exc:
            raise LeftActiveError(
                f"the run failed, and what it had done could not be undone: {explain(exc)}. The next run"
                " goes on from there"
            ) from None
        raise


def remove_files(paths: t.Sequence[SafePath]) -> None:
    """Remove files, in this order, for good: they do not come back if the machine goes down."""
    for path in paths:
        path.unlink()
    _sync_directories(paths)


def _beside(path: str, suffix: str) -> SafePath:
    file = resolve_path(path)
    return file.get_beside(f".{file.name}{suffix}")


def _safe(staged: t.Sequence[tuple[str, str]]) -> list[tuple[SafePath, SafePath]]:
    return [(resolve_path(path), resolve_path(target)) for path, target in staged]


def _empty(directory: Directory) -> None:
    for name in directory.list_names():
        found = directory.stat(name)
        if found is not None and stat.S_ISDIR(found.st_mode):
            _empty(directory.open_own(name))
            os.rmdir(name, dir_fd=directory.descriptor)
        else:
            path = directory.get_path(name)
            path.forget()
            path.unlink()


def _sync_directories(targets: t.Iterable[SafePath]) -> None:
    for directory in {target.directory.path: target.directory for target in targets}.values():
        directory.sync()


def _sync(path: SafePath) -> None:
    descriptor = path.open(os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        raise OSError(exc.errno, os.strerror(exc.errno or errno.EIO), str(path)) from None
    finally:
        os.close(descriptor)
