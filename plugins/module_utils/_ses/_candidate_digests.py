# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Which access key, and for which region, a password that is on a host was derived from.

The controller knows the access keys, the host the passwords. What goes to the host is the digests of the
candidates' passwords, with a salt that is another one for each run: nobody can log in with them,
and those of two runs have nothing in common.
"""

from __future__ import annotations

import hashlib
import hmac
import typing as t
from dataclasses import dataclass, field

__all__ = ["Candidates", "Match", "digest", "digest_candidates"]


@dataclass(frozen=True)
class Match:
    """The access key of a password. `version` is 2 or 4; `region` is None for version 2, which has none."""

    access_key: str
    version: int
    region: str | None

    def show(self) -> dict[str, t.Any]:
        """The match as a result has it."""
        return {"access_key": self.access_key, "version": self.version, "region": self.region}


def digest(salt: bytes, password: bytes) -> str:
    """What stands for a password on its way to the host."""
    return hmac.new(salt, password, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Candidates:
    """The candidates' passwords: what each match's password is, as a digest. `salt` is in hex.

    Raises ValueError if it is not.
    """

    salt: str = ""
    matches: dict[str, Match] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bytes.fromhex(self.salt)

    def find(self, password: bytes) -> Match | None:
        """The candidate that a password is of."""
        if not self.matches:
            return None
        return self.matches.get(digest(bytes.fromhex(self.salt), password))


def digest_candidates(salt: bytes, passwords: t.Iterable[tuple[str, Match]]) -> Candidates:
    """The candidates whose passwords are given. Of a password that two have, the first counts."""
    matches: dict[str, Match] = {}
    for password, match in passwords:
        matches.setdefault(digest(salt, password.encode()), match)
    return Candidates(salt.hex(), matches)
