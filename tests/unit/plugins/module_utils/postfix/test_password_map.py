# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import (
    PasswordMapError,
    RequestedEntry,
    fold,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._password_map import (
    edit,
    read_map,
)

KEY = "[smtp.example]:587"
NEW = RequestedEntry(KEY, "user", "new")
GONE = RequestedEntry(KEY, present=False)

# What postmap makes of a source, all of it tried with Postfix 3.7's: key -> value.
READING: dict[str, tuple[bytes, dict[bytes, bytes]]] = {
    "an entry": (b"a b:c\n", {b"a": b"b:c"}),
    "no newline at the end": (b"a b:c", {b"a": b"b:c"}),
    "CRLF": (b"a b:c\r\nd e:f\r\n", {b"a": b"b:c", b"d": b"e:f"}),
    "white space around the value": (b"a \t b:c \t\n", {b"a": b"b:c"}),
    "white space in the value": (b"a b c\td\n", {b"a": b"b c\td"}),
    "a comment": (b"#a b\na b\n", {b"a": b"b"}),
    "an indented comment": (b"a b\n  # c\n", {b"a": b"b"}),
    "# inside": (b"a#b c#d\n", {b"a#b": b"c#d"}),
    "a continued value": (b"a b\n c\n\td\n", {b"a": b"b c\td"}),
    "a value on the next line": (b"a\n b\n", {b"a": b"b"}),
    "comments and blank lines inside": (b"a b\n# x\n\n \n c\n", {b"a": b"b c"}),
    "a comment before the end": (b"a b\n# x", {b"a": b"b"}),
    "CRLF inside": (b"a b\r\n c\r\n", {b"a": b"b\r c"}),
    "a line that begins with CR": (b"a b\n\rc\n", {b"a": b"b\rc"}),
    "upper case": (b"A B\n", {b"a": b"B"}),
    "the first wins": (b"a b\nA c\n", {b"a": b"b"}),
    "a quoted key": (b'"a b" c\n', {b'"a b"': b"c"}),
    "a quoted key over two lines": (b'"a\n b" c\n', {b'"a b"': b"c"}),
    "an escaped quote": (b'"a\\" b" c\n', {b'"a\\" b"': b"c"}),
    "an escaped space": (b"a\\ b c\n", {b"a\\ b": b"c"}),
    "a quote in the value": (b'a b"c\n', {b"a": b'b"c'}),
    "a colon after the key": (b"a: b\n", {b"a:": b"b"}),
    "UTF-8": ("Ä ß\n".encode(), {"ä".encode(): "ß".encode()}),
    "full case folding": ("Straße b\n".encode(), {b"strasse": b"b"}),
    "an unbalanced quote": (b'a"b c\n', {}),
    "an escaped last character": (b"a\\\n", {}),
    "no value": (b"a\n", {}),
    "no value but white space": (b"a \t\n\n", {}),
    "no value, before an entry": (b"a\nb c\n", {b"b": b"c"}),
    "a quoted key among others": (b'a b\n"c d" e\nf g\n', {b"a": b"b", b'"c d"': b"e", b"f": b"g"}),
    "not UTF-8": (b"a \xff\nb c\n", {b"b": b"c"}),
    "not UTF-8 in a comment": (b"a b\n#\xff\nc d\n", {b"a": b"b", b"c": b"d"}),
    "not UTF-8 in a continuation": (b"a b\n \xff\nc d\n", {b"c": b"d"}),
    "a null byte in the value": (b"a b\0c\nd e\n", {b"a": b"b", b"d": b"e"}),
    "a null byte in the key": (b"a\0 b\nd e\n", {b"d": b"e"}),
    "a null byte first": (b"\0a b\nd e\n", {b"d": b"e"}),
    "white space at the beginning": (b" a b\nc d\n", {b"c": b"d"}),
    "a continued line at the beginning": (b" a b\n#\n c\nd e\n", {b"d": b"e"}),
    "only comments": (b"# a\n\n#b\n", {}),
    "nothing": (b"", {}),
}

