# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module, run in this process with the real Postfix, as root: what it does to the files."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.in_process.map_host import (
    COMPILED,
    KEY,
    NOTHING,
    OTHER,
    SECRET,
    TYPES,
    Host,
    absent,
    mode,
    picked,
    present,
)

pytestmark = [pytest.mark.postfix, pytest.mark.root]


@pytest.fixture
def host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Host:
    return Host(tmp_path, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("table_type", TYPES)
def test_the_life_of_an_entry(host: Host, table_type: str) -> None:
    compiled = bool(TYPES[table_type])
    steps: list[tuple[dict[str, t.Any], dict[str, t.Any], str | None]] = [
        (present(), {"entries_added": [KEY]}, f"user:{SECRET}"),
        (present(password="other"), {"entries_changed": [KEY]}, "user:other"),
        (absent(), {"entries_removed": [KEY]}, None),
    ]
    for entry, says, found in steps:
        before = host.everything()
        predicted = host.run(entry, check=True, map_type=table_type)
        assert host.everything() == before
        done = host.run(entry, map_type=table_type)
        assert picked(done) == {
            **NOTHING,
            "changed": True,
            "compiled": compiled,
            "reload_needed": not compiled,
            **says,
        }
        assert picked(predicted) == picked(done)
        assert predicted["diff"] == done["diff"]
        assert host.look_up(KEY, table_type) == found
        assert mode(host.source) == mode(host.table(table_type)) == 0o600
        before = host.everything()
        for check in (True, False):
            assert picked(host.run(entry, check=check, map_type=table_type)) == NOTHING
        assert host.everything() == before
    assert sorted(path.name for path in host.folder.iterdir()) == sorted(
        {".sasl_passwd.mailops.lock", "main.cf", "sasl_passwd", host.table(table_type).name}
    )


def test_what_is_not_said_is_postfixs_default(host: Host) -> None:
    result = host.run(present())
    assert result["path"] == str(host.source)
    assert result["table"] == f"hash:{host.source}"
    assert host.look_up(KEY, "hash") == f"user:{SECRET}"


def test_nothing_is_made_for_what_is_absent(host: Host) -> None:
    before = host.everything()
    assert picked(host.run(absent())) == NOTHING
    assert host.everything() == before
    assert not list(host.folder.glob(".*"))


def test_the_diff_and_the_invocation(host: Host) -> None:
    host.source.write_text(f"{OTHER} user:{SECRET}\n# {SECRET}\n")
    result = host.run(present(), exclusive=True)
    assert result["diff"] == {
        "before_header": str(host.source),
        "after_header": str(host.source),
        "before": f"{OTHER} user:PASSWORD\n# the hash table does not have the changes to its source yet\n"
        f"# {host.source}: owner, group, mode or SELinux context are not as requested\n",
        "after": f"{KEY} user:NEW_PASSWORD\n# the hash table is up to date\n"
        f"# {host.source}: owner, group, mode and SELinux context are as requested\n",
    }
    assert "password" not in result["invocation"]["module_args"]
    assert result["invocation"]["module_args"]["exclusive"] is True
    assert result["entries_removed"] == [OTHER]
    assert host.source.read_text().startswith(f"# {SECRET}\n")


def spoil_missing(host: Host, table: Path) -> None:
    table.unlink()


def spoil_old(host: Host, table: Path) -> None:
    os.utime(table, (1, 1))


def spoil_other(host: Host, table: Path) -> None:
    source = host.source.read_bytes()
    host.source.write_bytes(source + b"x y:z\n")
    name = next(name for name in TYPES if TYPES[name] == table.suffix)
    if table.suffix == ".db":
        name = "btree" if b"\x62\x31\x05\x00" in table.read_bytes()[:16] else "hash"
    subprocess.run(["postmap", "-c", str(host.folder), f"{name}:{host.source}"], check=True)
    host.source.write_bytes(source)
    os.utime(host.source, (1, 1))


def spoil_type(host: Host, table: Path) -> None:
    table.write_bytes(b"\0" * 5000)


SPOILT: dict[str, tuple[t.Callable[[Host, Path], None], str]] = {
    "missing": (spoil_missing, "is missing"),
    "older": (spoil_old, "is older than its source"),
    "other entries": (spoil_other, "has other entries than its source"),
    "unreadable": (spoil_type, "can't be read as a table of type"),
}


@pytest.mark.slow
@pytest.mark.parametrize("table_type", COMPILED)
@pytest.mark.parametrize(("spoil", "problem"), SPOILT.values(), ids=SPOILT)
def test_a_table_that_is_wrong_is_put_right(
    host: Host, table_type: str, spoil: t.Callable[[Host, Path], None], problem: str
) -> None:
    host.run(present(), map_type=table_type)
    spoil(host, host.table(table_type))
    source = host.source.stat()
    for check in (True, False):
        result = host.run(present(), check=check, map_type=table_type)
        assert picked(result) == {**NOTHING, "changed": True, "compiled": True}
        assert problem in result["diff"]["before"]
    assert host.source.stat().st_ino == source.st_ino
    assert host.look_up(KEY, table_type) == f"user:{SECRET}"
    assert host.look_up("x", table_type) is None
    assert picked(host.run(present(), map_type=table_type)) == NOTHING


def test_a_table_of_the_other_type_with_the_same_suffix_is_replaced(host: Host) -> None:
    host.run(present(), map_type="btree")
    assert host.run(present(), map_type="hash")["compiled"] is True
    assert host.look_up(KEY, "hash") == f"user:{SECRET}"


def test_wrong_modes_and_owners_are_put_right_in_place(host: Host) -> None:
    host.run(present())
    inodes = [path.stat().st_ino for path in (host.source, host.table("hash"))]
    host.source.chmod(0o644)
    os.chown(host.table("hash"), 65534, 65534)
    result = host.run(present())
    assert picked(result) == {**NOTHING, "changed": True}
    assert result["diff"]["before"].count("not as requested") == 2
    assert [path.stat().st_ino for path in (host.source, host.table("hash"))] == inodes
    assert mode(host.source) == 0o600
    assert host.table("hash").stat().st_uid == 0
    assert picked(host.run(present())) == NOTHING


@pytest.mark.parametrize("table_type", ["hash", "lmdb"])
def test_owner_group_and_mode_as_asked(host: Host, table_type: str) -> None:
    former = os.umask(0o077)
    try:
        host.run(present(), map_type=table_type, owner="nobody", group="mail", mode="u=rw,g=r")
    finally:
        os.umask(former)
    for path in (host.source, host.table(table_type)):
        status = path.stat()
        assert (status.st_uid, mode(path)) == (65534, 0o640)
        assert status.st_gid == 8
    result = host.run(present(), map_type=table_type, owner="nobody", group="mail", mode="0640")
    assert picked(result) == NOTHING
    assert host.run(present(password="x"), map_type=table_type, owner="nobody")["changed"]
    assert host.table(table_type).stat().st_gid == 0


def test_an_unknown_owner_changes_nothing(host: Host) -> None:
    host.run(present())
    assert "no-such-user" in host.failure(present(), owner="no-such-user")


@pytest.mark.parametrize("leftover", [".lmdb", ".cdb"])
def test_a_table_of_another_type_is_warned_of_and_closed(host: Host, leftover: str) -> None:
    other = host.folder / f"sasl_passwd{leftover}"
    other.write_bytes(b"old")
    other.chmod(0o644)
    host.run(present())
    assert any(str(other) in warning for warning in host.warnings)
    assert mode(other) == 0o600
    assert other.read_bytes() == b"old"
    result = host.run(present())
    assert picked(result) == NOTHING
    assert any("Remove it" in warning for warning in host.warnings)


@pytest.fixture(params=[None, "/dev/shm"], ids=["one file system", "two file systems"])
def folder_of_links(request: pytest.FixtureRequest, tmp_path: Path) -> t.Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=request.param or tmp_path) as folder:
        yield Path(folder)


