# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An /etc of one's own for a few processes, so that examples run as they stand in the README."""

from __future__ import annotations

import typing as t
from pathlib import Path

_SCRIPT = (
    'mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/etc,workdir=$1/work" /etc'
    ' && shift && exec "$@"'
)


def with_own_etc(directory: Path, command: t.Sequence[str]) -> list[str]:
    """``command``, to be run (as root) so that what it and its children write to /etc is not there.

    It is in the folder ``etc`` below ``directory`` instead, which may hold files for them to find;
    all else in /etc they see as it is. ``directory`` must not be on an overlay itself.
    """
    for name in ("etc", "work"):
        (directory / name).mkdir(exist_ok=True)
    shell = ["sh", "-c", _SCRIPT, "with-own-etc", str(directory)]
    return ["unshare", "--mount", "--propagation", "private", *shell, *command]
