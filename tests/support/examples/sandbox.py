# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A place where an example of the documentation runs as it stands, and touches nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    MAIL_MANAGER,
    PASSWORD_OF,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.isolation.own_etc import with_own_etc
from ansible_collections.mailops.ses.tests.support.running.vaulted import vaulted

PROGRAMS = Path(sys.executable).parent


_VAULT_PASSWORD = "for a test\n"
_VAULT = {
    "ses_access_key_id": ACCESS_KEY,
    "ses_secret_access_key": SECRET_KEY,
    "example_access_key_id": ACCESS_KEY,
    "example_secret_access_key": SECRET_KEY,
    "billing_smtp_username": ACCESS_KEY,
    "billing_smtp_password": PASSWORD_OF["eu-west-3"],
    "mail_manager_password": MAIL_MANAGER["password"],
}


class Sandbox:
    """A folder with a vault and an inventory, and Ansible's programs with an /etc of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.etc = directory / "etc"
        python = sys.executable
        (directory / "hosts").write_text(
            "".join(
                f"[{group}]\n{group}1 ansible_connection=local ansible_user=root"
                f" ansible_python_interpreter={python}\n"
                for group in ("mail", "app")
            )
        )
        (directory / "vault-password").write_text(_VAULT_PASSWORD)
        (directory / "vault.yml").write_text(vaulted(json.dumps(_VAULT), _VAULT_PASSWORD))
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(PROGRAMS), os.environ["PATH"], "/usr/sbin"]),
            "HOME": str(directory),
            "ANSIBLE_INVENTORY": str(directory / "hosts"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_VAULT_PASSWORD_FILE": str(directory / "vault-password"),
        }

    def run(self, command: str, status: int = 0) -> str:
        done = subprocess.run(
            with_own_etc(self.directory, ["sh", "-c", command]),
            cwd=self.directory,
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def play(self, text: str) -> str:
        (self.directory / "playbook.yml").write_text(text)
        return self.run("ansible-playbook playbook.yml")
