# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An /etc of one's own for a few processes, so that examples run as they stand in the README."""

from __future__ import annotations

import os
import shutil
import typing as t
from pathlib import Path

from ..postfix.scratch_postfix import MASTER_CF
from .hosts_file import write_hosts

#: What Postfix's package has below /etc/postfix besides settings: its own programs and the list of
#: its table types.
_OF_THE_PACKAGE = (
    "dynamicmaps.cf",
    "dynamicmaps.cf.d",
    "makedefs.out",
    "post-install",
    "postfix-files",
    "postfix-files.d",
    "postfix-script",
)
# Postfix's own defaults, and no process of the machine's Postfix: a reload signals the master(8)
# whose process id is in the queue directory.
_MAIN_CF = """\
compatibility_level = 2
queue_directory = {directory}/queue
data_directory = {directory}/data
myhostname = sandbox.example.com
mydestination =
inet_interfaces = loopback-only
alias_maps =
alias_database =
"""
_SCRIPT = (
    'mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/etc,workdir=$1/work" /etc'
    ' && shift && exec "$@"'
)


def over_etc(directory: Path, command: t.Sequence[str]) -> list[str]:
    """``command``, to be run (as root) with the folder ``etc`` below ``directory`` put over /etc.

    What the command and its children write to /etc is written to that folder.  ``directory`` must
    not be on an overlay itself.
    """
    for name in ("etc", "work"):
        (directory / name).mkdir(exist_ok=True)
    shell = ["sh", "-c", _SCRIPT, "over-etc", str(directory)]
    return ["unshare", "--mount", "--propagation", "private", *shell, *command]


def with_own_etc(directory: Path, command: t.Sequence[str]) -> list[str]:
    """As ``over_etc``, with a Postfix that nobody has configured yet.

    The command sees no setting of the machine's Postfix, none of its processes and instances, and
    none of the machine's host names and aliases.
    """
    etc = directory / "etc"
    if not (etc / "postfix").exists():
        _make_postfix(directory)
    if not (etc / "hosts").exists():
        write_hosts(etc / "hosts", {})
    return over_etc(directory, command)


def _make_postfix(directory: Path) -> None:
    """Make the configuration directory, and the other files that Debian's Postfix reads."""
    folder = directory / "etc" / "postfix"
    folder.mkdir(parents=True)
    # Opaque: the overlay shows nothing of the machine's directory of this name.
    os.setxattr(folder, "trusted.overlay.opaque", b"y")
    for name in _OF_THE_PACKAGE:
        source = Path("/etc/postfix", name)
        if source.is_dir():
            shutil.copytree(source, folder / name)
        elif source.exists():
            shutil.copy2(source, folder / name)
    for name in ("queue", "data"):
        (directory / name).mkdir()
    (folder / "main.cf").write_text(_MAIN_CF.format(directory=directory), encoding="utf-8")
    os.utime(folder / "main.cf", (0, 0))  # Postfix waits for a file that has just been written
    (folder / "master.cf").write_text(MASTER_CF.format(address="127.0.0.1", port=25), "utf-8")
    (directory / "etc" / "aliases").write_text("postmaster: root\n", encoding="ascii")
    (directory / "etc" / "mailname").write_text("sandbox.example.com\n", encoding="ascii")
