# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action postfix_relay_info: what it hands to the module, and what it refuses."""

from __future__ import annotations

import json
import types
import typing as t

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.mailops.ses.plugins.action import postfix_relay_info as plugin
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, SECRET_KEY

KEY = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}


class InlineVault:
    """What an inline ``!vault`` value is up to ansible-core 2.18."""

    __ENCRYPTED__ = True

    def __str__(self) -> str:
        return SECRET_KEY


class Task:
    """The action with what it hands on."""

    def __init__(self) -> None:
        self.handed_on: dict[str, t.Any] = {}
        #: What the module returns, or what running it raises.
        self.outcome: dict[str, t.Any] | Exception = {"changed": False}

    def run(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        task = types.SimpleNamespace(
            args=arguments, async_val=0, action="mailops.ses.postfix_relay_info", diff=False,
            check_mode=False, no_log=False, module_defaults=[], delegate_to=None, environment=[],
        )  # fmt: skip
        connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir="not used"))
        action = plugin.ActionModule(task, connection, None, None, None, None)
        action._load_name = task.action

        def execute(**kwargs: t.Any) -> dict[str, t.Any]:
            self.handed_on = kwargs
            if isinstance(self.outcome, Exception):
                raise self.outcome
            return self.outcome

        action._execute_module = execute  # type: ignore[method-assign]
        result: dict[str, t.Any] = action.run(task_vars={})
        return result


#: the task's arguments -> the access keys and the other arguments that the module gets
HANDED_OVER: dict[str, tuple[dict[str, t.Any], list[str], dict[str, t.Any]]] = {
    "nothing": ({}, [], {}),
    "an instance": ({"config_directory": "~/x"}, [], {"config_directory": "~/x"}),
    "candidates": ({"candidates": [KEY, KEY]}, [ACCESS_KEY], {}),
    "by their other names": (
        {"candidates": [{"aws_access_key_id": ACCESS_KEY, "aws_secret_key": SECRET_KEY}]},
        [ACCESS_KEY],
        {},
    ),
    "inline from a vault": (
        {"candidates": [{"access_key": ACCESS_KEY, "secret_key": InlineVault()}]},
        [ACCESS_KEY],
        {},
    ),
    "the action group's defaults": (
        {**KEY, "aws_region": "eu-west-1", "version": 4, "port": 587, "fips": False},
        [ACCESS_KEY],
        {},
    ),
}


@pytest.mark.parametrize(
    ("arguments", "access_keys", "others"), HANDED_OVER.values(), ids=HANDED_OVER
)
def test_what_the_module_gets(
    arguments: dict[str, t.Any], access_keys: list[str], others: dict[str, t.Any]
) -> None:
    task = Task()
    assert task.run(arguments) == {"changed": False}
    handed_on = dict(task.handed_on["module_args"])
    payload = json.loads(handed_on.pop("secret_key"))
    assert (payload["module"], payload["version"]) == ("mailops.ses.postfix_relay_info", 1)
    matches = payload["content"]["matches"].values()
    assert {each["access_key"] for each in matches} == set(access_keys)
    assert handed_on == others
    assert SECRET_KEY not in json.dumps(task.handed_on)


def test_refused() -> None:
    task = Task()
    result = task.run({"candidates": [{**KEY, "secret_key": f" {SECRET_KEY}"}]})
    assert result["failed"] is True
    assert "mailops.ses.postfix_relay_info: candidates[0]: secret_key has white" in result["msg"]
    assert SECRET_KEY not in result["msg"]
    assert not task.handed_on


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"candidate": [KEY]}, "Unsupported parameters"),
        ({"candidates": [{"access_key": ACCESS_KEY}]}, "secret_key"),
        ({"candidates": [SECRET_KEY]}, "dict"),
    ],
)
def test_refused_by_ansible(arguments: dict[str, t.Any], says: str) -> None:
    result = Task().run(arguments)
    assert result["failed"] is True
    assert says in result["msg"]
    assert SECRET_KEY not in str(result)


#: what becomes of the module -> the state and the reason that are reported
NO_ANSWERS: list[tuple[dict[str, t.Any] | Exception, str, str]] = [
    (
        AnsibleConnectionFailure("Failed to connect: refused"),
        "unreachable",
        "Failed to connect: refused",
    ),
    (AnsibleError("Incorrect sudo password"), "failed", "Incorrect sudo password"),
    ({"failed": True, "msg": "There is no Postfix"}, "failed", "There is no Postfix"),
    (
        {
            "failed": True,
            "msg": "MODULE FAILURE\nSee stdout/stderr for the exact error",
            "module_stderr": "/bin/sh: 1: sudo: not found\n",
        },
        "failed",
        "sudo: not found",
    ),
    (AnsibleError(f"it printed {SECRET_KEY}"), "failed", "it printed REDACTED"),
]


@pytest.mark.parametrize(("outcome", "state", "reason"), NO_ANSWERS)
def test_no_answer_is_a_result(
    outcome: dict[str, t.Any] | Exception, state: str, reason: str
) -> None:
    task = Task()
    task.outcome = outcome
    result = task.run({"candidates": [KEY], "report_failure": True})
    assert result == {"changed": False, "no_answer": {"state": state, "reason": reason}}
    assert "report_failure" not in task.handed_on["module_args"]


def test_an_answer_is_reported_as_it_is() -> None:
    assert Task().run({"report_failure": True}) == {"changed": False}


def test_without_the_option_the_task_fails() -> None:
    task = Task()
    task.outcome = {"failed": True, "msg": "There is no Postfix"}
    assert task.run({})["failed"] is True
    task.outcome = AnsibleConnectionFailure("refused")
    with pytest.raises(AnsibleConnectionFailure, match="refused"):
        task.run({"report_failure": False})


def test_a_mistake_in_the_task_fails_it_all_the_same() -> None:
    result = Task().run({"candidate": [KEY], "report_failure": True})
    assert result["failed"] is True
    assert "Unsupported parameters" in result["msg"]
    result = Task().run({"candidates": [{**KEY, "secret_key": " "}], "report_failure": True})
    assert result["failed"] is True
