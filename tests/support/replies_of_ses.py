# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each refusal of SES, and what is said of it: the rows of replies_of_ses.yml."""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml

__all__ = ("ROWS", "Row")


class Row(t.NamedTuple):
    """A reply, and what it answers, in the words of Postfix's log. ``says`` is parts of the words."""

    command: str
    reply: str
    reason: str
    says: tuple[str, ...]
    may_pass: bool


def _rows() -> t.Iterator[Row]:
    text = Path(__file__).with_suffix(".yml").read_text(encoding="utf-8")
    for group in yaml.safe_load(text):
        for command, reply in group["replies"]:
            yield Row(
                command,
                reply,
                group["reason"],
                tuple(group["says"]),
                group.get("may_pass", False),
            )


ROWS = tuple(_rows())
