# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand-in for SES accepts what SES accepts, refuses what SES refuses, and sees everything."""

from __future__ import annotations

import base64
import json
import smtplib
import socket
import ssl
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.ses import accounts as ses_accounts
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.program import StandInProgram
from ansible_collections.mailops.ses.tests.support.ses.protocol import Listener, Mode
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

VECTORS = json.loads(
    (Path(ses_accounts.__file__).parents[1] / "vectors.json").read_text(encoding="utf-8")
)
USER = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ACCOUNT = Account(USER, SECRET, ("example.com",))
REGION = "us-east-1"
OTHER_REGION = "eu-west-1"
PASSWORD = "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9"
DELIVERED = ("delivered", 250)
MODES = [Mode.STARTTLS, Mode.WRAPPER]

V4_VECTORS = [row for row in VECTORS["vectors"] if row["version"] == 4]
V2_VECTORS = [row for row in VECTORS["vectors"] if row["version"] == 2]
MISTAKES = [row for row in VECTORS["mistakes"] if row["secret_access_key"]]

MESSAGE = "From: a@example.com\r\nTo: b@example.com\r\n\r\n.one dot\r\n"


@pytest.fixture(name="certificate", scope="module")
def fixture_certificate(authority: CertificateAuthority) -> Path:
    return authority.issue(
        f"email-smtp.{REGION}.amazonaws.com", f"email-smtp.{OTHER_REGION}.amazonaws.com"
    )


@pytest.fixture(name="ses")
def fixture_ses(certificate: Path) -> t.Iterator[SesStandIn]:
    listeners = [
        Listener(region, certificate, mode=mode)
        for region in (REGION, OTHER_REGION)
        for mode in MODES
    ]
    with SesStandIn(listeners, [ACCOUNT]) as ses:
        yield ses


class Client(smtplib.SMTP):
    """smtplib's client, connected by address but verifying the name of the SES endpoint."""

    def __init__(
        self, port: int, authority: CertificateAuthority, mode: Mode = Mode.STARTTLS
    ) -> None:
        self._authority = authority
        self._mode = mode
        super().__init__(timeout=60)
        code, greeting = self.connect("127.0.0.1", port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, greeting)
        # The name that starttls() verifies; connect() has set it to the address.
        self._host = f"email-smtp.{REGION}.amazonaws.com"
        if mode is Mode.STARTTLS:
            self.starttls(context=self._context())

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._authority.ca_file))

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((host, port), timeout)
        if self._mode is not Mode.WRAPPER:
            return plain
        return self._context().wrap_socket(
            plain, server_hostname=f"email-smtp.{REGION}.amazonaws.com"
        )


def plain_client(port: int) -> smtplib.SMTP:
    """A client that has said EHLO and nothing about TLS."""
    client = smtplib.SMTP("127.0.0.1", port, timeout=60)
    client.ehlo()
    return client


def refused_login(client: smtplib.SMTP, user: str, password: str) -> tuple[int, bytes]:
    with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
        client.login(user, password)
    assert isinstance(caught.value.smtp_error, bytes)
    return caught.value.smtp_code, caught.value.smtp_error