# source, what is wanted, result: every byte that is not ours stays.
EDITING: dict[str, tuple[bytes, list[RequestedEntry], bytes]] = {
    "new in an empty file": (b"", [NEW], b"[smtp.example]:587 user:new\n"),
    "new at the end": (b"#c\na b\n", [NEW], b"#c\na b\n[smtp.example]:587 user:new\n"),
    "new after a line without end": (b"a b", [NEW], b"a b\n[smtp.example]:587 user:new\n"),
    "new after a comment without end": (b"#b", [NEW], b"#b\n[smtp.example]:587 user:new\n"),
    "new among CRLF": (b"a b\r\n", [NEW], b"a b\r\n[smtp.example]:587 user:new\r\n"),
    "new after a lone CR": (b"#\r", [NEW], b"#\r\n[smtp.example]:587 user:new\n"),
    "new after half a CRLF": (b"a b\r\n#\r", [NEW], b"a b\r\n#\r\n[smtp.example]:587 user:new\r\n"),
    "new among CRLF without end": (
        b"a\tb\r\nc d",
        [NEW],
        b"a\tb\r\nc d\r\n[smtp.example]:587 user:new\r\n",
    ),
    "changed": (
        b"a b\n[SMTP.example]:587\t u:o \nc d\n",
        [NEW],
        b"a b\n[SMTP.example]:587\t user:new\nc d\n",
    ),
    "changed among CRLF": (b"[smtp.example]:587 o\r\n", [NEW], b"[smtp.example]:587 user:new\r\n"),
    "changed without end": (
        b"a b\n[smtp.example]:587 o",
        [NEW],
        b"a b\n[smtp.example]:587 user:new",
    ),
    "changed, continued": (
        b"[smtp.example]:587 o\n l\n d\na b\n",
        [NEW],
        b"[smtp.example]:587 user:new\na b\n",
    ),
    "changed, comments inside": (
        b"[smtp.example]:587 o\n#x\n\n  # y\n d\n# z\na b\n",
        [NEW],
        b"[smtp.example]:587 user:new\n#x\n\n  # y\n# z\na b\n",
    ),
    "changed, value on the next line": (
        b"[smtp.example]:587\n o\n",
        [NEW],
        b"[smtp.example]:587 user:new\n",
    ),
    "right already, spelt otherwise": (
        b"[SMTP.EXAMPLE]:587\n \tuser:new",
        [NEW],
        b"[SMTP.EXAMPLE]:587\n \tuser:new",
    ),
    "twice becomes one": (
        b"[smtp.example]:587 o\na b\n[Smtp.example]:587 user:new\n#c\n",
        [NEW],
        b"[smtp.example]:587 user:new\na b\n#c\n",
    ),
    "twice, the first is right": (
        b"[smtp.example]:587 user:new\n[smtp.example]:587 x\n",
        [NEW],
        b"[smtp.example]:587 user:new\n",
    ),
    "removed": (b"a b\n[smtp.example]:587 o\n#x\n p\n\nc d", [GONE], b"a b\n#x\n\nc d"),
    "removed, all of it": (b"[smtp.example]:587 o\n[SMTP.example]:587 p", [GONE], b""),
    "removed, not there": (b"\n a\n#b", [GONE], b"\n a\n#b"),
    "skipped lines stay": (
        b'a"b c\n\xff d\ne\n',
        [NEW],
        b'a"b c\n\xff d\ne\n[smtp.example]:587 user:new\n',
    ),
    "a quoted key over two lines": (
        b'"a\n b" c\n',
        [RequestedEntry('"ab"', "u", "p"), GONE],
        b'"a\n b" c\n"ab" u:p\n',
    ),
}

EXCLUSIVE: dict[str, tuple[bytes, list[RequestedEntry], bytes, list[str]]] = {
    "entries go, comments stay": (
        b"#1\na b\n c\n#2\n",
        [NEW],
        b"#1\n#2\n[smtp.example]:587 user:new\n",
        ["a"],
    ),
    "all go": (b"a b\n#\nc d", [], b"#\n", ["a", "c"]),
    "twice": (b"a b\nA d\n", [], b"", ["a"]),
    "the bare host too": (
        b"smtp.example u:o\n",
        [NEW],
        b"[smtp.example]:587 user:new\n",
        ["smtp.example"],
    ),
    "nothing to do": (
        b"#\n[smtp.example]:587 user:new\n",
        [NEW],
        b"#\n[smtp.example]:587 user:new\n",
        [],
    ),
    "skipped lines stay": (b'a"b c\n', [], b'a"b c\n', []),
}