def test_links_are_followed(host: Host, folder_of_links: Path) -> None:
    secrets, tables = folder_of_links, host.folder / "tables"
    tables.mkdir()
    host.source.symlink_to(secrets / "map")
    host.table("hash").symlink_to(tables / "map.db")
    result = host.run(present())
    assert result["path"] == str(host.source)
    assert host.source.is_symlink()
    assert host.table("hash").is_symlink()
    assert (secrets / "map").read_text() == f"{KEY} user:{SECRET}\n"
    assert host.look_up(KEY, "hash") == f"user:{SECRET}"
    assert mode(secrets / "map") == mode(tables / "map.db") == 0o600
    assert picked(host.run(present())) == NOTHING
    assert host.run(present(password="x"), backup=True)["backup_file"].startswith(f"{secrets}/map.")
    assert host.look_up(KEY, "hash") == "user:x"
    assert picked(host.run(present(password="x"))) == NOTHING


def test_a_backup_is_for_the_owner_alone(host: Host) -> None:
    host.source.write_text("# former\n")
    host.source.chmod(0o644)
    os.chown(host.source, 65534, 65534)
    assert "backup_file" not in host.run(present(), check=True, backup=True)
    path = host.run(present(), backup=True)["backup_file"]
    status = os.stat(path)
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (65534, 0o600)
    with open(path, encoding="utf-8") as file:
        assert file.read() == "# former\n"
    assert "backup_file" not in host.run(present(), backup=True)


def test_no_backup_of_nothing(host: Host) -> None:
    assert "backup_file" not in host.run(present(), backup=True)


@pytest.mark.parametrize("table_type", ["hash", "texthash"])
def test_what_a_killed_run_left_is_removed(host: Host, table_type: str) -> None:
    host.run(present(), map_type=table_type)
    left = host.folder / ".sasl_passwd.mailops"
    left.mkdir()
    (left / "0123456789abcdef").write_text(SECRET)
    assert host.run(present(), check=True, map_type=table_type)["changed"] is True
    assert left.exists()
    result = host.run(present(), map_type=table_type)
    assert "left files behind" in result["diff"]["before"]
    # Nobody knows whether Postfix was told of what the killed run had done.
    assert picked(result) == {**NOTHING, "changed": True, "reload_needed": table_type == "texthash"}
    assert not left.exists()
    assert picked(host.run(present(), map_type=table_type)) == NOTHING
