# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An upgrade breaks no playbook, unless the changelog says so."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.tooling import released_api

RELEASED: released_api.Api = json.loads(released_api.FILE.read_text(encoding="utf-8"))
CREDENTIALS = "module ses_smtp_credentials"
PASSWORD = "filter ses_smtp_password"


@pytest.mark.slow
def test_what_was_released_is_still_there(collections_path: Path) -> None:
    """What is missing or different needs a fragment; at a release: make released-api."""
    now = released_api.of_collection(collections_path)
    assert set(now) >= {CREDENTIALS, PASSWORD, "role postfix_relay main"}
    fragments = collections_path.glob("ansible_collections/mailops/ses/changelogs/fragments/*.yml")
    assert released_api.undeclared(released_api.breaks(RELEASED, now), fragments) == []


def test_the_record_has_what_playbooks_use() -> None:
    """Of each kind one that is known, so that an empty record can't pass."""
    credentials, password = RELEASED[CREDENTIALS], RELEASED[PASSWORD]
    assert "aws_secret_access_key" in credentials["option secret_key"]["aliases"]
    assert credentials["return value relayhost"] == {"type": "str"}
    assert [password[f"option {name}"]["position"] for name in ("region", "version")] == [0, 1]
    assert password["return value _value"] == {"type": "str"}
    assert RELEASED["role postfix_relay main"]


def change(plugin: str, name: str, **changes: t.Any) -> released_api.Api:
    """What was released, with other words about one thing; None takes a word away."""
    now = copy.deepcopy(RELEASED)
    promise = {**now[plugin].get(name, {}), **changes}
    now[plugin][name] = {key: value for key, value in promise.items() if value is not None}
    return now


@pytest.mark.parametrize(
    ("plugin", "name", "changes", "said"),
    [
        (CREDENTIALS, "return value port", {"type": "str"}, "type was int, is str"),
        (CREDENTIALS, "option port", {"type": "str"}, "type was int, is str"),
        (CREDENTIALS, "option fips", {"default": True}, "default was None, is True"),
        (CREDENTIALS, "option region", {"aliases": ["aws_region_name"]}, "aws_region is gone"),
        (CREDENTIALS, "option region", {"required": True}, "is now required"),
        (CREDENTIALS, "option region", {"choices": ["eu-west-1"]}, "it took any value"),
        (CREDENTIALS, "option new", {"required": True}, "is new and required"),
        (PASSWORD, "option version", {"choices": [4]}, "of its choices 2 is gone"),
        (PASSWORD, "option version", {"position": None}, "position was 1, is None"),
    ],
)
def test_a_change_that_breaks_is_found(
    plugin: str, name: str, changes: dict[str, t.Any], said: str
) -> None:
    (found,) = released_api.breaks(RELEASED, change(plugin, name, **changes))
    assert found.startswith(f"{plugin}: {name}")
    assert said in found


@pytest.mark.parametrize(
    ("plugin", "name", "changes"),
    [
        (CREDENTIALS, "option new", {"required": False}),
        (CREDENTIALS, "option new.part", {"required": True}),
        (CREDENTIALS, "return value new", {"type": "str"}),
        (CREDENTIALS, "option region", {"aliases": ["aws_region", "another"]}),
        (PASSWORD, "option version", {"choices": [2, 4, 5]}),
        (PASSWORD, "option version", {"choices": None}),
        ("module new", "option x", {"required": True}),
    ],
)
def test_more_is_never_a_break(plugin: str, name: str, changes: dict[str, t.Any]) -> None:
    now = copy.deepcopy(RELEASED)
    now.setdefault(plugin, {})
    now[plugin] = {
        **now[plugin],
        name: {
            key: value
            for key, value in {**now[plugin].get(name, {}), **changes}.items()
            if value is not None
        },
    }
    assert released_api.breaks(RELEASED, now) == []


def test_what_is_gone_is_found_unless_the_changelog_says_so(tmp_path: Path) -> None:
    now = copy.deepcopy(RELEASED)
    del now[PASSWORD]
    del now[CREDENTIALS]["return value relayhost"]
    gone = [f"{PASSWORD} is gone", f"{CREDENTIALS}: return value relayhost is gone"]
    assert released_api.breaks(RELEASED, now) == gone
    fragment = tmp_path / "1.yml"
    fragment.write_text("minor_changes: [ses_smtp_password and ses_smtp_credentials are better]")
    assert released_api.undeclared(gone, [fragment]) == gone
    fragment.write_text("breaking_changes: [ses_smtp_credentials - C(relayhost) is gone]")
    assert released_api.undeclared(gone, [fragment]) == gone[:1]
    other = tmp_path / "2.yml"
    other.write_text("removed_features: [ses_smtp_password - use the module]")
    assert released_api.undeclared(gone, [fragment, other]) == []
