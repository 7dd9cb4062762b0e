# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The access keys that passwords on a host may be of, as the host gets to know of them.

It runs on the controller only. What leaves it are salted digests: neither a secret nor a password.
"""

from __future__ import annotations

import secrets
import typing as t

from ..module_utils._ses._candidate_digests import Candidates, Match, digest_candidates
from ..module_utils._ses._regions import KNOWN_REGIONS
from ..module_utils._ses._smtp_password import SesSmtpError, check_access_key, derive_password
from ._login_places import (
    KEY_PAIR,
    Place,
    check_one_secret_each,
)
from ._secret_warning import (
    warn_of_secret_key,
)

__all__ = ("find_candidates",)

_SALT_BYTES = 32


def find_candidates(options: t.Mapping[str, t.Any]) -> Candidates:
    """Return the access keys of a task's ``options`` with digests in place of their secrets.

    The task's own access key, if there is one, comes after its candidates. The salt is a new one.

    :raises SesSmtpError: for what is no access key; the message says in which candidate.
    """
    requested = [
        Place(f"candidates[{number}]", each)
        for number, each in enumerate(options["candidates"] or ())
    ]
    if any(options[name] is not None for name in KEY_PAIR):
        requested.append(Place("the task", options))
    passwords = [each for candidate in requested for each in _derive_passwords(candidate)]
    check_one_secret_each(requested)
    return digest_candidates(secrets.token_bytes(_SALT_BYTES), passwords)


def _derive_passwords(candidate: Place) -> list[tuple[str, Match]]:
    """Return all passwords of an access key, each with its version and region."""
    try:
        for name in KEY_PAIR:
            if candidate.options[name] is None:
                raise SesSmtpError(
                    f"{name} is missing. Give access_key and secret_key together, or neither"
                )
        access_key = check_access_key(candidate.options["access_key"])
        secret_key = candidate.options["secret_key"]
        found = [
            (derive_password(secret_key, region, 4, endpoint="any"), Match(access_key, 4, region))
            for region in KNOWN_REGIONS
        ]
        found.append((derive_password(secret_key, version=2), Match(access_key, 2, None)))
        warn_of_secret_key(secret_key)
    except SesSmtpError as exc:
        place = "" if candidate.name == "the task" else f"{candidate.name}: "
        raise SesSmtpError(f"{place}{exc}") from None
    return found
