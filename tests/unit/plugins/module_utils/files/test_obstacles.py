# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._files import _obstacles
from ansible_collections.mailops.ses.plugins.module_utils._files._obstacles import (
    check_replaceable,
    find_lock_holder,
)
from ansible_collections.mailops.ses.plugins.module_utils._files._safe_path import SecretFileError
from ansible_collections.mailops.ses.plugins.module_utils._files._safe_walk import resolve_path
from ansible_collections.mailops.ses.plugins.module_utils._files._secret_file import hold_lock


@pytest.fixture(name="file")
def fixture_file(tmp_path: Path) -> Path:
    file = tmp_path / "main.cf"
    file.touch()
    return file


def with_flags(monkeypatch: pytest.MonkeyPatch, of_path: Path, flags: int) -> None:
    """Have a file or directory these flags: not every file system of a test machine has any."""

    def ioctl(descriptor: int, request: int, _argument: bytes) -> bytes:
        # The number for a long of 64 bits, or of 32.
        assert request in (0x80086601, 0x80046601)
        is_it = os.path.samestat(os.fstat(descriptor), of_path.stat())
        return struct.pack("l", flags if is_it else 0x80000)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)


@pytest.mark.parametrize(("flags", "letter"), [(0x10, "i"), (0x80030, "i"), (0x20, "a")])
def test_flags(monkeypatch: pytest.MonkeyPatch, file: Path, flags: int, letter: str) -> None:
    for path in (file, file.parent):
        with_flags(monkeypatch, path, flags)
        with pytest.raises(SecretFileError, match=rf"run: chattr -{letter} {path}\. Nothing was"):
            check_replaceable(resolve_path(str(file)))
    # A new file can't be made there.
    with pytest.raises(SecretFileError, match=rf"^{file.parent} is "):
        check_replaceable(resolve_path(str(file.parent / "not there")))


def test_other_flags_and_none(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    with_flags(monkeypatch, file, 0x80000)
    check_replaceable(resolve_path(str(file)))
    monkeypatch.undo()
    check_replaceable(resolve_path(str(file)))
    check_replaceable(resolve_path(str(file.parent / "not there")))


def test_a_mount_point(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "main cf"
    file.touch()
    table = tmp_path / "mountinfo"
    escaped = str(file).replace(" ", r"\040")
    table.write_text(f"36 35 98:0 / {escaped} rw,noatime - ext3 /dev/root rw\n")
    monkeypatch.setattr(_obstacles, "_MOUNTS", str(table))
    with pytest.raises(SecretFileError, match="is a mount point of its own"):
        check_replaceable(resolve_path(str(file)))
    monkeypatch.setattr(_obstacles, "_MOUNTS", str(tmp_path / "none"))
    check_replaceable(resolve_path(str(file)))


def test_who_holds_a_lock(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    with file.open() as ours, file.open() as theirs:
        assert find_lock_holder(ours.fileno()) == "another process"
        fcntl.flock(theirs, fcntl.LOCK_EX)
        assert find_lock_holder(ours.fileno()) == f"the process {os.getpid()}"
        monkeypatch.setattr(_obstacles, "_LOCKS", "/no/such")
        assert find_lock_holder(ours.fileno()) == "another process"


def test_a_held_lock(file: Path) -> None:
    path = str(file)
    with hold_lock(path, 1), pytest.raises(SecretFileError) as error, hold_lock(path, 0):
        pass
    said = str(error.value)
    assert said.startswith(f"the process {os.getpid()} has held the lock {file.parent}/.main.cf")
    assert "If it hangs, end it (fuser -v" in said
