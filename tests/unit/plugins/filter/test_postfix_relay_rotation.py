# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter postfix_relay_rotation: which variables it takes, and what it refuses."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.mailops.ses.plugins.filter import postfix_relay_rotation as plugin
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY as NEW
from ansible_collections.mailops.ses.tests.support.running.relay_results import relay_result
from jinja2 import StrictUndefined

OLD = "AKIAEXAMPLE000000002"
GOOD, BAD = relay_result(), relay_result(username=OLD)


def decide(variables: t.Any, **arguments: t.Any) -> t.Any:
    """The verdict on all hosts that have variables, unless said otherwise."""
    of_all = {} if "hosts" in arguments else {"hosts": [*variables], "asked": [*variables]}
    keys = {"register": "found", "access_key": NEW, "old_access_key": OLD}
    return plugin.postfix_relay_rotation(variables, **{**of_all, **keys, **arguments})


def reasons(verdict: dict[str, t.Any]) -> dict[str, list[str]]:
    return {each["host"]: each["reasons"] for each in verdict["blocking"]}


def test_every_host_has_its_answers() -> None:
    assert decide({"a": {"found": GOOD}})["safe"] is True
    variables = {"a": {"found": GOOD, "more": BAD}, "b": {"found": GOOD, "more": {"skipped": True}}}
    assert decide(variables)["safe"] is True
    assert reasons(decide(variables, register=["found", "more"])) == {"a": ["has the old key"]}


def test_an_answer_that_is_missing() -> None:
    variables = {
        "a": {"found": GOOD},
        "b": {"more": GOOD},
        "c": {},
        "d": {"found": {"skipped": True}},
    }
    why = reasons(decide(variables, register=["found", "more"]))
    assert why["b"] == why["c"] == ["was not asked which keys it holds"]
    assert why["d"][0].startswith("its answer is not one of postfix_relay_info")
    assert set(why) == {"b", "c", "d"}


def test_hosts_that_the_play_does_not_have() -> None:
    variables = {"a": {"found": GOOD}, "b": {"found": GOOD}}
    why = reasons(decide(variables, hosts=["a", "b", "c"], asked=["a"]))
    assert set(why) == {"b", "c"}
    assert all("--limit" in each for (each,) in why.values())
    # One that the pattern lacks, as it lacks an implicit localhost.
    assert decide(variables, hosts=["a"], asked=["a", "b"])["hosts"] == ["a", "b"]


def test_trouble_and_what_was_touched() -> None:
    variables: dict[str, dict[str, t.Any]] = {
        "a": {"found": BAD, "wrong": "refused", "changed": True},
        "b": {"found": BAD},
    }
    found = decide(variables, trouble="wrong", touched="changed")
    assert reasons(found)["a"] == ["has the old key", "refused"]
    assert (found["rolled_back"], found["not_touched"]) == (["a"], ["b"])
    variables["a"]["changed"] = False
    assert decide(variables, trouble="wrong", touched="changed")["rolled_back"] == []
    assert decide({"a": {"found": GOOD, "wrong": ""}}, trouble="wrong")["safe"] is True


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"variables": []}, "like hostvars, not list"),
        ({"register": 3}, "register must be a list, not int"),
        ({"register": [3]}, "register must be a list of names, but an item is int"),
        ({"hosts": "a", "asked": []}, "hosts must be a list, not str"),
        ({"hosts": [], "asked": []}, "hosts is empty"),
        ({"asked": None}, "asked must be a list, not nothing (null)"),
        ({"access_key": None}, "access_key must be an access key ID, not nothing (null)"),
        ({"old_access_key": ""}, "old_access_key must be an access key ID"),
        ({"old_access_key": NEW}, "access_key and old_access_key are the same"),
    ],
)
def test_refused(arguments: dict[str, t.Any], says: str) -> None:
    variables = arguments.pop("variables", {"a": {"found": GOOD}})
    with pytest.raises(AnsibleFilterError) as caught:
        decide(variables, **arguments)
    assert str(caught.value).startswith("mailops.ses.postfix_relay_rotation: ")
    assert says in str(caught.value)


def test_undefined_is_handed_on() -> None:
    undefined = StrictUndefined()
    assert decide(undefined, hosts=["a"], asked=["a"]) is undefined
    assert decide({"a": {}}, old_access_key=undefined) is undefined


def test_the_filter_has_its_name() -> None:
    filters = plugin.FilterModule().filters()
    assert filters == {"postfix_relay_rotation": plugin.postfix_relay_rotation}
