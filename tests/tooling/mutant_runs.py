# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the tests with each mutant, in processes forked from one pytest that has collected them.

mutmut starts a pytest for each mutant, which takes ten times as long as the tests of a mutant.
As a program: ``python .../mutant_runs.py MUTANTS VERDICTS TEST ...``, in the folder that holds the
mutated ansible_collections. MUTANTS is a JSON file with the names that mutmut gave the mutants;
VERDICTS becomes one that says of each whether a test failed with it.
"""

from __future__ import annotations

import gc
import importlib
import json
import math
import os
import resource
import signal
import sys
import time
import typing as t
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

#: What mutmut's functions take for a mutant that does nothing, one that notes which functions ran,
#: and one that always raises.
NONE, NOTE, RAISE = "", "stats", "fail"
#: What a mutant may take: this times what its tests take, and some seconds more. They are more
#: seconds on the clock than of processor time: on a busy machine a process waits.
PATIENCE_FACTOR = 15
COMPUTING_SECONDS, WAITING_SECONDS = 3, 20

Verdicts = dict[str, bool]


def name_function(mutant: str) -> str:
    """The function that ``mutant``, by mutmut's name, is a change of."""
    return mutant.partition("__mutmut_")[0]


@dataclass
class TestsOfFunctions:
    """Which tests run a function, the quick ones first, and how long each takes."""

    seconds: dict[str, float] = field(default_factory=dict)
    by_function: dict[str, list[pytest.Item]] = field(default_factory=lambda: defaultdict(list))

    def find(self, mutant: str) -> list[pytest.Item]:
        """The tests that may notice ``mutant``."""
        found = self.by_function.get(name_function(mutant), [])
        return sorted(found, key=lambda item: self.seconds[item.nodeid])

    def allow_seconds(self, items: t.Iterable[pytest.Item]) -> int:
        """How many seconds ``items`` may take."""
        return math.ceil(PATIENCE_FACTOR * sum(self.seconds[item.nodeid] for item in items))


class Activation:
    """Says to the mutated functions which mutant they are."""

    def __init__(self) -> None:
        # Only the session for mutation testing has mutmut.
        self._trampoline = importlib.import_module("mutmut.mutation.trampoline")
        self._state = importlib.import_module("mutmut.state").state()

    def choose(self, mutant: str) -> None:
        """Let the functions be as ``mutant`` has them."""
        self._trampoline.set_mutant_under_test(mutant)

    def take_noted(self) -> set[str]:
        """The functions that ran since the last call, if ``NOTE`` was chosen."""
        noted = set(self._state._stats)
        self._state._stats.clear()
        return noted


def run_one(item: pytest.Item, following: pytest.Item | None) -> None:
    """Run a test; ``following`` is the next one, for which fixtures may stay."""
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def run_until_failure(items: t.Sequence[pytest.Item]) -> bool:
    """Run ``items`` one after another, and tell whether one failed; then the others don't run."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        run_one(item, following)
        if item.session.testsfailed:
            return True
    return False


def run_all_noting(items: t.Sequence[pytest.Item], activation: Activation) -> TestsOfFunctions:
    """Run all tests without a mutant, and note which functions each runs."""
    noted = TestsOfFunctions()
    activation.choose(NOTE)
    activation.take_noted()
    for item, following in zip(items, [*items[1:], None], strict=True):
        started = time.process_time()
        run_one(item, following)
        noted.seconds[item.nodeid] = time.process_time() - started
        for function in activation.take_noted():
            noted.by_function[function].append(item)
    activation.choose(NONE)
    return noted


def run_forked(
    items: t.Sequence[pytest.Item], mutant: str, activation: Activation, patience: int
) -> t.NoReturn:
    """Be the process of one mutant: exit with status 1 if a test noticed it, otherwise with 0.

    A signal ends it if it takes too long.
    """
    status = 1
    try:
        # Nobody reads what each of the processes has to say.
        items[0].config.pluginmanager.unregister(name="terminalreporter")
        computing = COMPUTING_SECONDS + patience
        resource.setrlimit(resource.RLIMIT_CPU, (computing, computing))
        signal.alarm(WAITING_SECONDS + patience)
        activation.choose(mutant)
        status = int(run_until_failure(items))
    finally:
        os._exit(status)


class MutantRuns:
    """A plugin of pytest that runs the collected tests with every mutant instead of once."""

    def __init__(self, mutants: t.Sequence[str], at_once: int) -> None:
        self._mutants = mutants
        self._at_once = at_once
        self._activation = Activation()
        self._running: dict[int, str] = {}
        self.verdicts: Verdicts = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run everything. UsageError if the tests fail without a mutant, or cannot fail."""
        tests = run_all_noting(session.items, self._activation)
        if session.testsfailed or not session.items:
            raise pytest.UsageError("the tests have to pass without a mutant")
        # What all these processes share is not for each of them to look through.
        gc.collect()
        gc.freeze()
        gc.disable()
        self._check_forking(session.items, tests)
        for mutant in self._mutants:
            items = tests.find(mutant)
            if not items:
                self.verdicts[mutant] = False
                continue
            if len(self._running) == self._at_once:
                self._wait()
            self._start(mutant, items, tests)
        while self._running:
            self._wait()
        return True

    def _check_forking(self, items: t.Sequence[pytest.Item], tests: TestsOfFunctions) -> None:
        for mutant, noticed in ((NONE, False), (RAISE, True)):
            self._start(mutant, items, tests)
            self._wait()
            if self.verdicts.pop(mutant) is not noticed:
                outcome = "pass" if noticed else "fail"
                raise pytest.UsageError(f"the tests {outcome} in a process of mutant {mutant!r}")

    def _start(self, mutant: str, items: t.Sequence[pytest.Item], tests: TestsOfFunctions) -> None:
        patience = tests.allow_seconds(items)
        pid = os.fork()
        if pid == 0:
            run_forked(items, mutant, self._activation, patience)
        self._running[pid] = mutant

    def _wait(self) -> None:
        pid, status = os.wait()
        self.verdicts[self._running.pop(pid)] = status != 0


def run(mutants: t.Sequence[str], arguments: t.Sequence[str], at_once: int) -> Verdicts:
    """Run the tests that pytest finds by ``arguments`` with each of ``mutants``.

    :raises RuntimeError: if that would tell nothing about the mutants; pytest has said why.
    """
    runs = MutantRuns(mutants, at_once)
    # That a test fails is all that counts.
    options = ["-q", "--assert=plain", "--tb=native", "-p", "no:cacheprovider"]
    status = pytest.main([*options, *arguments], plugins=[runs])
    if status != pytest.ExitCode.OK or set(runs.verdicts) != set(mutants):
        raise RuntimeError(f"pytest exited with status {status}")
    return runs.verdicts


def main(names: Path, verdicts: Path, arguments: t.Sequence[str]) -> None:
    """Read ``names``, run everything, and write ``verdicts``."""
    mutants = json.loads(names.read_text(encoding="utf-8"))
    said = run(mutants, arguments, os.cpu_count() or 1)
    verdicts.write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
