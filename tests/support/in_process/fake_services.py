# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services rewrite and verify of a Postfix in miniature, for unit tests. Runs on Python 3.7."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import typing as t
from pathlib import Path

Request = t.Dict[str, str]  # noqa: UP006  # Python 3.7
#: What a service sends, piece by piece, in answer to a request.
Answer = t.Callable[[Request], t.Iterable[bytes]]


def attributes(*pairs: t.Tuple[str, str]) -> bytes:  # noqa: UP006  # Python 3.7
    """A list of attributes as Postfix sends it."""
    return b"".join(part.encode() + b"\0" for pair in pairs for part in pair) + b"\0"


def route(transport: str, nexthop: str, flags: str = "4096", recipient: str = "r@x") -> bytes:
    """How rewrite answers `resolve` and `verify`."""
    return attributes(
        ("flags", "0"), ("transport", transport), ("nexthop", nexthop),
        ("recipient", recipient), ("flags", flags),
    )  # fmt: skip


def verified(status: str, reason: str, of_service: str = "0") -> bytes:
    """How verify answers `query`; 0 is deliverable, 1 deferred, 2 undeliverable, 3 in progress."""
    return attributes(("status", of_service), ("recipient_status", status), ("reason", reason))


class FakeServices:
    """The services of the instance with ``queue_directory``, for the length of a ``with`` block.

    ``requests`` has what they were asked; ``answers`` has what each answers. A service without an
    answer is not there. ``forgotten`` says how often the queue manager was asked, on a FIFO, to
    forget failures.
    """

    def __init__(self, answers: t.Mapping[str, Answer], queue_manager: bool = True) -> None:
        self.queue_directory = ""
        self.forgotten = 0
        self.requests: list[Request] = []
        self._answers = answers
        self._queue_manager = queue_manager
        self._fifo = -1
        self._listeners: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> FakeServices:
        # A socket's path has to be short.
        self.queue_directory = tempfile.mkdtemp(prefix="fake-queue-")
        private = Path(self.queue_directory) / "private"
        private.mkdir()
        public = Path(self.queue_directory) / "public"
        public.mkdir()
        if self._queue_manager:
            os.mkfifo(str(public / "qmgr"))
            self._fifo = os.open(str(public / "qmgr"), os.O_RDONLY | os.O_NONBLOCK)
        for name, answer in self._answers.items():
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(str(private / name))
            listener.listen(5)
            thread = threading.Thread(target=self._serve, args=(listener, answer), daemon=True)
            thread.start()
            self._listeners.append(listener)
            self._threads.append(thread)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for listener in self._listeners:
            listener.close()
        if self._queue_manager:
            self.forgotten = os.read(self._fifo, 100).count(b"F")
            os.close(self._fifo)
        shutil.rmtree(self.queue_directory)

    def _serve(self, listener: socket.socket, answer: Answer) -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            with connection:
                request = _read(connection)
                self.requests.append(request)
                try:
                    for piece in answer(request):
                        connection.sendall(piece)
                except OSError:
                    continue  # the client has heard enough


def _read(connection: socket.socket) -> Request:
    data = b""
    while not data.endswith(b"\0\0"):
        received = connection.recv(4096)
        if not received:
            break
        data += received
    parts = data.decode().split("\0")[:-2]
    return {name: parts[number + 1] for number, name in enumerate(parts) if number % 2 == 0}
