# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action ses_smtp_ping: what the module gets, and what it never gets."""

from __future__ import annotations

import json
import types
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.action import ses_smtp_ping as plugin
from ansible_collections.mailops.ses.plugins.plugin_utils import _ses_action
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
    longest_common_part,
)
from ansible_collections.mailops.ses.tests.support.running.secret_register import (
    SecretRegister,
    plugin_with_register,
)

KEY = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
GIVEN = {"username": ACCESS_KEY, "password": PASSWORD_OF["eu-west-3"]}
HOST = "email-smtp.eu-west-1.amazonaws.com"
SENT = {
    "host": HOST,
    "port": 587,
    "tls": "starttls",
    "username": ACCESS_KEY,
    "password": PASSWORD_OF["eu-west-1"],
}
OPTIONS = {
    "timeout": "2",
    "ca_file": "~/ca.pem",
    "retries": 3,
    "delay": 1,
    "fail": "no",
    "sender": "a@example.com",
    "recipient": "b@example.com",
    "headers": {"X-SES-CONFIGURATION-SET": "shop"},
}
ACCEPTED: t.Mapping[str, t.Any] = types.MappingProxyType({"changed": False, "ping": True})
DERIVED = (
    f"The password was derived for region eu-west-1 and offered to {HOST}, so that the access key may"
    " be deactivated or deleted, or not the one that the secret key belongs to. If it is new, SES"
    " knows it only after half a minute (retries helps)"
)
OTHER_REGION = "This is the password for eu-west-3; region says eu-west-1. Derive it for eu-west-1"

# case, the task's arguments, what of the login differs from SENT, the module's own options
PAYLOADS: list[tuple[str, dict[str, t.Any], dict[str, t.Any], dict[str, t.Any]]] = [
    ("plain", KEY, {}, {}),
    ("aliases", {"aws_access_key_id": ACCESS_KEY, "aws_secret_key": SECRET_KEY}, {}, {}),
    ("wrapper", {**KEY, "tls": "wrapper"}, {"port": 465, "tls": "wrapper"}, {}),
    ("port", {**KEY, "port": "2465"}, {"port": 2465, "tls": "wrapper"}, {}),
    ("endpoint", {**KEY, "endpoint": "localhost"}, {"host": "localhost"}, {}),
    ("the module's options, as they are", {**KEY, **OPTIONS}, {}, OPTIONS),
    ("a login", GIVEN, GIVEN, {}),
    ("a login and its key", {**GIVEN, **KEY}, GIVEN, {}),
]
# case, the task's arguments, the diagnosis that the module gets
DIAGNOSES: list[tuple[str, dict[str, t.Any], str | None]] = [
    ("derived", KEY, DERIVED),
    ("given, beside its key", {**GIVEN, **KEY}, OTHER_REGION),
    ("given, without a key", GIVEN, None),
]
REFUSED: list[tuple[str, dict[str, t.Any], str]] = [
    ("no key", {}, "access_key is missing"),
    ("newline", {**KEY, "secret_key": f"{SECRET_KEY}\n"}, "white space after it"),
    ("half a login", {"username": ACCESS_KEY}, "password is missing"),
    ("swapped", {"username": SECRET_KEY, "password": ACCESS_KEY}, "swapped"),
    ("port and tls", {**KEY, "port": 465, "tls": "starttls"}, "port 465"),
]
REFUSED_BY_ANSIBLE: list[tuple[str, dict[str, t.Any], str]] = [
    ("unknown option", {**KEY, "secret": SECRET_KEY}, "Unsupported parameters"),
    ("timeout", {**KEY, "timeout": "soon"}, "timeout"),
]


class Modules:
    """In place of running the module, which returns ``result``."""

    def __init__(self, result: t.Mapping[str, t.Any]) -> None:
        self.result = result
        self.calls: list[dict[str, t.Any]] = []

    def __call__(self, **kwargs: t.Any) -> dict[str, t.Any]:
        self.calls.append(kwargs)
        return dict(self.result)


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


def run(
    arguments: dict[str, t.Any],
    module: types.ModuleType = plugin,
    returns: t.Mapping[str, t.Any] = ACCEPTED,
) -> tuple[dict[str, t.Any], list[dict[str, t.Any]]]:
    """The action's result, and how it ran the module."""
    task = types.SimpleNamespace(
        action="mailops.ses.ses_smtp_ping",
        args={"region": "eu-west-1", **arguments},
        async_val=0,
        environment=[],
        check_mode=True,
        module_defaults=[],
    )
    action = module.ActionModule(
        task=task,
        connection=types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir="not used")),
        play_context=None,
        loader=None,
        templar=None,
        shared_loader_obj=None,
    )
    action._load_name = task.action  # as the plugin loader sets it
    modules = Modules(returns)
    action._execute_module = modules
    return action.run(task_vars={}), modules.calls


