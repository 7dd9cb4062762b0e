# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that does what a test says, byte by byte, for what no honest server does.

Runs on Python 3.7 too.
"""

from __future__ import annotations

import socket
import ssl
import threading
import typing as t

_END_TIMEOUT = 20.0  # seconds


class Conversation:
    """One connection, as the server's side sees it; ``received`` is all that came so far."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pending = b""
        self.received = b""

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def line(self) -> bytes:
        """The next line, without its end; b"" when the client has hung up."""
        while b"\r\n" not in self._pending:
            data = self._connection.recv(4096)
            if not data:
                return b""
            self.received += data
            self._pending += data
        line, _end, self._pending = self._pending.partition(b"\r\n")
        return line

    def in_tls(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """The connection from now on, after the server's handshake."""
        return context.wrap_socket(self._connection, server_side=True)

    def answer(self, *replies: bytes) -> None:
        """Wait for a line and answer it, for each of ``replies``."""
        for reply in replies:
            self.line()
            self.send(reply)


def talk(greeting: bytes, *replies: bytes, stays: bool = False) -> t.Callable[[Conversation], None]:
    """A script: send ``greeting``, answer a line with each of ``replies``, and hang up.

    With ``stays`` it waits until the client hangs up.
    """

    def script(conversation: Conversation) -> None:
        conversation.send(greeting)
        conversation.answer(*replies)
        while stays and conversation.line():
            pass

    return script


class ScriptedServer:
    """Runs ``script`` with each connection, one after the other, for the length of a ``with``.

    The block ends when all connections have been served. A script that fails because the client
    has hung up is over; any other error is raised then.
    """

    def __init__(self, script: t.Callable[[Conversation], object], family: int = 0) -> None:
        self._script = script
        self._host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        self._listener = socket.socket(family or socket.AF_INET)
        self._listener.bind((self._host, 0))
        self._listener.listen(5)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="scripted-server", daemon=True)
        self._last_client: int | None = None
        self._errors: list[Exception] = []
        self.conversations: list[Conversation] = []

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        # A last connection, behind all that wait to be served.
        with socket.socket(self._listener.family) as last:
            last.bind((self._host, 0))
            self._last_client = last.getsockname()[1]
            last.connect((self._host, self.port))
            self._thread.join(_END_TIMEOUT)
        self._listener.close()
        if self._thread.is_alive():
            raise TimeoutError("the script does not end, though its client should have hung up")
        if self._errors:
            raise self._errors[0]

    def _serve(self) -> None:
        while True:
            connection, address = self._listener.accept()
            with connection:
                if address[1] == self._last_client:
                    return
                conversation = Conversation(connection)
                self.conversations.append(conversation)
                try:
                    self._script(conversation)
                except ConnectionError:
                    continue
                except Exception as exc:
                    self._errors.append(exc)
