# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The Amazon SES SMTP password of an IAM key, and the host it is for.

Pure functions: no I/O and no Ansible, so that filters, actions and modules can share them.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import hmac
import re
import typing as t

from ._secret_mistakes import (
    HOW_TO_TAKE,
    find_mistake,
    has_iam_form,
    white_space_place,
)

__all__ = (
    "FIPS_REGIONS",
    "REGIONS_WITHOUT_SMTP",
    "SMTP_REGIONS",
    "SesSmtpError",
    "check_access_key",
    "check_region",
    "check_secret_key",
    "derive_password",
    "parse_version",
    "password_version",
    "region_of_password",
    "region_warning",
    "smtp_endpoint",
    "type_name",
)

# AWS General Reference, "Amazon SES endpoints and quotas"
# https://docs.aws.amazon.com/general/latest/gr/ses.html
SMTP_REGIONS = (
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
)
FIPS_REGIONS = (
    "ca-central-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
)
# The same page: these have SES, but no SMTP endpoint.
REGIONS_WITHOUT_SMTP = (
    "af-south-1",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-5",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
)

_KNOWN_GOOD_REGIONS = frozenset(SMTP_REGIONS)
_REGION_FORM = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[1-9][0-9]?")
# A whole word in any text, so that it is found in a host name; an availability zone's letter may follow.
_REGION_IN_TEXT = re.compile(r"(?<![a-z0-9-])([a-z]{2,4}(?:-[a-z]+)+-[1-9][0-9]?)(?![0-9-])")

# What may stand around a region's name in an error: an availability zone's letter, an SES host name.
_AROUND_A_REGION = re.compile(
    r"\s*\[?(?:email-smtp(?:-fips)?\.)?(?:[a-z]|\.amazonaws\.com|\.api\.aws)?\]?(?::[0-9]{1,5})?\s*"
)

_ACCESS_KEY_FORM = re.compile(r"[A-Z0-9]{16,128}")

_PASSWORD_CHARACTERS = 44
_PASSWORD_BYTES = 33

_REGION_EXPECTED = "a region name in lower case, like 'eu-west-1'"


