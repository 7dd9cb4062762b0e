# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many managed hosts on one machine, each with configurations of a Postfix that is not running.

Ansible needs no connection to them. To Postfix's programs each host has its own default instance,
because its Python is started with MAIL_CONFIG. A host may also be a liar, whose answer to every
module is a text that a test gives.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from .scratch_postfix import program

__all__ = ["ScratchHosts"]

_MAIN_CF = """\
compatibility_level = 2
data_directory = {folder}/data
queue_directory = {folder}/queue
smtp_sasl_auth_enable = yes
"""
_MASTER_CF = """\
smtp inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
local unix - n n - - local
"""
_PYTHON_OF_ALL = "/usr/bin/python3"


class ScratchHosts:
    """Hosts below ``folder``, which any user may enter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hosts: dict[str, dict[str, t.Any]] = {}

    def etc(self, name: str) -> Path:
        """The configuration directory of a host."""
        return self._folder / name / "etc"

    def add(
        self,
        name: str,
        main_cf: str = "",
        master_cf: str = "",
        maps: t.Mapping[str, str] | None = None,
        *,
        as_nobody: bool = False,
        **variables: t.Any,
    ) -> Path:
        """Add a host; returns its configuration directory, which ``{etc}`` stands for.

        ``maps`` has the sources of hash tables by their names.
        """
        etc = self.etc(name)
        self.configure(etc, main_cf, master_cf, maps)
        command = ["env", f"MAIL_CONFIG={etc}", _PYTHON_OF_ALL if as_nobody else sys.executable]
        if as_nobody:
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
        self._add(name, f'exec {shlex.join(command)} "$@"\n', variables)
        return etc

    def configure(
        self,
        etc: Path,
        main_cf: str = "",
        master_cf: str = "",
        maps: t.Mapping[str, str] | None = None,
    ) -> None:
        """Make a configuration directory."""
        etc.mkdir(parents=True, mode=0o755)
        main = f"{_MAIN_CF.format(folder=etc.parent)}{main_cf}".replace("{etc}", str(etc))
        for file, text in (("main.cf", main), ("master.cf", f"{_MASTER_CF}{master_cf}")):
            (etc / file).write_text(text.replace("{etc}", str(etc)), encoding="utf-8")
            then = time.time() - 10  # Postfix waits for a file that was changed just now
            os.utime(etc / file, (then, then))
        for file, source in (maps or {}).items():
            path = etc / file
            path.touch(mode=0o600)
            path.write_text(source, encoding="utf-8")
            command = [program("postmap"), "-c", str(etc), f"hash:{path}"]
            subprocess.run(command, check=True, capture_output=True)

    def add_liar(self, name: str, answer: str) -> None:
        """Add a host that gives this answer to every module."""
        file = self._folder / f"{name}.answer"
        file.write_text(answer, encoding="utf-8")
        self._add(name, f"exec cat {shlex.quote(str(file))}\n", {})

    def add_unreachable(self, name: str) -> None:
        """Add a host that Ansible can't connect to."""
        self._hosts[name] = {"ansible_host": "127.0.0.1", "ansible_port": 1}

    def write_inventory(self, path: Path, **groups: t.Sequence[str]) -> None:
        """Write an inventory with all hosts, and these groups of them."""
        children: dict[str, t.Any] = {
            group: {"hosts": {name: {} for name in names}} for group, names in groups.items()
        }
        path.write_text(json.dumps({"all": {"hosts": self._hosts, "children": children}}), "utf-8")

    def _add(self, name: str, script: str, variables: t.Mapping[str, t.Any]) -> None:
        python = self._folder / f"{name}.python"
        python.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
        python.chmod(0o755)
        self._hosts[name] = {
            "ansible_connection": "local",
            "ansible_python_interpreter": str(python),
            **variables,
        }
