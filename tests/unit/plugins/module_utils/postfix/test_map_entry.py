# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One entry: what it may hold, how it is shown, and why one is refused, word for word."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import (
    PasswordMapError,
    RequestedEntry,
    RequestedLine,
    decode,
    refuse_unstorable,
    show_entry,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer

NO_LINE = "the value of 'k' is empty, or has white space around it or a newline"

MESSAGES: list[tuple[RequestedEntry, str]] = [
    (RequestedEntry("", "u", "p"), "the key '' is empty"),
    (
        RequestedEntry("#k", "u", "p"),
        "the key '#k' begins with '#', which makes the line a comment for Postfix",
    ),
    (
        RequestedEntry("k:", "u", "p"),
        "the key 'k:' ends with ':'; the key and the value are separated by white space in this map",
    ),
    (
        RequestedEntry('k"', "u", "p"),
        "the key 'k\"' contains an unbalanced '\"', and Postfix would skip the line",
    ),
    (
        RequestedEntry("k\\", "u", "p"),
        "the key 'k\\\\' ends with a backslash, which would join it with the value",
    ),
    (RequestedEntry("k k", "u", "p"), "the key 'k k' contains white space or a newline"),
    (
        RequestedEntry("k\x01", "u", "p"),
        "the key 'k\\x01' contains a character that is not printable",
    ),
    (RequestedEntry("k", "", "p"), "the user name of 'k' is empty"),
    (
        RequestedEntry("k", "u:", "p"),
        "the user name of 'k' contains ':'; Postfix splits the value at the first one",
    ),
    (RequestedEntry("k", "u ", "p"), "the user name of 'k' contains white space or a newline"),
    (RequestedEntry("k", "u", ""), "the password of 'k' is empty"),
    (
        RequestedEntry("k", "u", "p "),
        "the password of 'k' begins or ends with white space or a newline, which Postfix would strip",
    ),
    (
        RequestedEntry("k", "u", "p\x01"),
        "the password of 'k' contains a newline or another character that is not printable",
    ),
    (RequestedLine("k"), NO_LINE),
    (RequestedLine("k", line=b" a"), NO_LINE),
    (RequestedLine("k", line=b"a "), NO_LINE),
    (RequestedLine("k", line=b"a\nb"), NO_LINE),
]


@pytest.mark.parametrize(("entry", "message"), MESSAGES, ids=[row[1][:40] for row in MESSAGES])
def test_what_is_refused_and_why(entry: RequestedEntry, message: str) -> None:
    with pytest.raises(PasswordMapError) as caught:
        refuse_unstorable(entry)
    assert str(caught.value) == f"the task: {message}"


@pytest.mark.parametrize(
    "entry",
    [
        RequestedEntry("k", "u", "p  p"),
        RequestedEntry('"k"', "u", "p"),
        RequestedEntry("k\\\\", "u", "p"),
        RequestedEntry("k", "u:", "p", present=False),
        RequestedLine("k", line=b"any thing"),
        RequestedLine("k", present=False),
    ],
)
def test_what_is_not_refused(entry: RequestedEntry) -> None:
    refuse_unstorable(entry)
    assert entry.find_value_problem() is None or not entry.present


def test_the_value() -> None:
    assert RequestedEntry("k", "u", "p:ü").value == "u:p:ü".encode()
    assert RequestedLine("k", line=b"any thing").value == b"any thing"


def test_an_entry_with_a_login() -> None:
    server = SmtpServer("smtp.example.com", 587, "starttls")
    login = SmtpLogin(server, "u", "p", requested_by="entries[1]")
    assert RequestedEntry.with_login("k", login) == RequestedEntry(
        "k", "u", "p", True, "entries[1]"
    )


def test_how_an_entry_is_shown() -> None:
    assert show_entry(b"k", b"u:p:q") == "k u:PASSWORD"
    assert show_entry(b"[k.example]", b"sesame") == "[k.example] PASSWORD"
    assert show_entry(b"kkkk", b"sesame") == "REDACTED PASSWORD"
    assert show_entry(b"k", b"u:p", "OLD") == "k u:OLD"
    assert decode(b"a\xff") == "a\\xff"
