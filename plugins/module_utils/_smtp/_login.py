# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Log in to an SMTP server and quit: does it accept this user name and password, and a message?

User name and password are sent inside TLS only, after the certificate was verified for the
server's name. Without a message, nothing but QUIT comes after them.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import socket
import ssl
import time
import typing as t

from .._smtp import _failures as failures
from ._answers import (
    login_answered,
    message_answered,
    server_answered,
)
from ._client import (
    NoNamesError,
    NotSmtpError,
    Reply,
    SmtpClient,
)
from ._outcome import LoginOutcome, LoginRefused

if t.TYPE_CHECKING:
    from ._message import ProbeMessage
    from ._server import SmtpLogin, SmtpServer

__all__ = ("LoginOutcome", "LoginRefused", "log_in", "log_in_with_retries")

_MECHANISMS = ("PLAIN", "LOGIN")  # SES has these two
_MESSAGE_ID = re.compile(r"Ok ([\w.-]+)")


def log_in(
    login: SmtpLogin,
    *,
    message: ProbeMessage | None = None,
    timeout: float = 10.0,
    ca_file: str | None = None,
    ca_path: str | None = None,
) -> LoginOutcome:
    """Log in, send ``message`` if there is one, and quit; return how it was accepted.

    ``timeout``, in seconds, is for all of it together, except for the look-up of the name, which
    the system's resolver limits. Trusted are the authorities in the PEM file ``ca_file`` and in
    the hashed directory ``ca_path``, or, with neither, those that the system trusts.

    :raises LoginRefused: if it is not accepted, for whatever reason.
    """
    attempt = _Attempt(login, message, timeout=timeout)
    return attempt.run(ca_file, ca_path)


def log_in_with_retries(
    attempt: t.Callable[[], LoginOutcome],
    retries: int,
    delay: float,
    sleep: t.Callable[[float], None] = time.sleep,
) -> LoginOutcome:
    """Return what ``attempt`` returns, called again up to ``retries`` times while it may help.

    It may after a refusal with ``may_pass``: a connection that failed before a message was sent, an
    answer that is temporary, other than that of a used-up daily quota, and 535 for a well-formed
    password, because SES learns of a new access key with some delay. ``delay`` is in seconds.

    :raises LoginRefused: the last one.
    """
    for number in range(1, retries + 2):
        try:
            return dataclasses.replace(attempt(), attempts=number)
        except LoginRefused as refused:
            refused.outcome = dataclasses.replace(refused.outcome, attempts=number)
            if number > retries or not refused.may_pass:
                raise
        sleep(delay)
    raise ValueError("retries is negative")


