# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The password maps of an instance, without their passwords, and who else may read their files."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
import typing as t
from dataclasses import replace

from .._files._secret_mode import (
    lets_others_in,
    list_trusted_ids,
)
from .._postfix._lookup_table import State
from .._postfix._map_entry import decode, show_key
from .._ses._redaction import redact_entry
from .._ses._secret_mistakes import has_iam_form
from .._ses._smtp_password import (
    SesSmtpError,
    check_access_key,
    find_password_version,
)
from ._facts import (
    Entry,
    MapFacts,
    OpenFile,
)

if t.TYPE_CHECKING:
    from .._postfix._lookup_table import Table
    from .._postfix._password_map import PasswordMap
    from .._ses._candidate_digests import Candidates

__all__ = ["open_file", "open_files", "read_map_facts"]

_TABLE_SUFFIXES = (".db", ".lmdb", ".cdb", ".pag", ".dir")
# Copies that ansible-core's modules, editors, package managers and people make.
_COPY = re.compile(
    r"~|[._-].*~|[._-](?:bak|backup|copy|old|orig|save|saved|[0-9]{6,8}"
    r"|rpm(?:new|orig|save)|dpkg-(?:bak|dist|new|old)|ucf-(?:dist|new|old))"
)


def read_map_facts(
    table: Table, candidates: Candidates, mail_owner: str, settings: t.Iterable[str] = ()
) -> MapFacts:
    """What is to be known about a password map, which these settings name."""
    source = table.source
    of_source = {} if source is None else dict(_entries(source))
    values = {folded: value for folded, (_line, value) in of_source.items()}
    return MapFacts(
        name=table.name,
        path=table.path,
        state=table.state,
        mode=_mode(table.path),
        table_path=table.table_path,
        type=table.type,
        is_source_missing=bool(table.path) and not os.path.lexists(table.path or ""),
        is_source_denied=table.is_source_denied,
        is_older=table.is_older,
        entries=tuple(_facts(table, of_source, candidates)),
        ignored_lines=_ignored_lines(source) if source else (),
        repeated=tuple(_list_repeated(source)) if source else (),
        is_closed_to_proxymap=table.is_proxied and _is_closed(table.table_path, mail_owner),
        differs=source is not None and values != table.values,
        is_complete=table.is_complete,
        is_inline=table.is_inline,
        settings=tuple(settings),
        are_entries_known=_are_entries_known(table),
    )


def _are_entries_known(table: Table) -> bool:
    """Whether every entry is known: those that Postfix finds, and those of the source."""
    if table.state is State.MISSING:
        return table.source is not None
    unread = table.source is None and os.path.lexists(table.path or "")
    return table.state is State.READ and not unread


def open_files(tables: t.Iterable[Table], mail_owner: str) -> t.Iterator[OpenFile]:
    """The files of password maps that others than root and Postfix's own user can read or write."""
    seen = set()
    for table in tables:
        if table.path is None:
            continue
        for path, what in _files(table.path):
            found = open_file(path, what, mail_owner)
            if found and path not in seen:
                seen.add(path)
                yield found


def open_file(path: str, what: str, mail_owner: str) -> OpenFile | None:
    """The file, if others can read or write what is in it."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return None
        real = os.path.realpath(path)
        users, groups = list_trusted_ids(mail_owner)
        is_open = lets_others_in(status.st_mode, status.st_gid, real, groups)
        if status.st_uid in users and not is_open:
            return None
    except OSError:
        return None
    link = f", by the link {path}" if os.path.islink(path) else ""
    owner = f"{_user(status.st_uid)}:{_group(status.st_gid)}"
    mode = stat.S_IMODE(status.st_mode)
    return OpenFile(real, what, f"mode {mode:04o}, owner {owner}{link}")


def _facts(
    table: Table, of_source: t.Mapping[bytes, tuple[int, bytes]], candidates: Candidates
) -> t.Iterator[Entry]:
    """The entries in the order of the source, then those that only the table has."""
    spelled = {}
    if table.source is not None:
        spelled = {
            folded: table.source.parse_entry(number)[0]
            for folded, number in table.source.first.items()
        }
    for folded in [*of_source, *sorted(key for key in table.values if key not in of_source)]:
        line, value = of_source.get(folded, (None, None))
        current = table.values.get(folded)
        key = spelled.get(folded, folded)
        of_table = Entry(table.name, table.path or "", folded, "")
        if current is not None:
            its_line = line if current == value else None
            yield _with_value(replace(of_table, line=its_line), key, current, candidates)
        if value is not None and value != current:
            outdated = replace(of_table, line=line, is_active=False)
            yield _with_value(outdated, key, value, candidates)


def _with_value(entry: Entry, key: bytes, value: bytes, candidates: Candidates) -> Entry:
    name, colon, password = value.partition(b":")
    shown = redact_entry(decode(key), decode(value))
    problem = None
    try:
        check_access_key(decode(name))
    except SesSmtpError as exc:
        problem = str(exc).replace("access_key ", "the user name ", 1)
    return replace(
        entry,
        key=shown.key,
        username=shown.username,
        username_problem=problem,
        login=hash(value),
        version=find_password_version(decode(password)),
        is_raw_secret=has_iam_form(decode(password)),
        match=candidates.find(password) if colon else None,
    )


def _entries(source: PasswordMap) -> t.Iterator[tuple[bytes, tuple[int, bytes]]]:
    """The line and the value of each entry that counts, by its folded key, in order."""
    lines = _line_numbers(source)
    for folded, number in sorted(source.first.items(), key=lambda item: item[1]):
        yield folded, (lines[number], source.parse_entry(number)[1])


def _line_numbers(source: PasswordMap) -> list[int]:
    """The physical line of every logical one, in one go."""
    numbers = []
    line, done = 1, 0
    for start in source.starts:
        line += source.source.count(b"\n", done, start)
        done = start
        numbers.append(line)
    return numbers


def _ignored_lines(source: PasswordMap) -> tuple[int, ...]:
    lines = _line_numbers(source)
    return tuple(lines[number] for number, key in enumerate(source.keys) if not key)


def _list_repeated(source: PasswordMap) -> t.Iterator[tuple[str, int]]:
    lines = _line_numbers(source)
    for numbers in source.find_repeated().values():
        for number in numbers[1:]:
            yield show_key(*source.parse_entry(number)), lines[number]


def _mode(path: str | None) -> str | None:
    try:
        return f"{stat.S_IMODE(os.stat(path).st_mode):04o}" if path else None
    except OSError:
        return None


def _files(path: str) -> t.Iterator[tuple[str, str]]:
    """The source, tables of any type and copies of both, and what each is."""
    yield path, "source"
    for suffix in _TABLE_SUFFIXES:
        yield path + suffix, "compiled table"
    folder, name = os.path.split(path)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for each in names:
        rest = each[len(name) :] if each.startswith(name) else ""
        base = next((rest[: -len(end)] for end in _TABLE_SUFFIXES if rest.endswith(end)), rest)
        if _COPY.fullmatch(base) or each in (f".{name}.swp", f"#{name}#"):
            yield os.path.join(folder, each), "copy"


def _is_closed(path: str | None, mail_owner: str) -> bool:
    """Whether Postfix's own user may not read a file. What is not there is another finding."""
    try:
        owner = pwd.getpwnam(mail_owner)
        status = os.stat(path or "")
    except (KeyError, OSError):
        return False
    shift = 6 if status.st_uid == owner.pw_uid else 3 if status.st_gid == owner.pw_gid else 0
    return owner.pw_uid != 0 and not status.st_mode >> shift & 0o4


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
