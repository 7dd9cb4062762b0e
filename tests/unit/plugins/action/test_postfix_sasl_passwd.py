# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action postfix_sasl_passwd: what it hands to the module, and what it refuses."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.action.postfix_sasl_passwd import ActionModule
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.in_process.action_trial import ActionTrial

IAM = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
GIVEN = {"username": "user", "password": "Sesame/+1"}
HOST_KEY = "[email-smtp.{}.amazonaws.com]:{}"


def derived(
    region: str, key: str | None = None, port: int = 587, place: str = "the task"
) -> dict[str, t.Any]:
    return {
        "key": key or HOST_KEY.format(region, port),
        "username": ACCESS_KEY,
        "password": PASSWORD_OF[region],
        "present": True,
        "requested_by": place,
    }


def given(key: str, place: str = "the task") -> dict[str, t.Any]:
    return {"key": key, **GIVEN, "present": True, "requested_by": place}


def absent(key: str, place: str = "the task") -> dict[str, t.Any]:
    return {"key": key, "username": "", "password": "", "present": False, "requested_by": place}


EU, US = "eu-west-1", "us-east-1"

# the task's arguments -> the entries that the module gets
HANDED_OVER: dict[str, tuple[dict[str, t.Any], list[dict[str, t.Any]]]] = {
    "derived": ({**IAM, "region": EU}, [derived(EU)]),
    "aliases": (
        {"aws_access_key_id": ACCESS_KEY, "aws_secret_key": SECRET_KEY, "aws_region": EU},
        [derived(EU)],
    ),
    "a key of its own": ({**IAM, "region": EU, "key": "@example.org"}, [derived(EU, "@example.org")]),
    "another port": ({**IAM, "region": EU, "port": 2587}, [derived(EU, port=2587)]),
    "TLS from the first byte": ({**IAM, "region": EU, "tls": "wrapper"}, [derived(EU, port=465)]),
    "another host": (
        {**IAM, "region": EU, "endpoint": "smtp.example"},
        [derived(EU, "[smtp.example]:587")],
    ),
    "given": ({**GIVEN, "region": EU}, [given(HOST_KEY.format(EU, 587))]),
    "given, for any key": ({**GIVEN, "key": "example.org"}, [given("example.org")]),
    "absent by region": ({"region": EU, "state": "absent"}, [absent(HOST_KEY.format(EU, 587))]),
    "absent by key": ({"key": "a", "state": "absent"}, [absent("a")]),
    "absent by endpoint": (
        {"endpoint": "smtp.example", "port": 25, "state": "absent"},
        [absent("[smtp.example]:25")],
    ),
    "absent, with a key that can't be right": (
        {"key": "a", "state": "absent", "access_key": "x", "secret_key": "y"},
        [absent("a")],
    ),
    "no entries": ({"entries": [], "exclusive": True}, []),
    "entries inherit": (
        {**IAM, "region": EU, "entries": [{}, {"region": US}, {"key": "a"}]},
        [
            derived(EU, place="entries[0]"),
            derived(US, place="entries[1]"),
            derived(EU, "a", place="entries[2]"),
        ],
    ),
    "entries with either login": (
        {**IAM, "region": EU, "entries": [{"key": "a", **GIVEN}, {}]},
        [given("a", "entries[0]"), derived(EU, place="entries[1]")],
    ),
    "entries with either login, the other way round": (
        {**GIVEN, "region": EU, "entries": [{"key": "a"}, {"aws_access_key": ACCESS_KEY, "secret_key": SECRET_KEY}]},
        [given("a", "entries[0]"), derived(EU, place="entries[1]")],
    ),
    "half a login is inherited": (
        {"username": "user", "entries": [{"key": "a", "password": "Sesame/+1"}]},
        [given("a", "entries[0]")],
    ),
    "entries with states": (
        {**GIVEN, "state": "absent", "entries": [{"key": "a"}, {"key": "b", "state": "present"}]},
        [absent("a", "entries[0]"), given("b", "entries[1]")],
    ),
}  # fmt: skip

REFUSED: dict[str, tuple[dict[str, t.Any], list[str]]] = {
    "nothing": ({}, ["region is missing"]),
    "no login": ({"region": EU}, ["access_key is missing"]),
    "no region": ({**IAM, "key": "a"}, ["region"]),
    "both logins": ({**IAM, **GIVEN, "region": EU}, ["not both"]),
    "no password": ({"username": "user", "key": "a"}, ["password is missing"]),
    "a key for many": ({"key": "a", "entries": [{**GIVEN}]}, ["key is for a single entry"]),
    "absent and exclusive": ({"key": "a", "state": "absent", "exclusive": True}, ["exclusive"]),
    "an entry": (
        {**IAM, "region": EU, "entries": [{}, {"secret_key": f"{SECRET_KEY}\n"}]},
        ["entries[1]: secret_key has white space after it"],
    ),
    "the forgotten secret of an entry": (
        {**IAM, "region": EU, "entries": [{}, {"key": "a", "access_key": "AKIAEXAMPLE000000002"}]},
        ["entries[1]: secret_key is missing beside access_key AKIAEXAMPLE000000002"],
    ),
    "two secrets for one key": (
        {"region": EU, "entries": [IAM, {"key": "a", **IAM, "secret_key": "other+secret"}]},
        ["entries[0] and entries[1] give different values of secret_key", ACCESS_KEY],
    ),
}

