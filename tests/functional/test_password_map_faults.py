# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_sasl_passwd`` where the disk is full, read-only or locked up, or postmap does not work.

An error that says what and where, the old map in force, nothing left over, no password shown.
"""

from __future__ import annotations

import os
import shutil
import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.isolation.memory_disk import (
    make_read_only,
    memory_disk,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_map import (
    MODULE,
    ScratchMap,
    requested,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import (
    program,
    table_types,
)
from ansible_collections.mailops.ses.tests.support.running.module_runner import (
    ModuleServer,
    Outcome,
    run_module,
)

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

# Where there is no Postfix, conftest.py has these tests left out; collecting must not fail there.
TYPES = table_types() if shutil.which("postconf", path="/usr/sbin:/usr/bin:/sbin:/bin") else []

KEY = "[email-smtp.eu-west-1.amazonaws.com]:587"
OLD = "AKIAIOSFODNN7EXAMPLE:OldPassword"
NEW = "AKIAIOSFODNN7EXAMPLE:NewPassword"
PASSWORDS = ("OldPassword", "NewPassword", "ForeignPassword")
FOREIGN = {
    f"user{number}@example.org": f"u{number}:ForeignPassword{number}" for number in range(99)
}
ENTRIES = {KEY: OLD, **FOREIGN}
SOURCE = "".join(f"{key} {value}\n" for key, value in ENTRIES.items()).encode()
ENTRY = requested(KEY, *NEW.split(":"))

PAGE = 4096
MOST_PAGES = 40


@pytest.fixture(name="module", scope="module")
def fixture_module() -> t.Iterator[ModuleServer]:
    with ModuleServer(MODULE) as module:
        yield module


@pytest.fixture(name="disk")
def fixture_disk(tmp_path: Path) -> t.Iterator[Path]:
    with memory_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture(name="the_map")
def fixture_the_map(disk: Path) -> ScratchMap:
    return ScratchMap(disk / "map", "hash").make(SOURCE)


def refused(outcome: Outcome, the_map: ScratchMap, *said: str) -> None:
    """Assert that a run has failed with a message that has all of ``said``, and changed nothing."""
    assert outcome.status == 1, outcome
    assert outcome.result["failed"]
    for words in said:
        assert words in outcome.result["msg"]
    # Neither is there a trace, nor anything beside the result.
    assert len(outcome.output.strip().splitlines()) == 1
    for password in PASSWORDS:
        assert password not in outcome.output
    unchanged(the_map)


def unchanged(the_map: ScratchMap) -> None:
    """Assert that all is as it was, and nothing left over."""
    assert the_map.source() == SOURCE
    assert the_map.look_up(*ENTRIES) == ENTRIES
    assert the_map.names() == the_map.right_names()
    assert the_map.exposed() == []


def changes(module: ModuleServer, the_map: ScratchMap) -> None:
    """Assert that the module does its work now."""
    outcome = module.run(the_map.arguments(ENTRY))
    assert outcome.result["entries_changed"] == [KEY], outcome
    assert the_map.look_up(*ENTRIES) == {**ENTRIES, KEY: NEW}
    assert the_map.names() == the_map.right_names()


def fill(disk: Path, free_pages: int) -> None:
    """Leave this many free pages on the disk."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    status = os.statvfs(disk)
    size = (status.f_bavail - free_pages) * status.f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    assert os.statvfs(disk).f_bavail == free_pages


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("map_type", TYPES)
def test_disk_full(module: ModuleServer, tmp_path: Path, map_type: str, state: str) -> None:
    """With no page free, one, two ... until there are enough.

    For a type of Postfix 3.7, lmdb, postmap then makes an empty table and exits with 0.
    """
    entry = ENTRY if state == "present" else requested(KEY, present=False)
    with memory_disk(tmp_path / "small", "4m") as disk:
        the_map = ScratchMap(disk / "map", map_type).make(SOURCE)
        refused_with = []
        for pages in range(MOST_PAGES):
            fill(disk, pages)
            outcome = module.run(the_map.arguments(entry))
            if outcome.status == 0:
                break
            refused(outcome, the_map, str(the_map.directory))
            refused_with.append(outcome.result["msg"])
        print(f"{map_type}, {state}: {pages} pages are enough", *refused_with, sep="\n  ")
        assert refused_with
        for message in refused_with:
            assert "No space left on device" in message or "is the disk full?" in message
        values = {KEY: NEW} if state == "present" else {}
        assert the_map.look_up(*ENTRIES) == {**FOREIGN, **values}
        assert the_map.names() == the_map.right_names()


