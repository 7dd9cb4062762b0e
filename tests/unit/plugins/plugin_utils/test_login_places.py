# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which options of an item, its task and the environment go together: no login of two halves."""

from __future__ import annotations

import re
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import SesSmtpError
from ansible_collections.mailops.ses.plugins.plugin_utils._login_places import (
    Place,
    check_one_secret_each,
    respect_environment_of_task,
    with_environment,
)

Options = dict[str, t.Any]

A, B = "AKIAIOSFODNN7EXAMPLE", "AKIAEXAMPLE000000002"
SECRET_A, SECRET_B = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "secret/of+B"
KEY_A: Options = {"access_key": A, "secret_key": SECRET_A}
KEY_B: Options = {"access_key": B, "secret_key": SECRET_B}
ID_A, ID_B = {"access_key": A}, {"access_key": B}
ONLY_SECRET_A, ONLY_SECRET_B = {"secret_key": SECRET_A}, {"secret_key": SECRET_B}
LOGIN: Options = {"username": "u", "password": "p"}
VARIABLES = {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY"}
NOTHING: Options = {}

# an item, its task, the environment -> the login
TOGETHER: dict[str, tuple[Options, Options, Options, Options]] = {
    "nothing": (NOTHING, NOTHING, NOTHING, {}),
    "environment": (NOTHING, NOTHING, KEY_A, KEY_A),
    "task": (NOTHING, KEY_A, KEY_B, KEY_A),
    "item": (KEY_A, KEY_B, KEY_B, KEY_A),
    "half of the task, half of the environment": (NOTHING, ID_A, ONLY_SECRET_A, KEY_A),
    "the other halves": (NOTHING, ONLY_SECRET_A, ID_A, KEY_A),
    "half of the item, half of the task": (ID_A, ONLY_SECRET_A, KEY_B, KEY_A),
    "half of the item, half of the environment": (ID_A, NOTHING, ONLY_SECRET_A, KEY_A),
    "a secret of the item, an ID of the task": (ONLY_SECRET_A, ID_A, KEY_B, KEY_A),
    "the same ID in item and task": (ID_A, ID_A, ONLY_SECRET_A, KEY_A),
    "the pair of the task, by its ID": (ID_A, KEY_A, NOTHING, KEY_A),
    "the pair of the task, by its secret": (ONLY_SECRET_A, KEY_A, NOTHING, KEY_A),
    "the pair of the environment, by its ID": (NOTHING, ID_A, KEY_A, KEY_A),
    "the pair of the environment, past another ID": (ID_A, ID_B, KEY_A, KEY_A),
    "no other half": (ID_A, ID_B, ID_B, ID_A),
    "no other half of a secret": (NOTHING, ONLY_SECRET_A, ONLY_SECRET_B, ONLY_SECRET_A),
    "an empty ID is no pair": (NOTHING, ID_A, {**KEY_B, "access_key": ""}, {**ID_A, **ONLY_SECRET_B}),
    "an empty secret is not replaced": (ID_A, {"secret_key": ""}, KEY_A, {**ID_A, "secret_key": ""}),
    "a login instead of a key": (LOGIN, KEY_A, KEY_A, LOGIN),
    "a login of the task": (NOTHING, LOGIN, KEY_A, LOGIN),
    "half a login": (NOTHING, {"username": "u"}, KEY_A, {"username": "u"}),
    "a key instead of a login": (KEY_A, LOGIN, NOTHING, KEY_A),
    "half a key instead of a login": (ID_A, LOGIN, ONLY_SECRET_A, KEY_A),
    "both in one place": (NOTHING, {**LOGIN, **KEY_A}, KEY_B, {**LOGIN, **KEY_A}),
    "a user name of the task": ({"password": "p"}, {"username": "u"}, NOTHING, LOGIN),
    "a password of the task": ({"username": "u"}, {"password": "p"}, NOTHING, LOGIN),
    "the password of another region": ({"password": "p"}, {"username": "u", "password": "q"}, NOTHING, LOGIN),
}  # fmt: skip

# an item, its task, the environment -> the error
APART: dict[str, tuple[Options, Options, Options, str]] = {
    "the secret of the task's pair": (
        ID_A,
        KEY_B,
        NOTHING,
        (
            f"secret_key is missing beside access_key {A}. The secret_key of the task belongs to the"
            f" access_key {B} there, which is another one. Give access_key and secret_key together, or"
            " neither"
        ),
    ),
    "the secret of the environment's pair": (
        NOTHING,
        ID_A,
        KEY_B,
        (
            f"secret_key is missing beside access_key {A}. The secret_key of the controller's"
            f" environment belongs to the access_key {B} there"
        ),
    ),
    "the secret of the environment's pair, for an item": (
        ID_A,
        NOTHING,
        KEY_B,
        "The secret_key of the controller's environment belongs to",
    ),
    "the ID of the task's pair": (
        ONLY_SECRET_A,
        KEY_B,
        NOTHING,
        (
            f"access_key is missing beside secret_key. The access_key {B} of the task belongs to the"
            " secret_key there"
        ),
    ),
    "the ID of the environment's pair": (
        NOTHING,
        ONLY_SECRET_A,
        KEY_B,
        f"The access_key {B} of the controller's environment belongs",
    ),
    "a pair of task and environment": (
        ID_A,
        ID_B,
        ONLY_SECRET_B,
        (
            "The secret_key of the controller's environment belongs to the access_key"
            f" {B} of the task, which is another one"
        ),
    ),
    "an ID that is no AWS ID is not shown": (
        {"access_key": "SECRET0123456789"},
        {**KEY_B, "access_key": SECRET_B},
        NOTHING,
        (
            "secret_key is missing beside access_key. The secret_key of the task belongs to the"
            " access_key there"
        ),
    ),
    "an ID that is a secret": (
        {"access_key": SECRET_A},
        KEY_B,
        NOTHING,
        "access_key is not an access key ID",
    ),
    "a secret that is none": (
        {"secret_key": f"{SECRET_A} "},
        KEY_B,
        NOTHING,
        "secret_key has white space after it",
    ),
    "a user name with another's password": (
        {"username": "v"},
        LOGIN,
        NOTHING,
        (
            "password is missing beside username. The password of the task belongs to the username"
            " there"
        ),
    ),
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def together(
    monkeypatch: pytest.MonkeyPatch, item: Options, task: Options, environment: Options
) -> Options:
    for name, value in environment.items():
        monkeypatch.setenv(VARIABLES[name], value)
    return with_environment(Place("entries[0]", item), Place("the task", task))


@pytest.mark.parametrize(
    ("item", "task", "environment", "login"), TOGETHER.values(), ids=list(TOGETHER)
)
def test_what_goes_together(
    monkeypatch: pytest.MonkeyPatch,
    item: Options,
    task: Options,
    environment: Options,
    login: Options,
) -> None:
    assert together(monkeypatch, item, task, environment) == login


@pytest.mark.parametrize(("item", "task", "environment", "says"), APART.values(), ids=list(APART))
def test_halves_of_two_logins(
    monkeypatch: pytest.MonkeyPatch, item: Options, task: Options, environment: Options, says: str
) -> None:
    with pytest.raises(SesSmtpError, match=re.escape(says)) as caught:
        together(monkeypatch, item, task, environment)
    assert not [secret for secret in (SECRET_A, SECRET_B) if secret in str(caught.value)]


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({}, None),
        ({"AWS_REGION": "r"}, "r"),
        ({"AWS_DEFAULT_REGION": "d"}, "d"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "d"}, "d"),
        ({"AWS_REGION": "r", "AWS_DEFAULT_REGION": "d"}, "r"),
    ],
)
def test_the_region_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], region: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert with_environment(Place("the task", LOGIN)).get("region") == region
    given = {"region": "eu-west-1"}
    assert with_environment(Place("the task", {"region": None}), Place("x", given)) == given


