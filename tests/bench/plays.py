# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs playbooks on hosts that are all this machine, and tells how long their tasks took."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

CALLBACK_PLUGINS = Path(__file__).with_name("callback_plugins")
PROGRAMS = Path(sys.executable).parent
Task = dict[str, t.Any]


@dataclass(frozen=True)
class Run:
    """One run of ansible-playbook: how long it took, all CPUs' share of that, and a line a result.

    `peak` is the memory, in KiB, of the largest of its processes.
    """

    seconds: float
    cpu: float
    peak: int
    #: As task_times has them.
    lines: list[dict[str, t.Any]]

    def median(self, task: str) -> float:
        """The median seconds of a task's runs."""
        return float(
            statistics.median(line["seconds"] for line in self.lines if line["task"] == task)
        )

    @property
    def of_tasks(self) -> float:
        """The seconds of all tasks on all hosts: without the start of ansible-playbook itself."""
        return float(sum(line["seconds"] for line in self.lines))

    @property
    def changed(self) -> int:
        """How many results are changes."""
        return sum(line["changed"] for line in self.lines)


def play(
    folder: Path,
    tasks: t.Sequence[Task] = (),
    hosts: t.Mapping[str, t.Mapping[str, t.Any]] | None = None,
    forks: int = 5,
    **also: t.Any,
) -> Run:
    """Run tasks on `hosts` (variables by name), one if nothing is said.

    `also` goes into the play, as in `roles=[...]`. Ends the program if a task fails.
    """
    playbook = folder / "playbook.json"
    content = {"hosts": "all", "gather_facts": False, "tasks": list(tasks), **also}
    playbook.write_text(json.dumps([content]))
    inventory = folder / "hosts.json"
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    of_hosts = dict(hosts or {"here": {}})
    inventory.write_text(json.dumps({"all": {"hosts": of_hosts, "vars": variables}}))
    done = timed(
        [PROGRAMS / "ansible-playbook", "--forks", str(forks), "-i", inventory, playbook],
        {
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACK_PLUGINS),
            "ANSIBLE_STDOUT_CALLBACK": "task_times",
        },
        check=False,
    )
    lines = [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]
    if done.status:
        failed = [line for line in lines if line["status"] == "failed"] or done.output
        raise SystemExit(f"ansible-playbook failed: {failed}")
    return Run(done.seconds, done.cpu, done.peak, lines)


@dataclass(frozen=True)
class Timed:
    """What a program took, with all that it ran: seconds, of these CPU time, and memory in KiB.

    The memory is that of the largest process.
    """

    seconds: float
    cpu: float
    peak: int
    status: int
    output: str


def timed(
    command: t.Sequence[str | Path],
    environment: t.Mapping[str, str] | None = None,
    check: bool = True,
) -> Timed:
    """Run a program; what it has to say about errors is seen as it comes.

    Ends this one if it fails, unless `check` is false.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if check and process.returncode:
        raise SystemExit(f"{command[0]} failed: {output}")
    seconds = time.perf_counter() - started
    cpu = usage.ru_utime + usage.ru_stime
    return Timed(seconds, cpu, usage.ru_maxrss, process.returncode, output)


def row(what: str, seconds: float, ratio: float, more: str = "") -> None:
    """Print a line of a table of ratios."""
    print(f"  {what:38} {seconds:8.3f} s   {ratio:.2f}{more}", flush=True)
