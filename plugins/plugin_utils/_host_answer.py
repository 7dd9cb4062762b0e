# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What a managed host returns, checked before anything is done with it. Pure, no Ansible.

A managed host is a stranger. Its answer may have any form and any size, and must neither end the
work on the other hosts nor keep the controller busy.
"""

from __future__ import annotations

import re
import typing as t

__all__ = ("FINDING", "INFO", "LOGINS", "AnswerError", "check_answer", "read_message")

#: The longest text of an answer, in characters.
MAX_TEXT = 4096
#: How many items all lists of an answer may have together.
MAX_ITEMS = 50_000
_MAX_NUMBER = 2**63
_MOST_ENTRIES = 10_000
_SHOWN = 1000
# JSON can't hold the first, and files in UTF-8 can't hold the others: half a character each.
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


class AnswerError(ValueError):
    """Why an answer is not accepted. The message names the part, never its value."""


class Maybe(t.NamedTuple):
    """A form that may be null instead."""

    form: t.Any


class Many(t.NamedTuple):
    """A list of a form, with at most so many items."""

    form: t.Any
    at_most: int


_TEXT = Maybe(str)
_SETTINGS = Many(str, 1000)
#: A finding of postfix_relay_info.
FINDING: dict[str, t.Any] = {
    "severity": str,
    "id": str,
    "config_directory": _TEXT,
    "file": _TEXT,
    "key": _TEXT,
    "message": str,
    "remedy": str,
}
_LOGIN = {
    "table": _TEXT,
    "path": _TEXT,
    "key": str,
    "username": _TEXT,
    "region": _TEXT,
    "system": _TEXT,
    "servers": Many({"host": str, "port": int, "tls": _TEXT}, 1000),
}
_ENTRY = {
    **_LOGIN,
    "line": Maybe(int),
    "version": Maybe(int),
    "active": bool,
    "matches": Maybe({"access_key": str, "region": _TEXT, "version": int}),
}
_INSTANCE = {
    "name": str,
    "config_directory": str,
    "mail_version": _TEXT,
    "running": Maybe(bool),
    "relayhost": Many(str, 1000),
    "tls": _TEXT,
    "tls_security_level": _TEXT,
    "ca_file": _TEXT,
    "rotation_pending": bool,
    "probe": Maybe({"accepted": Maybe(bool), "reason": str}),
    "deferred": Maybe(
        {"messages": int, "complete": bool, "oldest_age": Maybe(int), "oldest_reason": _TEXT}
    ),
    "maps": Many(
        {
            "table": str,
            "path": _TEXT,
            "mode": _TEXT,
            "settings": _SETTINGS,
            "complete": bool,
        },
        1000,
    ),
    "entries": Many(_ENTRY, _MOST_ENTRIES),
}
#: The part of postfix_relay_info's result that is used on the controller.
INFO: dict[str, t.Any] = {
    "root": bool,
    "instances": Many(_INSTANCE, 100),
    "unreadable_instances": Many(str, 100),
    "findings": Many(FINDING, 10_000),
}

#: Its instances, with no more of their entries than a rotation needs.
LOGINS = Many({"name": str, "entries": Many(_LOGIN, _MOST_ENTRIES)}, 100)


def check_answer(form: t.Any, value: t.Any) -> t.Any:
    """Return what ``form`` names of ``value``, in plain containers; the rest is not looked at.

    What can't be written to a file is replaced in texts. Raises AnswerError if a part is missing,
    or has another type, or is too long.
    """
    return _Check().part(form, value, "")


def read_message(value: t.Any) -> str:
    """Return the message of a failed result, in one line and of a length to be shown."""
    if not isinstance(value, str):
        return "(no message)"
    shown = " ".join(_writable(value[:_SHOWN]).split())
    return f"{shown} ..." if len(value) > _SHOWN else shown


class _Check:
    def __init__(self) -> None:
        self._items = 0

    def part(self, form: t.Any, value: t.Any, where: str) -> t.Any:
        if isinstance(form, Maybe):
            return None if value is None else self.part(form.form, value, where)
        if isinstance(form, Many):
            return self._list(form, value, where)
        kind: t.Any = dict if isinstance(form, dict) else form
        # True is an int for Python, and 1 is no bool.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise AnswerError(f"{where or 'the answer'} is not of the type {kind.__name__}")
        if isinstance(form, dict):
            return self._dict(form, value, where)
        if kind is str:
            return _text(value, where)
        if kind is int and not -_MAX_NUMBER < value < _MAX_NUMBER:
            raise AnswerError(f"{where} is too large a number")
        return value

    def _dict(self, form: dict[str, t.Any], value: t.Any, where: str) -> dict[str, t.Any]:
        found = {}
        for name, part in form.items():
            its_place = f"{where}.{name}" if where else name
            if name not in value:
                raise AnswerError(f"{its_place} is missing")
            found[name] = self.part(part, value[name], its_place)
        return found

    def _list(self, form: Many, value: t.Any, where: str) -> list[t.Any]:
        if not isinstance(value, list):
            raise AnswerError(f"{where} is not of the type list")
        # Before any of them is looked at.
        if len(value) > form.at_most:
            raise AnswerError(f"{where} has {len(value)} items, and at most {form.at_most} can be")
        self._items += len(value)
        if self._items > MAX_ITEMS:
            raise AnswerError(f"its lists have more than {MAX_ITEMS} items altogether")
        return [self.part(form.form, item, f"{where}[{n}]") for n, item in enumerate(value)]


def _text(value: str, where: str) -> str:
    if len(value) > MAX_TEXT:
        raise AnswerError(f"{where} has {len(value)} characters, and at most {MAX_TEXT} can be")
    return _writable(value)


def _writable(value: str) -> str:
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", value)