REFUSED: dict[str, tuple[RequestedEntry, list[str]]] = {
    "a space in the key": (RequestedEntry("a b", "u", "p"), ["key 'a b'", "white space"]),
    "a newline in the key": (RequestedEntry("a\nb", "u", "p"), ["key", "newline"]),
    "an empty key": (RequestedEntry("", "u", "p"), ["key", "is empty"]),
    "a comment": (RequestedEntry("#a", "u", "p"), ["'#'", "comment"]),
    "a colon after the key": (RequestedEntry("a:", "u", "p"), ["ends with ':'"]),
    "an unbalanced quote": (RequestedEntry('a"b', "u", "p"), ["unbalanced"]),
    "an escaped quote leaves one open": (RequestedEntry('a"\\"b', "u", "p"), ["unbalanced"]),
    "a backslash at the end": (RequestedEntry("a\\", "u", "p"), ["backslash"]),
    "a control character in the key": (RequestedEntry("a\x01", "u", "p"), ["not printable"]),
    "a null byte in the key": (RequestedEntry("a\0", "u", "p"), ["not printable"]),
    "half a character": (RequestedEntry("a\udcff", "u", "p"), ["not printable"]),
    "no user name": (RequestedEntry("a", "", "p"), ["user name of 'a'", "is empty"]),
    "a colon in the user name": (RequestedEntry("a", "u:v", "p"), ["user name", "':'"]),
    "a space in the user name": (RequestedEntry("a", "u v", "p"), ["user name", "white space"]),
    "a zero-width space in the user name": (RequestedEntry("a", "u\u200b", "p"), ["not printable"]),
    "no password": (RequestedEntry("a", "u", ""), ["password of 'a'", "is empty"]),
    "a newline after the password": (
        RequestedEntry("a", "u", "sesame\n"),
        ["password", "ends with"],
    ),
    "a space before the password": (
        RequestedEntry("a", "u", " sesame"),
        ["password", "begins or ends"],
    ),
    "a newline in the password": (RequestedEntry("a", "u", "ses\name"), ["password", "newline"]),
    "a null byte in the password": (RequestedEntry("a", "u", "ses\0ame"), ["not printable"]),
}

ACCEPTED = ["[h.example]:587", "[h]", "h.example", "example.org", "user@example.org", "@example.org",
            '"a"@example.org', "ä@example.org", "a\\b", "[2001:db8::1]:587"]  # fmt: skip


@pytest.mark.parametrize(("source", "entries"), READING.values(), ids=READING)
def test_reading(source: bytes, entries: dict[bytes, bytes]) -> None:
    assert read_map(source).list_entries() == lines_of(entries)


def test_without_utf8_any_bytes_are_an_entry_and_only_ascii_is_folded() -> None:
    entries = read_map(b"A\xc3\x84\xff \xfe\n\xe4 b\n", utf8=False)
    assert entries.list_entries() == {b"a\xc3\x84\xff\t\xfe", b"\xe4\tb"}


def test_folding_what_is_not_utf8_leaves_it_as_it_is() -> None:
    assert fold(b"A\xff", utf8=True) == b"A\xff"
    assert fold(b"A\xff", utf8=False) == b"a\xff"


def test_a_skipped_line_is_no_entry() -> None:
    with pytest.raises(ValueError, match="not an entry"):
        read_map(b"a\n").parse_entry(0)


@pytest.mark.parametrize(("source", "wanted", "result"), EDITING.values(), ids=EDITING)
def test_editing(source: bytes, wanted: list[RequestedEntry], result: bytes) -> None:
    change = edit(read_map(source), wanted)
    assert change.source == result
    assert change.changes_source == (source != result)
    again = edit(read_map(change.source), wanted)
    assert again.source == change.source
    assert not again.changes_source


def test_the_keys_say_what_happened() -> None:
    wanted = [
        RequestedEntry("New", "u", "p"),
        RequestedEntry("changed", "u", "p"),
        RequestedEntry("right", "u", "p"),
        RequestedEntry("twice", "u", "p"),
        RequestedEntry("gone", present=False),
        RequestedEntry("never", present=False),
    ]
    source = b"changed u:o\nRight u:p\nGone u:o\nother u:o\ntwice u:p\ntwice u:o\n"
    change = edit(read_map(source), wanted)
    assert change.entries_added == ("New",)
    assert change.entries_changed == ("changed", "twice")
    assert change.entries_removed == ("Gone",)
    assert change.gone == (b"Gone",)
    assert change.before == (
        "changed u:PASSWORD",
        "twice u:PASSWORD",
        "twice u:PASSWORD",
        "Gone u:PASSWORD",
    )
    assert change.after == ("changed u:NEW_PASSWORD", "twice u:PASSWORD", "New u:NEW_PASSWORD")


