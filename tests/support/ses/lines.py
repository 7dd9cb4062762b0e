# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One SMTP connection as lines: no sockets, no clock, no TLS.

It is fed with what arrives, and says what to send, and what to do then.
"""

from __future__ import annotations

import enum
import re

from . import answers
from .answers import Answer
from .behaviour import Behaviour
from .records import Session


class Next(enum.Enum):
    """What the connection has to do when all output is sent."""

    READ = "read on"
    START_TLS = "do the handshake"
    CLOSE = "hang up"


class LineDialogue:
    """Divides what arrives into lines and messages, and keeps all replies in ``record``."""

    def __init__(self, record: Session, behaviour: Behaviour) -> None:
        self.record = record
        self.next = Next.READ
        self.behaviour = behaviour
        self._input = bytearray()
        self._searched = 0  # of the message, so far
        self._output: list[str] = []
        self._in_message = False

    def receive(self, data: bytes) -> bytes:
        """What the server sends upon ``data``; ``next`` says what it does then."""
        self._input += data
        while self.next is Next.READ:
            if not (self._read_message() if self._in_message else self._read_line()):
                break
        return self.take_output()

    def fall_silent(self) -> bytes:
        """What the server sends when nothing came for too long."""
        self.say(answers.SILENCE)
        return self.take_output()

    def say(self, answer: Answer, **fields: object) -> None:
        """Send an answer, and hang up if it is one of those."""
        self.send(self.behaviour.say(answer, **fields), closes=answer.closes)

    def send(self, reply: str, *, closes: bool = False) -> None:
        """Send a reply of one or more lines."""
        for line in reply.split("\r\n"):
            self.record.replies.append(line)
            self.record.dialogue.append(f"< {line}")
            self._output.append(line)
        if closes:
            self.next = Next.CLOSE

    def take_output(self) -> bytes:
        """All that is to be sent; it is forgotten."""
        output = "".join(f"{line}\r\n" for line in self._output)
        self._output = []
        return output.encode("utf-8", "surrogateescape")

    def take_line(self, line: str) -> None:
        """Answer a line."""
        raise NotImplementedError

    def take_message(self, content: bytes) -> None:
        """Answer a message."""
        raise NotImplementedError

    def expect_message(self) -> None:
        """What arrives next is a message, up to a line with a dot alone."""
        self._in_message = True

    def forget_input(self) -> None:
        """What came in clear text behind STARTTLS counts for nothing (RFC 3207)."""
        self._input.clear()

    def _read_line(self) -> bool:
        """Answer the next line; whether there was one."""
        end = self._input.find(b"\r\n")
        line = bytes(self._input if end < 0 else self._input[:end])
        bare = re.search(rb"\r.|\n", line, re.DOTALL)
        if bare:
            self.say(answers.BARE_NEWLINE, position=bare.start())
        elif len(line) > self.behaviour.line_length:
            self.say(answers.LINE_TOO_LONG)
        elif end >= 0:
            del self._input[: end + 2]
            self.take_line(line.decode("utf-8", "surrogateescape"))
            return True
        return False

    def _read_message(self) -> bool:
        """Answer the message if its end is there; whether it is."""
        if self._input.startswith(b".\r\n"):
            content, end = b"", 3
        else:
            found = self._input.find(b"\r\n.\r\n", self._searched)
            if found < 0:
                self._searched = max(0, len(self._input) - 4)
                return False
            content, end = bytes(self._input[: found + 2]), found + 5
        del self._input[:end]
        self._searched = 0
        self._in_message = False
        self.take_message(re.sub(rb"(?m)^\.", b"", content))
        return True
