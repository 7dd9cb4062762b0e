# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Postfix's real programs, for code that runs them as an AnsibleModule does."""

from __future__ import annotations

import subprocess
import typing as t

from .scratch_postfix import program

__all__ = ["RealPrograms"]

_SECONDS = 60.0


class RealPrograms:
    """What a module gives to code that runs programs. ``calls`` counts them."""

    def __init__(self) -> None:
        self.calls = 0

    def get_bin_path(self, arg: str) -> str | None:
        """Where a program is."""
        return arg if arg.startswith("/") else program(arg)

    def run_command(self, args: list[str], **kwargs: t.Any) -> tuple[int, bytes, bytes]:
        """Run a program; returns its exit status, output and errors."""
        self.calls += 1
        done = subprocess.run(
            args,
            input=kwargs.get("data", b""),
            capture_output=True,
            check=False,
            timeout=_SECONDS,
            pass_fds=kwargs.get("pass_fds", ()),
        )
        return done.returncode, done.stdout, done.stderr
