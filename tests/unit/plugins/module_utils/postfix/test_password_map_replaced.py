# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A source that takes another's place, odd sources, and refusals word for word."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import (
    PasswordMapError,
    RequestedEntry,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._password_map import (
    Edit,
    PasswordMap,
    edit,
    read_map,
    replace_source,
)

OLD = b"# c\nSame u:1\nother u:2\nGone u:3\n"
NEW = b"other u:9\nSAME u:1\nsame u:1\nmore u:4\n"


def test_another_source_byte_for_byte() -> None:
    """A key is the same in upper and lower case, but its spelling counts as a change."""
    change = replace_source(read_map(OLD), NEW)
    assert change == Edit(
        source=NEW,
        entries_added=("more",),
        entries_changed=("SAME", "other"),
        entries_removed=("Gone",),
        gone=(b"Gone",),
        before=("Same u:PASSWORD", "other u:PASSWORD", "Gone u:PASSWORD"),
        after=("SAME u:OLD_PASSWORD", "other u:OLD_PASSWORD", "more u:OLD_PASSWORD"),
        changes_comments=True,
    )
    assert change.changes_source


def test_the_same_source_and_one_with_another_comment() -> None:
    assert not replace_source(read_map(OLD), OLD).changes_source
    change = replace_source(read_map(OLD), OLD + b"# d\n")
    assert change.changes_source
    assert (change.before, change.after, change.gone) == ((), (), ())


@pytest.mark.parametrize("utf8", [True, False])
def test_another_source_is_read_as_the_present_one_is(utf8: bool) -> None:
    """Without smtputf8_enable a line that is not UTF-8 is an entry, too."""
    change = replace_source(read_map(b"", utf8), b"k \xff\n")
    assert change.entries_added == (() if utf8 else ("k",))


def test_a_map_without_secrets_is_shown_as_it_is() -> None:
    current = read_map(b"k v\n", secret=False)
    assert edit(current, [], exclusive=True).before == ("k v",)
    assert read_map(b"k v\n").secret
    line = b"@example.com [smtp.example.com]:587\n"
    routes, logins = read_map(line, secret=False), read_map(line)
    assert edit(routes, [], exclusive=True).before == (line.decode().strip(),)
    # A sender, where a map without logins has one; with that value, perhaps a password in one with.
    assert routes.show_key(*routes.parse_entry(0)) == "@example.com"
    assert logins.show_key(*logins.parse_entry(0)) == "REDACTED"


def test_what_is_not_ascii_before_the_first_entry() -> None:
    """In a comment, and in a continuation of nothing; also where no entry follows."""
    assert read_map("# é\n".encode()).list_entries() == set()
    assert read_map(b" \0\n").list_entries() == set()
    assert read_map("# é\na\n".encode()).list_entries() == set()


@pytest.mark.parametrize("utf8", [True, False])
def test_what_is_wanted_is_folded_as_the_map_is(utf8: bool) -> None:
    """Ä and ä are one key with smtputf8_enable, and two without."""
    current = read_map("Ä u:1\n".encode(), utf8)
    assert current.utf8 is utf8
    change = edit(current, [RequestedEntry("ä", "u", "2")])
    assert change.entries_added == (() if utf8 else ("ä",))
    assert change.gone == ()
    gone = edit(current, [RequestedEntry("Ä", present=False)])
    assert (gone.entries_removed, gone.gone) == (("Ä",), ("Ä".encode(),))


def test_a_value_that_is_not_utf8_is_an_entry_without_smtputf8() -> None:
    assert read_map(b"k \xff\n", utf8=False).parse_entry(0) == (b"k", b"\xff")
    with pytest.raises(ValueError, match="not an entry"):
        read_map(b"k \xff\n").parse_entry(0)


def test_a_null_byte_ends_the_last_line_and_a_continued_one() -> None:
    assert read_map(b"k v\0w").list_entries() == {b"k\tv"}
    assert read_map(b"k v\n w\0x\n").list_entries() == {b"k\tv w"}


def test_the_line_of_an_entry_after_a_blank_line() -> None:
    with pytest.raises(PasswordMapError, match="in lines 2 and 3;"):
        edit(read_map(b"\na u:1\na u:2\n"), [RequestedEntry("b", "u", "p")])


@pytest.mark.parametrize("source", [b"a b", b"a bb\n", b"a b\n\n", b"a b\n c\n", b"a b\n#\n"])
def test_where_a_logical_line_ends(source: bytes) -> None:
    """One physical line with or without its end, and several."""
    joined = b" ".join(line.strip() for line in source.split(b"\n") if line[:1] not in (b"", b"#"))
    assert read_map(b'"q" r\n' + source).list_entries() == {
        b'"q"\tr',
        joined.replace(b" ", b"\t", 1),
    }


def test_a_new_entry_takes_the_line_end_of_the_first_line() -> None:
    assert (
        edit(read_map(b"a b\r\nc d\n"), [RequestedEntry("k", "u", "p")]).source[-7:] == b"k u:p\r\n"
    )
    assert (
        edit(read_map(b"a b\nc d\r\n"), [RequestedEntry("k", "u", "p")]).source[-7:] == b"\nk u:p\n"
    )


def refusal(current: PasswordMap, wanted: list[RequestedEntry]) -> str:
    with pytest.raises(PasswordMapError) as caught:
        edit(current, wanted)
    return str(caught.value)


def test_the_refusals_word_for_word() -> None:
    key = "[h.example]:587"
    ours, other = (
        RequestedEntry(key, "u", "p", requested_by="a"),
        RequestedEntry(key, "u", "q", requested_by="b"),
    )
    assert refusal(read_map(b""), [ours, other]) == (
        "a and b ask for different things under the same key '[h.example]:587'"
        " (Postfix does not distinguish upper and lower case)"
    )
    bare = RequestedEntry("h.example", "u", "q", requested_by="b")
    assert refusal(read_map(b""), [ours, bare]) == (
        "b: the key 'h.example' would shadow '[h.example]:587', which a asks for with other"
        " credentials: Postfix looks up the bare host name first. Ask for one of the two"
    )
    assert refusal(read_map(b"h.example u:p\n"), [ours]) == (
        "the entry 'h.example' in line 1 of the map shadows '[h.example]:587': Postfix looks up"
        " the bare host name of the server first, so the requested credentials would never be"
        " used. Give both keys these credentials in one task (entries), so that mail always finds a"
        " login; or use mailops.ses.postfix_relay, which does so, or exclusive=true"
    )
    assert refusal(read_map(b"x a\ny b\nX c\nx d\n"), [ours]) == (
        "the key 'x' occurs more than once in the map, in lines 1, 3 and 4; Postfix uses the"
        " first and ignores the rest. Remove what is not meant, or ask for this key too, so that"
        " it becomes one entry"
    )


def test_a_shadow_that_only_unicode_folds() -> None:
    """Of what is wanted, and of what is there."""
    ours, bare = RequestedEntry("[Ä]:25", "u", "p"), RequestedEntry("ä", "u", "q")
    assert "shadow" in refusal(read_map(b""), [ours, bare])
    assert "shadow" in refusal(read_map("ä u:q\n".encode()), [ours])
    without = read_map(b"", utf8=False)
    assert edit(without, [ours, bare]).entries_added == ("[Ä]:25", "ä")
    assert edit(read_map("ä u:q\n".encode(), utf8=False), [ours]).entries_added == ("[Ä]:25",)
