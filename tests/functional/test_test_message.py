# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's probe and test message on a real Postfix, with a user beside it who forges what he can."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import ScratchPostfix
from ansible_collections.mailops.ses.tests.support.running.module_runner import run_module
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

SCRIPT = Path(__file__).parents[2] / "roles/postfix_relay/files/send_test_message.py"
REGION = "eu-west-1"
HOST = f"email-smtp.{REGION}.amazonaws.com"
KEY = f"[{HOST}]:587"
ACCOUNT = Account(
    "AKIAEXAMPLE000000001", "secret/access+key/of+the+number/00000001", ("example.com",)
)
SENDER = "sender@example.com"
SIMULATOR = "success@simulator.amazonses.com"
LABELLED = re.compile(r"success\+\w+@simulator\.amazonses\.com")
NOBODY = 65534
#: What the role knows the program's lines by.
OWN = "mailops.ses: "
#: Mail of others that waits in the queue.
WAITING = 3


@dataclass(frozen=True)
class Said:
    """How the script ended, and what it printed."""

    status: int
    text: str


class Relay:
    """A scratch Postfix that relays through SES, and what the role asks of it."""

    def __init__(self, postfix: ScratchPostfix, ca_file: Path) -> None:
        self.postfix = postfix
        self.passwords = postfix.config_directory / "sasl_passwd"
        self.passwords.touch(mode=0o600)
        self.log_in_with(password_v4(ACCOUNT.secret_key, REGION))
        postfix.set(
            {
                "relayhost": KEY,
                "smtp_sasl_auth_enable": "yes",
                "smtp_sasl_tls_security_options": "noanonymous",
                "smtp_sasl_password_maps": f"hash:{self.passwords}",
                "smtp_tls_security_level": "secure",
                "smtp_tls_CAfile": str(ca_file),
                # Whatever is delayed is tried again when the test says so.
                "queue_run_delay": "1h",
                "minimal_backoff_time": "1h",
                "maximal_backoff_time": "1h",
            }
        )

    def log_in_with(self, password: str) -> None:
        """Have this password in the map, in a new file as the collection does it."""
        self.passwords.write_text(f"{KEY} {ACCOUNT.access_key}:{password}\n", encoding="ascii")
        Path(f"{self.passwords}.db").unlink(missing_ok=True)
        self.postfix.run("postmap", f"hash:{self.passwords}")

    def probe(self, seconds: float = 60, **more: t.Any) -> dict[str, t.Any]:
        """The outcome of the module's probe."""
        options = {
            "config_directory": str(self.postfix.config_directory),
            "probe": True,
            "probe_timeout": seconds,
            **more,
        }
        result = run_module("postfix_relay_info", options).result
        (instance,) = result["instances"]
        found: dict[str, t.Any] = instance["probe"]
        return found

    def send(
        self,
        seconds: float = 60,
        directory: str | None = None,
        recipient: str = SIMULATOR,
        sender: str = SENDER,
        prefix: t.Sequence[str] = (),
    ) -> Said:
        """Run the script as the role does, with ``prefix`` before it."""
        of_instance = str(self.postfix.config_directory) if directory is None else directory
        command = [sys.executable, str(SCRIPT), of_instance, sender, recipient, str(seconds)]
        done = subprocess.run(
            [*prefix, *command], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        assert all(line.startswith(OWN) for line in lines)
        return Said(done.returncode, "\n".join(line.removeprefix(OWN) for line in lines))

    def leave_mail_of_others(self) -> set[str]:
        """Put mail of others into the queue, where it stays; returns the queue IDs."""
        for number in range(WAITING):
            self.postfix.run(
                "sendmail", "-i", "-f", SENDER, f"other{number}@example.net", text="Subject: x\n\nx"
            )
        while True:
            self.postfix.run("postsuper", "-h", "ALL")
            queued = {
                entry.queue_id for entry in self.postfix.queue() if entry.queue_name == "hold"
            }
            if len(queued) == WAITING:
                return queued


@pytest.fixture(name="relay")
def fixture_relay(
    postfix: ScratchPostfix, regional_ses: SesStandIn, authority: CertificateAuthority
) -> Relay:
    regional_ses.accounts.add(ACCOUNT)
    return Relay(postfix, authority.ca_file)


class Neighbour(threading.Thread):
    """Does what every local user can do: reads arguments and the queue, and writes into the log.

    ``arguments`` has what it saw of processes. ``found`` is the recipient of the test message once
    it knows it; ``act`` is called then. An unprivileged user proves on whole hosts that he can do
    all this (test_relay_role.py). Here Postfix's programs do it for root, because only root may
    name an instance that the machine's own main.cf does not.
    """

    def __init__(self, postfix: ScratchPostfix, act: t.Callable[[Neighbour], None]) -> None:
        super().__init__(name="neighbour", daemon=True)
        self.postfix = postfix
        self._act = act
        self._over = threading.Event()
        self.found = ""
        self.arguments: set[str] = set()

    def __enter__(self) -> Neighbour:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Look until something is found."""
        while not self._over.wait(0.002):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    shown = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                    self.arguments.add(shown.decode(errors="replace"))
            if not self.found:
                match = LABELLED.search(self.postfix.run("postqueue", "-j"))
                if match:
                    self.found = match.group()
                    self._act(self)


def nothing(_neighbour: Neighbour) -> None:
    """Only look."""


def forge(status: str) -> t.Callable[[Neighbour], None]:
    """Write into the log what became of the message, with the queue ID that names all."""

    def act(neighbour: Neighbour) -> None:
        line = (
            f"ALL: to=<{neighbour.found}>, relay={HOST}[192.0.2.1]:587, delay=0.1,"
            f" delays=0/0/0/0.1, dsn=2.0.0, status={status} (250 Ok forged)"
        )
        neighbour.postfix.run("postlog", "-t", "postfix/smtp", line)

    return act


def copy(neighbour: Neighbour) -> None:
    """Send two messages to the same recipient."""
    for _each in range(2):
        arguments = ["-i", "-f", SENDER, neighbour.found]
        neighbour.postfix.run("sendmail", *arguments, text="Subject: x\n\nx")


# The probe


def test_what_a_probe_finds(relay: Relay, regional_ses: SesStandIn) -> None:
    """One Postfix, through all that can be: the verdict is about how it is now."""
    probe = relay.probe()
    assert LABELLED.fullmatch(probe.pop("recipient"))
    assert probe == {"accepted": True, "reason": "250 Ok", "transport": "smtp", "nexthop": KEY}
    assert relay.probe(_ansible_check_mode=True) is None

    set_back = {"transport_maps": "", "address_verify_relayhost": "$relayhost"}
    for settings, accepted, said in (
        ({"transport_maps": "inline:{{*=smtp:[127.0.0.1]:587}}"}, False, "next hop '[127.0.0.1]"),
        ({"transport_maps": "inline:{{*=error:no mail today}}"}, False, "no mail today"),
        ({"transport_maps": "inline:{{*=discard:}}"}, False, "transport discard"),
        ({"address_verify_relayhost": "[127.0.0.1]:587"}, None, "address_verify_"),
    ):
        relay.postfix.set({**set_back, **settings})
        probe = relay.probe()
        assert (probe["accepted"], said in probe["reason"]) == (accepted, True), probe
    relay.postfix.set({**set_back, "smtp_sasl_auth_enable": "no"})
    probe = relay.probe()
    assert (probe["accepted"], "530 Authentication required" in probe["reason"]) == (False, True)
    relay.postfix.set({"smtp_sasl_auth_enable": "yes"})

    # Mail that waits because of the login makes the queue manager suspend delivery for minutes.
    relay.log_in_with("wrong")
    relay.postfix.reload()
    relay.postfix.send("one", "two", "three")
    relay.postfix.wait_for_delivery("deferred", 60)
    for _each in range(3):
        probe = relay.probe()
        assert probe["accepted"] is False
        assert probe["reason"].startswith("SASL authentication failed; ")
        assert "535 Authentication Credentials Invalid" in probe["reason"]
    relay.log_in_with(password_v4(ACCOUNT.secret_key, REGION))
    probe = relay.probe()
    assert probe["accepted"] is True, probe
    assert len(relay.postfix.queue()) == 3

    master_cf = relay.postfix.config_directory / "master.cf"
    whole = master_cf.read_text("utf-8")
    master_cf.write_text(whole.replace("\nverify ", "\n#verify "), encoding="utf-8")
    relay.postfix.reload()
    probe = relay.probe()
    assert (probe["accepted"], "service verify" in probe["reason"]) == (None, True), probe
    master_cf.write_text(whole, encoding="utf-8")

    relay.postfix.stop()
    probe = relay.probe()
    assert (probe["accepted"], probe["reason"]) == (None, "Postfix is not running")
    assert list(regional_ses.recorder.messages) == []


# The message


def test_a_message_that_leaves_the_queue(
    relay: Relay, regional_ses: SesStandIn, tmp_path: Path
) -> None:
    """Its label is in nobody's arguments, and a line of the log can't make it another's."""
    programs = tmp_path / "programs"
    strace = ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=execve", "-o", str(programs)]
    with Neighbour(relay.postfix, forge("bounced")) as neighbour:
        said = relay.send(prefix=strace)
    assert said.status == 0, said.text
    assert said.text.startswith("The message left the queue.\nAs logged: ")
    assert "status=sent (250 Ok " in said.text
    assert "ALL" not in said.text
    (message,) = regional_ses.recorder.wait_for_messages(1)
    (recipient,) = message.recipients
    assert LABELLED.fullmatch(recipient)
    arguments = "\n".join([*neighbour.arguments, programs.read_text("utf-8")])
    assert "send_test_message.py" in arguments
    assert f'sendmail", "-i", "-t", "-N", "never", "-f", "{SENDER}"' in arguments
    assert recipient.partition("@")[0].partition("+")[2] not in arguments


def test_what_others_do_decides_nothing(relay: Relay) -> None:
    """SES refuses the login. Lines in the log name all queue IDs, or there are several messages."""
    relay.log_in_with("wrong")
    others = relay.leave_mail_of_others()
    for status in ("sent", "bounced", "deferred"):
        with Neighbour(relay.postfix, forge(status)) as neighbour:
            said = relay.send()
        assert said.status == 1, said.text
        assert "535 Authentication Credentials Invalid" in said.text
        assert "It was removed from the queue." in said.text
        assert {entry.queue_id for entry in relay.postfix.queue()} == others
        assert f" ALL: to=<{neighbour.found}>" in relay.postfix.log()
    # Not tried before the others are there, too.
    relay.postfix.set({"header_checks": "regexp:{{/^Subject:/ HOLD}}"})
    with Neighbour(relay.postfix, copy):
        said = relay.send(5)
    assert said.status == 1, said.text
    assert "None was removed, because 3 messages in the queue are to its recipient" in said.text
    assert len(relay.postfix.queue()) == len(others) + 3


def test_a_message_that_ses_refuses(relay: Relay, regional_ses: SesStandIn) -> None:
    """The probe proves the login, and the log says what became of the message. There is no bounce."""
    regional_ses.accounts.add(ACCOUNT.with_changes(identities=("example.org",)))
    assert relay.probe()["accepted"] is True
    said = relay.send()
    assert said.status == 1
    assert "The log says that it was refused.\nAs logged: " in said.text
    assert "554 Message rejected: Email address is not verified" in said.text
    assert said.text.endswith("there, or send the test message from another address.")
    assert relay.postfix.queue() == []
    assert "notification" not in relay.postfix.log()
    regional_ses.accounts.add(ACCOUNT.with_changes(permissions=()))
    assert relay.send().text.endswith("Allow ses:SendRawEmail for it.")


def test_a_message_that_stays(relay: Relay) -> None:
    relay.postfix.set({"header_checks": "regexp:{{/^Subject: Test/ HOLD}}"})
    others = relay.leave_mail_of_others()
    said = relay.send(1)
    assert said.status == 1
    assert "Not delivered: after 1 s, the message is in the queue hold, without" in said.text
    assert {entry.queue_id for entry in relay.postfix.queue()} == others


def test_what_is_refused(relay: Relay, tmp_path: Path) -> None:
    """Nothing is sent with options that mean something else, or with settings of others."""
    folder = tmp_path / "postfix"
    folder.mkdir()
    (folder / "main.cf").touch()
    os.chown(folder / "main.cf", NOBODY, NOBODY)
    for options, expected in (
        ({"seconds": 0}, "the timeout must be greater than 0"),
        ({"recipient": "x@example.com\nBcc: y@example.com"}, "is no address like"),
        ({"recipient": "x@example.com, y@example.com"}, "is no address like"),
        ({"recipient": "x"}, "is no address like"),
        ({"sender": "x"}, "the sender 'x' is no address like"),
        ({"sender": ""}, "the sender '' is no address like"),
        ({"sender": "-x@example.com"}, "is no address like"),
        ({"directory": "-x"}, "is no absolute path"),
        ({"directory": str(tmp_path / "none")}, "No such file or directory"),
        ({"directory": str(folder)}, "can be changed by others than root"),
    ):
        said = relay.send(**options)
        assert (said.status, expected in said.text) == (1, True), said
    assert relay.postfix.queue() == []
