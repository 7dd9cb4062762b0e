# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's script for the test message: what it believes of a queue and a log.

That it sends one, tests/functional/test_test_message.py shows on a real Postfix.
"""

from __future__ import annotations

import importlib.util
import io
import json
import types
import typing as t
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "roles/postfix_relay/files/send_test_message.py"
RECIPIENT = "success+0123456789abcdef@simulator.amazonses.com"


def _load() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("send_test_message", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = _load()


@pytest.mark.parametrize("queue_id", ["3F4A2B", "CDD3FBEFE", "4Z1b2c3D5fzGhj", "4gqXsT2Kn0zBvD"])
def test_queue_ids(queue_id: str) -> None:
    assert script.QUEUE_ID.fullmatch(queue_id)


@pytest.mark.parametrize(
    "queue_id", ["", "-", "ALL", "all", "-d", "ALL\n", "3F4A2B\n", "3F4A2B ALL", "../3F4A2B", "ABC", "DEFERRED"]
)  # fmt: skip
def test_what_is_no_queue_id(queue_id: str) -> None:
    assert not script.QUEUE_ID.fullmatch(queue_id)


def entry(queue_id: str = "3F4A2B", recipient: str = RECIPIENT, reason: str = "") -> bytes:
    """A line of `postqueue -j`."""
    addressed = {"address": recipient, **({"delay_reason": reason} if reason else {})}
    message = {"queue_name": "active", "queue_id": queue_id, "recipients": [addressed]}
    return json.dumps(message).encode() + b"\n"


def test_entries_of_a_queue() -> None:
    assert list(script.entries(entry(reason="why"), RECIPIENT)) == [("3F4A2B", "active", "why")]
    assert list(script.entries(entry(recipient=f"x{RECIPIENT}"), RECIPIENT)) == []


@pytest.mark.parametrize("line", [entry("ALL"), b"{}", b"[]", b"\xff", RECIPIENT.encode()])
def test_entries_that_are_none(line: bytes) -> None:
    with pytest.raises(script.TestError):
        list(script.entries(line, RECIPIENT))


def test_a_line_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is too long is left out, and those around it are not."""
    monkeypatch.setattr(script, "LINE_BYTES", 8)
    file = io.BytesIO(b"one\n" + b"x" * 20 + b"\nx\ntwo\n1234567\n12345678\nend")
    assert list(script.whole_lines(file)) == [b"one\n", b"x\n", b"two\n", b"1234567\n"]


def test_a_log_that_somebody_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or that is rotated, or taken away."""
    log = tmp_path / "mail.log"
    log.write_bytes(b"before\nafter\n")
    assert script.tail(str(log), 7) == [b"after", b""]
    assert script.tail(str(log), 100) == [b"before", b"after", b""]
    monkeypatch.setattr(script, "LOG_BYTES", 4)
    assert script.tail(str(log), 0) == [b"ter", b""]
    assert script.tail(str(tmp_path / "none"), 0) == []


class Queue:
    """A Postfix with these entries in its queue, listing by listing; the last one stays."""

    def __init__(self, *listings: list[tuple[str, str, str]]) -> None:
        self._listings = list(listings)
        self.removed: list[str] = []

    def queued(self, _recipient: str) -> list[t.Any]:
        """What is in it now."""
        now = self._listings.pop(0) if len(self._listings) > 1 else self._listings[0]
        return [script.Entry(*each) for each in now]

    def run(self, *command: str) -> types.SimpleNamespace:
        """Whether it runs, and removing a message."""
        if command[0] == "postsuper":
            self.removed.append(command[-1])
        return types.SimpleNamespace(returncode=0)

    def remove(self, recipient: str, queue_id: str) -> str:
        """As the script does it."""
        said: str = script.Postfix.remove(self, recipient, queue_id)
        return said


def attempt(queue_id: str, status: str) -> str:
    """A line of the log."""
    return f"Jan 1 postfix/smtp[1]: {queue_id}: to=<{RECIPIENT}>, relay=x, status={status} (why)"


OURS = ("3F4A2B", "active", "")
DROPPED = ("9999AA", "maildrop", "")
THEIRS = ("BBBBBB", "deferred", "forged")
DELAYED = ("3F4A2B", "deferred", "535 no")
#: The queue, listing by listing, and the log -> whether it is good, what is said, what is removed
OUTCOMES: dict[str, tuple[list[list[tuple[str, str, str]]], list[str], bool, str, list[str]]] = {
    "it leaves": ([[OURS], []], [attempt("3F4A2B", "sent")], True, "status=sent (why)", []),
    "under another ID": (
        [[DROPPED], [OURS], []], [attempt("3F4A2B", "sent")], True, "status=sent", [],
    ),
    "too quickly to be seen": ([[]], [attempt("3F4A2B", "sent")], True, "status=sent", []),
    "never seen": ([[]], [], False, "was not seen in the queue", []),
    "without a log": ([[OURS], []], [], True, "The log does not say why", []),
    "refused": ([[OURS], []], [attempt("3F4A2B", "bounced")], False, "status=bounced (why)", []),
    "refused, and a line that says otherwise": (
        [[OURS], []],
        [attempt("3F4A2B", "bounced"), *[attempt("3F4A2B", "sent")] * 9],
        False, "status=bounced (why)", [],
    ),
    "a line about all": ([[OURS], []], [attempt("ALL", "bounced")], True, "does not say", []),
    "a line about another": (
        [[OURS], []], [attempt("BBBBBB", "bounced")], True, "does not say", [],
    ),
    "delayed": ([[DELAYED]], [], False, "Not delivered: 535 no. It was removed", ["3F4A2B"]),
    "delayed, whatever the log has": (
        [[DELAYED]], [attempt("3F4A2B", "sent"), attempt("ALL", "sent")], False, "535", ["3F4A2B"],
    ),
    "late": (
        [[OURS]], [], False, "the message is in the queue active, without a reason", ["3F4A2B"],
    ),
    "delayed, and gone": ([[DELAYED], []], [], False, "It left the queue meanwhile", []),
    "delayed beside another": ([[OURS], [DELAYED, THEIRS]], [], False, "None was removed", []),
    "another's, after it": ([[OURS], [THEIRS], [THEIRS]], [], True, "left the queue", []),
    "several from the start": (
        [[OURS, THEIRS]], [], False, "2 messages in the queue are to its recipient: 3F4A2B, BBBBBB",
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listings, lines, is_good, said, removed = OUTCOMES[name]
    monkeypatch.setattr(script, "POLL", 0)
    monkeypatch.setattr(script, "LOG_LAG", 0)
    queue = Queue(*listings)
    log = types.SimpleNamespace(lines=lambda _label: lines)
    seconds = 0.01 if name in ("late", "several from the start") else 60
    good, text = script.outcome(queue, log, RECIPIENT, seconds)
    assert good is is_good, text
    assert said in text
    assert queue.removed == removed


def test_a_message_that_cannot_be_removed() -> None:
    queue = Queue([DELAYED])
    queue.run = lambda *_command: types.SimpleNamespace(returncode=1)  # type: ignore[method-assign]
    assert "could not be removed" in queue.remove(RECIPIENT, "3F4A2B")


def test_what_is_printed_of_a_line() -> None:
    assert script.shown("a\x1b[2J\rb\n" + "x" * 9000) == "a [2J b\n" + "x" * 3992
