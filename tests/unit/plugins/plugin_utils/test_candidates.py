# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller makes of the candidates' keys: all their passwords, digested."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._candidate_digests import (
    Candidates,
    Match,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import (
    SMTP_REGIONS,
    SesSmtpError,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._candidates import (
    candidates_for_the_host,
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


def for_the_host(*candidates: dict[str, t.Any], **own: t.Any) -> list[dict[str, str]]:
    return candidates_for_the_host({**NOTHING, **own, "candidates": list(candidates)})


def matches(handed_over: list[dict[str, str]]) -> Candidates:
    """As the host sees them."""
    return Candidates((each["access_key"], each["secret_key"]) for each in handed_over)


def test_every_region_and_version_is_found() -> None:
    found = matches(for_the_host(OTHER, KEY))
    for region in SMTP_REGIONS:
        for key in (KEY, OTHER):
            password = password_v4(key["secret_key"], region)
            assert found.find(password.encode()) == Match(key["access_key"], 4, region)
    assert found.find(VERSION_2.encode()) == Match(ACCESS_KEY, 2, None)
    assert found.find(SECRET_KEY.encode()) is None


def test_the_tasks_own_key_is_one_more() -> None:
    assert [each["access_key"] for each in for_the_host(OTHER, **KEY)] == [
        OTHER["access_key"],
        ACCESS_KEY,
    ]
    assert [each["access_key"] for each in for_the_host(**KEY)] == [ACCESS_KEY]
    assert for_the_host() == []
    assert candidates_for_the_host({**NOTHING, "candidates": None}) == []


def test_neither_secret_nor_password_leaves_the_controller_and_no_run_is_like_another() -> None:
    runs = [for_the_host(KEY) for _dummy in range(2)]
    text = json.dumps(runs)
    assert found_in(text, [SECRET_KEY, VERSION_2, *PASSWORD_OF.values()]) == []
    said = [json.loads(run[0]["secret_key"]) for run in runs]
    assert said[0]["salt"] != said[1]["salt"]
    assert len(bytes.fromhex(said[0]["salt"])) >= 16
    assert not set(said[0]["digests"]) & set(said[1]["digests"])


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
        for_the_host(*candidates, **own)
    assert says in str(caught.value)
    assert SECRET_KEY not in str(caught.value)
