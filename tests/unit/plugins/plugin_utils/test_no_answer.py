# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a host gave no answer: results as ansible-core makes them, and the reason in each."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.plugin_utils._no_answer import (
    NoAnswer,
    find_reason,
    read_no_answer,
    show_no_answer,
)

NOTHING = "Module result deserialization failed: No start of json char found"
FAILURE = "MODULE FAILURE\nSee stdout/stderr for the exact error"
SUDO = "mailops.ses.postfix_relay_info: Premature end of stream waiting for become success."
TRACEBACK = 'Traceback (most recent call last):\n  File "x", line 1\nOSError: sesame\n'

#: what a task registers -> the reason
REASONS: list[tuple[dict[str, t.Any], str]] = [
    ({"msg": "There is no Postfix here"}, "There is no Postfix here"),
    ({"msg": "mailops.ses.postfix_relay_info: There is no\n Postfix"}, "There is no Postfix"),
    (
        {"msg": "Task failed: Failed to connect to the host via ssh: refused"},
        "Failed to connect to the host via ssh: refused",
    ),
    ({"msg": NOTHING, "module_stderr": "/bin/sh: 1: sudo: not found\n"}, "sudo: not found"),
    ({"msg": FAILURE, "module_stderr": "sh: line 1: sudo: not found\n"}, "sudo: not found"),
    ({"msg": f"{SUDO}\n>>> Standard Error\n/bin/sh: 1: sudo: not found"}, "sudo: not found"),
    (
        {"msg": FAILURE, "module_stderr": "We trust you\n\nsudo: a password is required\n"},
        "sudo: a password is required",
    ),
    (
        {"msg": FAILURE, "module_stderr": "", "module_stdout": "bash: /x/python3: No such file"},
        "/x/python3: No such file",
    ),
    (
        {"msg": FAILURE, "module_stderr": f"{TRACEBACK}\n", "rc": 1},
        "the module crashed (exit status 1): REDACTED REDACTED",
    ),
    ({"msg": NOTHING, "module_stderr": "sesame"}, "the host did not run the module: REDACTED"),
    ({"msg": NOTHING, "module_stderr": " \n", "module_stdout": None}, NOTHING),
    ({"msg": f"{SUDO}\n>>> Standard Error\n "}, f"{SUDO.partition(': ')[2]}"),
    ({}, "(no message)"),
    ({"msg": ["x"]}, "(no message)"),
]


@pytest.mark.parametrize(("result", "reason"), REASONS)
def test_the_reason(result: dict[str, t.Any], reason: str) -> None:
    assert find_reason(result) == reason


def test_only_the_beginning_of_what_a_host_prints_is_read() -> None:
    result = {"msg": FAILURE, "module_stderr": "sudo: " + "x" * 10_000_000}
    assert len(find_reason(result)) < 1100


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"unreachable": True, "msg": "timed out"}, NoAnswer("unreachable", "timed out")),
        ({"failed": True, "msg": "no"}, NoAnswer("failed", "no")),
        ({"failed": False, "findings": []}, None),
        ({"no_answer": {"state": [], "reason": []}}, NoAnswer("failed", "(no message)")),
        ({"no_answer": None}, None),
        ([], None),
    ],
)
def test_a_registered_result(result: t.Any, expected: NoAnswer | None) -> None:
    assert read_no_answer(result) == expected


@pytest.mark.parametrize("state", ["unreachable", "failed"])
def test_a_result_that_does_not_fail(state: str) -> None:
    failed = {state: True, "msg": "no", "exception": "x", "ansible_facts": {"a": 1}}
    shown = show_no_answer(failed)
    assert shown == {
        "changed": False,
        "no_answer": {"state": state, "reason": "no"},
        "ansible_facts": {"a": 1},
    }
    assert read_no_answer(shown) == NoAnswer(state, "no")
