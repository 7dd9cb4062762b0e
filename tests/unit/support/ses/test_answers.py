# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The answers of the stand-in for SES: what is only inferred can be another, and each is in a dialogue."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp._replies import (
    UNKNOWN_REPLY,
    explain_reply,
)
from ansible_collections.mailops.ses.tests.support.ses import answers
from ansible_collections.mailops.ses.tests.support.ses.answers import (
    FAULTS,
    Answer,
    Confidence,
)
from ansible_collections.mailops.ses.tests.support.ses.behaviour import Behaviour

ANSWERS = {name: value for name, value in vars(answers).items() if isinstance(value, Answer)}
#: AWS documents them, and no log shows that they are ever sent.
NEVER_SEEN = {"ADDRESS_UNKNOWN", "INVALID_EMAIL_ADDRESS"}
#: Said in the past, as public logs of the time have it.
OLD = {"MANY_MESSAGES_2024", "SERVICE_FAILURE_2017"}
#: Of those only the code means something.
OF_MAIL_MANAGER = {name for name in ANSWERS if name.startswith("MANAGER_")}


def fields_of(answer: Answer) -> dict[str, str]:
    return dict.fromkeys(re.findall(r"{(\w+)}", f"{answer.text}{answer.other}"), "x")


@pytest.mark.parametrize("name", ANSWERS)
def test_only_what_is_inferred_can_be_another(name: str) -> None:
    answer = ANSWERS[name]
    first, second = (
        Behaviour(other_guesses=other).say(answer, **fields_of(answer)) for other in (False, True)
    )
    assert (first != second) is (answer.confidence is Confidence.INFERRED)
    for text in (first, second):
        assert all(re.match(r"\d{3}[ -]", line) for line in text.split("\r\n"))
    assert not answer.closes or first.startswith(("221", "421", "451 4.4.2", "501"))


@pytest.mark.parametrize("name", sorted(ANSWERS.keys() - NEVER_SEEN - OLD - OF_MAIL_MANAGER))
def test_every_answer_is_in_a_dialogue(name: str) -> None:
    """Word by word in a test beside this one, or as a fault, which all are tried there."""
    texts = [fault.reply for fault in FAULTS.values()]
    for test in ("test_sessions.py", "test_messages.py"):
        tree = ast.parse(Path(__file__).with_name(test).read_text("utf-8"))
        texts += [
            node.value.decode() if isinstance(node.value, bytes) else str(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
        ]
    said = ANSWERS[name].text.partition("{")[0].split("\r\n")[-1]
    assert any(said.strip() in text for text in texts)


#: With a reason, which test_messages.py has, each of them explained.
EXPLAINED_THERE = {"TRANSACTION_FAILED"}
REFUSALS = {name for name, answer in ANSWERS.items() if answer.text[0] in "45"}


@pytest.mark.parametrize("name", sorted(REFUSALS - OF_MAIL_MANAGER - EXPLAINED_THERE))
def test_the_collection_explains_every_refusal(name: str) -> None:
    text = Behaviour().say(ANSWERS[name], **fields_of(ANSWERS[name]))
    assert explain_reply(text).reason != UNKNOWN_REPLY


def test_an_inferred_answer_needs_another() -> None:
    with pytest.raises(ValueError, match="has a second text: 250 Ok"):
        Answer("250 Ok", Confidence.INFERRED)
    with pytest.raises(ValueError, match="has a second text: 250 Ok"):
        Answer("250 Ok", Confidence.HIGH, "250 OK")


def test_the_behaviour_of_a_test_is_its_names() -> None:
    assert Behaviour.of("a test") == Behaviour.of("a test")
    several = {Behaviour.of(f"test {number}") for number in range(20)}
    assert {each.other_guesses for each in several} == {True, False}
    assert len({each.order for each in several}) == 20
