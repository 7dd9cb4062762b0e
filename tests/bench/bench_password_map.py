# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""postfix_sasl_passwd: one entry of a large map, nothing to do, and many entries in one call."""

from __future__ import annotations

import base64
import json
import os
import random
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from ansible_collections.mailops.ses.tests.support.running.payloads import entries_payload

from .plays import Task, Timed, play, timed

ENTRIES = 100_000
MANY = 10_000
ROUNDS = 5
TASKS = 15

MODULE = "ansible_collections.mailops.ses.plugins.modules.postfix_sasl_passwd"
PING = "ansible.modules.ping"
#: What the action plugin has for options that a task does not give.
DEFAULTS: dict[str, t.Any] = {"state": "present", "exclusive": False, "entries": None}


def main() -> None:
    """Print the ratios. Needs root, as the module does, and Postfix."""
    with tempfile.TemporaryDirectory(prefix="mailops-ses-bench-") as name:
        folder = Path(name)
        config = folder / "postfix"
        config.mkdir()
        (config / "main.cf").write_text("compatibility_level = 2\n")
        os.utime(config / "main.cf", (0, 0))  # Postfix waits while main.cf is seconds old
        print(f"One of {ENTRIES:,} entries changed")
        for table_type in ("hash", "lmdb"):
            one_entry(folder, config, table_type)
        nothing_to_do(folder, config)
        many_entries(folder, config)


def one_entry(folder: Path, config: Path, table_type: str) -> None:
    """Time the module's process against postmap on the same file, in turn."""
    path = folder / f"large-{table_type}-map"
    rng = random.Random(1)
    with path.open("w") as file:
        for number in range(ENTRIES):
            password = base64.b64encode(rng.randbytes(33)).decode()
            file.write(f"[host{number}.example.com]:587 AKIA{number:016d}:{password}\n")
    path.chmod(0o600)
    postmap = ["postmap", "-c", str(config), f"{table_type}:{path}"]
    times: dict[str, list[Timed]] = {"postmap": [], "ping": [], "module": []}
    for number in range(ROUNDS):
        times["postmap"].append(timed(postmap))
        times["ping"].append(timed(module(PING, folder, {})))
        entry = {
            "key": "[host500.example.com]:587",
            "username": "AKIAIOSFODNN7EXAMPLE",
            "password": f"the-password-of-round-{number}",
            "present": True,
            "requested_by": "the task",
        }
        arguments = {
            "path": str(path),
            "map_type": table_type,
            "config_directory": str(config),
            "password": entries_payload(entry),
        }
        times["module"].append(timed(module(MODULE, folder, arguments)))
        result = json.loads(times["module"][-1].output)
        if not (result["changed"] and result["compiled"]):
            raise SystemExit(f"the module changed nothing: {result}")
    alone, empty, whole = (
        min(run.seconds for run in times[name]) for name in ("postmap", "ping", "module")
    )
    cpu = {name: min(run.cpu for run in runs) for name, runs in times.items()}
    memory = max(run.peak for run in times["module"])
    print(f"  postmap {table_type} on the file alone       {alone:8.3f} s   1")
    print(
        f"  the module, {table_type}                     {whole:8.3f} s   {whole / alone:.2f}"
        f"   ({(whole - empty) / alone:.2f} without an empty module's {empty:.3f} s;"
        f" {memory // 1024} MiB at most; CPU time {cpu['module'] / cpu['postmap']:.2f})"
    )


def nothing_to_do(folder: Path, config: Path) -> None:
    """Time tasks that find all as it should be against ping, in one run of ansible-playbook."""
    task = {
        "mailops.ses.postfix_sasl_passwd": {
            "config_directory": str(config),
            "username": "AKIAIOSFODNN7EXAMPLE",
            "password": "a-password-for-the-benchmark",
            "region": "eu-west-1",
        }
    }
    tasks: list[Task] = [{"name": "first", **task}]
    for _number in range(TASKS):
        tasks += [{"name": "ping", "ansible.builtin.ping": {}}, {"name": "nothing to do", **task}]
    run = play(folder, tasks)
    if run.changed != 1:
        raise SystemExit("a run with nothing to do changed something")
    ping, nothing = (run.median(name) for name in ("ping", "nothing to do"))
    print("Nothing to do on a small map")
    print(f"  a ping task                            {ping:8.3f} s   1")
    print(f"  the module's task                      {nothing:8.3f} s   {nothing / ping:.2f}")


def many_entries(folder: Path, config: Path) -> None:
    """Time one call with many entries, a key each, against a call with one and against ping."""
    rng = random.Random(2)
    entries = [
        {
            "key": f"[host{number}.example.com]:587",
            "access_key": f"AKIA{number:016d}",
            "secret_key": base64.b64encode(rng.randbytes(30)).decode(),
            "region": "eu-west-1",
        }
        for number in range(MANY)
    ]

    def task(name: str, number: int) -> Task:
        options = {"path": str(folder / name), "entries": entries[:number]}
        where = {"config_directory": str(config)}
        return {"name": name, "mailops.ses.postfix_sasl_passwd": {**where, **options}}

    ping_task = {"name": "ping", "ansible.builtin.ping": {}}
    run = play(folder, [ping_task, task("one", 1), task("many", MANY)])
    ping, one, many = (run.median(name) for name in ("ping", "one", "many"))
    print(f"{MANY:,} entries with as many keys in one call")
    print(f"  a ping task                            {ping:8.3f} s   1")
    print(f"  one entry                              {one:8.3f} s   {one / ping:.2f}")
    print(
        f"  {MANY:,} entries                         {many:8.3f} s   {many / ping:.2f}"
        f"   ({(many - one) / (MANY - 1) * 1e6:.0f} us an entry)"
    )
    derived, written = parts(folder, config, task("parts", MANY))
    rest = many - derived - written
    for what, seconds in (("derivation", derived), ("the module alone", written), ("rest", rest)):
        print(f"    {what:36} {seconds:8.3f} s   {seconds / many:.2f} of it")
    print("    (the rest is Ansible's own work, and the transfer to the host)")


def parts(folder: Path, config: Path, task: Task) -> tuple[float, float]:
    """The seconds of a task's derivation on the controller, and of its module alone on the host."""
    # Not above: bench_derivation has Ansible's own importer import the collection first.
    from ansible_collections.mailops.ses.plugins.module_utils._payload import pack
    from ansible_collections.mailops.ses.plugins.plugin_utils._requested_entries import read_entries

    options = {**DEFAULTS, **task["mailops.ses.postfix_sasl_passwd"]}
    started = time.perf_counter()
    requested = read_entries(options)
    derived = time.perf_counter() - started
    arguments = {"path": options["path"], "config_directory": str(config)}
    arguments["password"] = pack("mailops.ses.postfix_sasl_passwd", requested.content)
    empty = min(timed(module(PING, folder, {})).seconds for _round in range(ROUNDS))
    return derived, timed(module(MODULE, folder, arguments)).seconds - empty


def module(name: str, folder: Path, arguments: dict[str, t.Any]) -> list[str]:
    """The command that runs a module alone, as on a managed host."""
    file = folder / "arguments.json"
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    return [sys.executable, "-m", name, str(file)]
