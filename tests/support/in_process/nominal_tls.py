# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS in name only, so that a test can script every byte of a session after the handshake."""

from __future__ import annotations

import socket
import ssl
import typing as t


class NominalTls:
    """In place of an SSLContext: wraps nothing, or fails with the first of ``errors``."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.names: list[str] = []
        self.minimum_version: ssl.TLSVersion | None = None
        self.hostname_checks_common_name = True

    def wrap_socket(self, plain: socket.socket, server_hostname: str) -> t.Any:
        self.names.append(server_hostname)
        for error in self.errors:
            plain.close()
            raise error
        return Wrapped(plain)


class Wrapped:
    """A socket in whose name there is TLS, and a certificate."""

    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._plain, name)

    def version(self) -> str:
        return "TLSv1.3"

    def getpeercert(self) -> dict[str, t.Any]:
        return {"subjectAltName": (("IP Address", "127.0.0.1"),)}
