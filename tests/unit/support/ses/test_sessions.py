# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions with the stand-in for SES, line by line as public transcripts of the real one have them."""

from __future__ import annotations

import re
import typing as t

import pytest
from ansible_collections.mailops.ses.tests.support.ses.account_book import AccountBook
from ansible_collections.mailops.ses.tests.support.ses.accounts import (
    Account,
    IngressEndpoint,
    password_v2,
    password_v4,
)
from ansible_collections.mailops.ses.tests.support.ses.answers import FAULTS, Stage
from ansible_collections.mailops.ses.tests.support.ses.behaviour import Behaviour
from ansible_collections.mailops.ses.tests.support.ses.dialogue import Tls
from ansible_collections.mailops.ses.tests.support.ses.lines import Next
from ansible_collections.mailops.ses.tests.support.ses.mail_manager import ManagerDialogue
from ansible_collections.mailops.ses.tests.support.ses.talk import (
    ACCOUNT,
    SECRET,
    USER,
    Talk,
    encode,
)

PASSWORD = "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9"
EHLO = [
    "250-email-smtp.amazonaws.com",
    "250-8BITMIME",
    "250-STARTTLS",
    "250-AUTH PLAIN LOGIN",
    "250 Ok",
]
VERSION_2 = (
    "535 Signature Version 2 is deprecated for use with SES from March 26, 2021. From that date on, we"
    " are progressively rejecting such requests. To resolve the issue, you must migrate to Signature "
    "Version 4. If you created your SMTP credentials in the SES Console, please create new credentials "
    "and replace the former ones. If you are deriving Signature Version 2 credentials from a IAM user, "
    "please start using the Signature Version 4 algorithm: "
    "https://docs.aws.amazon.com/ses/latest/DeveloperGuide/smtp-credentials.html"
)
STARTTLS_FIRST = "530 Must issue a STARTTLS command first"
NOT_PAIRED = (
    "501 Syntax error at character position 4. CR and LF must be CRLF paired.  See RFC 2821 #2.7.1."
)
BAD_SENDER = "501 Invalid MAIL FROM address provided"
BAD_RECIPIENT = "501 Invalid RCPT TO address provided"

#: What a client says before it has TLS, and the reply. It hangs up after those marked with a "#".
BEFORE_TLS = [
    ("HELO x", STARTTLS_FIRST),
    ("RSET", STARTTLS_FIRST),
    ("VRFY x", STARTTLS_FIRST),
    ("HELP", STARTTLS_FIRST),
    ("AUTH PLAIN AAAA", STARTTLS_FIRST),
    ("MAIL FROM:<a@example.com>", STARTTLS_FIRST),
    ("RCPT TO:<a@example.com>", STARTTLS_FIRST),
    ("DATA", STARTTLS_FIRST),
    ("NOOP", "250 Ok"),
    ("ehlo", "501 Syntax: EHLO hostname"),
    ("STARTTLS now", "501 Syntax error (no parameters allowed)"),
    ("WHAT", "500 Error: command not implemented"),
    ("", "500 Error: bad syntax"),
    ("AB", "500 Error: bad syntax"),
    ("QUIT", "#221 Bye"),
    ("N" * 999, "#501 Input line length is too long!"),
    ("NOOP\rQUIT", f"#{NOT_PAIRED}"),
    ("NOOP\nQUIT", f"#{NOT_PAIRED}"),
]

#: The same inside TLS, without a login.
IN_TLS = [
    ("HELO x", "250 email-smtp.amazonaws.com"),
    ("HELO", "501 Syntax: HELO <hostname>"),
    ("RSET", "250 Ok"),
    ("VRFY x", "502 VRFY command is disabled"),
    ("STARTTLS", "454 TLS not available due to temporary reason: TLS already active"),
    ("MAIL FROM:<a@example.com>", "530 Authentication required"),
    ("MAIL FROM:<>", "530 Authentication required"),
    ("RCPT TO:<a@example.com>", "503 Error: need MAIL command"),
    ("DATA", "503 Error: need MAIL command"),
    ("AUTH", "501 Syntax: AUTH mechanism [initial-response]"),
    ("AUTH CRAM-MD5", "504 The requested authentication mechanism is not supported"),
    ("AUTH PLAIN !", "501 Invalid command argument, not a valid Base64 string"),
    ("AUTH PLAIN AAA", "501 Invalid command argument, not a valid Base64 string"),
    (f"AUTH PLAIN {encode('a')}", "501 Invalid command argument, does not contain NUL"),
    ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
    (f"AUTH LOGIN {encode(USER)}", "334 UGFzc3dvcmQ6"),
    ("AUTH PLAIN", "334 Ok"),
    ("auth plain", "334 Ok"),
]

