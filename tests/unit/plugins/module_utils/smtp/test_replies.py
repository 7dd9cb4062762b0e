# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each answer of SES, from the server's line to the words that an operator reads."""

from __future__ import annotations

import re
import ssl
import string

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp._known_reply import (
    KnownReply,
    log_line,
    postfix_status,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._login import LoginRefused, log_in
from ansible_collections.mailops.ses.plugins.module_utils._smtp._message import (
    SIMULATOR,
    ProbeMessage,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._outcome import REASONS
from ansible_collections.mailops.ses.plugins.module_utils._smtp._replies import (
    REPLIES,
    explain_postfix,
    explain_reply,
    may_postfix_succeed_later,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, PASSWORD_OF
from ansible_collections.mailops.ses.tests.support.in_process.nominal_tls import NominalTls
from ansible_collections.mailops.ses.tests.support.replies_of_ses import ROWS, Row
from ansible_collections.mailops.ses.tests.support.ses.scripted_server import (
    Conversation,
    ScriptedServer,
)
from hypothesis import given
from hypothesis import strategies as st

HOST = "email-smtp.eu-west-1.amazonaws.com[192.0.2.25]"
MESSAGE = ProbeMessage("sender@example.com", SIMULATOR)
PASSWORD = PASSWORD_OF["eu-west-1"]
#: What a session answers, in its order, where nothing is wrong.
STEPS = {
    "connection": "220 email-smtp.amazonaws.com ESMTP SimpleEmailService-d-UCMGFU8F2 l8rfaVjiaG1V7Lvw7tuo",
    "EHLO": "250-email-smtp.amazonaws.com\r\n250-8BITMIME\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 Ok",
    "STARTTLS": "220 Ready to start TLS",
    "EHLO inside TLS": "250-email-smtp.amazonaws.com\r\n250-AUTH PLAIN LOGIN\r\n250 Ok",
    "AUTH": "235 Authentication successful.",
    "MAIL FROM": "250 Ok",
    "RCPT TO": "250 Ok",
    "DATA": "354 End data with <CR><LF>.<CR><LF>",
    "end of DATA": "250 Ok 0102017033dbb64d-be13a01e-dbf1-44b7-b876-3622165dacc1-000000",
}


IDS = [row.reply[:50] for row in ROWS]
EXAMPLES = [example for known in REPLIES for example in known.examples]


class Session:
    """A session in which everything is well up to one reply."""

    def __init__(self, command: str, reply: str) -> None:
        self._steps = {**STEPS, command: reply}
        self._last = command

    def __call__(self, conversation: Conversation) -> None:
        for step, reply in self._steps.items():
            if step == "end of DATA":
                while conversation.line() not in (b".", b""):
                    pass
            elif step != "connection":
                conversation.line()
            conversation.send(f"{reply}\r\n".encode())
            if step == self._last:
                break
        conversation.line()


@pytest.fixture(autouse=True)
def _tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "create_default_context", lambda **_options: NominalTls())


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_from_the_servers_line_to_the_operators_words(row: Row) -> None:
    with ScriptedServer(Session(row.command, row.reply)) as server:
        at = SmtpServer("127.0.0.1", server.port, "starttls")
        with pytest.raises(LoginRefused) as caught:
            log_in(SmtpLogin(at, ACCESS_KEY, PASSWORD), message=MESSAGE)
    refused = caught.value
    assert (refused.reason, refused.may_pass) == (row.reason, row.may_pass)
    answer = " ".join(row.reply.split())
    assert refused.answer == answer
    assert refused.message.startswith(f'127.0.0.1 port {server.port} answered "{answer}"')
    assert not [part for part in row.says if part not in refused.message], refused.message
    assert "another server" not in refused.message
    assert refused.outcome.logged_in == (row.command not in ("connection", "STARTTLS", "AUTH"))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_from_postfix_log_to_the_same_words(row: Row) -> None:
    line = log_line(row.command, row.reply, HOST)
    words = line.partition(" (")[2][:-1]
    explained = explain_postfix(words)
    assert explained is not None
    assert explained == explain_reply(row.reply).text
    if row.reason != "credentials_invalid":  # Postfix does not know what the login looks like
        assert not [part for part in row.says if part not in explained]


def test_the_table_is_what_is_tested() -> None:
    assert sorted(row[:2] for row in ROWS) == sorted(example[:2] for example in EXAMPLES)
    assert {row.reason for row in ROWS} <= set(REASONS)
    assert list(REASONS) == sorted(set(REASONS))


@pytest.mark.parametrize("known", REPLIES, ids=lambda known: known.reason)
def test_a_row_of_the_table(known: KnownReply) -> None:
    """Each example is of this row and of no earlier one, and its texts are whole sentences."""
    for example in known.examples:
        explained = explain_reply(example.reply)
        assert explained.reason == known.reason
        assert explain_reply(example.reply.upper()).reason == known.reason
        first = next(
            each for each in REPLIES if re.match(each.pattern, example.reply, re.IGNORECASE)
        )
        assert first is known
    for text in (known.meaning, known.remedy):
        assert text[0].isupper()
        assert not text.endswith(".")
        for sentence in re.split(r"(?<=[a-z\d)])\. ", text):
            assert len(sentence.split()) <= 30, sentence
    named = {
        name for _text, name, _spec, _conversion in string.Formatter().parse(known.meaning) if name
    }
    assert named <= set(re.compile(known.pattern).groupindex)


# command, reply, status, the end of the line in Postfix's log
LOGGED: list[tuple[str, str, str, str]] = [
    (
        "AUTH",
        "535 Authentication Credentials Invalid",
        "deferred",
        (
            "dsn=4.0.0, status=deferred (SASL authentication failed; server HOST[ADDRESS] said:"
            " 535 Authentication Credentials Invalid)"
        ),
    ),
    (
        "MAIL FROM",
        "530 Authentication required",
        "bounced",
        (
            "dsn=5.0.0, status=bounced (host HOST[ADDRESS] said: 530 Authentication required"
            " (in reply to MAIL FROM command))"
        ),
    ),
    (
        "end of DATA",
        "454 Throttling failure: Maximum sending rate exceeded.",
        "deferred",
        (
            "dsn=4.0.0, status=deferred (host HOST[ADDRESS] said: 454 Throttling failure: Maximum"
            " sending rate exceeded. (in reply to end of DATA command))"
        ),
    ),
    (
        "end of DATA",
        "552 5.3.4 Message is too long.",
        "bounced",
        (
            "dsn=5.3.4, status=bounced (host HOST[ADDRESS] said: 552 5.3.4 Message is too long."
            " (in reply to end of DATA command))"
        ),
    ),
    (
        "connection",
        "421 Too many concurrent SMTP connections",
        "deferred",
        (
            "dsn=4.0.0, status=deferred (host HOST[ADDRESS] refused to talk to me: 421 Too many"
            " concurrent SMTP connections)"
        ),
    ),
]


@pytest.mark.parametrize(("command", "reply", "status", "line"), LOGGED)
def test_log_line(command: str, reply: str, status: str, line: str) -> None:
    """As public logs have them; a running Postfix is asked in tests/functional."""
    assert postfix_status(command, reply) == status
    assert log_line(command, reply) == line


# words of Postfix that quote no answer of SES
NOT_EXPLAINED = [
    "250 OK",
    "250 2.1.5 OK",
    "deferred transport",
    "connect to email-smtp.eu-west-1.amazonaws.com[192.0.2.25]:587: Connection timed out",
    "SASL authentication failed; cannot authenticate to server HOST[ADDRESS]: no mechanism available",
    "host HOST[ADDRESS] said: 550 5.1.1 No such user (in reply to RCPT TO command)",
    "host HOST[ADDRESS] said: ",
    "",
]


@pytest.mark.parametrize("words", NOT_EXPLAINED)
def test_words_of_postfix_that_are_not_explained(words: str) -> None:
    assert explain_postfix(words) is None


def test_a_very_long_answer_is_explained_at_once() -> None:
    for part in ("a ", "User a", "`", "is not authorized to perform "):
        assert explain_reply(f"554 Access denied: User {part * 100_000}")
        assert explain_postfix(f"host a said: 554 {part * 100_000}") is None


def test_what_an_answer_quotes_is_redacted() -> None:
    reply = "554 Transaction failed: Duplicate header 'X-Secret'."
    explained = explain_reply(reply, lambda part: part.replace("Secret", "***"))
    assert "the header X-*** twice" in explained.text


@given(st.sampled_from([row.reply for row in ROWS]), st.text(max_size=40), st.integers(0, 80))
def test_whatever_a_server_says_is_explained(reply: str, inserted: str, place: int) -> None:
    """Braces of a reply are no fields of a template, and nothing in it is an error."""
    text = f"{reply[:place]}{inserted}{{header}}{reply[place:]}"
    explained = explain_reply(text)
    assert explained.reason in REASONS
    assert explained.text
    words = explain_postfix(f"host {HOST} said: {text} (in reply to MAIL FROM command)")
    assert (words is None) or (words == explain_reply(text).text)


#: What Postfix says of failures that pass, and of others.
PASSING = [
    f"SASL authentication failed; server {HOST} said: 535 Authentication Credentials Invalid",
    f"SASL authentication failed; server {HOST} said: 454 Temporary authentication failure",
    f"host {HOST} refused to talk to me: 421 Too many concurrent SMTP connections",
    f"host {HOST} said: 451 Timeout waiting for data from client. (in reply to EHLO command)",
    f"connect to {HOST}:587: Connection refused",
    f"connect to {HOST}:587: Connection timed out",
    f"lost connection with {HOST} while performing the EHLO handshake",
    f"conversation with {HOST} timed out while receiving the initial server greeting",
    "Host or domain name not found. Name service error for name=x type=A: Host not found, try again",
]
LASTING = [
    "mail does not go through the relay: Postfix hands it to the transport error",
    "deferred transport",
    "Server certificate not trusted",
    f"TLS is required, but was not offered by host {HOST}",
    f"SASL authentication failed; cannot authenticate to server {HOST}: no mechanism available",
    f"SASL authentication failed; server {HOST} said: 535 Account not subscribed to SES",
    f"SASL authentication failed; server {HOST} said: 535 Signature Version 2 is deprecated",
    f"host {HOST} said: 454 Throttling failure: Daily message quota exceeded",
    f"host {HOST} said: 530 Must issue a STARTTLS command first (in reply to MAIL FROM command)",
    f"host {HOST} refused to talk to me: 554 no",
    "Host or domain name not found. Name service error for name=x type=A: Host not found",
]


@pytest.mark.parametrize("words", PASSING)
def test_a_failure_of_postfix_that_may_pass(words: str) -> None:
    assert may_postfix_succeed_later(words)


@pytest.mark.parametrize("words", LASTING)
def test_a_failure_of_postfix_that_does_not_pass(words: str) -> None:
    assert not may_postfix_succeed_later(words)
