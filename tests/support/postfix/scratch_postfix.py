# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Postfix of one's own for a test: own configuration, queue, data, log and ports.

The machine's own Postfix, running or not, and its /etc/postfix are neither used nor changed; only
its programs are. Works with Postfix 3.5 to 3.11, as root.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import smtplib
import subprocess
import tempfile
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ..isolation.hosts_file import loopback_address, with_hosts, write_hosts

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
_COMMAND_TIMEOUT = 60.0  # seconds
_STOP_TIMEOUT = 60.0  # seconds
_SMTPD_PORT = 10025

_MAIN_CF = """\
compatibility_level = 2
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/log/maillog
maillog_file_prefixes = {directory}/log
myhostname = scratch.example.com
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
smtputf8_enable = no
notify_classes =
smtp_host_lookup = native
smtp_tls_loglevel = 1
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
service_throttle_time = 1s
"""

# service type private unprivileged chroot wakeup maxproc command: no service is in a chroot, so
# that all of them see the hosts file and the CA file.
MASTER_CF = """\
{address}:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

#: Has postconf add settings in the same order each time.
SAME_ORDER = {"NORANDOMIZE": "yes"}

_DELIVERY = re.compile(
    r": (?P<queue_id>[0-9A-Za-z]+): to=<(?P<recipient>[^>]*)>,.* relay=(?P<relay>[^,]+),"
    r".* status=(?P<status>\w+) \((?P<text>.*)\)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Delivery:
    """One attempt to deliver, from the log; ``status`` is sent, deferred, bounced or expired."""

    queue_id: str
    recipient: str
    relay: str
    status: str
    text: str


@dataclass(frozen=True)
class Queued:
    """A message that is still in the queue."""

    queue_id: str
    queue_name: str
    sender: str
    reasons: tuple[str, ...]


def program(name: str) -> str:
    """The path of one of Postfix's programs. Raises RuntimeError where there is no Postfix."""
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise RuntimeError(f"{name} was not found: these tests need Postfix (Debian: postfix)")
    return path


