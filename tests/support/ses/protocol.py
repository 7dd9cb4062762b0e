# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stand-in's connections: bytes, TLS and time around a dialogue."""

from __future__ import annotations

import asyncio
import enum
import ssl
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .account_book import AccountBook
from .behaviour import Behaviour
from .dialogue import Dialogue, Tls
from .lines import Next
from .mail_manager import ManagerDialogue
from .records import Recorder


class Mode(enum.Enum):
    """How a listener does TLS."""

    STARTTLS = "starttls"
    WRAPPER = "wrapper"  # TLS from the first byte
    STRIPPED = "stripped"  # a man in the middle: no STARTTLS, and AUTH offered in the clear


class System(enum.Enum):
    """Which of AWS's two SMTP systems a listener is."""

    SES = "ses"
    MAIL_MANAGER = "mail_manager"  # on ports 25 and 587, without wrapper mode


_TLS = {Mode.STARTTLS: Tls.OFFERED, Mode.WRAPPER: Tls.WRAPPED, Mode.STRIPPED: Tls.STRIPPED}
_DIALOGUES = {System.SES: Dialogue, System.MAIL_MANAGER: ManagerDialogue}


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
    system: System = System.SES
    behaviour: Behaviour = field(default_factory=Behaviour)

    def __post_init__(self) -> None:
        if self.system is System.MAIL_MANAGER and self.mode is Mode.WRAPPER:
            raise ValueError("Mail Manager has no TLS wrapper")

    def tls_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # libESMTP, if it finds these before it has sent its EHLO, waits for the answer to it.
        context.num_tickets = 0
        context.load_cert_chain(self.certificate)
        return context


class Connection(asyncio.Protocol):
    """One connection; it records what came in."""

    def __init__(
        self,
        listener: Listener,
        context: ssl.SSLContext,
        accounts: AccountBook,
        recorder: Recorder,
    ) -> None:
        self._listener = listener
        self._context = context
        self._accounts = accounts
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._silence: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = t.cast(asyncio.Transport, transport)
        host, port = transport.get_extra_info("peername")[:2]
        mode = self._listener.mode
        self.record = self._recorder.open_session(
            self._listener.region,
            transport.get_extra_info("sockname")[1],
            mode.value,
            f"{host}:{port}",
        )
        self._dialogue = _DIALOGUES[self._listener.system](
            self.record, self._accounts, self._recorder, self._listener.behaviour, _TLS[mode]
        )
        if mode is Mode.WRAPPER:
            # Done here and not by the listening socket, so that a client that turns away from
            # the certificate leaves a record.
            self._start_tls()
        else:
            self._send(self._dialogue.greet())

    def data_received(self, data: bytes) -> None:
        if self._handshake is None:
            self.record.clear_text += data
        output = self._dialogue.receive(data)
        # The client's first words can arrive before _shake_hands has gone on.
        if self._dialogue.next is not Next.START_TLS or self._handshake is None:
            self._send(output)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._silence is not None:
            self._silence.cancel()
        # After a failed handshake asyncio may report the loss, or may not.
        if not self.record.ended:
            self._recorder.close_session(self.record)

    def _send(self, output: bytes) -> None:
        """Send this, then do what the dialogue wants, and wait for no longer than SES does."""
        if self._silence is not None:
            self._silence.cancel()
        upgrade = self._dialogue.next is Next.START_TLS
        if upgrade:
            # Else the client's first words in TLS could arrive before there is TLS.
            self._transport.pause_reading()
        self._transport.write(output)
        if upgrade:
            self._start_tls()
        elif self._dialogue.next is Next.CLOSE:
            self._transport.close()
        else:
            seconds = self._listener.behaviour.idle_seconds
            self._silence = self._loop.call_later(seconds, self._fall_silent)

    def _fall_silent(self) -> None:
        self._send(self._dialogue.fall_silent())

    def _start_tls(self) -> None:
        self._handshake = self._loop.create_task(self._shake_hands())

    async def _shake_hands(self) -> None:
        plain = self._transport
        try:
            encrypted = await self._loop.start_tls(plain, self, self._context, server_side=True)
        except (OSError, ssl.SSLError) as error:
            self.record.errors.append(f"TLS handshake failed: {error}")
            plain.close()
            self.connection_lost(error)
            return
        assert encrypted is not None
        self._transport = encrypted
        self.record.tls_version = encrypted.get_extra_info("ssl_object").version()
        self._dialogue.start_tls()
        greets = self._listener.mode is Mode.WRAPPER
        self._send((self._dialogue.greet() if greets else b"") + self._dialogue.receive(b""))
