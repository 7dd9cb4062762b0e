# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller makes of the candidates' keys: all their passwords, digested."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._payload import pack
from ansible_collections.mailops.ses.plugins.module_utils._ses._candidate_digests import (
    Candidates,
    Match,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._regions import SMTP_REGIONS
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import SesSmtpError
from ansible_collections.mailops.ses.plugins.plugin_utils._candidates import (
    find_candidates,
)
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import password_v4

KEY = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
OTHER = {
    "access_key": "AKIAEXAMPLE000000002",
    "secret_key": "secret/access+key/of+the+number/00000002",
}
VERSION_2 = "An60U4ZD3sd4fg+FvXUjayOipTt8LO4rUUmhpdX6ctDy"
NOTHING: dict[str, t.Any] = {"access_key": None, "secret_key": None}


def candidates_of(*candidates: dict[str, t.Any], **own: t.Any) -> Candidates:
    return find_candidates({**NOTHING, **own, "candidates": list(candidates)})


def access_keys(candidates: Candidates) -> list[str]:
    return list(dict.fromkeys(match.access_key for match in candidates.matches.values()))


def test_every_region_and_version_is_found() -> None:
    found = candidates_of(OTHER, KEY)
    for region in SMTP_REGIONS:
        for key in (KEY, OTHER):
            password = password_v4(key["secret_key"], region)
            assert found.find(password.encode()) == Match(key["access_key"], 4, region)
    assert found.find(VERSION_2.encode()) == Match(ACCESS_KEY, 2, None)
    assert found.find(SECRET_KEY.encode()) is None


def test_the_tasks_own_key_is_one_more() -> None:
    assert access_keys(candidates_of(OTHER, **KEY)) == [OTHER["access_key"], ACCESS_KEY]
    assert access_keys(candidates_of(**KEY)) == [ACCESS_KEY]
    assert candidates_of().matches == {}
    assert find_candidates({**NOTHING, "candidates": None}).matches == {}


def test_neither_secret_nor_password_leaves_the_controller_and_no_run_is_like_another() -> None:
    runs = [candidates_of(KEY) for _dummy in range(2)]
    text = pack("m", runs[0])
    assert found_in(text, [SECRET_KEY, VERSION_2, *PASSWORD_OF.values()]) == []
    assert runs[0].salt != runs[1].salt
    assert len(bytes.fromhex(runs[0].salt)) >= 16
    assert not set(runs[0].matches) & set(runs[1].matches)


@pytest.mark.parametrize(
    ("candidates", "own", "says"),
    [
        (
            [KEY, {**KEY, "secret_key": f"{SECRET_KEY}\n"}],
            {},
            "candidates[1]: secret_key has white space",
        ),
        ([{**KEY, "access_key": "joe"}], {}, "candidates[0]: access_key is not an access key ID"),
        ([], {"access_key": ACCESS_KEY}, "secret_key is missing. Give access_key and secret_key"),
        (
            [KEY],
            {"secret_key": SECRET_KEY},
            "access_key is missing. Give access_key and secret_key",
        ),
    ],
)
def test_refused(candidates: list[dict[str, t.Any]], own: dict[str, t.Any], says: str) -> None:
    with pytest.raises(SesSmtpError) as caught:
        candidates_of(*candidates, **own)
    assert says in str(caught.value)
    assert SECRET_KEY not in str(caught.value)
