# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The login over real TLS, against the stand-in for SES and against men in the middle."""

from __future__ import annotations

import base64
import datetime
import ssl
import subprocess
import typing as t
from pathlib import Path

import pytest
import trustme
from ansible_collections.mailops.ses.plugins.module_utils._smtp._login import (
    LoginOutcome,
    LoginRefused,
    log_in,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    MISTAKES,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.protocol import Listener, Mode
from ansible_collections.mailops.ses.tests.support.ses.records import Session
from ansible_collections.mailops.ses.tests.support.ses.scripted_server import (
    Conversation,
    ScriptedServer,
)
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

REGION = "eu-west-1"
PASSWORD = PASSWORD_OF[REGION]
V2_PASSWORD = "An60U4ZD3sd4fg+FvXUjayOipTt8LO4rUUmhpdX6ctDy"
MODES = [Mode.STARTTLS, Mode.WRAPPER]
UP_TO_TLS = {Mode.STARTTLS: ["EHLO [127.0.0.1]", "STARTTLS"], Mode.WRAPPER: []}

# fault of the stand-in, reason
FAULTS = [
    ("too_many_connections", "too_many_connections"),
    ("temporary_authentication", "temporary_failure"),
    ("throttled_login", "throttled"),
    ("not_subscribed", "not_subscribed"),
    ("key_refused", "credentials_invalid"),
]
# user name, password, reason, a part of the message
WRONG = [
    (ACCESS_KEY, PASSWORD_OF["us-east-1"], "credentials_invalid", "another region"),
    (ACCESS_KEY, SECRET_KEY, "credentials_invalid", "looks like a secret access key"),
    (ACCESS_KEY, V2_PASSWORD, "version_2", "Signature Version 2 is deprecated"),
    ("mail-user", PASSWORD, "credentials_invalid", "not an access key ID"),
    ("AKIAI44QH8DHBEXAMPLE", PASSWORD, "credentials_invalid", "deactivated or deleted"),
]


@pytest.fixture(name="certificate", scope="module")
def fixture_certificate(authority: CertificateAuthority) -> Path:
    return authority.issue("localhost", "127.0.0.1")


@pytest.fixture(name="ses")
def fixture_ses(certificate: Path) -> t.Iterator[SesStandIn]:
    listeners = [Listener(REGION, certificate, mode=mode) for mode in Mode]
    with SesStandIn(listeners, [Account(ACCESS_KEY, SECRET_KEY)]) as ses:
        yield ses


def server(ses: SesStandIn, mode: Mode, host: str = "localhost") -> SmtpServer:
    return SmtpServer(host, ses.port(REGION, mode), mode.value)


def refused(at: SmtpServer, ca_file: Path | None, **options: t.Any) -> LoginRefused:
    with pytest.raises(LoginRefused) as caught:
        log_in(
            SmtpLogin(at, ACCESS_KEY, PASSWORD),
            ca_file=str(ca_file) if ca_file else None,
            **options,
        )
    assert not found_in(caught.value.message, [PASSWORD])
    return caught.value


def only_session(ses: SesStandIn) -> Session:
    (session,) = ses.recorder.wait_for_sessions(1)
    return session


def assert_saw_no_login(session: Session) -> None:
    """Neither user name nor password came, in no form, nor the command that would bring them."""
    assert not session.auth_seen
    assert not session.auth_attempts
    seen = session.clear_text.decode("latin-1") + repr(session.commands)
    assert not found_in(seen, [ACCESS_KEY, PASSWORD])
    assert "AUTH" not in seen


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("mode", MODES)
def test_accepted(ses: SesStandIn, authority: CertificateAuthority, mode: Mode, host: str) -> None:
    accepted = log_in(
        SmtpLogin(server(ses, mode, host), ACCESS_KEY, PASSWORD), ca_file=str(authority.ca_file)
    )
    port = ses.port(REGION, mode)
    assert accepted == LoginOutcome(
        True, host, port, "127.0.0.1", "TLSv1.3", "PLAIN", accepted.elapsed, logged_in=True
    )
    assert 0 < accepted.elapsed < 10
    session = only_session(ses)
    assert session.commands == [*UP_TO_TLS[mode], "EHLO [127.0.0.1]", "AUTH PLAIN", "QUIT"]
    (attempt,) = session.auth_attempts
    assert attempt.accepted
    assert (attempt.username, attempt.tls_version) == (ACCESS_KEY, "TLSv1.3")
    assert not found_in(session.clear_text.decode("latin-1"), [ACCESS_KEY, PASSWORD])
    assert not session.errors


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("fault", "reason"), FAULTS)
def test_faults(
    ses: SesStandIn, authority: CertificateAuthority, *, fault: str, reason: str, mode: Mode
) -> None:
    ses.accounts.switch_on(fault)
    got = refused(server(ses, mode), authority.ca_file)
    assert got.reason == reason
    session = only_session(ses)
    # After 421 the stand-in, as SES, does not wait for it.
    assert session.commands[-1:] == ([] if reason == "too_many_connections" else ["QUIT"])
    assert len(session.auth_attempts) == (0 if reason == "too_many_connections" else 1)


