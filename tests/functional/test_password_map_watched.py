# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Another user, who tries to read the map's files all the time, never can, and old passwords go."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.postfix.scratch_map import (
    MODULE,
    ScratchMap,
    requested,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import table_types
from ansible_collections.mailops.ses.tests.support.running.module_runner import ModuleServer

if t.TYPE_CHECKING:
    from multiprocessing.connection import Connection

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

# Where there is no Postfix, conftest.py has these tests left out; collecting must not fail there.
TYPES = table_types() if shutil.which("postconf", path="/usr/sbin:/usr/bin:/sbin:/bin") else []

NOBODY = 65534
ROTATIONS = 8
KEY = "[email-smtp.eu-west-1.amazonaws.com]:587"
SOURCE = b"@example.org us:ours\n"


class Watcher:
    """A process of an unprivileged user that tries to open all it finds in a folder."""

    def __init__(self, folder: Path) -> None:
        # Not started anew: the user may not read this Python.
        context = multiprocessing.get_context("fork")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_watch, args=(folder, there))

    def __enter__(self) -> Watcher:
        self._process.start()
        assert self._here.recv() == "watching"
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._here.close()

    def end(self) -> tuple[int, set[str]]:
        """End it; how often it has tried to open a file, and the names of those that it could."""
        self._here.send("end")
        tries, opened = self._here.recv()
        return tries, opened


def _watch(folder: Path, pipe: Connection) -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.chdir(folder)
    pipe.send("watching")
    tries = 0
    opened: set[str] = set()
    ending = False
    while not ending:
        # Once more after the end is asked for: what can be read then is seen for certain.
        ending = pipe.poll()
        folders = ["."]
        while folders:
            with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.name == "etc":
                        continue
                    with contextlib.suppress(OSError):
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                            continue
                    tries += 1
                    with contextlib.suppress(OSError):
                        os.close(os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK))
                        opened.add(entry.path)
    pipe.send((tries, opened))


@pytest.fixture(name="public_folder")
def fixture_public_folder() -> t.Iterator[Path]:
    """A folder that everybody may enter, other than pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    ("map_type", "umask"),
    # The usual one with one type alone: what it allows, the other allows as well.
    [*((name, 0o000) for name in TYPES), *((name, 0o022) for name in TYPES[:1])],
)
def test_nobody_else_reads_and_old_passwords_go(
    public_folder: Path, map_type: str, umask: int
) -> None:
    """They are not in free pages of a table either, where lmdb's postmap leaves them."""
    the_map = ScratchMap(public_folder / "map", map_type).make(SOURCE)
    passwords = [f"the-password-number-{number:02}-of-many" for number in range(ROTATIONS)]
    with ModuleServer(MODULE) as server, Watcher(the_map.directory) as watcher:
        for password in passwords:
            arguments = the_map.arguments(requested(KEY, "user", password), backup=True)
            assert server.run(arguments, umask=umask).result["changed"] is True
            for backup in the_map.names() - the_map.right_names():
                (the_map.directory / backup).unlink()
        tries, opened = watcher.end()
    assert the_map.look_up(KEY, "@example.org") == {
        KEY: f"user:{passwords[-1]}",
        "@example.org": "us:ours",
    }
    assert opened == set()
    # It has looked more often than there were files to be seen.
    assert tries > ROTATIONS * 10
    contents = {
        path.name: path.read_bytes() for path in the_map.directory.iterdir() if path.is_file()
    }
    for name in the_map.right_names():
        assert passwords[-1].encode() in contents[name]
    for name, content in contents.items():
        for password in passwords[:-1]:
            assert password.encode() not in content, name


def test_watcher_sees_what_there_is_to_see(public_folder: Path) -> None:
    """What a map that is handled as usual lets others read."""
    the_map = ScratchMap(public_folder / "map", "hash").make(SOURCE)
    with Watcher(the_map.directory) as watcher:
        (the_map.directory / "open").mkdir(mode=0o755)
        for _dummy in range(ROTATIONS):
            (the_map.directory / "open" / "new").touch(mode=0o644)
            the_map.table.chmod(0o644)
            the_map.table.chmod(0o600)
            (the_map.directory / "open" / "new").unlink()
        the_map.table.chmod(0o644)
        _tries, opened = watcher.end()
    assert "./sasl_passwd.db" in opened
