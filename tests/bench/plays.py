# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs playbooks on hosts that are all this machine, and tells how long their tasks took."""

from __future__ import annotations

import json
import os
import resource
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
    """One run of ansible-playbook: how long it took, all CPUs' share of that, and a line a result."""

    seconds: float
    cpu: float
    #: As task_times has them.
    lines: list[dict[str, t.Any]]

    def median(self, task: str) -> float:
        """The median seconds of a task's runs."""
        return float(
            statistics.median(line["seconds"] for line in self.lines if line["task"] == task)
        )

    @property
    def changed(self) -> int:
        """How many results are changes."""
        return sum(line["changed"] for line in self.lines)


def play(
    folder: Path,
    tasks: t.Sequence[Task] = (),
    hosts: t.Mapping[str, t.Mapping[str, str]] | None = None,
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
    cpu = children_cpu()
    started = time.perf_counter()
    done = subprocess.run(
        [PROGRAMS / "ansible-playbook", "--forks", str(forks), "-i", inventory, playbook],
        env={
            **os.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACK_PLUGINS),
            "ANSIBLE_STDOUT_CALLBACK": "task_times",
        },
        text=True,
        capture_output=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        failed = [line for line in lines if line["status"] == "failed"] or done.stdout
        raise SystemExit(f"ansible-playbook failed: {failed}\n{done.stderr}")
    return Run(seconds, children_cpu() - cpu, lines)


def children_cpu() -> float:
    """The CPU seconds of all programs that were run so far, with what they have run."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def row(what: str, seconds: float, ratio: float, more: str = "") -> None:
    """Print a line of a table of ratios."""
    print(f"  {what:38} {seconds:8.3f} s   {ratio:.2f}{more}", flush=True)
