# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""A stopped Postfix runs for its proof, and is stopped again before anything is rolled back."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ._instance import last_words
from ._settings import RelayError

if t.TYPE_CHECKING:
    from ._instance import Instance

__all__ = ["run_for_proof", "takes_an_instance"]

# On Debian this is part of each start: it copies what daemons in a chroot need. Up to Debian 12 the
# service calls it, with an instance's directory in /etc, and "-" for the usual one. From Debian 13 on
# Postfix's own script calls it, without an argument.
_CONFIGURE = "/usr/lib/postfix/configure-instance.sh"
_USUAL = "/etc/postfix"
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.2


@contextlib.contextmanager
def run_for_proof(
    instance: Instance, is_wanted: bool, sleep: t.Callable[[float], None] = time.sleep
) -> t.Iterator[bool]:
    """Have the instance run until the end of the block, if that is wanted and it is stopped.

    The block is told whether it was. Raises RelayError with Postfix's reason if it can't be started.
    One that can't be stopped is a warning.
    """
    if not is_wanted or instance.is_running():
        yield False
        return
    try:
        _start(instance)
        yield True
    finally:
        _stop(instance, sleep)


def takes_an_instance(script: str) -> bool:
    """Whether Debian's script with this path is there, and is told which instance starts."""
    try:
        with open(script, "rb") as file:
            return b"INSTANCE=" in file.read()
    except FileNotFoundError:
        return False


def _start(instance: Instance) -> None:
    """Start this instance alone, as its service would."""
    postfix = instance.postfix.at(instance.directory)
    folder, name = os.path.split(instance.directory)
    if folder == "/etc" and takes_an_instance(_CONFIGURE):
        argument = "-" if instance.directory == _USUAL else name
        code, _out, err = instance.postfix.run_helper(_CONFIGURE, argument)
        if code:
            raise RelayError(f"Postfix can't be started for its proof: {last_words(code, err)}")
    code, _out, err = postfix.run("postfix", "start")
    if code or not instance.is_running():
        raise RelayError(
            f"Postfix can't be started for its proof: {last_words(code, err)}. Look at its log"
        )


def _stop(instance: Instance, sleep: t.Callable[[float], None]) -> None:
    postfix = instance.postfix.at(instance.directory)
    code, _out, err = postfix.run("postfix", "stop")
    deadline = time.monotonic() + _STOP_SECONDS
    while instance.is_running():
        if time.monotonic() > deadline:
            instance.places.warn(
                f"Postfix was started for its proof, and can't be stopped: {last_words(code, err)}"
            )
            return
        sleep(_POLL_SECONDS)