class SesSmtpError(ValueError):
    """An input that can't lead to a working SMTP login. The message never holds a secret."""


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
    region acceptable in which AWS lists no SMTP endpoint; it does not change the password.

    :raises SesSmtpError: for every input that is a known mistake.

    Version 4 is the conversion of AWS's developer guide,
    https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html;
    version 2 is that of the same page before 2019.
    """
    if not (isinstance(secret_key, str) and has_iam_form(secret_key)):
        check_secret_key(secret_key)
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
        if region in REGIONS_WITHOUT_SMTP and not endpoint:
            raise _no_smtp_endpoint(region)
    key = _sign(b"AWS4" + secret_key.encode("ascii"), b"11111111")
    key = _sign(key, region.encode("ascii"))
    key = _sign(key, b"ses")
    key = _sign(key, b"aws4_request")
    return _encode(b"\x04", _sign(key, b"SendRawEmail"))


def smtp_endpoint(region: str, fips: bool = False, dualstack: bool = False) -> str:
    """Return the host name of the SES SMTP endpoint in ``region``.

    ``fips`` asks for the endpoint with FIPS 140 validated cryptography, ``dualstack`` for the
    one that has IPv6 addresses too.

    :raises SesSmtpError: if ``region`` is no region name or has no such endpoint.

    Source of the names: https://docs.aws.amazon.com/general/latest/gr/ses.html.
    """
    for name, value in (("fips", fips), ("dualstack", dualstack)):
        if not isinstance(value, bool):
            raise SesSmtpError(f"{name} must be true or false, not {type_name(value)}")
    check_region(region)
    if region in REGIONS_WITHOUT_SMTP:
        raise _no_smtp_endpoint(region)
    if fips and region in _KNOWN_GOOD_REGIONS and region not in FIPS_REGIONS:
        raise SesSmtpError(
            f"fips: SES has no FIPS endpoint for SMTP in region '{region}'. It has one in "
            f"{', '.join(FIPS_REGIONS)}. Choose one of these, or set fips to false"
        )
    name = "email-smtp-fips" if fips else "email-smtp"
    domain = "api.aws" if dualstack else "amazonaws.com"
    return f"{name}.{region}.{domain}"


def check_region(region: t.Any) -> None:
    """Check that ``region`` has the form of a region name; whether AWS has it is another question.

    :raises SesSmtpError: if not, with the region that was probably meant.
    """
    if not isinstance(region, str):
        raise SesSmtpError(f"region must be a string, not {type_name(region)}")
    if _REGION_FORM.fullmatch(region):
        return
    if not region.strip():
        raise SesSmtpError(f"region is empty. Expected {_REGION_EXPECTED}")
    guess = _guess_region(region)
    hint = f". Did you mean '{guess}'?" if guess else ""
    # Somebody who mixes the arguments up has the secret here, so only what looks harmless is shown.
    around = region.lower().replace(guess, "", 1) if guess else region
    shown = f"{str(region)!r} " if guess and _AROUND_A_REGION.fullmatch(around) else ""
    raise SesSmtpError(f"region {shown}is not {_REGION_EXPECTED}{hint}")


def region_warning(region: str | None) -> str | None:
    """Return what to warn of if ``region``, a well-formed name, is in none of AWS's lists above.

    Else None, without a region too. AWS adds regions, so it may be right all the same.
    """
    if region is None or region in _KNOWN_GOOD_REGIONS or region in REGIONS_WITHOUT_SMTP:
        return None
    return (
        f"region '{region}' is not one that this collection knows. "
        "Unless it is newer than the collection, it is misspelt"
    )


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
        if white_space_place(access_key):
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
    if password_version(secret_key):
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


def password_version(text: str) -> int | None:
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


def region_of_password(
    secret_key: str, password: str, more_regions: t.Iterable[str] = ()
) -> str | None:
    """Return the region for which ``password`` was derived from ``secret_key``, None if for none.

    It tries the regions that the collection knows and ``more_regions``; None is also the answer
    for a password of version 2, which has no region.

    :raises SesSmtpError: for what can be no secret access key.
    """
    for region in (*SMTP_REGIONS, *REGIONS_WITHOUT_SMTP, *more_regions):
        if password == derive_password(secret_key, region, endpoint="any"):
            return region
    return None


def type_name(value: t.Any) -> str:
    """Return the name of the type of ``value`` for an error, as people know it.

    From ansible-core 2.19 on values are of private subclasses, like _AnsibleLazyTemplateList.
    """
    if value is None:
        return "nothing (null)"
    known = (bool, int, float, str, bytes, list, tuple, dict)
    return next((kind for kind in known if isinstance(value, kind)), type(value)).__name__


def _sign(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _encode(version: bytes, signature: bytes) -> str:
    return binascii.b2a_base64(version + signature, newline=False).decode("ascii")


def _guess_region(text: str) -> str | None:
    """Return the region that somebody probably meant by ``text``, None if there is no telling."""
    text = re.sub(r"[\s_]+", "-", text.strip().lower())
    found = _REGION_IN_TEXT.search(text)
    if found:
        return found.group(1)
    if f"{text}-1" in _KNOWN_GOOD_REGIONS:
        return f"{text}-1"
    close = difflib.get_close_matches(text, SMTP_REGIONS + REGIONS_WITHOUT_SMTP, n=1, cutoff=0.75)
    return close[0] if close else None


def _no_smtp_endpoint(region: str) -> SesSmtpError:
    area = region.split("-", 1)[0]
    near = [name for name in SMTP_REGIONS if name.split("-", 1)[0] == area]
    near = near or difflib.get_close_matches(region, SMTP_REGIONS, n=3, cutoff=0.0)
    return SesSmtpError(
        f"region '{region}' has SES, but no SMTP endpoint. Near it by name: {', '.join(near)}. "
        "If AWS has added one since, or mail goes through a host of your own, give it as endpoint"
    )
