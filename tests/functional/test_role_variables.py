# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's variables between inventory and module: unset ones, inline vault values, mistakes.

All in one play in check mode, on hosts that share one Postfix that is not running.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_configs import ScratchHosts
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli

pytestmark = [pytest.mark.every_minor, pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

SPEC = Path(__file__).parents[2] / "roles" / "postfix_relay" / "meta" / "argument_specs.yml"
OPTIONS: dict[str, dict[str, t.Any]] = {
    name.partition("postfix_relay_")[2]: option
    for name, option in yaml.safe_load(SPEC.read_text("utf-8"))["argument_specs"]["main"][
        "options"
    ].items()
}
REGION = "eu-west-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_REGION": REGION,
}
#: So that the role does no more than the module, and needs no server.
MODULE_ALONE: dict[str, t.Any] = {"packages": [], "service": False, "verify": False}
#: Of every variable a value that would be seen, or would fail.
INHERITED: dict[str, t.Any] = {
    "state": "absent",
    "access_key": "AKIAEXAMPLE000000002",
    "secret_key": "secret/access+key/of+the+number/00000002",
    "region": "eu-west-3",
    "regions": ["eu-west-3", "eu-central-1"],
    "version": 2,
    "endpoint": "relay.example.net",
    "port": 2587,
    "tls": "wrapper",
    "fips": True,
    "dualstack": True,
    "username": "inp-other",
    "password": "other",
    "senders": [{"sender": "@example.com"}],
    "path": "relative",
    "config_directory": "/no/such/directory",
    "map_type": "texthash",
    "owner": "daemon",
    "group": "daemon",
    "mode": "0640",
    "seuser": "other_u",
    "serole": "other_r",
    "setype": "other_t",
    "selevel": "s1",
    "tls_security_level": "encrypt",
    "ca_file": "/no/such/file",
    "transport": "ses",
    "accept_findings": ["route_elsewhere"],
    "verify": True,
    "timeout": 1,
    "retries": 1,
    "delay": 1,
    "backup": True,
    "packages": ["other"],
    "service": True,
    "test_message": True,
    "test_message_sender": "other@example.com",
    "test_message_recipient": "other@example.net",
    "test_message_timeout": 1,
}
EMPTY_TYPES = ("path", "str")


