# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that may run for a limited time, and write a limited output."""

from __future__ import annotations

import subprocess
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix


class Shell:
    """The shell in place of a program of Postfix."""

    def get_bin_path(self, arg: str) -> str | None:
        return f"/bin/{arg}"

    def run_command(self, args: list[str], **_kwargs: t.Any) -> tuple[int, bytes, bytes]:
        done = subprocess.run(args, capture_output=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr


#: a program, for 1 second at most -> its first 40 bytes, and whether that is all it had to say
BOUNDED: dict[str, tuple[bytes, bool]] = {
    "echo one": (b"one\n", True),
    "true": (b"", True),
    "echo one; exit 1": (b"one\n", False),
    "while :; do echo one; done": (b"one\n" * 10, False),
    "echo one; exec sleep 50": (b"one\n", False),
}


@pytest.mark.parametrize("script", BOUNDED)
def test_a_program_with_bounds(script: str) -> None:
    assert Postfix(Shell()).run_bounded(40, 1, "sh", "-c", script) == BOUNDED[script]
