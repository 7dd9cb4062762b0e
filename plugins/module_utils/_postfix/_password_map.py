# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The source file of a Postfix password map, bytes in and bytes out: no I/O, no Ansible."""

from __future__ import annotations

import re
import typing as t
from bisect import bisect_right
from dataclasses import dataclass

from .._ses._redaction import redact
from ._login_keys import find_bare_host
from ._map_entry import (
    PasswordMapError,
    RequestedEntry,
    RequestedLine,
    decode,
    fold,
    refuse_unstorable,
    show_entry,
    show_key,
)

__all__ = ["Edit", "PasswordMap", "edit", "read_map", "replace_source"]

# A logical line begins with anything but white space and "#": postmap(5) continues it with lines
# that begin with white space, and skips blank and comment lines even between the two.
_LOGICAL_LINE = re.compile(rb"^[^\s#][^\n]*\n?", re.MULTILINE)
# The same lines. The group holds the key of a line that is certainly an entry; it is empty for the
# odd ones (quotes, backslashes, no value), which _split() reads. That the regular expression engine
# goes over the file, and no loop, keeps 100,000 entries within the time that postmap itself takes;
# it finds a character in a set sooner than by its category, so \s is spelled out.
_SPACE = rb" \t\n\r\f\v"
_CERTAIN_KEY = re.compile(
    rb'^(?:([^%b#"\\][^%b"\\]*)[ \t]+(?=\S)|[^\s#])[^\n]*\n?' % (_SPACE, _SPACE), re.MULTILINE
)
_KEY = re.compile(rb'(?:[^\s"\\]|\\.|"(?:[^"\\]|\\.)*")*\\?', re.DOTALL)
_NEEDS_CARE = re.compile(rb"[\x00\x80-\xff]")
_PHYSICAL_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
# In a map without logins, a key is as harmless as that of any login.
_ANY_LOGIN = b"u:p"


@dataclass(frozen=True)
class PasswordMap:
    """A map's source and where its entries are.

    `starts` has the offset of every logical line, `keys` the folded key of each (empty where
    Postfix skips the line), `first` the number of the logical line that wins for each key.
    `secret` says that its values are logins, which a diff must not show.
    """

    source: bytes
    utf8: bool
    starts: list[int]
    keys: list[bytes]
    first: dict[bytes, int]
    secret: bool = True

    def get_lines(self, number: int) -> bytes:
        """The logical line with this number, with the comments inside and after it."""
        following = number + 1
        end = self.starts[following] if following < len(self.starts) else len(self.source)
        return self.source[self.starts[number] : end]

    def parse_entry(self, number: int) -> tuple[bytes, bytes]:
        """Key (as spelled) and value of an entry."""
        split = _split(_join(self.get_lines(number)), self.utf8)
        if split is None:
            raise ValueError(f"logical line {number} is not an entry")
        return split

    def show_entry(self, key: bytes, value: bytes, password: str = "PASSWORD") -> str:
        """An entry for a diff, with a fixed word for the password where there is one."""
        if self.secret:
            return show_entry(key, value, password)
        return f"{show_key(key, _ANY_LOGIN)} {redact(decode(value))}"

    def show_key(self, key: bytes, value: bytes) -> str:
        """The key of an entry for a result or a message, redacted."""
        return show_key(key, value if self.secret else _ANY_LOGIN)

    def find_line_number(self, number: int) -> int:
        """The physical line, counted from 1, at which a logical line begins."""
        return self.source.count(b"\n", 0, self.starts[number]) + 1

    def find_repeated(self) -> dict[bytes, list[int]]:
        """The keys that occur more than once, with all their logical lines."""
        occurrences: dict[bytes, list[int]] = {}
        if len(self.keys) - self.keys.count(b"") == len(self.first):
            return occurrences
        for number, key in enumerate(self.keys):
            if key and (key in occurrences or self.first[key] != number):
                occurrences.setdefault(key, [self.first[key]]).append(number)
        return occurrences

    def list_entries(self) -> set[bytes]:
        """What `postmap -s` says of a table that was made from this source: key, tab, value."""
        return {key + b"\t" + self.parse_entry(number)[1] for key, number in self.first.items()}


