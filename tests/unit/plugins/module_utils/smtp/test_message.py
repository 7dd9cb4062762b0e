# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The message of ses_smtp_ping: which options make one, what it consists of, and how it is sent."""

from __future__ import annotations

import email
import email.policy
import email.utils
import ssl
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp._login import (
    LoginOutcome,
    LoginRefused,
    log_in,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._message import (
    SIMULATOR,
    MessageError,
    ProbeMessage,
    make_message,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.in_process.nominal_tls import NominalTls
from ansible_collections.mailops.ses.tests.support.ses.scripted_server import (
    Conversation,
    ScriptedServer,
)
from hypothesis import given
from hypothesis import strategies as st

PASSWORD = PASSWORD_OF["eu-west-1"]
SENDER = "sender@example.com"
MESSAGE = ProbeMessage(SENDER, SIMULATOR, (("X-SES-CONFIGURATION-SET", "shop"),))
OWN = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"]
OWN += ["Content-Transfer-Encoding", "Auto-Submitted"]
ID = "0102017033dbb64d-be13a01e-dbf1-44b7-b876-3622165dacc1-000000"
LONG = "x" * 999

# sender, recipient, headers, what the message has
MADE: list[tuple[str, str | None, t.Mapping[str, object] | None, ProbeMessage]] = [
    (SENDER, None, None, ProbeMessage(SENDER, SIMULATOR)),
    (SENDER, "Me@Example.org", {}, ProbeMessage(SENDER, "Me@Example.org")),
    (
        "a+b_c@xn--bcher-kva.example",
        None,
        None,
        ProbeMessage("a+b_c@xn--bcher-kva.example", SIMULATOR),
    ),
    ("root@mx1", None, None, ProbeMessage("root@mx1", SIMULATOR)),
    (SENDER, None, {"X-SES-CONFIGURATION-SET": "shop"}, MESSAGE),
    (
        SENDER,
        None,
        {"X-A": 5, "Reply-To": "b@c"},
        ProbeMessage(SENDER, SIMULATOR, (("X-A", "5"), ("Reply-To", "b@c"))),
    ),
]
# sender, recipient, headers, what the error says
WRONG: list[tuple[str | None, str | None, t.Mapping[str, object] | None, list[str]]] = [
    (None, "me@example.org", None, ["recipient is given without sender", "Add sender"]),
    (None, None, {"X-A": "b"}, ["headers is given without sender", "remove headers"]),
    *(
        (sender, None, None, [f"sender {sender!r} is not an e-mail address", "USER@DOMAIN"])
        for sender in (
            "",
            "root",
            "@example.com",
            "a@",
            "a@b@c",
            "Ian Brown <a@b>",
            "<a@b>",
            "a@b\r\nRCPT TO:<x@y>",
            "a@b\n",
            "a b@c",
            "ä@example.com",
            "a@bücher.example",
            f"a@{'b' * 64}",
            f"{'a' * 65}@b",
            "a@" + ".".join(["b" * 60] * 5),
        )
    ),
    (SENDER, "root", None, ["recipient 'root' is not an e-mail address"]),
    *(
        (SENDER, None, {name: "a@b"}, [f"headers has {name!r}", f"give the address as {option}"])
        for name, option in (
            ("From", "sender"),
            ("sender", "sender"),
            ("RETURN-PATH", "sender"),
            ("To", "recipient"),
            ("Cc", "recipient"),
            ("bcc", "recipient"),
        )
    ),
    *(
        (SENDER, None, {name: "b"}, [f"headers has {name!r}, which the module writes itself"])
        for name in ("Subject", "date", "Message-Id", "MIME-Version", "Content-Type", "Resent-From")
    ),
    (SENDER, None, {"X-A": "b", "x-a": "c"}, ["headers has 'X-A' and 'x-a'", "Remove one"]),
    *(
        (SENDER, None, {name: "b"}, [f"headers has {name!r}, which is not the name of a header"])
        for name in ("", "X A", "X-A:", "X-Ä", "X\r\nBcc", "x" * 77)
    ),
    (SENDER, None, {"X-A": "b\r\nBcc: c@d"}, ["value of 'X-A' has a line break"]),
    (SENDER, None, {"X-A": "b\n"}, ["value of 'X-A' has a line break"]),
    (SENDER, None, {"X-A": "b\rc"}, ["value of 'X-A' has a line break"]),
    *(
        (SENDER, None, {"X-A": value}, ["value of 'X-A' is empty, or has characters outside"])
        for value in ("", " ", "ä", "a\0", "\x1b[2J", "\u2028")
    ),
    *(
        (SENDER, None, {"X-A": value}, ["value of 'X-A' is not text. Put it into quotes"])
        for value in (True, None, 1.5, ["a"], {"a": "b"})
    ),
    (SENDER, None, {"X-A": LONG}, ["'X-A' is longer than the 998 characters"]),
]
#: The order of a session, and what the server answers.
STEPS: list[tuple[str, bytes]] = [
    ("MAIL FROM", b"250 Ok\r\n"),
    ("RCPT TO", b"250 Ok\r\n"),
    ("DATA", b"354 End data with <CR><LF>.<CR><LF>\r\n"),
    ("the message", f"250 Ok {ID}\r\n".encode()),
]


@pytest.mark.parametrize(("sender", "recipient", "headers", "message"), MADE)
def test_make_message(
    sender: str,
    recipient: str | None,
    headers: t.Mapping[str, object] | None,
    message: ProbeMessage,
) -> None:
    assert make_message(sender, recipient, headers) == message


def test_no_message() -> None:
    assert make_message(None, None, None) is None
    assert make_message(None, None, {}) is None


@pytest.mark.parametrize(("sender", "recipient", "headers", "says"), WRONG)
def test_wrong_options(
    sender: str | None,
    recipient: str | None,
    headers: t.Mapping[str, object] | None,
    says: list[str],
) -> None:
    with pytest.raises(MessageError) as caught:
        make_message(sender, recipient, headers)
    assert not [part for part in says if part not in str(caught.value)], caught.value
    assert "\n" not in str(caught.value)


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=20), max_size=3))
def test_whatever_the_headers_are_the_message_has_them_once_or_they_are_an_error(
    headers: dict[str, str],
) -> None:
    try:
        message = make_message(SENDER, None, dict(headers))
    except MessageError:
        return
    assert message is not None
    assert names_of(message.content()) == [*OWN, *headers]


