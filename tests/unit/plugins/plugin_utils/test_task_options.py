# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of a task's options are its own, and which are from module_defaults."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.plugin_utils._task_options import (
    find_defaults,
    list_own_names,
    use_one_name_each,
)

MODULE = "mailops.ses.postfix_relay"
SPEC: dict[str, dict[str, t.Any]] = {
    "region": {"type": "raw", "aliases": ["aws_region"]},
    "items": {"type": "list", "elements": "dict", "options": {"a": {"aliases": ["b"]}}},
}


def task(
    data: dict[str, t.Any] | None, defaults: list[dict[str, t.Any]], **args: t.Any
) -> types.SimpleNamespace:
    play = types.SimpleNamespace(_action_groups={MODULE: ["mailops.ses.ses", "my.own.group"]})
    return types.SimpleNamespace(
        args=args,
        module_defaults=defaults,
        get_ds=lambda: data,
        _parent=types.SimpleNamespace(_play=play),
    )


@pytest.mark.parametrize(
    ("data", "own"),
    [
        ({"name": "x", MODULE: {"region": "r"}, "when": "x"}, {"region"}),
        ({MODULE: "region=r port=1"}, {"region", "port"}),
        ({"action": f"{MODULE} region=r"}, {"region"}),
        ({"action": {"module": MODULE, "region": "r"}, "loop": [1]}, {"region"}),
        ({"local_action": {"module": MODULE, "region": "r"}}, {"region"}),
        ({MODULE: {"region": "r"}, "args": {"port": 1}, "with_items": [1]}, {"region", "port"}),
        ({MODULE: None}, set()),
        ({MODULE: None, "args": "{{ x }}"}, None),
        ({MODULE: "{{ x }}"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_own_names(data: dict[str, t.Any] | None, own: set[str] | None) -> None:
    assert list_own_names(task(data, [{MODULE: {}}])) == (None if own is None else frozenset(own))


def test_everything_is_the_tasks_own_without_defaults() -> None:
    assert list_own_names(task(None, [], region="r")) == frozenset(["region"])


def test_defaults() -> None:
    group = {"group/my.own.group": {"a": 1, "b": 1}, "group/other": {"x": 1}}
    assert find_defaults(task({}, [{"group/mailops.ses.ses": {"a": 3}}, group]), MODULE) == {
        "a": 1,
        "b": 1,
    }
    module = {MODULE: {"a": 2}, "mailops.ses.ses_smtp_ping": {"x": 2}}
    assert find_defaults(task({}, [group, module]), MODULE) == {"a": 2, "b": 1}
    assert find_defaults(task({}, [{MODULE: "{{ x }}"}]), MODULE) == {}


@pytest.mark.parametrize(
    ("given", "own", "kept"),
    [
        ({"region": 1, "aws_region": 2}, {"region"}, {"region": 1}),
        ({"region": 1, "aws_region": 2}, {"aws_region"}, {"aws_region": 2}),
        ({"region": None, "aws_region": 2}, {"region"}, {}),
        ({"region": 1, "aws_region": "1", "x": 3}, None, {"region": 1, "x": 3}),
        ({"region": None, "aws_region": 2}, None, {"aws_region": 2}),
        ({"region": None, "aws_region": None}, {"region", "aws_region"}, {}),
        ({"items": [{"a": None, "b": 1}, "a=1 b=1"]}, {"items"}, {"items": [{"b": 1}, {"a": "1"}]}),
        ({"items": {"a": 1, "b": 2}}, {"items"}, {"items": {"a": 1, "b": 2}}),
        ({"items": "a=1 b=1"}, {"items"}, {"items": "a=1 b=1"}),
        ({"items": ["x", 3], 5: 6}, None, {"items": ["x", 3], 5: 6}),
    ],
)
def test_one_name_each(
    given: dict[t.Any, t.Any], own: t.Collection[str] | None, kept: dict[t.Any, t.Any]
) -> None:
    before = dict(given)
    assert use_one_name_each(SPEC, given, None if own is None else frozenset(own)) == kept
    assert given == before
