# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""A directory for this user alone, in which check mode tries out what a run would make."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import typing as t

from ._safe_path import Directory
from ._safe_walk import Places

__all__ = ["make_private_directory"]


@contextlib.contextmanager
def make_private_directory(parent: str) -> t.Iterator[Directory]:
    """Make one in `parent`, the module's temporary directory, for the body."""
    path = tempfile.mkdtemp(dir=parent)
    # Whoever may rename it: all that happens in it goes through its descriptor.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield Directory(descriptor, path, Places())
    finally:
        shutil.rmtree(path, ignore_errors=True)
