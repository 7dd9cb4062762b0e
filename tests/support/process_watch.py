# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ps(1) could show of the processes of a test while it runs."""

from __future__ import annotations

import threading
from pathlib import Path


class ProcessWatch(threading.Thread):
    """Reads arguments and environments of all processes that have ``mark`` in their environment.

    Over and over, as long as a ``with`` block runs; ``seen`` has them all.
    """

    def __init__(self, mark: str) -> None:
        super().__init__(name="process watch", daemon=True)
        self._mark = mark.encode()
        self._over = threading.Event()
        self.seen: set[str] = set()

    def __enter__(self) -> ProcessWatch:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    environment = (process / "environ").read_bytes()
                    arguments = (process / "cmdline").read_bytes()
                except OSError:
                    continue  # it has ended meanwhile
                if self._mark in environment:
                    shown = arguments + b"\n" + environment
                    self.seen.add(shown.replace(b"\0", b" ").decode(errors="replace"))
