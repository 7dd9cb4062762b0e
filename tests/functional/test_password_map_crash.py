# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_sasl_passwd`` killed before the system calls with which it touches the map, in turn.

Before each that changes a name, and before one in six of the others, see ``kill_points.choose``.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import re
import shutil
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.isolation.memory_disk import memory_disk
from ansible_collections.mailops.ses.tests.support.postfix.kill_points import (
    Killer,
    KillPoint,
    NotReachedError,
    choose,
)
from ansible_collections.mailops.ses.tests.support.postfix.left_behind import Seen, left_behind
from ansible_collections.mailops.ses.tests.support.postfix.scratch_map import (
    MODULE,
    ScratchMap,
    requested,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import table_types
from ansible_collections.mailops.ses.tests.support.running.module_runner import (
    ModuleServer,
    Outcome,
)

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

# Where there is no Postfix, conftest.py has these tests left out; collecting must not fail there.
TYPES = table_types() if shutil.which("postconf", path="/usr/sbin:/usr/bin:/sbin:/bin") else []

KEY = "[email-smtp.eu-west-1.amazonaws.com]:587"
USERNAME = "AKIAIOSFODNN7EXAMPLE"
OLD = f"{USERNAME}:the-old-password"
NEW = f"{USERNAME}:the-new-password"
FOREIGN = {"[smtp.example.net]:587": "them:their    own/password+", "@example.org": "us:another"}
OLD_SOURCE = f"""\
# by hand
[SMTP.example.net]:587   them:their
# between the lines
    own/password+
{KEY}\t{OLD}

@example.org us:another""".encode()
NEW_SOURCE = OLD_SOURCE.replace(OLD.encode(), NEW.encode())
CREATED_SOURCE = f"{KEY} {NEW}\n".encode()

WORKERS = 2
ATTEMPTS = 4
#: What a run can't do without, by process; if strace does not show them, the points are not all.
CALLS = {
    "module": {
        *("close", "fchmod", "flock", "fsync", "mkdirat", "openat", "renameat"),
        *("unlinkat", "write"),
    },
    "compile": {"openat", "fcntl", "close"},
    "verify": {"openat", "close"},
}
#: Of all where one type and scenario can be killed; texthash has no table to compile.
LEAST_POINTS = 15


@dataclass(frozen=True)
class Scenario:
    """What there is before a run, and what it makes of it; None for no map at all.

    Without ``every_call`` it is only killed before calls that can change something: before others,
    there is what there was before the one before.
    """

    before: bytes | None
    after: bytes
    interrupted: bool = False
    every_call: bool = False

    def __post_init__(self) -> None:
        assert self.before != self.after


SCENARIOS = {
    "rotation": Scenario(OLD_SOURCE, NEW_SOURCE, every_call=True),
    "creation": Scenario(None, CREATED_SOURCE),
    "rotation after a kill": Scenario(OLD_SOURCE, NEW_SOURCE, interrupted=True),
}


@pytest.fixture(name="servers", scope="module")
def fixture_servers() -> t.Iterator[list[ModuleServer]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(ModuleServer(MODULE)) for _dummy in range(WORKERS)]


@pytest.fixture(name="disk")
def fixture_disk(tmp_path: Path) -> t.Iterator[Path]:
    with memory_disk(tmp_path / "disk") as disk:
        yield disk


class Trial:
    """One scenario with one table type in a folder of its own, to be killed again and again."""

    def __init__(
        self, folder: Path, server: ModuleServer, map_type: str, scenario: Scenario, seen: Seen
    ) -> None:
        folder.mkdir()
        self._scenario = scenario
        self._before = folder / "before"
        self.map = ScratchMap(folder / "map", map_type)
        ScratchMap(self._before, map_type).make(scenario.before)
        if scenario.interrupted:
            left = self._before / ".sasl_passwd.mailops"
            left.mkdir(0o700)
            for name in ("0123456789abcdef", f"0123456789abcdef{self.map.table.suffix}"):
                shutil.copy2(self._before / "sasl_passwd", left / name)
        arguments = self.map.arguments(requested(KEY, *NEW.split(":")))
        self.killer = Killer(server, self.map.directory, folder / "killer", arguments)
        #: What kills have left: whether the table and the source are new, and which files there are.
        self.states: set[tuple[bool, bool, frozenset[str]]] = set()
        self._seen = seen
        self._keys = [KEY] if scenario.before is None else [KEY, *FOREIGN]
        self._old = {} if scenario.before is None else {KEY: OLD, **FOREIGN}
        self._new = {key: {KEY: NEW, **FOREIGN}[key] for key in self._keys}

    def reset(self) -> None:
        """Bring back what there was before the first run."""
        if self.map.directory.exists():
            shutil.rmtree(self.map.directory)
        shutil.copytree(self._before, self.map.directory)

    def points(self) -> list[KillPoint]:
        """Where a run can be killed."""
        found = []
        for process, calls in CALLS.items():
            if process != "compile" or self.map.table != self.map.path:
                self.reset()
                points = self.killer.points_of(process)
                assert calls <= {point.syscall for point in points}
                found += points
        if not self._scenario.every_call:
            found = [point for point in found if not point.is_idle]
        return found

    def check(self, point: KillPoint) -> None:
        """Kill a run there, look at what it leaves, and run it again.

        What another kill has left, nobody looks at again; nor at what runs have made of it.
        """
        outcome = self._kill(point)
        if point.process != "module" and not point.with_module:
            self._check_failure(point, outcome.result)
        if self._seen.is_new("left", self._files()):
            self._check_left_behind()
            self._check_another_run()

    def _check_another_run(self) -> None:
        again = self.killer.run()
        assert not again.result.get("failed"), again
        assert self.map.look_up(*self._keys) == self._new
        assert self.map.source() == self._scenario.after
        assert self.map.names() == self.map.right_names()
        assert self.map.exposed() == []
        if self._seen.is_new("finished", self._files()):
            identities = self.map.identities()
            assert self.killer.run().result["changed"] is False
            assert self.map.identities() == identities

    def _files(self) -> tuple[str, ...]:
        return left_behind(self.map.directory, {str(self.map.directory): "DIRECTORY"})

    def _kill(self, point: KillPoint) -> Outcome:
        for _dummy in range(ATTEMPTS - 1):
            self.reset()
            with contextlib.suppress(NotReachedError):
                return self.killer.kill(point)
        self.reset()
        return self.killer.kill(point)

    def _check_left_behind(self) -> None:
        found, source = self.map.look_up(*self._keys), self.map.source()
        assert found in (self._old, self._new)
        assert source in (self._scenario.before, self._scenario.after)
        # The next postmap, by whomever, would bring the old entries back.
        assert (found, source) != (self._new, self._scenario.before)
        assert self.map.exposed() == []
        names = self.map.names()
        assert names <= self.map.right_names() | {".sasl_passwd.mailops"}
        self.states.add((found == self._new, source == self._scenario.after, frozenset(names)))

    def _check_failure(self, point: KillPoint, result: dict[str, t.Any]) -> None:
        """The module has outlived its postmap. It may have got all answers before that died."""
        if point.process == "verify" and not result.get("failed"):
            assert self.map.look_up(*self._keys) == self._new
            return
        assert result["failed"]
        assert re.search("postmap can't make a table|the new table does not have", result["msg"])
        assert self.map.look_up(*self._keys) == self._old
        assert self.map.source() == self._scenario.before
        assert self.map.names() <= self.map.right_names()


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("map_type", TYPES)
def test_killed_anywhere(
    disk: Path, servers: list[ModuleServer], map_type: str, scenario: str
) -> None:
    """The old entries or the new ones, all of them, for nobody else to read; and then the new."""
    started = time.monotonic()
    seen = Seen()
    trials = [
        Trial(disk / str(number), server, map_type, SCENARIOS[scenario], seen)
        for number, server in enumerate(servers)
    ]
    found = trials[0].points()
    points = choose(found)

    now: dict[int, KillPoint] = {}

    def work(number: int) -> None:
        for point in points[number::WORKERS]:
            now[number] = point
            trials[number].check(point)
        del now[number]

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as executor:
        running = [executor.submit(work, number) for number in range(WORKERS)]
    for point in now.values():
        print(f"failed when killed at {point}")
    for each in running:
        each.result()
    kinds = collections.Counter(
        f"{point.process}{' and module' * point.with_module}" for point in points
    )
    took = time.monotonic() - started
    states = set[t.Any]().union(*(trial.states for trial in trials))
    print(
        f"{map_type}, {scenario}: {len(points)} of {len(found)} kill points {dict(kinds)},"
        f" leave {seen.count('left')} different things, {len(states)} states, and then"
        f" {seen.count('finished')}; {took:.0f} s"
    )
    assert len(found) >= LEAST_POINTS * (4 if SCENARIOS[scenario].every_call else 1)


@pytest.mark.parametrize("map_type", TYPES)
def test_on_the_disk_before_it_is_in_force(
    disk: Path, servers: list[ModuleServer], map_type: str
) -> None:
    """A kill leaves the kernel's cache as it is, a power cut does not: what fsync(2) is for."""
    trial = Trial(disk / "trial", servers[0], map_type, SCENARIOS["rotation"], Seen())
    trial.reset()
    calls = trial.killer.chronicle()
    folder = re.escape(str(trial.map.directory))
    renames = [
        (number, "/".join(match.group(1, 2)), "/".join(match.group(3, 4)))
        for number, call in enumerate(calls)
        for match in [
            re.search(
                rf'renameat\(\d+<({folder}/[^>]*)>, "(.*)", \d+<({folder})>, "([^/]*)"\)', call
            )
        ]
        if match
    ]
    wanted = {str(trial.map.path), str(trial.map.table)}
    assert {target for _number, _staged, target in renames} == wanted
    for number, staged, _target in renames:
        writes = number_of_last(r"(pwrite64|write|ftruncate|fallocate)\(", staged, calls[:number])
        synced = number_of_last(r"(fsync|fdatasync)\(", staged, calls[:number])
        assert writes < synced, staged
    last = renames[-1][0]
    assert number_of_last(r"fsync\(", str(trial.map.directory), calls) > last


def number_of_last(name: str, path: str, calls: list[str]) -> int:
    """The number of the last such call on a file descriptor of ``path``."""
    # Postfix makes a cdb file under yet another name.
    pattern = re.compile(rf"(?:\d+ +)?{name}\d+<{re.escape(path)}(\.tmp)?>")
    numbers = [number for number, call in enumerate(calls) if pattern.match(call)]
    assert numbers, f"no {name} of {path}"
    return numbers[-1]
