# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The derivation: what is right, what is refused and how, and that no message holds a secret."""

from __future__ import annotations

import base64
import itertools
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._regions import (
    REGIONS_WITHOUT_SMTP,
    SMTP_REGIONS,
    smtp_endpoint,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import (
    SesSmtpError,
    check_access_key,
    derive_password,
    find_password_version,
    type_name,
)
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    MISTAKES,
    PASSWORD_OF,
    SECRET_KEY,
    VECTORS,
    longest_common_part,
)

V4_PASSWORD = "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9"
V2_PASSWORD = "AnkqhOiWEcszZZzTMCQbOY1sPGoLFgMH9zhp4eNgSjo4"

# what is wrong, the arguments, what the error says
REFUSED_SECRETS: list[tuple[str, t.Any, list[str]]] = [
    ("empty", "", ["secret_key", "empty"]),
    ("none", None, ["secret_key", "string", "null"]),
    ("bytes", SECRET_KEY.encode(), ["secret_key", "string", "bytes"]),
    ("int", 1234567890123456, ["secret_key", "string", "int"]),
    ("bool", True, ["secret_key", "string", "bool"]),
    ("list", [SECRET_KEY], ["secret_key", "string", "list"]),
    ("dict", {"secret": SECRET_KEY}, ["secret_key", "string", "dict"]),
    ("space before", f" {SECRET_KEY}", ["white space before", "ansible-vault encrypt_string"]),
    ("space after", f"{SECRET_KEY} ", ["white space after", "ansible-vault encrypt_string"]),
    ("vaulted newline", f"{SECRET_KEY}\n", ["after it", "newline", "Ctrl-D", "'|' block"]),
    ("CRLF", f"{SECRET_KEY}\r\n", ["after it", "newline"]),
    ("newline inside", f"{SECRET_KEY[:20]}\n{SECRET_KEY[20:]}", ["inside", "newline"]),
    ("newlines", f"{SECRET_KEY[:9]}\n{SECRET_KEY[9:]}\n", ["after it", "inside it (a newline)"]),
    (
        "blank, newline",
        f"{SECRET_KEY[:9]} {SECRET_KEY[9:]}\n",
        ["(a newline at the end) and inside it."],
    ),
    ("tab inside", f"{SECRET_KEY[:20]}\t{SECRET_KEY[20:]}", ["white space inside"]),
    ("blanks only", "  \n ", ["white space in place of a value"]),
    ("no-break space", f"{SECRET_KEY}\u00a0", ["white space after"]),
    ("zero-width space", f"\u200b{SECRET_KEY}", ["white space before"]),
    ("byte order mark", f"\ufeff{SECRET_KEY}", ["white space before"]),
    ("derived, version 4", V4_PASSWORD, ["SMTP password already", "Use it as it is"]),
    ("derived, version 2", V2_PASSWORD, ["SMTP password already", "Use it as it is"]),
    ("access key ID", ACCESS_KEY, ["access key ID", "not the secret"]),
    ("temporary ID", "ASIAIOSFODNN7EXAMPLE", ["access key ID", "not the secret"]),
    ("quotation marks", f'"{SECRET_KEY}"', ["quotation mark"]),
    ("still encrypted", "$ANSIBLE_VAULT;1.1;AES256\n3132\n", ["encrypted by ansible-vault"]),
    ("not ASCII", f"{SECRET_KEY}é", ["outside printable ASCII"]),
    ("dollar", f"${SECRET_KEY}", ["'$' in first place"]),
    ("control character", f"{SECRET_KEY}\x07", ["outside printable ASCII"]),
    ("surrogate", f"{SECRET_KEY}\udcff", ["outside printable ASCII"]),
]
REFUSED_REGIONS: list[tuple[str, t.Any, list[str]]] = [
    ("empty", "", ["region is empty", "like 'eu-west-1'"]),
    ("blanks", "  ", ["region is empty", "like 'eu-west-1'"]),
    ("bytes", b"us-east-1", ["region must be a string", "bytes"]),
    ("int", 1, ["region must be a string", "int"]),
    ("bool", True, ["region must be a string", "bool"]),
    ("list", ["us-east-1"], ["region must be a string", "list"]),
    ("dict", {}, ["region must be a string", "dict"]),
    ("zone", "us-east-1a", ["'us-east-1a' is not", "mean 'us-east-1'"]),
    ("upper case", "EU-WEST-1", ["'EU-WEST-1' is not", "lower case", "mean 'eu-west-1'"]),
    ("host", "email-smtp.eu-west-1.amazonaws.com", ["region name", "mean 'eu-west-1'"]),
    ("dual-stack host", "email-smtp.eu-west-1.api.aws", ["region name", "mean 'eu-west-1'"]),
    ("relayhost", "[email-smtp.eu-west-1.amazonaws.com]:587", ["mean 'eu-west-1'"]),
    ("blank before", " us-west-2", ["region name", "mean 'us-west-2'"]),
    ("newline after", "us-west-2\n", ["region name", "mean 'us-west-2'"]),
    ("blanks inside", "us west 2", ["region name", "mean 'us-west-2'"]),
    ("underscores", "us_west_2", ["region name", "mean 'us-west-2'"]),
    ("no number", "ap-south", ["region name", "mean 'ap-south-1'"]),
    ("no last hyphen", "ca-central1", ["region name", "mean 'ca-central-1'"]),
    ("place", "Ireland", ["region name", "like 'eu-west-1'"]),
    ("no SMTP, near", "eu-south-1", ["has SES, but no SMTP endpoint", "eu-west-1", "eu-north-1"]),
    ("no SMTP, far", "af-south-1", ["has SES, but no SMTP endpoint", "ap-south-1", "endpoint"]),
]
REFUSED_VERSIONS: list[tuple[str, t.Any, list[str]]] = [
    ("3", 3, ["version must be 2 or 4"]),
    ("0", 0, ["version must be 2 or 4"]),
    ("-4", -4, ["version must be 2 or 4"]),
    ("'3'", "3", ["version must be 2 or 4"]),
    ("'v4'", "v4", ["version must be 2 or 4"]),
    ("'04'", "04", ["version must be 2 or 4"]),
    ("empty", "", ["version must be 2 or 4"]),
    ("bool", True, ["version must be the number 2 or 4", "bool"]),
    ("float", 4.0, ["version must be the number 2 or 4", "float"]),
    ("bytes", b"4", ["version must be the number 2 or 4", "bytes"]),
    ("list", [4], ["version must be the number 2 or 4", "list"]),
    ("dict", {}, ["version must be the number 2 or 4", "dict"]),
]
REFUSED_ACCESS_KEYS: list[tuple[str, t.Any, list[str]]] = [
    ("empty", "", ["access_key is empty", "AKIAIOSFODNN7EXAMPLE"]),
    ("none", None, ["access_key must be a string", "null"]),
    ("bytes", ACCESS_KEY.encode(), ["access_key must be a string", "bytes"]),
    ("int", 1234567890123456, ["access_key must be a string", "int"]),
    ("bool", False, ["access_key must be a string", "bool"]),
    ("list", [ACCESS_KEY], ["access_key must be a string", "list"]),
    ("temporary", "ASIAIOSFODNN7EXAMPLE", ["ASIA", "temporary", "SMTP", "IAM user"]),
    ("user name", "ses-smtp-user.20240101", ["access key ID", "name of the IAM user"]),
    ("e-mail address", "joe@example.com", ["access key ID", "e-mail address"]),
    ("too short", "AKIAIOSFODNN7EX", ["16 to 128 capital letters and digits"]),
    ("too long", "A" * 129, ["16 to 128 capital letters and digits"]),
    ("lower case", ACCESS_KEY.lower(), ["16 to 128 capital letters and digits"]),
    ("white space", f"{ACCESS_KEY}\n", ["access_key contains white space"]),
    ("the secret", SECRET_KEY, ["access_key is not an access key ID"]),
]