#: A password, the reply, and what the record says that it was.
LOGINS = [
    (PASSWORD, "235 Authentication successful.", "accepted"),
    (SECRET, "535 Authentication Credentials Invalid", "the secret access key itself"),
    (
        password_v4(SECRET, "eu-west-1"),
        "535 Authentication Credentials Invalid",
        "password of another region",
    ),
    (f"{PASSWORD} ", "535 Authentication Credentials Invalid", "wrong password"),
    (password_v2(SECRET), VERSION_2, "version 2 password"),
]

#: What a client that is logged in says first, and the reply.
SENDERS = [
    ("MAIL FROM:<a@example.com>", "250 Ok"),
    ("MAIL FROM: <a@example.com>", "250 Ok"),
    ("mail from:a@example.com", "250 Ok"),
    ("MAIL FROM:<a@example.com> BODY=8BITMIME AUTH=<> FOO=1", "250 Ok"),
    ("MAIL FROM:<a@example.com> SIZE=41943040", "250 Ok"),
    ("MAIL FROM:<a@example.com> SIZE=41943041", "552 5.3.4 Message size exceeds fixed limit"),
    ("MAIL FROM:<root@host>", "250 Ok"),
    ("MAIL FROM:<webmaster@localhost>", "250 Ok"),
    ("MAIL FROM:<>", BAD_SENDER),
    ("MAIL FROM:<AKIAIOSFODNN7EXAMPLE>", BAD_SENDER),
    ("MAIL FROM:<SES (<user1@example. com>)>", BAD_SENDER),
    ("MAIL FROM:SES (<user1@example. com>)", BAD_SENDER),
    ("MAIL FROM:<a b@example.com>", BAD_SENDER),
    ("MAIL FROM:<a@>", BAD_SENDER),
    ("MAIL FROM:<@example.com>", BAD_SENDER),
    ("MAIL FROM:<jos\xe9@example.com>", BAD_SENDER),
    ("MAIL FROM:", "501 Syntax: MAIL FROM: <address>"),
    (
        "MAIL <a@example.com>",
        '501 Syntax: MAIL FROM: <address>  Error in parameters: "<a@example.com>"',
    ),
    ("MAIL", '501 Syntax: MAIL FROM: <address>  Error in parameters: ""'),
    ("AUTH PLAIN AAAA", "503 Refusing any other AUTH command."),
]

#: What it says after MAIL, and the reply.
RECIPIENTS = [
    ("RCPT TO:<b@example.net>", "250 Ok"),
    ("RCPT TO:b@example.net", "250 Ok"),
    *((f"RCPT TO:<re{character}ceiver@example.net>", "250 Ok") for character in "()<[];,\"' "),
    ("RCPT TO:<re..ceiver@example.net>", "250 Ok"),
    ("RCPT TO:<.receiver@example.net>", "250 Ok"),
    ("RCPT TO:<receiver.@example.net>", "250 Ok"),
    ('RCPT TO:<"re:ceiver"@example.net>', "250 Ok"),
    ("RCPT TO:<b@767>", "250 Ok"),
    ("RCPT TO:<re>ceiver@example.net>", BAD_RECIPIENT),
    ("RCPT TO:<receiver>", BAD_RECIPIENT),
    ("RCPT TO:<>", BAD_RECIPIENT),
    ("RCPT TO:", '501 Syntax: RCPT TO: <address>  Error in parameters: "TO:"'),
    (
        "RCPT <b@example.net>",
        '501 Syntax: RCPT TO: <address>  Error in parameters: "<b@example.net>"',
    ),
    ("MAIL FROM:<a@example.com>", "503 Sender already specified."),
    ("DATA", "503 Error: need RCPT command"),
    ("RSET", "250 Ok"),
]


def in_tls(account: Account = ACCOUNT, **options: t.Any) -> Talk:
    talk = Talk(account, **options)
    talk.start_tls()
    return talk


def check_reply(talk: Talk, line: str, reply: str) -> None:
    closes = reply.startswith("#")
    assert talk.say(line) == [reply.removeprefix("#")]
    assert talk.is_open is not closes


