# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The derivation agrees with programs that know nothing of it: botocore and OpenSSL."""

from __future__ import annotations

import base64
import os
import random
import subprocess

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._regions import SMTP_REGIONS
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import derive_password
from ansible_collections.mailops.ses.tests.support.example_key import SECRET_KEY, VECTORS
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

pytestmark = pytest.mark.slow

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# The pipe at the end of the Bash program that AWS's page had until 2018, with its line break.
AWS_BASH_PIPE = r"""
VERSION='\x02'
MESSAGE='SendRawEmail'
(echo -en $VERSION; echo -n $MESSAGE \
 | openssl dgst -sha256 -hmac $AWS_SECRET_ACCESS_KEY -binary) \
 | openssl enc -base64
"""


def random_secrets(number: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices(ALPHABET, k=40)) for _number in range(number)]


class BotocoreSigner:
    """Botocore's SigV4 signature of "SendRawEmail" at the date that the password is made with."""

    def __init__(self, region: str) -> None:
        self._request = AWSRequest(method="GET", url="https://email.example.com/")
        self._request.context["timestamp"] = "11111111T000000Z"
        self._credentials = Credentials("AKIAIOSFODNN7EXAMPLE", "none yet")
        self._auth = SigV4Auth(self._credentials, "ses", region)

    def password(self, secret: str) -> str:
        self._credentials.secret_key = secret
        signature = bytes.fromhex(self._auth.signature("SendRawEmail", self._request))
        return base64.b64encode(b"\x04" + signature).decode("ascii")


def openssl_password(secret: str) -> str:
    done = subprocess.run(
        ["bash", "-c", AWS_BASH_PIPE],
        env={"PATH": os.environ["PATH"], "AWS_SECRET_ACCESS_KEY": secret},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.rstrip("\n")


@pytest.mark.ends_only
@pytest.mark.parametrize("region", SMTP_REGIONS)
def test_version_4_agrees_with_botocore(region: str) -> None:
    signer = BotocoreSigner(region)
    secrets = random_secrets(10_000, seed=4)
    assert len(set(secrets)) == 10_000
    different = [s for s in secrets if derive_password(s, region) != signer.password(s)]
    assert different == []


def test_botocore_gives_the_published_passwords() -> None:
    rows = [row for row in VECTORS if row["version"] == 4]
    assert len(rows) >= 9
    for row in rows:
        signed = BotocoreSigner(row["region"]).password(row["secret_access_key"])
        assert signed == row["smtp_password"]


@pytest.mark.parametrize(
    "secret",
    [
        SECRET_KEY,
        "some+secret+key",
        "/begins/with/a/slash/ends/with/a/plus/++",
        "+/" * 20,
        *(secret for secret in random_secrets(60, seed=2) if "+" in secret and "/" in secret),
    ],
)
def test_version_2_agrees_with_openssl_as_in_the_program_of_aws(secret: str) -> None:
    assert derive_password(secret) == openssl_password(secret)
    assert derive_password(secret, "eu-west-1", 2) == openssl_password(secret)
