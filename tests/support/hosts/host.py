# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host: a root file system of its own, booted in namespaces of its own."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from ..waiting import comes_true
from .roots import Release

_BOOT_TIMEOUT = 60.0  # seconds; it takes one
_COMMAND_TIMEOUT = 600.0  # seconds; for what hangs, on a machine however busy

#: The domain of all hosts (RFC 2606 keeps ``test`` free).
DOMAIN = "hosts.test"


class Host:
    """A booted host, made by HostNetwork; what is here goes past SSH, for tests to look and prepare.

    ``name`` is its name in the inventory, ``address`` its IPv4 address, ``log`` what its start
    and its sshd had to say.
    """

    def __init__(
        self, name: str, release: Release, address: str, process: subprocess.Popen[bytes], log: Path
    ) -> None:
        self.name = name
        self.release = release
        self.address = address
        self.log = log
        self._process = process
        self._pid = 0

    @property
    def pid(self) -> int:
        """The process id, as the machine sees it, of the host's process 1."""
        return self._pid

    def wait_until_up(self) -> None:
        """Return when sshd takes connections. Raises RuntimeError if it doesn't in time."""
        deadline = time.monotonic() + _BOOT_TIMEOUT
        while b"Server listening on 0.0.0.0 port 22" not in self.log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self.log.read_text("utf-8", "replace")
                raise RuntimeError(f"{self.name} did not come up: {said}")
            time.sleep(0.02)
        self._pid = _process_1(self._process.pid)

    def run(self, *command: str, text: str = "", check: bool = True) -> str:
        """Run a command on the host with ``text`` on its standard input.

        Returns its standard output. Raises RuntimeError with all it said if it fails and
        ``check`` is true.
        """
        enter = ["nsenter", "--target", str(self._pid), "--all", "--root", "--wd"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root"]
        done = subprocess.run(
            [*enter, *clean, "DEBIAN_FRONTEND=noninteractive", *command],
            input=text.encode(),
            capture_output=True,
            check=False,
            timeout=_COMMAND_TIMEOUT,
        )
        output = done.stdout.decode("utf-8", "replace")
        if check and done.returncode != 0:
            errors = done.stderr.decode("utf-8", "replace")
            raise RuntimeError(f"{command} on {self.name} ({done.returncode}): {output}{errors}")
        return output

    def read(self, path: str) -> str:
        """A file's text. Raises RuntimeError if there is none."""
        return self.run("cat", path)

    def write(self, path: str, text: str) -> None:
        """Make or overwrite a file; its mode and owner stay, or are 0644 and root."""
        self.run("sh", "-euc", 'mkdir -p "${1%/*}" && cat >"$1"', "write", path, text=text)

    def runs(self, program: str) -> bool:
        """Whether a process with this name is running, such as Postfix's ``master``."""
        return program in self.run("sh", "-c", "cat /proc/[0-9]*/comm || true").split()

    def has_logged(self, text: str) -> bool:
        """Whether the mail log has this text, now or soon."""
        return comes_true(lambda: text in self.read("/var/log/mail.log"))

    def trust(self, ca_file: Path) -> None:
        """Have the host trust an authority, from now on or from when it has ca-certificates on."""
        certificate = ca_file.read_text("ascii")
        self.write(f"/usr/local/share/ca-certificates/{ca_file.stem}.crt", certificate)
        self.run("sh", "-euc", "! command -v update-ca-certificates || update-ca-certificates")


def _process_1(pid: int) -> int:
    """The first below ``pid``, in the line of first children, that is process 1 to itself."""
    while not re.search(r"^NSpid:.*\t1$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE):
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    return pid