@pytest.mark.parametrize(("username", "password", "reason", "says"), WRONG)
def test_wrong_credentials(
    ses: SesStandIn,
    authority: CertificateAuthority,
    *,
    username: str,
    password: str,
    reason: str,
    says: str,
) -> None:
    with pytest.raises(LoginRefused) as caught:
        log_in(
            SmtpLogin(server(ses, Mode.STARTTLS), username, password),
            ca_file=str(authority.ca_file),
        )
    got = caught.value
    assert got.reason == reason
    assert says in got.message
    assert str(got.answer).startswith("535 ")
    assert got.outcome.tls_version == "TLSv1.3"
    assert len(only_session(ses).auth_attempts) == 1


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: str(row["mistake"])[:40])
def test_published_mistakes(
    ses: SesStandIn, authority: CertificateAuthority, row: dict[str, str]
) -> None:
    with pytest.raises(LoginRefused) as caught:
        log_in(
            SmtpLogin(server(ses, Mode.STARTTLS), ACCESS_KEY, row["wrong_smtp_password"]),
            ca_file=str(authority.ca_file),
        )
    assert caught.value.reason in ("credentials_invalid", "version_2")


# A man in the middle


@pytest.mark.parametrize("mode", MODES)
def test_another_authority(authority: CertificateAuthority, tmp_path: Path, mode: Mode) -> None:
    impostor = CertificateAuthority(tmp_path, "impostor").issue("localhost")
    with SesStandIn([Listener(REGION, impostor, mode=mode)]) as ses:
        got = refused(server(ses, mode), authority.ca_file)
        session = only_session(ses)
    assert got.reason == "certificate"
    assert "Neither user name nor password was sent" in got.message
    assert (got.outcome.tls_version, session.tls_version) == (None, None)
    assert session.commands == UP_TO_TLS[mode]
    assert_saw_no_login(session)


@pytest.mark.parametrize("mode", MODES)
def test_the_certificate_of_another_host(authority: CertificateAuthority, mode: Mode) -> None:
    certificate = authority.issue_for_region(REGION)
    with SesStandIn([Listener(REGION, certificate, mode=mode)]) as ses:
        got = refused(server(ses, mode), authority.ca_file)
        assert_saw_no_login(only_session(ses))
    assert got.reason == "certificate"
    assert "not the one that was meant" in got.message


def test_an_expired_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    expired = authority.issue_cert("localhost", not_after=yesterday)
    expired.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "expired.pem"))
    with SesStandIn([Listener(REGION, tmp_path / "expired.pem")]) as ses:
        got = refused(server(ses, Mode.STARTTLS), tmp_path / "ca.pem")
        assert_saw_no_login(only_session(ses))
    assert got.reason == "certificate"
    assert "clock" in got.message


