# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes to a host to compare passwords with: it finds them, and nobody can use it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._candidate_digests import (
    Candidates,
    Match,
    digest,
    hand_over,
)

PASSWORDS = {"Sesame/+1": (4, "eu-west-1"), "Sesame/+2": (2, None)}


def test_found_with_region_and_version() -> None:
    candidates = Candidates(
        [("A", hand_over(b"a", PASSWORDS)), ("B", hand_over(b"b", {"x": (4, "r")}))]
    )
    assert candidates.find(b"Sesame/+1") == Match("A", 4, "eu-west-1")
    assert candidates.find(b"Sesame/+2") == Match("A", 2, None)
    assert candidates.find(b"x") == Match("B", 4, "r")
    assert candidates.find(b"Sesame/+3") is None
    assert Candidates().find(b"x") is None
    assert Match("A", 2, None).shown() == {"access_key": "A", "version": 2, "region": None}


def test_what_is_handed_over_depends_on_the_salt_and_holds_no_password() -> None:
    one, two = (hand_over(salt, PASSWORDS) for salt in (b"one", b"two"))
    assert "Sesame" not in one
    digests = [set(json.loads(each)["digests"]) for each in (one, two)]
    assert len(digests[0]) == len(digests[1]) == 2
    assert not digests[0] & digests[1]
    # HMAC-SHA256, by another implementation: printf x | openssl dgst -sha256 -hmac k
    expected = "c38edc8815c8489f64738978f44008f8596345545f0baa68ef6fcf5c53e57189"
    assert digest(b"k", b"x") == expected


@pytest.mark.parametrize(
    "wrong",
    [
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "",
        "[]",
        "{}",
        '{"salt": "x", "digests": {}}',
        "4",
    ],
)
def test_anything_else_is_refused_without_showing_it(wrong: str) -> None:
    with pytest.raises(ValueError, match="no digests") as caught:
        Candidates([("A", wrong)])
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
