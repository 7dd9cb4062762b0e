# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""One entry of a Postfix password map: what it may hold, how it is shown, what would hide it."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .._ses._redaction import (
    REDACTED,
    redact_entry,
)

if t.TYPE_CHECKING:
    from .._smtp._server import SmtpLogin

__all__ = [
    "PasswordMapError",
    "RequestedEntries",
    "RequestedEntry",
    "RequestedLine",
    "decode",
    "fold",
    "refuse_unstorable",
    "show_entry",
    "show_key",
]

_PAIR_OR_QUOTE = re.compile(r'\\.|"')


class PasswordMapError(ValueError):
    """What is wrong with the map or with what was requested, in words for the operator.

    The message never contains a password.
    """


@dataclass(frozen=True)
class RequestedEntry:
    """One entry as the task asks for it: to be there with this value, or to be gone.

    `requested_by` names the place in the task, for errors.
    """

    key: str
    username: str = ""
    password: str = field(default="", repr=False)
    present: bool = True
    requested_by: str = "the task"

    @classmethod
    def with_login(cls, key: str, login: SmtpLogin) -> RequestedEntry:
        """An entry to be present with this login."""
        return cls(key, login.username, login.password, requested_by=login.requested_by)

    @property
    def shown_key(self) -> str:
        """The key for messages: as the task has it."""
        return self.key

    @property
    def value(self) -> bytes:
        """The right-hand side as Postfix stores it: user name, colon, password."""
        return f"{self.username}:{self.password}".encode()

    def find_value_problem(self) -> str | None:
        """Why postmap would not store the value exactly as it is, None if it would."""
        reason = _username_problem(self.username)
        if reason:
            return f"the user name of {self.shown_key!r} {reason}"
        reason = _password_problem(self.password)
        return f"the password of {self.shown_key!r} {reason}" if reason else None


@dataclass(frozen=True)
class RequestedEntries:
    """All entries that a task requests of a map."""

    entries: tuple[RequestedEntry, ...] = ()


@dataclass(frozen=True)
class RequestedLine(RequestedEntry):
    """An entry whose value is no login that the task gives, or is known as a whole only."""

    line: bytes = b""

    @property
    def shown_key(self) -> str:
        """The key for messages, redacted: it may come from a host's file."""
        return show_key(self.key.encode(errors="surrogateescape"), self.line)

    @property
    def value(self) -> bytes:
        """The right-hand side as it is."""
        return self.line

    def find_value_problem(self) -> str | None:
        """Why postmap would not store the value exactly as it is, None if it would."""
        if self.line and self.line == self.line.strip() and b"\n" not in self.line:
            return None
        return (
            f"the value of {self.shown_key!r} is empty, or has white space around it or a newline"
        )


def fold(key: bytes, utf8: bool) -> bytes:
    """The key as Postfix compares it.

    With `smtputf8_enable` Postfix folds Unicode (ICU's default case folding, as Python's),
    without it, ASCII only (casefold.c).
    """
    if utf8 and not key.isascii():
        try:
            return key.decode().casefold().encode()
        except UnicodeDecodeError:
            return key
    return key.lower()


def show_entry(key: bytes, value: bytes, password: str = "PASSWORD") -> str:
    """An entry for a diff: key and user name, redacted, and a fixed word for the password."""
    entry = redact_entry(decode(key), decode(value))
    if b":" not in value:  # nobody can say which part is no secret
        return f"{entry.key} {password}"
    return f"{entry.key} {entry.username or REDACTED}:{password}"


def show_key(key: bytes, value: bytes) -> str:
    """The key of an entry for a result or a message, redacted; what it may be depends on the value."""
    return redact_entry(decode(key), decode(value)).key


def decode(raw: bytes) -> str:
    """Bytes of a file as text, whatever their encoding. It may hold a secret: see _redaction.py."""
    return raw.decode(errors="backslashreplace")


def refuse_unstorable(entry: RequestedEntry) -> None:
    """Raise PasswordMapError if postmap would not store the entry exactly as it is.

    postmap(5) joins, cuts or skips such lines with a warning and exit status 0.
    """
    reason = _key_problem(entry.key)
    if reason:
        raise PasswordMapError(f"{entry.requested_by}: the key {entry.shown_key!r} {reason}")
    reason = entry.find_value_problem() if entry.present else None
    if reason:
        raise PasswordMapError(f"{entry.requested_by}: {reason}")


def _unseen(value: str) -> str | None:
    if any(character.isspace() for character in value):
        return "contains white space or a newline"
    if not value.isprintable():
        return "contains a character that is not printable"
    return None


def _key_problem(key: str) -> str | None:
    if not key:
        return "is empty"
    if key.startswith("#"):
        return "begins with '#', which makes the line a comment for Postfix"
    if key.endswith(":"):
        return "ends with ':'; the key and the value are separated by white space in this map"
    quotes = 0
    rest = key
    for match in _PAIR_OR_QUOTE.finditer(key):
        quotes += match.group() == '"'
        rest = key[match.end() :]
    if quotes % 2:
        return "contains an unbalanced '\"', and Postfix would skip the line"
    if rest.endswith("\\"):
        return "ends with a backslash, which would join it with the value"
    return _unseen(key)


def _username_problem(username: str) -> str | None:
    if not username:
        return "is empty"
    if ":" in username:
        return "contains ':'; Postfix splits the value at the first one"
    return _unseen(username)


def _password_problem(password: str) -> str | None:
    if not password:
        return "is empty"
    if password != password.strip():
        return "begins or ends with white space or a newline, which Postfix would strip"
    # A space inside a password is kept by Postfix, and is printable; nothing else unseen is meant.
    if not password.isprintable():
        return "contains a newline or another character that is not printable"
    return None
