# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the stand-in for SES saw: sessions, logins and messages, in memory and as JSON lines."""

from __future__ import annotations

import dataclasses
import json
import threading
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ..waiting import SECONDS

RECORDS_FILE = "records.jsonl"


@dataclass(frozen=True)
class AuthAttempt:
    """One pair of user name and password that a client gave; the password itself is not kept."""

    mechanism: str
    username: str
    verdict: str
    reply: str
    tls_version: str | None

    @property
    def accepted(self) -> bool:
        return self.reply.startswith("235")


@dataclass(frozen=True)
class Message:
    """A message that was accepted with 250, and on whose account."""

    session: int
    region: str
    username: str
    tls_version: str | None
    mail_from: str
    recipients: tuple[str, ...]
    data: bytes


@dataclass
class Session:
    """One connection, from the first byte to the last.

    ``clear_text`` is everything that arrived outside TLS, ``commands`` every command with its
    argument (that of AUTH cut down to the mechanism), ``replies`` every line that was answered, and
    ``dialogue`` both in order, each after a sign.
    """

    number: int
    region: str
    port: int
    mode: str
    client: str
    tls_version: str | None = None
    auth_seen: bool = False
    commands: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    dialogue: list[str] = field(default_factory=list)
    auth_attempts: list[AuthAttempt] = field(default_factory=list)
    clear_text: bytes = b""
    errors: list[str] = field(default_factory=list)
    ended: bool = False


class Recorder:
    """Collects the records of one stand-in; all methods may be called from any thread."""

    def __init__(self, spool: Path | None = None) -> None:
        """With ``spool``, an existing directory, records are also appended to a file there."""
        self._changed = threading.Condition()
        self._sessions: list[Session] = []
        self._messages: list[Message] = []
        self._watchers: list[t.Callable[[Session], None]] = []
        self._file = spool / RECORDS_FILE if spool is not None else None

    def open_session(self, region: str, port: int, mode: str, client: str) -> Session:
        """A new record, to be filled by the session itself and handed to ``close_session``."""
        with self._changed:
            session = Session(len(self._sessions) + 1, region, port, mode, client)
            self._sessions.append(session)
            self._changed.notify_all()
            return session

    def watch(self, look: t.Callable[[Session], None]) -> None:
        """Call ``look`` with every session that ends from now on."""
        self._watchers.append(look)

    def close_session(self, session: Session) -> None:
        with self._changed:
            session.ended = True
            self._write("session", dataclasses.asdict(session))
            self._changed.notify_all()
        for look in self._watchers:
            look(session)

    def add_message(self, message: Message) -> int:
        """Keep an accepted message; returns how many there are now."""
        with self._changed:
            self._messages.append(message)
            self._write("message", dataclasses.asdict(message))
            self._changed.notify_all()
            return len(self._messages)

    @property
    def sessions(self) -> list[Session]:
        """All sessions so far, also those that are not over."""
        with self._changed:
            return list(self._sessions)

    @property
    def messages(self) -> list[Message]:
        with self._changed:
            return list(self._messages)

    def clear(self) -> None:
        """Forget everything in memory; the spool keeps what it has."""
        with self._changed:
            self._sessions.clear()
            self._messages.clear()

    def wait_for_messages(self, count: int, timeout: float = SECONDS) -> list[Message]:
        """The messages as soon as there are ``count``; TimeoutError after ``timeout`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._messages) >= count, timeout):
                raise TimeoutError(
                    f"{len(self._messages)} of {count} messages arrived within {timeout} s"
                )
            return list(self._messages)

    def wait_for_sessions(self, count: int, timeout: float = SECONDS) -> list[Session]:
        """The sessions that are over, as soon as ``count`` are; TimeoutError after ``timeout``."""

        def over() -> list[Session]:
            return [session for session in self._sessions if session.ended]

        with self._changed:
            if not self._changed.wait_for(lambda: len(over()) >= count, timeout):
                raise TimeoutError(f"{len(over())} of {count} sessions ended within {timeout} s")
            return over()

    def _write(self, kind: str, content: dict[str, t.Any]) -> None:
        if self._file is None:
            return
        for key, value in content.items():
            if isinstance(value, bytes):
                content[key] = value.decode("utf-8", "surrogateescape")
        line = json.dumps({"kind": kind, **content}, ensure_ascii=True)
        with self._file.open("a", encoding="ascii") as stream:
            stream.write(line + "\n")


def read_records(spool: Path) -> tuple[list[Session], list[Message]]:
    """The ended sessions and the messages that a stand-in wrote into ``spool``, in order."""
    sessions: list[Session] = []
    messages: list[Message] = []
    path = spool / RECORDS_FILE
    # A line without its newline is still being written.
    lines = path.read_text("ascii").splitlines(keepends=True) if path.exists() else []
    for line in lines:
        if not line.endswith("\n"):
            break
        content = json.loads(line)
        kind = content.pop("kind")
        if kind == "message":
            content["data"] = content["data"].encode("utf-8", "surrogateescape")
            content["recipients"] = tuple(content["recipients"])
            messages.append(Message(**content))
        else:
            content["clear_text"] = content["clear_text"].encode("utf-8", "surrogateescape")
            content["auth_attempts"] = [AuthAttempt(**item) for item in content["auth_attempts"]]
            sessions.append(Session(**content))
    return sessions, messages
