# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What came of an SMTP login, and of a message after it: how far it got, and why it was refused."""

from __future__ import annotations

from dataclasses import dataclass

from ._replies import REPLIES, UNKNOWN_REPLY
from ._server import SmtpServer

__all__ = ("REASONS", "LoginOutcome", "LoginRefused")

#: The codes of LoginRefused.reason: stable, for tasks to test. Those of a server's answers come
#: from the table of answers.
REASONS = tuple(
    sorted(
        {
            "ca",
            "certificate",
            "connection_closed",
            "connection_refused",
            "name_resolution",
            "no_mechanism",
            "not_smtp",
            "port_blocked",
            "timeout",
            "tls",
            "tls_not_offered",
            "unreachable",
            UNKNOWN_REPLY,
            *(known.reason for known in REPLIES),
        }
    )
)


@dataclass(frozen=True)
class LoginOutcome:
    """How far a login got. What it did not reach is None; ``elapsed`` is in seconds.

    ``accepted`` says that the server accepted all that was requested, ``logged_in`` that it accepted
    the login. ``message_id`` is the server's ID for the message that it accepted.
    """

    accepted: bool
    host: str
    port: int
    address: str | None = None
    tls_version: str | None = None
    mechanism: str | None = None
    elapsed: float = 0.0
    attempts: int = 1
    logged_in: bool = False
    message_id: str | None = None


class LoginRefused(Exception):
    """A login or a message that failed, in words for the operator. Nothing in it holds the password.

    ``reason`` is one of REASONS; ``answer`` what the server answered, if it did; ``may_pass``
    whether the same may succeed a little later; ``outcome`` how far it got.
    """

    def __init__(
        self,
        server: SmtpServer,
        reason: str,
        message: str,
        answer: str | None = None,
        may_pass: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.answer = answer
        self.may_pass = may_pass
        self.outcome = LoginOutcome(False, server.host, server.port)
