# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs all nox sessions, four at a time, and ends with a table of what ran and what did not.

As a program, with the path of nox: ``python tests/tooling/run_sessions.py .venv/bin/nox``. A
session's output goes to build/log and is shown as a whole when it is done, so that sessions
never mix. Exit status 0 if every session passed. What could not run on this machine is named at
the end, in lines that begin with NOT RUN.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LOGS = ROOT / "build" / "log"
#: Twice the processors of a usual machine: functional tests and installations wait a lot. With three,
#: a fifth of the processors' time was left over.
AT_ONCE = 4
#: A session that takes longer than this is stuck.
LIMIT_SECONDS = 60 * 60
#: A passed session's output is shown up to this many lines; all of it is in its log.
SHOWN_LINES = 40
#: Where a session, or tests/conftest.py, says what it left out.
MARK = "NOT RUN: "

_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Outcome:
    """How one session went."""

    name: str
    passed: bool
    seconds: float
    output: str

    @property
    def word(self) -> str:
        """How it went, in one word or two of the same width."""
        if not self.passed:
            return "FAILED "
        return "not run" if f"{MARK}{self.name} needs " in self.output else "passed "

    @property
    def not_run(self) -> list[str]:
        """What the session says it left out."""
        lines = (line.partition(MARK) for line in self.output.splitlines())
        return [said for _before, mark, said in lines if mark]


def sessions(nox: str) -> list[str]:
    """The names of the sessions that run by default, in the noxfile's order."""
    listing = subprocess.run(
        [nox, "--list", "--json"], cwd=str(ROOT), check=True, stdout=subprocess.PIPE
    )
    return [str(entry["session"]) for entry in json.loads(listing.stdout)]


def say(text: str) -> None:
    """Print at once and as one piece, since several threads do."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(nox: str, name: str) -> Outcome:
    """Run one session to its end."""
    say(f"--- {name}: started")
    started = time.monotonic()
    log = LOGS / f"{name}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [nox, "--session", name, "--no-color"],
            cwd=str(ROOT),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        _running.add(process)
        try:
            status = process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            # The group: nox alone would leave its programs behind.
            os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
            stream.write(b"Killed: it took longer than %d s.\n" % LIMIT_SECONDS)
        _running.discard(process)
    output = log.read_text(encoding="utf-8", errors="replace")
    return Outcome(name, status == 0, time.monotonic() - started, output)


def show(outcome: Outcome) -> None:
    """Print a session's output, shortened if it passed."""
    lines = outcome.output.splitlines()
    if outcome.passed and len(lines) > SHOWN_LINES:
        said = f"[{len(lines) - SHOWN_LINES} lines before these are in the log]"
        lines = [said, *lines[-SHOWN_LINES:]]
    head = f"=== {outcome.name}: {outcome.word.strip()} in {outcome.seconds:.0f} s"
    say("\n    ".join([head, *lines]))


def summary(outcomes: t.Sequence[Outcome], seconds: float) -> str:
    """The table at the end."""
    rows = [f"{outcome.word}  {outcome.seconds:5.0f} s  {outcome.name}" for outcome in outcomes]
    left_out = [f"{MARK}{said}" for outcome in outcomes for said in outcome.not_run]
    words = [outcome.word for outcome in outcomes]
    failed, ran = words.count("FAILED "), len(words) - words.count("not run")
    verdict = f"{failed} of {ran} FAILED" if failed else f"all {ran} passed"
    # A line that several sessions say is said once.
    return "\n".join([*rows, f"{verdict}, {seconds:.0f} s in all", *dict.fromkeys(left_out)])


def main(nox: str) -> int:
    """Run everything; the exit status."""
    LOGS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    outcomes: dict[str, Outcome] = {}
    names = sessions(nox)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for future in as_completed([pool.submit(run, nox, name) for name in names]):
                outcome = future.result()
                outcomes[outcome.name] = outcome
                show(outcome)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(_running):
                os.killpg(process.pid, signal.SIGTERM)
            return 130
    in_order = [outcomes[name] for name in names]
    say("=" * 72 + "\n" + summary(in_order, time.monotonic() - started))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    say(f"{used.ru_utime + used.ru_stime:.0f} s of processor time, without daemons")
    return 0 if names and all(outcome.passed for outcome in in_order) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