@pytest.mark.parametrize("row", V4_VECTORS, ids=lambda row: str(row["region"]))
def test_derives_every_published_vector(row: dict[str, str]) -> None:
    derived = ses_accounts.password_v4(row["secret_access_key"], row["region"])
    assert derived == row["smtp_password"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_accepts_the_right_password_inside_tls(
    ses: SesStandIn, authority: CertificateAuthority, mode: Mode, mechanism: str
) -> None:
    with Client(ses.port(REGION, mode), authority, mode) as client:
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        assert client.has_extn("starttls") is (mode is Mode.STARTTLS)
        client.user, client.password = USER, PASSWORD
        authenticate = getattr(client, f"auth_{mechanism.lower()}")
        assert client.auth(mechanism, authenticate)[0] == 235
        recipients = ["b@example.com", "c@example.com"]
        assert client.sendmail("a@example.com", recipients, MESSAGE) == {}
    (message,) = ses.messages
    (session,) = ses.recorder.wait_for_sessions(1)
    assert (message.username, message.region, message.session) == (USER, REGION, session.number)
    assert message.mail_from == "a@example.com"
    assert message.recipients == ("b@example.com", "c@example.com")
    assert message.data == MESSAGE.encode()
    assert message.tls_version in ("TLSv1.2", "TLSv1.3")
    (attempt,) = session.auth_attempts
    assert attempt.accepted
    assert (attempt.mechanism, attempt.username) == (mechanism, USER)
    assert session.tls_version == message.tls_version
    assert not session.errors
    assert f"AUTH {mechanism}" in session.commands
    assert session.commands[-1] == "QUIT"
    for text in (PASSWORD, base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()):
        assert text not in repr(session)


@pytest.mark.parametrize("mode", MODES)
def test_every_published_mistake_is_refused(
    ses: SesStandIn, authority: CertificateAuthority, mode: Mode
) -> None:
    assert len(MISTAKES) >= 5
    for row in MISTAKES:
        ses.accounts.add(Account(USER, row["secret_access_key"], ("example.com",)))
        port = ses.port(row["region"] if row["region"] == OTHER_REGION else REGION, mode)
        with Client(port, authority, mode) as client:
            code, _text = refused_login(client, USER, row["wrong_smtp_password"])
        assert code == 535, row["mistake"]


def test_nothing_goes_without_tls(ses: SesStandIn) -> None:
    with plain_client(ses.port(REGION)) as client:
        assert client.has_extn("starttls")
        for command in ("MAIL FROM:<a@example.com>", "AUTH PLAIN AAAA"):
            code, text = client.docmd(command)
            assert (code, text) == (530, b"Must issue a STARTTLS command first")
    (session,) = ses.recorder.wait_for_sessions(1)
    assert session.auth_seen
    assert not session.auth_attempts
    assert session.commands[:3] == [session.commands[0], "MAIL FROM:<a@example.com>", "AUTH PLAIN"]
    assert b"AUTH PLAIN AAAA" in session.clear_text


def test_nothing_goes_without_a_login(ses: SesStandIn, authority: CertificateAuthority) -> None:
    with Client(ses.port(REGION), authority) as client:
        client.ehlo()
        code, text = client.mail("a@example.com")
        assert (code, text) == (530, b"Authentication required")
    (session,) = ses.recorder.wait_for_sessions(1)
    assert not session.auth_seen
    assert not ses.messages


def attempt(
    ses: SesStandIn, authority: CertificateAuthority, user: str, password: str
) -> tuple[str, int, bytes]:
    """How far a delivery gets: the stage of the last answer, its code and its text."""
    stage = "connect"
    try:
        with Client(ses.port(REGION), authority) as client:
            stage = "login"
            client.login(user, password)
            stage = "send"
            client.sendmail("a@example.com", ["b@example.com"], MESSAGE)
    except smtplib.SMTPResponseException as error:
        answer = error.smtp_error
        return stage, error.smtp_code, answer if isinstance(answer, bytes) else answer.encode()
    return (*DELIVERED, b"")


def test_accounts_come_and_go(ses: SesStandIn, authority: CertificateAuthority) -> None:
    ses.accounts.remove(USER)
    assert attempt(ses, authority, USER, PASSWORD)[:2] == ("login", 535)
    ses.accounts.add(ACCOUNT)
    assert attempt(ses, authority, USER, PASSWORD)[:2] == DELIVERED


@pytest.mark.parametrize("mode", MODES)
def test_a_client_that_verifies_turns_away_from_another_authority(
    authority: CertificateAuthority, tmp_path: Path, mode: Mode
) -> None:
    impostor = CertificateAuthority(tmp_path, "impostor").issue_for_region(REGION)
    with SesStandIn([Listener(REGION, impostor, mode=mode)], [ACCOUNT]) as ses:
        with pytest.raises(ssl.SSLCertVerificationError):
            Client(ses.port(REGION, mode), authority, mode)
        (session,) = ses.recorder.wait_for_sessions(1)
    assert not session.auth_seen
    assert session.tls_version is None
    assert "TLS handshake failed" in session.errors[0]


def test_stripped_starttls_lures_with_auth_and_records_what_it_gets(certificate: Path) -> None:
    with SesStandIn([Listener(REGION, certificate, mode=Mode.STRIPPED)], [ACCOUNT]) as ses:
        with plain_client(ses.port(REGION, Mode.STRIPPED)) as client:
            assert client.has_extn("auth")
            assert not client.has_extn("starttls")
        with plain_client(ses.port(REGION, Mode.STRIPPED)) as client:
            client.login(USER, PASSWORD)
        careful, careless = ses.recorder.wait_for_sessions(2)
    assert not careful.auth_seen
    assert b"AUTH" not in careful.clear_text
    assert careless.auth_seen
    assert careless.auth_attempts[0].tls_version is None
    assert base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()) in careless.clear_text


def test_a_taken_port_is_an_error(ses: SesStandIn, certificate: Path) -> None:
    with pytest.raises(OSError, match="in use"):
        SesStandIn([Listener(REGION, certificate, port=ses.port(REGION))]).__enter__()


def test_as_a_program(tmp_path: Path, authority: CertificateAuthority, certificate: Path) -> None:
    """Accounts and faults of the running program change with its file, records are in its spool."""
    listeners = [Listener(REGION, certificate), Listener(REGION, certificate, mode=Mode.WRAPPER)]
    with StandInProgram(tmp_path, listeners, [ACCOUNT]) as program:
        for mode in MODES:
            with Client(program.port(REGION, mode), authority, mode) as client:
                client.login(USER, PASSWORD)
                client.sendmail("a@example.com", ["b@example.com"], MESSAGE.encode() + b"\xff\r\n")
        program.configure([])
        with Client(program.port(REGION), authority) as client:
            assert refused_login(client, USER, PASSWORD)[0] == 535
        program.configure([ACCOUNT], [{"fault": "not_subscribed", "username": USER}])
        with Client(program.port(REGION), authority) as client:
            assert b"not subscribed" in refused_login(client, USER, PASSWORD)[1]
        assert [message.data for message in program.messages] == [
            MESSAGE.encode() + b"\xff\r\n"
        ] * 2
        program.wait_for_sessions(4)
    assert [session.mode for session in program.sessions][:2] == ["starttls", "wrapper"]
    assert all(message.username == USER for message in program.messages)
    with pytest.raises(OSError, match="refused"):
        plain_client(program.port(REGION))