def test_read_only_file_system(module: ModuleServer, disk: Path, the_map: ScratchMap) -> None:
    make_read_only(disk)
    for check in (False, True):
        outcome = module.run(the_map.arguments(ENTRY, _ansible_check_mode=check))
        refused(outcome, the_map, str(disk), "mounted read-only")
    there = module.run(the_map.arguments(requested(KEY, *OLD.split(":"))))
    assert there.result["changed"] is False


def test_unwritable_directory(the_map: ScratchMap) -> None:
    """Root, but without the capability that lets it write everywhere."""
    the_map.directory.chmod(0o555)
    prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    outcome = run_module(MODULE, the_map.arguments(ENTRY), prefix=prefix)
    refused(outcome, the_map, str(the_map.directory), "Permission denied")

    the_map.directory.chmod(0o755)
    the_map.path.chmod(0o000)
    outcome = run_module(MODULE, the_map.arguments(ENTRY), prefix=prefix)
    the_map.path.chmod(0o600)
    refused(outcome, the_map, str(the_map.path), "Permission denied")


def test_owner_can_not_be_given(module: ModuleServer, the_map: ScratchMap) -> None:
    prefix = ["setpriv", "--bounding-set", "-chown"]
    arguments = the_map.arguments(ENTRY, owner="nobody")
    outcome = run_module(MODULE, arguments, prefix=prefix)
    # In ansible-core's own words.
    refused(outcome, the_map, "chown failed")
    assert str(the_map.directory) in outcome.result["path"]
    assert "Operation not permitted" in outcome.output
    outcome = module.run(the_map.arguments(ENTRY, owner="no such user"))
    refused(outcome, the_map, "no such user")


def test_directory_missing(module: ModuleServer, the_map: ScratchMap) -> None:
    path = the_map.directory / "missing" / "sasl_passwd"
    outcome = module.run(the_map.arguments(ENTRY, path=str(path)))
    refused(outcome, the_map, f"the directory {path.parent} does not exist")


@pytest.mark.parametrize("name", ["postmap", "postconf"])
def test_program_missing(module: ModuleServer, the_map: ScratchMap, name: str) -> None:
    """It is hidden by a file that can't be executed, in a mount namespace."""
    script = 'mount --bind /dev/null "$1" && shift && exec "$@"'
    shell = ["sh", "-c", script, "without", program(name)]
    prefix = ["unshare", "--mount", "--propagation", "private", *shell]
    outcome = run_module(MODULE, the_map.arguments(ENTRY), prefix=prefix)
    refused(outcome, the_map, f"{name} was not found", "Is Postfix installed?")
    changes(module, the_map)


def test_type_missing(module: ModuleServer, the_map: ScratchMap, tmp_path: Path) -> None:
    """A type that this Postfix does not have; the error tells which it has, and what to install."""
    fake = fake_program(tmp_path, "postconf", '[ "$3" = -m ] && exec printf "btree\\nhash\\n"')
    outcome = module.run(the_map.arguments(ENTRY, map_type="lmdb"), environment=fake)
    said = ("no lookup tables of type lmdb", "it has hash, btree", "postfix-lmdb")
    refused(outcome, the_map, *said)


def fake_program(folder: Path, name: str, script: str) -> dict[str, str]:
    """Put a shell script before one of Postfix's programs, which runs if the script does not exit.

    Returns the environment in which it is found first.
    """
    fakes = folder / "fakes"
    fakes.mkdir()
    fake = fakes / name
    fake.write_text(f'#!/bin/sh\n{script}\nexec {program(name)} "$@"\n')
    fake.chmod(0o755)
    return {"PATH": f"{fakes}:/usr/sbin:/usr/bin:/sbin:/bin"}


