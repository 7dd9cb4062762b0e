# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The mail that waits in the queue of an instance: how much, since when and why."""

from __future__ import annotations

import json
import re
import time
import typing as t

from .._ses._redaction import redact
from .._ses._reply_redaction import redact_reply
from ._facts import DeferredMail, Queue

if t.TYPE_CHECKING:
    from .._postfix._programs import Postfix

__all__ = ["find_deferred_mail", "find_deferred_queue", "read_queue"]

# Of a queue's listing: some 20,000 messages.
_QUEUE_BYTES = 8 * 1024 * 1024
_QUEUE_SECONDS = 20
_REFUSED_LOGIN = re.compile(r"\bserver ([^\s\[]+)\[[^]]*\] said: 535[ -]")


def read_queue(postfix: Postfix) -> tuple[DeferredMail | None, Queue | None]:
    """The mail that SES's 535 keeps waiting, and all deferred mail.

    It reads the beginning of the queue only, for a limited time. All that is unknown is None.
    """
    listing, is_complete = postfix.run_bounded(_QUEUE_BYTES, _QUEUE_SECONDS, "postqueue", "-j")
    if not (listing or is_complete):
        return None, None
    now = time.time()
    return find_deferred_mail(listing, now, is_complete), find_deferred_queue(
        listing, now, is_complete
    )


def find_deferred_mail(listing: bytes, now: float, is_complete: bool = True) -> DeferredMail | None:
    """What `postqueue -j` says of mail that waits because of a 535, None if it says nothing."""
    arrivals = []
    servers: dict[str, None] = {}
    for line in listing.split(b"\n"):
        if b"535" not in line:
            continue
        for arrived, reasons in _message(line):
            refusing = [
                redact(match.group(1)) for match in map(_REFUSED_LOGIN.search, reasons) if match
            ]
            if refusing:
                servers.update(dict.fromkeys(refusing))
                arrivals.append(arrived)
    if not arrivals:
        return None
    age = max(0.0, now - min(arrivals))
    return DeferredMail(len(arrivals), age, tuple(servers), not is_complete)


def find_deferred_queue(listing: bytes, now: float, is_complete: bool = True) -> Queue:
    """What `postqueue -j` says of all deferred mail."""
    found = [
        message
        for line in listing.split(b"\n")
        if b'"deferred"' in line
        for message in _message(line, "deferred")
    ]
    if not found:
        return Queue(0, is_complete)
    arrived, reasons = min(found, key=lambda message: message[0])
    reason = next(filter(None, reasons), "")
    age = int(max(0.0, now - arrived))
    return Queue(len(found), is_complete, age, redact_reply(reason) or None)


def _message(line: bytes, queue: str = "") -> t.Iterator[tuple[float, list[str]]]:
    """When a message arrived, and why it waits; nothing for another queue or a broken line."""
    try:
        message = json.loads(line)
        if queue and message["queue_name"] != queue:
            return
        arrived = float(message["arrival_time"])
        reasons = [str(each.get("delay_reason", "")) for each in message["recipients"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    if 0 <= arrived < 2**53:
        yield arrived, reasons
