# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a survey reads of the queue: mail that a 535 keeps waiting, and all deferred mail."""

from __future__ import annotations

import json
import time
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings import _queue
from ansible_collections.mailops.ses.plugins.module_utils._findings._facts import Queue
from ansible_collections.mailops.ses.plugins.module_utils._findings._queue import (
    find_deferred_mail,
    find_deferred_queue,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_survey import (
    HOST,
    FakeSurvey,
    fake_survey,
)

NOW = 1_000_000.0
REFUSED = (
    f"SASL authentication failed; server {HOST}[192.0.2.1] said:"
    " 535 Authentication Credentials Invalid"
)


@pytest.fixture(name="relay")
def fixture_relay(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeSurvey]:
    with fake_survey(monkeypatch) as relay:
        yield relay


def queued(*reasons: str, age: float = 60.0, queue: str = "deferred") -> bytes:
    """A message of a queue, as postqueue lists it."""
    recipients = [
        {"address": "a@example.net", **({"delay_reason": r} if r else {})} for r in reasons
    ]
    message = {"arrival_time": int(NOW - age), "queue_name": queue, "recipients": recipients}
    return json.dumps(message).encode() + b"\n"


#: a listing -> count, age of the oldest, servers
QUEUES: list[tuple[bytes, tuple[int, float, tuple[str, ...]] | None]] = [
    (b"", None),
    (queued(""), None),
    (queued("connect to 192.0.2.1[192.0.2.1]:535: Connection timed out"), None),
    (queued("host x[192.0.2.1] said: 450 4.7.1 535 greylisted"), None),
    (queued(REFUSED), (1, 60.0, (HOST,))),
    (queued("", REFUSED, REFUSED), (1, 60.0, (HOST,))),
    (queued(REFUSED) + queued("") + queued(REFUSED, age=7200), (2, 7200.0, (HOST,))),
    (queued(REFUSED.replace("535 ", "535-"), age=-5), (1, 0.0, (HOST,))),
    (queued(REFUSED.replace(HOST, "b")) + queued(REFUSED), (2, 60.0, ("b", HOST))),
    # The last line may have been cut.
    (queued(REFUSED) + queued(REFUSED)[:-9], (1, 60.0, (HOST,))),
    (b'{"535": 1}\n["535"]\n535\n' + queued(REFUSED), (1, 60.0, (HOST,))),
]


@pytest.mark.parametrize(("listing", "expected"), QUEUES)
def test_deferred_mail(listing: bytes, expected: tuple[int, float, tuple[str, ...]] | None) -> None:
    found = find_deferred_mail(listing, NOW)
    assert (found and (found.count, found.oldest, found.servers)) == expected
    assert found is None or not found.has_more


@pytest.mark.parametrize(
    ("age", "says"),
    [
        (60, "1 message in the queue, the oldest for 1 min"),
        (3 * 3600 + 120, "the oldest for 3 h 2 min"),
        (50 * 3600, "the oldest for 2 d 2 h"),
    ],
)
def test_deferred_mail_is_a_finding(
    relay: FakeSurvey, monkeypatch: pytest.MonkeyPatch, age: float, says: str
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    relay.postfix.queue = queued(REFUSED, age=age)
    (finding,) = relay.findings()
    assert (finding.id, finding.severity) == ("deferred_535", "critical")
    assert says in finding.message
    assert f"because {HOST} rejected the login (535)" in finding.message


def test_a_long_queue_is_read_in_part(relay: FakeSurvey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_queue, "_QUEUE_BYTES", 1000)
    relay.postfix.queue = queued(REFUSED) * 100
    (finding,) = relay.findings()
    assert finding.message.startswith("at least 4 messages in the queue")
    relay.postfix.fails["postqueue -j"] = (1, b"", b"postqueue: fatal: no")
    assert relay.findings() == []


#: a listing -> all that is deferred in it
DEFERRED: list[tuple[bytes, Queue]] = [
    (b"", Queue(0, True)),
    (queued(REFUSED, queue="active") + queued("", queue="hold"), Queue(0, True)),
    (queued(REFUSED), Queue(1, True, 60, REFUSED)),
    (queued("no", age=5) + queued("", "timed out", age=90), Queue(2, True, 90, "timed out")),
    (queued("", age=-5), Queue(1, True, 0, None)),
    (queued("no") + queued("no", age=90)[:-9], Queue(1, True, 60, "no")),
    (
        b'"deferred"\n{"queue_name": "deferred"}\n' + queued("no").replace(b"999940", b"1e999"),
        Queue(0, True),
    ),
    (queued(f"{HOST} said {{6 * 7}} sesame"), Queue(1, True, 60, f"{HOST} said REDACTED")),
]


@pytest.mark.parametrize(("listing", "expected"), DEFERRED)
def test_deferred_queue(listing: bytes, expected: Queue) -> None:
    assert find_deferred_queue(listing, NOW) == expected


def test_an_instance_has_its_deferred_mail(
    relay: FakeSurvey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    relay.postfix.queue = queued("no", age=7200) + queued(REFUSED)
    assert relay.facts().queue == Queue(2, True, 7200, "no")
    monkeypatch.setattr(_queue, "_QUEUE_BYTES", 250)
    assert relay.facts().queue == Queue(1, False, 7200, "no")
    relay.postfix.fails["postqueue -j"] = (1, b"", b"postqueue: fatal: no")
    assert relay.facts().queue is None