def test_the_greeting() -> None:
    first, second = Talk().reply[0], Talk().reply[0]
    start = "220 email-smtp.amazonaws.com ESMTP SimpleEmailService-d-"
    assert first.startswith(start)
    assert re.fullmatch("[A-Z0-9]{9} [A-Za-z0-9]{20}", first[len(start) :])
    assert first[:-20] == second[:-20]
    assert first != second


def test_ehlo_is_the_same_before_and_inside_starttls() -> None:
    talk = Talk()
    assert talk.say("EHLO x") == EHLO
    talk.start_tls()
    assert talk.say("EHLO x") == EHLO


def test_ehlo_inside_the_wrapper_has_no_starttls() -> None:
    assert Talk(tls=Tls.WRAPPED).say("EHLO x") == [line for line in EHLO if "STARTTLS" not in line]


def test_ehlo_until_2022_has_a_size() -> None:
    talk = Talk(behaviour=Behaviour(offers_size=True, message_size=10485760))
    assert talk.say("EHLO x") == [*EHLO[:2], "250-SIZE 10485760", *EHLO[2:]]


@pytest.mark.parametrize(("line", "reply"), BEFORE_TLS)
def test_before_tls(line: str, reply: str) -> None:
    check_reply(Talk(), line, reply)


@pytest.mark.parametrize(("line", "reply"), IN_TLS)
def test_in_tls(line: str, reply: str) -> None:
    check_reply(in_tls(), line, reply)


@pytest.mark.parametrize(("line", "reply"), SENDERS)
def test_of_a_sender_only_the_form_is_looked_at(line: str, reply: str) -> None:
    check_reply(Talk().log_in(), line, reply)


@pytest.mark.parametrize(("line", "reply"), RECIPIENTS)
def test_of_a_recipient_only_the_form_is_looked_at(line: str, reply: str) -> None:
    talk = Talk().log_in()
    talk.say("MAIL FROM:<a@example.com>")
    check_reply(talk, line, reply)


def test_help_ends_as_the_ancestors_does() -> None:
    assert in_tls().say("HELP")[-1] == "214 End of HELP info"


def test_what_is_said_before_the_handshake_is_done_counts_for_nothing() -> None:
    talk = Talk()
    assert talk.say("STARTTLS\r\nNOOP") == ["220 Ready to start TLS"]
    talk.server.start_tls()
    assert talk.say("NOOP") == ["250 Ok"]


def test_what_arrives_with_the_end_of_the_handshake_is_answered_after_it() -> None:
    talk = Talk()
    talk.say("STARTTLS")
    assert talk.say("NOOP") == []
    talk.server.start_tls()
    assert talk.server.receive(b"") == b"250 Ok\r\n"


@pytest.mark.parametrize(("password", "reply", "verdict"), LOGINS, ids=lambda value: value[:20])
def test_logins(password: str, reply: str, verdict: str) -> None:
    """By either mechanism, in one step or more; a refused client may go on."""
    for lines in (
        [f"AUTH PLAIN {encode(f'{chr(0)}{USER}{chr(0)}{password}')}"],
        ["AUTH PLAIN", encode(f"\0{USER}\0{password}")],
        ["AUTH LOGIN", encode(USER), encode(password)],
        [f"AUTH LOGIN {encode(USER)}", encode(password)],
    ):
        talk = in_tls()
        for line in lines:
            talk.say(line)
        assert talk.reply == [reply]
        (attempt,) = talk.record.auth_attempts
        assert (attempt.verdict, attempt.username) == (verdict, USER)
        assert attempt.accepted is (verdict == "accepted")
        assert talk.say("RSET") == ["250 Ok"]
        assert password not in repr(talk.record)


def test_an_unknown_user_is_refused_as_a_wrong_password_is() -> None:
    talk = in_tls(Account("somebody", SECRET), book=AccountBook([ACCOUNT]))
    assert talk.say(f"AUTH PLAIN {talk.plain(PASSWORD)}") == [
        "535 Authentication Credentials Invalid"
    ]
    assert talk.record.auth_attempts[0].verdict == "unknown user"


@pytest.mark.parametrize("lines", [["AUTH LOGIN"], ["AUTH LOGIN", encode(USER)], ["AUTH PLAIN"]])
def test_a_login_can_be_canceled(lines: list[str]) -> None:
    talk = in_tls()
    for line in lines:
        talk.say(line)
    assert talk.say("*") == ["501 Authentication canceled by client."]
    assert talk.say("NOOP") == ["250 Ok"]


