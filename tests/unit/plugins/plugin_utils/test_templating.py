# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values from templates: vaulted ones are decrypted, undefined ones found, secrets registered."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.plugin_utils._templating import (
    decrypt,
    decrypt_arguments,
    find_undefined,
)
from ansible_collections.mailops.ses.tests.support.example_key import SECRET_KEY
from ansible_collections.mailops.ses.tests.support.running.secret_register import (
    SecretRegister,
    plugin_with_register,
)
from jinja2 import StrictUndefined, Undefined


class InlineVault:
    """What an inline ``!vault`` value is up to ansible-core 2.18: no str, and reads as one."""

    __ENCRYPTED__ = True

    def __str__(self) -> str:
        return SECRET_KEY


class Text(str):
    """Ansible's strings are such."""

    __slots__ = ("tag",)


AS_THEY_ARE = [None, True, 0, 4, 4.0, "", SECRET_KEY, Text("x"), b"x", ["x"], {"x": 1}, object()]


def test_inline_vault_value_becomes_text() -> None:
    result = decrypt(InlineVault())
    assert result.__class__ is str
    assert result == SECRET_KEY


@pytest.mark.parametrize("value", AS_THEY_ARE, ids=repr)
def test_other_values_stay_as_they_are(value: t.Any) -> None:
    assert decrypt(value) is value


def test_undefined_is_no_vault_value() -> None:
    undefined = Undefined(name="nope")
    assert decrypt(undefined) is undefined


def test_arguments_are_decrypted_throughout() -> None:
    vaulted = InlineVault()
    arguments = {"a": vaulted, "b": [vaulted, 1, {"c": vaulted}], "d": {"e": [vaulted]}, "f": None}
    before = {**arguments}
    assert decrypt_arguments(arguments) == {
        "a": SECRET_KEY,
        "b": [SECRET_KEY, 1, {"c": SECRET_KEY}],
        "d": {"e": [SECRET_KEY]},
        "f": None,
    }
    assert arguments == before


@pytest.mark.parametrize("kind", [Undefined, StrictUndefined])
def test_first_undefined(kind: type[Undefined]) -> None:
    one, two = kind(name="one"), kind(name="two")
    assert find_undefined("a", one, two) is one
    assert find_undefined(two, one) is two
    assert find_undefined(None, "", 0, False, [], InlineVault()) is None
    assert find_undefined() is None


def test_secret_is_registered_where_the_api_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    register = SecretRegister()
    templating = plugin_with_register(monkeypatch, "plugin_utils._templating", register)
    assert templating.register_secret("the password") == "the password"
    assert register.values == ["the password"]


def test_secret_passes_through_where_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    templating = plugin_with_register(monkeypatch, "plugin_utils._templating", None)
    assert templating.register_secret("the password") == "the password"
