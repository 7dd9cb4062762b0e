# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for every input of the derivation, however odd."""

from __future__ import annotations

import base64
import string
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._regions import (
    SMTP_REGIONS,
    check_region,
    region_warning,
    smtp_endpoint,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import (
    SesSmtpError,
    check_access_key,
    derive_password,
    find_password_version,
)
from ansible_collections.mailops.ses.tests.support.example_key import longest_common_part
from hypothesis import assume, example, given
from hypothesis import strategies as st

pytestmark = pytest.mark.ends_only

# What AWS makes secrets of. Nothing shorter than 16: every message has some 8 letters of a short one.
SECRETS = st.text(string.ascii_letters + string.digits + "+/", min_size=16, max_size=80).filter(
    lambda text: find_password_version(text) is None and not text.startswith(("AKIA", "ASIA"))
)
REGIONS = st.one_of(
    st.sampled_from(SMTP_REGIONS),
    st.from_regex(r"\A[a-z]{2}-[a-z]{4,9}-[1-9]\Z").filter(
        lambda name: not name.startswith(("af", "me"))
    ),
)
VERSIONS = st.sampled_from([None, 2, 4, "2", "4"])
WHITE_SPACE = st.sampled_from(" \t\n\r\x0b\x0c\x1c\x85\xa0\u2028\u3000\u200b\u2060\ufeff")
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.text(), max_size=2),
    st.dictionaries(st.text(), st.text(), max_size=2),
)


class Text(str):
    """Ansible's strings are such: tagged, unsafe or vaulted."""

    __slots__ = ("tag",)


def outcome(function: t.Callable[..., t.Any], *args: t.Any, **kwargs: t.Any) -> tuple[bool, t.Any]:
    try:
        return True, function(*args, **kwargs)
    except SesSmtpError as exc:
        return False, str(exc)


@given(SECRETS, REGIONS, VERSIONS)
def test_shape(secret: str, region: str, version: t.Any) -> None:
    password = derive_password(secret, region, version, endpoint="mail.example.com")
    assert password.__class__ is str
    assert len(password) == 44
    assert "=" not in password
    decoded = base64.b64decode(password, validate=True)
    assert len(decoded) == 33
    expected = 2 if version in (2, "2") else 4
    assert decoded[0] == expected
    assert find_password_version(password) == expected


@given(SECRETS, ANYTHING)
def test_version_2_ignores_everything_else(secret: str, region: t.Any) -> None:
    assert derive_password(secret, region, 2) == derive_password(secret)


@given(SECRETS, REGIONS, REGIONS)
def test_version_4_is_bound_to_secret_and_region(secret: str, region: str, other: str) -> None:
    assume(region != other)
    assume(find_password_version(secret + "A") is None)
    password = derive_password(secret, region, endpoint="mail.example.com")
    assert password != derive_password(secret, other, endpoint="mail.example.com")
    assert password != derive_password(secret + "A", region, endpoint="mail.example.com")


@given(SECRETS, REGIONS, VERSIONS)
def test_subclasses_of_str_are_strings(secret: str, region: str, version: t.Any) -> None:
    endpoint = "mail.example.com"
    if isinstance(version, str):
        version = Text(version)
    password = derive_password(Text(secret), Text(region), version, endpoint=endpoint)
    assert password.__class__ is str
    assert password == derive_password(secret, region, version, endpoint=endpoint)
    assert smtp_endpoint(Text("us-east-1")) == smtp_endpoint("us-east-1")


@given(SECRETS, WHITE_SPACE, st.data())
def test_white_space_anywhere_is_refused_and_located(
    secret: str, white_space: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(secret)))
    accepted, message = outcome(
        derive_password, secret[:place] + white_space + secret[place:], "eu-west-1"
    )
    where = {0: "before", len(secret): "after"}.get(place, "inside")
    assert not accepted
    assert f"white space {where} it" in message
    for elsewhere in {"before", "after", "inside"} - {where}:
        assert f"{elsewhere} it" not in message
    assert "Store it without" in message


@given(SECRETS, REGIONS, VERSIONS, VERSIONS)
def test_converting_twice_is_refused(
    secret: str, region: str, version: t.Any, again: t.Any
) -> None:
    password = derive_password(secret, region, version, endpoint="mail.example.com")
    accepted, message = outcome(derive_password, password, region, again)
    assert not accepted
    assert "already" in message
    assert password[:10] not in message


@given(REGIONS)
def test_a_region_of_no_list_is_accepted_with_a_warning(region: str) -> None:
    check_region(region)
    warning = region_warning(region)
    assert (warning is None) == (region in SMTP_REGIONS or not outcome(smtp_endpoint, region)[0])
    assert warning is None or region in warning


@given(
    SECRETS,
    st.sampled_from(
        ["{}", "{}\n", " {}", "{} eu-west-1", "eu-west-1/{}", "us-east-1a{}", "email-smtp.{}"]
    ),
    st.sampled_from(["secret_key", "region", "version", "endpoint"]),
)
@example("wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "eu-west-1/{}", "region")
def test_no_message_holds_the_secret_wherever_it_is_put(
    secret: str, frame: str, argument: str
) -> None:
    arguments = {"secret_key": secret, "region": "af-south-1", "version": "4"}
    arguments[argument] = frame.format(secret)
    for function, kwargs in (
        (derive_password, arguments),
        (smtp_endpoint, {"region": arguments["region"]}),
        (check_access_key, {"access_key": arguments[argument]}),
    ):
        accepted, message = outcome(function, **kwargs)
        assert accepted or len(longest_common_part(message, secret)) < 10


@given(ANYTHING, ANYTHING, ANYTHING)
def test_every_other_input_is_refused_by_the_one_exception(
    secret: t.Any, region: t.Any, version: t.Any
) -> None:
    accepted, result = outcome(derive_password, secret, region, version)
    assert find_password_version(result) is not None if accepted else result
    accepted, result = outcome(smtp_endpoint, region, fips=secret, dualstack=version)
    assert "email-smtp" in result if accepted else result
    accepted, result = outcome(check_access_key, secret)
    assert result == secret if accepted else result


@pytest.mark.parametrize("character", sorted(set(map(chr, range(0x21, 0x7F)))))
def test_printable_ascii_is_accepted_inside(character: str) -> None:
    assert find_password_version(derive_password(f"abc{character}xyz", "eu-west-1")) == 4
