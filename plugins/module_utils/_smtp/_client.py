# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""An SMTP client for one login and one message: one connection, one deadline for all of it.

The standard library's smtplib is not used: its timeout is for each read, so that a server that
sends a byte now and then holds it for ever; it hides what ended a connection; it keeps user name
and password; and it tries every mechanism that it knows.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
import typing as t

__all__ = ("NoNamesError", "NotSmtpError", "Reply", "SmtpClient")

# RFC 5321, section 4.2
_REPLY_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?")
# RFC 5321, section 4.5.3.1.5, has 512 for a line. A greeting or an EHLO reply has a dozen lines.
_MAXIMUM_LINE_BYTES = 4096
_MAXIMUM_LINES = 100
# As ssl.SSLSocket.getpeercert() calls them.
_KINDS_OF_NAMES = frozenset({"DNS", "IP Address"})


class NoNamesError(Exception):
    """The server's certificate has no subjectAltName with a host's name or address."""


class NotSmtpError(Exception):
    """What the server sent is no SMTP reply; what it sent is not in the message."""


class Reply(t.NamedTuple):
    """A reply of the server: its code, and the texts of its lines with a newline between them."""

    code: int
    text: str


class SmtpClient:
    """A connection that is closed at the end of a ``with`` block.

    Every method raises OSError when the network or TLS fails, socket.timeout when ``timeout``
    seconds have gone by since the name was resolved, and NotSmtpError.
    """

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._host = host
        self._port = port
        self._timeout = timeout
        self._deadline = 0.0
        self._socket: socket.socket | None = None
        self._received = b""
        #: The addresses that were tried, in order: the last is the one that is connected.
        self.addresses: list[str] = []
        #: "TLSv1.2" or "TLSv1.3" once TLS is up and the certificate verified.
        self.tls_version: str | None = None
        #: What the last EHLO reply offers: keyword in upper case, and its parameters.
        self.extensions: dict[str, str] = {}

    def __enter__(self) -> SmtpClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def connect(self) -> None:
        """Connect to the first address that answers, each with its share of the time left.

        The most telling of their errors is raised. UnicodeError: the name can't be a host's.
        """
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        self._deadline = time.monotonic() + self._timeout
        errors: list[OSError] = []
        for index, (family, kind, protocol, _name, address) in enumerate(found):
            self.addresses.append(str(address[0]))
            try:
                candidate = socket.socket(family, kind, protocol)
            except OSError as exc:  # a host without IPv6
                errors.append(exc)
                continue
            try:
                candidate.settimeout(self._time_left() / (len(found) - index))
                candidate.connect(address)
            except OSError as exc:
                candidate.close()
                errors.append(exc)
            else:
                self._socket = candidate
                return
        raise min(errors, key=_dullness)

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Begin TLS. What ``context`` demands of the certificate is checked for the host's name.

        Raises NoNamesError if the certificate has no subjectAltName for hosts. Python 3.7 and some
        later ones accept the subject's common name then, whatever the context says.
        """
        if self._received:
            # Sent in the clear, it would pass for the server's own (RFC 3207, section 4.2).
            raise NotSmtpError("data before TLS")
        wrapped = context.wrap_socket(self._connected(), server_hostname=self._host)
        self._socket = wrapped
        certificate = wrapped.getpeercert() or {}
        names = t.cast("t.Tuple[t.Tuple[str, str], ...]", certificate.get("subjectAltName", ()))
        if not any(kind in _KINDS_OF_NAMES for kind, _name in names):
            raise NoNamesError("no subjectAltName")
        self.tls_version = wrapped.version()
        self.extensions = {}

    def reply(self) -> Reply:
        """Return the server's next reply."""
        lines: list[str] = []
        while len(lines) < _MAXIMUM_LINES:
            found = _REPLY_LINE.fullmatch(self._line())
            if not found:
                raise NotSmtpError("not an SMTP reply")
            code, separator, text = found.groups(b"")
            lines.append(_printable(text))
            if separator != b"-":
                return Reply(int(code), "\n".join(lines))
        raise NotSmtpError("an SMTP reply without end")

    def command(self, line: str) -> Reply:
        """Send ``line`` and return the reply."""
        self._connected().sendall(line.encode("ascii") + b"\r\n")
        return self.reply()

    def send_message(self, message: bytes) -> Reply:
        """Send a message, whose lines end with CRLF, after a 354, and return the reply."""
        stuffed = re.sub(rb"^\.", b"..", message, flags=re.MULTILINE)  # RFC 5321, section 4.5.2
        self._connected().sendall(stuffed + b".\r\n")
        return self.reply()

    def ehlo(self) -> Reply:
        """Say EHLO with the address of this end, which needs no look-up, and note the offers."""
        name = self._connected().getsockname()[0]
        literal = f"[IPv6:{name.split('%')[0]}]" if ":" in name else f"[{name}]"
        reply = self.command(f"EHLO {literal}")
        self.extensions = {}
        if reply.code == 250:
            for line in reply.text.split("\n")[1:]:
                # "AUTH=" is how servers older than RFC 2554 write it.
                keyword, _space, parameters = line.replace("=", " ", 1).partition(" ")
                self.extensions[keyword.upper()] = parameters.upper()
        return reply

    def quit(self) -> None:
        """Take leave. Whatever becomes of it, what came before it stands."""
        try:
            self.command("QUIT")
        except (OSError, NotSmtpError):
            return

    def _line(self) -> bytes:
        while b"\n" not in self._received:
            if len(self._received) > _MAXIMUM_LINE_BYTES:
                raise NotSmtpError("a line without end")
            received = self._connected().recv(4096)
            if not received:
                raise ConnectionAbortedError("closed by the server")
            self._received += received
        line, _newline, self._received = self._received.partition(b"\n")
        return line.rstrip(b"\r")

    def _connected(self) -> socket.socket:
        """Return the socket, with what is left of the time as its timeout."""
        if self._socket is None:
            raise ConnectionAbortedError("not connected")
        self._socket.settimeout(self._time_left())
        return self._socket

    def _time_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")  # another class up to Python 3.9
        return left


def _dullness(error: OSError) -> int:
    """Rank errors: that an address can't even be tried says less than what came of the others."""
    if isinstance(error, (socket.timeout, TimeoutError)):
        return 0
    return 1 if isinstance(error, ConnectionError) else 2


def _printable(text: bytes) -> str:
    """Decode ``text`` without what could move the cursor of a terminal."""
    return re.sub(r"[^ -~]", "?", text.decode("ascii", "replace")).strip()
