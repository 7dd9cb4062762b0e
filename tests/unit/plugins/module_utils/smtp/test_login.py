# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The login: its order of steps, what it never does, and what ends it. Real TLS: tests/functional."""

from __future__ import annotations

import base64
import dataclasses
import os
import socket
import ssl
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp import _login as _smtp_login
from ansible_collections.mailops.ses.plugins.module_utils._smtp._client import SmtpClient
from ansible_collections.mailops.ses.plugins.module_utils._smtp._login import (
    LoginOutcome,
    LoginRefused,
    log_in,
    log_in_with_retries,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.in_process.nominal_tls import NominalTls
from ansible_collections.mailops.ses.tests.support.ses.scripted_server import (
    ScriptedServer,
    talk,
)

PASSWORD = PASSWORD_OF["eu-west-1"]
PLAIN = b"AUTH PLAIN " + base64.b64encode(f"\0{ACCESS_KEY}\0{PASSWORD}".encode())
LOGIN = [b"AUTH LOGIN", *(base64.b64encode(text.encode()) for text in (ACCESS_KEY, PASSWORD))]
HELLO = b"220 hello\r\n"
EHLO = b"EHLO [127.0.0.1]"
OFFERS_TLS = b"250-host\r\n250 STARTTLS\r\n"
BOTH = b"250-host\r\n250 AUTH LOGIN PLAIN\r\n"
ACCEPTED = b"235 Authentication successful.\r\n"
BYE = b"221 bye\r\n"
UP_TO_TLS = [OFFERS_TLS, b"220 go\r\n"]

# case, answers after the greeting, the lines that the client sends, its mechanism
LOGINS: list[tuple[str, list[bytes], list[bytes], str]] = [
    ("PLAIN", [BOTH, ACCEPTED, BYE], [EHLO, PLAIN, b"QUIT"], "PLAIN"),
    (
        "LOGIN",
        [b"250-host\r\n250 AUTH LOGIN\r\n", b"334 \r\n", b"334 \r\n", ACCEPTED, BYE],
        [EHLO, *LOGIN, b"QUIT"],
        "LOGIN",
    ),
    ("no answer to QUIT", [BOTH, ACCEPTED, b""], [EHLO, PLAIN, b"QUIT"], "PLAIN"),
    ("an error after QUIT", [BOTH, ACCEPTED, b"451 no\r\n"], [EHLO, PLAIN, b"QUIT"], "PLAIN"),
]
# case, greeting, answers, reason, the lines that the client sends
REFUSED: list[tuple[str, bytes, list[bytes], str, list[bytes]]] = [
    (
        "busy",
        b"421 Too many concurrent SMTP connections\r\n",
        [BYE],
        "too_many_connections",
        [b"QUIT"],
    ),
    ("no service", b"554 no\r\n", [BYE], "unknown_answer", [b"QUIT"]),
    ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", [], "not_smtp", []),
    ("hangs up", b"", [], "connection_closed", []),
    ("no EHLO", HELLO, [b"502 no\r\n", BYE], "unknown_answer", [EHLO, b"QUIT"]),
    ("no STARTTLS", HELLO, [b"250 host\r\n", BYE], "tls_not_offered", [EHLO, b"QUIT"]),
    ("AUTH in the clear", HELLO, [BOTH, BYE], "tls_not_offered", [EHLO, b"QUIT"]),
    (
        "STARTTLS refused",
        HELLO,
        [OFFERS_TLS, b"454 TLS not available due to temporary reason\r\n", BYE],
        "tls_unavailable",
        [EHLO, b"STARTTLS", b"QUIT"],
    ),
    (
        "STARTTLS, and too many connections",
        HELLO,
        [OFFERS_TLS, b"421 Too many concurrent SMTP connections\r\n", BYE],
        "too_many_connections",
        [EHLO, b"STARTTLS", b"QUIT"],
    ),
    (
        "accepted before the user name",
        HELLO,
        [*UP_TO_TLS, b"250-host\r\n250 AUTH LOGIN\r\n", ACCEPTED, BYE],
        "not_smtp",
        [EHLO, b"STARTTLS", EHLO, LOGIN[0], b"QUIT"],
    ),
    (
        "accepted before the password",
        HELLO,
        [*UP_TO_TLS, b"250-host\r\n250 AUTH LOGIN\r\n", b"334 \r\n", ACCEPTED, BYE],
        "not_smtp",
        [EHLO, b"STARTTLS", EHLO, *LOGIN[:2], b"QUIT"],
    ),
    (
        "answers ahead of TLS",
        HELLO,
        [OFFERS_TLS, b"220 go\r\n250 AUTH PLAIN\r\n"],
        "not_smtp",
        [EHLO, b"STARTTLS"],
    ),
    (
        "no EHLO inside TLS",
        HELLO,
        [*UP_TO_TLS, b"421 busy\r\n", BYE],
        "unknown_answer",
        [EHLO, b"STARTTLS", EHLO, b"QUIT"],
    ),
    (
        "offers of before TLS",
        HELLO,
        [b"250-host\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n", b"220 go\r\n", b"250 host\r\n", BYE],
        "no_mechanism",
        [EHLO, b"STARTTLS", EHLO, b"QUIT"],
    ),
    (
        "other mechanisms",
        HELLO,
        [*UP_TO_TLS, b"250-host\r\n250 AUTH CRAM-MD5 PLAIN-CLIENTTOKEN\r\n", BYE],
        "no_mechanism",
        [EHLO, b"STARTTLS", EHLO, b"QUIT"],
    ),
    (
        "LOGIN is ended early",
        HELLO,
        [*UP_TO_TLS, b"250-host\r\n250 AUTH LOGIN\r\n", b"535 no\r\n", BYE],
        "credentials_invalid",
        [EHLO, b"STARTTLS", EHLO, b"AUTH LOGIN", b"QUIT"],
    ),
    (
        "not another mechanism",
        HELLO,
        [*UP_TO_TLS, BOTH, b"535 Authentication Credentials Invalid\r\n", BYE],
        "credentials_invalid",
        [EHLO, b"STARTTLS", EHLO, PLAIN, b"QUIT"],
    ),
    (
        "an answer that goes on",
        HELLO,
        [*UP_TO_TLS, BOTH, b"334 \r\n", BYE],
        "unknown_answer",
        [EHLO, b"STARTTLS", EHLO, PLAIN, b"QUIT"],
    ),
    (
        "hangs up instead of an answer",
        HELLO,
        [*UP_TO_TLS, BOTH, b""],
        "connection_closed",
        [EHLO, b"STARTTLS", EHLO, PLAIN],
    ),
]
# what the TLS handshake ends in, the reason
HANDSHAKES: list[tuple[Exception, str]] = [
    (ssl.SSLCertVerificationError(1, "certificate verify failed"), "certificate"),
    (ssl.SSLError(1, "unsupported protocol"), "tls"),
    (socket.timeout("handshake"), "timeout"),  # noqa: UP041  # another class up to Python 3.9
    (ConnectionResetError(), "connection_closed"),
]


@pytest.fixture(name="context")
def fixture_context(monkeypatch: pytest.MonkeyPatch) -> NominalTls:
    context = NominalTls()
    monkeypatch.setattr(ssl, "create_default_context", lambda **_options: context)
    return context


def server_at(server: ScriptedServer, tls: str = "starttls") -> SmtpServer:
    return SmtpServer("127.0.0.1", server.port, tls)


def lines(server: ScriptedServer) -> list[bytes]:
    (conversation,) = server.conversations
    return conversation.received.split(b"\r\n")[:-1]


@pytest.mark.parametrize("tls", ["starttls", "wrapper"])
@pytest.mark.parametrize(
    ("case", "answers", "sent", "mechanism"), LOGINS, ids=[row[0] for row in LOGINS]
)
def test_login(
    context: NominalTls,
    *,
    case: str,
    answers: list[bytes],
    sent: list[bytes],
    mechanism: str,
    tls: str,
) -> None:
    begin = UP_TO_TLS if tls == "starttls" else []
    with ScriptedServer(talk(HELLO, *begin, *answers)) as server:
        accepted = log_in(SmtpLogin(server_at(server, tls), ACCESS_KEY, PASSWORD))
    assert 0 <= accepted.elapsed < 5
    assert dataclasses.replace(accepted, elapsed=0.0) == LoginOutcome(
        accepted=True,
        host="127.0.0.1",
        port=server.port,
        address="127.0.0.1",
        tls_version="TLSv1.3",
        mechanism=mechanism,
        logged_in=True,
    )
    assert lines(server) == ([EHLO, b"STARTTLS"] if tls == "starttls" else []) + sent
    assert context.names == ["127.0.0.1"]
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not context.hostname_checks_common_name


@pytest.mark.parametrize(
    ("case", "greeting", "answers", "reason", "sent"), REFUSED, ids=[row[0] for row in REFUSED]
)
def test_refused(
    context: NominalTls,
    *,
    case: str,
    greeting: bytes,
    answers: list[bytes],
    reason: str,
    sent: list[bytes],
) -> None:
    script = talk(greeting, *answers)
    with ScriptedServer(script) as server, pytest.raises(LoginRefused) as caught:
        log_in(SmtpLogin(server_at(server), ACCESS_KEY, PASSWORD))
    refused = caught.value
    assert refused.reason == reason, refused.message
    assert lines(server) == sent
    got = refused.outcome
    assert (got.accepted, got.logged_in, got.port) == (False, False, server.port)
    assert got.address == "127.0.0.1"
    assert "attacker" not in refused.message or "offers no STARTTLS" in refused.message
    assert got.tls_version == ("TLSv1.3" if sent[2:3] == [EHLO] else None)
    assert (got.mechanism is not None) == any(line.startswith(b"AUTH") for line in sent)
    assert not found_in(refused.message, [PASSWORD])
    # Ansible would show it.
    assert refused.__cause__ is None


@pytest.mark.parametrize("tls", ["starttls", "wrapper"])
@pytest.mark.parametrize(("error", "reason"), HANDSHAKES, ids=[row[1] for row in HANDSHAKES])
def test_nothing_is_sent_after_a_failed_handshake(
    context: NominalTls, error: Exception, reason: str, tls: str
) -> None:
    context.errors = [error]
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_code, error.verify_message = 20, "unable to get local issuer certificate"
    if isinstance(error, ssl.SSLError):
        error.reason = "A_REASON"
    script = talk(HELLO, *UP_TO_TLS) if tls == "starttls" else talk(b"", stays=True)
    with ScriptedServer(script) as server, pytest.raises(LoginRefused) as caught:
        log_in(SmtpLogin(server_at(server, tls), ACCESS_KEY, PASSWORD))
    assert caught.value.reason == reason
    assert caught.value.outcome.tls_version is None
    assert lines(server) == ([EHLO, b"STARTTLS"] if tls == "starttls" else [])


def test_a_server_that_answers_nothing(context: NominalTls) -> None:
    with ScriptedServer(talk(b"", stays=True)) as server, pytest.raises(LoginRefused) as caught:
        log_in(SmtpLogin(server_at(server), ACCESS_KEY, PASSWORD), timeout=0.2)
    assert caught.value.reason == "timeout"
    assert 0.15 < caught.value.outcome.elapsed < 2


def test_no_connection(context: NominalTls) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(LoginRefused) as caught:
            log_in(
                SmtpLogin(
                    SmtpServer("127.0.0.1", probe.getsockname()[1], "starttls"), "user", PASSWORD
                )
            )
    assert caught.value.reason == "connection_refused"
    assert caught.value.outcome.address == "127.0.0.1"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example.com"])
def test_no_address(context: NominalTls, host: str) -> None:
    with pytest.raises(LoginRefused) as caught:
        log_in(SmtpLogin(SmtpServer(host, 587, "starttls"), ACCESS_KEY, PASSWORD))
    assert caught.value.reason == "name_resolution"
    assert caught.value.outcome.address is None


def test_what_has_no_bytes_is_refused_by_the_server(context: NominalTls) -> None:
    script = [*UP_TO_TLS, BOTH, b"535 Authentication Credentials Invalid\r\n", BYE]
    with ScriptedServer(talk(HELLO, *script)) as server, pytest.raises(LoginRefused) as caught:
        log_in(SmtpLogin(server_at(server), ACCESS_KEY, "a lone \udcff surrogate"))
    assert caught.value.reason == "credentials_invalid"


def test_the_context_demands_a_certificate_for_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts: list[ssl.SSLContext] = []

    def start_tls(_self: SmtpClient, context: ssl.SSLContext) -> None:
        contexts.append(context)
        raise ConnectionResetError

    monkeypatch.setattr(SmtpClient, "start_tls", start_tls)
    with ScriptedServer(talk(b"", stays=True)) as server, pytest.raises(LoginRefused):
        log_in(SmtpLogin(server_at(server, "wrapper"), ACCESS_KEY, PASSWORD))
    (context,) = contexts
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not context.hostname_checks_common_name


@pytest.mark.parametrize("option", ["ca_file", "ca_path"])
@pytest.mark.parametrize("kind", ["missing", "text"])
def test_unusable_certificates(tmp_path: Path, option: str, kind: str) -> None:
    path = tmp_path / "ca"
    if kind == "text":
        path.write_text("no certificate")
    options: dict[str, t.Any] = {option: os.fspath(path)}
    with ScriptedServer(talk(b"", stays=True)) as server, pytest.raises(LoginRefused) as caught:
        log_in(SmtpLogin(server_at(server), ACCESS_KEY, PASSWORD), **options)
    assert caught.value.reason == "ca"
    assert os.fspath(path) in caught.value.message
    assert server.conversations == []


class Attempts:
    """Refuses with each of ``refusals`` (whether it may pass), then accepts."""

    def __init__(self, refusals: list[bool]) -> None:
        self.refusals = list(refusals)
        self.waits: list[float] = []

    def __call__(self) -> LoginOutcome:
        if self.refusals:
            may_pass = self.refusals.pop(0)
            raise LoginRefused(SmtpServer("h", 587, "starttls"), "timeout", "m", None, may_pass)
        return LoginOutcome(True, "h", 587)


# refusals, retries, attempts, whether it is accepted in the end
RETRIES: list[tuple[list[bool], int, int, bool]] = [
    ([], 0, 1, True),
    ([True], 0, 1, False),
    ([True], 1, 2, True),
    ([True, True], 5, 3, True),
    ([True, True, True], 2, 3, False),
    ([False], 5, 1, False),
    ([True, False], 5, 2, False),
]


@pytest.mark.parametrize(("refusals", "retries", "number", "accepted"), RETRIES)
def test_retries(refusals: list[bool], retries: int, number: int, accepted: bool) -> None:
    attempts = Attempts(refusals)
    if accepted:
        got = log_in_with_retries(attempts, retries, 7.5, attempts.waits.append)
    else:
        with pytest.raises(LoginRefused) as caught:
            log_in_with_retries(attempts, retries, 7.5, attempts.waits.append)
        got = caught.value.outcome
    assert (got.accepted, got.attempts) == (accepted, number)
    assert attempts.waits == [7.5] * (number - 1)


def test_no_negative_retries() -> None:
    with pytest.raises(ValueError, match="negative"):
        log_in_with_retries(Attempts([]), -1, 0)


def test_nothing_else_is_public() -> None:
    assert sorted(_smtp_login.__all__) == [
        "LoginOutcome",
        "LoginRefused",
        "log_in",
        "log_in_with_retries",
    ]
