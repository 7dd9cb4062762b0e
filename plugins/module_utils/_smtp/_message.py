# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The message by which ses_smtp_ping shows that SES accepts mail of a sender.

SES accepts most headers once only, and demands From and To ("Header fields",
https://docs.aws.amazon.com/ses/latest/dg/header-fields.html). All that is written here is ASCII, so
that no server has to convert it.
"""

from __future__ import annotations

import datetime
import email.utils
import re
import secrets
import typing as t
from dataclasses import dataclass

__all__ = ("SIMULATOR", "MessageError", "ProbeMessage", "make_message")

#: SES's mailbox simulator. It is exempt from the sandbox, and from bounce statistics.
SIMULATOR = "success@simulator.amazonses.com"

# RFC 5321, section 4.1.2, without quoted local parts
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*"
)
_MAXIMUM_ADDRESS = 254  # RFC 5321, with its erratum 1690
_MAXIMUM_LINE = 998  # RFC 5322, section 2.1.1
_HEADER_NAME = re.compile(r"[!-9;-~]{1,76}")  # RFC 5322, section 3.6.8
_HEADER_VALUE = re.compile(r"[ -~]*[!-~][ -~]*")
# Headers that an option decides.
_OF_OPTIONS = {
    "from": "sender",
    "sender": "sender",
    "return-path": "sender",
    "to": "recipient",
    "cc": "recipient",
    "bcc": "recipient",
}
_OWN = frozenset({"subject", "date", "message-id", "mime-version", "auto-submitted", "received"})
_OWN_PREFIXES = ("content-", "resent-")
_BODY = """\
The Ansible module mailops.ses.ses_smtp_ping has sent this message, to check
that Amazon SES accepts mail from this sender.
"""


class MessageError(ValueError):
    """An option of the message is wrong. The text names it, the mistake and the remedy."""


@dataclass(frozen=True)
class ProbeMessage:
    """A message from ``sender`` to ``recipient``, which are checked, as are its further headers."""

    sender: str
    recipient: str
    headers: tuple[tuple[str, str], ...] = ()

    def content(self) -> bytes:
        """Return a new message, with a time and an ID of its own; its lines end with CRLF."""
        now = datetime.datetime.now(datetime.timezone.utc)
        headers = (
            ("From", self.sender),
            ("To", self.recipient),
            ("Subject", "Test message of mailops.ses.ses_smtp_ping"),
            ("Date", email.utils.format_datetime(now)),
            ("Message-ID", f"<{secrets.token_hex(16)}@{self.sender.rpartition('@')[2]}>"),
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=us-ascii"),
            ("Content-Transfer-Encoding", "7bit"),
            ("Auto-Submitted", "auto-generated"),
            *self.headers,
        )
        lines = [*(f"{name}: {value}" for name, value in headers), "", *_BODY.splitlines()]
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def make_message(
    sender: str | None, recipient: str | None, headers: t.Mapping[str, object] | None
) -> ProbeMessage | None:
    """Return the message that the options request, None without ``sender``.

    :raises MessageError: if one of them is wrong, or is given without ``sender``.
    """
    if sender is None:
        for option, value in (("recipient", recipient), ("headers", headers)):
            if value:
                raise MessageError(
                    f"{option} is given without sender, so that no message would be sent. Add"
                    f" sender, or remove {option}"
                )
        return None
    _check_address("sender", sender)
    if recipient is not None:
        _check_address("recipient", recipient)
    return ProbeMessage(
        sender, SIMULATOR if recipient is None else recipient, _checked_headers(headers or {})
    )


def _check_address(option: str, value: str) -> None:
    if len(value) > _MAXIMUM_ADDRESS or not _ADDRESS.fullmatch(value):
        raise MessageError(
            f"{option} {value!r} is not an e-mail address. Give USER@DOMAIN alone, without a name"
            " before it; an internationalized domain in its form with xn--"
        )


def _checked_headers(headers: t.Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    checked: dict[str, tuple[str, str]] = {}
    for name, value in headers.items():
        _check_header_name(name)
        if name.lower() in checked:
            raise MessageError(
                f"headers has {checked[name.lower()][0]!r} and {name!r}, which are the same header."
                " SES accepts it only once. Remove one"
            )
        checked[name.lower()] = (name, _header_value(name, value))
    return tuple(checked.values())


def _check_header_name(name: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise MessageError(
            f"headers has {name!r}, which is not the name of a header. Use letters, digits and"
            " hyphens, without the colon"
        )
    option = _OF_OPTIONS.get(name.lower())
    if option:
        raise MessageError(f"headers has {name!r}. Remove it, and give the address as {option}")
    if name.lower() in _OWN or name.lower().startswith(_OWN_PREFIXES):
        raise MessageError(f"headers has {name!r}, which the module writes itself. Remove it")


def _header_value(name: str, value: object) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, str) and not is_number:
        raise MessageError(f"headers: the value of {name!r} is not text. Put it into quotes")
    text = str(value)
    if "\n" in text or "\r" in text:
        raise MessageError(
            f"headers: the value of {name!r} has a line break, which would begin another header."
            " Remove it"
        )
    if not _HEADER_VALUE.fullmatch(text):
        raise MessageError(
            f"headers: the value of {name!r} is empty, or has characters outside printable ASCII."
            " Correct it"
        )
    if len(name) + len(": ") + len(text) > _MAXIMUM_LINE:
        raise MessageError(
            f"headers: {name!r} is longer than the {_MAXIMUM_LINE} characters that a line of a"
            " message may have. Shorten its value"
        )
    return text
