# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail programs that know nothing of this collection talk to the stand-in for SES, and understand it.

Postfix does so in many tests, and Exim, OpenSMTPD and others in test_mail_servers.py.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4
from ansible_collections.mailops.ses.tests.support.ses.behaviour import Behaviour
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.protocol import Listener, Mode
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

REGION = "eu-west-1"
ACCOUNT = Account(
    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ("example.com",)
)
PASSWORD = password_v4(ACCOUNT.secret_key, REGION)
RECIPIENT = "success@simulator.amazonses.com"
MODES = [Mode.STARTTLS, Mode.WRAPPER]

#: Told by the environment.
SMTPLIB = """
import os, smtplib, ssl, sys
e = os.environ
context = ssl.create_default_context(cafile=e["CA"])
try:
    if e["WRAPPED"]:
        client = smtplib.SMTP_SSL("localhost", int(e["PORT"]), context=context)
    else:
        client = smtplib.SMTP("localhost", int(e["PORT"]))
        client.starttls(context=context)
    with client:
        client.login(e["LOGIN"], e["PASSWORD"])
        client.sendmail(e["SENDER"], e["RECIPIENT"], sys.stdin.read())
except smtplib.SMTPResponseException as error:
    sys.exit(f"{error.smtp_code} {error.smtp_error.decode()}")
"""
NODEMAILER = """
const e = process.env, fs = require("fs");
const transport = require("nodemailer").createTransport({
  host: "localhost", port: +e.PORT, secure: !!e.WRAPPED, requireTLS: true,
  auth: {user: e.LOGIN, pass: e.PASSWORD}, tls: {ca: fs.readFileSync(e.CA)},
});
transport.sendMail({
  envelope: {from: e.SENDER, to: e.RECIPIENT}, raw: fs.readFileSync(0),
}).catch(error => { console.error(error.response); process.exit(1); });
"""
SWAKS = (
    "swaks --server localhost --port {PORT} tls?--tls|--tls-on-connect --tls-verify --tls-ca-path {CA}"
    " --auth-user {LOGIN} --auth-password {PASSWORD} --ehlo client --from {SENDER} --to {RECIPIENT}"
    " --data -"
)
MSMTP = (
    "msmtp --file=/dev/null --host=localhost --port={PORT} --tls=on --tls-starttls=tls?on|off"
    " --tls-trust-file={CA} --auth=plain --user={LOGIN} '--passwordeval=printenv PASSWORD'"
    " --from={SENDER} {RECIPIENT}"
)
CURL = (
    "curl --verbose --ssl-reqd --cacert {CA} --url tls?smtp|smtps://localhost:{PORT} --crlf"
    " --user {LOGIN}:{PASSWORD} --mail-from {SENDER} --mail-rcpt {RECIPIENT} --upload-file -"
)
#: How each is called; a word in braces is told, and "tls?a|b" is a with STARTTLS.
CLIENTS: dict[str, str] = {
    "swaks-plain": f"{SWAKS} --auth PLAIN",
    "swaks-login": f"{SWAKS} --auth LOGIN",
    "msmtp": MSMTP,
    "curl": CURL,
    "smtplib": "{PYTHON} -c {SMTPLIB}",
    "nodemailer": "node -e {NODEMAILER}",
}
PROGRAMS = {"PYTHON": sys.executable, "SMTPLIB": SMTPLIB, "NODEMAILER": NODEMAILER}
NOT_VERIFIED = (
    "554 Message rejected: Email address is not verified. The following identities failed the check in "
    "region EU-WEST-1: sender@example.net"
)
#: What is different from a good message, and the server's line.
REFUSALS: list[tuple[dict[str, str], str]] = [
    ({"PASSWORD": "wrong"}, "535 Authentication Credentials Invalid"),
    ({"SENDER": "sender"}, "501 Invalid MAIL FROM address provided"),
    ({"SENDER": "sender@example.net"}, NOT_VERIFIED),
]


@pytest.fixture(name="ses", scope="module")
def fixture_ses(authority: CertificateAuthority) -> t.Iterator[SesStandIn]:
    certificate = authority.issue("localhost")
    listeners = [Listener(REGION, certificate, mode=mode) for mode in MODES]
    with SesStandIn(listeners, [ACCOUNT]) as ses:
        yield ses


def send(
    client: str, ses: SesStandIn, mode: Mode, ca_file: Path, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Have the client send a message."""
    told = {
        "PORT": str(ses.port(REGION, mode)),
        "CA": str(ca_file),
        "WRAPPED": "1" if mode is Mode.WRAPPER else "",
        "LOGIN": ACCOUNT.access_key,
        "PASSWORD": PASSWORD,
        "SENDER": "sender@example.com",
        "RECIPIENT": RECIPIENT,
        **changes,
    }
    return subprocess.run(
        [fill(word, {**told, **PROGRAMS}) for word in shlex.split(CLIENTS[client])],
        input=f"From: sender@example.com\nTo: {RECIPIENT}\nSubject: {client}\n\n.one dot\n",
        env={**os.environ, "NODE_PATH": "/usr/share/nodejs", **told},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def fill(word: str, told: t.Mapping[str, str]) -> str:
    """A word of a command with what is told."""
    before, question, choice = word.partition("tls?")
    if question:
        first, _bar, second = choice.partition("|")
        second, colon, rest = second.partition(":")
        word = before + (second if told["WRAPPED"] else first) + colon + rest
    return word.format(**told)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_sends(
    ses: SesStandIn, authority: CertificateAuthority, client: str, mode: Mode
) -> None:
    before = len(ses.messages)
    done = send(client, ses, mode, authority.ca_file)
    assert done.returncode == 0, done.stdout + done.stderr
    (message,) = ses.messages[before:]
    assert (message.mail_from, message.recipients) == ("sender@example.com", (RECIPIENT,))
    assert message.username == ACCOUNT.access_key
    assert f"Subject: {client}".encode() in message.data
    assert message.data.rstrip().endswith(b"\n.one dot")


@pytest.mark.parametrize(("changes", "reply"), REFUSALS, ids=lambda value: json.dumps(value)[:20])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_repeats_what_ses_says(
    ses: SesStandIn,
    authority: CertificateAuthority,
    *,
    client: str,
    changes: dict[str, str],
    reply: str,
) -> None:
    before = len(ses.messages)
    done = send(client, ses, Mode.STARTTLS, authority.ca_file, **changes)
    assert done.returncode != 0
    assert reply in done.stdout + done.stderr
    assert len(ses.messages) == before


def test_a_client_that_is_silent_reads_an_answer_to_nothing(
    authority: CertificateAuthority,
) -> None:
    listener = Listener(
        REGION, authority.issue("localhost"), behaviour=Behaviour(idle_seconds=0.05)
    )
    with (
        SesStandIn([listener]) as ses,
        socket.create_connection(("127.0.0.1", ses.port(REGION)), 30) as client,
        client.makefile("rb") as lines,
    ):
        assert lines.read().splitlines()[1:] == [b"451 4.4.2 Timeout waiting for data from client."]
