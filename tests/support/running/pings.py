# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs tasks of ses_smtp_ping with a real ansible-playbook."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import yaml
from ansible.release import __version__ as ansible_version

from ...tooling.interpreters import as_tuple, interpreter
from ..example_key import ACCESS_KEY, SECRET_KEY
from .ansible_cli import AnsibleCli
from .vaulted import vaulted

REGION = "eu-west-1"
#: The oldest Python that the modules support, where this ansible-core still supports it.
OLDEST = (
    interpreter("3.7") if as_tuple(".".join(ansible_version.split(".")[:2])) < (2, 18) else None
)
PYTHONS = sorted({sys.executable, *filter(None, [OLDEST])})


def write_vault(cli: AnsibleCli) -> None:
    """Give a folder the example key in a vault, and results that a program can read."""
    cli.environment["ANSIBLE_STDOUT_CALLBACK"] = "json_lines"
    password = cli.write("vault-password", "for a test\n").read_text()
    login = {"key_id": ACCESS_KEY, "secret": SECRET_KEY}
    cli.write("vaulted.yml", vaulted(yaml.safe_dump(login), password))


class Pings:
    """Runs tasks of ses_smtp_ping in one playbook; the folder of ``cli`` has the vault."""

    def __init__(self, cli: AnsibleCli, ca_file: Path) -> None:
        self._cli = cli
        self._defaults = {
            "access_key": "{{ key_id }}",
            "secret_key": "{{ secret }}",
            "region": REGION,
            "endpoint": "localhost",
            "ca_file": str(ca_file),
            "timeout": 60,
        }

    def run(
        self,
        *tasks: dict[str, t.Any],
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        python: str = sys.executable,
    ) -> tuple[list[dict[str, t.Any]], str]:
        """The results of the tasks, which have their options besides the defaults; the output."""
        done = self.play(*tasks, arguments=arguments, environment=environment, python=python)
        assert done.returncode == 0, done.stdout
        lines = [line for line in done.stdout.splitlines() if line.startswith('{"event"')]
        results = [json.loads(line) for line in lines]
        assert [row["task"] for row in results] == [f"Task {n}" for n in range(len(tasks))]
        # Callbacks of some ansible-cores don't get it in the result.
        results = [{**row["result"], "failed": row["event"] == "failed"} for row in results]
        return results, done.stdout

    def play(
        self,
        *tasks: dict[str, t.Any],
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        python: str = sys.executable,
    ) -> subprocess.CompletedProcess[str]:
        """Run the tasks, whatever comes of it."""
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": ["vaulted.yml"],
            "vars": {"ansible_python_interpreter": python},
            "tasks": [
                {
                    "name": f"Task {number}",
                    "mailops.ses.ses_smtp_ping": {
                        name: value
                        for name, value in {**self._defaults, **options}.items()
                        if value is not None
                    },
                    "ignore_errors": True,
                }
                for number, options in enumerate(tasks)
            ],
        }
        (self._cli.folder / "playbook.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
        return self._cli.run(
            "ansible-playbook",
            "--vault-password-file=vault-password",
            *arguments,
            "playbook.yml",
            environment=environment,
        )
