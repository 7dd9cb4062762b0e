# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the stand-in for SES does where the real one's limits are numbers or are not known."""

from __future__ import annotations

import random
import typing as t
import zlib
from dataclasses import dataclass

from .answers import Answer

_T = t.TypeVar("_T")


@dataclass(frozen=True)
class Behaviour:
    """The settings of a stand-in.

    ``idle_seconds`` and ``messages_per_session`` are when it hangs up. ``offers_size`` is the EHLO of
    2017 to 2022. ``other_guesses`` changes every answer that is only inferred, and nothing else: no
    test may notice. ``order`` is the seed of the order of the checks after the message, which AWS
    does not document; without it they come in the likeliest order. ``listed`` is the length of the list
    of identities after which it ends in ``...``.
    """

    idle_seconds: float = 10.0
    messages_per_session: int = 350
    recipients: int = 50
    message_size: int = 40 * 1024 * 1024
    line_length: int = 998
    listed: int = 256
    offers_size: bool = False
    other_guesses: bool = False
    order: int | None = None

    @classmethod
    def of(cls, name: str) -> Behaviour:
        """The behaviour for a test of this name: what is not known of SES is different from test to test.

        It waits for long, because a busy machine may need more time than SES gives a client.
        """
        number = zlib.crc32(name.encode())
        return cls(idle_seconds=300.0, other_guesses=bool(number & 1), order=number >> 1)

    def say(self, answer: Answer, **fields: object) -> str:
        """The text of ``answer`` with its ``fields``. Raises KeyError for a field that is missing."""
        text = answer.other if self.other_guesses and answer.other is not None else answer.text
        return text.format(**fields)

    def arrange(self, checks: t.Sequence[_T]) -> list[_T]:
        """The checks in the order of the seed."""
        arranged = list(checks)
        if self.order is not None:
            random.Random(self.order).shuffle(arranged)
        return arranged
