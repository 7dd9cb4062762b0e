# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One running Postfix that gets one set-up after another, and all servers that its mail can go to.

Names are found in a hosts file of its own: SES's endpoints, and those of OtherServers. There is no
DNS, so that mail without a relay goes to the host of its domain, which is ``internet``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import smtplib
import time
import typing as t
from pathlib import Path

from ..example_key import ACCESS_KEY, PASSWORD_OF, SECRET_KEY, found_in
from ..isolation.hosts_file import loopback_address, with_hosts, write_hosts
from ..running.module_runner import ModuleServer
from ..running.payloads import relay_payload
from ..ses.accounts import Account
from ..ses.behaviour import Behaviour
from ..ses.certificate_authority import CertificateAuthority
from ..ses.protocol import Listener, Mode
from ..ses.stand_in import SesStandIn
from .other_servers import OtherServers
from .scratch_postfix import SAME_ORDER, ScratchPostfix
from .set_up_cases import Flow, SetUp, lines_without

REGION, OTHER_REGION = "eu-west-1", "eu-west-3"
_PORTS = {25: Mode.STARTTLS, 587: Mode.STARTTLS, 465: Mode.WRAPPER}
_AFTER_FILTER_PORT = 10026
_SMTPD_PORT = 10025
_TIMEOUT = 45.0  # seconds, for what takes up to 3
#: What master(8) says of a process that can't go on.
_DIES, _DIES_SECONDS = "bad command startup -- throttling", 3.0
_AFTER_FILTER = f"""\
{{address}}:{_AFTER_FILTER_PORT} inet n - n - - smtpd
  -o content_filter=
  -o receive_override_options=no_header_body_checks
  -o smtpd_sender_restrictions=
"""
#: Domains whose mail goes to the host of the domain.
_DOMAINS = ("example.net", "example.com", "relayed.example", "internal.example", "partner.example")


def _names(region: str) -> str:
    return f"email-smtp.{region}.amazonaws.com"


