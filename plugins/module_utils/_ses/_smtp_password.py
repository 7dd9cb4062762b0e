# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The Amazon SES SMTP password of an IAM key.

Pure functions: no I/O and no Ansible, so that filters, actions and modules can share them.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import typing as t

from ._input_error import SesSmtpError, type_name
from ._mail_manager import explain_not_derived, is_mail_manager_host
from ._regions import KNOWN_REGIONS, SMTP_REGIONS, check_region, check_smtp_region
from ._secret_mistakes import (
    HOW_TO_TAKE,
    find_mistake,
    has_iam_form,
    locate_white_space,
)

__all__ = (
    "SesSmtpError",
    "check_access_key",
    "check_secret_key",
    "derive_password",
    "find_password_version",
    "find_region_of_password",
    "parse_version",
    "type_name",
)

_KNOWN_GOOD_REGIONS = frozenset(SMTP_REGIONS)
_ACCESS_KEY_FORM = re.compile(r"[A-Z0-9]{16,128}")

_PASSWORD_CHARACTERS = 44
_PASSWORD_BYTES = 33


def derive_password(
    secret_key: str,
    region: str | None = None,
    version: int | str | None = None,
    *,
    endpoint: str | None = None,
) -> str:
    """Return the SMTP password of an IAM secret access key: 44 characters of base64, no ``=``.

    ``region`` asks for version 4, which is bound to that region; without one it is version 2.
    ``version`` (2 or 4, a number or a numeric string) says so explicitly; with version 2 the
    region plays no part. ``endpoint``, the name of the host that the password is for, makes a
    region acceptable in which AWS lists no SMTP endpoint; it does not change the password. For
    one of Mail Manager there is none to derive.

    :raises SesSmtpError: for every input that is a known mistake.

    Version 4 is the conversion of AWS's developer guide,
    https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html;
    version 2 is that of the same page before 2019.
    """
    if not (isinstance(secret_key, str) and has_iam_form(secret_key)):
        check_secret_key(secret_key)
    if endpoint and is_mail_manager_host(endpoint):
        raise SesSmtpError(explain_not_derived(f"endpoint '{endpoint}'"))
    if version is not None:
        version = parse_version(version)
    if version == 2 or (version is None and region is None):
        return _encode(b"\x02", _sign(secret_key.encode("ascii"), b"SendRawEmail"))
    if region is None:
        raise SesSmtpError(
            "version 4 needs a region, to which the password is bound. "
            "Give region, the one that the mail is sent through, like 'eu-west-1'"
        )
    if not (isinstance(region, str) and region in _KNOWN_GOOD_REGIONS):
        check_region(region)
        if not endpoint:
            check_smtp_region(region)
    key = _sign(b"AWS4" + secret_key.encode("ascii"), b"11111111")
    key = _sign(key, region.encode("ascii"))
    key = _sign(key, b"ses")
    key = _sign(key, b"aws4_request")
    return _encode(b"\x04", _sign(key, b"SendRawEmail"))


def check_access_key(access_key: str) -> str:
    """Return ``access_key``, which is the SMTP user name as well, if it can be one.

    :raises SesSmtpError: for what is no access key ID, and for temporary credentials.

    Source of the form: https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html,
    of the prefixes: the IAM user guide's page "IAM identifiers".
    """
    if not isinstance(access_key, str):
        raise SesSmtpError(f"access_key must be a string, not {type_name(access_key)}")
    expected = "an access key ID, like AKIAIOSFODNN7EXAMPLE: 16 to 128 capital letters and digits"
    if not access_key:
        raise SesSmtpError(f"access_key is empty. Expected {expected}")
    if not _ACCESS_KEY_FORM.fullmatch(access_key):
        if locate_white_space(access_key):
            raise SesSmtpError(f"access_key contains white space. Expected {expected}")
        # The value isn't shown: people swap the ID and the secret.
        raise SesSmtpError(
            f"access_key is not {expected}. The SMTP user name is this ID, "
            "neither the name of the IAM user nor an e-mail address"
        )
    if access_key.startswith("ASIA"):
        raise SesSmtpError(
            "access_key begins with ASIA: temporary credentials (of a role, SSO or STS) can't be "
            "used over SMTP. Create an access key for an IAM user and use that"
        )
    return access_key


def check_secret_key(secret_key: t.Any) -> None:
    """Check that ``secret_key`` can be the secret access key of an IAM user.

    :raises SesSmtpError: if not, with the mistake and its remedy.
    """
    if not isinstance(secret_key, str):
        remedy = f". {HOW_TO_TAKE}" if isinstance(secret_key, (dict, list)) else ""
        raise SesSmtpError(f"secret_key must be a string, not {type_name(secret_key)}{remedy}")
    if not secret_key:
        raise SesSmtpError(
            "secret_key is empty. Give the secret access key of an IAM user; "
            "is the variable, or the environment variable, that should hold it set?"
        )
    if find_password_version(secret_key):
        raise SesSmtpError(
            "secret_key is an SES SMTP password already, derived from a secret access key. "
            "Use it as it is, as the password; don't convert it again"
        )
    mistake = find_mistake(secret_key)
    if mistake:
        raise SesSmtpError(f"secret_key {mistake}")


def parse_version(version: int | str) -> int:
    """Return ``version``, given as a number or a numeric string, as 2 or 4.

    :raises SesSmtpError: for everything else.
    """
    if isinstance(version, bool) or not isinstance(version, (int, str)):
        raise SesSmtpError(f"version must be the number 2 or 4, not {type_name(version)}")
    if version in (2, 4):
        return int(version)
    if version in ("2", "4"):
        return int(version)
    raise SesSmtpError(
        "version must be 2 or 4: 4 is what SES wants today, bound to a region; "
        "2 is the outdated format without one"
    )


def find_password_version(text: str) -> int | None:
    """Return 2 or 4 if ``text`` has the shape of an SES SMTP password of that version, else None.

    The shape: 44 characters of base64 for 33 bytes, of which the first is the version.
    """
    if len(text) != _PASSWORD_CHARACTERS:
        return None
    try:
        decoded = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    if len(decoded) == _PASSWORD_BYTES and decoded[0] in (2, 4):
        return decoded[0]
    return None


def find_region_of_password(
    secret_key: str, password: str, more_regions: t.Iterable[str] = ()
) -> str | None:
    """Return the region for which ``password`` was derived from ``secret_key``, None if for none.

    It tries the regions that the collection knows and ``more_regions``; None is also the answer
    for a password of version 2, which has no region.

    :raises SesSmtpError: for what can be no secret access key.
    """
    for region in (*KNOWN_REGIONS, *more_regions):
        if password == derive_password(secret_key, region, endpoint="any"):
            return region
    return None


def _sign(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _encode(version: bytes, signature: bytes) -> str:
    return binascii.b2a_base64(version + signature, newline=False).decode("ascii")