def table_types() -> list[str]:
    """The types of lookup table files that this machine's Postfix has, of those with entries."""
    with tempfile.TemporaryDirectory() as folder:
        # Not the machine's main.cf, which may be missing or wrong.
        Path(folder, "main.cf").touch()
        command = [program("postconf"), "-c", folder, "-m"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    known = set(done.stdout.split())
    return [name for name in ("hash", "btree", "cdb", "lmdb", "texthash") if name in known]


def _cool(path: Path) -> None:
    """Let a file look older than it is.

    Postfix sleeps for up to 2 s before it reads main.cf, or a texthash table, that was changed a
    moment ago, for fear that it is still being written.
    """
    then = time.time() - 10
    os.utime(path, (then, then))


class ScratchPostfix:
    """A Postfix instance, running for the length of a ``with`` block and removed after it.

    ``hosts`` (name to address) are what it finds in its hosts file; ``settings`` go
    into its main.cf. Mail that ``send`` hands in is relayed as main.cf says.
    ``prefix`` is put before the command that starts it, for a network of its own.
    """

    def __init__(
        self,
        hosts: t.Mapping[str, str] | None = None,
        settings: t.Mapping[str, str] | None = None,
        prefix: t.Sequence[str] = (),
    ) -> None:
        self._prefix = list(prefix)
        self._hosts = dict(hosts or {})
        self._settings = dict(settings or {})
        self.address = loopback_address()
        self.directory = Path(os.devnull)
        self.config_directory = Path(os.devnull)
        self.log_file = Path(os.devnull)

    def __enter__(self) -> ScratchPostfix:
        """Make the instance and start it. Raises RuntimeError if not root or without Postfix."""
        program("postfix")
        if os.geteuid() != 0:
            raise RuntimeError("a scratch Postfix needs root: run these tests as root")
        self._make()
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the instance and remove its files."""
        self.stop()
        shutil.rmtree(self.directory)

    # The instance as a whole

    @property
    def pid(self) -> int | None:
        """The process id of the running master(8), None if it is not running."""
        try:
            pid = int((self.directory / "queue/pid/master.pid").read_text())
            name, state = Path(f"/proc/{pid}/stat").read_text().split()[1:3]
        except (OSError, ValueError):
            return None
        # The name tells it from a stranger with the same number. While it is merely exiting it
        # still has its locks; as a zombie it has not.
        return pid if name == "(master)" and state not in "ZX" else None

    def start(self) -> None:
        """Start it, seeing only our hosts file. Raises RuntimeError with Postfix's own words."""
        hosts_file = self.directory / "hosts"
        write_hosts(hosts_file, self._hosts)
        command = [program("postfix"), "-c", str(self.config_directory), "start"]
        done = self._call([*self._prefix, *with_hosts(hosts_file, command)])
        if done.returncode != 0 or self.pid is None:
            raise RuntimeError(f"Postfix did not start: {done.stdout}{done.stderr}{self.log()}")

    def stop(self) -> None:
        """Stop it if it runs, and wait until it is gone.

        master(8) takes its children with it. `postfix stop` does the same, with sleeps.
        """
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_TIMEOUT
        while self.pid is not None:
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            time.sleep(0.02)

    def reload(self) -> None:
        self.run("postfix", "reload")

    def run(self, name: str, *arguments: str, text: str = "") -> str:
        """Run one of Postfix's programs for this instance, with ``text`` on its standard input.

        Returns its standard output. Raises RuntimeError if it fails.
        """
        # sendmail has another letter for it.
        option = "-C" if name == "sendmail" else "-c"
        done = self._call([program(name), option, str(self.config_directory), *arguments], text)
        if done.returncode != 0:
            raise RuntimeError(f"{name} {arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def set(self, settings: t.Mapping[str, str]) -> None:
        """Set these in main.cf, and have them in force."""
        self.run("postconf", "-e", *(f"{name} = {value}" for name, value in settings.items()))
        _cool(self.config_directory / "main.cf")
        if self.pid is not None:
            self.reload()

    def get(self, name: str) -> str:
        """The value of a setting as Postfix sees it."""
        return self.run("postconf", "-h", name).rstrip("\n")

    # Mail

    def send(self, *bodies: str, sender: str = "sender@example.com") -> None:
        """Hand in messages by SMTP, each with the subject and the body ``BODY``."""
        with smtplib.SMTP(self.address, _SMTPD_PORT, timeout=30) as client:
            for body in bodies:
                header = f"From: {sender}\r\nTo: recipient@example.net\r\nSubject: {body}\r\n"
                client.sendmail(sender, ["recipient@example.net"], f"{header}\r\n{body}\r\n")

    def queue(self) -> list[Queued]:
        """What is in the queue now."""
        entries = [json.loads(line) for line in self.run("postqueue", "-j").splitlines()]
        return [
            Queued(
                entry["queue_id"],
                entry["queue_name"],
                entry["sender"],
                tuple(item.get("delay_reason", "") for item in entry["recipients"]),
            )
            for entry in entries
        ]

    def wait_until_empty(self, timeout: float, *, flush: bool = False) -> None:
        """Return when the queue is empty; TimeoutError with what is in it after ``timeout`` s.

        With ``flush`` all queued mail is tried again, whatever time it is to wait.
        """
        deadline = time.monotonic() + timeout
        was_empty = False
        while True:
            queued = self.queue()
            # Twice, for it may have missed a message that went from one queue to another.
            if was_empty and not queued:
                return
            was_empty = not queued
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {timeout} s there is still {queued} in the queue")
            if flush and queued:
                self.run("postqueue", "-f")
            time.sleep(0.5 if flush else 0.1)

    def log(self) -> str:
        """The log so far."""
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def deliveries(self) -> list[Delivery]:
        """Every attempt to deliver so far, in order, from the log."""
        return [Delivery(**match.groupdict()) for match in _DELIVERY.finditer(self.log())]

    def wait_for_delivery(self, status: str, timeout: float) -> Delivery:
        """The first attempt that ended in ``status``; TimeoutError with the log otherwise."""
        deadline = time.monotonic() + timeout
        while True:
            for delivery in self.deliveries():
                if delivery.status == status:
                    return delivery
            if time.monotonic() > deadline:
                raise TimeoutError(f"no delivery was {status} within {timeout} s:\n{self.log()}")
            time.sleep(0.05)

    def _make(self) -> None:
        # Not below pytest's directory: only root may enter that, and Postfix's daemons are not.
        self.directory = Path(tempfile.mkdtemp(prefix="scratch-postfix-"))
        self.directory.chmod(0o755)
        self.config_directory = self.directory / "etc"
        self.log_file = self.directory / "log" / "maillog"
        for name in ("etc", "queue", "data", "log"):
            (self.directory / name).mkdir(mode=0o755)
        shutil.chown(self.directory / "data", "postfix")
        settings = "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        main_cf = _MAIN_CF.format(directory=self.directory) + settings
        (self.config_directory / "main.cf").write_text(main_cf, encoding="utf-8")
        _cool(self.config_directory / "main.cf")
        master_cf = MASTER_CF.format(address=self.address, port=_SMTPD_PORT)
        (self.config_directory / "master.cf").write_text(master_cf, encoding="utf-8")

    def _call(self, command: t.Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
        # Without MAIL_CONFIG and the like of a caller that is itself run by Postfix.
        environment = {"PATH": _PATH, "LC_ALL": "C.UTF-8", **SAME_ORDER}
        return subprocess.run(
            command,
            input=text,
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_TIMEOUT,
        )
