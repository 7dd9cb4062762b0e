# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
import time
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._files._secret_file import (
    SecretFileError,
    Staging,
    hold_lock,
    make_backup_name,
    read_if_there,
    replace_files,
)

if t.TYPE_CHECKING:
    from pathlib import Path

UMASKS = [0o000, 0o022, 0o077, 0o377]

HOLD = """
import sys, time
from ansible_collections.mailops.ses.plugins.module_utils._files._secret_file import hold_lock
with hold_lock(sys.argv[1], 1):
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    time.sleep(60)
"""


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request: pytest.FixtureRequest) -> t.Iterator[int]:
    former = os.umask(request.param)
    yield request.param
    os.umask(former)


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "map"
    assert read_if_there(str(path)) is None
    path.write_bytes(b"a\r\n\xff")
    assert read_if_there(str(path)) == b"a\r\n\xff"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["directory", "FIFO"])
def test_reading_what_is_no_file(tmp_path: Path, make: t.Callable[[str], None]) -> None:
    path = str(tmp_path / "map")
    make(path)
    with pytest.raises(SecretFileError, match="map is not a regular file"):
        read_if_there(path)


def test_backups_are_named_as_ansible_core_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_backup_name(str(tmp_path / "map"))
    assert re.fullmatch(rf".*/map\.{os.getpid()}\.\d{{4}}-\d\d-\d\d@\d\d:\d\d:\d\d~", name)
    monkeypatch.setattr(time, "strftime", lambda *_args: "now~")
    (tmp_path / f"map.{os.getpid()}.now~").touch()
    with pytest.raises(SecretFileError, match="is there already"):
        make_backup_name(str(tmp_path / "map"))


def test_nothing_staged_is_ever_open_to_others(tmp_path: Path, umask: int) -> None:
    staging = Staging(str(tmp_path / "map"))
    staging.create()
    assert staging.directory == str(tmp_path / ".map.mailops")
    assert mode(staging.directory) == 0o700
    path = staging.write(b"secret")
    assert mode(path) == 0o600
    replace_files([(path, str(tmp_path / "map"))])
    assert (tmp_path / "map").read_bytes() == b"secret"
    assert mode(tmp_path / "map") == 0o600
    staging.remove()
    assert [entry.name for entry in tmp_path.iterdir()] == ["map"]


@pytest.mark.root
def test_a_copy_is_for_the_owner_of_the_original_alone(tmp_path: Path) -> None:
    original = tmp_path / "map"
    original.touch()
    original.chmod(0o444)
    os.chown(original, 65534, 12)
    staging = Staging(str(original))
    staging.create()
    path = staging.write_like(b"secret", str(original))
    found = os.stat(path)
    assert (found.st_uid, found.st_gid, mode(path)) == (65534, 12, 0o400)


def test_leftovers_are_found_and_removed(tmp_path: Path) -> None:
    staging = Staging(str(tmp_path / "map"))
    staging.remove()
    assert not staging.is_there()
    staging.create()
    staging.write(b"secret")
    staging.write(b"secret")
    assert Staging(str(tmp_path / "map")).is_there()
    Staging(str(tmp_path / "map")).remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("thing", ["file", "link"])
def test_something_else_in_place_of_the_directory_stays(tmp_path: Path, thing: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    in_the_way = tmp_path / ".map.mailops"
    if thing == "file":
        in_the_way.touch()
    else:
        in_the_way.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SecretFileError, match="is in the way"):
        Staging(str(tmp_path / "map")).remove()
    assert (tmp_path / "elsewhere" / "precious").exists()
    assert in_the_way.exists()


@pytest.mark.root
def test_somebody_elses_directory_stays(tmp_path: Path) -> None:
    (tmp_path / ".map.mailops").mkdir()
    os.chown(tmp_path / ".map.mailops", 65534, 65534)
    with pytest.raises(SecretFileError, match="belongs to the user with the ID 0"):
        Staging(str(tmp_path / "map")).remove()


def test_all_is_on_the_disk_before_the_first_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    rename, fsync = os.rename, os.fsync

    def noted_rename(source: str, target: str, **directories: int) -> None:
        done.append(f"rename {os.path.basename(target)}")
        rename(source, target, **directories)

    def noted_fsync(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        done.append(f"fsync {kind}")
        fsync(descriptor)

    monkeypatch.setattr(os, "rename", noted_rename)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    staging = Staging(str(tmp_path / "map"))
    staging.create()
    pairs = [(staging.write(b""), str(tmp_path / name)) for name in ("map", "map.db")]
    replace_files(pairs)
    assert done == ["fsync file", "fsync file", "rename map", "rename map.db", "fsync directory"]


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
def test_a_full_disk_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_args: t.Any) -> None:
        raise OSError(errno.ENOSPC, "sesame")

    staging = Staging(str(tmp_path / "map"))
    staging.create()
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left on device") as error:
        replace_files([(staging.write(b"secret"), str(tmp_path / "map"))])
    assert str(error.value.filename).startswith(staging.directory)
    assert not (tmp_path / "map").exists()


def test_the_lock_is_for_one_and_its_file_stays(tmp_path: Path, umask: int) -> None:
    path = str(tmp_path / "map")
    with hold_lock(path, 1):
        second = hold_lock(path, 0.1)
        with pytest.raises(SecretFileError, match=r"\.map\.mailops\.lock for 0\.1 seconds"):
            second.__enter__()
    assert mode(tmp_path / ".map.mailops.lock") & 0o177 == 0
    with hold_lock(path, 0):
        pass


def test_the_lock_of_a_killed_process_holds_nobody_up(tmp_path: Path) -> None:
    path = str(tmp_path / "map")
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SecretFileError), hold_lock(path, 0):
            pass
        holder.kill()
        holder.wait()
        with hold_lock(path, 0):
            pass


def test_waiting_for_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "map")
    other = hold_lock(path, 0)
    other.__enter__()
    monkeypatch.setattr(time, "sleep", lambda _seconds: other.__exit__(None, None, None))
    with hold_lock(path, 5):
        pass


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".map.mailops.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SecretFileError, match="symbolic link"), hold_lock(str(tmp_path / "map"), 0):
        pass
    assert not (tmp_path / "elsewhere").exists()
