# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A login for Mail Manager, in every action that takes a login."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.action import (
    postfix_relay,
    postfix_sasl_passwd,
    ses_smtp_credentials,
    ses_smtp_ping,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._ses_action import SesAction
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    MAIL_MANAGER,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.in_process.action_trial import ActionTrial

Options = dict[str, t.Any]

ACTIONS: dict[str, type[SesAction]] = {
    module.__name__.rpartition(".")[2]: module.ActionModule
    for module in (ses_smtp_credentials, ses_smtp_ping, postfix_sasl_passwd, postfix_relay)
}
HOST, USERNAME, PASSWORD = (MAIL_MANAGER[name] for name in ("endpoint", "username", "password"))
KEY = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
LOGIN = {"username": USERNAME, "password": PASSWORD}
NOT_DERIVED = "is an ingress endpoint of Mail Manager, whose password is chosen"
NO_WRAPPER = "Mail Manager does not support TLS from the first byte"
# what is wrong with a task of any of the actions, and what its error says
REFUSED: dict[str, tuple[Options, str]] = {
    "a key to derive from": ({**KEY, "endpoint": HOST}, NOT_DERIVED),
    "and a region": ({**KEY, "endpoint": HOST, "region": "eu-west-1"}, NOT_DERIVED),
    "and version 2": ({**KEY, "endpoint": HOST, "version": 2}, NOT_DERIVED),
    "no login at all": ({"endpoint": HOST}, NOT_DERIVED),
    "port 465": ({**MAIL_MANAGER, "port": 465}, NO_WRAPPER),
    "port 2465": ({**MAIL_MANAGER, "port": 2465}, NO_WRAPPER),
    "wrapper": ({**MAIL_MANAGER, "tls": "wrapper"}, NO_WRAPPER),
    "wrapper at another port": ({**MAIL_MANAGER, "tls": "wrapper", "port": 2588}, NO_WRAPPER),
    "an access key ID": (
        {**MAIL_MANAGER, "username": ACCESS_KEY},
        "Its user name is the ID of the ingress endpoint (inp-...)",
    ),
    "a region": (
        {**LOGIN, "region": "eu-west-1"},
        f"username '{USERNAME}' is the ID of an ingress endpoint of Mail Manager, but the host 'email",
    ),
    "fips": ({**MAIL_MANAGER, "fips": True}, "fips picks one of the region's endpoints"),
    "dualstack": ({**MAIL_MANAGER, "dualstack": True}, "dualstack picks one of the region's"),
    "half of a login": ({"username": USERNAME, "endpoint": HOST}, "password is missing"),
}
KEY_OF_MAP = f"[{HOST}]:587"
# those of a task of postfix_sasl_passwd alone
REFUSED_ENTRIES: dict[str, tuple[Options, str]] = {
    "by its lookup key": ({**KEY, "region": "eu-west-1", "key": KEY_OF_MAP}, NOT_DERIVED),
    "by a bare lookup key": ({**KEY, "region": "eu-west-1", "key": HOST}, NOT_DERIVED),
    "a port in the lookup key": ({**LOGIN, "key": f"[{HOST}]:465"}, NO_WRAPPER),
    "an access key ID": ({**LOGIN, "username": ACCESS_KEY, "key": KEY_OF_MAP}, "(inp-...)"),
    "a lookup key of the other system": (
        {**LOGIN, "key": "[email-smtp.eu-west-1.amazonaws.com]:587"},
        "is of SES's other SMTP system",
    ),
    "one of many": (
        {**KEY, "region": "eu-west-1", "entries": [{}, {"endpoint": HOST}]},
        f"entries[1]: the host '{HOST}' {NOT_DERIVED}",
    ),
}
# what a sender of a relay of an access key has
REFUSED_SENDERS: dict[str, tuple[Options, str]] = {
    "no login": ({"endpoint": HOST}, f"senders[0]: endpoint '{HOST}' {NOT_DERIVED}"),
    "no endpoint": (LOGIN, "senders[0]: username 'inp-"),
    "port 465": ({**MAIL_MANAGER, "port": 465}, f"senders[0]: endpoint '{HOST}'"),
}


