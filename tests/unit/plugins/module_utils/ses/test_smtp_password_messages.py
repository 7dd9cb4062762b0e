# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the derivation says, word for word: each known mistake, and its remedy."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._regions import smtp_endpoint
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import (
    SesSmtpError,
    check_access_key,
    derive_password,
    find_region_of_password,
    parse_version,
)
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
)

HOW_TO_STORE = (
    "Store it without: `ansible-vault encrypt_string --stdin-name NAME` with Ctrl-D pressed twice "
    "and no Enter, or a plain YAML scalar instead of a '|' block"
)
TAKE = "Take the secret out of it, like `.secret_access_key`"
TRIM = ". Or remove it with `| trim`"
EXPECTED_ID = "an access key ID, like AKIAIOSFODNN7EXAMPLE: 16 to 128 capital letters and digits"
STILL_ENCRYPTED = (
    "secret_key is still encrypted by ansible-vault. Mark it with !vault in the YAML file, "
    "or read the vaulted file with vars_files instead of a lookup without decryption"
)
NO_REGION = "region is not a region name in lower case, like 'eu-west-1'"

# The function and its arguments, and the whole message.
MESSAGES: list[tuple[t.Callable[..., t.Any], tuple[t.Any, ...], str]] = [
    (derive_password, (None,), "secret_key must be a string, not nothing (null)"),
    *(
        (
            derive_password,
            (value,),
            f"secret_key must be a string, not {kind}. {TAKE}",
        )
        for kind, value in (("dict", {"secret_access_key": SECRET_KEY}), ("list", [SECRET_KEY]))
    ),
    (
        derive_password,
        ("",),
        (
            "secret_key is empty. Give the secret access key of an IAM user; "
            "is the variable, or the environment variable, that should hold it set?"
        ),
    ),
    (derive_password, ("$ANSIBLE_VAULT;1.1;AES256",), STILL_ENCRYPTED),
    (derive_password, ("\n  $ANSIBLE_VAULT;1.1;AES256\n  3132\n",), STILL_ENCRYPTED),
    (
        derive_password,
        (PASSWORD_OF["us-east-1"],),
        (
            "secret_key is an SES SMTP password already, derived from a secret access key. "
            "Use it as it is, as the password; don't convert it again"
        ),
    ),
    (
        derive_password,
        (ACCESS_KEY,),
        (
            "secret_key is an access key ID, not the secret. The ID is the SMTP user name; "
            "the secret access key that belongs to it is expected here"
        ),
    ),
    (
        derive_password,
        (f"'{SECRET_KEY}'",),
        "secret_key begins with a quotation mark. Store it without the quotes",
    ),
    (
        derive_password,
        ("X\u00e9",),
        (
            "secret_key contains a character that no secret access key has: one outside printable "
            "ASCII, or a '$' in first place. Copy it again from where AWS shows it"
        ),
    ),
    (
        derive_password,
        (SECRET_KEY, None, 4),
        (
            "version 4 needs a region, to which the password is bound. "
            "Give region, the one that the mail is sent through, like 'eu-west-1'"
        ),
    ),
    *(
        (derive_password, (secret,), f"secret_key has white space {place}. {HOW_TO_STORE}{trim}")
        for secret, place, trim in [
            (" \n", "in place of a value", ""),
            (" a", "before it", TRIM),
            ("a ", "after it", TRIM),
            ("a\n", "after it (a newline at the end)", TRIM),
            ("a b", "inside it", ""),
            ("a\nb", "inside it (a newline)", ""),
            ("  a b", "before it and inside it", ""),
            (" a b ", "before it and after it and inside it", ""),
            ("   a  ", "before it and after it", TRIM),
            ("\na b\n", "before it and after it (a newline at the end) and inside it", ""),
        ]
    ),
    (check_access_key, (None,), "access_key must be a string, not nothing (null)"),
    (check_access_key, ("",), f"access_key is empty. Expected {EXPECTED_ID}"),
    (check_access_key, ("AKIA ",), f"access_key contains white space. Expected {EXPECTED_ID}"),
    (
        check_access_key,
        ("joe",),
        (
            f"access_key is not {EXPECTED_ID}. The SMTP user name is this ID, "
            "neither the name of the IAM user nor an e-mail address"
        ),
    ),
    (
        check_access_key,
        ("ASIAIOSFODNN7EXAMPLE",),
        (
            "access_key begins with ASIA: temporary credentials (of a role, SSO or STS) can't be "
            "used over SMTP. Create an access key for an IAM user and use that"
        ),
    ),
    (parse_version, (True,), "version must be the number 2 or 4, not bool"),
    (
        parse_version,
        (3,),
        (
            "version must be 2 or 4: 4 is what SES wants today, bound to a region; "
            "2 is the outdated format without one"
        ),
    ),
    (smtp_endpoint, ("us-east-1", "yes"), "fips must be true or false, not str"),
    (smtp_endpoint, ("us-east-1", False, 1), "dualstack must be true or false, not int"),
    (
        smtp_endpoint,
        ("eu-west-1", True),
        (
            "fips: SES has no FIPS endpoint for SMTP in region 'eu-west-1'. It has one in "
            "ca-central-1, us-east-1, us-east-2, us-gov-east-1, us-gov-west-1, us-west-1, us-west-2. "
            "Choose one of these, or set fips to false"
        ),
    ),
    *(
        (
            smtp_endpoint,
            (region,),
            (
                f"region '{region}' has SES, but no SMTP endpoint. Near it by name: {near}. "
                "AWS's own answer is Mail Manager: create an ingress endpoint there, and give its "
                "host as endpoint, with its username and password. If AWS has added an SMTP "
                "endpoint since, or mail goes through a host of your own, give it as endpoint"
            ),
        )
        for region, near in [
            ("ca-west-1", "ca-central-1"),
            ("eu-south-1", "eu-central-1, eu-north-1, eu-west-1, eu-west-2, eu-west-3"),
            ("af-south-1", "ap-south-1, ap-southeast-1, ap-southeast-2"),
            ("me-south-1", "ap-south-1, ap-southeast-1, eu-north-1"),
            ("il-central-1", "eu-central-1, ca-central-1, us-west-1"),
        ]
    ),
    (smtp_endpoint, (None,), "region must be a string, not nothing (null)"),
    (
        smtp_endpoint,
        (" ",),
        "region is empty. Expected a region name in lower case, like 'eu-west-1'",
    ),
    (smtp_endpoint, ("Ireland",), NO_REGION),
    (smtp_endpoint, ("eu-",), NO_REGION),
    (smtp_endpoint, ("europe-west",), NO_REGION),
    (
        smtp_endpoint,
        ("eu-wset-1a",),
        f"{NO_REGION}. Did you mean 'eu-west-1'?".replace("is", "'eu-wset-1a' is", 1),
    ),
    (smtp_endpoint, ("us  west__2",), f"{NO_REGION}. Did you mean 'us-west-2'?"),
    (smtp_endpoint, ("ca-central1",), f"{NO_REGION}. Did you mean 'ca-central-1'?"),
    (smtp_endpoint, ("us-east-1us-east-1",), f"{NO_REGION}. Did you mean 'us-east-1'?"),
]


@pytest.mark.parametrize(
    ("function", "arguments", "message"), MESSAGES, ids=[row[2][:40] for row in MESSAGES]
)
def test_message(
    function: t.Callable[..., t.Any], arguments: tuple[t.Any, ...], message: str
) -> None:
    with pytest.raises(SesSmtpError) as caught:
        function(*arguments)
    assert str(caught.value) == message


def test_the_region_of_a_password() -> None:
    """Also one without an SMTP endpoint, and one that the collection does not know."""
    for region in ("us-east-1", "me-south-1"):
        password = derive_password(SECRET_KEY, region, endpoint="any")
        assert find_region_of_password(SECRET_KEY, password) == region
    unknown = derive_password(SECRET_KEY, "xx-new-1")
    assert find_region_of_password(SECRET_KEY, unknown) is None
    assert find_region_of_password(SECRET_KEY, unknown, ["xx-new-1"]) == "xx-new-1"
    assert find_region_of_password("another", PASSWORD_OF["us-east-1"]) is None


def test_an_empty_endpoint_is_none() -> None:
    with pytest.raises(SesSmtpError):
        derive_password(SECRET_KEY, "me-south-1", endpoint="")
