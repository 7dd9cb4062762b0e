# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AUTH as SES speaks it: the lines, and no judgement."""

from __future__ import annotations

import base64
import binascii
import typing as t

from . import answers
from .answers import Answer

Expected = t.Callable[[str], None]


class Login:
    """One AUTH command, from its argument to the credentials.

    ``say`` sends an answer. ``judge`` is called with mechanism, user name and password, and answers.
    """

    def __init__(
        self, say: t.Callable[[Answer], None], judge: t.Callable[[str, str, str], None]
    ) -> None:
        self._say = say
        self._judge = judge
        self._expected: Expected | None = None

    @property
    def expects_line(self) -> bool:
        """Whether the next line is the client's response, and no command."""
        return self._expected is not None

    def begin(self, argument: str) -> None:
        """Answer the command with this argument."""
        mechanism, *initial = argument.split()[:2] or [""]
        first: dict[str, tuple[Answer, Expected]] = {
            "PLAIN": (answers.ASK_PLAIN, self._take_plain),
            "LOGIN": (answers.ASK_USERNAME, self._take_username),
        }
        if not mechanism:
            self._say(answers.AUTH_SYNTAX)
        elif mechanism.upper() not in first:
            self._say(answers.UNKNOWN_MECHANISM)
        else:
            question, expected = first[mechanism.upper()]
            if initial:
                expected(initial[0])
            else:
                self._ask(question, expected)

    def receive(self, line: str) -> None:
        """Answer the client's response."""
        expected, self._expected = self._expected, None
        if line.strip() == "*":
            self._say(answers.AUTH_CANCELED)
        elif expected is not None:
            expected(line)

    def _ask(self, question: Answer, expected: Expected) -> None:
        self._say(question)
        self._expected = expected

    def _take_username(self, encoded: str) -> None:
        username = self._decode(encoded)
        if username is not None:
            self._ask(answers.ASK_PASSWORD, lambda line: self._take_password(username, line))

    def _take_password(self, username: str, encoded: str) -> None:
        password = self._decode(encoded)
        if password is not None:
            self._judge("LOGIN", username, password)

    def _take_plain(self, encoded: str) -> None:
        decoded = self._decode(encoded)
        if decoded is None:
            return
        if decoded.count("\0") < 2:
            self._say(answers.PLAIN_WITHOUT_NUL)
            return
        _authorization, username, password = decoded.split("\0", 2)
        self._judge("PLAIN", username, password)

    def _decode(self, encoded: str) -> str | None:
        try:
            return base64.b64decode(encoded, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            self._say(answers.BAD_BASE64)
            return None
