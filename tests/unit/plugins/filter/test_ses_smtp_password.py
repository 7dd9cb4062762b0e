# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter ses_smtp_password: what it hands to the derivation, and what comes back how."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from ansible_collections.mailops.ses.plugins.filter import ses_smtp_password as plugin
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    VECTORS,
    longest_common_part,
)
from ansible_collections.mailops.ses.tests.support.running.secret_register import (
    SecretRegister,
    plugin_with_register,
)
from jinja2 import StrictUndefined, Undefined

V2_PASSWORD = "An60U4ZD3sd4fg+FvXUjayOipTt8LO4rUUmhpdX6ctDy"


class InlineVault:
    """What an inline ``!vault`` value is up to ansible-core 2.18."""

    __ENCRYPTED__ = True

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


ACCEPTED: list[tuple[str, tuple[t.Any, ...], dict[str, t.Any], str]] = [
    ("keyword", (SECRET_KEY,), {"region": "eu-west-1"}, PASSWORD_OF["eu-west-1"]),
    ("positional", (SECRET_KEY, "eu-west-1"), {}, PASSWORD_OF["eu-west-1"]),
    ("version", (SECRET_KEY, "eu-west-1", 4), {}, PASSWORD_OF["eu-west-1"]),
    ("version as str", (SECRET_KEY, "eu-west-1", "4"), {}, PASSWORD_OF["eu-west-1"]),
    ("version 2", (SECRET_KEY,), {"version": 2}, V2_PASSWORD),
    ("version 2 as str", (SECRET_KEY,), {"version": "2"}, V2_PASSWORD),
    ("version 2 and region", (SECRET_KEY, "eu-west-1", 2), {}, V2_PASSWORD),
    ("vaulted", (InlineVault(SECRET_KEY), "eu-west-3"), {}, PASSWORD_OF["eu-west-3"]),
    ("region vaulted", (SECRET_KEY, InlineVault("eu-west-3")), {}, PASSWORD_OF["eu-west-3"]),
    ("endpoint", (SECRET_KEY, "eu-west-1"), {"endpoint": "h.example"}, PASSWORD_OF["eu-west-1"]),
]
REFUSED: list[tuple[str, tuple[t.Any, ...], list[str]]] = [
    ("none", (None, "eu-west-1"), ["secret_key must be a string", "null"]),
    ("bytes", (SECRET_KEY.encode(), "eu-west-1"), ["secret_key must be a string", "bytes"]),
    ("list", ([SECRET_KEY], "eu-west-1"), ["secret_key must be a string", "list"]),
    ("empty", ("", "eu-west-1"), ["secret_key is empty"]),
    ("newline", (f"{SECRET_KEY}\n", "eu-west-1"), ["white space after it", "newline"]),
    ("vaulted newline", (InlineVault(f"{SECRET_KEY}\n"), "eu-west-1"), ["newline"]),
    ("derived", (PASSWORD_OF["eu-west-3"], "eu-west-3"), ["already", "Use it as it is"]),
    ("access key ID", (ACCESS_KEY, "eu-west-3"), ["access key ID", "not the secret"]),
    ("JSON text", (f'{{"x": "{SECRET_KEY}"}}', "eu-west-3"), ["JSON text", "| from_json"]),
    ("dict", ({"x": SECRET_KEY}, "eu-west-3"), ["not dict", "`.secret_access_key`"]),
    ("template", ("{{ x }}", "eu-west-3"), ["the template was not rendered"]),
    ("zone", (SECRET_KEY, "eu-west-3a"), ["region", "Did you mean 'eu-west-3'?"]),
    ("secret as region", (SECRET_KEY, f"{SECRET_KEY} eu-west-1"), ["region"]),
    ("empty region", (SECRET_KEY, ""), ["region is empty"]),
    ("region of type", (SECRET_KEY, 1), ["region must be a string", "int"]),
    ("no SMTP there", (SECRET_KEY, "me-south-1"), ["SES, but no SMTP endpoint"]),
    ("version 3", (SECRET_KEY, "eu-west-3", 3), ["version must be 2 or 4"]),
    ("version 4 alone", (SECRET_KEY, None, 4), ["version 4 needs a region"]),
]
WARNED: list[tuple[str, tuple[t.Any, ...], list[str]]] = [
    ("no region", (SECRET_KEY,), ["version 2", "reject", "region for version 4", "version=2"]),
    ("unknown region", (SECRET_KEY, "eu-wset-1"), ["'eu-wset-1'", "Did you mean 'eu-west-1'?"]),
    ("another form", ("some+secret+key", "eu-west-1"), ["40 characters", "Check the value"]),
    ("new region", (SECRET_KEY, "xx-new-1", 4), ["'xx-new-1'"]),
]
NOT_WARNED: list[tuple[t.Any, ...]] = [
    (SECRET_KEY, "eu-west-1"),
    (SECRET_KEY, None, 2),
    (SECRET_KEY, None, "2"),
    (SECRET_KEY, "eu-wset-1", 2),
    (SECRET_KEY, "me-south-1", 4, "email-smtp.me-south-1.amazonaws.com"),
]


