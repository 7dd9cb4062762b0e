# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task's own option replaces a default: what ansible-core's module_defaults make of a task.

All options of all modules are in tests/unit/plugins/action/test_module_defaults.py.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli, squeezed
from ansible_collections.mailops.ses.tests.support.running.vaulted import vaulted

pytestmark = pytest.mark.every_minor

OTHER = "AKIAEXAMPLE000000003"
OTHER_SECRET = "secret/access+key/of+the+number/00000003"
GROUP = {
    "aws_access_key": ACCESS_KEY,
    "aws_secret_key": "{{ vaulted_secret }}",
    "region": "eu-west-1",
    "port": 587,
}
OTHER_IAM = {"access_key": OTHER, "secret_key": "{{ other_secret }}"}
VAULT_PASSWORD = "the vault password"
MODULE = "mailops.ses.ses_smtp_credentials"
HALVES = (
    f"secret_key is missing beside access_key {OTHER}. The secret_key of module_defaults belongs"
)
TWO_NAMES = "are names of one option, and have different values. Remove one of them"

# a task, and the user name, host and port of its login
LOGINS: list[tuple[dict[str, t.Any], str]] = [
    ({MODULE: {}}, f"{ACCESS_KEY} eu-west-1 587"),
    ({MODULE: OTHER_IAM}, f"{OTHER} eu-west-1 587"),
    ({MODULE: f"access_key={OTHER} secret_key={{{{ other_secret }}}}"}, f"{OTHER} eu-west-1 587"),
    ({"action": {"module": MODULE, **OTHER_IAM}}, f"{OTHER} eu-west-1 587"),
    ({"local_action": {"module": MODULE, **OTHER_IAM}}, f"{OTHER} eu-west-1 587"),
    ({MODULE: {"aws_region": "eu-west-3"}}, f"{ACCESS_KEY} eu-west-3 587"),
    ({MODULE: {"aws_region": "{{ omit }}"}}, f"{ACCESS_KEY} eu-west-1 587"),
    ({MODULE: {"tls": "wrapper"}}, f"{ACCESS_KEY} eu-west-1 465"),
    ({MODULE: {**OTHER_IAM, "tls": "wrapper"}, "loop": ["x"]}, f"{OTHER} eu-west-1 465"),
    ({MODULE: None, "args": "{{ {'port': 2587} }}"}, f"{ACCESS_KEY} eu-west-1 2587"),
    (
        {MODULE: {"region": "eu-west-3"}, "module_defaults": {MODULE: {"tls": "wrapper", "port": 465}}},
        f"{ACCESS_KEY} eu-west-3 465",
    ),
]  # fmt: skip
REFUSED: list[tuple[dict[str, t.Any], str]] = [
    ({MODULE: {"access_key": OTHER}}, HALVES),
    ({MODULE: {"aws_access_key": OTHER}}, HALVES),
    ({MODULE: {**OTHER_IAM, "aws_access_key_id": ACCESS_KEY}}, TWO_NAMES),
    ({MODULE: None, "args": "{{ other_iam }}"}, TWO_NAMES),
    ({MODULE: {}, "module_defaults": {MODULE: OTHER_IAM}}, TWO_NAMES),
    (
        {"mailops.ses.postfix_relay": {"region": "eu-west-3", "regions": ["eu-west-1"]}},
        "region and regions exclude each other",
    ),
    # The error is the next one: of the default region there is none.
    (
        {"mailops.ses.postfix_relay": {"regions": ["eu-west-1", "eu-west-1"]}},
        "regions has eu-west-1 more than once",
    ),
    (
        {"mailops.ses.postfix_sasl_passwd": {"entries": [{**OTHER_IAM, "aws_secret_key": "x"}]}},
        "entries[0].secret_key and entries[0].aws_secret_key are names of one option",
    ),
]


def test_the_tasks_own_option_replaces_a_default(tmp_path: Path) -> None:
    cli = AnsibleCli(tmp_path)
    cli.write("vault-password", VAULT_PASSWORD)
    secrets = {"vaulted_secret": SECRET_KEY, "other_secret": OTHER_SECRET}
    cli.write("vars.yml", vaulted(yaml.safe_dump(secrets), VAULT_PASSWORD))
    vault = ("--vault-password-file", "vault-password")
    tasks: list[dict[str, t.Any]] = []
    for number, (task, _login) in enumerate(LOGINS):
        tasks.append({"name": f"Login {number}.", **task, "register": "login"})
        shown = "login.results[0]" if "loop" in task else "login"
        message = f"Login {number} is {{{{ {shown}.username }}}} {{{{ {shown}.region }}}} {{{{ {shown}.port }}}}!"
        tasks.append({"ansible.builtin.debug": {"msg": message}})
    for number, (task, _says) in enumerate(REFUSED):
        tasks.append({"name": f"Refused {number}.", **task, "ignore_errors": True})
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": ["vars.yml"],
        "vars": {"other_iam": OTHER_IAM},
        "module_defaults": {"group/mailops.ses.ses": GROUP},
        "tasks": tasks,
    }
    cli.write("play.yml", yaml.safe_dump([play], width=1000, sort_keys=False))
    done = cli.run("ansible-playbook", "-vvv", *vault, "play.yml")
    assert done.returncode == 0, done.stdout
    output = squeezed(done.stdout)
    for number, (task, login) in enumerate(LOGINS):
        assert squeezed(f"Login {number} is {login}!") in output, task
    for number, (task, says) in enumerate(REFUSED):
        answer = output[output.index(f"Refused{number}.") :].split(f"Refused{number + 1}.")[0]
        assert squeezed(says) in answer, (task, answer)
    assert found_in(done.stdout, [SECRET_KEY, OTHER_SECRET]) == []
