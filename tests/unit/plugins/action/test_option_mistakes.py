# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No mistake with any option of any module shows a secret, and the message is of use.

The mistakes are generated from the options that the actions accept.
"""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.in_process.action_trial import ActionTrial
from ansible_collections.mailops.ses.tests.support.running.option_mistakes import (
    MODULES,
    action_of,
    derivable,
    mistakes,
)

PASSWORD = PASSWORD_OF["eu-west-3"]
CHOSEN = "battery horse/staple+9"  # a chosen password has no form to know it by
LOGIN = {"username": "inp-1a2b3c", "password": CHOSEN, "endpoint": "smtp.example"}
WITH_LOGIN = ("postfix_relay", "postfix_sasl_passwd", "ses_smtp_ping")
CASES = [
    *[(module, derivable(module, SECRET_KEY), SECRET_KEY) for module in MODULES],
    *[(module, derivable(module, SECRET_KEY), PASSWORD) for module in MODULES],
    # The secret is in the wrong option only.
    *[(module, {"region": "eu-west-3"}, SECRET_KEY) for module in MODULES],
    *[(module, LOGIN, CHOSEN) for module in WITH_LOGIN],
]
HALVES = {secret: [secret[:20], secret[20:]] for secret in (SECRET_KEY, PASSWORD)}


def what_is_wrong(
    trial: ActionTrial, options: dict[str, t.Any], says: str | None, secret: str
) -> str:
    """Return what is wrong with the answer to ``options``, "" if it is as it must be."""
    trial.handed_on, trial.warnings[:] = {}, []
    result = trial.run(options)
    shown = json.dumps([result, trial.warnings], default=str)
    found = found_in(shown, HALVES.get(secret, [secret]))
    # Up to ansible-core 2.18 the options of the module are shown, but for those with no_log.
    handed_on = trial.handed_on.get("module_args", {})
    public = {
        name: each for name, each in handed_on.items() if name not in ("password", "secret_key")
    }
    if found or found_in(json.dumps(public, default=str), [secret]):
        return f"shows {found} in {shown} or {public}"
    if not result.get("failed"):
        return "" if says is None else f"succeeds, and is to say {says!r}"
    message = result["msg"]
    if not message.startswith(f"{trial.module}: ") or "unexpected" in message:
        return f"is no message for people: {message}"
    return "" if says is None or says in message else f"does not say {says!r}: {message}"


@pytest.mark.parametrize(
    ("module", "good", "secret"),
    CASES,
    ids=[f"{row[0]}-{row[2][:4]}-{len(row[1])}" for row in CASES],
)
def test_no_mistake_shows_a_secret(
    monkeypatch: pytest.MonkeyPatch, module: str, good: dict[str, t.Any], secret: str
) -> None:
    trial = ActionTrial(action_of(module), monkeypatch)
    trial.returns = {"changed": True, "instances": [{"name": "-", "entries": []}]}
    answers = {
        mistake.title: what_is_wrong(trial, mistake.options, mistake.says, secret)
        for mistake in mistakes(module, good, secret)
    }
    assert len(answers) > 50
    assert {title: problem for title, problem in answers.items() if problem} == {}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    ("secret", "says"),
    [
        (f'{{"secret_access_key": "{SECRET_KEY}"}}', "secret_key is JSON text. Parse it with"),
        (
            {"secret_access_key": SECRET_KEY},
            "not dict. Take the secret out of it, like `.secret_access_key`",
        ),
        (f"{ACCESS_KEY}:{SECRET_KEY}", "secret_key is an access key ID and its secret"),
        ("VALUE_SPECIFIED_IN_NO_LOG_PARAMETER", "secret_key is what a program shows"),
    ],
)
def test_every_module_refuses_what_is_no_secret(
    monkeypatch: pytest.MonkeyPatch, module: str, secret: t.Any, says: str
) -> None:
    trial = ActionTrial(action_of(module), monkeypatch)
    assert what_is_wrong(trial, derivable(module, secret), says, SECRET_KEY) == ""


@pytest.mark.parametrize("module", MODULES)
def test_every_module_warns_of_a_secret_of_another_form(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    trial = ActionTrial(action_of(module), monkeypatch)
    trial.returns = {"changed": False, "instances": [{"name": "-", "entries": []}]}
    assert not trial.run(derivable(module, "some+secret+key")).get("failed")
    (warning,) = trial.warnings
    assert warning.startswith("mailops.ses: secret_key does not look like")
    trial.warnings.clear()
    assert not trial.run(derivable(module, SECRET_KEY)).get("failed")
    assert trial.warnings == []


ERRORS = [
    RuntimeError(f"no {SECRET_KEY}"),
    KeyError(f"{SECRET_KEY}\n"),
    TypeError(f"{{'password': '{PASSWORD}'}} is no list"),
    AnsibleError(f"got {SECRET_KEY!r}"),
    AnsibleActionFail(f"no module for {json.dumps({'password': PASSWORD})}"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("module", [name for name in MODULES if name != "ses_smtp_credentials"])
def test_no_exception_shows_a_secret(
    monkeypatch: pytest.MonkeyPatch, module: str, error: Exception
) -> None:
    trial = ActionTrial(action_of(module), monkeypatch)
    trial.raises = error
    result = trial.run(derivable(module, SECRET_KEY))
    assert result["failed"] is True
    assert result["msg"].startswith(f"mailops.ses.{module}: ")
    assert "REDACTED" in result["msg"]
    expected = isinstance(error, AnsibleError)
    assert ("Please report this bug" in result["msg"]) is not expected
    # People who report it need to see where it was.
    assert ("_ses_action.py" in result.get("exception", "")) is not expected
    assert found_in(json.dumps(result), [SECRET_KEY, PASSWORD]) == []


def test_an_unreachable_host_stays_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = ActionTrial(action_of("ses_smtp_ping"), monkeypatch)
    trial.raises = AnsibleConnectionFailure(f"no route for {SECRET_KEY}")
    with pytest.raises(AnsibleConnectionFailure, match=r"no route for REDACTED"):
        trial.run(derivable("ses_smtp_ping", SECRET_KEY))


def test_a_failed_module_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = ActionTrial(action_of("postfix_relay"), monkeypatch)
    shown = {
        "rc": 1,
        "module_stderr": f"Traceback ... ValueError: {PASSWORD}",
        "exception": PASSWORD,
    }
    trial.returns = {"failed": True, "msg": "MODULE FAILURE", **shown}
    assert trial.run(derivable("postfix_relay", SECRET_KEY)) == {
        "failed": True,
        "msg": "MODULE FAILURE",
        "rc": 1,
        "module_stderr": "Traceback ... ValueError: REDACTED",
    }


def test_the_tasks_own_arguments_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """From ansible-core 2.19 on they know where they are written, and an error shows that."""
    trial = ActionTrial(action_of("postfix_relay"), monkeypatch)
    options = derivable("postfix_relay", SECRET_KEY)
    trial.run(options)
    assert trial.arguments is options
    assert options == derivable("postfix_relay", SECRET_KEY)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"regoin": "eu-west-1", "secret_kye": SECRET_KEY},
            "module: regoin (did you mean region?), secret_kye (did you mean secret_key?). Supported",
        ),
        # Not "did you mean serole?".
        ({"profile": "mail"}, "module: profile. Supported"),
        (
            {"senders": [{"sender": "@a"}, {"tls": "ssl"}]},
            "arguments: senders[1].sender. value of senders[1].tls must be one of: starttls, wrapper",
        ),
        (
            {"port": SECRET_KEY},
            "argument 'port' is of type str and we were unable to convert to int.",
        ),
        (
            {"path": SECRET_KEY},
            "path has a secret for its value, and is shown in results and logs.",
        ),
        (
            {"senders": [{"sender": "@a", "endpoint": SECRET_KEY}]},
            "senders[0].endpoint has a secret for its value,",
        ),
        ({SECRET_KEY: 1}, "module: REDACTED. Supported"),
        ({"no name!": 1}, "module: REDACTED. Supported"),
        (
            {"x": 1},
            "Supported parameters include: accept_findings, access_key (aws_access_key_id, aws_access_key),",
        ),
        ({"tls": "ssl"}, ": starttls, wrapper. Nothing was changed"),
    ],
)
def test_what_a_mistake_says(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, t.Any], says: str
) -> None:
    trial = ActionTrial(action_of("postfix_relay"), monkeypatch)
    assert says in trial.run({**derivable("postfix_relay", SECRET_KEY), **options})["msg"]
