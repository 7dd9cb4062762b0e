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
import shutil
import stat
import time
import typing as t

__all__ = [
    "SecretFileError",
    "Staging",
    "backup_name",
    "in_force",
    "kept_name",
    "locked",
    "put_in_force",
    "read_if_there",
]

_POLL_SECONDS = 0.05


class SecretFileError(Exception):
    """Something stands where a file is to be, or somebody holds the lock."""


def read_if_there(path: str) -> bytes | None:
    """The content of a regular file, None if there is none.

    Raises SecretFileError for anything else than a regular file, OSError if it can't be read.
    """
    try:
        # O_NONBLOCK, because opening a FIFO would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SecretFileError(f"{path} is not a regular file")
    with open(descriptor, "rb") as file:
        return file.read()


def backup_name(path: str) -> str:
    """The name that ansible-core's modules give a backup made now.

    Raises SecretFileError if something has it.
    """
    now = time.strftime("%Y-%m-%d@%H:%M:%S~", time.localtime())
    name = f"{path}.{os.getpid()}.{now}"
    if os.path.lexists(name):
        raise SecretFileError(f"the backup {name} is there already")
    return name


def kept_name(path: str) -> str:
    """The name beside `path` under which what it was is kept while a rotation is pending."""
    return _beside(path, ".mailops.former")


@contextlib.contextmanager
def locked(path: str, seconds: float) -> t.Iterator[None]:
    """Hold the lock of `path`, the file `.NAME.mailops.lock` beside it, waiting at most `seconds`.

    The kernel releases it when the process dies, however it dies. The file itself stays: removing
    it would let two processes hold locks on two files of the same name.
    """
    lock = _beside(path, ".mailops.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise SecretFileError(
                        f"another process has held the lock {lock} for {seconds:g} seconds"
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

    def is_there(self) -> bool:
        """Whether a killed process left it, or one is at work."""
        return os.path.lexists(self.directory)

    def create(self) -> None:
        """Make it. Raises FileExistsError if it is there."""
        os.mkdir(self.directory, 0o700)
        os.chmod(self.directory, 0o700)

    def remove(self) -> None:
        """Remove it with all files in it, if it is there.

        Raises SecretFileError if it is not a directory of ours.
        """
        try:
            found = os.lstat(self.directory)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise SecretFileError(
                f"{self.directory} is in the way: it should be a directory that belongs to the"
                f" user with the ID {os.geteuid()}, or not be there"
            )
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
        os.rmdir(self.directory)

    def folder(self) -> str:
        """Make a new directory of mode 0700 in it; returns its path."""
        path = os.path.join(self.directory, os.urandom(8).hex())
        os.mkdir(path, 0o700)
        return path

    def write(self, content: bytes, path: str | None = None) -> str:
        """Write a new file of mode 0600 in it, or in a folder() of it; returns its path."""
        path = path or os.path.join(self.directory, os.urandom(8).hex())
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(content)
        except OSError as exc:
            raise OSError(exc.errno, os.strerror(exc.errno or errno.EIO), path) from None
        return path

    def write_like(self, content: bytes, like: str) -> str:
        """Write a new file in it with the owner of `like`, for nobody else to read; its path."""
        path = self.write(content)
        pattern = os.stat(like)
        os.chmod(path, pattern.st_mode & 0o600)
        os.chown(path, pattern.st_uid, pattern.st_gid)
        return path


def put_in_force(staged: t.Sequence[tuple[str, str]]) -> None:
    """Rename staged files over their targets, in this order, once all are safe on the disk."""
    for path, _target in staged:
        _sync(path, os.O_RDONLY)
    for path, target in staged:
        os.rename(path, target)
    _sync_directories(target for _path, target in staged)


@contextlib.contextmanager
def in_force(staged: t.Sequence[tuple[str, str]]) -> t.Iterator[None]:
    """Rename staged files over their targets as put_in_force() does, for what the body does next.

    If the body fails, or a rename, all targets are again the files that they were, with their
    inodes; those that were not there are gone.
    """
    for path, _target in staged:
        _sync(path, os.O_RDONLY)
    done: list[tuple[str, str | None]] = []
    try:
        for path, target in staged:
            # A second name beside the staged file, so in the same file system as the target.
            former: str | None = path + ".former"
            try:
                os.link(target, path + ".former")
            except FileNotFoundError:
                former = None
            os.rename(path, target)
            done.append((target, former))
        _sync_directories(target for _path, target in staged)
        yield
    except BaseException:
        for target, former in reversed(done):
            if former:
                os.rename(former, target)
            else:
                os.unlink(target)
        _sync_directories(target for target, _former in done)
        raise


def _beside(path: str, suffix: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}{suffix}")


def _sync_directories(targets: t.Iterable[str]) -> None:
    for directory in {os.path.dirname(target) for target in targets}:
        _sync(directory, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: str, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        raise OSError(exc.errno, os.strerror(exc.errno or errno.EIO), path) from None
    finally:
        os.close(descriptor)