@pytest.mark.parametrize("mode", MODES)
def test_a_certificate_without_a_subject_alt_name(tmp_path: Path, mode: Mode) -> None:
    """Its common name is the host's, and its authority is trusted."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "key.pem",
            "-out",
            "certificate.pem",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    with SesStandIn([Listener(REGION, both, mode=mode)]) as ses:
        got = refused(server(ses, mode), certificate)
        assert_saw_no_login(only_session(ses))
    assert got.reason == "certificate"
    assert "subjectAltName" in got.message


def test_stripped_starttls(ses: SesStandIn, authority: CertificateAuthority) -> None:
    at = SmtpServer("localhost", ses.port(REGION, Mode.STRIPPED), "starttls")
    got = refused(at, authority.ca_file)
    assert got.reason == "tls_not_offered"
    session = only_session(ses)
    assert session.commands == ["EHLO [127.0.0.1]", "QUIT"]
    assert_saw_no_login(session)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_old_tls(authority: CertificateAuthority, certificate: Path) -> None:
    seen: list[bytes] = []

    def old(conversation: Conversation) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.load_cert_chain(certificate)
        try:
            with conversation.in_tls(context) as connection:
                seen.append(connection.recv(4096))
        except ssl.SSLError:
            return

    with ScriptedServer(old) as listener:
        got = refused(SmtpServer("localhost", listener.port, "wrapper"), authority.ca_file)
    assert got.reason == "tls", got.message
    assert "1.2 or newer" in got.message
    assert seen == []


# Whom to trust


def test_a_directory_of_certificates(
    ses: SesStandIn, authority: CertificateAuthority, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.ca_file.read_bytes())
    at = server(ses, Mode.STARTTLS)
    assert refused(at, None, ca_path=str(tmp_path)).reason == "certificate"
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
    assert log_in(SmtpLogin(at, ACCESS_KEY, PASSWORD), ca_path=str(tmp_path)).accepted


def test_the_systems_certificates(
    ses: SesStandIn,
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    at = server(ses, Mode.WRAPPER)
    assert refused(at, None).reason == "certificate"
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    got = refused(at, None)
    assert (got.reason, "install the package ca-certificates" in got.message) == (
        "certificate",
        True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    assert log_in(SmtpLogin(at, ACCESS_KEY, PASSWORD)).accepted


# The wrong port


def test_starttls_on_a_port_for_wrapper(ses: SesStandIn, authority: CertificateAuthority) -> None:
    at = SmtpServer("localhost", ses.port(REGION, Mode.WRAPPER), "starttls")
    got = refused(at, authority.ca_file, timeout=0.5)
    assert got.reason == "timeout"
    assert "tls must be 'wrapper'" in got.message
    assert got.outcome.elapsed < 5


def test_wrapper_on_a_port_for_starttls(ses: SesStandIn, authority: CertificateAuthority) -> None:
    at = SmtpServer("localhost", ses.port(REGION), "wrapper")
    got = refused(at, authority.ca_file)
    assert got.reason == "tls_not_offered"
    assert "tls must be 'starttls'" in got.message


# An answer that echoes what it refuses


def test_an_echo(authority: CertificateAuthority, certificate: Path) -> None:
    def echo(conversation: Conversation) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with conversation.in_tls(context) as connection:
            connection.sendall(b"220 hello\r\n")
            connection.recv(4096)
            connection.sendall(b"250-host\r\n250 AUTH PLAIN\r\n")
            command = connection.recv(4096).strip()
            plain = base64.b64decode(command.split()[-1]).replace(b"\0", b" ")
            connection.sendall(b"535-unknown: " + command + b"\r\n535 which is" + plain + b"\r\n")
            connection.recv(4096)

    with ScriptedServer(echo) as listener:
        got = refused(SmtpServer("localhost", listener.port, "wrapper"), authority.ca_file)
    assert got.answer == f"535 unknown: AUTH PLAIN *** which is {ACCESS_KEY} ***"
