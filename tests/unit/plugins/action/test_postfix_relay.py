# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action postfix_relay: what it hands to the module, and what it refuses."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.action.postfix_relay import ActionModule
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.in_process.action_trial import ActionTrial

IAM = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
OTHER = "AKIAEXAMPLE000000002"
WEST, EAST = "eu-west-1", "us-east-1"

# the task's arguments -> the passwords of its servers, and of its senders
HANDED_OVER: dict[str, tuple[dict[str, t.Any], list[str], dict[str, str]]] = {
    "a region": ({**IAM, "region": WEST}, [PASSWORD_OF[WEST]], {}),
    "regions": (
        {**IAM, "regions": [WEST, EAST]},
        [PASSWORD_OF[WEST], PASSWORD_OF[EAST]],
        {},
    ),
    "regions as text": ({**IAM, "regions": WEST}, [PASSWORD_OF[WEST]], {}),
    "aliases": (
        {
            "aws_access_key_id": ACCESS_KEY,
            "aws_secret_key": SECRET_KEY,
            "aws_region": WEST,
            "senders": [{"sender": "@example.com", "aws_region": EAST}],
        },
        [PASSWORD_OF[WEST]],
        {"@example.com": PASSWORD_OF[EAST]},
    ),
    "a login": ({"username": "u", "password": "Sesame/+1", "region": WEST}, ["Sesame/+1"], {}),
    "absent": ({"state": "absent"}, [], {}),
    "absent with all": ({**IAM, "region": "?", "state": "absent"}, [], {}),
}
REFUSED: dict[str, tuple[dict[str, t.Any], str]] = {
    "no key": ({"region": WEST}, "access_key is missing"),
    "both": ({**IAM, "region": WEST, "regions": [EAST]}, "exclude each other"),
    "a sender": (
        {**IAM, "region": WEST, "senders": [{"sender": "@a", "secret_key": f"{SECRET_KEY}\n"}]},
        "senders[0]: secret_key has white space after it",
    ),
    "the forgotten secret of a sender": (
        {**IAM, "region": WEST, "senders": [{"sender": "@a", "access_key": OTHER}]},
        f"senders[0]: secret_key is missing beside access_key {OTHER}. The secret_key of the task",
    ),
    "two secrets for one key": (
        {**IAM, "region": WEST, "senders": [{"sender": "@a", **IAM, "secret_key": "other+secret"}]},
        f"the task and senders[0] give different values of secret_key for the same access_key {ACCESS_KEY}",
    ),
}
REFUSED_BY_ANSIBLE: dict[str, tuple[dict[str, t.Any], str]] = {
    "an unknown option": ({"secret": SECRET_KEY}, "Unsupported parameters"),
    "no sender": ({**IAM, "region": WEST, "senders": [{"region": EAST}]}, "sender"),
    "a level": ({**IAM, "region": WEST, "tls_security_level": "may"}, "tls_security_level"),
}


@pytest.fixture(name="task")
def fixture_task(monkeypatch: pytest.MonkeyPatch) -> ActionTrial:
    return ActionTrial(ActionModule, monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "passwords", "senders"), HANDED_OVER.values(), ids=HANDED_OVER
)
def test_what_the_module_gets(
    task: ActionTrial, arguments: dict[str, t.Any], passwords: list[str], senders: dict[str, str]
) -> None:
    assert task.run(arguments)["changed"] is True
    given = task.handed_on["module_args"]
    handed_over = task.handed_over
    assert [one["login"]["password"] for one in handed_over["logins"]] == passwords
    assert {one["sender"]: one["login"]["password"] for one in handed_over["senders"]} == senders
    assert SECRET_KEY not in json.dumps(task.handed_on)
    assert set(given) <= {"password", "state"}
    # The very text that the module gets, too: it is the value of an option there.
    known = {value for name, value in arguments.items() if "secret" in name or name == "password"}
    assert set(task.registered) == {*passwords, *senders.values(), given["password"], *known}
    assert task.warnings == []


def test_the_modules_own_options_are_handed_on_as_they_are(task: ActionTrial) -> None:
    own = {
        "path": "~/map", "config_directory": "/etc/postfix-out", "map_type": "lmdb", "owner": "postfix",
        "mode": 416, "setype": "_default", "backup": "yes", "ca_file": "~/ca.pem", "verify": "no",
        "timeout": "3", "tls_security_level": "encrypt", "state": "present",
    }  # fmt: skip
    task.run({**own, **IAM, "region": WEST, "dualstack": True})
    given = task.handed_on["module_args"]
    assert {name: given[name] for name in given if name != "password"} == own


@pytest.mark.parametrize(("arguments", "says"), REFUSED.values(), ids=REFUSED)
def test_refused(task: ActionTrial, arguments: dict[str, t.Any], says: str) -> None:
    result = task.run(arguments)
    assert result["failed"] is True
    assert "mailops.ses.postfix_relay: " in result["msg"]
    assert says in result["msg"]
    assert SECRET_KEY not in result["msg"]
    assert not task.handed_on


@pytest.mark.parametrize(("arguments", "part"), REFUSED_BY_ANSIBLE.values(), ids=REFUSED_BY_ANSIBLE)
def test_refused_by_ansible(task: ActionTrial, arguments: dict[str, t.Any], part: str) -> None:
    result = task.run(arguments)
    assert result["failed"] is True
    assert part in result["msg"]
    assert SECRET_KEY not in str(result)


def test_a_port_that_ses_has_not_is_warned_of(task: ActionTrial) -> None:
    """For the task's host, and for that of a sender that has the port from there."""
    sender = {"sender": "@example.com", "region": EAST}
    task.run({**IAM, "region": WEST, "port": 26, "senders": [sender]})
    assert [text.partition(": ")[2][:29] for text in task.warnings] == [
        "port 26 is none of SES's port",
        "port 26 is none of SES's port",
    ]
    assert "email-smtp.us-east-1.amazonaws.com has 25, 587, 2587" in task.warnings[1]


def test_an_unknown_region_is_warned_of(task: ActionTrial) -> None:
    task.run({**IAM, "regions": ["eu-wset-1"]})
    (warning,) = task.warnings
    assert warning.startswith("mailops.ses.postfix_relay: region 'eu-wset-1' is not one")