def test_silence_ends_a_session_with_an_answer_to_nothing() -> None:
    talk = Talk().log_in()
    assert talk.server.fall_silent() == b"451 4.4.2 Timeout waiting for data from client.\r\n"
    assert not talk.is_open


def test_the_message_after_the_last_ends_the_session() -> None:
    assert Behaviour().messages_per_session == 350
    talk = Talk(behaviour=Behaviour(messages_per_session=2)).log_in()
    assert [talk.send()[:6] for _message in range(2)] == ["250 Ok"] * 2
    assert talk.say("MAIL FROM:<a@example.com>") == [
        "421 Connection closed by server. Maximum message count per session reached."
    ]
    assert not talk.is_open


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("username", [None, USER])
def test_a_fault_that_is_switched_on_replaces_an_answer(name: str, username: str | None) -> None:
    """For all, or for one account; as often as is said."""
    fault = FAULTS[name]
    if fault.stage is Stage.CONNECT:
        username = None  # before the login no account is known
    book = AccountBook([ACCOUNT, Account("other", SECRET, ("example.com",))])
    book.switch_on(name, username=username, times=1)
    if username is not None:
        assert Talk(Account("other", SECRET), book=book).log_in().send().startswith("250 Ok 0100")
    talk = Talk(book=book)
    if fault.stage is not Stage.CONNECT:
        talk.log_in()
    if fault.stage in (Stage.MAIL, Stage.DATA):
        talk.send()
    assert talk.reply == [fault.reply]
    assert talk.is_open is not fault.reply.startswith("421")
    assert Talk(book=book).log_in().send().startswith("250 Ok 0100")


def test_faults_are_switched_off() -> None:
    book = AccountBook([ACCOUNT])
    book.switch_on("paused")
    book.switch_off_all()
    assert Talk(book=book).log_in().send().startswith("250 Ok ")


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT])
def test_a_fault_of_ones_own(stage: Stage) -> None:
    book = AccountBook([ACCOUNT])
    book.switch_on(FAULTS["paused"].__class__(stage, "451 4.3.0 no"))
    assert Talk(book=book).log_in().send() == "451 4.3.0 no"


def test_a_man_in_the_middle_takes_the_login_in_the_clear() -> None:
    talk = Talk(tls=Tls.STRIPPED)
    assert talk.say("EHLO x") == [line for line in EHLO if "STARTTLS" not in line]
    assert talk.say(f"AUTH PLAIN {talk.plain(PASSWORD)}") == ["235 Authentication successful."]


def test_mail_manager_takes_a_chosen_login_and_no_derived_one() -> None:
    """Two passwords are valid after a change; its messages are accepted without identities."""
    name = "inp-0a1b2c3d4e"
    book = AccountBook([ACCOUNT], [IngressEndpoint(name, ("the old one", "the new one"))])
    for username, password, code in (
        (name, "the old one", "235"),
        (name, "the new one", "235"),
        (name, "another", "535"),
        (USER, PASSWORD, "535"),
    ):
        talk = Talk(Account(username, ""), book=book, dialogue=ManagerDialogue)
        assert not any("AUTH" in line for line in talk.say("EHLO x"))
        talk.start_tls()
        assert not any("STARTTLS" in line for line in talk.say("EHLO x"))
        talk.say(f"AUTH PLAIN {talk.plain(password)}")
        assert talk.reply[0].startswith(code)
    talk = in_tls(Account(name, ""), book=book, dialogue=ManagerDialogue)
    talk.say(f"AUTH PLAIN {talk.plain('the new one')}")
    assert talk.send(sender="root@host").startswith("250")
    assert talk.recorder.messages[0].username == name
    classic = in_tls(Account(name, ""), book=book)
    assert classic.say(f"AUTH PLAIN {classic.plain('the new one')}")[0].startswith("535")


def test_a_message_is_asked_for() -> None:
    talk = Talk().log_in()
    for line in ("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>"):
        talk.say(line)
    assert talk.say("DATA") == ["354 End data with <CR><LF>.<CR><LF>"]


def test_quit_is_the_end() -> None:
    talk = Talk()
    talk.say("QUIT")
    assert talk.server.next is Next.CLOSE
    assert talk.say("NOOP") == []
