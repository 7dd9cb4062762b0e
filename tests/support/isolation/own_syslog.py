# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A syslog of one's own for a few processes, to read what they log."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

# The machine's /dev stays as it is; in a copy of it there is our log.
_SCRIPT = """
mount -t tmpfs tmpfs "$1/dev" &&
for name in null zero full random urandom tty; do
    : > "$1/dev/$name" && mount --bind "/dev/$name" "$1/dev/$name" || exit
done &&
mkdir "$1/dev/shm" "$1/dev/pts" && mount --bind /dev/shm "$1/dev/shm" &&
mount --bind /dev/pts "$1/dev/pts" && ln -s pts/ptmx "$1/dev/ptmx" &&
ln -s /proc/self/fd "$1/dev/fd" && ln -s fd/0 "$1/dev/stdin" && ln -s fd/1 "$1/dev/stdout" &&
ln -s fd/2 "$1/dev/stderr" && : > "$1/dev/log" && mount --bind "$1/log" "$1/dev/log" &&
mount --rbind "$1/dev" /dev && shift && exec "$@"
"""


class OwnSyslog:
    """Listens as long as a ``with`` block runs; ``folder`` is made for its own use."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "dev").mkdir()
        self._folder = folder
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Whoever logs waits while ten messages or so have not been received.
        self._receiver = threading.Thread(target=self._receive, name="syslog", daemon=True)
        self.messages: list[str] = []

    def __enter__(self) -> OwnSyslog:
        self._socket.bind(str(self._folder / "log"))
        self._receiver.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.shutdown(socket.SHUT_RD)
        self._receiver.join()
        self._socket.close()

    @property
    def prefix(self) -> list[str]:
        """Put before a command, to be run as root, makes it and its children log here."""
        shell = ["sh", "-c", _SCRIPT, "with-own-syslog", str(self._folder)]
        return ["unshare", "--mount", "--propagation", "private", *shell]

    def _receive(self) -> None:
        while message := self._socket.recv(1 << 16):
            self.messages.append(message.decode(errors="replace"))
