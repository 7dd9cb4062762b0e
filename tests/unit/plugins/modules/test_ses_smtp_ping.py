# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ses_smtp_ping: what it returns, and that it works with its action plugin only."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp._login import (
    LoginOutcome,
    LoginRefused,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._message import (
    SIMULATOR,
    ProbeMessage,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import (
    SmtpLogin,
    SmtpServer,
)
from ansible_collections.mailops.ses.plugins.modules import ses_smtp_ping
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    MAIL_MANAGER,
    PASSWORD_OF,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.in_process.module_in_process import (
    ModuleInProcess,
)
from ansible_collections.mailops.ses.tests.support.running.payloads import ping_payload

HOST = "email-smtp.eu-west-1.amazonaws.com"
SERVER = SmtpServer(HOST, 587, "starttls")
PASSWORD = PASSWORD_OF["eu-west-1"]
LOGIN = {"host": HOST, "username": ACCESS_KEY, "password": PASSWORD}
ARGUMENTS: dict[str, t.Any] = {"password": ping_payload(LOGIN)}
ACCEPTED = LoginOutcome(
    True, HOST, 587, "192.0.2.25", "TLSv1.3", "PLAIN", 0.25, logged_in=True, message_id="0102-1"
)
RESULT = {
    "changed": False,
    "ping": True,
    "host": HOST,
    "port": 587,
    "address": "192.0.2.25",
    "tls_version": "TLSv1.3",
    "mechanism": "PLAIN",
    "logged_in": True,
    "elapsed": 0.25,
    "attempts": 1,
}
REFUSED = {
    **RESULT,
    "ping": False,
    "logged_in": False,
    "address": None,
    "tls_version": None,
    "mechanism": None,
    "elapsed": 0.0,
    "answer": "535 no",
    "msg": "a message",
}
BYPASSED: list[tuple[str, dict[str, t.Any]]] = [
    ("nothing", {}),
    ("a key by its alias", {"access_key": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}),
    ("a login", {"username": ACCESS_KEY, "password": PASSWORD, "endpoint": HOST}),
    ("as in a task", {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "region": "eu-west-1"}),
]
WRONG = [{"timeout": 0}, {"timeout": -1}, {"retries": -1}, {"delay": -0.5}]


class Logins:
    """In place of log_in(): accepts, or refuses with each of ``refusals`` before."""

    def __init__(self, refusals: t.Iterable[LoginRefused] = ()) -> None:
        self.refusals = list(refusals)
        self.calls: list[tuple[tuple[t.Any, ...], dict[str, t.Any]]] = []

    def __call__(self, *args: t.Any, **kwargs: t.Any) -> LoginOutcome:
        self.calls.append((args, kwargs))
        if self.refusals:
            raise self.refusals.pop(0)
        return ACCEPTED


def refusal(reason: str, may_pass: bool = False) -> LoginRefused:
    return LoginRefused(SERVER, reason, "a message", "535 no", may_pass)


@pytest.fixture(name="run")
def fixture_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> t.Callable[..., dict[str, t.Any]]:
    def run(logins: Logins, arguments: dict[str, t.Any], check: bool = False) -> dict[str, t.Any]:
        monkeypatch.setattr(ses_smtp_ping, "log_in", logins)
        secrets = [PASSWORD, SECRET_KEY]
        module = ModuleInProcess(monkeypatch, capsys)
        result = module.run(ses_smtp_ping.main, arguments, secrets, check=check)
        reported = result.pop("invocation")["module_args"]
        shown = {"username": ACCESS_KEY, "endpoint": HOST, "port": 587, "tls": "starttls"}
        assert "password" not in reported
        if arguments.get("password") == ARGUMENTS["password"]:
            assert shown.items() <= reported.items()
        return result

    return run


Run = t.Callable[..., "dict[str, t.Any]"]


@pytest.mark.parametrize("check", [False, True])
def test_accepted(run: Run, check: bool) -> None:
    logins = Logins()
    assert run(logins, ARGUMENTS, check=check) == RESULT
    ((args, kwargs),) = logins.calls
    assert args == (SmtpLogin(SERVER, ACCESS_KEY, PASSWORD),)
    assert kwargs == {"message": None, "timeout": 10.0, "ca_file": None, "ca_path": None}


def test_options(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/the/host")
    logins = Logins()
    run(logins, {**ARGUMENTS, "timeout": 2.5, "ca_file": "~/ca.pem", "ca_path": "/etc/ca"})
    ((_args, kwargs),) = logins.calls
    assert kwargs == {
        "message": None,
        "timeout": 2.5,
        "ca_file": "/home/of/the/host/ca.pem",
        "ca_path": "/etc/ca",
    }


@pytest.mark.parametrize("check", [False, True])
def test_message(run: Run, check: bool) -> None:
    """In check mode the options are checked, and nothing is sent."""
    logins = Logins()
    arguments = {"sender": "a@example.com", "headers": {"X-SES-CONFIGURATION-SET": "shop"}}
    result = run(logins, {**ARGUMENTS, **arguments}, check=check)
    assert result == {**RESULT, "message_id": "0102-1"}
    ((_args, kwargs),) = logins.calls
    message = ProbeMessage("a@example.com", SIMULATOR, (("X-SES-CONFIGURATION-SET", "shop"),))
    assert kwargs["message"] == (None if check else message)


@pytest.mark.parametrize("check", [False, True])
def test_message_to_mail_manager(run: Run, check: bool) -> None:
    """That it is accepted is not all, which is said if one was sent."""
    login = {**LOGIN, "host": MAIL_MANAGER["endpoint"]}
    arguments = {"password": ping_payload(login), "sender": "a@example.com"}
    result = run(Logins(), arguments, check=check)
    said = (
        "The message was accepted. Mail Manager accepts a message before its rules are applied. A"
        " rule may still drop it"
    )
    assert result.get("msg") == (None if check else said)
    assert "msg" not in run(Logins(), {"password": ping_payload(login)})


@pytest.mark.parametrize("check", [False, True])
def test_wrong_message(run: Run, check: bool) -> None:
    logins = Logins()
    result = run(logins, {**ARGUMENTS, "sender": "root", "fail": False}, check=check)
    assert result["failed"]
    assert result["msg"].startswith("sender 'root' is not an e-mail address. ")
    assert result["msg"].endswith(". Nothing was sent")
    assert logins.calls == []


@pytest.mark.parametrize("fail", [False, True])
def test_refused(run: Run, fail: bool) -> None:
    logins = Logins([refusal("credentials_invalid", may_pass=True)])
    result = run(logins, {**ARGUMENTS, "fail": fail})
    expected = {**REFUSED, "reason": "credentials_invalid"}
    assert result == ({**expected, "failed": True} if fail else expected)


def test_retries(run: Run) -> None:
    arguments = {**ARGUMENTS, "retries": 2, "delay": 0}
    logins = Logins([refusal("timeout", may_pass=True)] * 2)
    assert run(logins, arguments) == {**RESULT, "attempts": 3}
    logins = Logins([refusal("timeout", may_pass=True)] * 3)
    result = run(logins, arguments)
    assert (result["failed"], result["attempts"], result["reason"]) == (True, 3, "timeout")
    logins = Logins([refusal("certificate")] * 3)
    assert run(logins, arguments)["attempts"] == 1


@pytest.mark.parametrize(("case", "arguments"), BYPASSED, ids=[row[0] for row in BYPASSED])
def test_refuses_to_run_without_its_action(
    run: Run, case: str, arguments: dict[str, t.Any]
) -> None:
    logins = Logins()
    result = run(logins, arguments)
    assert result["failed"]
    assert "mailops.ses.ses_smtp_ping" in result["msg"]
    assert logins.calls == []


@pytest.mark.parametrize("arguments", WRONG, ids=str)
def test_wrong_numbers(run: Run, arguments: dict[str, t.Any]) -> None:
    logins = Logins()
    result = run(logins, {**ARGUMENTS, **arguments, "fail": False})
    assert result["failed"]
    assert "timeout" in result["msg"]
    assert logins.calls == []
