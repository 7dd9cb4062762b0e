# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions to Postfix's services, with services in miniature."""

from __future__ import annotations

import itertools
import os
import threading
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._services import (
    Probe,
    ProbeError,
    Resolution,
    forget_failures,
    probe,
    resolve,
    rewrite,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_services import (
    Answer,
    FakeServices,
    attributes,
    route,
    verified,
)

if t.TYPE_CHECKING:
    from pathlib import Path

PROTOCOL = attributes(("protocol", "trivial_rewrite_protocol"))
RECIPIENT = "success+0123@simulator.amazonses.com"
TO_SES = route("smtp", "[ses]:587", "4096", RECIPIENT)
WHOLE = verified("0", "250 OK")


def always(*pieces: bytes) -> Answer:
    """A service that has one answer for everything."""
    return lambda _request: pieces


def test_where_mail_goes() -> None:
    expected = Resolution("smtp", "[ses]:587", RECIPIENT, 4096)
    with FakeServices({"rewrite": always(PROTOCOL, TO_SES)}) as services:
        assert resolve(services.queue_directory, "me@x", RECIPIENT) == expected
        assert resolve(services.queue_directory, "me@x", RECIPIENT, of_probe=True) == expected
    assert services.requests == [
        {"request": kind, "sender": "me@x", "address": RECIPIENT} for kind in ("resolve", "verify")
    ]


def test_an_address_as_postfix_completes_it() -> None:
    answer = attributes(("flags", "0"), ("address", "me@example.com"))
    with FakeServices({"rewrite": always(answer)}) as services:
        assert rewrite(services.queue_directory, "me") == "me@example.com"
    assert services.requests == [{"request": "rewrite", "rule": "local", "address": "me"}]


#: How the bytes of one answer may arrive.
PIECES: dict[str, list[bytes]] = {
    "without the name of the protocol, as Postfix 3.5": [WHOLE],
    "with it": [PROTOCOL, WHOLE],
    "byte by byte": [bytes([each]) for each in PROTOCOL + WHOLE],
    "with more behind it": [PROTOCOL + WHOLE + b"and\0more"],
    "with attributes of a later Postfix": [attributes(("new", "1"))[:-1] + WHOLE],
}  # fmt: skip


@pytest.mark.parametrize("name", PIECES)
def test_an_answer_in_pieces(name: str) -> None:
    with FakeServices({"verify": always(*PIECES[name])}) as services:
        assert probe(services.queue_directory, RECIPIENT, 5) == Probe("deliverable", "250 OK")
    assert services.requests == [{"request": "query", "address": RECIPIENT}]


@pytest.mark.parametrize(
    ("number", "status"), [("0", "deliverable"), ("1", "deferred"), ("2", "undeliverable")]
)
def test_a_probe_that_ends(number: str, status: str) -> None:
    with FakeServices({"verify": always(verified(number, "why"))}) as services:
        assert probe(services.queue_directory, RECIPIENT, 5) == Probe(status, "why")


def test_a_probe_is_asked_about_until_it_ends() -> None:
    answers = iter([verified("3", "in progress"), verified("3", "in progress"), WHOLE])
    slept: list[float] = []
    with FakeServices({"verify": lambda _request: [next(answers)]}) as services:
        found = probe(services.queue_directory, RECIPIENT, 60, slept.append)
    assert found == Probe("deliverable", "250 OK")
    assert len(slept) == 2
    assert all(0.1 <= each <= 0.3 for each in slept)


def test_a_probe_without_an_answer_in_time() -> None:
    with FakeServices({"verify": always(verified("3", "in progress"))}) as services:
        found = probe(services.queue_directory, RECIPIENT, 0.01)
    assert found.is_in_progress


def test_what_is_shown_of_an_answer() -> None:
    """Printable text, of a reasonable length, whatever the server sends."""
    pieces = [WHOLE[: -len(b"250 OK\0\0")], b"535 \xff\x1b[2J\n" + b"x" * 9000 + b"\0\0"]
    with FakeServices({"verify": always(*pieces)}) as services:
        reason = probe(services.queue_directory, RECIPIENT, 5).reason
    assert reason.startswith("535 \\xff [2J xxx")
    assert len(reason) == 1000


def endless(_request: dict[str, str]) -> t.Iterable[bytes]:
    """A service that does not stop."""
    return itertools.repeat(b"x" * 4096)


#: What is wrong with a service -> its answers, and what is said
WRONG: dict[str, tuple[dict[str, Answer], str]] = {
    "not in master.cf": ({}, "No such file or directory"),
    "closed at once": ({"verify": always()}, "closed before the answer was complete"),
    "closed amid an answer": ({"verify": always(WHOLE[:-1])}, "closed before the answer"),
    "another protocol": ({"verify": always(b"220 ready\r\n")}, "closed before the answer"),
    "endless": ({"verify": endless}, "the answer is too long"),
    "empty": ({"verify": always(b"\0")}, "without status, recipient_status, reason"),
    "refused": ({"verify": always(verified("0", "no", "-1"))}, "its status is -1"),
    "an unknown status": ({"verify": always(verified("9", "new"))}, "the recipient's is 9"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_service_that_gives_no_answer(name: str) -> None:
    answers, said = WRONG[name]
    with FakeServices(answers) as services, pytest.raises(ProbeError, match="verify") as caught:
        probe(services.queue_directory, RECIPIENT, 5)
    assert said in str(caught.value)


def test_a_service_that_keeps_silent() -> None:
    over = threading.Event()

    def silent(_request: dict[str, str]) -> list[bytes]:
        over.wait()
        return []

    with FakeServices({"verify": silent}) as services:
        with pytest.raises(ProbeError, match="verify gave no answer within 1 s"):
            probe(services.queue_directory, RECIPIENT, 0)
        over.set()


@pytest.mark.parametrize("flags", ["4", "8", "4104", "none"])
def test_an_address_that_postfix_cannot_resolve(flags: str) -> None:
    answers = {"rewrite": always(route("smtp", "x", flags))}
    with FakeServices(answers) as services, pytest.raises(ProbeError, match="can't resolve"):
        resolve(services.queue_directory, "", RECIPIENT)


def test_a_request_has_no_nul() -> None:
    answers = {"rewrite": always(TO_SES)}
    with FakeServices(answers) as services, pytest.raises(ProbeError, match="NUL"):
        resolve(services.queue_directory, "me\0request\0x", RECIPIENT)
    assert services.requests == [{}]


def test_a_path_that_is_too_long() -> None:
    with pytest.raises(ProbeError, match="too long"):
        rewrite("/" + "x" * 200, "me")


def test_what_stands_in_the_place_of_the_queue_manager_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its directory is Postfix's own user's, and this runs as root."""
    (tmp_path / "public").mkdir()
    name, other = tmp_path / "public" / "qmgr", tmp_path / "other"
    other.write_text("root")
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    name.symlink_to(tmp_path / "fifo")
    with pytest.raises(ProbeError, match="queue manager can't be reached"):
        forget_failures(str(tmp_path))
    assert os.read(reader, 1) == b""
    os.close(reader)

    look = os.stat

    def put(how: t.Callable[[], None]) -> None:
        """Exchange the FIFO as soon as somebody has looked at it."""
        name.unlink()
        os.mkfifo(name)

        def look_and_exchange(path: str, **options: bool) -> os.stat_result:
            found = look(path, **options)
            monkeypatch.setattr(os, "stat", look)
            name.unlink()
            how()
            return found

        monkeypatch.setattr(os, "stat", look_and_exchange)

    for how in (lambda: name.symlink_to(other), lambda: os.link(other, name)):
        put(how)
        with pytest.raises(ProbeError, match="queue manager can't be reached"):
            forget_failures(str(tmp_path))
        assert other.read_text() == "root"