class SetUpHost:
    """The host, for the length of a ``with`` block. Needs root and Postfix."""

    def __init__(self, folder: Path, authority: CertificateAuthority) -> None:
        """``folder`` is for files of this class; the modules are told to trust ``authority``."""
        self.ca_file = authority.ca_file
        self._folder = folder
        self._authority = authority
        self._stack = contextlib.ExitStack()
        self._servers: dict[str, ModuleServer] = {}
        self._numbers = itertools.count(1)
        self._types: dict[str, str] = {}
        self._offset = 0

    def __enter__(self) -> SetUpHost:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack) -> None:
        company = self._sub("company")
        strangers = CertificateAuthority(self._sub("strangers"), "another authority")
        company_authority = CertificateAuthority(company, "a company's authority")
        self.company_ca_file = company_authority.ca_file
        self.company_ca_file.parent.chmod(0o755)
        account = Account(ACCESS_KEY, SECRET_KEY, ("example.com", "sender.example"))
        certificate = company_authority.issue("company.example")
        self.others = stack.enter_context(OtherServers(certificate))
        listeners = [
            Listener(
                region,
                self._authority.issue_for_region(region),
                address,
                port,
                mode,
                behaviour=Behaviour.of("set-ups"),
            )
            for region, address in [
                (REGION, loopback_address()),
                (OTHER_REGION, loopback_address()),
            ]
            for port, mode in _PORTS.items()
        ]
        self.ses = stack.enter_context(SesStandIn(listeners, [account]))
        in_the_middle, stranger = loopback_address(), strangers.issue_for_region(REGION)
        thieves = [
            Listener(REGION, stranger, in_the_middle, port, mode) for port, mode in _PORTS.items()
        ]
        self._thief = stack.enter_context(SesStandIn(thieves, [account]))
        others = self.others.addresses
        self._hosts = {
            **{_names(each.region): each.address for each in listeners},
            **{f"{name}.example": address for name, address in others.items()},
            **dict.fromkeys(_DOMAINS, others["internet"]),
        }
        self._hosts_of_thief = {**self._hosts, _names(REGION): in_the_middle}
        self._server_at = {address: name for name, address in others.items()}
        self._server_at.update({each.address: "ses" for each in [*listeners, *thieves]})
        settings = {
            "smtp_dns_support_level": "disabled",
            "lmtp_dns_support_level": "disabled",
            "lmtp_host_lookup": "native",
        }
        self.postfix = stack.enter_context(ScratchPostfix(self._hosts, settings))
        self.others.after_filter = (self.postfix.address, _AFTER_FILTER_PORT)
        self.etc = self.postfix.config_directory
        self._main_cf = (self.etc / "main.cf").read_text("utf-8")
        self._master_cf = (self.etc / "master.cf").read_text("utf-8") + _AFTER_FILTER.format(
            address=self.postfix.address
        )
        self._hosts_file = self.postfix.directory / "hosts"
        self._temporary = self._sub("temporary")
        for module in ("postfix_relay", "postfix_relay_info"):
            server = ModuleServer(module, with_hosts(self._hosts_file, []))
            self._servers[module] = stack.enter_context(server)

    def _sub(self, name: str) -> Path:
        path = self._folder / name
        path.mkdir(exist_ok=True)
        return path

    # The set-up

    def configure(self, set_up: SetUp) -> None:
        """Make this the only set-up, and have it in force; the queue is empty then."""
        self._clear_queue()
        for path in self.etc.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        main_cf = self.filled_in(set_up.main_cf)
        master_cf = self.filled_in(set_up.master_cf)
        kept = [
            line
            for line in self._master_cf.splitlines(keepends=True)
            if self._service(line) not in set_up.without
        ]
        base = lines_without(self._main_cf, main_cf)
        (self.etc / "main.cf").write_text(base + main_cf, "utf-8")
        (self.etc / "master.cf").write_text("".join(kept) + master_cf, "utf-8")
        for name, text in set_up.files.items():
            path = self.etc / name
            path.touch(mode=0o600)
            path.write_text(self.filled_in(text), "utf-8")
        self._cool()
        self._types = {f"{name}.db": table for table, name in set_up.tables()}
        for table, name in set_up.tables():
            self.postfix.run("postmap", f"{table}:{self.etc / name}")
        for name in set_up.compiled_only:
            (self.etc / name).unlink()
        self.reload()

    def _service(self, line: str) -> str:
        """The name of the service in a line of master.cf: SMTPD is the one that takes our mail."""
        return line.split(maxsplit=1)[0].replace(self._smtpd, "SMTPD")

    @property
    def _smtpd(self) -> str:
        return f"{self.postfix.address}:{_SMTPD_PORT}"

    def add_to_main_cf(self, text: str) -> None:
        """Append lines to main.cf, as somebody would with an editor."""
        with (self.etc / "main.cf").open("a", encoding="utf-8") as file:
            file.write(text)
        self._cool()
        self.reload()

    def filled_in(self, text: str) -> str:
        """A text of a case with the paths, passwords and addresses that its words stand for."""
        # The first are as the addresses of servers stand in cases.yml.
        others = self.others.addresses
        replaced = {
            "127.0.0.1]:2526": f"{others['other']}]:2526",
            "127.80.49.4": others["other"],
            "127.0.0.9": others["filter"],
            "ETC": str(self.etc),
            "PASSWORD": PASSWORD_OF[REGION],
            "COMPANY_CA": str(self.company_ca_file),
            "SES_CA": str(self.ca_file),
            "SMTPD": self._smtpd,
        }
        for word, value in replaced.items():
            text = text.replace(word, value)
        return text

    def _cool(self) -> None:
        # Postfix waits for a file that was changed just now.
        then = time.time() - 10
        for path in self.etc.iterdir():
            if path.is_file():
                os.utime(path, (then, then))

    def reload(self) -> None:
        """Have master(8) read its files again; all its processes are new then."""
        old = self.processes()
        assert self.postfix.pid is not None, self.postfix.log()[-3000:]
        os.kill(self.postfix.pid, signal.SIGHUP)
        self.wait_until_gone(old)

    def processes(self) -> set[int]:
        """The processes of Postfix, but for master(8)."""
        pid = self.postfix.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
        return {int(each) for each in children.split()}

    def wait_until_gone(self, old: set[int]) -> None:
        """Return when these processes, which have read the previous settings, are gone."""
        deadline = time.monotonic() + _TIMEOUT
        while old & self.processes():
            assert time.monotonic() < deadline, self.postfix.log()[-3000:]
            time.sleep(0.01)

    def contents(self) -> dict[str, object]:
        """All files of the configuration but for locks, with their modes; what tables hold."""
        return {
            str(path.relative_to(self.etc)): (path.stat().st_mode, self._content(path))
            for path in self.etc.rglob("*")
            if path.is_file() and not path.name.endswith(".lock")
        }

    def _content(self, path: Path) -> object:
        if path.suffix != ".db":
            return path.read_bytes()
        # Made again, it has other bytes. As root alone reads it.
        table = self._types.get(path.name, "hash")
        listed = self.postfix.run("postmap", "-s", f"{table}:{path.with_suffix('')}")
        return sorted(listed.splitlines())

    # The modules

    def set_up(
        self, region: str | None = REGION, *, check: bool = False, **options: t.Any
    ) -> t.Any:
        """Run ``postfix_relay``: a relay through ``region``, or none; returns its result.

        Of ``options``, ``port`` and ``senders`` are for the logins.
        """
        port = options.pop("port", 587)
        logins = [self._login(region, port)] if region else []
        senders = options.pop("senders", ())
        senders = [{**self._login(REGION, port), "sender": each} for each in senders]
        arguments = {
            "config_directory": str(self.etc),
            "ca_file": str(self.ca_file),
            "password": relay_payload(logins, senders),
            "state": "present" if region else "absent",
            "_ansible_check_mode": check,
            "_ansible_tmpdir": str(self._temporary),
            **options,
        }
        old = self.processes()
        result = self._run("postfix_relay", arguments)
        if result.get("reloaded") and not check:
            self.wait_until_gone(old)
        return result

    def info(self) -> list[dict[str, t.Any]]:
        """Run ``postfix_relay_info``; returns its findings."""
        arguments = {"config_directory": str(self.etc), "candidates": []}
        findings: list[dict[str, t.Any]] = self._run("postfix_relay_info", arguments)["findings"]
        return findings

    def _login(self, region: str, port: int) -> dict[str, t.Any]:
        password = PASSWORD_OF[region]
        tls = "wrapper" if _PORTS[port] is Mode.WRAPPER else "starttls"
        server = {"host": _names(region), "port": port, "tls": tls}
        return {**server, "username": ACCESS_KEY, "password": password}

    def _run(self, module: str, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        outcome = self._servers[module].run(arguments, environment=SAME_ORDER)
        result = outcome.result
        # What ansible-core 2.22 and newer tell the controller to mask.
        result.pop("_ansible_new_secrets", None)
        assert found_in(json.dumps(result), [SECRET_KEY, *PASSWORD_OF.values()]) == []
        return result

    # Mail

    def deliver(self, flow: Flow, header: str = "") -> list[str]:
        """Hand in a message, with one more header, and return where it went: the servers, in order.

        "ses" is SES, with our user and inside TLS whose certificate was verified; otherwise it is
        "ses, but ..." with what was wrong. "nowhere" is no server: deferred or bounced.
        """
        message_id = f"{next(self._numbers)}.{os.getpid()}@set-up.example"
        recipient = flow.to if not flow.to.startswith("@") else f"someone{flow.to}"
        header = (
            f"From: {flow.sender}\nTo: {recipient}\nMessage-ID: <{message_id}>\n{header}"
            "Subject: hello\n"
        )
        text = f"{header}\nhello\n"
        self._offset = self.postfix.log_file.stat().st_size
        if flow.by_smtp:
            with smtplib.SMTP(self.postfix.address, _SMTPD_PORT, timeout=30) as client:
                client.sendmail(flow.sender, [recipient], text)
        else:
            self.postfix.run("sendmail", "-f", flow.sender, recipient, text=text)
        way = self._way_of(message_id)
        if way[-1] == "nowhere":
            self._clear_queue()
        return way

    def deliver_to_thief(self, flow: Flow) -> tuple[list[str], bool]:
        """The same with a man in the middle of the way to SES, whose certificate is a stranger's.

        The message asks for delivery without TLS, which Postfix 3.10 and newer may do.

        Returns where the message went, and whether a client has tried to log in there.
        """
        self._thief.recorder.clear()
        write_hosts(self._hosts_file, self._hosts_of_thief)
        try:
            way = self.deliver(flow, "TLS-Required: no\n")
        finally:
            write_hosts(self._hosts_file, self._hosts)
        return way, any(each.auth_seen for each in self._thief.sessions)

    def _way_of(self, message_id: str) -> list[str]:
        started = time.monotonic()
        while True:
            log = self._log()
            way = []
            for queue_id in re.findall(rf": (\w+): message-id=<{re.escape(message_id)}>", log):
                found = re.search(rf"^.*: {queue_id}: to=<.*status=.*$", log, re.MULTILINE)
                if not found:
                    break
                way.append(self._server(found.group(), log[: found.start()], message_id))
            if way and way[-1] != "filter":
                return way
            if _DIES in log and time.monotonic() > started + _DIES_SECONDS:
                return [*way, "nowhere"]  # it waits for a process that ends as soon as it begins
            if time.monotonic() > started + _TIMEOUT:
                raise TimeoutError(f"no delivery of {message_id}: {log}")
            time.sleep(0.02)

    def _server(self, line: str, log_before: str, message_id: str) -> str:
        """Where an attempt to deliver, a line of the log, has ended."""
        relay = re.search(r" relay=([^,]+),", line)
        if "status=sent" not in line or relay is None:
            return "nowhere"
        address = re.search(r"\[(127\.[0-9.]+)\]", relay.group(1))
        server = self._server_at.get(address.group(1), "?") if address else relay.group(1)
        if server != "ses":
            return server
        process = re.search(r"/\w+\[(\d+)\]: ", line)
        assert process
        tls = re.findall(rf"\[{process.group(1)}\]: (\w+) TLS connection established", log_before)
        records = [*self.ses.recorder.messages, *self._thief.recorder.messages]
        (message,) = [each for each in records if f"<{message_id}>".encode() in each.data]
        if message.username != ACCESS_KEY or not message.tls_version:
            return f"ses, but {message.username} with {message.tls_version}"
        return "ses" if tls[-1:] == ["Verified"] else "ses, but unverified"

    def _log(self) -> str:
        with self.postfix.log_file.open("rb") as file:
            file.seek(self._offset)
            return file.read().decode("utf-8", "replace")

    def _clear_queue(self) -> None:
        queue = self.postfix.directory / "queue"
        names = ("maildrop", "incoming", "active", "deferred", "hold")
        if any(path.is_file() for name in names for path in (queue / name).rglob("*")):
            self.postfix.run("postsuper", "-d", "ALL")
