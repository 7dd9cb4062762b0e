# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a killed run leaves of a folder, as a text that is the same where the next run finds the same.

Many kills leave the same, for only some system calls change anything. What comes after them need
be tried once.
"""

from __future__ import annotations

import collections
import hashlib
import os
import re
import stat
import typing as t
from pathlib import Path

#: The names of staged files are random, and mean nothing to the next run, which removes them.
_RANDOM = re.compile(rb"(?<![0-9a-f])(?:[0-9a-f]{16}|[0-9a-f]{32})(?![0-9a-f])")
_SUFFIXES = (".db", ".cdb", ".lmdb")
#: Berkeley DB gives each file a number of its own, which it has here and elsewhere (db_page.h).
_MAGIC = {magic.to_bytes(4, "little") for magic in (0x061561, 0x053162)}
_MAGIC_PLACE = slice(12, 16)
_OWN_NUMBER = slice(52, 72)


def left_behind(folder: Path, aliases: t.Mapping[str, str]) -> tuple[str, ...]:
    """A line for each entry: all about it that a later run can see.

    Of times, only whether a table is older than its source, as nothing else of them counts.
    ``aliases`` stand for what differs between two folders by itself, such as their paths.
    """
    plain = {source.encode(): target.encode() for source, target in aliases.items()}
    paths = sorted(folder.rglob("*"))
    contents = {path: _content(path) for path in paths}
    # A record may know a file by its digest, which would have the folder's own path in it.
    digests = {
        hashlib.sha256(content).hexdigest().encode(): hashlib.sha256(_alike(content, plain))
        .hexdigest()
        .encode()
        for content in contents.values()
    }
    lines = []
    for path in paths:
        status = path.lstat()
        about = (
            _alike(os.fsencode(path.relative_to(folder)), plain),
            stat.filemode(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_nlink if stat.S_ISREG(status.st_mode) else 0,
            [(name, os.getxattr(path, name, follow_symlinks=False)) for name in _attributes(path)],
            _is_older(path, status),
            hashlib.sha256(_alike(contents[path], {**plain, **digests})).hexdigest(),
        )
        lines.append(repr(about))
    return tuple(sorted(lines))


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return os.fsencode(os.readlink(path))
    if not path.is_file():
        return b""
    content = path.read_bytes()
    if content[_MAGIC_PLACE] in _MAGIC:
        content = content.replace(content[_OWN_NUMBER], b"")
    return content


def _alike(content: bytes, replaced: t.Mapping[bytes, bytes]) -> bytes:
    for source, target in replaced.items():
        content = content.replace(source, target)
    return _RANDOM.sub(b"RANDOM", content)


def _attributes(path: Path) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))


def _is_older(path: Path, status: os.stat_result) -> bool:
    """Whether it is a table, and older than its source."""
    source = path.with_suffix("")
    return (
        path.suffix in _SUFFIXES
        and source.exists()
        and status.st_mtime_ns < source.stat().st_mtime_ns
    )


class Seen:
    """What the trials of one scenario have looked at, by kind; all of them share one."""

    def __init__(self) -> None:
        self._by_kind: dict[str, set[t.Hashable]] = collections.defaultdict(set)

    def is_new(self, kind: str, item: t.Hashable) -> bool:
        """Whether none of them has looked at it; from now on one has."""
        known = self._by_kind[kind]
        if item in known:
            return False
        known.add(item)
        return True

    def count(self, kind: str) -> int:
        return len(self._by_kind[kind])