def ids(table: t.Iterable[tuple[str, t.Any, t.Any]]) -> list[str]:
    return [row[0] for row in table]


def refusal(function: t.Callable[..., t.Any], *args: t.Any, **kwargs: t.Any) -> str:
    """Return the message with which ``function`` refuses; none may hold a part of the secret."""
    with pytest.raises(SesSmtpError) as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert len(longest_common_part(message, SECRET_KEY)) < 8  # "EXAMPLE" has 7
    assert caught.value.__cause__ is None
    return message


def accepted(secret: str, region: str | None, version: int | str | None) -> str | None:
    try:
        return derive_password(secret, region, version, endpoint="mail.example.com")
    except SesSmtpError:
        return None


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["smtp_password"][:8])
def test_published_vector(row: dict[str, t.Any]) -> None:
    secret, region = row["secret_access_key"], row["region"]
    assert derive_password(secret, region) == row["smtp_password"]
    assert derive_password(secret, region, row["version"]) == row["smtp_password"]
    assert (
        derive_password(secret, version=str(row["version"]), region=region) == row["smtp_password"]
    )
    assert find_password_version(row["smtp_password"]) == row["version"]


def test_vectors_cover_both_versions_and_mistakes() -> None:
    assert {row["version"] for row in VECTORS} == {2, 4}
    assert len(MISTAKES) >= 14