@pytest.fixture(name="trial", params=ACTIONS)
def fixture_trial(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ActionTrial:
    return ActionTrial(ACTIONS[request.param], monkeypatch)


@pytest.fixture(name="entries")
def fixture_entries(monkeypatch: pytest.MonkeyPatch) -> ActionTrial:
    return ActionTrial(ACTIONS["postfix_sasl_passwd"], monkeypatch)


@pytest.fixture(name="relay")
def fixture_relay(monkeypatch: pytest.MonkeyPatch) -> ActionTrial:
    return ActionTrial(ACTIONS["postfix_relay"], monkeypatch)


@pytest.mark.parametrize("more", [{}, {"port": 25}, {"port": 587, "tls": "starttls"}], ids=str)
def test_a_login(trial: ActionTrial, more: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment, or as a default of the action group, is for other tasks."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    result = trial.run({**MAIL_MANAGER, **more}, defaults=KEY)
    assert not result.get("failed"), result
    shown = json.dumps([result, trial.handed_on])
    assert json.dumps(PASSWORD)[1:-1] in shown
    assert HOST in shown
    assert USERNAME in shown
    assert SECRET_KEY not in shown
    assert any(PASSWORD in secret for secret in trial.registered)
    assert trial.warnings == []


def test_defaults_of_mail_manager_are_for_other_tasks(trial: ActionTrial) -> None:
    """A task with a key and a region is for the other system."""
    result = trial.run({**KEY, "region": "eu-west-1"}, defaults=MAIL_MANAGER)
    assert not result.get("failed"), result
    shown = json.dumps([result, trial.handed_on])
    assert "email-smtp.eu-west-1.amazonaws.com" in shown
    assert HOST not in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize(("arguments", "says"), REFUSED.values(), ids=REFUSED)
def test_refused(trial: ActionTrial, arguments: Options, says: str) -> None:
    result = trial.run(arguments)
    assert result["failed"] is True
    assert says in result["msg"]
    assert PASSWORD not in result["msg"]
    assert not trial.handed_on


def test_a_port_that_mail_manager_has_not(trial: ActionTrial) -> None:
    assert not trial.run({**MAIL_MANAGER, "port": 2587}).get("failed")
    (warning,) = trial.warnings
    assert f"port 2587 is none of Mail Manager's ports. {HOST} has 587 and 25" in warning


def test_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = ActionTrial(ACTIONS["ses_smtp_credentials"], monkeypatch)
    assert trial.run({**MAIL_MANAGER, "reveal": True}) == {
        "changed": False,
        "username": USERNAME,
        "password": PASSWORD,
        "host": HOST,
        "port": 587,
        "relayhost": f"[{HOST}]:587",
        "region": None,
        "system": "mail_manager",
        "version": None,
        "tls": "starttls",
        "url": f"smtp://{USERNAME}:Sesame%3D%5Bopen%5D%7B8%7D%7C%23%24%25%26@{HOST}:587",
    }


def test_the_credentials_of_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = ActionTrial(ACTIONS["ses_smtp_credentials"], monkeypatch)
    login = {"username": "joe", "password": "a b", "endpoint": "mail.example.com", "port": 465}
    result = trial.run({**login, "reveal": True})
    assert result["url"] == "smtps://joe:a%20b@mail.example.com:465"
    assert (result["system"], result["version"], result["region"]) == (None, None, None)


@pytest.mark.parametrize(("arguments", "says"), REFUSED_ENTRIES.values(), ids=REFUSED_ENTRIES)
def test_refused_entries(entries: ActionTrial, arguments: Options, says: str) -> None:
    result = entries.run(arguments)
    assert result["failed"] is True
    assert says in result["msg"]


def test_an_entry_of_any_password(entries: ActionTrial) -> None:
    """One that was chosen may have the form of a secret access key: no warning."""
    entries.run({**LOGIN, "password": SECRET_KEY, "key": KEY_OF_MAP})
    assert entries.handed_over["entries"][0]["password"] == SECRET_KEY
    assert entries.warnings == []


def test_an_entry_to_remove(entries: ActionTrial) -> None:
    entries.run({"endpoint": HOST, "state": "absent"})
    assert entries.handed_over["entries"][0]["key"] == KEY_OF_MAP


@pytest.mark.parametrize(("sender", "says"), REFUSED_SENDERS.values(), ids=REFUSED_SENDERS)
def test_refused_senders(relay: ActionTrial, sender: Options, says: str) -> None:
    senders = [{"sender": "@example.com", **sender}]
    result = relay.run({**KEY, "region": "eu-west-1", "senders": senders})
    assert result["failed"] is True
    assert says in result["msg"]


def test_a_relay_of_both_systems(relay: ActionTrial) -> None:
    senders = [{"sender": "@example.com", **MAIL_MANAGER}]
    relay.run({**KEY, "region": "eu-west-1", "senders": senders})
    (login,) = relay.handed_over["logins"]
    (sender,) = relay.handed_over["senders"]
    assert login["login"]["username"] == ACCESS_KEY
    assert sender["login"]["username"] == USERNAME
    assert sender["login"]["server"] == {"host": HOST, "port": 587, "tls": "starttls"}


def test_a_relay_of_both_systems_the_other_way_round(relay: ActionTrial) -> None:
    senders = [{"sender": "@example.com", **KEY, "region": "eu-west-1"}]
    relay.run({**MAIL_MANAGER, "senders": senders})
    (login,) = relay.handed_over["logins"]
    (sender,) = relay.handed_over["senders"]
    assert login["login"]["username"] == USERNAME
    assert sender["login"]["username"] == ACCESS_KEY
    assert sender["login"]["server"]["host"] == "email-smtp.eu-west-1.amazonaws.com"