def names_of(content: bytes) -> list[str]:
    head, _end, _body = content.partition(b"\r\n\r\n")
    return [line.partition(b":")[0].decode("ascii") for line in head.split(b"\r\n")]


def test_content() -> None:
    content = MESSAGE.content()
    assert content.isascii()
    assert content.endswith(b"\r\n")
    lines = content[:-2].split(b"\r\n")
    assert not [line for line in lines if b"\r" in line or b"\n" in line or len(line) > 78]
    assert names_of(content) == [*OWN, "X-SES-CONFIGURATION-SET"]
    message = email.message_from_bytes(content, policy=email.policy.SMTP)
    assert not message.defects
    assert [message["From"], message["To"]] == [SENDER, SIMULATOR]
    assert message["X-SES-CONFIGURATION-SET"] == "shop"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.com>")
    assert email.utils.parsedate_to_datetime(message["Date"]).tzinfo is not None
    assert "mailops.ses.ses_smtp_ping" in message.get_content()
    assert MESSAGE.content() != content


class Session:
    """Answers a login, then each of STEPS; ``answers`` has others. An empty one hangs up."""

    def __init__(self, **answers: bytes) -> None:
        self.answers = {name.replace("_", " "): reply for name, reply in answers.items()}
        self.commands: list[bytes] = []
        self.message = b""

    def __call__(self, conversation: Conversation) -> None:
        conversation.send(b"220 hello\r\n")
        conversation.answer(b"250-host\r\n250 AUTH PLAIN\r\n", b"235 yes\r\n")
        for step, reply in STEPS:
            if step == "the message":
                self.message = b"".join(iter(lambda: conversation.line() + b"\r\n", b".\r\n"))
            else:
                self.commands.append(conversation.line())
            answer = self.answers.get(step, reply)
            if not answer:
                return
            conversation.send(answer)
            if answer != reply:
                break
        self.commands.append(conversation.line())


@pytest.fixture(autouse=True)
def _tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "create_default_context", lambda **_options: NominalTls())


def send(session: Session, **options: t.Any) -> LoginOutcome:
    with ScriptedServer(session) as server:
        at = SmtpServer("127.0.0.1", server.port, "wrapper")
        return log_in(SmtpLogin(at, ACCESS_KEY, PASSWORD), message=MESSAGE, **options)


def test_sent() -> None:
    session = Session()
    outcome = send(session)
    assert (outcome.accepted, outcome.logged_in, outcome.message_id) == (True, True, ID)
    assert session.commands == [
        b"MAIL FROM:<sender@example.com>",
        b"RCPT TO:<success@simulator.amazonses.com>",
        b"DATA",
        b"QUIT",
    ]
    assert names_of(session.message) == names_of(MESSAGE.content())


def test_a_server_that_tells_no_id() -> None:
    outcome = send(Session(the_message=b"250 Thank you\r\n"))
    assert (outcome.accepted, outcome.message_id) == (True, None)


@pytest.mark.parametrize("step", [name for name, _reply in STEPS])
def test_refused(step: str) -> None:
    for reply, reason, may_pass in (
        (
            b"554 Access denied: User a is not authorized to do b on resource c\r\n",
            "permission_missing",
            False,
        ),
        (b"454 Throttling failure: Maximum sending rate exceeded.\r\n", "throttled", True),
        (b"599 No.\r\n", "unknown_answer", False),
    ):
        session = Session(**{step.replace(" ", "_"): reply})
        with pytest.raises(LoginRefused) as caught:
            send(session)
        refused = caught.value
        assert (refused.reason, refused.may_pass) == (reason, may_pass)
        assert f'answered "{reply.decode().strip()}" to {step}. ' in refused.message
        assert session.commands[-1:] == [b"QUIT"]
        got = refused.outcome
        assert (got.accepted, got.logged_in, got.message_id) == (False, True, None)


@pytest.mark.parametrize("step", [name for name, _reply in STEPS])
def test_a_lost_connection(step: str) -> None:
    with pytest.raises(LoginRefused) as caught:
        send(Session(**{step.replace(" ", "_"): b""}))
    refused = caught.value
    is_sent = step == "the message"
    assert (refused.reason, refused.may_pass) == ("connection_closed", not is_sent)
    assert ("so it is not sent again" in refused.message) == is_sent


def test_an_echo() -> None:
    reply = f"554 Who is {PASSWORD}?\r\n".encode()
    with pytest.raises(LoginRefused) as caught:
        send(Session(the_message=reply))
    assert not found_in(caught.value.message, [PASSWORD])