def login_of(call: dict[str, t.Any]) -> tuple[dict[str, t.Any], str | None]:
    """The login that the module gets, as SENT has it, and its diagnosis."""
    payload = json.loads(call["module_args"]["password"])
    login = payload.pop("content")
    assert payload == {"module": "mailops.ses.ses_smtp_ping", "version": 1}
    diagnosis, requested_by = login.pop("diagnosis"), login.pop("requested_by")
    assert requested_by == "the task"
    return {**login.pop("server"), **login}, diagnosis


@pytest.mark.parametrize(
    ("case", "arguments", "differs", "own"), PAYLOADS, ids=[row[0] for row in PAYLOADS]
)
def test_payload(
    case: str, arguments: dict[str, t.Any], differs: dict[str, t.Any], own: dict[str, t.Any]
) -> None:
    result, (call,) = run(arguments)
    assert result == ACCEPTED
    assert login_of(call)[0] == {**SENT, **differs}
    del call["module_args"]["password"]
    assert call == {"module_args": own, "task_vars": {}, "wrap_async": 0}
    assert not found_in(json.dumps(call), [SECRET_KEY])


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    assert login_of(run({})[1][0])[0] == SENT
    assert login_of(run(GIVEN)[1][0]) == ({**SENT, **GIVEN}, OTHER_REGION)


@pytest.mark.parametrize(
    ("case", "arguments", "diagnosis"), DIAGNOSES, ids=[row[0] for row in DIAGNOSES]
)
def test_diagnosis(case: str, arguments: dict[str, t.Any], diagnosis: str | None) -> None:
    assert login_of(run(arguments)[1][0])[1] == diagnosis


@pytest.mark.parametrize(("case", "arguments", "says"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(case: str, arguments: dict[str, t.Any], says: str) -> None:
    result, calls = run(arguments)
    message = result["msg"]
    assert result == {"failed": True, "msg": message}
    assert message.startswith("mailops.ses.ses_smtp_ping: ")
    assert says in message
    assert len(longest_common_part(message, SECRET_KEY)) < 8
    assert calls == []


@pytest.mark.parametrize(
    ("case", "arguments", "says"), REFUSED_BY_ANSIBLE, ids=[row[0] for row in REFUSED_BY_ANSIBLE]
)
def test_refused_by_the_argument_spec(case: str, arguments: dict[str, t.Any], says: str) -> None:
    result, calls = run(arguments)
    assert result["failed"] is True
    assert says in result["msg"]
    assert len(longest_common_part(str(result), SECRET_KEY)) < 8
    assert calls == []


def test_a_port_that_ses_has_not_is_warned_of(warnings: list[str]) -> None:
    run({**KEY, "port": 26})
    [warning] = warnings
    assert warning.startswith("mailops.ses.ses_smtp_ping: port 26 is none of SES's ports")
    run({**KEY, "port": 26, "endpoint": "relay.example.com"})
    assert warnings == [warning]


def test_unknown_region_is_warned_of(warnings: list[str]) -> None:
    run({**KEY, "region": "eu-wset-1"})
    (warning,) = warnings
    assert warning.startswith("mailops.ses.ses_smtp_ping: region 'eu-wset-1'")
    run({**KEY, "region": "eu-wset-1", "endpoint": "localhost"})
    assert len(warnings) == 2  # whoever takes the mail, the password is for no known region


@pytest.mark.parametrize(
    ("arguments", "region"), [(KEY, "eu-west-1"), (GIVEN, "eu-west-3")], ids=["derived", "given"]
)
def test_the_password_is_registered(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, t.Any], region: str
) -> None:
    register = SecretRegister()
    run(arguments, plugin_with_register(monkeypatch, "action.ses_smtp_ping", register))
    payload = str(register.values[-1])
    assert json.loads(payload)["content"]["password"] == PASSWORD_OF[region]
    assert set(register.values) - {SECRET_KEY} == {payload, PASSWORD_OF[region]}
    assert run(arguments, plugin_with_register(monkeypatch, "action.ses_smtp_ping", None))[1]
