# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What check mode does with Postfix's programs: the same as a run, where it changes nothing.

In a directory of its own, and without a password: Postfix makes tables with any.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import typing as t
from dataclasses import replace

from .._files._safe_path import Directory
from .._files._safe_walk import Places
from .._files._secret_file import Staging
from ._map_entry import Wanted, WantedLine

if t.TYPE_CHECKING:
    from ._programs import (
        Postfix,
        TableType,
    )

__all__ = ["private_directory", "rehearse_map"]

_PLACEHOLDER = "PASSWORD"


@contextlib.contextmanager
def private_directory(parent: str) -> t.Iterator[Directory]:
    """A directory for this user alone in `parent`, the module's temporary directory."""
    path = tempfile.mkdtemp(dir=parent)
    # Whoever may rename it: all that happens in it goes through its descriptor.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield Directory(descriptor, path, Places())
    finally:
        shutil.rmtree(path, ignore_errors=True)


def rehearse_map(
    postfix: Postfix, directory: Directory, table_type: TableType, wanted: t.Iterable[Wanted]
) -> None:
    """Make a table with the entries of a task. Raises PostfixError as a run would."""
    entries = [
        entry if isinstance(entry, WantedLine) else replace(entry, password=_PLACEHOLDER)
        for entry in wanted
        if entry.present
    ]
    expected = {entry.key.encode(): entry.value for entry in entries}
    staging = Staging(directory.file("map"))
    staging.create()
    try:
        path = staging.write(b"".join(b"%s %s\n" % pair for pair in expected.items()))
        if table_type.suffix:
            postfix.compile(table_type, path)
        postfix.verify(table_type, path, t.cast("t.Mapping[bytes, bytes | None]", expected))
    finally:
        staging.remove()