@dataclass(frozen=True)
class Edit:
    """What changes in the source.

    `gone` has the removed keys as they were spelled, `entries_removed` the same redacted; `before` and
    `after` are the entries for a diff and hold no password. `changes_comments` says that more than entries changes.
    """

    source: bytes
    entries_added: tuple[str, ...]
    entries_changed: tuple[str, ...]
    entries_removed: tuple[str, ...]
    gone: tuple[bytes, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    changes_comments: bool = False

    @property
    def changes_source(self) -> bool:
        return bool(
            self.entries_added
            or self.entries_changed
            or self.entries_removed
            or self.changes_comments
        )


def read_map(source: bytes, utf8: bool = True, secret: bool = True) -> PasswordMap:
    """Find the entries of a source file, as postmap(5) has them.

    `utf8` says whether Postfix runs with `smtputf8_enable`; it then skips lines that are not
    UTF-8. Never fails: what Postfix skips is not an entry, and stays.
    """
    starts = [match.start() for match in _LOGICAL_LINE.finditer(source)]
    keys: list[bytes] = _CERTAIN_KEY.findall(source.lower())
    odd = {number for number, key in enumerate(keys) if not key} if b"" in keys else set()
    if b"\0" in source or not source.isascii():
        # Null bytes end a line for Postfix, other encodings decide whether it is read at all.
        odd.update(bisect_right(starts, m.start()) - 1 for m in _NEEDS_CARE.finditer(source))
        odd.discard(-1)
    ends = [*starts[1:], len(source)]
    for number in odd:
        split = _split(_join(source[starts[number] : ends[number]]), utf8)
        keys[number] = fold(split[0], utf8) if split else b""
    # The first of equal keys wins, so it is the last one to enter the dictionary.
    first = dict(zip(reversed(keys), range(len(keys) - 1, -1, -1)))
    first.pop(b"", None)
    return PasswordMap(source, utf8, starts, keys, first, secret)


def edit(
    current: PasswordMap, requested: t.Sequence[RequestedEntry], exclusive: bool = False
) -> Edit:
    """Work out the source that has what is requested, and every other byte as it was.

    With `exclusive`, entries that are not requested go; comments stay. An entry whose value is
    right keeps its spelling, a changed one keeps its place, a new one goes to the end.
    Raises PasswordMapError for what can't be stored, for keys that occur twice, and for entries
    that Postfix would find before the requested one.
    """
    by_key = _check_requested(requested, current.utf8)
    repeated = current.find_repeated()
    if not exclusive:
        _refuse_repeated(current, repeated, by_key)
    _refuse_shadowed(current, by_key, exclusive)

    replaced: dict[int, bytes] = {}
    added: list[RequestedEntry] = []
    changed: list[str] = []
    gone: list[bytes] = []
    removed: list[str] = []
    before: list[str] = []
    after: list[str] = []

    for folded, entry in by_key.items():
        number = current.first.get(folded)
        if number is None:
            if entry.present:
                added.append(entry)
            continue
        for again in repeated.get(folded, [number])[1:]:
            before.append(current.show_entry(*current.parse_entry(again)))
            replaced[again] = _comments(current.get_lines(again))
        spelled, value = current.parse_entry(number)
        if not entry.present:
            before.append(current.show_entry(spelled, value))
            gone.append(spelled)
            removed.append(current.show_key(spelled, value))
            replaced[number] = _comments(current.get_lines(number))
        elif value != entry.value:
            before.append(current.show_entry(spelled, value))
            after.append(current.show_entry(spelled, entry.value, "NEW_PASSWORD"))
            changed.append(entry.shown_key)
            replaced[number] = _rewrite(current.get_lines(number), spelled, entry.value)
        elif folded in repeated:
            before.append(current.show_entry(spelled, value))
            after.append(current.show_entry(spelled, value))
            changed.append(entry.shown_key)
    if exclusive:
        for number, folded in enumerate(current.keys):
            if folded and folded not in by_key:
                spelled, value = current.parse_entry(number)
                before.append(current.show_entry(spelled, value))
                if current.first[folded] == number:
                    gone.append(spelled)
                    removed.append(current.show_key(spelled, value))
                replaced[number] = _comments(current.get_lines(number))
    after += [
        current.show_entry(entry.key.encode(), entry.value, "NEW_PASSWORD") for entry in added
    ]

    return Edit(
        source=_render(current, replaced, added),
        entries_added=tuple(entry.shown_key for entry in added),
        entries_changed=tuple(changed),
        entries_removed=tuple(removed),
        gone=tuple(gone),
        before=tuple(before),
        after=tuple(after),
    )


def replace_source(current: PasswordMap, source: bytes) -> Edit:
    """Work out what changes if `source` takes the place of the current one, byte for byte."""
    coming = read_map(source, current.utf8)
    old, new = (
        {found.keys[number]: found.parse_entry(number) for number in sorted(found.first.values())}
        for found in (current, coming)
    )
    differing = [
        key for key in [*old, *(k for k in new if k not in old)] if old.get(key) != new.get(key)
    ]
    return Edit(
        source=source,
        entries_added=tuple(current.show_key(*new[key]) for key in differing if key not in old),
        entries_changed=tuple(
            current.show_key(*new[key]) for key in differing if key in old and key in new
        ),
        entries_removed=tuple(current.show_key(*old[key]) for key in differing if key not in new),
        gone=tuple(old[key][0] for key in differing if key not in new),
        before=tuple(current.show_entry(*old[key]) for key in differing if key in old),
        after=tuple(
            current.show_entry(*new[key], "OLD_PASSWORD") for key in differing if key in new
        ),
        changes_comments=source != current.source,
    )


def _check_requested(
    requested: t.Sequence[RequestedEntry], utf8: bool
) -> dict[bytes, RequestedEntry]:
    """What is requested, by folded key, checked one by one and against each other."""
    by_key: dict[bytes, RequestedEntry] = {}
    for entry in requested:
        refuse_unstorable(entry)
        other = by_key.setdefault(fold(entry.key.encode(), utf8), entry)
        if (other.present, other.value) != (entry.present, entry.value):
            raise PasswordMapError(
                f"{other.requested_by} and {entry.requested_by} ask for different things under the same"
                f" key {entry.shown_key!r} (Postfix does not distinguish upper and lower case)"
            )
    for entry in _list_logins(by_key):
        bare = by_key.get(find_bare_host(entry.key, utf8) or b"")
        if bare and bare.present and entry.present and bare.value != entry.value:
            raise PasswordMapError(
                f"{bare.requested_by}: the key {bare.shown_key!r} would shadow {entry.shown_key!r}, which"
                f" {entry.requested_by} asks for with other credentials: Postfix looks up the bare"
                " host name first. Ask for one of the two"
            )
    return by_key


def _list_logins(by_key: t.Mapping[bytes, RequestedEntry]) -> list[RequestedEntry]:
    """Those of the task: what comes back as a whole line was like that before."""
    return [entry for entry in by_key.values() if not isinstance(entry, RequestedLine)]


def _refuse_repeated(
    current: PasswordMap,
    repeated: t.Mapping[bytes, list[int]],
    by_key: t.Mapping[bytes, RequestedEntry],
) -> None:
    for folded, numbers in repeated.items():
        if folded not in by_key:
            key = current.show_key(*current.parse_entry(numbers[0]))
            lines = [str(current.find_line_number(number)) for number in numbers]
            raise PasswordMapError(
                f"the key {key!r} occurs more than once in the map, in lines"
                f" {', '.join(lines[:-1])} and {lines[-1]}; Postfix uses the first and ignores"
                " the rest. Remove what is not meant, or ask for this key too, so that it"
                " becomes one entry"
            )


def _refuse_shadowed(
    current: PasswordMap, by_key: t.Mapping[bytes, RequestedEntry], exclusive: bool
) -> None:
    for entry in _list_logins(by_key):
        bare = find_bare_host(entry.key, current.utf8) if entry.present else None
        if bare in current.first and bare not in by_key and not exclusive:
            number = current.first[bare]
            raise PasswordMapError(
                f"the entry {current.show_key(*current.parse_entry(number))!r} in line"
                f" {current.find_line_number(number)} of the map shadows {entry.shown_key!r}: Postfix looks"
                " up the bare host name of the server first, so the requested credentials would"
                " never be used. Give both keys these credentials in one task (entries), so that mail"
                " always finds a login; or use mailops.ses.postfix_relay, which does so, or"
                " exclusive=true"
            )


def _join(lines: bytes) -> bytes:
    """The text of a logical line as Postfix sees it: comments and line ends dropped."""
    if lines.count(b"\n") <= 1 and lines[-1:] == b"\n":
        return lines[:-1].partition(b"\0")[0]
    text = b"".join(line for line in lines.split(b"\n") if not _is_comment(line))
    return text.partition(b"\0")[0]


def _is_comment(line: bytes) -> bool:
    return line.lstrip()[:1] in (b"", b"#")


def _split(text: bytes, utf8: bool) -> tuple[bytes, bytes] | None:
    """Key and value of a logical line; None if Postfix skips it."""
    if utf8 and not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return None
    match = _KEY.match(text)
    key = match.group() if match else b""
    rest = text[len(key) :]
    value = rest.strip()
    if rest[:1] == b'"' or not key or not value:
        return None
    return key, value


def _comments(lines: bytes) -> bytes:
    """What stays when an entry goes: the comment and blank lines inside and after it."""
    return b"".join(line for line in _PHYSICAL_LINE.findall(lines) if _is_comment(line))


def _rewrite(lines: bytes, key: bytes, value: bytes) -> bytes:
    """A logical line with another value on its first line; comments inside it stay."""
    first, line_end, rest = lines.partition(b"\n")
    if first.endswith(b"\r"):
        line_end = b"\r" + line_end
    gap = b" "
    if first.startswith(key) and first[len(key) :].strip():
        after_key = first[len(key) :]
        gap = after_key[: len(after_key) - len(after_key.lstrip())]
    return key + gap + value + line_end + _comments(rest)


def _render(
    current: PasswordMap, replaced: dict[int, bytes], added: t.Sequence[RequestedEntry]
) -> bytes:
    source = current.source
    # What stays is copied once, into the result.
    kept = memoryview(source)
    pieces: list[bytes | memoryview] = []
    done = 0
    for number in sorted(replaced):
        start = current.starts[number]
        pieces += [kept[done:start], replaced[number]]
        done = start + len(current.get_lines(number))
    pieces.append(kept[done:])
    if added:
        first_line, newline, _rest = source.partition(b"\n")
        line_end = b"\r\n" if newline and first_line.endswith(b"\r") else b"\n"
        last = next((bytes(piece[-1:]) for piece in reversed(pieces) if piece), b"\n")
        if last != b"\n":
            pieces.append(b"\n" if last == b"\r" else line_end)
        pieces += [entry.key.encode() + b" " + entry.value + line_end for entry in added]
    return b"".join(pieces)