REFUSED_BY_ANSIBLE: dict[str, tuple[dict[str, t.Any], str]] = {
    "an unknown option": ({"secret": SECRET_KEY}, "Unsupported parameters"),
    "an unknown option of an entry": ({"entries": [{"secret": SECRET_KEY}]}, "secret"),
    "a state": ({"state": "gone"}, "state"),
    "entries that are none": ({"entries": [SECRET_KEY]}, "dict"),
}

RAW = "looks like an AWS secret access key"
WARNED: dict[str, tuple[dict[str, t.Any], str | None]] = {
    "a raw secret, by region": ({**GIVEN, "password": SECRET_KEY, "region": EU, "key": "@a"}, RAW),
    "a raw secret, by key": ({**GIVEN, "password": SECRET_KEY, "key": "[email-smtp.eu-west-1.amazonaws.com]:587"}, RAW),
    "a raw secret, by endpoint": ({**GIVEN, "password": SECRET_KEY, "endpoint": "email-smtp.eu-west-1.api.aws"}, RAW),
    "40 characters for somebody else": ({**GIVEN, "password": SECRET_KEY, "key": "smtp.example"}, None),
    "a password": ({**GIVEN, "region": EU}, None),
    "an unknown region": ({**IAM, "region": "eu-wset-1"}, "eu-wset-1"),
    "an unknown region, absent": ({"region": "eu-wset-1", "state": "absent"}, None),
    "a port that SES has not": ({**IAM, "region": EU, "port": 26}, "port 26 is none of SES's ports"),
    "a port that SES has not, in the key": ({**GIVEN, "key": "[email-smtp.eu-west-1.amazonaws.com]:26"}, "port 26"),
    "a key without a port": ({**GIVEN, "key": "email-smtp.eu-west-1.amazonaws.com"}, None),
    "a port of another server": ({**GIVEN, "key": "[smtp.example]:26"}, None),
    "an unknown region with a host": ({**IAM, "region": "eu-wset-1", "endpoint": "smtp.example"}, "wset"),
}  # fmt: skip


@pytest.fixture(name="task")
def fixture_task(monkeypatch: pytest.MonkeyPatch) -> ActionTrial:
    return ActionTrial(ActionModule, monkeypatch)


@pytest.mark.parametrize(("arguments", "entries"), HANDED_OVER.values(), ids=HANDED_OVER)
def test_what_the_module_gets(
    task: ActionTrial, arguments: dict[str, t.Any], entries: list[dict[str, t.Any]]
) -> None:
    assert task.run(arguments)["changed"] is True
    assert task.handed_over == {"entries": entries}
    assert SECRET_KEY not in json.dumps(task.handed_on)
    assert set(task.handed_on["module_args"]) <= {"password", "exclusive"}
    # The very text that the module gets, too: it is the value of an option there.
    handed_over = {entry["password"] for entry in entries} | {
        task.handed_on["module_args"]["password"]
    }
    assert handed_over - {""} <= set(task.registered)
    assert set(task.registered) <= handed_over | {SECRET_KEY, GIVEN["password"]}
    assert task.warnings == []


def test_the_modules_own_options_are_handed_on_as_they_are(task: ActionTrial) -> None:
    own = {
        "path": "~/map", "config_directory": "/etc/postfix-out", "map_type": "lmdb", "owner": "postfix",
        "group": "mail", "mode": 416, "setype": "_default", "backup": "yes", "exclusive": True,
    }  # fmt: skip
    task.run({**own, **GIVEN, "key": "a", "fips": False, "state": "present"})
    assert task.handed_over == {"entries": [given("a")]}
    del task.handed_on["module_args"]["password"]
    assert task.handed_on["module_args"] == own


def test_the_environment_is_the_controllers(
    task: ActionTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", EU)
    task.run({"entries": [{}, {"key": "a", **GIVEN}]})
    assert task.handed_over == {
        "entries": [derived(EU, place="entries[0]"), given("a", "entries[1]")]
    }


@pytest.mark.parametrize(("arguments", "parts"), REFUSED.values(), ids=REFUSED)
def test_refused(task: ActionTrial, arguments: dict[str, t.Any], parts: list[str]) -> None:
    result = task.run(arguments)
    assert result["failed"] is True
    for part in ["mailops.ses.postfix_sasl_passwd: ", *parts]:
        assert part in result["msg"]
    assert SECRET_KEY not in result["msg"]
    assert not task.handed_on


@pytest.mark.parametrize(("arguments", "part"), REFUSED_BY_ANSIBLE.values(), ids=REFUSED_BY_ANSIBLE)
def test_refused_by_ansible(task: ActionTrial, arguments: dict[str, t.Any], part: str) -> None:
    result = task.run(arguments)
    assert result["failed"] is True
    assert part in result["msg"]
    assert SECRET_KEY not in str(result)


@pytest.mark.parametrize(("arguments", "warning"), WARNED.values(), ids=WARNED)
def test_warnings(task: ActionTrial, arguments: dict[str, t.Any], warning: str | None) -> None:
    assert task.run(arguments)["changed"] is True
    assert len(task.warnings) == (warning is not None)
    for text in task.warnings:
        assert warning is not None
        assert warning in text
        assert SECRET_KEY not in text


def test_a_warning_about_many_entries_comes_once(task: ActionTrial) -> None:
    task.run({**IAM, "region": "eu-wset-1", "entries": [{"key": "a"}, {"key": "b"}]})
    assert len(task.warnings) == 1
