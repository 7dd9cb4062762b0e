# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What is around a run's changes: nothing interrupts them, others may be at work, clean-up only warns."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import typing as t

from ._safe_path import SecretFileError

if t.TYPE_CHECKING:
    from ._safe_path import Places

__all__ = ["ATTEMPTS", "LeftActiveError", "defer_interrupts", "explain", "warn_of_failed_clean_up"]

#: How often a run plans because somebody else has changed a file meanwhile.
ATTEMPTS = 5


class LeftActiveError(SecretFileError):
    """What has failed could not be undone: all is as after a killed run, and the next one goes on."""


@contextlib.contextmanager
def defer_interrupts() -> t.Iterator[None]:
    """Put off Ctrl-C until the body has ended: what has begun is finished, or undone, as a whole."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


@contextlib.contextmanager
def warn_of_failed_clean_up(
    places: Places,
    problem: str,
    errors: tuple[type[Exception], ...] = (OSError, SecretFileError),
) -> t.Iterator[None]:
    """Do in the body what comes after the work. One of the `errors` there is something to warn of."""
    try:
        yield
    except errors as exc:
        places.warn(f"{problem}: {explain(exc)}. The next run will do it")


def explain(exc: Exception) -> str:
    """Why something failed, without the path, which the caller's message has."""
    return os.strerror(exc.errno or errno.EIO) if isinstance(exc, OSError) else str(exc)
