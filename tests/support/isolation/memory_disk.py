# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file system in memory: fast whatever is synced to it, and as small or read-only as wanted."""

from __future__ import annotations

import contextlib
import subprocess
import typing as t
from pathlib import Path


@contextlib.contextmanager
def memory_disk(folder: Path, size: str = "64m") -> t.Iterator[Path]:
    """Mount a tmpfs of ``size`` (as mount(8) takes it) on ``folder``, for a ``with`` block.

    Needs root. What is in it is gone afterwards.
    """
    folder.mkdir(exist_ok=True)
    options = f"size={size},mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        # Lazily: a process that a test has killed may still be on its way out.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_read_only(folder: Path) -> None:
    """Make the file system that is mounted on ``folder`` read-only."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
