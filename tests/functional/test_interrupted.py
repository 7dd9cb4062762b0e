# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run over SSH that is interrupted in the middle leaves no password in a file, on either side.

Ansible has its default settings: no pipelining. Root is reached by sudo, with and without a
password, by su, and by logging in as root; one play has them all as its hosts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import typing as t

import pytest
import yaml
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, SECRET_KEY
from ansible_collections.mailops.ses.tests.support.hosts.host import Host
from ansible_collections.mailops.ses.tests.support.hosts.logins import LOGINS, provide_logins
from ansible_collections.mailops.ses.tests.support.hosts.network import ses_address
from ansible_collections.mailops.ses.tests.support.hosts.relay_hosts import RelayHosts
from ansible_collections.mailops.ses.tests.support.ses_accounts import Account, password_v4
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.every_minor]

REGION = "eu-west-1"
PASSWORD = password_v4(SECRET_KEY, REGION)
PING = {
    "access_key": ACCESS_KEY,
    "secret_key": f"{{{{ secrets['{ACCESS_KEY}'] }}}}",
    "region": REGION,
    "timeout": 600,
}
#: All places of a host where somebody but root could look.
WRITABLE = ("/home", "/root", "/tmp", "/var/tmp", "/run", "/dev/shm")


class Trial:
    """One host that can be logged in to in several ways."""

    def __init__(self, relays: RelayHosts) -> None:
        self.relays = relays
        self.host: Host = relays.hosts[0]
        self.controller = relays.network.ansible.folder

    @contextlib.contextmanager
    def hanging(self, **options: t.Any) -> t.Iterator[subprocess.Popen[bytes]]:
        """While inside, a play whose modules wait for SES, by all LOGINS; it ends by force."""
        ansible = self.relays.network.ansible
        content = [
            {
                "hosts": "all",
                "gather_facts": False,
                "vars_files": ["vault.yml"],
                "tasks": [{"mailops.ses.ses_smtp_ping": PING}],
                **options,
            }
        ]
        playbook = ansible.write("hanging.yml", yaml.safe_dump(content))
        log = self.controller / "hanging.log"
        before = self.waiting()
        with self.relays.network.blocked(ses_address(REGION)):
            process = ansible.start(
                "ansible-playbook",
                playbook,
                "--vault-password-file=vault-password",
                log=log,
                session=True,
            )
            try:
                assert comes_true(
                    lambda: (
                        process.poll() is not None or len(self.waiting() - before) == len(LOGINS)
                    )
                ), log.read_text()
                assert process.poll() is None, log.read_text()
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def waiting(self) -> set[str]:
        """The connections to SES that are not open yet."""
        return set(self.host.run("ss", "-Htn", "state", "syn-sent").splitlines())

    def files(self) -> list[str]:
        """The files that hold the password, on the host and on the controller."""
        find = [
            "find",
            *WRITABLE,
            "-xdev",
            "-type",
            "f",
            "-exec",
            "grep",
            "-lF",
            PASSWORD,
            "{}",
            "+",
        ]
        on_host = self.host.run(*find, check=False).splitlines()
        on_controller = [
            str(path)
            for path in self.controller.rglob("*")
            if path.is_file() and PASSWORD.encode() in path.read_bytes()
        ]
        return [*on_host, *on_controller]


@pytest.fixture(name="trial", scope="module")
def fixture_trial(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Trial]:
    directory = tmp_path_factory.mktemp("interrupted")
    with RelayHosts(directory, ["trixie"], [Account(ACCESS_KEY, SECRET_KEY)]) as relays:
        # Ansible's default, which is below the home of the login user.
        del relays.network.ansible.environment["ANSIBLE_REMOTE_TEMP"]
        provide_logins(relays.network, relays.hosts[0])
        yield Trial(relays)


def test_ctrl_c(trial: Trial) -> None:
    with trial.hanging() as process:
        assert trial.files() == []
        os.killpg(process.pid, signal.SIGINT)
        assert comes_true(lambda: process.poll() is not None)
    assert trial.files() == []
