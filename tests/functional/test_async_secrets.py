# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An asynchronous task leaves no secret on the host: neither its result nor its module."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = [pytest.mark.every_minor, pytest.mark.slow]

CHOSEN = 'battery "horse"/staple+9'
SECRETS = [SECRET_KEY, *PASSWORD_OF.values(), CHOSEN]
KEY = {"access_key": ACCESS_KEY, "secret_key": "{{ secret }}", "region": "eu-west-3"}
LOGIN = {"username": "inp-1a2b3c", "password": "{{ chosen }}", "endpoint": "127.0.0.1", "port": 9}
HERE = {"config_directory": "{{ playbook_dir }}/postfix"}
# What the modules make of it does not matter. They get their secrets before that.
TASKS: list[dict[str, t.Any]] = [
    {"mailops.ses.postfix_sasl_passwd": {**KEY, **HERE, "owner": "{{ me }}", "group": "{{ me }}"}},
    {"mailops.ses.postfix_sasl_passwd": {**LOGIN, **HERE, "key": "smtp.example"}},
    {"mailops.ses.postfix_relay": {**KEY, **HERE, "verify": False}},
    {"mailops.ses.postfix_relay": {**LOGIN, **HERE, "verify": False}},
    {"mailops.ses.postfix_relay_info": {"candidates": [{**KEY, "region": "{{ omit }}"}], **HERE}},
    {"mailops.ses.ses_smtp_ping": {**KEY, "endpoint": "127.0.0.1", "port": 9}},
    {"mailops.ses.ses_smtp_ping": LOGIN},
    {"mailops.ses.ses_smtp_ping": {"region": "eu-west-1", "endpoint": "127.0.0.1", "port": 9}},
]


def plays() -> list[dict[str, t.Any]]:
    """Start all at once, wait for them, and then one with each of the two ways to hand over."""
    left: list[dict[str, t.Any]] = []
    seen: list[dict[str, t.Any]] = []
    for number, task in enumerate(TASKS):
        job = f"job_{number}"
        left.append({**task, "async": 300, "poll": 0, "register": job})
        seen.append(
            {
                "ansible.builtin.async_status": {"jid": f"{{{{ {job}.ansible_job_id }}}}"},
                "register": "seen",
                "until": "seen is finished",
                "retries": 600,
                "delay": 1,
                "ignore_errors": True,
            }
        )
    polled = {"async": 300, "poll": 1, "ignore_errors": True}
    waited = [{**task, **polled} for task in (TASKS[0], TASKS[-1])]
    tasks = [*left, *seen, *waited]
    return [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"secret": SECRET_KEY, "chosen": CHOSEN, "me": "root"},
            "tasks": tasks,
        }
    ]


def test_an_asynchronous_task_leaves_no_secret(tmp_path: Path) -> None:
    cli = AnsibleCli(tmp_path)
    # In plain text: a vaulted value would be known to ansible-core 2.22.
    play = cli.write("play.yml", yaml.safe_dump(plays(), width=1000, sort_keys=False))
    (tmp_path / "postfix").mkdir()
    (tmp_path / "postfix" / "main.cf").write_text("compatibility_level = 3.6\n")
    home = tmp_path / "home"
    environment = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "ANSIBLE_ASYNC_DIR": str(home / ".ansible_async"),
    }
    output = cli.checked("ansible-playbook", play, environment=environment)
    assert "could not find job" not in output
    assert len(list((home / ".ansible_async").iterdir())) == len(TASKS)  # poll: 1 removes its own
    # The module of a task is removed after its result has been written.
    assert comes_true(lambda: not list(home.rglob("AnsiballZ_*")))
    left = {
        str(path.relative_to(home)): found_in(path.read_text(errors="replace"), SECRETS)
        for path in home.rglob("*")
        if path.is_file()
    }
    assert {path: found for path, found in left.items() if found} == {}
