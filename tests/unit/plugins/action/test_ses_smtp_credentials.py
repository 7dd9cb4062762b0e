# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action ses_smtp_credentials: its result, what it hides, and that it needs no connection."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.action import ses_smtp_credentials as plugin
from ansible_collections.mailops.ses.plugins.plugin_utils import _ses_action
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    longest_common_part,
)
from ansible_collections.mailops.ses.tests.support.running.secret_register import (
    SecretRegister,
    plugin_with_register,
)

KEY = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
V2_PASSWORD = "An60U4ZD3sd4fg+FvXUjayOipTt8LO4rUUmhpdX6ctDy"
HOST = "email-smtp.eu-west-3.amazonaws.com"
PASSWORD = PASSWORD_OF["eu-west-3"]
URL = f"smtp://{ACCESS_KEY}:BDDdpSTzbzUY3SJq%2Fn4Oq7heDuCWbOtogMi5S3AR673%2B@{HOST}:587"
RESULT = {
    "changed": False,
    "username": ACCESS_KEY,
    "password": PASSWORD,
    "host": HOST,
    "port": 587,
    "relayhost": f"[{HOST}]:587",
    "region": "eu-west-3",
    "system": "iam",
    "version": 4,
    "tls": "starttls",
    "url": URL,
}
HIDDEN = {"_ansible_no_log": True}

# the task's arguments and what differs from RESULT
RESULTS: list[tuple[str, dict[str, t.Any], dict[str, t.Any]]] = [
    ("plain", {}, {}),
    ("aliases", {"access_key": None, "aws_access_key_id": ACCESS_KEY}, {}),
    (
        "port as str",
        {"port": "2587"},
        {"port": 2587, "relayhost": f"[{HOST}]:2587", "url": URL.replace(":587", ":2587")},
    ),
    (
        "wrapper",
        {"tls": "wrapper"},
        {
            "tls": "wrapper",
            "port": 465,
            "relayhost": f"[{HOST}]:465",
            "url": URL.replace("smtp:", "smtps:").replace(":587", ":465"),
        },
    ),
    ("version as str", {"version": "4"}, {}),
    (
        "version 2",
        {"version": 2},
        {
            "version": 2,
            "password": V2_PASSWORD,
            "url": URL.replace(
                "BDDdpSTzbzUY3SJq%2Fn4Oq7heDuCWbOtogMi5S3AR673%2B", V2_PASSWORD.replace("+", "%2B")
            ),
        },
    ),
]
REFUSED: list[tuple[str, dict[str, t.Any], list[str]]] = [
    ("no ID", {"access_key": None}, ["access_key is missing", "AWS_ACCESS_KEY_ID"]),
    ("no secret", {"secret_key": None}, ["secret_key is missing", "AWS_SECRET_ACCESS_KEY"]),
    ("no region", {"region": None}, ["region"]),
    ("newline", {"secret_key": f"{SECRET_KEY}\n"}, ["white space after it", "newline"]),
    ("list", {"secret_key": [SECRET_KEY]}, ["secret_key must be a string, not list"]),
    ("temporary", {"access_key": "ASIAIOSFODNN7EXAMPLE"}, ["temporary credentials"]),
    ("number", {"access_key": 1}, ["access_key must be a string, not int"]),
    ("region", {"region": ["eu-west-3"]}, ["region must be a string, not list"]),
    ("port", {"port": 465, "tls": "starttls"}, ["port 465"]),
    ("version", {"version": 3}, ["version must be 2 or 4"]),
    ("version list", {"version": [4]}, ["version must be the number 2 or 4, not list"]),
]
REFUSED_BY_ANSIBLE: list[tuple[str, dict[str, t.Any], str]] = [
    ("unknown option", {"secret": SECRET_KEY}, "Unsupported parameters"),
    ("tls", {"tls": "ssl"}, "value of tls must be one of"),
    ("port", {"port": "smtp"}, "port"),
    ("reveal", {"reveal": "perhaps"}, "reveal"),
]


class InlineVault:
    """What an inline ``!vault`` value is up to ansible-core 2.18."""

    __ENCRYPTED__ = True

    def __str__(self) -> str:
        return SECRET_KEY


class NoConnection:
    """A connection of which nothing is used but what ActionBase itself looks at."""

    _shell = types.SimpleNamespace(tmpdir="not used")

    def __getattr__(self, name: str) -> t.Any:
        raise AssertionError(f"the action used its connection: {name}")


@pytest.fixture(name="warnings", autouse=True)
def fixture_warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    warnings: list[str] = []

    class Recorder:
        def warning(self, message: str) -> None:
            warnings.append(message)

    monkeypatch.setattr(_ses_action, "Display", Recorder)
    return warnings


def action_of(
    arguments: dict[str, t.Any],
    *,
    check_mode: bool = False,
    module: types.ModuleType = plugin,
) -> t.Any:
    task = types.SimpleNamespace(
        action="mailops.ses.ses_smtp_credentials",
        args={**KEY, "region": "eu-west-3", **arguments},
        async_val=0,
        environment=[],
        check_mode=check_mode,
        no_log=False,
        module_defaults=[],
    )
    action = module.ActionModule(
        task=task,
        connection=NoConnection(),
        play_context=None,
        loader=None,
        templar=None,
        shared_loader_obj=None,
    )
    action._load_name = task.action  # as the plugin loader sets it
    return action


