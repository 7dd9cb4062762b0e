# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task's own options and module_defaults, in every module: the task's own option wins."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.action.postfix_relay import (
    ActionModule as PostfixRelay,
)
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.in_process.action_trial import ActionTrial
from ansible_collections.mailops.ses.tests.support.running.option_mistakes import (
    MODULES,
    action_of,
    derivable,
)

OTHER = "AKIAEXAMPLE000000003"
OTHER_SECRET = "secret/access+key/of+the+number/00000003"
IAM = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
OTHER_IAM = {"access_key": OTHER, "secret_key": OTHER_SECRET}
LOGIN = {"username": "u", "password": "Sesame/+1"}
REGION = {"region": "eu-west-1"}
HOST = "email-smtp.eu-west-1.amazonaws.com"
SECRETS = [SECRET_KEY, OTHER_SECRET, LOGIN["password"]]
ITEMS = {
    "postfix_relay": ("senders", {"sender": "@a.example"}),
    "postfix_sasl_passwd": ("entries", {}),
    "postfix_relay_info": ("candidates", {"secret_key": SECRET_KEY}),
}


def trial_of(module: str, monkeypatch: pytest.MonkeyPatch) -> ActionTrial:
    trial = ActionTrial(action_of(module), monkeypatch)
    trial.returns = {"changed": False, "instances": [{"name": "-", "entries": []}]}
    return trial


def refusal(result: dict[str, t.Any]) -> str:
    assert result.get("failed") is True, result
    assert found_in(json.dumps(result), SECRETS) == []
    return str(result["msg"])


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    ("default", "own"),
    [("aws_access_key", "access_key"), ("access_key", "aws_access_key_id")],
)
def test_the_tasks_own_option_replaces_a_default_under_another_name(
    monkeypatch: pytest.MonkeyPatch, module: str, default: str, own: str
) -> None:
    trial = trial_of(module, monkeypatch)
    options = derivable(module, SECRET_KEY)
    options[own] = options.pop("access_key")
    # Of the default alone, the error would be this one.
    assert "16 to 128 capital letters" in refusal(trial.run({**options, own: "wrong"}))
    assert not trial.run(options, {default: "wrong"}).get("failed")