@pytest.fixture(name="warnings", autouse=True)
def fixture_warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    warnings: list[str] = []

    monkeypatch.setattr(Display, "warning", lambda _self, message: warnings.append(message))
    return warnings


def ids(table: t.Iterable[tuple[t.Any, ...]]) -> list[str]:
    return [row[0] for row in table]


def test_name() -> None:
    assert plugin.FilterModule().filters() == {"ses_smtp_password": plugin.ses_smtp_password}


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["smtp_password"][:8])
def test_published_vector(row: dict[str, t.Any]) -> None:
    derived = plugin.ses_smtp_password(row["secret_access_key"], row["region"])
    assert derived == row["smtp_password"]


@pytest.mark.parametrize(("case", "args", "kwargs", "password"), ACCEPTED, ids=ids(ACCEPTED))
def test_accepted(
    case: str, args: tuple[t.Any, ...], kwargs: dict[str, t.Any], password: str, warnings: list[str]
) -> None:
    assert plugin.ses_smtp_password(*args, **kwargs) == password
    assert warnings == []


@pytest.mark.parametrize(("case", "args", "says"), REFUSED, ids=ids(REFUSED))
def test_refused(case: str, args: tuple[t.Any, ...], says: list[str], warnings: list[str]) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        plugin.ses_smtp_password(*args)
    message = str(caught.value)
    assert message.startswith("mailops.ses.ses_smtp_password: ")
    assert not [part for part in says if part not in message], message
    assert len(longest_common_part(message, SECRET_KEY)) < 8
    # From ansible-core 2.19 on the cause is shown too.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert warnings == []


@pytest.mark.parametrize("kind", [Undefined, StrictUndefined])
@pytest.mark.parametrize("place", range(4))
def test_undefined_is_handed_on(place: int, kind: type[Undefined]) -> None:
    undefined = kind(name="nope")
    args: list[t.Any] = [SECRET_KEY, "eu-west-1", 4, "h.example"]
    args[place] = undefined
    assert plugin.ses_smtp_password(*args) is undefined


@pytest.mark.parametrize(("case", "args", "says"), WARNED, ids=ids(WARNED))
def test_warned(case: str, args: tuple[t.Any, ...], says: list[str], warnings: list[str]) -> None:
    assert len(plugin.ses_smtp_password(*args)) == 44
    [warning] = warnings
    assert warning.startswith("mailops.ses")
    assert not [part for part in says if part not in warning], warning
    assert len(longest_common_part(warning, SECRET_KEY)) < 8


@pytest.mark.parametrize("args", NOT_WARNED)
def test_not_warned(args: tuple[t.Any, ...], warnings: list[str]) -> None:
    assert len(plugin.ses_smtp_password(*args)) == 44
    assert warnings == []


def test_exactly_the_password_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    register = SecretRegister()
    fresh = plugin_with_register(monkeypatch, "filter.ses_smtp_password", register)
    password = fresh.ses_smtp_password(InlineVault(SECRET_KEY), region="eu-west-3")
    assert password == PASSWORD_OF["eu-west-3"]
    assert register.values == [PASSWORD_OF["eu-west-3"]]


def test_nothing_is_registered_of_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    register = SecretRegister()
    fresh = plugin_with_register(monkeypatch, "filter.ses_smtp_password", register)
    with pytest.raises(AnsibleFilterError):
        fresh.ses_smtp_password(f"{SECRET_KEY}\n", region="eu-west-3")
    assert isinstance(fresh.ses_smtp_password(Undefined()), Undefined)
    assert register.values == []


def test_works_where_nothing_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = plugin_with_register(monkeypatch, "filter.ses_smtp_password", None)
    assert fresh.ses_smtp_password(SECRET_KEY, "eu-west-3") == PASSWORD_OF["eu-west-3"]