def prefixed(variables: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {f"postfix_relay_{name}": value for name, value in variables.items()}


def vaulted(secret: str) -> str:
    """An inline value as ``ansible-vault encrypt_string`` prints it, in a line of YAML."""
    vault = VaultLib([("default", VaultSecret(b"the vault password"))])
    return f"!vault {json.dumps(vault.encrypt(secret).decode())}"


#: Host by host, what its inventory adds to MODULE_ALONE.
HOSTS: dict[str, dict[str, t.Any]] = {
    "plain": {},
    "nulls": {**dict.fromkeys(INHERITED), **MODULE_ALONE},
    "empty": {
        **{
            name: "" if option["type"] in EMPTY_TYPES or name == "mode" else None
            for name, option in OPTIONS.items()
        },
        **MODULE_ALONE,
    },
    "sender": {"senders": [{"sender": "@example.com"}]},
    "sender_nulls": {
        "senders": [{**dict.fromkeys(OPTIONS["senders"]["options"]), "sender": "@example.com"}]
    },
    "verify": {"verify": None, "endpoint": "localhost", "port": 1},
    "typo": {"tls": "startls"},
    "misplaced": {"tls": SECRET_KEY},
    "without_sender": {"test_message": True},
    "local_sender": {"test_message": True, "test_message_sender": "root@host"},
}
VAULTED = f"""
postfix_relay_access_key: {vaulted(ACCESS_KEY)}
postfix_relay_secret_key: {vaulted(SECRET_KEY)}
postfix_relay_senders:
  - sender: '@example.com'
    username: {ACCESS_KEY}
    password: {vaulted(PASSWORD_OF["eu-west-3"])}
  - sender: '@example.net'
    access_key: {ACCESS_KEY}
    secret_key: {vaulted(SECRET_KEY)}
"""
VAULTED_PASSWORD = f"""
postfix_relay_username: {ACCESS_KEY}
postfix_relay_password: {vaulted(PASSWORD_OF[REGION])}
"""


@pytest.fixture(scope="module", name="results")
def fixture_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, t.Any]]:
    """The last result on each host, which is the module's unless a task before it failed."""
    folder = tmp_path_factory.mktemp("role_variables")
    scratch = ScratchHosts(folder)
    scratch.add("shared")
    cli = AnsibleCli(folder / "controller")
    cli.environment["ANSIBLE_STDOUT_CALLBACK"] = "json_lines"
    # Or the first module that needs a temporary directory warns of it.
    Path(cli.environment["ANSIBLE_REMOTE_TEMP"]).mkdir(mode=0o700)
    hosts = {
        name: {
            "ansible_connection": "local",
            "ansible_python_interpreter": str(folder / "shared.python"),
            **prefixed({**MODULE_ALONE, **variables}),
        }
        for name, variables in {**HOSTS, "vaulted": {}, "vaulted_password": {}}.items()
    }
    heirs = {
        "hosts": {"nulls": {}, "empty": {}},
        "vars": prefixed(INHERITED),
    }
    cli.write("hosts.yml", json.dumps({"all": {"hosts": hosts, "children": {"heirs": heirs}}}))
    (cli.folder / "host_vars").mkdir()
    cli.write("host_vars/vaulted.yml", VAULTED)
    cli.write("host_vars/vaulted_password.yml", VAULTED_PASSWORD)
    cli.write("vault_password", "the vault password")
    play = {"hosts": "all", "gather_facts": False, "roles": ["mailops.ses.postfix_relay"]}
    cli.write("play.yml", json.dumps([play]))
    arguments = ("-i", "hosts.yml", "--vault-password-file", "vault_password", "--check")
    done = cli.run("ansible-playbook", *arguments, "play.yml", environment=ENVIRONMENT)
    assert not found_in(done.stdout, [SECRET_KEY, *PASSWORD_OF.values()])
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"event"')]
    events = [json.loads(line) for line in lines]
    results = {
        each["host"]: {**each["result"], "failed": each["event"] == "failed"}
        for each in events
        if each["event"] in ("ok", "failed")
    }
    assert set(results) == set(hosts), done.stdout
    return results


def test_every_variable_is_tried() -> None:
    assert set(INHERITED) == set(OPTIONS)


@pytest.mark.parametrize(
    ("unset", "never_set"),
    [("nulls", "plain"), ("empty", "plain"), ("sender_nulls", "sender")],
)
def test_a_variable_can_be_unset(
    results: dict[str, dict[str, t.Any]], unset: str, never_set: str
) -> None:
    """An inherited value is taken back: the result is that of a host that never had one."""
    assert not results[unset]["failed"], results[unset]["msg"]
    assert results[never_set]["relayhost"] == f"[email-smtp.{REGION}.amazonaws.com]:587"
    assert results[unset] == results[never_set]


def test_null_is_the_default_and_not_false(results: dict[str, dict[str, t.Any]]) -> None:
    assert "localhost port 1 " in results["verify"]["msg"]


@pytest.mark.parametrize("host", ["vaulted", "vaulted_password"])
def test_inline_vault_values(results: dict[str, dict[str, t.Any]], host: str) -> None:
    assert not results[host]["failed"], results[host]["msg"]
    keys = [f"[email-smtp.{REGION}.amazonaws.com]:587", "@example.com", "@example.net"]
    assert results[host]["entries_added"] == keys[: 3 if host == "vaulted" else 1]


@pytest.mark.parametrize(("host", "given"), [("without_sender", ""), ("local_sender", "root@host")])
def test_a_test_message_needs_a_sender(
    results: dict[str, dict[str, t.Any]], host: str, given: str
) -> None:
    assert results[host]["failed"]
    assert "needs postfix_relay_test_message_sender, an address like" in results[host]["msg"]
    assert f"(given: '{given}')" in results[host]["msg"]


@pytest.mark.parametrize("host", ["typo", "misplaced"])
def test_the_module_refuses_what_the_role_accepts(
    results: dict[str, dict[str, t.Any]], host: str
) -> None:
    assert results[host]["failed"]
    assert (
        "mailops.ses.postfix_relay: value of tls must be one of: starttls" in results[host]["msg"]
    )