def test_one_secret_for_one_access_key() -> None:
    task, same, half = Place("the task", KEY_A), Place("x", dict(KEY_A)), Place("y", ID_A)
    check_one_secret_each([task, same, half, Place("z", KEY_B), Place("", {})])
    wrong = Place("entries[3]", {**KEY_A, **ONLY_SECRET_B})
    with pytest.raises(SesSmtpError) as caught:
        check_one_secret_each([task, half, wrong])
    assert str(caught.value) == (
        "the task and entries[3] give different values of secret_key for the same access_key"
        f" {A}, and an access key ID has exactly one secret. Correct the one that is wrong"
    )


@pytest.mark.parametrize(
    ("task", "environment", "is_refused"),
    [
        (NOTHING, KEY_A, True),
        (ID_A, KEY_A, True),
        (ID_A, ONLY_SECRET_A, True),
        (KEY_B, KEY_A, False),
        (LOGIN, KEY_A, False),
        (NOTHING, ID_A, False),  # that half is missing is the better error
        (NOTHING, NOTHING, False),
    ],
)
def test_an_environment_of_the_task_beside_the_controllers(
    monkeypatch: pytest.MonkeyPatch, task: Options, environment: Options, is_refused: bool
) -> None:
    for option, variable in VARIABLES.items():
        monkeypatch.delenv(variable, raising=False)
        if option in environment:
            monkeypatch.setenv(variable, environment[option])
    place = Place("the task", task)
    expected = None if is_refused else with_environment(place)
    with respect_environment_of_task(["AWS_REGION", "HTTP_PROXY"]):
        with_environment(place)
    for variable in (*VARIABLES.values(), "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        with respect_environment_of_task(["AWS_REGION", variable]):
            if expected is not None:
                assert with_environment(place) == expected
                continue
            with pytest.raises(SesSmtpError, match=f"^{variable} in the environment of the task"):
                with_environment(place)
