# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""postfix_relay_info and postfix_relay with nothing to do on 200 hosts, against ping.

All hosts are this machine, as in bench_relay.
"""

from __future__ import annotations

import tempfile
import typing as t
from pathlib import Path

from .bench_relay import MODULE, PING, instances
from .plays import Task, play, row

HOSTS = 200
FORKS = (10, 50)

SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CANDIDATE = {"access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": SECRET_KEY}
INFO: Task = {
    "name": "info",
    "mailops.ses.postfix_relay_info": {
        "config_directory": "{{ config }}",
        "candidates": [CANDIDATE],
    },
}
PLAYS: t.Mapping[str, Task] = {"ping": PING, "postfix_relay_info": INFO, "postfix_relay": MODULE}


def main() -> None:
    """Print the ratios. Needs root, as the modules do, and Postfix."""
    with tempfile.TemporaryDirectory(prefix="mailops-ses-bench-") as name:
        folder = Path(name)
        hosts = instances(folder / "fleet", HOSTS)
        play(folder, [MODULE], hosts, forks=FORKS[0])
        for forks in FORKS:
            runs = {what: play(folder, [task], hosts, forks) for what, task in PLAYS.items()}
            changed = {what: run.changed for what, run in runs.items() if run.changed}
            if changed:
                raise SystemExit(f"runs that have nothing to do have changed something: {changed}")
            print(f"{HOSTS} hosts, {forks} at once: seconds a host; in brackets, CPU time")
            ping = runs["ping"]
            for what, run in runs.items():
                more = f"   ({run.cpu / ping.cpu:.2f}; ansible-playbook {run.peak // 1024} MiB)"
                row(what, run.seconds / HOSTS, run.seconds / ping.seconds, more)
