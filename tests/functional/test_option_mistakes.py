# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mistake with an option shows no secret in anything that Ansible writes, and names itself.

All mistakes with all options are in tests/unit/plugins/action/test_option_mistakes.py. Here are
one of each kind for each module, with all that only a real run shows.
"""

from __future__ import annotations

import json
import textwrap
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
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli, squeezed
from ansible_collections.mailops.ses.tests.support.running.option_mistakes import MODULES, derivable
from ansible_collections.mailops.ses.tests.support.running.vaulted import inline, vaulted

pytestmark = pytest.mark.every_minor

OTHER_ACCESS_KEY = "AKIAEXAMPLE000000003"
PASSWORDS = list(PASSWORD_OF.values())
SECRETS = [SECRET_KEY[:20], SECRET_KEY[20:], SECRET_KEY[::-1], *PASSWORDS]
VAULT_PASSWORD = "the vault password"
VAULTED = {
    "vaulted_secret": SECRET_KEY,
    "vaulted_json": json.dumps({"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}),
}
#: a callback that tells all, and those that write files
CHANNELS: dict[str, dict[str, str]] = {
    "json": {"ANSIBLE_STDOUT_CALLBACK": "json_lines"},
    "screen and files": {
        "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.junit,ansible.builtin.tree",
        "ANSIBLE_CALLBACK_TREE_DIR": "logs/tree",
        "JUNIT_OUTPUT_DIR": "logs",
    },
}
KEY_OF_JSON = {"access_key": OTHER_ACCESS_KEY, "secret_key": "{{ vaulted_json | from_json }}"}
#: where the secret key comes from: the play's variable that has it
SOURCES = ("vaulted_secret", "inline_secret")
OF_EACH_MODULE: list[tuple[dict[str, t.Any], str]] = [
    ({"regoin": "eu-west-1"}, "regoin (did you mean region?)"),
    ({"secret_kye": "{{ vaulted_secret }}"}, "secret_kye (did you mean secret_key?)"),
    ({"timeout": "{{ vaulted_secret }}", "unknown": 1}, "unknown"),
    ({"secret_key": ["{{ vaulted_secret }}"]}, "secret_key must be a string, not list"),
    ({"secret_key": "{{ vaulted_secret }} "}, "secret_key has white space after it"),
]
OF_ONE_MODULE: list[tuple[str, dict[str, t.Any], str]] = [
    ("postfix_relay", {"port": "{{ vaulted_secret }}"}, "'port' is of type str"),
    ("postfix_relay", {"fips": "{{ vaulted_secret }}"}, "'fips' is of type str"),
    ("postfix_relay", {"tls": "{{ vaulted_secret }}"}, "value of tls must be one of: starttls"),
    ("postfix_relay", {"state": "{{ vaulted_secret }}"}, "value of state must be one of"),
    ("postfix_relay", {"path": "{{ vaulted_secret }}"}, "path has a secret for its value"),
    ("postfix_relay", {"mode": "{{ vaulted_secret }}"}, "mode has a secret for its value"),
    ("postfix_relay", {"senders": "{{ vaulted_secret }}"}, "'senders[0]' is of type str"),
    ("postfix_relay", {"senders": [{"tls": "starttls"}]}, "senders[0].sender"),
    (
        "postfix_relay",
        {"senders": [{"sender": "@a.example", "secret_kye": "{{ vaulted_secret }}"}]},
        "senders[0].secret_kye",
    ),
    # Half of one key with half of another, of the task and of the environment.
    (
        "postfix_relay",
        {"senders": [{"sender": "@a.example", "access_key": OTHER_ACCESS_KEY}]},
        (
            f"senders[0]: secret_key is missing beside access_key {OTHER_ACCESS_KEY}. The"
            f" secret_key of the task belongs to the access_key {ACCESS_KEY} there"
        ),
    ),
    (
        "postfix_sasl_passwd",
        {"entries": [{"aws_secret_key": "{{ vaulted_secret[::-1] }}"}]},
        f"entries[0]: access_key is missing beside secret_key. The access_key {ACCESS_KEY} of the",
    ),
    *(
        (
            module,
            {"access_key": OTHER_ACCESS_KEY, "secret_key": "{{ not_there | default(omit) }}"},
            (
                f"secret_key is missing beside access_key {OTHER_ACCESS_KEY}. The secret_key of"
                f" the controller's environment belongs to the access_key {ACCESS_KEY} there"
            ),
        )
        for module in MODULES
        if module != "postfix_relay_info"
    ),
    (
        "postfix_relay_info",
        {"secret_key": "{{ not_there | default(omit) }}"},
        "secret_key is missing. Give access_key and secret_key together",
    ),
    (
        "postfix_relay_info",
        {"candidates": [{"access_key": ACCESS_KEY, "secret_key": "{{ vaulted_secret[::-1] }}"}]},
        "candidates[0] and the task give different values of secret_key for the same access_key",
    ),
    ("postfix_sasl_passwd", {"entries": ["{{ vaulted_secret }}"]}, "'entries[0]' is of type str"),
    ("postfix_sasl_passwd", {"entries": [{"tls": "ssl"}]}, "value of entries[0].tls must be one"),
    ("postfix_sasl_passwd", {"key": "{{ vaulted_secret }}"}, "key has a secret for its value"),
    (
        "postfix_relay_info",
        {"candidates": [{"access_key": ACCESS_KEY}]},
        "candidates[0].secret_key",
    ),
    ("postfix_relay_key", {"state": "present"}, "value of state must be one of: confirmed"),
    # Up to ansible-core 2.18 a template makes a dict of JSON text.
    (
        "ses_smtp_ping",
        {"secret_key": "{{ vaulted_json }}"},
        "Take the secret out of it, like `.secret_access_key`",
    ),
    (
        "postfix_relay",
        {"senders": [{"sender": "@a.example", **KEY_OF_JSON}]},
        "senders[0]: secret_key must be a string, not dict. Take the secret out of it, like `.secret",
    ),
    (
        "postfix_relay_info",
        {"candidates": [{"access_key": ACCESS_KEY, "secret_key": "{{ vaulted_json }}"}]},
        "Take the secret out of it, like",
    ),
    ("ses_smtp_credentials", {"reveal": "{{ vaulted_secret }}"}, "'reveal' is of type str"),
    ("ses_smtp_ping", {"endpoint": "{{ vaulted_secret }}"}, "endpoint has a secret for its value"),
]
FILTERS = [
    ("vaulted_json | mailops.ses.ses_smtp_password('eu-west-1')", "secret_key is JSON text. Parse"),
    (
        "vaulted_json | from_json | mailops.ses.ses_smtp_password('eu-west-1')",
        "`.secret_access_key`",
    ),
    (
        "vaulted_json | from_json | string | mailops.ses.ses_smtp_password('eu-west-1')",
        "secret_key is the text of a dict. Don't make text of it",
    ),
    (
        f"('{ACCESS_KEY}:' ~ inline_secret) | mailops.ses.ses_smtp_password('eu-west-1')",
        "secret_key is an access key ID and its secret in one text. Give the ID as access_key",
    ),
    ("vaulted_secret | b64encode | mailops.ses.ses_smtp_password", "Decode it with `| b64decode"),
    (
        "lookup('ansible.builtin.file', 'template.txt') | mailops.ses.ses_smtp_password",
        "the template was not rendered",
    ),
    (
        "'' | mailops.ses.ses_smtp_password_info('secret=' ~ vaulted_secret)",
        "secret_key has its name before it",
    ),
    ("vaulted_secret | mailops.ses.ses_smtp_password(regoin='eu-west-1')", "regoin"),
    ("vaulted_secret | mailops.ses.ses_smtp_password('eu-west-1', 4, 5, 6, 7)", "argument"),
    ("[vaulted_secret] | mailops.ses.ses_smtp_password('eu-west-1')", "must be a string, not list"),
    ("'eu-west-1' | mailops.ses.ses_smtp_password(vaulted_secret)", "region is not a region name"),
    ("vaulted_secret | mailops.ses.ses_smtp_endpoint", "region is not a region name"),
    ("vaulted_secret | mailops.ses.ses_smtp_password_info(vaulted_secret, 1, 2)", "argument"),
    ("vaulted_secret | mailops.ses.postfix_relay_audit", "postfix_relay_audit"),
]


def tasks() -> list[tuple[dict[str, t.Any], str]]:
    """All tasks, and what the error of each says."""
    made = []
    for module in MODULES:
        for number, (options, says) in enumerate(OF_EACH_MODULE):
            source = SOURCES[number % len(SOURCES)]
            good = derivable(module, f"{{{{ {source} }}}}")
            made.append(({f"mailops.ses.{module}": {**good, **options}}, says))
        # From the environment, and from the defaults of the action group.
        made.append(({f"mailops.ses.{module}": {"regoin": "eu-west-1"}}, "regoin"))
        defaults = {"group/mailops.ses.ses": derivable("", "{{ vaulted_secret }}")}
        mistaken = {f"mailops.ses.{module}": {"regoin": "eu-west-1"}}
        made.append(({**mistaken, "module_defaults": defaults}, "regoin"))
    for module, options, says in OF_ONE_MODULE:
        good = derivable(module, "{{ inline_secret }}")
        made.append(({f"mailops.ses.{module}": {**good, **options}}, says))
    for call, says in FILTERS:
        made.append(({"ansible.builtin.set_fact": {"told": f"{{{{ {call} }}}}"}}, says))
    return made


@pytest.fixture(name="cli")
def fixture_cli(tmp_path: Path) -> AnsibleCli:
    cli = AnsibleCli(tmp_path)
    (tmp_path / "logs").mkdir()
    cli.write("vault-password", VAULT_PASSWORD)
    cli.write("vars.yml", vaulted(yaml.safe_dump(VAULTED), VAULT_PASSWORD))
    cli.write("template.txt", "{{ vaulted_secret }}")
    cli.write("inline.yml", f"inline_secret: {inline(SECRET_KEY, VAULT_PASSWORD, 2)}")
    return cli


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_mistake_shows_no_secret(cli: AnsibleCli, channel: str) -> None:
    """Every other task has no_log: the odd ones in one channel, the even ones in the other."""
    wanted = tasks()
    first = list(CHANNELS).index(channel)
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": ["vars.yml", "inline.yml"],
        "tasks": [
            {
                "name": f"Mistake {number}.",
                **task,
                "ignore_errors": True,
                "no_log": (number + first) % 2 == 0,
            }
            for number, (task, _says) in enumerate(wanted)
        ],
    }
    cli.write("play.yml", yaml.safe_dump([play], width=1000, sort_keys=False))
    done = cli.run(
        "ansible-playbook",
        *("-vvvvv", "--diff", "--vault-password-file", "vault-password", "play.yml"),
        environment={
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "ANSIBLE_LOG_PATH": "logs/ansible.log",
            **CHANNELS[channel],
        },
    )
    assert done.returncode == 0, done.stdout
    logs = [path.read_text() for path in (cli.folder / "logs").rglob("*") if path.is_file()]
    assert found_in("\n".join([done.stdout, *logs]), SECRETS) == []
    assert "NoneType: None" not in done.stdout
    shown = squeezed(done.stdout)
    assert "unexpected" not in shown.replace("unexpectedkeyword", "")
    for number, (task, says) in enumerate(wanted):
        answer = shown[shown.index(f"Mistake{number}.") :].split(f"Mistake{number + 1}.")[0]
        assert (number + first) % 2 == 0 or squeezed(says) in answer, task


def test_an_error_begins_with_the_mistake(cli: AnsibleCli) -> None:
    """Without -v: up to 2.18 no crash, from 2.19 on the task's place in the playbook."""
    cli.write(
        "play.yml",
        textwrap.dedent(
            """
            - hosts: localhost
              gather_facts: false
              vars_files: [vars.yml]
              tasks:
                - name: Set up the relay
                  mailops.ses.postfix_relay:
                    secret_key: "{{ vaulted_secret }}"
                    regoin: eu-west-1
            """
        ),
    )
    vault = ("--vault-password-file", "vault-password")
    done = cli.run("ansible-playbook", *vault, "play.yml")
    assert done.returncode == 2
    shown = squeezed(done.stdout)
    assert "Anexceptionoccurred" not in shown
    assert "mailops.ses.postfix_relay:Unsupportedparameters" in shown
    assert "ansible_collections.mailops" not in shown
    # ansible-core 2.19 and newer begin an error so, and then show the line.
    if "[ERROR]:" in shown:
        assert squeezed(f"Origin: {cli.folder}/play.yml:5:7") in shown
        assert squeezed("5     - name: Set up the relay") in shown
    assert found_in(done.stdout, SECRETS) == []
