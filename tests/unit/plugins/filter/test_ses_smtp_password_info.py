# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter ses_smtp_password_info: what a password is, and what is no password or secret."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from ansible_collections.mailops.ses.plugins.filter import ses_smtp_password_info as plugin
from ansible_collections.mailops.ses.tests.support.example_key import (
    PASSWORD_OF,
    SECRET_KEY,
)
from jinja2 import StrictUndefined, Undefined

EU = PASSWORD_OF["eu-west-1"]
V2 = "An60U4ZD3sd4fg+FvXUjayOipTt8LO4rUUmhpdX6ctDy"
OTHER_SECRET = "secret/access+key/of+the+number/00000002"


class InlineVault:
    """What an inline ``!vault`` value is up to ansible-core 2.18."""

    __ENCRYPTED__ = True

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


#: arguments; version, region and matches
TOLD: list[tuple[tuple[t.Any, ...], tuple[int | None, str | None, bool | None]]] = [
    ((EU,), (4, None, None)),
    ((V2,), (2, None, None)),
    ((SECRET_KEY,), (None, None, None)),
    (("",), (None, None, None)),
    (("Sesame/+1 with ümlaut",), (None, None, None)),
    ((EU, None), (4, None, None)),
    ((EU, SECRET_KEY), (4, "eu-west-1", True)),
    ((V2, SECRET_KEY), (2, None, True)),
    ((EU, OTHER_SECRET), (4, None, False)),
    ((V2, OTHER_SECRET), (2, None, False)),
    ((f"{EU}\n", SECRET_KEY), (None, None, False)),
    ((SECRET_KEY, SECRET_KEY), (None, None, False)),
    ((InlineVault(EU), InlineVault(SECRET_KEY)), (4, "eu-west-1", True)),
    *(((password, SECRET_KEY), (4, region, True)) for region, password in PASSWORD_OF.items()),
]  # fmt: skip
REFUSED: list[tuple[tuple[t.Any, ...], str]] = [
    ((None,), "the password must be a string, not nothing (null)"),
    (([EU],), "the password must be a string, not list"),
    ((44,), "the password must be a string, not int"),
    ((EU, f"{SECRET_KEY}\n"), "secret_key has white space after it (a newline at the end)"),
    ((EU, [SECRET_KEY]), "secret_key must be a string, not list"),
    ((EU, ""), "secret_key is empty"),
    ((EU, f'{{"x": "{SECRET_KEY}"}}'), "secret_key is JSON text. Parse it with `| from_json`"),
    ((EU, {"x": SECRET_KEY}), "secret_key must be a string, not dict. Take the secret out of it"),
    ((EU, "{{ x }}"), "secret_key has a template in it: the template was not rendered"),
    ((EU, EU), "secret_key is an SES SMTP password already"),
]


def test_name() -> None:
    filters = plugin.FilterModule().filters()
    assert filters == {"ses_smtp_password_info": plugin.ses_smtp_password_info}


@pytest.mark.parametrize(("args", "told"), TOLD)
def test_told(args: tuple[t.Any, ...], told: tuple[int | None, str | None, bool | None]) -> None:
    expected = dict(zip(("version", "region", "matches"), told, strict=True))
    assert plugin.ses_smtp_password_info(*args) == expected


@pytest.mark.parametrize(("args", "says"), REFUSED)
def test_refused(args: tuple[t.Any, ...], says: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        plugin.ses_smtp_password_info(*args)
    message = str(caught.value)
    assert message.startswith(f"mailops.ses.ses_smtp_password_info: {says}")
    assert SECRET_KEY not in message
    assert EU not in message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("secret", "warned"), [(SECRET_KEY, 0), ("some+secret+key", 1)])
def test_a_secret_of_another_form_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, secret: str, warned: int
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda _self, message: warnings.append(message))
    plugin.ses_smtp_password_info(EU, secret)
    assert len(warnings) == warned


@pytest.mark.parametrize("kind", [Undefined, StrictUndefined])
@pytest.mark.parametrize("place", range(2))
def test_undefined_is_handed_on(place: int, kind: type[Undefined]) -> None:
    undefined = kind(name="nope")
    args: list[t.Any] = [EU, SECRET_KEY]
    args[place] = undefined
    assert plugin.ses_smtp_password_info(*args) is undefined
