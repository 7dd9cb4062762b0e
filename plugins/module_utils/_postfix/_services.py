# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Questions to a running Postfix: where mail would go, and whether it gets there.

Two of Postfix's own services answer them on sockets that only root can reach: trivial-rewrite(8)
and verify(8). Nothing unprivileged can forge an answer, unlike a line in the mail log.

Both speak Postfix's attribute protocol: names and values, each followed by a NUL; an empty name
ends a list. Since Postfix 3.6, a service sends a list with its `protocol` first. Sources:
attr_print0(3), attr_scan0(3), resolve_clnt.c, rewrite_clnt.c, verify_clnt.c.
"""

from __future__ import annotations

import os
import socket
import stat
import time
import typing as t

__all__ = [
    "LateError",
    "Probe",
    "ProbeError",
    "Resolution",
    "forget_failures",
    "probe",
    "resolve",
    "rewrite",
]

# An answer has a few short attributes. A server's reply is the longest of them.
_ANSWER_BYTES = 64 * 1024
_SHOWN_CHARACTERS = 1000
_ROUTE_SECONDS = 10.0
_POLL_SECONDS = 0.2
_IN_PROGRESS = "in progress"
_SUSPENDED = "delivery temporarily suspended: "
# qmgr_trigger_event() in qmgr.c, QMGR_REQ_FLUSH_DEAD: what `postqueue -f` asks for as well.
_FORGET = b"F"
_STATUSES = {"0": "deliverable", "1": "deferred", "2": "undeliverable", "3": _IN_PROGRESS}
# resolve_clnt.h: the address has a bad form; a table could not be searched.
_UNRESOLVED = 0b1100

Attributes = t.Dict[str, str]


class ProbeError(Exception):
    """Why Postfix could not be asked, in words for the operator."""


class LateError(ProbeError):
    """Postfix had no answer in time."""


class Resolution(t.NamedTuple):
    """Where mail goes: the service of master.cf that delivers it, and its next hop.

    `flags` are those of resolve_clnt.h.
    """

    transport: str
    nexthop: str
    recipient: str
    flags: int


class Probe(t.NamedTuple):
    """What a probe found.

    `status` is deliverable, deferred, undeliverable, or in progress if there was no answer in
    time. `reason` is the server's reply, or Postfix's own words.
    """

    status: str
    reason: str

    @property
    def is_in_progress(self) -> bool:
        """Whether there was no answer in time."""
        return self.status == _IN_PROGRESS

    @property
    def is_of_earlier_failure(self) -> bool:
        """Whether Postfix made no attempt, because an earlier one failed."""
        return self.reason.startswith(_SUSPENDED)


def forget_failures(queue_directory: str) -> None:
    """Have the queue manager try again each server where delivery failed before.

    Otherwise it answers for minutes with a failure whose cause may be gone. Mail that waits keeps
    waiting until its own time. Raises ProbeError.
    """
    path = os.path.join(queue_directory, "public", "qmgr")
    try:
        # The directory is Postfix's own user's: what he puts there instead is not written to.
        if stat.S_ISFIFO(os.stat(path, follow_symlinks=False).st_mode):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(path, flags), "wb", buffering=0) as fifo:
                if not stat.S_ISFIFO(os.fstat(fifo.fileno()).st_mode):
                    raise OSError("it is no FIFO any more")
                fifo.write(_FORGET)
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ROUTE_SECONDS)
            connection.connect(path)
            connection.sendall(_FORGET)
    except OSError as exc:
        why = os.strerror(exc.errno) if exc.errno else str(exc)
        raise ProbeError(f"Postfix's queue manager can't be reached: {path}: {why}") from None


def rewrite(queue_directory: str, address: str) -> str:
    """An address as Postfix completes it, with the domain of `myorigin`. Raises ProbeError."""
    request = {"request": "rewrite", "rule": "local", "address": address}
    return _ask(queue_directory, "rewrite", request, ("address",), _ROUTE_SECONDS)["address"]


def resolve(
    queue_directory: str, sender: str, recipient: str, *, of_probe: bool = False
) -> Resolution:
    """Where mail from `sender` to `recipient` goes, or a probe of it. Raises ProbeError.

    Settings that begin with address_verify_ may send a probe another way.
    """
    request = {
        "request": "verify" if of_probe else "resolve",
        "sender": sender,
        "address": recipient,
    }
    names = ("transport", "nexthop", "recipient", "flags")
    answer = _ask(queue_directory, "rewrite", request, names, _ROUTE_SECONDS)
    flags = answer["flags"]
    if not flags.isdigit() or int(flags) & _UNRESOLVED or not answer["transport"]:
        raise ProbeError(f"Postfix can't resolve the address {recipient} (flags {flags})")
    return Resolution(answer["transport"], answer["nexthop"], answer["recipient"], int(flags))


def probe(
    queue_directory: str,
    recipient: str,
    timeout: float,
    sleep: t.Callable[[float], None] = time.sleep,
) -> Probe:
    """Have Postfix find out whether mail gets to `recipient`, for `timeout` seconds at most.

    Postfix's client connects, logs in and names sender and recipient, but sends no message. A
    recipient that it was asked about before is answered from a cache. Raises ProbeError.
    """
    deadline = time.monotonic() + timeout
    request = {"request": "query", "address": recipient}
    names = ("status", "recipient_status", "reason")
    while True:
        left = deadline - time.monotonic()
        answer = _ask(queue_directory, "verify", request, names, max(left, 1.0))
        status = _STATUSES.get(answer["recipient_status"])
        if answer["status"] != "0" or status is None:
            raise ProbeError(
                "Postfix's service verify could not answer: its status is"
                f" {answer['status']}, the recipient's is {answer['recipient_status']}"
            )
        found = Probe(status, answer["reason"])
        if not found.is_in_progress or time.monotonic() + _POLL_SECONDS > deadline:
            return found
        sleep(_POLL_SECONDS)


def _ask(
    queue_directory: str,
    service: str,
    request: t.Mapping[str, str],
    names: t.Sequence[str],
    timeout: float,
) -> Attributes:
    """The attributes of the answer to a request. Raises ProbeError if one of `names` is missing."""
    path = os.path.join(queue_directory, "private", service)
    try:
        answer = _exchange(path, request, timeout)
    except socket.timeout:
        raise ProbeError(
            f"Postfix's service {service} gave no answer within {timeout:g} s"
        ) from None
    except OSError as exc:
        why = os.strerror(exc.errno) if exc.errno else str(exc)
        raise ProbeError(f"Postfix's service {service} can't be asked: {path}: {why}") from None
    missing = [name for name in names if name not in answer]
    if missing:
        raise ProbeError(f"Postfix's service {service} gave an answer without {', '.join(missing)}")
    return answer


def _exchange(path: str, request: t.Mapping[str, str], timeout: float) -> Attributes:
    """Send a request and read until its answer is complete, or the connection is closed.

    Raises OSError, also for an answer that is too long.
    """
    deadline = time.monotonic() + timeout
    data = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(_encode(request))
        while len(data) <= _ANSWER_BYTES:
            for attributes in _complete_lists(data):
                if set(attributes) != {"protocol"}:
                    return attributes
            left = deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout
            connection.settimeout(left)
            received = connection.recv(4096)
            if not received:
                raise OSError("the connection was closed before the answer was complete")
            data += received
    raise OSError("the answer is too long")


def _encode(request: t.Mapping[str, str]) -> bytes:
    parts = [part for pair in request.items() for part in pair]
    if any("\0" in part for part in parts):
        raise OSError("a NUL can't be a part of a request")
    return b"".join(os.fsencode(part) + b"\0" for part in [*parts, ""])


def _complete_lists(data: bytes) -> t.Iterator[Attributes]:
    """The attribute lists in `data` whose end is there, too. Of equal names the last one counts."""
    attributes: Attributes = {}
    # What follows the last NUL is not complete.
    parts = iter(data.split(b"\0")[:-1])
    for name in parts:
        if not name:
            yield attributes
            attributes = {}
            continue
        value = next(parts, None)
        if value is not None:
            attributes[_text(name)] = _text(value)


def _text(value: bytes) -> str:
    """What can be shown of a value: printable, and not too much."""
    text = value[: 4 * _SHOWN_CHARACTERS].decode(errors="backslashreplace")[:_SHOWN_CHARACTERS]
    return "".join(each if each.isprintable() else " " for each in text)
