# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller can add to a refusal, and that it shows no secret."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._regions import SMTP_REGIONS
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import (
    SesSmtpError,
    find_region_of_password,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._credentials import (
    check_not_swapped,
    find_credentials,
    find_username_and_password,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._login_diagnosis import (
    diagnose,
    find_login_and_key_pair,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._login_places import Place
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    longest_common_part,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import password_v4

KEY = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
PASSWORD = PASSWORD_OF["eu-west-1"]
V2_PASSWORD = "An60U4ZD3sd4fg+FvXUjayOipTt8LO4rUUmhpdX6ctDy"
OTHER_SECRET = "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY"
GIVEN = {"username": ACCESS_KEY, "password": PASSWORD}

# case, the task's options, the environment, what is said: "" for nothing
DIAGNOSES: list[tuple[str, dict[str, t.Any], dict[str, str], str]] = [
    (
        "half of another key",
        {**GIVEN, "access_key": ACCESS_KEY, "region": "us-east-1"},
        {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE000000002", "AWS_SECRET_ACCESS_KEY": OTHER_SECRET},
        "",
    ),
    (
        "derived",
        {**KEY, "region": "eu-west-1"},
        {},
        (
            "derived for region eu-west-1 and offered to email-smtp.eu-west-1.amazonaws.com, so that the"
            " access key may be deactivated"
        ),
    ),
    (
        "derived, for a host elsewhere",
        {**KEY, "region": "eu-west-1", "endpoint": "relay.example.com"},
        {},
        (
            "derived for region eu-west-1 and offered to relay.example.com. Usual causes: the password is"
            " for another region"
        ),
    ),
    (
        "derived, version 2",
        {**KEY, "region": "eu-west-1", "version": 2},
        {},
        "derived for no region (version 2)",
    ),
    (
        "other region",
        {**GIVEN, **KEY, "region": "us-east-1"},
        {},
        "the password for eu-west-1; region says us-east-1",
    ),
    (
        "other region, key of the environment",
        {**GIVEN, "region": "us-east-1"},
        {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY},
        "the password for eu-west-1; region says us-east-1",
    ),
    (
        "other region than the endpoint's",
        {**GIVEN, **KEY, "endpoint": "email-smtp.us-east-1.amazonaws.com"},
        {},
        "the password for eu-west-1; region says us-east-1",
    ),
    ("no region", {**GIVEN, **KEY, "endpoint": "localhost"}, {}, "of the secret key for eu-west-1"),
    ("right region", {**GIVEN, **KEY, "region": "eu-west-1"}, {}, "may be deactivated or deleted"),
    (
        "a region that is not known",
        {
            **KEY,
            "username": ACCESS_KEY,
            "password": password_v4(SECRET_KEY, "xx-new-9"),
            "region": "xx-new-9",
        },
        {},
        "of the secret key for xx-new-9",
    ),
    (
        "version 2",
        {**KEY, "username": ACCESS_KEY, "password": V2_PASSWORD, "region": "eu-west-1"},
        {},
        "the version 2 password of the secret key",
    ),
    (
        "raw secret",
        {**KEY, "username": ACCESS_KEY, "password": SECRET_KEY, "region": "eu-west-1"},
        {},
        "the secret access key itself",
    ),
    (
        "other secret",
        {**GIVEN, **KEY, "secret_key": OTHER_SECRET, "region": "eu-west-1"},
        {},
        "derived from another secret key",
    ),
    (
        "damaged secret",
        {**GIVEN, **KEY, "secret_key": f"{SECRET_KEY}\n", "region": "eu-west-1"},
        {},
        "(retries helps). Whether it is the password for another region can't be told: secret_key",
    ),
    ("no key", {**GIVEN, "region": "us-east-1"}, {}, ""),
    ("no secret", {**GIVEN, "access_key": ACCESS_KEY, "region": "us-east-1"}, {}, ""),
    (
        "another user's key",
        {**GIVEN, **KEY, "access_key": "AKIAI44QH8DHBEXAMPLE", "region": "us-east-1"},
        {},
        "",
    ),
]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("case", "options", "environment", "says"), DIAGNOSES, ids=[row[0] for row in DIAGNOSES]
)
def test_diagnosis(
    monkeypatch: pytest.MonkeyPatch,
    *,
    case: str,
    options: dict[str, t.Any],
    environment: dict[str, str],
    says: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    login, key = find_login_and_key_pair(Place("the task", options))
    text = diagnose(find_credentials(login), key)
    if not says:
        assert text is None
        return
    assert text is not None
    assert says in text
    # What the text rules out, it does not name as a cause.
    assert not (" so that " in text and "another region" in text)
    assert not text.endswith(".")
    for secret in (SECRET_KEY, OTHER_SECRET, PASSWORD, V2_PASSWORD):
        assert len(longest_common_part(text, secret)) < 8


def test_half_a_login_is_no_key_to_derive() -> None:
    options = {**KEY, "username": ACCESS_KEY, "region": "eu-west-1"}
    login, _key = find_login_and_key_pair(Place("the task", options))
    with pytest.raises(SesSmtpError, match="password is missing"):
        find_credentials(login)


@pytest.mark.parametrize("region", SMTP_REGIONS)
def test_region_of_password(region: str) -> None:
    assert find_region_of_password(SECRET_KEY, password_v4(SECRET_KEY, region)) == region
    assert find_region_of_password(OTHER_SECRET, password_v4(SECRET_KEY, region)) is None


@pytest.mark.parametrize("password", [V2_PASSWORD, SECRET_KEY, "", "\udcff"])
def test_region_of_no_password(password: str) -> None:
    assert find_region_of_password(SECRET_KEY, password) is None
    with pytest.raises(SesSmtpError):
        find_region_of_password("", password)


@pytest.mark.parametrize(
    "username",
    [
        SECRET_KEY,
        PASSWORD,
        V2_PASSWORD,
        OTHER_SECRET,
        f"{SECRET_KEY}\n",
        f'"{PASSWORD}"',
        f"{ACCESS_KEY}:{PASSWORD}",
    ],
)
def test_swapped(username: str) -> None:
    with pytest.raises(SesSmtpError, match="swapped") as caught:
        check_not_swapped(username)
    assert len(longest_common_part(str(caught.value), username.rpartition(":")[2])) < 8


@pytest.mark.parametrize("password", [ACCESS_KEY, f"{ACCESS_KEY}\n"])
def test_a_chosen_password_that_is_swapped(password: str) -> None:
    with pytest.raises(SesSmtpError, match="swapped") as caught:
        find_username_and_password({"username": "Chosen/password+", "password": password})
    assert "Chosen" not in str(caught.value)


@pytest.mark.parametrize(
    "username",
    [
        ACCESS_KEY,
        "mail-user",
        "mail@example.com",
        "A" * 40,
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ],
)
def test_not_swapped(username: str) -> None:
    check_not_swapped(username)
