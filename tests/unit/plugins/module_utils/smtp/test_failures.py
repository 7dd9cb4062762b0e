# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of a login that fails before the server is told a user name."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp import _failures as failures
from ansible_collections.mailops.ses.plugins.module_utils._smtp._outcome import (
    REASONS,
    LoginRefused,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import (
    SmtpServer,
    region_of_endpoint,
)

HOST = "email-smtp.eu-west-1.amazonaws.com"
SERVER = SmtpServer(HOST, 587, "starttls")
PORT_25 = SmtpServer(HOST, 25, "starttls")
WRAPPER = SmtpServer(HOST, 465, "wrapper")
TIMED_OUT = socket.timeout()  # noqa: UP041  # another class up to Python 3.9
ADDRESSES = ["192.0.2.1", "192.0.2.2"]


def tls_error(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "an error of OpenSSL")
    error.reason = reason  # type: ignore[assignment]
    return error


def untrusted(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    error.verify_message = "the words of OpenSSL."
    return error


# case, refusal, reason, whether it may pass, parts of the message
FAILURES: list[tuple[str, LoginRefused, str, bool, list[str]]] = [
    (
        "no such name",
        failures.name_not_resolved(SERVER, socket.gaierror(socket.EAI_NONAME, "unknown")),
        "name_resolution",
        False,
        ["can't be resolved on this host: unknown", "/etc/resolv.conf"],
    ),
    (
        "no name server",
        failures.name_not_resolved(SERVER, socket.gaierror(socket.EAI_AGAIN, "not now")),
        "name_resolution",
        True,
        ["not now"],
    ),
    (
        "no host name",
        failures.name_not_resolved(SERVER, UnicodeError("label too long")),
        "name_resolution",
        False,
        ["no host name"],
    ),
    (
        "blocked",
        failures.not_connected(SERVER, TIMED_OUT, ADDRESSES, 2.5),
        "port_blocked",
        True,
        ["(192.0.2.1, 192.0.2.2)", "within 2.5 s", "firewall", "587, 2587", "465 and 2465"],
    ),
    (
        "blocked, says the kernel",
        failures.not_connected(PORT_25, TimeoutError(errno.ETIMEDOUT, "timed out"), ADDRESSES, 10),
        "port_blocked",
        True,
        ["port 25 (", "EC2 throttles port 25"],
    ),
    (
        "refused",
        failures.not_connected(SERVER, ConnectionRefusedError(), ADDRESSES, 10),
        "connection_refused",
        True,
        ["refuses the connection", "2587"],
    ),
    (
        "no route",
        failures.not_connected(SERVER, OSError(errno.ENETUNREACH, "no network"), ADDRESSES, 10),
        "unreachable",
        True,
        ["no network", "NAT gateway", "VPC endpoint"],
    ),
    (
        "no greeting",
        failures.connection_lost(SERVER, TIMED_OUT, "the greeting", 10),
        "timeout",
        True,
        ["the greeting was not over after 10 s", "'wrapper'"],
    ),
    (
        "no end",
        failures.connection_lost(WRAPPER, TIMED_OUT, "the login", 10),
        "timeout",
        True,
        ["the login was not over"],
    ),
    (
        "hung up",
        failures.connection_lost(SERVER, ConnectionResetError(), "EHLO", 10),
        "connection_closed",
        True,
        ["closed the connection during EHLO"],
    ),
    (
        "no answer to the message",
        failures.connection_lost(SERVER, TIMED_OUT, "the message", 10, message_is_sent=True),
        "timeout",
        False,
        ["the message was not over after 10 s. Whether it accepted the message is unknown"],
    ),
    (
        "hung up after the message",
        failures.connection_lost(
            SERVER, ConnectionResetError(), "the message", 10, message_is_sent=True
        ),
        "connection_closed",
        False,
        ["so it is not sent again"],
    ),
    (
        "no names",
        failures.certificate_without_names(SERVER),
        "certificate",
        False,
        ["no subjectAltName", "every current client", "Neither user name nor password was sent"],
    ),
    (
        "accepted before the password",
        failures.accepted_too_early(SERVER),
        "not_smtp",
        False,
        ["before the password was sent"],
    ),
    ("SSH", failures.not_smtp(SERVER, "the greeting"), "not_smtp", False, ["does not speak SMTP"]),
    (
        "no STARTTLS",
        failures.starttls_not_offered(SERVER),
        "tls_not_offered",
        False,
        ["offers no STARTTLS", "attacker", "Neither user name nor password was sent"],
    ),
    (
        "no TLS",
        failures.tls_failed(WRAPPER, tls_error("WRONG_VERSION_NUMBER")),
        "tls_not_offered",
        False,
        ["tls must be 'starttls'", "Neither user name nor password was sent"],
    ),
    (
        "old TLS",
        failures.tls_failed(SERVER, tls_error("UNSUPPORTED_PROTOCOL")),
        "tls",
        False,
        ["UNSUPPORTED_PROTOCOL", "1.2 or newer", "Neither user name nor password was sent"],
    ),
    (
        "TLS without a reason",
        failures.tls_failed(WRAPPER, tls_error(None)),
        "tls",
        False,
        ["failed: SSLError"],
    ),
    (
        "other name",
        failures.certificate_not_trusted(SERVER, untrusted(62), None, None),
        "certificate",
        False,
        ["the words of OpenSSL", "not the one that was meant", "subjectAltName", "Neither user"],
    ),
    (
        "expired",
        failures.certificate_not_trusted(SERVER, untrusted(10), None, None),
        "certificate",
        False,
        ["clock"],
    ),
    (
        "not in ca_file",
        failures.certificate_not_trusted(SERVER, untrusted(20), "/etc/ca.pem", None),
        "certificate",
        False,
        ["not in /etc/ca.pem (", "Neither user name"],
    ),
    (
        "not in both",
        failures.certificate_not_trusted(SERVER, untrusted(20), "/etc/ca.pem", "/etc/ca"),
        "certificate",
        False,
        ["not in /etc/ca.pem and /etc/ca (", "openssl rehash"],
    ),
    (
        "no ca_path",
        failures.ca_unusable(SERVER, "ca_path", "/etc/ca", None),
        "ca",
        False,
        ["ca_path '/etc/ca' is no directory"],
    ),
    (
        "no ca_file",
        failures.ca_unusable(SERVER, "ca_file", "/x", FileNotFoundError(2, "not there")),
        "ca",
        False,
        ["ca_file '/x' can't be read: not there", "ca-certificates"],
    ),
    (
        "no certificate in ca_file",
        failures.ca_unusable(SERVER, "ca_file", "/x", tls_error(None)),
        "ca",
        False,
        ["ca_file '/x' holds no CA certificate in PEM form"],
    ),
    (
        "no mechanism",
        failures.no_mechanism(SERVER, "CRAM-MD5"),
        "no_mechanism",
        False,
        ["neither PLAIN nor LOGIN", "but CRAM-MD5"],
    ),
    ("no AUTH", failures.no_mechanism(SERVER, ""), "no_mechanism", False, ["but nothing"]),
]


@pytest.mark.parametrize(
    ("case", "refused", "reason", "may_pass", "says"), FAILURES, ids=[row[0] for row in FAILURES]
)
def test_failure(
    case: str, refused: LoginRefused, reason: str, may_pass: bool, says: list[str]
) -> None:
    assert (refused.reason, refused.may_pass, refused.answer) == (reason, may_pass, None)
    assert refused.reason in REASONS
    assert not [part for part in says if part not in refused.message], refused.message
    assert not refused.message.endswith(".")
    assert ".." not in refused.message
    assert refused.outcome.host == HOST
    assert not refused.outcome.accepted


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "install the package ca-certificates"),
        (["ca.pem"], "update the package ca-certificates"),
        (["certs/0a1b2c3d.0"], "update the package ca-certificates"),
    ],
)
def test_the_systems_certificates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: list[str], says: str
) -> None:
    (tmp_path / "certs").mkdir()
    for name in files:
        (tmp_path / name).write_text("a certificate")
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", os.fspath(tmp_path / "certs"))
    refused = failures.certificate_not_trusted(SERVER, untrusted(20), None, None)
    assert says in refused.message


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (HOST, "eu-west-1"),
        ("email-smtp-fips.us-east-1.api.aws", "us-east-1"),
        ("EMAIL-SMTP.EU-WEST-1.AMAZONAWS.COM", "eu-west-1"),
        ("email-smtp.eu-west-1.amazonaws.com.example.org", None),
        ("email-smtp.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("email-smtp.eusc-de-east-1.api.amazonwebservices.eu", "eusc-de-east-1"),
        ("email-smtp.cn-north-1.amazonaws.com.cn", None),
        ("localhost", None),
    ],
)
def test_region_of_endpoint(host: str, region: str | None) -> None:
    assert region_of_endpoint(host) == region


def test_server() -> None:
    assert str(SERVER) == f"{HOST} port 587"
    assert SERVER.relayhost == f"[{HOST}]:587"
