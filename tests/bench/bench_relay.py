# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""postfix_relay, module and role, on many hosts, against plain tasks and against ping.

All hosts are this machine, each with an instance's configuration of its own; no Postfix is
started. The login is left out (`verify: false`), because it is SES's time. Packages are left out of
all plays: the task is the same in each.

Against the plain tasks there are two ratios: that of the whole plays, in which the start of
ansible-playbook counts, and that of the tasks, each from its worker's start to its result. On one
host a play with nothing but a ping is more than a quarter of the one with the plain tasks.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import typing as t
from pathlib import Path

from .plays import Run, Task, play, row

HOSTS = (1, 5, 20, 50)
MOST_FORKS = 20
TASKS = 15

HOST = "email-smtp.eu-west-1.amazonaws.com"
USERNAME = "AKIAIOSFODNN7EXAMPLE"
PASSWORD = "a-password-for-the-benchmark"
CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
CONFIG = "{{ config }}"

OPTIONS: dict[str, t.Any] = {
    "config_directory": CONFIG,
    "username": USERNAME,
    "password": PASSWORD,
    "region": "eu-west-1",
    "verify": False,
}
MODULE: Task = {"name": "relay", "mailops.ses.postfix_relay": OPTIONS}
ROLE = {
    "role": "mailops.ses.postfix_relay",
    **{f"postfix_relay_{name}": value for name, value in OPTIONS.items()},
    "postfix_relay_packages": [],
    "postfix_relay_service": False,
}
#: What AWS's page on Postfix has people type, as tasks.
SETTINGS = (
    f"relayhost = [{HOST}]:587",
    "smtp_sasl_auth_enable = yes",
    "smtp_sasl_security_options = noanonymous",
    f"smtp_sasl_password_maps = hash:{CONFIG}/sasl_passwd",
    "smtp_tls_security_level = secure",
    "smtp_tls_note_starttls_offer = yes",
    f"smtp_tls_CAfile = {CA_FILE}",
)
PLAIN: list[Task] = [
    {
        "name": "Write the password file",
        "ansible.builtin.copy": {
            "content": f"[{HOST}]:587 {USERNAME}:{PASSWORD}\n",
            "dest": f"{CONFIG}/sasl_passwd",
            "mode": "0600",
        },
        "notify": "postmap",
    },
    {
        "name": "Set what SES needs",
        "ansible.builtin.command": {"argv": ["postconf", "-c", CONFIG, "-e", "{{ item }}"]},
        "loop": list(SETTINGS),
    },
]
HANDLERS: list[Task] = [
    {
        "name": "postmap",
        "ansible.builtin.command": {
            "argv": ["postmap", "-c", CONFIG, f"hash:{CONFIG}/sasl_passwd"]
        },
    }
]
PING: Task = {"name": "ping", "ansible.builtin.ping": {}}
MAIN_CF = "compatibility_level = 2\ndefault_database_type = hash\n"
#: What mail needs to leave a host, without which the module refuses it.
MASTER_CF = """\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
smtp unix - - n - - smtp
"""
PLAYS: dict[str, dict[str, t.Any]] = {
    "ping": {"tasks": [PING]},
    "the module": {"tasks": [MODULE]},
    "the role": {"roles": [ROLE]},
    "plain tasks": {"tasks": PLAIN, "handlers": HANDLERS},
}


def main() -> None:
    """Print the ratios. Needs root, as the module does, and Postfix."""
    with tempfile.TemporaryDirectory(prefix="mailops-ses-bench-") as name:
        folder = Path(name)
        nothing_to_do(folder)
        second = {number: on_hosts(folder, number) for number in HOSTS}
    print("Growth from 5 to 50 hosts: seconds a host of a second run; in brackets, CPU time")
    for what in ("the module", "the role"):
        few, many = (second[number][what] for number in (5, 50))
        cpu = many.cpu / few.cpu / 10
        row(what, many.seconds / 50, many.seconds / few.seconds / 10, f"   ({cpu:.2f})")


def nothing_to_do(folder: Path) -> None:
    """Time tasks that find all as it should be against ping, in one run of ansible-playbook."""
    tasks = [{**MODULE, "name": "first"}]
    for _number in range(TASKS):
        tasks += [PING, MODULE]
    run = play(folder, tasks, instances(folder / "one", 1))
    if run.changed != 1:
        raise SystemExit(f"a first run and {TASKS} more made {run.changed} changes")
    ping, relay = run.median("ping"), run.median("relay")
    print("postfix_relay with nothing to do, verify: false")
    row("a ping task", ping, 1)
    row("the module's task", relay, relay / ping)


def on_hosts(folder: Path, number: int) -> dict[str, Run]:
    """Time first and second runs on so many hosts; returns the second."""
    forks = min(number, MOST_FORKS)
    runs: dict[str, list[Run]] = {}
    for what, content in PLAYS.items():
        hosts = instances(folder / f"{number}-{what.split()[-1]}", number)
        first = play(folder, hosts=hosts, forks=forks, **content)
        # There is no second ping that differs from the first.
        again = what != "ping"
        runs[what] = [
            first,
            play(folder, hosts=hosts, forks=forks, **content) if again else first,
        ]
        check(what, hosts, runs[what])
    print(f"{number} hosts, {forks} at once: ansible-playbook as a whole; in brackets, CPU time")
    print("  Ratios: to ping; to the plain tasks, as whole plays and by the time of their tasks")
    for which, word in enumerate(("first", "second")):
        of_it = {what: both[which] for what, both in runs.items()}
        for what, run in of_it.items():
            row(f"{what}, {word} run", run.seconds, *against(run, of_it))
    return {what: both[1] for what, both in runs.items()}


def against(run: Run, others: t.Mapping[str, Run]) -> tuple[float, str]:
    """The ratio to ping, and the rest of the line."""
    ping, plain = others["ping"], others["plain tasks"]
    return run.seconds / ping.seconds, (
        f"   ({run.cpu:.1f} s, {run.cpu / ping.cpu:.2f})"
        f"   {run.seconds / plain.seconds:.2f} ({run.cpu / plain.cpu:.2f})"
        f"   tasks {run.of_tasks / plain.of_tasks:.2f}"
    )


def instances(folder: Path, number: int) -> dict[str, dict[str, str]]:
    """Make so many configurations of Postfix; returns the hosts of an inventory."""
    hosts = {}
    for count in range(number):
        config = folder / str(count)
        config.mkdir(parents=True)
        (config / "master.cf").write_text(MASTER_CF)
        (config / "main.cf").write_text(f"{MAIN_CF}queue_directory = {config}\n")
        os.utime(config / "main.cf", (0, 0))  # Postfix waits while main.cf is seconds old
        hosts[f"host{count}"] = {"config": str(config)}
    return hosts


def check(what: str, hosts: t.Mapping[str, t.Mapping[str, str]], runs: t.Sequence[Run]) -> None:
    """End the program if the runs did not do what they are timed for."""
    if what == "ping":
        return
    if what != "plain tasks" and [run.changed for run in runs] != [len(hosts), 0]:
        raise SystemExit(f"{what}: {[run.changed for run in runs]} changes on {len(hosts)} hosts")
    for host in hosts.values():
        key = f"[{HOST}]:587"
        found = {
            "relayhost": said("postconf", "-c", host["config"], "-h", "relayhost"),
            "login": said("postmap", "-q", key, f"hash:{host['config']}/sasl_passwd"),
        }
        if found != {"relayhost": key, "login": f"{USERNAME}:{PASSWORD}"}:
            raise SystemExit(f"{what}: there is {found}")


def said(*command: str) -> str:
    """What a program prints."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip()
