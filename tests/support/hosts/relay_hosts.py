# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts with SES beside them, on which the role and the module ``postfix_relay`` are run over SSH."""

from __future__ import annotations

import contextlib
import email
import json
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ..example_key import found_in
from ..running.vaulted import vaulted
from ..ses.accounts import Account, password_v4
from ..ses.certificate_authority import CertificateAuthority
from ..ses.program import StandInProgram
from ..ses.protocol import Mode
from ..ses.records import Message
from .host import Host
from .network import PORTS, HostNetwork

REGIONS = ("eu-west-1", "eu-central-1")
ROLE = "mailops.ses.postfix_relay"
RELAY_TASK = "Relay"
REMOTE_TEMP = "/root/.ansible/tmp"  # Ansible's default
_VAULT_PASSWORD = "for a test\n"
_QUEUE_TIMEOUT = 30.0  # seconds

#: Everything about all files in a directory, a line each; one that is written anew has another inode.
_LIST = "find {} ! -type d -printf '%p %i %m %u %g %s %T@ %C@ %l\\n' | sort"


@dataclass
class Play:
    """What a playbook did: its exit status, all that it printed, and the results of its tasks."""

    status: int
    output: str
    events: list[dict[str, t.Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        lines = [line for line in self.output.splitlines() if line.startswith('{"event"')]
        self.events = [json.loads(line) for line in lines]

    def _of(self, host: Host, *kinds: str) -> list[dict[str, t.Any]]:
        return [
            each for each in self.events if each["host"] == host.name and each["event"] in kinds
        ]

    def ran(self, host: Host) -> list[str]:
        """The names of the tasks that ran for ``host``: not skipped, and more than an include."""
        return [
            each["task"]
            for each in self._of(host, "ok", "failed")
            if not each["action"].endswith("include_tasks")
        ]

    def changed(self, host: Host) -> list[str]:
        """The names of the tasks that changed something on ``host``."""
        return [each["task"] for each in self._of(host, "ok") if each["result"].get("changed")]

    def result(self, host: Host, task: str) -> dict[str, t.Any]:
        """The result on ``host`` of the one task whose name ends with ``task``."""
        (found,) = [each for each in self._of(host, "ok", "failed") if each["task"].endswith(task)]
        result: dict[str, t.Any] = found["result"]
        return result

    def messages(self) -> dict[tuple[str, str], t.Any]:
        """What the tasks said, by host and task."""
        return {
            (each["host"], each["task"]): each["result"]["msg"]
            for each in self.events
            if "msg" in each["result"]
        }

    def error(self, host: Host) -> str:
        """What the task said that failed on ``host``."""
        (found,) = self._of(host, "failed")
        return str(found["result"]["msg"])


class RelayHosts:
    """Hosts of some releases, and SES in two regions with ``accounts``; a context manager.

    ``directory`` must exist. Every play is searched for the accounts' secrets and SMTP passwords.
    """

    ses: StandInProgram
    """SES as it is now: see man_in_the_middle()."""

    def __init__(
        self, directory: Path, suites: t.Sequence[str], accounts: t.Sequence[Account]
    ) -> None:
        self.network = HostNetwork(directory)
        self.authority = CertificateAuthority(directory)
        self.accounts = list(accounts)
        self.hosts: list[Host] = []
        self._suites = suites
        self._stack = contextlib.ExitStack()
        self._applied: object = None

    def __enter__(self) -> RelayHosts:
        with self._stack:
            self._stack.enter_context(self.network)
            self.hosts = self.boot(*self._suites)
            self._start_ses(self.authority, PORTS)
            self._stack.callback(self._close_ses)
            self._provide_playbooks()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def boot(self, *suites: str, **kwargs: t.Any) -> list[Host]:
        """More hosts, bare, with empty package lists, that trust SES; not among ``hosts``."""
        hosts = self.network.boot(*suites, **kwargs)
        for host in hosts:
            host.trust(self.authority.ca_file)
            host.run("sh", "-c", "rm -r /var/lib/apt/lists/*")
        return hosts

    # Secrets

    @property
    def aws_secrets(self) -> list[str]:
        return [account.secret_key for account in self.accounts]

    @property
    def passwords(self) -> list[str]:
        """The SMTP passwords of all accounts in all regions."""
        return [password_v4(secret, region) for secret in self.aws_secrets for region in REGIONS]

    def key_of(self, account: Account) -> dict[str, str]:
        """The module's options for an account, with its secret from the vault."""
        secret = f"{{{{ secrets['{account.access_key}'] }}}}"
        return {"access_key": account.access_key, "secret_key": secret}

    # Ansible

    def role(
        self, options: t.Mapping[str, t.Any], *arguments: str, hosts: str = "all", **kwargs: t.Any
    ) -> Play:
        """Run the role with the module's or its own ``options``, as ``port`` for postfix_relay_port."""
        variables = {f"postfix_relay_{name}": value for name, value in options.items()}
        body = {"gather_facts": True, "vars": variables, "roles": [ROLE]}
        return self._changing(body, *arguments, hosts=hosts, **kwargs)

    def module(self, options: t.Mapping[str, t.Any], *arguments: str, **kwargs: t.Any) -> Play:
        """Run the module alone on all hosts, in a task named RELAY_TASK."""
        task = {"name": RELAY_TASK, "mailops.ses.postfix_relay": dict(options)}
        return self._changing({"tasks": [task]}, *arguments, **kwargs)

    def ensure(self, options: t.Mapping[str, t.Any]) -> None:
        """Have the relay as in ``options`` on all hosts; no play if that was the last one."""
        if self._applied != options:
            play = self.module(options)
            assert play.status == 0, play.output
            self._applied = options

    def _changing(self, *arguments: t.Any, **kwargs: t.Any) -> Play:
        play = self.play(*arguments, **kwargs)
        # A play that fails changes nothing, or the tests will tell.
        self._applied = None if play.status == 0 else self._applied
        return play

    def play(
        self,
        body: t.Mapping[str, t.Any],
        *arguments: str,
        hosts: str = "all",
        environment: t.Mapping[str, str] | None = None,
    ) -> Play:
        """Run a play with this ``body``; fails if a secret is in anything that is printed."""
        content = [{"hosts": hosts, "gather_facts": False, "vars_files": ["vault.yml"], **body}]
        text = yaml.safe_dump(content, width=1000)
        return self.playbook("playbook", text, *arguments, environment=environment)

    def playbook(
        self,
        name: str,
        text: str,
        *arguments: str,
        environment: t.Mapping[str, str] | None = None,
    ) -> Play:
        """Run this playbook; fails if a secret is in anything that is printed."""
        ansible = self.network.ansible
        playbook = ansible.write(f"{name}.yml", text)
        arguments = ("--vault-password-file=vault-password", *arguments)
        done = ansible.run("ansible-playbook", playbook, *arguments, environment=environment)
        assert found_in(done.stdout, [*self.aws_secrets, *self.passwords]) == []
        return Play(done.returncode, done.stdout)

    def vault(self, variables: t.Mapping[str, t.Any]) -> None:
        """Have these in the vault that playbooks read."""
        text = vaulted(yaml.safe_dump(dict(variables)), _VAULT_PASSWORD)
        self.network.ansible.write("vault.yml", text)

    def _provide_playbooks(self) -> None:
        ansible = self.network.ansible
        ansible.environment["ANSIBLE_STDOUT_CALLBACK"] = "json_lines"
        ansible.environment["ANSIBLE_REMOTE_TEMP"] = REMOTE_TEMP
        ansible.write("vault-password", _VAULT_PASSWORD)
        secrets = {account.access_key: account.secret_key for account in self.accounts}
        self.vault({"secrets": secrets})

    # SES

    def _close_ses(self) -> None:
        self.ses.close()

    def _start_ses(self, authority: CertificateAuthority, modes: t.Mapping[int, Mode]) -> None:
        self.ses = self.network.ses(REGIONS, authority, self.accounts, modes)
        self.ses.__enter__()

    @contextlib.contextmanager
    def man_in_the_middle(
        self, directory: Path, modes: t.Mapping[int, Mode] = PORTS
    ) -> t.Iterator[StandInProgram]:
        """While inside, somebody else has SES's addresses, with certificates of another authority."""
        self.ses.close()
        self._start_ses(CertificateAuthority(directory, "man in the middle"), modes)
        try:
            yield self.ses
        finally:
            self.ses.close()
            self._start_ses(self.authority, PORTS)

    # Mail

    def send(self, host: Host, subject: str, sender: str = "sender@example.com") -> str:
        """Hand in a message on ``host``, with a subject that tells it from all others."""
        subject = f"{host.name} {subject}"
        letter = f"From: {sender}\nTo: to@example.net\nSubject: {subject}\n\n{subject}\n"
        host.run("sendmail", "-f", sender, "to@example.net", text=letter)
        return subject

    def send_from_all(self, subject: str, sender: str = "sender@example.com") -> list[str]:
        return [self.send(host, subject, sender) for host in self.hosts]

    def arrived(self, subjects: t.Iterable[str], timeout: float = 30.0) -> list[Message]:
        """The messages with these subjects, in this order; fails if one arrived twice.

        Raises TimeoutError with the hosts' last words if they do not come in time.
        """
        wanted = list(subjects)
        deadline = time.monotonic() + timeout
        while True:
            messages = [each for each in self.ses.messages if subject_of(each) in wanted]
            found = {subject_of(message): message for message in messages}
            if len(found) == len(wanted):
                assert len(messages) == len(wanted), "a message arrived twice"
                return [found[subject] for subject in wanted]
            if time.monotonic() > deadline:
                logs = "\n".join(self.log(host)[-2000:] for host in self.network.hosts)
                raise TimeoutError(f"{set(wanted) - found.keys()} did not arrive:\n{logs}")
            time.sleep(0.1)

    def queue(self, host: Host) -> list[dict[str, t.Any]]:
        """What is in a host's queue, as postqueue(1) tells it."""
        return [json.loads(line) for line in host.run("postqueue", "-j").splitlines()]

    def wait_for_queues(self, is_so: t.Callable[[list[dict[str, t.Any]]], bool]) -> None:
        """Return when ``is_so`` of every host's queue; TimeoutError with the queues otherwise."""
        deadline = time.monotonic() + _QUEUE_TIMEOUT
        while not all(is_so(queue) for queue in map(self.queue, self.hosts)):
            if time.monotonic() > deadline:
                raise TimeoutError({host.name: self.queue(host) for host in self.hosts})
            time.sleep(0.2)

    def log(self, host: Host) -> str:
        """What Postfix has logged on ``host``."""
        return host.run("sh", "-c", "cat /var/log/mail.log || true")

    def files(self, *directories: str) -> dict[str, str]:
        """All files in the hosts' directories, with what changes when somebody touches them."""
        listing = _LIST.format(" ".join(directories or ["/etc/postfix"]))
        return {host.name: host.run("sh", "-c", listing) for host in self.hosts}


def subject_of(message: Message) -> str:
    return str(email.message_from_bytes(message.data)["Subject"])


class ProcessWatch(threading.Thread):
    """While inside: the command lines and environments of all processes on ``hosts``, in ``seen``."""

    def __init__(self, hosts: t.Sequence[Host]) -> None:
        super().__init__(name="process watch", daemon=True)
        self._folders = [Path(f"/proc/{host.pid}/root/proc") for host in hosts]
        self._ended = threading.Event()
        self.seen: set[bytes] = set()

    def __enter__(self) -> ProcessWatch:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            for folder in self._folders:
                for process in folder.glob("[0-9]*"):
                    for name in ("cmdline", "environ"):
                        # It may be gone by now.
                        with contextlib.suppress(OSError):
                            self.seen.add((process / name).read_bytes())

    def text(self) -> str:
        return "\n".join(each.decode("utf-8", "replace") for each in self.seen).replace("\0", " ")
