# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action postfix_relay_key: what it asks the host, what it hands to the module."""

from __future__ import annotations

import json
import types
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.action import postfix_relay_key as plugin
from ansible_collections.mailops.ses.plugins.plugin_utils import _ses_action
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.running.payloads import rotation_payload

OLD = "AKIAEXAMPLE000000002"
TASK = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "old_access_key": OLD}
ENTRY: dict[str, t.Any] = {
    "table": "hash:/etc/postfix/sasl_passwd",
    "path": "/etc/postfix/sasl_passwd",
    "key": "[email-smtp.eu-west-1.amazonaws.com]:587",
    "username": OLD,
    "system": "iam",
    "region": "eu-west-1",
    "servers": [],
}
INFO = "mailops.ses.postfix_relay_info"


class Task:
    """The action with what it runs, and registers as a secret."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[tuple[str | None, dict[str, t.Any]]] = []
        self.registered: list[str] = []
        self.found: dict[str, t.Any] = {"instances": [{"name": "-", "entries": [ENTRY]}]}
        monkeypatch.setattr(_ses_action, "register_secret", self.registered.append)

    def run(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run it; the modules are not run."""
        task = types.SimpleNamespace(
            args=arguments, async_val=0, action="mailops.ses.postfix_relay_key", diff=False,
            check_mode=False, no_log=False, module_defaults=[], delegate_to=None, environment=[],
        )  # fmt: skip
        connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir="not used"))
        action = plugin.ActionModule(task, connection, None, None, None, None)
        action._load_name = task.action

        def execute(
            module_args: dict[str, t.Any],
            task_vars: object,
            module_name: str | None = None,
            wrap_async: int = 0,
        ) -> dict[str, t.Any]:
            assert wrap_async == 0
            assert SECRET_KEY not in json.dumps(module_args)
            self.ran.append((module_name, module_args))
            return self.found if module_name else {"changed": True}

        action._execute_module = execute  # type: ignore[method-assign, assignment]
        result: dict[str, t.Any] = action.run(task_vars={})
        return result


@pytest.fixture(name="task")
def fixture_task(monkeypatch: pytest.MonkeyPatch) -> Task:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return Task(monkeypatch)


def test_the_host_is_asked_and_then_gets_the_logins(task: Task) -> None:
    own = {"verify": "no", "retries": "3", "config_directory": "/etc/postfix-out"}
    assert task.run({**TASK, **own, "region": "us-east-1"})["changed"] is True
    (asked, asked_with), (name, given) = task.ran
    assert (asked, asked_with) == (INFO, {"config_directory": "/etc/postfix-out"})
    assert name is None
    password = PASSWORD_OF["eu-west-1"]
    text = given.pop("secret_key")
    (rotated,) = json.loads(text)["content"]["entries"]
    login = rotated["entry"]
    assert (login["key"], login["username"], login["password"]) == (
        ENTRY["key"],
        ACCESS_KEY,
        password,
    )
    assert given == {**own, "old_access_key": OLD}
    assert task.registered == [SECRET_KEY, password, text]


def test_entries_for_mail_manager_are_named(task: Task) -> None:
    own = {**ENTRY, "key": "@example.com", "username": "inp-abc", "system": "mail_manager"}
    task.found = {"instances": [{"name": "-", "entries": [ENTRY, own]}]}
    result = task.run(TASK)
    assert result["mail_manager_entries"] == ["@example.com"]
    assert "inp-abc" not in str(task.ran)
    assert "mail_manager_entries" not in task.run({"state": "confirmed"})


def test_a_host_without_the_old_key_gets_no_login(task: Task) -> None:
    task.found = {"instances": [{"name": "-", "entries": [{**ENTRY, "username": ACCESS_KEY}]}]}
    task.run(TASK)
    assert [given.get("secret_key") for _name, given in task.ran] == [None, rotation_payload()]


@pytest.mark.parametrize("state", ["confirmed", "restored"])
def test_the_second_phase_needs_no_key(task: Task, state: str) -> None:
    task.run({"state": state})
    assert task.ran == [(None, {"state": state, "secret_key": rotation_payload()})]


@pytest.mark.parametrize("failure", [{"failed": True, "msg": "no"}, {"unreachable": True}])
def test_a_host_that_can_not_be_asked(task: Task, failure: dict[str, t.Any]) -> None:
    task.found = failure
    result = task.run(TASK)
    assert {name: result[name] for name in failure} == failure
    assert len(task.ran) == 1


def test_refused(task: Task) -> None:
    assert "old_access_key is missing" in task.run({**TASK, "old_access_key": None})["msg"]
    assert task.ran == []
    task.found = {"instances": [{"name": "-", "entries": [{**ENTRY, "region": None}]}]}
    result = task.run(TASK)
    assert result["failed"] is True
    assert result["msg"].startswith("mailops.ses.postfix_relay_key: the region of the entry")
    assert len(task.ran) == 1


def test_a_region_outside_of_the_limit_sends_nothing(task: Task) -> None:
    result = task.run({**TASK, "regions": ["us-east-1"]})
    assert result["failed"] is True
    assert "is for the region 'eu-west-1', which is not in regions (us-east-1)" in result["msg"]
    assert len(task.ran) == 1
    assert task.run({**TASK, "regions": ["us-east-1", "eu-west-1"]})["changed"] is True


@pytest.mark.parametrize("found", [{}, {"instances": 3}, {"instances": [{"name": "-"}]}])
def test_a_malformed_answer(task: Task, found: dict[str, t.Any]) -> None:
    task.found = found
    result = task.run(TASK)
    assert result["failed"] is True
    assert "the host's answer is not one of postfix_relay_info" in result["msg"]
    assert len(task.ran) == 1


def test_refused_by_ansible(task: Task) -> None:
    result = task.run({**TASK, "state": "present"})
    assert result["failed"] is True
    assert "value of state must be one of: confirmed, replaced, restored" in result["msg"]
    assert SECRET_KEY not in str(result)