def test_a_value_without_a_user_name_is_not_shown() -> None:
    assert edit(read_map(b"a sesame\n"), [], exclusive=True).before == ("a PASSWORD",)


@pytest.mark.parametrize(
    ("source", "wanted", "result", "removed"), EXCLUSIVE.values(), ids=EXCLUSIVE
)
def test_exclusive(
    source: bytes, wanted: list[RequestedEntry], result: bytes, removed: list[str]
) -> None:
    change = edit(read_map(source), wanted, exclusive=True)
    assert change.source == result
    assert list(change.entries_removed) == removed
    assert [each.decode() for each in change.gone] == removed


@pytest.mark.parametrize(("entry", "parts"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_stored_is_refused(entry: RequestedEntry, parts: list[str]) -> None:
    with pytest.raises(PasswordMapError) as error:
        edit(read_map(b""), [entry])
    for part in parts:
        assert part in str(error.value)
    assert "sesame" not in str(error.value)


@pytest.mark.parametrize("key", ACCEPTED)
def test_what_can_be_stored_is_read_back(key: str) -> None:
    wanted = RequestedEntry(key, "user@example.org", "a b+/=")
    change = edit(read_map(b""), [wanted])
    assert read_map(change.source).parse_entry(0) == (key.encode(), wanted.value)


def test_the_login_of_an_absent_entry_does_not_matter() -> None:
    assert edit(read_map(b"a b\n"), [RequestedEntry("a", "u:u", "", present=False)]).source == b""


def test_a_foreign_key_twice_names_both_lines() -> None:
    source = b"# one\na u:sesame\n\n x\nb c\nA d\n"
    with pytest.raises(
        PasswordMapError, match=r"'a' occurs more than once.*lines 2 and 6"
    ) as error:
        edit(read_map(source), [NEW])
    assert "sesame" not in str(error.value)


def test_a_foreign_key_three_times_names_all_lines() -> None:
    with pytest.raises(PasswordMapError, match="lines 1, 2 and 3"):
        edit(read_map(b"a b\nA b\na c\n"), [NEW])


@pytest.mark.parametrize("key", ["[smtp.example]:587", "[smtp.example]", "[SMTP.Example]:2587"])
def test_a_bare_host_in_the_map_is_an_error(key: str) -> None:
    with pytest.raises(PasswordMapError, match=r"'Smtp\.example' in line 2 .*shadows.*exclusive"):
        edit(read_map(b"#\nSmtp.example u:p\n"), [RequestedEntry(key, "u", "p")])


def test_a_bare_host_does_not_matter_when_it_goes_or_nothing_is_to_be_there() -> None:
    bare = RequestedEntry("smtp.example", present=False)
    assert (
        edit(read_map(b"smtp.example o\n"), [NEW, bare]).source == b"[smtp.example]:587 user:new\n"
    )
    assert edit(read_map(b"smtp.example o\n"), [GONE]).source == b"smtp.example o\n"


def test_a_bare_host_may_be_asked_for_with_the_same_login() -> None:
    change = edit(
        read_map(b"smtp.example o\n"), [NEW, RequestedEntry("smtp.example", "user", "new")]
    )
    assert change.entries_changed == ("smtp.example",)


def test_a_bare_host_asked_for_with_another_login_is_an_error() -> None:
    bare = RequestedEntry("smtp.example", "user", "other", requested_by="entries[7]")
    with pytest.raises(PasswordMapError, match=r"entries\[7\].*shadow"):
        edit(read_map(b""), [NEW, bare])


def test_one_key_asked_for_twice() -> None:
    assert edit(read_map(b""), [NEW, NEW]).source.count(b"user:new") == 1
    other = RequestedEntry(KEY.upper(), "user", "other", requested_by="entries[1]")
    with pytest.raises(PasswordMapError, match=r"the task and entries\[1\] ask for different"):
        edit(read_map(b""), [NEW, other])


def lines_of(entries: dict[bytes, bytes]) -> set[bytes]:
    return {key + b"\t" + value for key, value in entries.items()}
