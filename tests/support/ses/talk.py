# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A conversation with the stand-in for SES in this process: lines in, lines out, no sockets."""

from __future__ import annotations

import base64
import typing as t

from .account_book import AccountBook
from .accounts import Account, password_v4
from .behaviour import Behaviour
from .dialogue import Dialogue, Tls
from .lines import Next
from .records import Recorder

USER = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ACCOUNT = Account(USER, SECRET, ("example.com",))
MESSAGE = "From: a@example.com\r\nTo: b@example.net\r\n\r\nx"


def encode(text: str) -> str:
    """Base64 of ``text``."""
    return base64.b64encode(text.encode()).decode()


class Talk:
    """A client that says what it is told to, and keeps the last reply's lines."""

    def __init__(
        self,
        account: Account = ACCOUNT,
        *,
        region: str = "us-east-1",
        behaviour: Behaviour | None = None,
        tls: Tls = Tls.OFFERED,
        book: AccountBook | None = None,
        dialogue: type[Dialogue] = Dialogue,
    ) -> None:
        self.account = account
        self.book = book or AccountBook([account])
        self.recorder = Recorder()
        self.record = self.recorder.open_session(region, 587, "starttls", "127.0.0.1:1")
        self.server = dialogue(self.record, self.book, self.recorder, behaviour or Behaviour(), tls)
        self.reply = self._lines(self.server.greet())

    @property
    def is_open(self) -> bool:
        """Whether the server has not hung up."""
        return self.server.next is not Next.CLOSE

    def say(self, line: str) -> list[str]:
        """Send a line; the lines of the reply."""
        data = f"{line}\r\n".encode("utf-8", "surrogateescape")
        self.reply = self._lines(self.server.receive(data))
        return self.reply

    def start_tls(self) -> None:
        """STARTTLS and the handshake."""
        assert self.say("STARTTLS") == ["220 Ready to start TLS"]
        assert self.server.next is Next.START_TLS
        self.server.start_tls()

    def log_in(self) -> Talk:
        """TLS, if it is not there, and AUTH with the account's key."""
        self.say("EHLO client")
        if self.say("RSET") != ["250 Ok"]:
            self.start_tls()
        self.say(
            f"AUTH PLAIN {self.plain(password_v4(self.account.secret_key, self.record.region))}"
        )
        return self

    def plain(self, password: str) -> str:
        """AUTH PLAIN's initial response with this password."""
        return encode(f"\0{self.account.access_key}\0{password}")

    def send(
        self,
        message: str = MESSAGE,
        sender: str = "a@example.com",
        recipients: t.Iterable[str] = ("b@example.net",),
    ) -> str:
        """Send a message; the last reply, which is the first refusal if there is one."""
        commands = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{address}>" for address in recipients)]
        for command in [*commands, "DATA", f"{message}\r\n."]:
            (reply,) = self.say(command)
            if reply[0] not in "23":
                break
        return reply

    @staticmethod
    def _lines(data: bytes) -> list[str]:
        return data.decode("utf-8", "surrogateescape").split("\r\n")[:-1]
