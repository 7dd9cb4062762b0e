# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Which key, and of which region, a password that is on a host was derived from.

The controller knows the keys, the host the passwords. What goes to the host is the digests of the
candidates' passwords, with a salt that is another one for each run: nobody can log in with them,
and those of two runs have nothing in common.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import typing as t
from dataclasses import dataclass

__all__ = ["Candidates", "Match", "digest", "hand_over"]


@dataclass(frozen=True)
class Match:
    """The key of a password. `region` is None for version 2, which has none."""

    access_key: str
    version: int
    region: str | None

    def shown(self) -> dict[str, t.Any]:
        """The match as a result has it."""
        return {"access_key": self.access_key, "version": self.version, "region": self.region}


def digest(salt: bytes, password: bytes) -> str:
    """What stands for a password on its way to the host."""
    return hmac.new(salt, password, hashlib.sha256).hexdigest()


class Candidates:
    """The digests of candidates' passwords: pairs of access key ID and what hand_over() has made.

    Raises ValueError for anything else.
    """

    def __init__(self, handed_over: t.Iterable[tuple[str, str]] = ()) -> None:
        try:
            self._salted = [_salted(access_key, digests) for access_key, digests in handed_over]
        except (AttributeError, KeyError, TypeError, ValueError):
            # Without the cause: if the action plugin has not run, this is a secret.
            raise ValueError("no digests") from None

    def find(self, password: bytes) -> Match | None:
        """The candidate that a password is of."""
        for salt, digests in self._salted:
            found = digests.get(digest(salt, password))
            if found:
                return found
        return None


def _salted(access_key: str, handed_over: str) -> tuple[bytes, dict[str, Match]]:
    said = json.loads(handed_over)
    digests = {
        each: Match(access_key, version, region)
        for each, (version, region) in said["digests"].items()
    }
    return bytes.fromhex(said["salt"]), digests


def hand_over(salt: bytes, passwords: t.Mapping[str, tuple[int, str | None]]) -> str:
    """The digests of a candidate's passwords, each with its version and region, as JSON."""
    digests = {digest(salt, password.encode()): made for password, made in passwords.items()}
    return json.dumps({"salt": salt.hex(), "digests": digests})