COMPILES = 'case " $* " in *" -q "*|*" -s "*) ;; *) map=${3#*:}; %s ;; esac'
#: How postmap can fail when it makes a table, as a script; what the error says.
FAILURES = {
    "nothing stored": ("exit 0", f"does not have the entry {KEY!r}"),
    "an empty table stored": (': > "$map"', f"does not have the entry {KEY!r}"),
    "another value stored": (
        'sed -i s/NewPassword/OldPassword/ "$map"',
        f"does not have the entry {KEY!r} as it should",
    ),
    "half-way": (
        'head -c 4096 "$map" > "$map.db"; cat "$map" >&2; exit 1',
        "postmap can't make a table of type hash",
    ),
    "killed": ('touch "$map.db"; kill -KILL $$', "it was ended by signal 9"),
    "talkative": (
        'sed "s/^/postmap: fatal: /" "$map" | tee /dev/stderr; exit 1',
        "exit status 1",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_postmap_fails(
    module: ModuleServer, the_map: ScratchMap, tmp_path: Path, failure: str
) -> None:
    script, said = FAILURES[failure]
    environment = fake_program(tmp_path, "postmap", COMPILES % script)
    outcome = module.run(the_map.arguments(ENTRY), environment=environment)
    refused(outcome, the_map, said)
    changes(module, the_map)


def test_postmap_can_not_be_executed(
    module: ModuleServer, the_map: ScratchMap, tmp_path: Path
) -> None:
    environment = fake_program(tmp_path, "postmap", "")
    (tmp_path / "fakes" / "postmap").write_text("#!/no/such/interpreter\n")
    outcome = module.run(the_map.arguments(ENTRY), environment=environment)
    refused(outcome, the_map, "can't be run", "No such file or directory")


def test_something_in_the_way(module: ModuleServer, the_map: ScratchMap, tmp_path: Path) -> None:
    """What is not the module's is neither followed nor removed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("of somebody")
    staging = the_map.directory / ".sasl_passwd.mailops"
    lock = the_map.directory / ".sasl_passwd.mailops.lock"

    staging.symlink_to(outside)
    outcome = module.run(the_map.arguments(ENTRY))
    staging.unlink()
    refused(outcome, the_map, f"{staging} is in the way")
    assert (outside / "precious").read_text() == "of somebody"

    staging.write_text("a file")
    outcome = module.run(the_map.arguments(ENTRY))
    assert staging.read_text() == "a file"
    staging.unlink()
    refused(outcome, the_map, f"{staging} is in the way")

    lock.symlink_to(outside / "made through a link")
    outcome = module.run(the_map.arguments(ENTRY))
    lock.unlink()
    refused(outcome, the_map, str(lock))
    assert not (outside / "made through a link").exists()
    changes(module, the_map)


@pytest.mark.parametrize("kind", ["folder", "fifo", "socket"])
@pytest.mark.parametrize("which", ["source", "table"])
def test_no_regular_file(module: ModuleServer, tmp_path: Path, which: str, kind: str) -> None:
    """It says so; above all it does not wait for somebody to write into it."""
    the_map = ScratchMap(tmp_path / "map", "hash").make()
    path = the_map.path if which == "source" else the_map.table
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.mknod(path, stat.S_IFSOCK | 0o600)
    outcome = module.run(the_map.arguments(ENTRY))
    assert outcome.status == 1
    assert str(path) in outcome.result["msg"]
    assert the_map.names() == {path.name}


def test_without_selinux(module: ModuleServer, the_map: ScratchMap) -> None:
    """An option for SELinux changes nothing, as in ansible-core's modules, and does no harm."""
    context = {"seuser": "system_u", "serole": "object_r", "setype": "postfix_etc_t"}
    outcome = module.run(the_map.arguments(ENTRY, **context))
    assert outcome.result["entries_changed"] == [KEY]
    outcome = module.run(the_map.arguments(ENTRY, **context))
    assert outcome.result["changed"] is False
