# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter ses_smtp_endpoint: names, refusals and warnings."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.mailops.ses.plugins.filter import ses_smtp_endpoint as plugin
from jinja2 import StrictUndefined, Undefined


class InlineVault:
    """What an inline ``!vault`` value is up to ansible-core 2.18."""

    __ENCRYPTED__ = True

    def __str__(self) -> str:
        return "eu-west-1"


ACCEPTED: list[tuple[tuple[t.Any, ...], dict[str, bool], str]] = [
    (("eu-west-1",), {}, "email-smtp.eu-west-1.amazonaws.com"),
    (("eu-west-1",), {"fips": False, "dualstack": False}, "email-smtp.eu-west-1.amazonaws.com"),
    (("eu-west-1",), {"dualstack": True}, "email-smtp.eu-west-1.api.aws"),
    (("us-east-1",), {"fips": True}, "email-smtp-fips.us-east-1.amazonaws.com"),
    (("us-east-1", True, True), {}, "email-smtp-fips.us-east-1.api.aws"),
    (("us-gov-west-1", True), {}, "email-smtp-fips.us-gov-west-1.amazonaws.com"),
    ((InlineVault(),), {}, "email-smtp.eu-west-1.amazonaws.com"),
]
REFUSED: list[tuple[tuple[t.Any, ...], dict[str, t.Any], list[str]]] = [
    ((None,), {}, ["region must be a string", "null"]),
    ((b"eu-west-1",), {}, ["region must be a string", "bytes"]),
    ((["eu-west-1"],), {}, ["region must be a string", "list"]),
    (("",), {}, ["region is empty"]),
    (("eu-west-1a",), {}, ["region name", "Did you mean 'eu-west-1'?"]),
    (("EU-West-1",), {}, ["lower case", "Did you mean 'eu-west-1'?"]),
    (("email-smtp.eu-west-1.amazonaws.com",), {}, ["region name", "Did you mean 'eu-west-1'?"]),
    (("af-south-1",), {}, ["has SES, but no SMTP endpoint", "ap-south-1"]),
    (("eu-west-1",), {"fips": True}, ["no FIPS endpoint", "us-gov-east-1", "ca-central-1"]),
    (("eu-west-1",), {"fips": "yes"}, ["fips must be true or false", "str"]),
    (("eu-west-1",), {"dualstack": 1}, ["dualstack must be true or false", "int"]),
]


@pytest.fixture(name="warnings", autouse=True)
def fixture_warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    warnings: list[str] = []

    class Recorder:
        def warning(self, message: str) -> None:
            warnings.append(message)

    monkeypatch.setattr(plugin, "Display", Recorder)
    return warnings


def test_name() -> None:
    assert plugin.FilterModule().filters() == {"ses_smtp_endpoint": plugin.ses_smtp_endpoint}


@pytest.mark.parametrize(("args", "kwargs", "host"), ACCEPTED)
def test_accepted(
    args: tuple[t.Any, ...], kwargs: dict[str, bool], host: str, warnings: list[str]
) -> None:
    assert plugin.ses_smtp_endpoint(*args, **kwargs) == host
    assert warnings == []


@pytest.mark.parametrize(("args", "kwargs", "says"), REFUSED)
def test_refused(args: tuple[t.Any, ...], kwargs: dict[str, t.Any], says: list[str]) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        plugin.ses_smtp_endpoint(*args, **kwargs)
    message = str(caught.value)
    assert message.startswith("mailops.ses.ses_smtp_endpoint: ")
    assert not [part for part in says if part not in message], message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("kind", [Undefined, StrictUndefined])
@pytest.mark.parametrize("place", range(3))
def test_undefined_is_handed_on(place: int, kind: type[Undefined]) -> None:
    undefined = kind(name="nope")
    args: list[t.Any] = ["eu-west-1", False, False]
    args[place] = undefined
    assert plugin.ses_smtp_endpoint(*args) is undefined


def test_unknown_region_is_warned_of(warnings: list[str]) -> None:
    assert plugin.ses_smtp_endpoint("eu-wset-1") == "email-smtp.eu-wset-1.amazonaws.com"
    [warning] = warnings
    assert warning.startswith("mailops.ses.ses_smtp_endpoint: region 'eu-wset-1'")