class _Attempt:
    def __init__(self, login: SmtpLogin, message: ProbeMessage | None, *, timeout: float) -> None:
        self._login = login
        self._message = message
        self._server = server = login.server
        self._timeout = timeout
        self._client = SmtpClient(server.host, server.port, timeout)
        self._mechanism: str | None = None
        self._stage = ""  # for an error: what was under way when it failed
        self._logged_in = False
        self._message_is_sent = False
        self._message_id: str | None = None

    def run(self, ca_file: str | None, ca_path: str | None) -> LoginOutcome:
        started = time.monotonic()
        try:
            authorities = _Authorities(self._server, ca_file, ca_path)
            with self._client:
                self._connect()
                self._talk(authorities)
        except LoginRefused as refused:
            refused.outcome = self._outcome(False, started)
            raise
        return self._outcome(True, started)

    def _outcome(self, accepted: bool, started: float) -> LoginOutcome:
        addresses = self._client.addresses
        return LoginOutcome(
            accepted=accepted,
            host=self._server.host,
            port=self._server.port,
            address=addresses[-1] if addresses else None,
            tls_version=self._client.tls_version,
            mechanism=self._mechanism,
            elapsed=round(time.monotonic() - started, 3),
            logged_in=self._logged_in,
            message_id=self._message_id,
        )

    def _connect(self) -> None:
        try:
            self._client.connect()
        except (socket.gaierror, UnicodeError) as exc:
            raise failures.name_not_resolved(self._server, exc) from None
        except OSError as exc:
            raise failures.not_connected(
                self._server, exc, self._client.addresses, self._timeout
            ) from None

    def _talk(self, authorities: _Authorities) -> None:
        try:
            self._begin(authorities)
            self._authenticate()
            if self._message is not None:
                self._send(self._message)
            self._client.quit()
        except NotSmtpError:
            raise failures.not_smtp(self._server, self._stage) from None
        except OSError as exc:
            raise failures.connection_lost(
                self._server,
                exc,
                self._stage,
                self._timeout,
                message_is_sent=self._message_is_sent,
            ) from None

    def _begin(self, authorities: _Authorities) -> None:
        """From the first byte to the EHLO reply inside TLS."""
        if self._server.tls == "wrapper":
            self._start_tls(authorities)
        self._stage = "the greeting"
        self._expect(220, self._client.reply())
        if self._server.tls == "starttls":
            self._stage = "STARTTLS"
            self._expect(250, self._client.ehlo())
            if "STARTTLS" not in self._client.extensions:
                self._client.quit()
                raise failures.starttls_not_offered(self._server)
            self._expect(220, self._client.command("STARTTLS"), "STARTTLS")
            self._start_tls(authorities)
        self._stage = "EHLO"
        self._expect(250, self._client.ehlo())

    def _start_tls(self, authorities: _Authorities) -> None:
        self._stage = "the TLS handshake"
        try:
            self._client.start_tls(authorities.context)
        except ssl.SSLCertVerificationError as exc:
            raise failures.certificate_not_trusted(
                self._server, exc, authorities.ca_file, authorities.ca_path
            ) from None
        except NoNamesError:
            raise failures.certificate_without_names(self._server) from None
        except ssl.SSLError as exc:
            raise failures.tls_failed(self._server, exc) from None

    def _expect(self, code: int, reply: Reply, to: str = "") -> None:
        if reply.code != code:
            self._client.quit()
            raise server_answered(self._server, reply, to)

    def _authenticate(self) -> None:
        self._stage = "the login"
        offered = self._client.extensions.get("AUTH", "")
        self._mechanism = next((name for name in _MECHANISMS if name in offered.split()), None)
        if self._mechanism is None:
            self._client.quit()
            raise failures.no_mechanism(self._server, offered)
        reply = self._plain() if self._mechanism == "PLAIN" else self._two_steps()
        if reply.code != 235:
            self._client.quit()
            raise login_answered(self._login, reply)
        self._logged_in = True

    def _plain(self) -> Reply:
        """AUTH PLAIN with an initial response: RFC 4616 and RFC 4954."""
        response = _base64(f"\0{self._login.username}\0{self._login.password}")
        return self._client.command(f"AUTH PLAIN {response}")

    def _two_steps(self) -> Reply:
        """AUTH LOGIN: the server asks for the user name, then for the password."""
        reply = self._client.command("AUTH LOGIN")
        for text in (self._login.username, self._login.password):
            if reply.code == 235:
                self._client.quit()
                raise failures.accepted_too_early(self._server)
            if reply.code != 334:
                break
            reply = self._client.command(_base64(text))
        return reply

    def _send(self, message: ProbeMessage) -> None:
        for stage, code, command in (
            ("MAIL FROM", 250, f"MAIL FROM:<{message.sender}>"),
            ("RCPT TO", 250, f"RCPT TO:<{message.recipient}>"),
            ("DATA", 354, "DATA"),
        ):
            self._stage = stage
            self._expect_for_message(code, self._client.command(command), stage)
        self._stage = "the message"
        self._message_is_sent = True
        reply = self._client.send_message(message.content())
        self._expect_for_message(250, reply, "the message")
        found = _MESSAGE_ID.fullmatch(reply.text)
        self._message_id = found.group(1) if found else None

    def _expect_for_message(self, code: int, reply: Reply, to: str) -> None:
        if reply.code != code:
            self._client.quit()
            raise message_answered(self._login, reply, to)


class _Authorities:
    """Whom to trust, and the TLS that demands it: 1.2 or newer, a certificate for the name."""

    def __init__(self, server: SmtpServer, ca_file: str | None, ca_path: str | None) -> None:
        self.ca_file = ca_file
        self.ca_path = ca_path
        if ca_path and not os.path.isdir(ca_path):  # OpenSSL would not mind
            raise failures.ca_unusable(server, "ca_path", ca_path, None)
        try:
            self.context = ssl.create_default_context(cafile=ca_file, capath=ca_path)
        except OSError as exc:
            raise failures.ca_unusable(server, "ca_file", str(ca_file), exc) from None
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Not every OpenSSL that Python 3.7 is built with can do that: see SmtpClient.start_tls().
        if ssl.HAS_NEVER_CHECK_COMMON_NAME:
            self.context.hostname_checks_common_name = False


def _base64(text: str) -> str:
    # What UTF-8 has no form for is in no password of SES, and "?" makes it refuse that one.
    return base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
