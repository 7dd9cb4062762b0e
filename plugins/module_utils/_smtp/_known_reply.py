# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What is known of one answer of SES: how to recognise it, what it means, and what Postfix makes of it."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

__all__ = (
    "AUTH",
    "CONNECT",
    "DATA",
    "DOCUMENTED",
    "END_OF_DATA",
    "INFERRED",
    "LOGGED",
    "MAIL",
    "OF_API",
    "RCPT",
    "STARTTLS",
    "Example",
    "KnownReply",
    "log_line",
    "postfix_status",
)

#: What SES answers, in the words of Postfix's log.
CONNECT = "connection"
STARTTLS = "STARTTLS"
AUTH = "AUTH"
MAIL = "MAIL FROM"
RCPT = "RCPT TO"
DATA = "DATA"
END_OF_DATA = "end of DATA"

#: Where a text is from: a public log or transcript, AWS's documentation alone, SES's API alone, or
#: the source of SubEthaSMTP, which SES's front end descends from.
LOGGED = "logged"
DOCUMENTED = "documented"
OF_API = "api"
INFERRED = "inferred"

_ENHANCED_CODE = re.compile(r"\d{3} ([245]\.\d{1,3}\.\d{1,3}) ")


class Example(t.NamedTuple):
    """A reply as SES sends it, without its line end; ``command`` is what it answers."""

    command: str
    reply: str
    source: str = LOGGED


@dataclass(frozen=True)
class KnownReply:
    """An answer of SES.

    ``pattern`` matches the beginning of "CODE TEXT", whatever the case of its letters. ``meaning``
    and ``remedy`` are templates, sentences without their full stop: they can name the pattern's
    groups. ``reason`` is for tasks to test. ``may_pass`` says whether the same can succeed later
    with nothing changed.
    """

    reason: str
    pattern: str
    examples: tuple[Example, ...]
    meaning: str
    remedy: str
    may_pass: bool = False


def postfix_status(command: str, reply: str) -> str:
    """Return what Postfix does with a message after ``reply``: "deferred" or "bounced".

    Postfix bounces for a code of 5xx, except for one to the connection or the login, for which it
    defers (its defaults of smtp_skip_5xx_greeting and smtp_sasl_auth_soft_bounce).
    """
    return "deferred" if reply[:1] == "4" or command in (CONNECT, AUTH) else "bounced"


def log_line(command: str, reply: str, host: str = "HOST[ADDRESS]") -> str:
    """Return the end of the line in Postfix's log, from ``dsn=`` on, for ``reply`` of ``host``.

    Source: smtp_proto.c, smtp_sasl_glue.c and smtp_trouble.c of Postfix.
    """
    status = postfix_status(command, reply)
    if command == CONNECT:
        said = f"host {host} refused to talk to me: {reply}"
    elif command == STARTTLS:
        said = f"TLS is required, but host {host} refused to start TLS: {reply}"
    elif command == AUTH:
        said = f"SASL authentication failed; server {host} said: {reply}"
    else:
        said = f"host {host} said: {reply} (in reply to {command} command)"
    found = _ENHANCED_CODE.match(reply)
    code = found.group(1)[1:] if found else ".0.0"
    return f"dsn={'4' if status == 'deferred' else '5'}{code}, status={status} ({said})"
