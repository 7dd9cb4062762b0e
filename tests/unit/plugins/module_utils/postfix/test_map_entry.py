# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One entry: what it may hold, how it is shown, and why one is refused, word for word."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import (
    PasswordMapError,
    Wanted,
    WantedLine,
    refuse_unstorable,
    shown,
    text,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer

NO_LINE = "the value of 'k' is empty, or has white space around it or a newline"

MESSAGES: list[tuple[Wanted, str]] = [
    (Wanted("", "u", "p"), "the key '' is empty"),
    (
        Wanted("#k", "u", "p"),
        "the key '#k' begins with '#', which makes the line a comment for Postfix",
    ),
    (
        Wanted("k:", "u", "p"),
        "the key 'k:' ends with ':'; the key and the value are separated by white space in this map",
    ),
    (
        Wanted('k"', "u", "p"),
        "the key 'k\"' contains an unbalanced '\"', and Postfix would skip the line",
    ),
    (
        Wanted("k\\", "u", "p"),
        "the key 'k\\\\' ends with a backslash, which would join it with the value",
    ),
    (Wanted("k k", "u", "p"), "the key 'k k' contains white space or a newline"),
    (Wanted("k\x01", "u", "p"), "the key 'k\\x01' contains a character that is not printable"),
    (Wanted("k", "", "p"), "the user name of 'k' is empty"),
    (
        Wanted("k", "u:", "p"),
        "the user name of 'k' contains ':'; Postfix splits the value at the first one",
    ),
    (Wanted("k", "u ", "p"), "the user name of 'k' contains white space or a newline"),
    (Wanted("k", "u", ""), "the password of 'k' is empty"),
    (
        Wanted("k", "u", "p "),
        "the password of 'k' begins or ends with white space or a newline, which Postfix would strip",
    ),
    (
        Wanted("k", "u", "p\x01"),
        "the password of 'k' contains a newline or another character that is not printable",
    ),
    (WantedLine("k"), NO_LINE),
    (WantedLine("k", line=b" a"), NO_LINE),
    (WantedLine("k", line=b"a "), NO_LINE),
    (WantedLine("k", line=b"a\nb"), NO_LINE),
]


@pytest.mark.parametrize(("entry", "message"), MESSAGES, ids=[row[1][:40] for row in MESSAGES])
def test_what_is_refused_and_why(entry: Wanted, message: str) -> None:
    with pytest.raises(PasswordMapError) as caught:
        refuse_unstorable(entry)
    assert str(caught.value) == f"the task: {message}"


@pytest.mark.parametrize(
    "entry",
    [
        Wanted("k", "u", "p  p"),
        Wanted('"k"', "u", "p"),
        Wanted("k\\\\", "u", "p"),
        Wanted("k", "u:", "p", present=False),
        WantedLine("k", line=b"any thing"),
        WantedLine("k", present=False),
    ],
)
def test_what_is_not_refused(entry: Wanted) -> None:
    refuse_unstorable(entry)
    assert entry.value_problem() is None or not entry.present


def test_the_value() -> None:
    assert Wanted("k", "u", "p:ü").value == "u:p:ü".encode()
    assert WantedLine("k", line=b"any thing").value == b"any thing"


def test_an_entry_with_a_login() -> None:
    server = SmtpServer("smtp.example.com", 587, "starttls")
    login = SmtpLogin(server, "u", "p", requested_by="entries[1]")
    assert Wanted.with_login("k", login) == Wanted("k", "u", "p", True, "entries[1]")


def test_how_an_entry_is_shown() -> None:
    assert shown(b"k", b"u:p:q") == "k u:PASSWORD"
    assert shown(b"[k.example]", b"sesame") == "[k.example] PASSWORD"
    assert shown(b"kkkk", b"sesame") == "REDACTED PASSWORD"
    assert shown(b"k", b"u:p", "OLD") == "k u:OLD"
    assert text(b"a\xff") == "a\\xff"
