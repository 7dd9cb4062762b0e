# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks of the guide to rotation, with a stand-in for the module of another collection."""

from __future__ import annotations

import json
import os
import re
import textwrap
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, SECRET_KEY
from ansible_collections.mailops.ses.tests.support.examples import guides
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import (
    COLLECTIONS_PATH,
    AnsibleCli,
)

GUIDE = "guide_rotation"
OLD = "AKIAEXAMPLE000000002"

#: Answers as amazon.aws.iam_access_key documents it, and writes down what it was asked for.
STAND_IN = f"""
    from ansible.module_utils.basic import AnsibleModule

    module = AnsibleModule(
        argument_spec={{
            "user_name": {{"type": "str", "required": True}},
            "id": {{"type": "str"}},
            "state": {{"type": "str", "default": "present", "choices": ["present", "absent"]}},
            "active": {{"type": "bool"}},
        }}
    )
    with open("{{asked}}", "a") as file:
        file.write(module.jsonify(module.params) + "\\n")
    key = {{"access_key_id": "{ACCESS_KEY}", "status": "Active"}}
    made = {{}} if module.params["id"] else {{"secret_access_key": "{SECRET_KEY}"}}
    module.exit_json(changed=True, access_key=key, **made)
"""


@pytest.fixture(name="cli")
def fixture_cli(tmp_path: Path) -> AnsibleCli:
    """Ansible with a collection amazon.aws that has one module."""
    cli = AnsibleCli(tmp_path)
    folder = tmp_path / "collections/ansible_collections/amazon/aws/plugins/modules"
    folder.mkdir(parents=True)
    program = textwrap.dedent(STAND_IN).replace("{asked}", str(tmp_path / "asked"))
    (folder / "iam_access_key.py").write_text(f"#!/usr/bin/python\n{program}")
    paths = [tmp_path / "collections", COLLECTIONS_PATH]
    cli.environment["ANSIBLE_COLLECTIONS_PATH"] = os.pathsep.join(map(str, paths))
    return cli


def play(cli: AnsibleCli, playbook: str, *arguments: str, **variables: str) -> str:
    path = cli.write("playbook.yml", playbook)
    said = json.dumps({"ses_user": "mail", "rotate_old_access_key": OLD, **variables})
    output = cli.checked("ansible-playbook", path, "-vvv", f"--extra-vars={said}", *arguments)
    assert SECRET_KEY not in output
    return output


def asked(cli: AnsibleCli) -> list[dict[str, t.Any]]:
    """What the module was asked for so far, without what was left open."""
    lines = (cli.folder / "asked").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if value is not None}
        for line in lines
    ]


def test_the_cycle(cli: AnsibleCli) -> None:
    create, retire = guides.blocks(GUIDE, "yaml+jinja")
    play(cli, create, vault_password="for a test")
    assert asked(cli) == [{"user_name": "mail", "state": "present"}]
    vault = cli.folder / "new-key.yml"
    assert vault.stat().st_mode & 0o777 == 0o600
    cli.write("vault-password", "for a test\n")
    shown = cli.checked("ansible-vault", "view", "--vault-password-file=vault-password", vault)
    assert yaml.safe_load(shown) == {
        "rotate_access_key": ACCESS_KEY,
        "rotate_secret_key": SECRET_KEY,
    }
    play(cli, retire)
    play(cli, retire, "--tags=delete")
    old = {"user_name": "mail", "id": OLD}
    assert asked(cli)[1:] == [
        {**old, "state": "present", "active": False},
        {**old, "state": "absent"},
    ]


def test_the_command_is_for_a_playbook_of_this_collection(cli: AnsibleCli) -> None:
    (command,) = guides.blocks(GUIDE, "console")
    # Without become no password map could be read.
    assert "ansible-playbook -b mailops.ses.rotate" in command
    listing = cli.checked("ansible-playbook", "mailops.ses.rotate", "--list-tasks")
    assert "Check that the old access key can be deactivated" in listing
    named = set(re.findall(r"``(rotate_\w+)``", guides.text(GUIDE)))
    playbooks = Path(__file__).parents[2] / "playbooks"
    used = {
        name
        for path in playbooks.rglob("rotate*.yml")
        for name in re.findall(r"(?<![_\w])rotate_[a-z_]+\b(?!\.yml)", path.read_text())
    }
    assert named == used