@pytest.mark.slow
def test_no_accepted_input_gives_a_mistaken_password() -> None:
    secrets = {
        SECRET_KEY,
        f" {SECRET_KEY}",
        f"{SECRET_KEY} ",
        f"{SECRET_KEY}\n",
        f"{SECRET_KEY}\r\n",
    }
    secrets |= set(PASSWORD_OF.values())
    regions: list[str | None] = [None, "", "us-east-1 ", " us-east-1", "us east 1", "Us-East-1"]
    for region in (*SMTP_REGIONS, *REGIONS_WITHOUT_SMTP, "xx-new-1"):
        regions += [region, region.upper(), region + "\n", *(region + zone for zone in "abcdef")]
    combinations = itertools.product(secrets, regions, [None, 2, 4, "2", "4"])
    outputs = {accepted(*arguments) for arguments in combinations} - {None}
    assert len(outputs) == 1 + len(SMTP_REGIONS) + len(REGIONS_WITHOUT_SMTP) + 1
    assert not outputs & {row["wrong_smtp_password"] for row in MISTAKES}


@pytest.mark.parametrize(("mistake", "secret", "says"), REFUSED_SECRETS, ids=ids(REFUSED_SECRETS))
@pytest.mark.parametrize("arguments", [("eu-west-1",), (), (None, 2), (None, 4), ("no region",)])
def test_refused_secret(
    mistake: str, secret: t.Any, says: list[str], arguments: tuple[t.Any, ...]
) -> None:
    message = refusal(derive_password, secret, *arguments)
    assert not [part for part in says if part not in message], message
    if isinstance(secret, str) and len(secret) > 10:
        assert len(longest_common_part(message, secret)) < 10


@pytest.mark.parametrize(("mistake", "region", "says"), REFUSED_REGIONS, ids=ids(REFUSED_REGIONS))
@pytest.mark.parametrize("version", [None, 4, "4"])
def test_refused_region(mistake: str, region: t.Any, says: list[str], version: t.Any) -> None:
    message = refusal(derive_password, SECRET_KEY, region, version)
    assert not [part for part in says if part not in message], message
    assert "region" in refusal(smtp_endpoint, region)


@pytest.mark.parametrize("region", SMTP_REGIONS)
def test_what_is_meant_for_a_region_is_named(region: str) -> None:
    for written in (
        *(region + zone for zone in "abcdef"),
        *(f"email-smtp{fips}.{region}.amazonaws.com" for fips in ("", "-fips")),
        f"[email-smtp.{region}.api.aws]:465",
        *(region.upper(), region.title(), f" {region}", f"{region}\n", f"{region}."),
        *(
            region.replace("-", "_"),
            region.replace("-", " "),
            region[::-1].replace("-", "", 1)[::-1],
        ),
    ):
        assert f"Did you mean '{region}'?" in refusal(derive_password, SECRET_KEY, written), written
    if region.endswith("-1"):
        assert f"Did you mean '{region}'?" in refusal(derive_password, SECRET_KEY, region[:-2])


