# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes to a host to compare passwords with: it finds them, and nobody can use it."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._candidate_digests import (
    Candidates,
    Match,
    digest,
    digest_candidates,
)

ONE, OLD, OTHER = Match("A", 4, "eu-west-1"), Match("A", 2, None), Match("B", 4, "r")
PASSWORDS = [("Sesame/+1", ONE), ("Sesame/+2", OLD), ("x", OTHER), ("Sesame/+1", OTHER)]


def test_found_with_region_and_version() -> None:
    candidates = digest_candidates(b"a", PASSWORDS)
    assert candidates.find(b"Sesame/+1") == ONE
    assert candidates.find(b"Sesame/+2") == OLD
    assert candidates.find(b"x") == OTHER
    assert candidates.find(b"Sesame/+3") is None
    assert Candidates().find(b"x") is None
    assert OLD.show() == {"access_key": "A", "version": 2, "region": None}


def test_what_is_handed_over_depends_on_the_salt_and_holds_no_password() -> None:
    one, two = (digest_candidates(salt, PASSWORDS) for salt in (b"one", b"two"))
    assert "Sesame" not in repr(one)
    assert len(one.matches) == len(two.matches) == 3
    assert not set(one.matches) & set(two.matches)
    # HMAC-SHA256, by another implementation: printf x | openssl dgst -sha256 -hmac k
    expected = "c38edc8815c8489f64738978f44008f8596345545f0baa68ef6fcf5c53e57189"
    assert digest(b"k", b"x") == expected
    assert digest_candidates(b"k", [("x", ONE)]) == Candidates("6b", {expected: ONE})


def test_a_salt_that_is_none() -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        Candidates("not hex")
