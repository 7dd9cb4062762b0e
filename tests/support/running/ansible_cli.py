# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the ansible, ansible-playbook and ansible-vault that stand beside the running Python.

They find the collection from which this file comes, and none of the user's settings.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import typing as t
from pathlib import Path

#: The folder that holds ansible_collections/mailops/ses, of which this file is a part.
COLLECTIONS_PATH = Path(__file__).parents[6]
CALLBACK_PLUGINS = Path(__file__).with_name("callback_plugins")

#: Has a run tell all to every kind of callback: beside the screen, files in its folder ``logs``.
#: What json_file writes is in logs/events.json.
EVERY_CALLBACK = {
    "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.junit,ansible.builtin.tree,json_file",
    "ANSIBLE_CALLBACK_TREE_DIR": "logs/tree",
    "JSON_FILE": "logs/events.json",
    "JUNIT_OUTPUT_DIR": "logs",
}

_FOREIGN = ("ANSIBLE_", "AWS_", "COVERAGE_", "LANG", "LC_", "PYTHON")
_TIMEOUT = 600  # seconds; for what hangs, on a machine however busy


class AnsibleCli:
    """Ansible's programs, with ``folder`` as home and working directory.

    ``prefix`` is put before each command, as in ``["nsenter", ...]``.
    """

    def __init__(self, folder: Path, prefix: t.Sequence[str] = ()) -> None:
        self.folder = folder
        self._prefix = list(prefix)
        (folder / "home").mkdir(parents=True, exist_ok=True)
        (folder / "ansible.cfg").touch()
        (folder / "no-hosts").touch()
        self.environment = {
            **{name: v for name, v in os.environ.items() if not name.startswith(_FOREIGN)},
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACK_PLUGINS),
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS_PATH),
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_INVENTORY": str(folder / "no-hosts"),
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_REMOTE_TEMP": str(folder / "home" / "remote"),
            "HOME": str(folder / "home"),
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def write(self, name: str, text: str) -> Path:
        """Write the dedented ``text`` to the file ``name``, and return its path."""
        path = self.folder / name
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    def run(
        self,
        program: str,
        *arguments: str | Path,
        environment: t.Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = _TIMEOUT,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``program``; its standard error follows in its standard output, as on a screen.

        :raises subprocess.TimeoutExpired: if it takes longer than ``timeout`` seconds.
        """
        return subprocess.run(
            self._command(program, *arguments),
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(
        self, program: str, *arguments: str | Path, log: Path, session: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start ``program``, in a ``session`` of its own if so, and return; ``log`` gets its output."""
        with log.open("wb") as output:
            return subprocess.Popen(
                self._command(program, *arguments),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=session,
            )

    def _command(self, program: str, *arguments: str | Path) -> list[str]:
        path = str(Path(sys.executable).with_name(program))
        return [*self._prefix, path, *map(str, arguments)]

    def checked(self, program: str, *arguments: str | Path, **kwargs: t.Any) -> str:
        """Run ``program`` as run() does and return its output; fail if it does."""
        done = self.run(program, *arguments, **kwargs)
        assert done.returncode == 0, done.stdout
        return done.stdout


def squeezed(text: str) -> str:
    """Return ``text`` without white space: ansible-core wraps messages, each minor elsewhere."""
    return re.sub(r"\s+", "", text)
