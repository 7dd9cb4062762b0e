# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the list of SES's answers in the guide to them, from the table of answers.

As a program, from the top of the checkout: ``python -m tests.tooling.answers_section``, which
``make answers`` does. A unit test fails if the guide differs from the table.
"""

from __future__ import annotations

import importlib
import textwrap
import typing as t
from pathlib import Path

from .findings_section import mark_up, replace_section

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst" / "guide_answers.rst"
BEGIN = ".. Answers, written by make answers from the table of answers\n\n"
END = ".. End of the answers\n"
_WIDTH = 118
#: What is added to a text that no public log has.
SOURCES = {
    "logged": "",
    "documented": " (documented by AWS, in no public log)",
    "api": " (a text of SES's API, not seen over SMTP)",
    "inferred": " (not seen; the program that SES's server descends from has it)",
}


class Example(t.Protocol):
    """What is used of an example of an answer."""

    @property
    def command(self) -> str:
        """What it answers."""

    @property
    def reply(self) -> str:
        """Its text."""

    @property
    def source(self) -> str:
        """Where the text is from, a key of SOURCES."""


class Answer(t.Protocol):
    """What is used of an answer of the table."""

    @property
    def reason(self) -> str:
        """For programs."""

    @property
    def examples(self) -> t.Sequence[Example]:
        """Its texts."""

    @property
    def meaning(self) -> str:
        """A template."""

    @property
    def remedy(self) -> str:
        """A template."""


LogLine = t.Callable[[str, str], str]


def write_section(answers: t.Iterable[Answer], log_line: LogLine) -> str:
    """The answers as a definition list, by their reasons; those that share one stay in order.

    ``log_line`` returns Postfix's line for a command and the reply to it.
    """
    by_reason: dict[str, list[Answer]] = {}
    for answer in answers:
        by_reason.setdefault(answer.reason, []).append(answer)
    return "\n".join(_definition(name, by_reason[name], log_line) for name in sorted(by_reason))


def _definition(reason: str, answers: t.Sequence[Answer], log_line: LogLine) -> str:
    paragraphs = [part for answer in answers for part in _paragraphs(answer, log_line)]
    return f":ansval:`{reason}`\n" + "\n".join(paragraphs)


def _paragraphs(answer: Answer, log_line: LogLine) -> t.Iterator[str]:
    yield _wrapped(f"{mark_up(answer.meaning)}.")
    yield _wrapped(f"Remedy: {mark_up(answer.remedy)}.")
    yield "".join(
        _wrapped(f"- ``{log_line(each.command, _shown(each.reply))}``{SOURCES[each.source]}", "  ")
        for each in answer.examples
    )


def _shown(reply: str) -> str:
    """A reply on one line, with single spaces, as Postfix logs it and a page shows it."""
    return " ".join(reply.split())


def _wrapped(paragraph: str, more: str = "") -> str:
    lines = textwrap.wrap(
        paragraph,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent=f"  {more}",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    replies = importlib.import_module("plugins.module_utils._smtp._replies")
    known_reply = importlib.import_module("plugins.module_utils._smtp._known_reply")
    guide = GUIDE.read_text(encoding="utf-8")
    section = write_section(replies.REPLIES, known_reply.log_line)
    GUIDE.write_text(replace_section(guide, section, BEGIN, END), encoding="utf-8")


if __name__ == "__main__":
    main()
