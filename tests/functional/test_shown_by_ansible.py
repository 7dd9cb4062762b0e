# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What guide_secrets says of ansible-core itself: what it shows, and what to do instead.

If a claim is no longer true for a newer ansible-core, a test fails, and the guide is to be changed.
"""

from __future__ import annotations

import importlib.metadata
import re
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
from ansible_collections.mailops.ses.tests.support.examples import guides
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli
from ansible_collections.mailops.ses.tests.support.running.vaulted import inline, vaulted

pytestmark = [pytest.mark.every_minor, pytest.mark.root, pytest.mark.postfix]

MINOR = tuple(int(part) for part in importlib.metadata.version("ansible-core").split(".")[:2])
SECRETS = [SECRET_KEY, *PASSWORD_OF.values()]
OTHER_KEY = "AnotherMadeUpSecretKeyForTests/0123456+9"
MODULE = "mailops.ses.postfix_sasl_passwd"
KEY = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
VAULT_PASSWORD = "the vault password"
VAULTED = {
    "ses_access_key_id": ACCESS_KEY,
    "ses_secret_access_key": SECRET_KEY,
    "dicts": [{**KEY, "name": "west", "region": "eu-west-1"}],
    "undefined_in_vault": [{**KEY, "region": "{{ nowhere }}"}],
}
OF_ITEM = {name: f"{{{{ item.{name} }}}}" for name in (*KEY, "region")}
GOOD: dict[str, t.Any] = {MODULE: OF_ITEM, "loop": "{{ dicts }}"}
FAILS: dict[str, t.Any] = {MODULE: {**OF_ITEM, "region": "", "version": 4}, "loop": "{{ dicts }}"}
LABEL = {"loop_control": {"label": "{{ item.name }}"}}
NO_LOG = {"no_log": True}
ALWAYS = ("", "-v")
LOUD = ("-v",)
#: a task, the verbosities with which it shows the key, and the newest ansible-core that does
TASKS: dict[str, tuple[dict[str, t.Any], tuple[str, ...], tuple[int, int]]] = {
    "loop": (GOOD, ALWAYS, (2, 21)),
    "loop that fails": (FAILS, ALWAYS, (2, 21)),
    "label": ({**GOOD, **LABEL}, LOUD, (2, 21)),
    "label that fails": ({**FAILS, **LABEL}, ALWAYS, (2, 21)),
    "no_log": ({**GOOD, **NO_LOG}, (), (2, 21)),
    "no_log that fails": ({**FAILS, **NO_LOG}, (), (2, 21)),
    "undefined": ({MODULE: {"entries": "{{ undefined_in_vault }}"}}, ALWAYS, (2, 18)),
    "undefined beside names": ({MODULE: {"entries": "{{ undefined_beside_names }}"}}, (), (2, 18)),
}


@pytest.fixture(name="cli")
def fixture_cli(tmp_path: Path) -> AnsibleCli:
    cli = AnsibleCli(tmp_path)
    cli.write("vault-password", VAULT_PASSWORD)
    cli.write("vault.yml", vaulted(yaml.safe_dump(VAULTED), VAULT_PASSWORD))
    (tmp_path / "postfix").mkdir()
    (tmp_path / "postfix" / "main.cf").write_text("compatibility_level = 3.6\n")
    return cli


def here(play: dict[str, t.Any]) -> dict[str, t.Any]:
    """The play for this machine, with a Postfix that has its configuration in the test's folder."""
    defaults = {MODULE: {"config_directory": "{{ playbook_dir }}/postfix"}}
    own = {"hosts": "localhost", "become": False, "gather_facts": False}
    return {**play, **own, "module_defaults": defaults}


def run(cli: AnsibleCli, plays: list[dict[str, t.Any]], verbosity: str, **environment: str) -> str:
    cli.write("play.yml", yaml.safe_dump(plays, width=1000, sort_keys=False))
    arguments = [verbosity] if verbosity else []
    vault = ("--vault-password-file", "vault-password")
    output: str = cli.checked(
        "ansible-playbook", *arguments, *vault, "play.yml", environment=environment
    )
    return output


