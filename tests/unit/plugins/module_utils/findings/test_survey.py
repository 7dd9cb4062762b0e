# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a survey reads besides maps: the instances, the queue, who runs; and what it never does."""

from __future__ import annotations

import json
import os
import time
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings import _survey as _relay_survey
from ansible_collections.mailops.ses.plugins.module_utils._findings._survey import (
    find_deferred_mail,
    list_directories,
    survey,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import (
    Postfix,
    PostfixError,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._candidate_digests import Candidates
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


def queued(*reasons: str, age: float = 60.0) -> bytes:
    """A message of a queue, as postqueue lists it."""
    recipients = [
        {"address": "a@example.net", **({"delay_reason": r} if r else {})} for r in reasons
    ]
    return json.dumps({"arrival_time": int(NOW - age), "recipients": recipients}).encode() + b"\n"


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
    monkeypatch.setattr(_relay_survey, "_QUEUE_BYTES", 1000)
    relay.postfix.queue = queued(REFUSED) * 100
    (finding,) = relay.findings()
    assert finding.message.startswith("at least 4 messages in the queue")
    relay.postfix.fails["postqueue -j"] = (1, b"", b"postqueue: fatal: no")
    assert relay.findings() == []


@pytest.mark.parametrize("running", [True, False])
def test_the_instance(relay: FakeSurvey, running: bool) -> None:
    relay.set(multi_instance_name="postfix-out", relayhost="[a.example]:587 b.example")
    relay.postfix.running = running
    facts = relay.facts()
    assert (facts.name, facts.is_running) == ("postfix-out", running)
    assert facts.relayhost == ("[a.example]:587", "b.example")
    assert facts.directory == str(relay.folder)
    relay.set()
    assert relay.facts().name == "-"


def test_it_only_reads(relay: FakeSurvey) -> None:
    def state() -> dict[str, tuple[int, int]]:
        status = {path: os.stat(str(path)) for path in relay.folder.rglob("*")}
        return {str(path): (each.st_ino, each.st_mtime_ns) for path, each in status.items()}

    before = state()
    relay.facts()
    assert state() == before
    programs = {call.split()[0] for call in relay.postfix.calls if call != "postmap hash:"}
    assert programs <= {"master", "postconf", "postmap", "postqueue"}
    # In the survey, that is: to make the map is the test's.
    assert [call for call in relay.postfix.calls if call.startswith("postmap -")] == ["postmap -s"]


def test_instances(relay: FakeSurvey) -> None:
    postfix = Postfix(relay.postfix)
    assert list_directories(postfix) == [str(relay.folder)]
    relay.set(multi_instance_directories="/etc/postfix-a,\n /etc/postfix-b")
    directories = [str(relay.folder), "/etc/postfix-a", "/etc/postfix-b"]
    assert list_directories(postfix) == directories
    relay.postfix.fails["postconf -x"] = (
        1,
        b"",
        b"postconf: fatal: open /etc/postfix/main.cf: Permission denied",
    )
    with pytest.raises(PostfixError, match=r"main\.cf: Permission denied"):
        list_directories(postfix)
    relay.postfix.missing = True
    with pytest.raises(PostfixError, match="Is Postfix installed"):
        list_directories(postfix)


def test_an_instance_that_is_none(relay: FakeSurvey) -> None:
    (relay.folder / "main.cf").unlink()
    with pytest.raises(PostfixError, match="No such file or directory"):
        relay.facts()
    relay.postfix.fails["postconf -x"] = (0, b"", b"")
    with pytest.raises(PostfixError, match="does not know config_directory"):
        survey(Postfix(relay.postfix, str(relay.folder)), Candidates())
