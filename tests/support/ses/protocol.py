# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One SMTP connection as Amazon SES speaks it, on top of aiosmtpd."""

from __future__ import annotations

import asyncio
import enum
import functools
import re
import ssl
import typing as t
from dataclasses import dataclass
from pathlib import Path

from aiosmtpd.smtp import (
    SMTP,
    AuthResult,
    Envelope,
    LoginPassword,
    TLSSetupException,
    syntax,
)
from aiosmtpd.smtp import Session as SmtpSession

from . import answers as ses_answers
from .accounts import AccountBook, Verdict
from .answers import Fault, Stage
from .records import AuthAttempt, Message, Recorder

_REPLIES = {
    Verdict.ACCEPTED: ses_answers.AUTHENTICATED,
    Verdict.VERSION_2: ses_answers.VERSION_2_DEPRECATED,
}
_ALLOWED_BEFORE_TLS = frozenset({"EHLO", "HELO", "HELP", "NOOP", "QUIT", "RSET", "STARTTLS"})

Command = t.Callable[["str | None"], t.Awaitable[None]]


class Mode(enum.Enum):
    """How a listener does TLS."""

    STARTTLS = "starttls"
    WRAPPER = "wrapper"  # TLS from the first byte
    STRIPPED = "stripped"  # a man in the middle: no STARTTLS, and AUTH offered in the clear


@dataclass(frozen=True)
class Listener:
    """One address and port of the stand-in, which is one region of SES.

    ``certificate`` is a PEM file with the private key and the chain. A man in the middle has one
    of another authority. Port 0 means any free one.
    """

    region: str
    certificate: Path
    address: str = "127.0.0.1"
    port: int = 0
    mode: Mode = Mode.STARTTLS

    def tls_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # libESMTP, if it finds these before it has sent its EHLO, waits for the answer to it.
        context.num_tickets = 0
        context.load_cert_chain(self.certificate)
        return context


class _Handler:
    """aiosmtpd's hooks; it passes the connection that they are for."""

    async def handle_DATA(
        self, server: SesProtocol, session: SmtpSession, envelope: Envelope
    ) -> str:
        return server.accept_message(envelope)


