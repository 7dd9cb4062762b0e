# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For any file and any edit: against a plain reading, and against the real postmap."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import (
    PasswordMapError,
    RequestedEntry,
    fold,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._password_map import (
    PasswordMap,
    edit,
    read_map,
)
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.ends_only

# Pieces that matter to the grammar, and any bytes.
PIECES = st.one_of(
    st.sampled_from(
        [b"\n", b"\n", b"\n", b"\r\n", b" ", b"\t", b"\r", b"\v", b"\f", b"#", b'"', b"\\", b"\0", b"a", b"A",
         b"b", b":", b"\xff", "ß".encode(), b"ss", b"\na b\n", b"\n[a]:1 b:c\n", b"\n[A]:1 d:e\n", b"\na\n c\n"]
    ),
    st.binary(max_size=4),
)  # fmt: skip
SOURCES = st.lists(PIECES, max_size=30).map(b"".join)
WANTED = st.lists(
    st.builds(
        RequestedEntry,
        key=st.sampled_from(["a", "A", "b", "[a]:1", "[b]:25", '"a"', "ß", "SS", "c@d", "@d"]),
        username=st.sampled_from(["u", "b"]),
        password=st.sampled_from(["p", "c", "x y", "ü#"]),
        present=st.booleans(),
    ),
    max_size=4,
)


@settings(max_examples=400)
@given(source=SOURCES, utf8=st.booleans())
def test_reading_agrees_with_a_plain_reading_of_postmaps_algorithm(
    source: bytes, utf8: bool
) -> None:
    assert read_map(source, utf8).list_entries() == lines_of(plain_reading(source, utf8)[0])


@settings(max_examples=600, suppress_health_check=[HealthCheck.filter_too_much])
@given(source=SOURCES, wanted=WANTED, utf8=st.booleans())
@example(source=b"\n\r", wanted=[RequestedEntry("a", "u", "p")], utf8=True)
@example(source=b"a b", wanted=[RequestedEntry("b", "u", "p")], utf8=True)
def test_an_edit_does_what_is_wanted_and_leaves_every_other_byte(
    source: bytes, wanted: list[RequestedEntry], utf8: bool
) -> None:
    change = edited(read_map(source, utf8), wanted)
    entries, foreign = plain_reading(source, utf8, [fold(w.key.encode(), utf8) for w in wanted])
    for entry in wanted:
        entries.pop(fold(entry.key.encode(), utf8), None)
        if entry.present:
            entries[fold(entry.key.encode(), utf8)] = entry.value
    after, foreign_after = plain_reading(
        change.source, utf8, [fold(w.key.encode(), utf8) for w in wanted]
    )
    assert after == entries
    # A line that lacked its end gets one when something comes after it.
    assert foreign_after in (foreign, foreign + b"\n", foreign + b"\r\n")
    again = edit(read_map(change.source, utf8), wanted)
    assert again.source == change.source
    assert not again.changes_source


@settings(max_examples=200, suppress_health_check=[HealthCheck.filter_too_much])
@given(source=SOURCES, wanted=WANTED)
@example(source=b"a b\r\n#", wanted=[RequestedEntry("c", "user", "sesame")])
def test_exclusive_leaves_what_is_wanted_and_the_comments(
    source: bytes, wanted: list[RequestedEntry]
) -> None:
    change = edited(read_map(source), wanted, exclusive=True)
    expected = {fold(w.key.encode(), True): w.value for w in wanted if w.present}
    assert plain_reading(change.source, True)[0] == expected
    before, after = (
        [line for line in text.split(b"\n") if line.strip()[:1] == b"#"]
        for text in (source, change.source)
    )
    if before and not source.endswith(b"\n") and after[-1:] == [before[-1] + b"\r"]:
        # A line that lacked its end gets one when something comes after it.
        after[-1] = before[-1]
    assert after == before


