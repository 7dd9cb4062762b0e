# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs ``postfix_relay`` and the role on a scratch Postfix, with a real ansible-playbook."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shlex
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ..isolation.hosts_file import with_hosts
from ..running.ansible_cli import AnsibleCli
from ..running.relay_results import report_lines

if t.TYPE_CHECKING:
    from ..ses.accounts import Account
    from .scratch_postfix import ScratchPostfix

RESULT = "The result: "
OF_HOST = {
    "ansible_connection": "local",
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
}


def destination(region: str, port: int = 587) -> str:
    """A region's server as Postfix has it."""
    return f"[email-smtp.{region}.amazonaws.com]:{port}"


@dataclass
class Ran:
    """What the module did: its result, and all files of the configuration after it, see files()."""

    result: dict[str, t.Any]
    files: str

    def __getitem__(self, name: str) -> t.Any:
        return self.result[name]


class RelayRunner:
    """Runs the module on a scratch Postfix, with its hosts file."""

    def __init__(self, folder: Path, postfix: ScratchPostfix, ca_file: Path) -> None:
        prefix = with_hosts(postfix.directory / "hosts", [])
        self._cli = AnsibleCli(folder, prefix)
        self._postfix = postfix
        self._ca_file = ca_file
        self._numbers = itertools.count()
        self.output = ""

    def run(self, *, key: Account | None = None, **arguments: t.Any) -> Ran:
        """Run it once. ``failed`` is for the test to look at."""
        (ran,) = self.run_all(self.task(key=key, **arguments))
        return ran

    def task(self, *, key: Account | None = None, **arguments: t.Any) -> dict[str, t.Any]:
        """A task that runs it."""
        asked = {"config_directory": str(self._postfix.config_directory), **arguments}
        if arguments.get("state") != "absent":
            asked.setdefault("ca_file", str(self._ca_file))
        if key:
            asked.update(access_key=key.access_key, secret_key=key.secret_key)
        return {
            "name": "Relay",
            "mailops.ses.postfix_relay": asked,
            "register": "found",
            "ignore_errors": True,
        }

    def pipe(self, command: str) -> dict[str, t.Any]:
        """A task that runs a command on the controller, in a tenth of the time of a module."""
        message = f"{{{{ lookup('ansible.builtin.pipe', {command!r}) }}}}"
        return {"ansible.builtin.debug": {"msg": message}, "register": "found"}

    def run_all(self, *to_run: dict[str, t.Any]) -> list[Ran]:
        """Run these tasks, one after the other in a single play: the start of one takes longest."""
        found = "{'result': found, 'files': lookup('ansible.builtin.pipe', list_files)}"
        # In this form no callback plugin changes it. A task that writes a file takes as long as the
        # module.
        tell = {
            "ansible.builtin.debug": {"msg": f"{RESULT}{{{{ {found} | to_json | b64encode }}}}"}
        }
        tasks = [each for task in to_run for each in (task, tell)]
        self._play({"list_files": shlex.join(list_files(self._postfix))}, tasks)
        encoded = re.findall(rf'"{RESULT}(\S+)"', self.output)
        assert len(encoded) == len(to_run), self.output
        return [Ran(**json.loads(base64.b64decode(each))) for each in encoded]

    def role(self, facts: t.Sequence[str], key: Account | None = None, **variables: t.Any) -> None:
        """Run the role, with these subsets of facts gathered."""
        options = {**self.task(key=key)["mailops.ses.postfix_relay"], **variables}
        gather = {"ansible.builtin.setup": {"gather_subset": ["!all", "!min", *facts]}}
        # As a login shell that prints something before each program.
        noisy = self._cli.write("noisy", '#!/bin/sh\necho noise\nexec /bin/sh "$@"\n')
        noisy.chmod(0o755)
        include = {"ansible.builtin.include_role": {"name": "mailops.ses.postfix_relay"}}
        prefixed = {f"postfix_relay_{name}": value for name, value in options.items()}
        self._play({**prefixed, "ansible_shell_executable": str(noisy)}, [gather, include])

    def audit(self, **variables: t.Any) -> str:
        """Run the playbook mailops.ses.audit on the instance; returns the report in one line."""
        host = {**OF_HOST, "postfix_relay_config_directory": str(self._postfix.config_directory)}
        inventory = self._cli.write("inventory.json", json.dumps({"all": {"hosts": {"mx1": host}}}))
        extra = ["-e", json.dumps(variables)]
        screen = self._cli.checked("ansible-playbook", "-i", inventory, *extra, "mailops.ses.audit")
        return " ".join(" ".join(report_lines(screen)).split())

    def _play(self, variables: dict[str, t.Any], tasks: list[dict[str, t.Any]]) -> None:
        all_variables = {**OF_HOST, **variables}
        play = {"hosts": "localhost", "gather_facts": False, "vars": all_variables, "tasks": tasks}
        playbook = self._cli.write(f"playbook-{next(self._numbers)}.yml", json.dumps([play]))
        self.output = self._cli.checked("ansible-playbook", playbook, "-vvvv", "--diff")


def list_files(postfix: ScratchPostfix) -> list[str]:
    """A command that lists all files of the configuration but for the locks.

    With inode and times: a file that was written or replaced has others.
    """
    files = ["!", "-type", "d", "!", "-name", "*.lock"]
    return ["find", str(postfix.config_directory), *files, "-printf", "%p %i %s %T@ %C@%%"]


def files(postfix: ScratchPostfix) -> str:
    """All files of the configuration, as list_files() has them."""
    return subprocess.run(list_files(postfix), check=True, capture_output=True, text=True).stdout


def contents(postfix: ScratchPostfix) -> dict[str, bytes]:
    """The contents of these files."""
    found = postfix.config_directory.rglob("*")
    return {
        str(path): path.read_bytes()
        for path in found
        if path.is_file() and not path.name.endswith(".lock")
    }