class SesProtocol(SMTP):
    """Answers as SES does and records what came in."""

    _smtp_methods: dict[str, Command]  # aiosmtpd's, by the command's name
    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"

    def __init__(
        self,
        listener: Listener,
        context: ssl.SSLContext,
        accounts: AccountBook,
        recorder: Recorder,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        stripped = listener.mode is Mode.STRIPPED
        super().__init__(
            _Handler(),
            hostname="email-smtp.amazonaws.com",
            ident="ESMTP SimpleEmailService (stand-in)",
            tls_context=None if stripped else context,
            auth_require_tls=not stripped,
            authenticator=self._log_in,
            loop=loop,
        )
        self._listener = listener
        self._accounts = accounts
        self._recorder = recorder
        self._greeted = False
        self._tls_from_first_byte = False
        self._username: str | None = None
        for name, method in self._smtp_methods.items():
            self._smtp_methods[name] = self._recorded(name, method)

    # The connection and its TLS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # aiosmtpd calls this a second time when TLS has been set up.
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            host, port = transport.get_extra_info("peername")[:2]
            self.record = self._recorder.open_session(
                self._listener.region,
                transport.get_extra_info("sockname")[1],
                self._listener.mode.value,
                f"{host}:{port}",
            )
        else:
            self.record.tls_version = tls.version()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.record.tls_version is None:
            self.record.clear_text += data
        super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        # After a failed handshake aiosmtpd reports the loss twice.
        if not self.record.ended:
            self._recorder.close_session(self.record)

    async def _handle_client(self) -> None:
        if self._listener.mode is Mode.WRAPPER:
            # Done here and not by the listening socket, so that a client that turns away from
            # the certificate leaves a record. No data can have been read yet: this task was
            # queued before the first look at the socket.
            self._tls_from_first_byte = True
            try:
                await self.smtp_STARTTLS("")
            except TLSSetupException as error:
                await self.handle_exception(error)
                if self.transport is not None:
                    self.transport.close()
                # Asyncio does not report the loss of a connection that never had TLS.
                self.connection_lost(error)
                return
            self._tls_from_first_byte = False
        await super()._handle_client()

    async def handle_exception(self, error: Exception) -> str:
        if isinstance(error, TLSSetupException):
            self.record.errors.append(f"TLS handshake failed: {error.__cause__}")
        else:
            self.record.errors.append(f"{type(error).__name__}: {error}")
        return f"451 Temporary service failure ({type(error).__name__})"

    # Commands and answers

    def _recorded(self, name: str, method: Command) -> Command:
        @functools.wraps(method)
        async def command(argument: str | None) -> None:
            # Of AUTH only the mechanism: the rest can be the password.
            shown = (argument or "").split(" ")[0] if name == "AUTH" else argument
            self.record.commands.append(f"{name} {shown}" if shown else name)
            if name == "AUTH":
                self.record.auth_seen = True
            refusal = self._refusal(name)
            if refusal is None:
                await method(argument)
            else:
                await self._refuse(refusal)

        return command

    def _refusal(self, name: str) -> Fault | None:
        encrypted = self.record.tls_version is not None
        needs_tls = self.tls_context is not None and name not in _ALLOWED_BEFORE_TLS
        if needs_tls and not encrypted:
            return Fault(Stage.MAIL, ses_answers.STARTTLS_FIRST)
        if name == "AUTH" and self._username is not None:
            return Fault(Stage.AUTH, ses_answers.ALREADY_AUTHENTICATED)
        if name == "MAIL" and self._username is None:
            return Fault(Stage.MAIL, ses_answers.AUTHENTICATION_REQUIRED)
        if name in ("MAIL", "RCPT"):
            return self._accounts.take_fault(Stage(name), self._username)
        return None

    @syntax("MAIL FROM: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_MAIL(self, arg: str | None) -> None:
        # aiosmtpd does not know the parameter that whoever offers AUTH has to take (RFC 4954).
        await super().smtp_MAIL(arg and re.sub(r" AUTH=\S+", "", arg, flags=re.IGNORECASE))

    async def _refuse(self, fault: Fault) -> None:
        await self.push(fault.reply)
        if fault.closes and self.transport is not None:
            self.transport.close()

    async def push(self, status: t.Any) -> None:
        if self._tls_from_first_byte:
            return  # aiosmtpd's "220 Ready to start TLS", which wrapper mode does not have
        if not self._greeted:
            self._greeted = True
            fault = self._accounts.take_fault(Stage.CONNECT, None)
            if fault is not None:
                await self._refuse(fault)
                return
        line = status.decode("ascii") if isinstance(status, bytes) else status
        self.record.replies.append(line)
        await super().push(status)

    def _log_in(
        self,
        server: SMTP,
        session: SmtpSession,
        envelope: Envelope,
        mechanism: str,
        credentials: t.Any,
    ) -> AuthResult:
        """aiosmtpd's authenticator: judge the credentials and keep who logged in."""
        assert isinstance(credentials, LoginPassword)
        username = credentials.login.decode("utf-8", "replace")
        password = credentials.password.decode("utf-8", "replace")
        verdict = self._accounts.judge(username, password, self._listener.region)
        fault = None
        if verdict is Verdict.ACCEPTED:
            fault = self._accounts.take_fault(Stage.AUTH, username)
        reply = fault.reply if fault else _REPLIES.get(verdict, ses_answers.CREDENTIALS_INVALID)
        self.record.auth_attempts.append(
            AuthAttempt(mechanism, username, verdict.value, reply, self.record.tls_version)
        )
        if verdict is Verdict.ACCEPTED and fault is None:
            self._username = username
        # For aiosmtpd never a success, which would only make it warn of its own obsolete fields:
        # what it sends is our reply.
        return AuthResult(success=False, handled=False, message=reply)

    def accept_message(self, envelope: Envelope) -> str:
        """Keep the message and return the reply, unless a fault is on."""
        fault = self._accounts.take_fault(Stage.DATA, self._username)
        if fault is not None:
            return fault.reply
        assert isinstance(envelope.content, bytes)
        assert envelope.mail_from is not None
        assert self._username is not None
        count = self._recorder.add_message(
            Message(
                session=self.record.number,
                region=self._listener.region,
                username=self._username,
                tls_version=self.record.tls_version,
                mail_from=envelope.mail_from,
                recipients=tuple(envelope.rcpt_tos),
                data=envelope.content,
            )
        )
        return f"250 Ok 0102000000000000-{count:08d}-000000"