@pytest.mark.slow
@pytest.mark.postfix
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@pytest.mark.parametrize(
    ("utf8", "table_type"), [("yes", "hash"), ("no", "hash"), ("yes", "btree"), ("yes", "lmdb")]
)
@given(source=SOURCES, wanted=WANTED)
def test_postmap_lists_what_we_read(
    tmp_path: Path, utf8: str, table_type: str, source: bytes, wanted: list[RequestedEntry]
) -> None:
    change = edited(read_map(source, utf8 == "yes"), wanted)
    settings_file = tmp_path / "main.cf"
    settings_file.write_text(f"compatibility_level = 3.6\nsmtputf8_enable = {utf8}\n")
    os.utime(settings_file, (0, 0))  # Postfix waits for a file that has just been written
    path = tmp_path / "map"
    path.write_bytes(change.source)
    run = ["postmap", "-c", str(tmp_path)]
    subprocess.run([*run, f"{table_type}:{path}"], check=True, stderr=subprocess.DEVNULL)
    listed = subprocess.run(
        [*run, "-s", f"{table_type}:{path}"], check=True, capture_output=True
    ).stdout
    ours = read_map(change.source, utf8 == "yes").list_entries()
    assert {line for line in listed.split(b"\n") if line} == ours
    for entry in wanted:
        line = fold(entry.key.encode(), utf8 == "yes") + b"\t" + entry.value
        assert (line in ours) == entry.present or any(o.present for o in wanted if o != entry)


def edited(current: PasswordMap, wanted: list[RequestedEntry], exclusive: bool = False) -> t.Any:
    """An edit that is allowed; hypothesis looks for another example if this one isn't."""
    try:
        return edit(current, wanted, exclusive)
    except PasswordMapError:
        assume(False)


def lines_of(entries: dict[bytes, bytes]) -> set[bytes]:
    return {key + b"\t" + value for key, value in entries.items()}


def plain_reading(
    source: bytes, utf8: bool, ours: t.Sequence[bytes] = ()
) -> tuple[dict[bytes, bytes], bytes]:
    """What postmap reads, written line by line and byte by byte after readlline.c and postmap.c.

    Returns the entries, and the physical lines that do not belong to an entry with a key in `ours`.
    """
    entries: dict[bytes, bytes] = {}
    kept: list[bytes] = []
    logical: list[bytes] = []
    pending: list[tuple[bytes, bool]] = []

    def end_logical_line() -> None:
        pair = plain_split(b"".join(logical), utf8)
        key = None
        if pair:
            key = fold(pair[0], utf8)
            entries.setdefault(key, pair[1])
        kept.extend(line for line, is_text in pending if key not in ours or not is_text)
        logical.clear()
        pending.clear()

    physical = source.split(b"\n")
    for number, line in enumerate(physical):
        last = number == len(physical) - 1
        with_end = line if last else line + b"\n"
        stripped = line.lstrip(b" \t\n\r\v\f")
        is_text = bool(stripped) and stripped[:1] != b"#"
        if is_text and stripped == line:
            end_logical_line()
        if is_text:
            logical.append(line)
        pending.append((with_end, is_text))
    end_logical_line()
    return entries, b"".join(kept)


def plain_split(text: bytes, utf8: bool) -> tuple[bytes, bytes] | None:
    spaces = b" \t\n\r\v\f"
    text = text.split(b"\0")[0]
    if not text or text[:1] in (b" ", b"\t", b"\r", b"\v", b"\f"):
        return None
    if utf8:
        try:
            text.decode()
        except UnicodeDecodeError:
            return None
    quoted, at = False, 0
    while at < len(text):
        byte = text[at : at + 1]
        if byte == b"\\":
            at += 1
        elif byte in spaces and not quoted:
            break
        elif byte == b'"':
            quoted = not quoted
        at += 1
    key, value = text[:at], text[at:].strip(spaces)
    return None if quoted or not key or not value else (key, value)
