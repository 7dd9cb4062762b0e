# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_sasl_passwd`` many times at once, and locks that are held or were left."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import shutil
import signal
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
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
    module_command,
    module_environment,
    payload,
    run_module,
)

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

# Where there is no Postfix, conftest.py has these tests left out; collecting must not fail there.
TYPES = table_types() if shutil.which("postconf", path="/usr/sbin:/usr/bin:/sbin:/bin") else []

PROCESSES = 8
TIMEOUT = 100.0  # seconds; below the 120 after which the module gives up
FOREIGN = {"[smtp.example.net]:587": "them:theirs", "@example.org": "us:ours"}
SOURCE = "".join(f"{key} {value}\n" for key, value in FOREIGN.items()).encode()


class Running:
    """The module in a process of its own, held back until it gets its arguments."""

    def __init__(self, environment: t.Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            module_command(MODULE),
            env=module_environment(environment),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def begin(self, arguments: t.Mapping[str, t.Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(payload(arguments))
        self.process.stdin.close()
        self.process.stdin = None

    def end(self) -> Outcome:
        """Wait for it; it is killed if it takes too long."""
        try:
            output, _none = self.process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return Outcome(self.process.returncode, output)


class Many:
    """Runs of the module that begin at once, each in a process of its own that has it loaded."""

    def __init__(self, servers: list[ModuleServer]) -> None:
        self._servers = servers

    def run(self, arguments: t.Sequence[t.Mapping[str, t.Any]]) -> list[Outcome]:
        """Run it with each of these ``PROCESSES`` arguments, and wait for all."""
        with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
            running = [
                pool.submit(server.run, each)
                for server, each in zip(self._servers, arguments, strict=True)
            ]
        return [each.result() for each in running]


@pytest.fixture(name="many", scope="module")
def fixture_many() -> t.Iterator[Many]:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(ModuleServer(MODULE)) for _dummy in range(PROCESSES)]
        yield Many(servers)


@pytest.mark.parametrize("map_type", TYPES)
def test_many_at_once(many: Many, tmp_path: Path, map_type: str) -> None:
    """Each with its own entry, over and over: none is lost, in the source or the table."""
    the_map = ScratchMap(tmp_path / "map", map_type).make(SOURCE)
    wanted = dict(FOREIGN)
    for turn in ("first", "second"):
        entries = {f"user{number}@example.com": f"u{number}:{turn}" for number in range(PROCESSES)}
        wanted.update(entries)
        given = [
            the_map.arguments(requested(key, *value.split(":"))) for key, value in entries.items()
        ]
        for outcome in many.run(given):
            assert outcome.result["changed"] is True, outcome
        assert the_map.look_up(*wanted) == wanted
        source = the_map.source() or b""
        assert sorted(source.decode().splitlines()) == sorted(f"{k} {wanted[k]}" for k in wanted)
        assert the_map.names() == the_map.right_names()
        assert the_map.exposed() == []


def test_adding_and_removing_at_once(many: Many, tmp_path: Path) -> None:
    the_map = ScratchMap(tmp_path / "map", "hash").make(SOURCE)
    old = [f"old{number}@example.com" for number in range(PROCESSES // 2)]
    new = [f"new{number}@example.com" for number in range(PROCESSES // 2)]
    run_module(MODULE, the_map.arguments(*(requested(key, "u", "p") for key in old)))
    entries = [requested(key, "u", "p") for key in new] + [
        requested(key, present=False) for key in old
    ]
    for outcome in many.run([the_map.arguments(entry) for entry in entries]):
        assert outcome.result["changed"] is True, outcome
    assert the_map.look_up(*FOREIGN, *old, *new) == {**FOREIGN, **dict.fromkeys(new, "u:p")}


def test_same_entry_at_once(many: Many, tmp_path: Path) -> None:
    """One of them changes it. The others find it done, and say so."""
    the_map = ScratchMap(tmp_path / "map", "hash").make(SOURCE)
    given = the_map.arguments(requested("user@example.com", "u", "p"))
    results = [outcome.result for outcome in many.run([given] * PROCESSES)]
    assert [result["entries_added"] for result in results if result["changed"]] == [
        ["user@example.com"]
    ]
    assert the_map.look_up(*FOREIGN, "user@example.com") == {**FOREIGN, "user@example.com": "u:p"}


def slow_postmap(folder: Path) -> dict[str, str]:
    """A postmap that waits, while there is a file ``wait``, before it makes a table."""
    fake = folder / "fakes" / "postmap"
    fake.parent.mkdir()
    waiting, wait = fake.with_name("waiting"), fake.with_name("wait")
    wait.touch()
    fake.write_text(
        f'#!/bin/sh\ncase " $* " in *" -q "*|*" -s "*) ;; *)'
        f" touch {waiting}; while [ -e {wait} ]; do sleep 0.05; done ;; esac\n"
        f'exec {program("postmap")} "$@"\n'
    )
    fake.chmod(0o755)
    return {"PATH": f"{fake.parent}:/usr/sbin:/usr/bin:/sbin:/bin"}


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not path.exists():
        assert time.monotonic() < deadline, f"there is still no {path}"
        time.sleep(0.02)


@pytest.mark.parametrize("map_type", [name for name in TYPES if name != "texthash"])
def test_lock_of_a_killed_process(tmp_path: Path, map_type: str) -> None:
    """It holds nobody up, though the postmap that the process had started still lives."""
    the_map = ScratchMap(tmp_path / "map", map_type).make(SOURCE)
    killed = Running(slow_postmap(tmp_path))
    killed.begin(the_map.arguments(requested("user@example.com", "u", "of-the-killed")))
    wait_for(tmp_path / "fakes" / "waiting")
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait(TIMEOUT)
    assert ".sasl_passwd.mailops" in the_map.names()
    assert the_map.exposed() == []
    assert the_map.look_up(*FOREIGN, "user@example.com") == FOREIGN

    started = time.monotonic()
    outcome = run_module(MODULE, the_map.arguments(requested("user@example.com", "u", "p")))
    assert outcome.result["entries_added"] == ["user@example.com"]
    assert time.monotonic() - started < TIMEOUT / 2
    wanted = {**FOREIGN, "user@example.com": "u:p"}
    assert the_map.look_up(*wanted) == wanted
    assert the_map.names() == the_map.right_names()

    # The orphan goes on where there is nothing any more, and does no harm.
    (tmp_path / "fakes" / "wait").unlink()
    assert killed.process.stdout is not None
    killed.process.stdout.read()  # it ends when the last that writes to it does
    killed.process.stdout.close()
    assert the_map.look_up(*wanted) == wanted
    assert the_map.names() == the_map.right_names()


def test_live_lock_is_waited_for(tmp_path: Path) -> None:
    """By a process that has work to do; not by one that has none, or is in check mode."""
    the_map = ScratchMap(tmp_path / "map", "hash").make(SOURCE)
    there = requested("@example.org", "us", "ours")
    new = requested("user@example.com", "u", "p")
    with open(the_map.directory / ".sasl_passwd.mailops.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = Running()
        waiting.begin(the_map.arguments(new))

        assert run_module(MODULE, the_map.arguments(there)).result["changed"] is False
        check = the_map.arguments(new, _ansible_check_mode=True)
        assert run_module(MODULE, check).result["changed"] is True

        time.sleep(1)
        assert waiting.process.poll() is None
        assert the_map.names() == the_map.right_names()
        assert the_map.source() == SOURCE
        # What somebody else has done meanwhile is kept.
        the_map.path.write_bytes(SOURCE + b"later@example.com u:later\n")
    assert waiting.end().result["entries_added"] == ["user@example.com"]
    wanted = {**FOREIGN, "later@example.com": "u:later", "user@example.com": "u:p"}
    assert the_map.look_up(*wanted) == wanted