@pytest.mark.parametrize("module", MODULES)
def test_two_names_in_one_place(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    trial = trial_of(module, monkeypatch)
    options = {**derivable(module, SECRET_KEY), "aws_access_key": OTHER}
    says = "access_key and aws_access_key are names of one option, and have different values"
    assert says in refusal(trial.run(options))
    assert says in refusal(trial.run(options, {"region": "eu-west-1"}))
    secrets = {**derivable(module, SECRET_KEY), "aws_secret_key": OTHER_SECRET}
    assert "secret_key and aws_secret_key are names of one" in refusal(trial.run(secrets))
    same = {**derivable(module, SECRET_KEY), "aws_secret_key": SECRET_KEY, "aws_access_key": None}
    assert not trial.run(same).get("failed")


@pytest.mark.parametrize("module", MODULES)
def test_options_in_a_template_may_be_defaults(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    trial = trial_of(module, monkeypatch)
    written = {trial.module: None, "args": "{{ options }}"}
    options = derivable(module, SECRET_KEY)
    assert not trial.run(options, {"aws_access_key": ACCESS_KEY}, written).get("failed")
    message = refusal(trial.run(options, {"aws_access_key": OTHER}, written))
    assert "aws_access_key and access_key are names of one option" in message
    assert "from the task or from module_defaults" in message


@pytest.mark.parametrize("module", ITEMS)
def test_two_names_in_an_item(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    trial = trial_of(module, monkeypatch)
    name, item = ITEMS[module]
    item = {**item, "secret_key": SECRET_KEY}
    options = {**derivable(module, SECRET_KEY), name: [{**item, "access_key": ACCESS_KEY}]}
    options[name].append({**item, "aws_access_key": ACCESS_KEY, "aws_access_key_id": OTHER})
    message = refusal(trial.run(options))
    assert f"{name}[1].aws_access_key and {name}[1].aws_access_key_id are names of" in message
    assert "module_defaults" not in message
    options[name][1]["aws_access_key_id"] = None
    if "sender" in item:
        options[name][1]["sender"] = "@b.example"
    assert not trial.run(options).get("failed")


@pytest.mark.parametrize("module", [name for name in MODULES if name != "postfix_relay_info"])
def test_half_of_the_key_in_module_defaults(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    trial = trial_of(module, monkeypatch)
    options = derivable(module, SECRET_KEY)
    del options["secret_key"]
    for name in ("access_key", "aws_access_key"):
        message = refusal(trial.run(options, {name: OTHER, "secret_key": OTHER_SECRET}))
        assert f"secret_key is missing beside access_key {ACCESS_KEY}. The secret_key of" in message
        assert f"of module_defaults belongs to the access_key {OTHER} there" in message
    assert not trial.run(options, {"access_key": ACCESS_KEY, **IAM}).get("failed")
    assert not trial.run(options, {"secret_key": SECRET_KEY}).get("failed")


# the task, the defaults -> the server and its password's region, or the user name
REPLACED: dict[str, tuple[dict[str, t.Any], dict[str, t.Any], list[str]]] = {
    "regions": ({"regions": ["us-east-1", "eu-west-3"]}, {**IAM, **REGION}, ["us-east-1", "eu-west-3"]),
    "region": (REGION, {**IAM, "regions": ["us-east-1"]}, ["eu-west-1"]),
    "aws_region": ({"aws_region": "eu-west-1"}, {**IAM, "regions": ["us-east-1"]}, ["eu-west-1"]),
    "regions and no endpoint": (
        {"regions": ["us-east-1", "eu-west-3"]}, {**IAM, "endpoint": "h"}, ["us-east-1", "eu-west-3"],
    ),
    "tls": ({"tls": "wrapper"}, {**IAM, **REGION, "port": 587}, [f"{HOST}:465"]),
    "port": ({"port": 2587}, {**IAM, **REGION, "tls": "wrapper"}, [f"{HOST}:2587"]),
    "tls, and a port that goes with it": (
        {"tls": "wrapper"}, {**IAM, **REGION, "port": 2465}, [f"{HOST}:2465"],
    ),
    "tls, and a port of another server": (
        {"tls": "wrapper"}, {**IAM, **REGION, "endpoint": "h", "port": 10025}, ["h:10025"],
    ),
    "endpoint": ({"endpoint": "h"}, {**IAM, **REGION, "fips": True, "dualstack": True}, ["h"]),
    "dualstack": ({"dualstack": True}, {**IAM, **REGION, "endpoint": "h"}, ["email-smtp.eu-west-1.api.aws"]),
    "no dualstack": ({"dualstack": False}, {**IAM, **REGION, "endpoint": "h"}, ["h"]),
    "a region elsewhere": (
        REGION, {**IAM, "endpoint": "email-smtp.us-east-1.amazonaws.com"}, ["eu-west-1"],
    ),
    "a region and another host": (REGION, {**IAM, "endpoint": "h"}, ["h"]),
    "a key": ({**IAM, **REGION}, LOGIN, [ACCESS_KEY]),
    "a login": ({**LOGIN, **REGION}, IAM, ["587 u"]),
}  # fmt: skip


@pytest.mark.parametrize(("own", "defaults", "found"), REPLACED.values(), ids=REPLACED)
def test_a_default_that_the_task_excludes(
    monkeypatch: pytest.MonkeyPatch,
    own: dict[str, t.Any],
    defaults: dict[str, t.Any],
    found: list[str],
) -> None:
    trial = ActionTrial(PostfixRelay, monkeypatch)
    assert trial.run(own, defaults).get("failed") is None
    logins = [each["login"] for each in trial.handed_over["logins"]]
    shown = [
        f"{login['server']['host']}:{login['server']['port']} {login['username']}"
        for login in logins
    ]
    assert len(shown) == len(found)
    assert all(part in text for part, text in zip(found, shown, strict=True)), shown
    assert found_in(json.dumps(logins), [SECRET_KEY]) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({**REGION, "regions": ["us-east-1"]}, "region and regions exclude each other"),
        ({**REGION, "port": 587, "tls": "wrapper"}, "port 587 of SES is for tls 'starttls'"),
    ],
)
def test_what_one_place_excludes(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, t.Any], says: str
) -> None:
    trial = ActionTrial(PostfixRelay, monkeypatch)
    assert says in refusal(trial.run({**IAM, **options}))
    assert says in refusal(trial.run({**IAM, **options}, {"version": 4}))
    assert says in refusal(trial.run(IAM, options))
    written = {trial.module: None, "args": "{{ options }}"}
    *_first, last = options
    own = {last: options[last]}
    assert says in refusal(trial.run({**IAM, **own}, {**options}, written))


def test_entries_of_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = ActionTrial(action_of("postfix_sasl_passwd"), monkeypatch)
    defaults = {**IAM, **REGION, "key": "a"}
    trial.run({"entries": [{"key": "b"}]}, defaults)
    assert [entry["key"] for entry in trial.handed_over["entries"]] == ["b"]
    trial.run({"key": "c"}, {**IAM, **REGION, "entries": [{"key": "b"}]})
    assert [entry["key"] for entry in trial.handed_over["entries"]] == ["c"]
    # An error without module_defaults, where a key beside a login is of no use.
    trial.run(LOGIN, defaults)
    assert [entry["username"] for entry in trial.handed_over["entries"]] == ["u"]
    assert "not both" in refusal(trial.run({**LOGIN, **IAM, **REGION}))


def test_a_task_that_removes_needs_no_whole_key(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = ActionTrial(PostfixRelay, monkeypatch)
    assert trial.run({"state": "absent", "access_key": OTHER}, {**IAM, **REGION})["changed"]


def test_only_the_templates_that_are_needed_are_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = ActionTrial(PostfixRelay, monkeypatch)
    trial.run({**OTHER_IAM, **REGION}, {**IAM, **REGION})
    assert trial.templated == []
    refusal(trial.run({"access_key": OTHER, **REGION}, {**IAM, **REGION}))
    assert trial.templated == [ACCESS_KEY]
