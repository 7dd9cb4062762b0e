# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SMTP passwords of an access key, from botocore's own SigV4 signer, never from this collection's code."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

#: AWS General Reference, "Amazon Simple Email Service endpoints and quotas".
SMTP_REGIONS: tuple[str, ...] = (
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-north-1",
    "sa-east-1",
    "ap-south-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-southeast-1",
    "ap-southeast-2",
    "us-gov-west-1",
    "us-gov-east-1",
)


@functools.lru_cache(maxsize=4096)
def password_v4(secret_key: str, region: str) -> str:
    """The SMTP password of ``secret_key`` in ``region``, as botocore signs it.

    Returns 44 characters: base64 of the version byte 4 and the 32 bytes of the signature.
    """
    request = AWSRequest(method="GET", url="https://email.example.com/")
    request.context["timestamp"] = "11111111T000000Z"
    signer = SigV4Auth(Credentials("AKIAIOSFODNN7EXAMPLE", secret_key), "ses", region)
    signature: str = signer.signature("SendRawEmail", request)
    return base64.b64encode(b"\x04" + bytes.fromhex(signature)).decode()


def password_v2(secret_key: str) -> str:
    """The SMTP password of the 2018 format, which SES refuses since 2021."""
    signature = hmac.new(secret_key.encode(), b"SendRawEmail", hashlib.sha256).digest()
    return base64.b64encode(b"\x02" + signature).decode()
