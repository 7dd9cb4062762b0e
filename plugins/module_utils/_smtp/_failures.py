# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What fails without an answer of the server's that means it: what that is, and the remedy.

Source of the ports: "Connecting to an Amazon SES SMTP endpoint"
(https://docs.aws.amazon.com/ses/latest/dg/smtp-connect.html).
"""

from __future__ import annotations

import os
import socket
import ssl
import typing as t

from ._outcome import LoginRefused
from ._server import SmtpServer

__all__ = (
    "accepted_too_early",
    "ca_unusable",
    "certificate_not_trusted",
    "certificate_without_names",
    "connection_lost",
    "name_not_resolved",
    "no_mechanism",
    "not_connected",
    "not_smtp",
    "starttls_not_offered",
    "tls_failed",
)

_NOTHING_SENT = "Neither user name nor password was sent"
_OTHER_PORTS = "SES has 587, 2587 and 25 for tls 'starttls', 465 and 2465 for tls 'wrapper'"
# OpenSSL's reasons when the other side speaks, but not TLS; they differ with its version.
_SPEAKS_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}
)
# X509_V_ERR_*, of x509_vfy.h
_NOT_IN_TIME = frozenset({9, 10})
_OTHER_NAME = frozenset({62, 64})


# Before the server says a word


def name_not_resolved(server: SmtpServer, error: Exception) -> LoginRefused:
    """The host's name has no address; ``error`` is of getaddrinfo() or of IDNA."""
    why = error.strerror if isinstance(error, socket.gaierror) else "it is no host name"
    again = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
    return LoginRefused(
        server,
        "name_resolution",
        f"{server.host} can't be resolved on this host: {why}. Look at its name server "
        "(/etc/resolv.conf), and for a misspelling in the region or endpoint",
        may_pass=again,
    )


def not_connected(
    server: SmtpServer, error: OSError, addresses: t.Sequence[str], timeout: float
) -> LoginRefused:
    """No connection to any of ``addresses``; ``timeout`` is in seconds."""
    where = f"{server} ({', '.join(addresses)})"
    if _timed_out(error):
        throttled = "; EC2 throttles port 25, use another" if server.port == 25 else ""
        return LoginRefused(
            server,
            "port_blocked",
            f"{where} does not answer within {timeout:g} s. A firewall, security group or network "
            f"ACL on the way drops the connection{throttled}. Open the port, or try another: "
            f"{_OTHER_PORTS}",
            may_pass=True,
        )
    if isinstance(error, ConnectionError):
        return LoginRefused(
            server,
            "connection_refused",
            f"{where} refuses the connection: nothing listens there, or a firewall rejects it. "
            f"{_OTHER_PORTS}",
            may_pass=True,
        )
    return LoginRefused(
        server,
        "unreachable",
        f"{where} can't be reached: {error.strerror or type(error).__name__}. Look at this host's "
        "routes, its NAT gateway or its VPC endpoint",
        may_pass=True,
    )


# While it should speak


def connection_lost(
    server: SmtpServer,
    error: OSError,
    stage: str,
    timeout: float,
    *,
    message_is_sent: bool = False,
) -> LoginRefused:
    """The connection timed out or ended during ``stage``; ``timeout`` is in seconds.

    If the whole message is sent, the server may have accepted it, so that it is not sent again.
    """
    hint = ""
    if message_is_sent:
        hint = ". Whether it accepted the message is unknown, so it is not sent again"
    elif stage == "the greeting" and server.tls == "starttls":
        hint = ". If the port speaks TLS from the first byte, tls must be 'wrapper'"
    if _timed_out(error):
        return LoginRefused(
            server,
            "timeout",
            f"{server} took the connection, but {stage} was not over after {timeout:g} s{hint}",
            may_pass=not message_is_sent,
        )
    return LoginRefused(
        server,
        "connection_closed",
        f"{server} closed the connection during {stage}{hint}",
        may_pass=not message_is_sent,
    )


def not_smtp(server: SmtpServer, stage: str) -> LoginRefused:
    """Something else than SMTP came during ``stage``."""
    return LoginRefused(
        server,
        "not_smtp",
        f"What listens at {server} does not speak SMTP as it should during {stage}. "
        f"Check host and port; {_OTHER_PORTS}",
    )


# TLS


def starttls_not_offered(server: SmtpServer) -> LoginRefused:
    """The EHLO reply has no STARTTLS."""
    return LoginRefused(
        server,
        "tls_not_offered",
        f"{server} offers no STARTTLS. SES always does: this is another server, or "
        "something on the way (a firewall's SMTP inspection, an attacker) takes the offer out. "
        f"{_NOTHING_SENT}",
    )


def tls_failed(server: SmtpServer, error: ssl.SSLError) -> LoginRefused:
    """The TLS handshake failed, but not because of the certificate."""
    why = error.reason or type(error).__name__
    if server.tls == "wrapper" and why in _SPEAKS_NO_TLS:
        return LoginRefused(
            server,
            "tls_not_offered",
            f"{server} does not speak TLS from the first byte. If it is a port for "
            f"STARTTLS, tls must be 'starttls'. {_OTHER_PORTS}. {_NOTHING_SENT}",
        )
    return LoginRefused(
        server,
        "tls",
        f"TLS with {server} failed: {why}. It must be version 1.2 or newer. {_NOTHING_SENT}",
    )


def certificate_not_trusted(
    server: SmtpServer,
    error: ssl.SSLCertVerificationError,
    ca_file: str | None,
    ca_path: str | None,
) -> LoginRefused:
    """The certificate did not verify against ``ca_file`` and ``ca_path``, or the system's."""
    if error.verify_code in _OTHER_NAME:
        remedy = (
            "The server is not the one that was meant, or endpoint is not a name in its"
            " certificate's subjectAltName"
        )
    elif error.verify_code in _NOT_IN_TIME:
        remedy = "Look at this host's clock first"
    elif ca_file or ca_path:
        given = " and ".join(name for name in (ca_file, ca_path) if name)
        remedy = (
            f"Its authority is not in {given} (in a directory, `openssl rehash` makes the links)"
        )
    elif not _system_has_certificates():
        remedy = "This host has no CA certificates: install the package ca-certificates"
    else:
        remedy = (
            "Its authority is not among this host's: update the package ca-certificates, or give "
            "ca_file. With a current one, somebody is between this host and SES"
        )
    why = error.verify_message.rstrip(".")
    return LoginRefused(
        server,
        "certificate",
        f"The certificate of {server} can't be trusted: {why}. {remedy}. {_NOTHING_SENT}",
    )


def certificate_without_names(server: SmtpServer) -> LoginRefused:
    """The certificate names hosts nowhere but in its subject, if at all."""
    return LoginRefused(
        server,
        "certificate",
        f"The certificate of {server} can't be trusted: it has no subjectAltName with a host's name"
        " or address, which every current client demands. Give the server a certificate that has"
        f" one. {_NOTHING_SENT}",
    )


def ca_unusable(server: SmtpServer, option: str, path: str, error: OSError | None) -> LoginRefused:
    """The file or directory that ``option`` names can't be read or holds no certificate."""
    if error is None:
        why = "is no directory"
    elif isinstance(error, ssl.SSLError):
        why = "holds no CA certificate in PEM form"
    else:
        why = f"can't be read: {error.strerror}"
    return LoginRefused(
        server,
        "ca",
        f"{option} '{path}' {why}. The system's own comes with the package ca-certificates and is "
        f"used without {option}",
    )


def accepted_too_early(server: SmtpServer) -> LoginRefused:
    """The server accepts the login before it has the password, which proves nothing."""
    return LoginRefused(
        server,
        "not_smtp",
        f"{server} accepted the login before the password was sent, so it has not checked it. SES"
        " does not do that. Check host and port",
    )


def no_mechanism(server: SmtpServer, offered: str) -> LoginRefused:
    """The server offers other mechanisms than PLAIN and LOGIN, or none."""
    return LoginRefused(
        server,
        "no_mechanism",
        f"{server} offers neither PLAIN nor LOGIN to log in with, but "
        f"{offered or 'nothing'}. SES offers both: this is another server",
    )


def _timed_out(error: OSError) -> bool:
    return isinstance(error, (socket.timeout, TimeoutError))


def _system_has_certificates() -> bool:
    paths = ssl.get_default_verify_paths()
    if paths.cafile and os.path.getsize(paths.cafile):
        return True
    return bool(paths.capath and os.listdir(paths.capath))
