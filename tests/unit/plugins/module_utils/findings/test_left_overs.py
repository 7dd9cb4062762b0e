# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files of interrupted tasks are found, and what a hostile user can't do to the search."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings import _left_overs
from ansible_collections.mailops.ses.plugins.module_utils._findings._left_overs import (
    Places,
    find_left_overs,
)
from ansible_collections.mailops.ses.tests.support.example_key import PASSWORD_OF

PASSWORD = PASSWORD_OF["eu-west-1"]
TASK = "ansible-tmp-1795729857.282384-111-91497589706289"
RELAY = "AnsiballZ_postfix_relay.py"


class Machine:
    """A machine with users in a scratch directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = Places(
            users=str(folder / "passwd"),
            homes=str(folder / "home"),
            for_all=(str(folder / "tmp"),),
            processes=str(folder / "proc"),
            mounts=str(folder / "mounts"),
        )
        for name in ("home", "tmp", "proc"):
            (folder / name).mkdir()
        (folder / "passwd").write_text("")
        (folder / "mounts").write_text("")

    def put(self, path: str, text: str = PASSWORD) -> str:
        """Make a file with its directories; returns its whole path."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return str(file)

    def found(self, remote_tmp: str = "~/.ansible/tmp") -> list[str]:
        """The files that are found, each of them a critical finding without a secret."""
        findings = find_left_overs(remote_tmp, self.places)
        assert {each.id for each in findings} <= {"left_over_module"}
        assert {each.severity for each in findings} <= {"critical"}
        assert not any(PASSWORD in f"{each.message} {each.remedy}" for each in findings)
        return [each.file for each in findings]


@pytest.fixture(name="machine")
def fixture_machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    "module", ["postfix_relay", "postfix_relay_key", "postfix_sasl_passwd", "ses_smtp_ping"]
)
def test_each_module_with_a_secret(machine: Machine, module: str) -> None:
    path = machine.put(f"home/deploy/.ansible/tmp/{TASK}/AnsiballZ_{module}.py")
    machine.put(f"home/deploy/.ansible/tmp/{TASK}/AnsiballZ_copy.py")
    machine.put(f"home/deploy/.ansible/tmp/{TASK}/AnsiballZ_postfix_relay_info.py")
    assert machine.found() == [path]


@pytest.mark.parametrize(
    ("remote_tmp", "place"),
    [
        ("~/.ansible/tmp", "tmp"),
        ("~/.ansible/tmp", "tmp/.ansible/tmp"),
        ("~/.ansible/tmp", "tmp/.ansible-deploy/tmp"),
        ("~/.ansible/tmp", "tmp/ansible-deploy"),
        ("~/elsewhere", "home/deploy/elsewhere"),
        ("$HOME/elsewhere", "home/deploy/elsewhere"),
        ("{folder}/scratch/${USER}", "scratch/deploy"),
        ("{folder}/scratch", "scratch"),
        ("", "home/deploy/.ansible/tmp"),
    ],
)
def test_where_remote_tmp_can_be(machine: Machine, remote_tmp: str, place: str) -> None:
    (machine.folder / "home" / "deploy").mkdir()
    path = machine.put(f"{place}/{TASK}/{RELAY}")
    assert machine.found(remote_tmp.replace("{folder}", str(machine.folder))) == [path]


def test_users_with_their_homes_elsewhere(machine: Machine) -> None:
    path = machine.put(f"srv/app/.ansible/tmp/{TASK}/{RELAY}")
    home = machine.folder / "srv" / "app"
    lines = ["not a line", f"app:x:1000:1000::{home}:/bin/sh", f"twin:x:1001:1000::{home}/:"]
    Path(machine.places.users).write_text("\n".join([*lines, "none:x:1:1::relative:/bin/sh", ""]))
    assert machine.found() == [path]


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "autofs", "fuse.sshfs"])
def test_network_file_systems_are_left_alone(machine: Machine, kind: str) -> None:
    machine.put(f"home/deploy/.ansible/tmp/{TASK}/{RELAY}")
    Path(machine.places.mounts).write_text(
        f"server:/x {machine.folder}/home/deploy {kind} rw 0 0\n"
    )
    assert machine.found() == []


