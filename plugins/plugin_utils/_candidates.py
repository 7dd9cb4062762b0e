# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The IAM keys that passwords on a host may be of, as the host gets to know of them.

It runs on the controller only. What leaves it are salted digests: neither a secret nor a password.
"""

from __future__ import annotations

import secrets
import typing as t

from ansible_collections.mailops.ses.plugins.module_utils._candidate_digests import hand_over
from ansible_collections.mailops.ses.plugins.module_utils._ses_smtp import (
    REGIONS_WITHOUT_SMTP,
    SMTP_REGIONS,
    SesSmtpError,
    check_access_key,
    derive_password,
)

__all__ = ("candidates_for_the_host",)

_SALT_BYTES = 32


def candidates_for_the_host(options: t.Mapping[str, t.Any]) -> list[dict[str, str]]:
    """Return the keys of a task's ``options`` with digests in place of their secrets.

    The task's own key, if there is one, comes after its candidates. The salt is a new one.

    :raises SesSmtpError: for what is no key; the message says in which candidate.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    asked = {f"candidates[{n}]: ": each for n, each in enumerate(options["candidates"] or ())}
    if any(options[name] is not None for name in ("access_key", "secret_key")):
        asked[""] = options
    return [_for_the_host(candidate, salt, place) for place, candidate in asked.items()]


def _for_the_host(candidate: t.Mapping[str, t.Any], salt: bytes, place: str) -> dict[str, str]:
    try:
        access_key = check_access_key(candidate["access_key"])
        passwords = _passwords(candidate["secret_key"])
    except SesSmtpError as exc:
        raise SesSmtpError(f"{place}{exc}") from None
    return {"access_key": access_key, "secret_key": hand_over(salt, passwords)}


def _passwords(secret_key: t.Any) -> dict[str, tuple[int, str | None]]:
    """Return all passwords of a key, each with its version and region."""
    of_regions: dict[str, tuple[int, str | None]] = {
        derive_password(secret_key, region, 4, endpoint="any"): (4, region)
        for region in (*SMTP_REGIONS, *REGIONS_WITHOUT_SMTP)
    }
    return {**of_regions, derive_password(secret_key, version=2): (2, None)}