def run(arguments: dict[str, t.Any], **kwargs: t.Any) -> dict[str, t.Any]:
    result: dict[str, t.Any] = action_of(arguments, **kwargs).run(task_vars={})
    return result


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(("case", "arguments", "differs"), RESULTS, ids=[r[0] for r in RESULTS])
def test_result(
    case: str,
    arguments: dict[str, t.Any],
    differs: dict[str, t.Any],
    check_mode: bool,
    warnings: list[str],
) -> None:
    assert run(arguments, check_mode=check_mode) == {**RESULT, **HIDDEN, **differs}
    assert run({**arguments, "reveal": True}, check_mode=check_mode) == {**RESULT, **differs}
    assert warnings == []


def test_vaulted_argument() -> None:
    assert run({"secret_key": InlineVault()}) == {**RESULT, **HIDDEN}


@pytest.mark.parametrize(
    ("arguments", "hidden"),
    [({}, True), ({"reveal": True}, False), ({"secret_key": ""}, False)],
    ids=["plain", "reveal", "error"],
)
def test_task_of_a_loop_is_hidden_too(arguments: dict[str, t.Any], hidden: bool) -> None:
    action = action_of(arguments)
    action.run(task_vars={})
    assert action._task.no_log is hidden


def test_runs_without_a_connection() -> None:
    assert plugin.ActionModule._requires_connection is False


def test_environment_is_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_DEFAULT_REGION", "eu-west-3"),
    ):
        monkeypatch.setenv(name, value)
    unset = {"access_key": None, "secret_key": None, "region": None}
    assert run(unset) == {**RESULT, **HIDDEN}
    assert run({**unset, "region": "eu-west-1"})["password"] == PASSWORD_OF["eu-west-1"]


@pytest.mark.parametrize("reveal", [False, True])
@pytest.mark.parametrize(("case", "arguments", "says"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(case: str, arguments: dict[str, t.Any], says: list[str], reveal: bool) -> None:
    result = run({**arguments, "reveal": reveal})
    message = result["msg"]
    # Not hidden: people need to read it.
    assert result == {"failed": True, "msg": message}
    assert message.startswith("mailops.ses.ses_smtp_credentials: ")
    assert not [part for part in says if part not in message], message
    assert len(longest_common_part(message, SECRET_KEY)) < 8


@pytest.mark.parametrize(
    ("case", "arguments", "says"), REFUSED_BY_ANSIBLE, ids=[row[0] for row in REFUSED_BY_ANSIBLE]
)
def test_refused_by_the_argument_spec(case: str, arguments: dict[str, t.Any], says: str) -> None:
    result = run(arguments)
    assert result["failed"] is True
    assert says in result["msg"]
    assert len(longest_common_part(str(result), SECRET_KEY)) < 8


def test_a_port_that_ses_has_not_is_warned_of(warnings: list[str]) -> None:
    assert run({**KEY, "port": 26})["port"] == 26
    [warning] = warnings
    assert warning == (
        "mailops.ses.ses_smtp_credentials: port 26 is none of SES's ports. "
        f"{HOST} has 25, 587, 2587 for STARTTLS and 465, 2465 for TLS from the first byte. "
        "Give one of these."
    )


def test_unknown_region_is_warned_of(warnings: list[str]) -> None:
    assert run({"region": "eu-wset-1"})["host"] == "email-smtp.eu-wset-1.amazonaws.com"
    [warning] = warnings
    assert warning.startswith("mailops.ses.ses_smtp_credentials: region 'eu-wset-1'")


def test_version_2_with_an_endpoint_and_no_region(warnings: list[str]) -> None:
    result = run({"region": None, "version": 2, "endpoint": "mail.example.com"})
    assert (result["region"], result["version"], result["host"]) == (None, 2, "mail.example.com")
    assert warnings == []


def test_password_and_its_quoted_form_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    register = SecretRegister()
    module = plugin_with_register(monkeypatch, "action.ses_smtp_credentials", register)
    assert run({}, module=module) == {**RESULT, **HIDDEN}
    assert register.values == [
        SECRET_KEY,
        PASSWORD,
        "BDDdpSTzbzUY3SJq%2Fn4Oq7heDuCWbOtogMi5S3AR673%2B",
    ]


def test_the_password_is_not_registered_if_it_is_revealed(monkeypatch: pytest.MonkeyPatch) -> None:
    register = SecretRegister()
    module = plugin_with_register(monkeypatch, "action.ses_smtp_credentials", register)
    assert run({"reveal": True}, module=module) == RESULT
    assert run({"secret_key": f"{SECRET_KEY}\n"}, module=module)["failed"] is True
    assert register.values == [SECRET_KEY, f"{SECRET_KEY}\n"]


def test_works_where_nothing_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    module = plugin_with_register(monkeypatch, "action.ses_smtp_credentials", None)
    assert run({}, module=module) == {**RESULT, **HIDDEN}