def test_results_of_asynchronous_tasks(machine: Machine) -> None:
    result = {"stdout": "", "invocation": {"password": json.dumps([{"password": PASSWORD}])}}
    path = machine.put("home/deploy/.ansible_async/j123456789.4711", json.dumps(result))
    machine.put("home/deploy/.ansible_async/j2.2", '{"started": 1, "finished": 0}')
    machine.put("home/deploy/.ansible_async/j3.3", f"x{PASSWORD}x of something longer")
    machine.put("home/deploy/.ansible_async/notes")
    assert machine.found() == [path]


def test_a_task_that_is_running_is_none(machine: Machine) -> None:
    path = machine.put(f"home/deploy/.ansible/tmp/{TASK}/{RELAY}")
    machine.put("proc/4711/cmdline", f"/usr/bin/python3\0{path}\0")
    machine.put("proc/4712/cmdline", "sh\0-c\0true\0")
    (machine.folder / "proc" / "4713").mkdir()
    machine.put("proc/uptime", "")
    other = machine.put(f"home/other/.ansible/tmp/{TASK}0/{RELAY}")
    assert machine.found() == [other]


def test_no_link_is_followed(machine: Machine) -> None:
    target = machine.folder / "elsewhere"
    machine.put(f"elsewhere/{TASK}/{RELAY}")
    machine.put("elsewhere/j1.1")
    home = machine.folder / "home" / "mallory"
    (home / ".ansible" / "tmp" / TASK).mkdir(parents=True)
    (home / ".ansible" / "tmp" / TASK / RELAY).symlink_to(target / TASK / RELAY)
    (home / ".ansible" / "tmp" / f"{TASK}1").symlink_to(target / TASK)
    (home / ".ansible_async").symlink_to(target)
    for path in (".ansible-mallory", ".ansible"):
        (machine.folder / "tmp" / path).symlink_to(target)
    other = machine.folder / "home" / "eve"
    (other / ".ansible").mkdir(parents=True)
    (other / ".ansible" / "tmp").symlink_to(target)
    (other / ".ansible_async").mkdir()
    (other / ".ansible_async" / "j1.1").symlink_to(target / "j1.1")
    os.mkfifo(other / ".ansible_async" / "j2.2")
    assert machine.found("~/../mallory/x") == []


def test_names_that_ansible_never_gives(machine: Machine) -> None:
    machine.put(f"home/mallory/.ansible/tmp/ansible-tmp-1;reboot/{RELAY}")
    machine.put(f"home/mallory/.ansible/tmp/ansible-tmp-1\n2/{RELAY}")
    machine.put("home/mallory/.ansible_async/j1.1 -rf")
    assert machine.found() == []


def incomplete(machine: Machine) -> t.List[str]:  # noqa: UP006  # Python 3.7
    findings = find_left_overs("", machine.places)
    assert findings[-1].id == "left_over_search_incomplete"
    assert findings[-1].severity == "warning"
    return [each.file for each in findings[:-1]] + [findings[-1].file]


def test_the_search_has_limits(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        machine.put(f"home/mallory/.ansible/tmp/{TASK}{number}/AnsiballZ_copy.py")
    path = machine.put(f"home/other/.ansible/tmp/{TASK}/{RELAY}")
    monkeypatch.setattr(_left_overs, "_MOST_NAMES", 2)
    assert incomplete(machine) == [path, f"{machine.folder}/home/mallory/.ansible/tmp"]


def test_the_search_has_an_end(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.put(f"home/other/.ansible/tmp/{TASK}/{RELAY}")
    monkeypatch.setattr(_left_overs, "_SECONDS", -1.0)
    assert incomplete(machine) == [f"{machine.folder}/home"]


def test_a_few_findings_say_it_all(machine: Machine) -> None:
    for number in range(30):
        machine.put(f"home/other/.ansible/tmp/{TASK}{number:02}/{RELAY}")
    assert len(incomplete(machine)) == 21


def test_home_directories_on_a_network_file_system_are_not_even_listed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is away would keep the search waiting for ever."""
    homes = machine.places.homes
    Path(machine.places.mounts).write_text(f"server:/home {homes} nfs4 rw 0 0\n")
    opened: list[str] = []
    really = os.open

    def noting(path: str, *arguments: t.Any, **options: t.Any) -> int:
        opened.append(path)
        return really(path, *arguments, **options)

    monkeypatch.setattr(os, "open", noting)
    assert machine.found() == []
    assert homes not in opened


def test_without_a_list_of_processes_what_is_there_is_reported(machine: Machine) -> None:
    path = machine.put(f"home/deploy/.ansible/tmp/{TASK}/{RELAY}")
    Path(machine.places.processes).rmdir()
    assert machine.found() == [path]