def test_the_secret_given_as_region_is_not_shown() -> None:
    for region in (
        SECRET_KEY,
        f"{SECRET_KEY} eu-west-1",
        f"eu-west-1/{SECRET_KEY}",
        f"{SECRET_KEY}\n",
    ):
        assert "like 'eu-west-1'" in refusal(derive_password, SECRET_KEY, region)
        assert "like 'eu-west-1'" in refusal(smtp_endpoint, region)


@pytest.mark.parametrize(
    ("mistake", "version", "says"), REFUSED_VERSIONS, ids=ids(REFUSED_VERSIONS)
)
@pytest.mark.parametrize("region", [None, "eu-west-1"])
def test_refused_version(mistake: str, version: t.Any, says: list[str], region: t.Any) -> None:
    message = refusal(derive_password, SECRET_KEY, region, version)
    assert not [part for part in says if part not in message], message


@pytest.mark.parametrize("version", [4, "4"])
def test_version_4_without_region(version: t.Any) -> None:
    message = refusal(derive_password, SECRET_KEY, version=version)
    assert "version 4 needs a region" in message


@pytest.mark.parametrize(
    "region", [*SMTP_REGIONS, "af-south-1", "xx-new-1", "EU WEST", "", 1, None]
)
def test_version_2_ignores_the_region(region: t.Any) -> None:
    assert derive_password("some+secret+key", region, 2) == V2_PASSWORD
    assert derive_password("some+secret+key", region, "2") == V2_PASSWORD


@pytest.mark.parametrize("length", [1, 15, 39, 40, 41, 43, 44, 45, 200])
def test_secret_of_any_length(length: int) -> None:
    password = derive_password("s" * length, "eu-west-1")
    assert base64.b64decode(password, validate=True)[0] == 4


def test_44_characters_that_are_no_password_are_a_secret() -> None:
    for first_byte in (b"\x00", b"\x03", b"\x05", b"\xff"):
        assert (
            len(derive_password(base64.b64encode(first_byte + b"k" * 32).decode(), "eu-west-1"))
            == 44
        )
    assert len(derive_password("A" * 43 + "!", "eu-west-1")) == 44


def test_endpoint_makes_a_region_without_smtp_acceptable() -> None:
    for region in REGIONS_WITHOUT_SMTP:
        message = refusal(derive_password, SECRET_KEY, region)
        assert region in message
        assert (
            find_password_version(derive_password(SECRET_KEY, region, endpoint="h.example.com"))
            == 4
        )
    assert (
        derive_password(SECRET_KEY, "eu-west-1", endpoint="h.example.com")
        == PASSWORD_OF["eu-west-1"]
    )


@pytest.mark.parametrize(
    ("mistake", "key", "says"), REFUSED_ACCESS_KEYS, ids=ids(REFUSED_ACCESS_KEYS)
)
def test_refused_access_key(mistake: str, key: t.Any, says: list[str]) -> None:
    message = refusal(check_access_key, key)
    assert not [part for part in says if part not in message], message


@pytest.mark.parametrize("key", [ACCESS_KEY, "A" * 16, "A2" * 64])
def test_access_key(key: str) -> None:
    assert check_access_key(key) == key


@pytest.mark.parametrize("kind", [int, float, str, bytes, list, tuple, dict])
def test_type_is_named_as_people_know_it(kind: type) -> None:
    private_subclass = type("_AnsibleTaggedThing", (kind,), {})
    assert type_name(kind()) == type_name(private_subclass()) == kind.__name__
    assert type_name(True) == "bool"
    assert "null" in type_name(None)
    assert type_name({1}) == "set"


@pytest.mark.parametrize("text", ["", "B" * 43, "B" * 45, "é" * 44, "!" * 44, "A" * 43 + "="])
def test_no_password(text: str) -> None:
    assert find_password_version(text) is None
