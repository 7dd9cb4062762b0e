# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for what another process does in its own time, as a logger does."""

from __future__ import annotations

import time
import typing as t

SECONDS = 60.0


def comes_true(condition: t.Callable[[], bool]) -> bool:
    """Whether ``condition`` is true now or soon: a busy machine may need a while."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