@pytest.mark.parametrize("verbosity", ALWAYS)
def test_what_loops_and_undefined_variables_show(cli: AnsibleCli, verbosity: str) -> None:
    names = {"access_key": "{{ ses_access_key_id }}", "secret_key": "{{ ses_secret_access_key }}"}
    play = {
        "vars_files": ["vault.yml"],
        "vars": {"undefined_beside_names": [{**names, "region": "{{ nowhere }}"}]},
        "tasks": [
            {"name": f"Show <{title}>", **task, "ignore_errors": True}
            for title, (task, _loud, _newest) in TASKS.items()
        ],
    }
    output = run(cli, [here(play)], verbosity)
    parts = re.split(r"TASK \[Show <(.*?)>\]", output)
    shown = {
        title: found_in(part, SECRETS) != []
        for title, part in zip(parts[1::2], parts[2::2], strict=True)
    }
    assert shown == {
        title: verbosity in loud and newest >= MINOR
        for title, (_task, loud, newest) in TASKS.items()
    }
    # Up to ansible-core 2.18 it hides the error, too.
    hidden = parts[parts.index("no_log that fails") + 1]
    assert "censored" in hidden
    assert ("region is empty" in hidden) is (MINOR >= (2, 19))


def test_the_guides_recipes_show_nothing(cli: AnsibleCli) -> None:
    recipes = [text for text in guides.blocks("guide_secrets", "yaml+jinja") if "tenants:" in text]
    plays = [here(play) for text in recipes for play in yaml.safe_load(text)]
    assert len(plays) == 2
    for play in list(plays):
        # With a mistake, too: there is no version 3.
        task = play["tasks"][0]
        options = {**task[MODULE], "version": 3}
        if "entries" in options:
            options["entries"] = "{{ tenants + [{'version': 3}] }}"
        plays.append({**play, "tasks": [{**task, MODULE: options, "ignore_errors": True}]})
    output = run(cli, plays, "-vvvvv")
    assert output.count("version must be 2 or 4") >= 2
    assert found_in(output, SECRETS) == []
    for region in ("eu-west-1", "us-east-1"):
        assert PASSWORD_OF[region] in (cli.folder / "postfix" / "sasl_passwd").read_text()


def test_what_ansible_debug_shows(cli: AnsibleCli) -> None:
    options = {**{name: f"{{{{ dicts[0].{name} }}}}" for name in KEY}, "region": "eu-west-1"}
    play = here({"vars_files": ["vault.yml"], "tasks": [{MODULE: options}]})
    output = run(cli, [play], "", ANSIBLE_DEBUG="1")
    assert (found_in(output, [PASSWORD_OF["eu-west-1"]]) != []) is (MINOR <= (2, 21))
    assert found_in(output, [SECRET_KEY]) == []


def test_what_a_role_and_the_tasks_arguments_show(cli: AnsibleCli) -> None:
    vault = ("--vault-password-file", "vault-password")
    text = f"""
- hosts: localhost
  gather_facts: false
  vars_files: [vault.yml]
  tasks:
    - name: An option that is an inline value
      {MODULE}:
        unknown: 1
        secret_key: {inline(OTHER_KEY, VAULT_PASSWORD, 10)}
      ignore_errors: true
    - name: A secret in the wrong variable of the role
      ansible.builtin.include_role:
        name: mailops.ses.postfix_relay
      vars:
        postfix_relay_secret_key: "{{{{ ses_secret_access_key }}}}"
        postfix_relay_fips: "{{{{ ses_secret_access_key }}}}"
"""
    (cli.folder / "play.yml").write_text(text, encoding="utf-8")
    environment = {"ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "1"}
    done = cli.run("ansible-playbook", *vault, "play.yml", environment=environment)
    assert "argument 'postfix_relay_fips' is of type" in done.stdout
    assert (found_in(done.stdout, [OTHER_KEY]) != []) is (MINOR <= (2, 21))
    assert (found_in(done.stdout, [SECRET_KEY]) != []) is (MINOR <= (2, 21))


def test_how_many_lines_an_error_quotes(cli: AnsibleCli) -> None:
    """The line with the mistake and two before it, of a file that is not vaulted."""
    cli.write(
        "play.yml",
        f"""
        - hosts: localhost
          gather_facts: false
          vars_files: [vault.yml]
          tasks:
            - {MODULE}:
                key: a
                secret_key: {OTHER_KEY}
                access_key: {ACCESS_KEY}
                region: "{{{{ nowhere }}}}"
              ignore_errors: true
            - {MODULE}:
                secret_key: {SECRET_KEY}
                key: a
                access_key: {ACCESS_KEY}
                region: "{{{{ nowhere }}}}"
              ignore_errors: true
        """,
    )
    output = cli.checked("ansible-playbook", "--vault-password-file", "vault-password", "play.yml")
    assert "'nowhere' is undefined" in output
    assert (found_in(output, [OTHER_KEY]) != []) is (MINOR >= (2, 19))
    assert found_in(output, [SECRET_KEY]) == []
