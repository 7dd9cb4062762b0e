# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the stand-in for SES says after a message, as public transcripts of the real one have it."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp._replies import (
    UNKNOWN_REPLY,
    explain_reply,
)
from ansible_collections.mailops.ses.tests.support.ses.account_book import AccountBook
from ansible_collections.mailops.ses.tests.support.ses.accounts import (
    ANY_IDENTITY,
    Account,
    Permission,
)
from ansible_collections.mailops.ses.tests.support.ses.behaviour import Behaviour
from ansible_collections.mailops.ses.tests.support.ses.checks import CHECKS
from ansible_collections.mailops.ses.tests.support.ses.talk import ACCOUNT, SECRET, USER, Talk

NOT_VERIFIED = (
    "554 Message rejected: Email address is not verified. The following identities failed the check in "
    "region {}: {}"
)
DENIED = (
    "554 Access denied: User `arn:aws:iam::123456789012:user/mail' is not authorized to perform "
    "`ses:SendRawEmail' on resource `arn:aws:ses:us-east-1:123456789012:identity/{}'"
)
ARN = "arn:aws:ses:{}:123456789012:identity/{}"


def with_header(*fields: str, sender: str = "a@example.com") -> str:
    return "\r\n".join([f"From: {sender}", "To: b@example.net", *fields, "", "x"])


def failed(text: str) -> str:
    return f"554 Transaction failed: {text}"


def with_identities(*identities: str, **fields: t.Any) -> Account:
    return Account(USER, SECRET, identities, **fields)


#: identities, region, MAIL FROM, header From, further header fields, the list of failed identities
IDENTITIES = [
    ([], "us-east-1", "a@example.com", "a@example.com", [], "a@example.com"),
    ([], "us-east-1", "a@b.com", "Ian Brown <a@b.com>", [], "Ian Brown <a@b.com>, a@b.com"),
    (["b.com"], "us-east-1", "a@b.com", "A <a@b.com>", [], ""),
    (["b.com"], "us-east-1", "a+label@mail.b.com", "c@d.b.com", [], ""),
    (["b.com"], "us-east-1", "a@B.COM", "a@B.com", [], ""),
    (["b.com"], "us-east-1", "a@ab.com", "a@b.com", [], "a@ab.com"),
    (["mail.b.com"], "us-east-1", "a@b.com", "a@mail.b.com", [], "a@b.com"),
    (["a@b.com"], "us-east-1", "a@b.com", "A <a@b.com>", [], ""),
    (["a@b.com"], "us-east-1", "A@b.com", "a@b.com", [], "A@b.com"),
    (["a@b.com"], "us-east-1", "a+label@b.com", "a@b.com", [], "a+label@b.com"),
    (["a@b.com"], "us-east-1", "c@b.com", "c@b.com", [], "c@b.com"),
    (["a@b.com"], "us-east-1", "a@b.com", "a@b.com", ["Sender: no-reply@c.com"], "no-reply@c.com"),
    (["a@b.com"], "us-east-1", "a@b.com", "a@b.com", ["Return-Path: <x@c.com>"], "<x@c.com>"),
    (["a@b.com"], "us-east-1", "a@b.com", "a@b.com, x@c.com", [], "x@c.com"),
    (["a@b.com"], "us-east-1", "root@host", "a@b.com", [], "root@host"),
    (["a@b.com"], "us-east-1", "a@b.com", "root <root@host>", [], "root <root@host>"),
    ([ARN.format("us-east-1", "b.com")], "us-east-1", "a@b.com", "a@b.com", [], ""),
    ([ARN.format("us-east-1", "b.com")], "eu-west-1", "a@b.com", "a@b.com", [], "a@b.com"),
    (ANY_IDENTITY, "us-east-1", "root@host", "root@host", [], ""),
]

#: header fields (None for the usual ones), and the reply
HEADERS = [
    (["To: b@example.net"], failed("Missing required header 'From'.")),
    (["From: ", "To: b@example.net"], failed("Empty required header 'From'.")),
    (["From: a@example.com", "To:"], failed("Empty required header 'To'.")),
    (["From: a@example.com", "To: root"], failed("Missing final '@domain'")),
    (["From: x", "To: b@example.net"], failed("Missing final '@domain'")),
    (["From: A <x>", "To: b@example.net"], failed("Missing final '@domain'")),
    (["DKIM-Signature: a", "DKIM-Signature: b"], failed("Duplicate header 'DKIM-Signature'.")),
    (["Delivered-To: a@b.com", "delivered-to: c"], failed("Duplicate header 'delivered-to'.")),
    (["Message-ID: <1@b>", "Message-ID: <2@b>"], failed("Duplicate header 'Message-ID'.")),
    (["MIME-Version: 1.0", "MIME-Version: 1.0"], failed("Duplicate header 'MIME-Version'.")),
    (["To: c@example.net", "Cc: d@e.com", "Cc: f@e.com", "Received: a", "Received: b"], ""),
    (["X-A: 1", "X-A: 1", "Subject: one\r\n Subject: two"], ""),
    (["Cc: b@ex_ample.net"], failed("Domain contains illegal character")),
    (["Cc: b@example.net;"], failed("Illegal semicolon, not in group")),
    (["Cc: b c@example.net"], failed("Local address contains control or whitespace")),
    (["Cc: jos\xe9@example.net"], failed("Local address contains control or whitespace")),
    (["Cc: b(@example.net"], failed("Local address contains illegal character")),
    (["Cc: .b@example.net"], failed("Local address starts with dot")),
    (["Cc: b..c@example.net"], failed("Local address contains dot-dot")),
    (["Cc: b.@example.net"], failed("Local address ends with dot")),
    (["Cc: @example.net"], failed("Missing local name")),
    (["Cc: b@"], failed("Missing domain")),
    (["Cc: b@.example.net"], failed("Domain starts with dot")),
    (["Cc: b@example..net"], failed("Domain contains dot-dot")),
    (["Cc: b@example.net."], failed("Domain ends with dot")),
    (["Cc: b@example .net"], failed("Domain contains control or whitespace")),
    (["Cc: b@[192.0.2.1]"], ""),
    (["Cc: <>"], failed("Empty address")),
    (['Cc: a"b"@example.net'], failed("Quote not at start of local address")),
    (['Cc: "B, C" <b@example.net>, "d e"@example.net (who, me), friends: f@e.com, g@e.com;'], ""),
    (["Cc: undisclosed-recipients:;"], ""),
    (["Content-Type: text;charset=utf-8"], failed("Expected '/', got ;")),
    (["Content-Type: text/"], failed("Expected MIME subtype, got ")),
    (["Content-Type: /"], failed("Expected MIME type, got /")),
    (['Content-Type: text/plain "x"'], failed('Expected \';\', got ""x""')),
    (["Content-Type: text/plain: x"], failed("Expected ';', got \":\"")),
    (["Content-Type: text/plain; =x"], failed('Expected parameter name, got "="')),
    (['Content-Type: text/plain; charset="utf-8"; format=flowed;'], ""),
    (["Content-Disposition: attachment=x"], failed("Expected disposition, got =.")),
    (["Content-Disposition: ;"], failed("Expected disposition, got ;.")),
    (["Content-Disposition: attachment; filename=x"], ""),
]

#: permissions, and the identity in the refusal
PERMISSIONS = [
    ([], "example.com"),
    ([Permission(("arn:aws:ses:*:*:identity/example.com",))], ""),
    ([Permission(("arn:aws:ses:eu-west-1:*:identity/example.com",))], "example.com"),
    ([Permission(("*/other.com",)), Permission(("*/example.com",))], ""),
    ([Permission(from_address=("a@example.com",))], ""),
    ([Permission(from_address=("*@example.com",))], ""),
    ([Permission(from_address=("b@example.com",))], "example.com"),
    ([Permission(from_display_name=("A",))], ""),
    ([Permission(from_display_name=("B",))], "example.com"),
    ([Permission(recipients=("*@example.net",))], ""),
    ([Permission(recipients=("*@example.org",))], "example.com"),
    ([Permission(feedback_address=("a@example.com",))], ""),
    ([Permission(feedback_address=("c@example.com",))], "example.com"),
]


def test_a_good_message_is_accepted_with_an_id() -> None:
    for region, digits in (("us-east-1", "0100"), ("eu-central-1", "0107"), ("eu-west-3", "01")):
        talk = Talk(region=region).log_in()
        assert talk.send().startswith(f"250 Ok {digits}")
        assert talk.send(recipients=["b@example.net", "c@example.net"]).endswith("-000000")
    first, second = talk.recorder.messages
    assert (first.mail_from, first.recipients) == ("a@example.com", ("b@example.net",))
    assert second.recipients == ("b@example.net", "c@example.net")
    assert first.data == b"From: a@example.com\r\nTo: b@example.net\r\n\r\nx\r\n"


def test_dots_and_the_end_of_a_message() -> None:
    talk = Talk().log_in()
    talk.send(with_header() + "\r\n..two\r\n.\rthree\r\n.\n")
    assert talk.recorder.messages[0].data.endswith(b"x\r\n.two\r\n\rthree\r\n\n\r\n")
    for line in ("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA"):
        talk.say(line)
    assert talk.say(".") == ["554 Transaction failed: Missing required header 'From'."]


def test_without_identities_nothing_is_sent() -> None:
    assert Account(USER, SECRET).identities == ()
    expected = NOT_VERIFIED.format("US-EAST-1", "a@example.com")
    assert Talk(Account(USER, SECRET)).log_in().send() == expected


@pytest.mark.parametrize(
    ("identities", "region", "sender", "header", "fields", "rejected"), IDENTITIES
)
def test_identities(
    *,
    identities: t.Sequence[str],
    region: str,
    sender: str,
    header: str,
    fields: list[str],
    rejected: str,
) -> None:
    talk = Talk(with_identities(*identities), region=region).log_in()
    reply = talk.send(with_header(*fields, sender=header), sender)
    if rejected:
        assert reply == NOT_VERIFIED.format(region.upper(), rejected)
    else:
        assert reply.startswith("250 Ok ")


def test_a_long_list_of_identities_ends_in_dots() -> None:
    senders = ", ".join(f"someone{number}@elsewhere.com" for number in range(40))
    assert Talk().log_in().send(with_header(sender=senders)).endswith("...")


@pytest.mark.parametrize(("fields", "reply"), HEADERS)
def test_headers(fields: list[str], reply: str) -> None:
    usual = {"From": "From: a@example.com", "To": "To: b@example.net"}
    if not any(field.startswith(("From:", "To:")) for field in fields):
        fields = [*usual.values(), *fields]
    elif not any(field.startswith("From:") for field in fields) and len(fields) > 1:
        fields = [usual["From"], *fields]
    answer = Talk().log_in().send("\r\n".join([*fields, "", "x"]))
    assert answer == reply if reply else answer.startswith("250 Ok ")
    assert not reply or explain_reply(reply).reason != UNKNOWN_REPLY


@pytest.mark.parametrize(
    ("cc", "first", "second"),
    [
        ("b@", "Missing domain", "Invalid header."),
        (
            "b@ex_ample.net",
            "Domain contains illegal character",
            "Domain contains illegal character",
        ),
    ],
)
def test_words_about_a_header_that_no_log_has_are_a_guess(cc: str, first: str, second: str) -> None:
    for other_guesses, words in ((False, first), (True, second)):
        talk = Talk(behaviour=Behaviour(other_guesses=other_guesses)).log_in()
        assert talk.send(with_header(f"Cc: {cc}")) == failed(words)


def test_that_a_message_without_to_is_refused_is_a_guess() -> None:
    message = "From: a@example.com\r\n\r\nx"
    assert Talk().log_in().send(message) == failed("Missing required header 'To'.")
    talk = Talk(behaviour=Behaviour(other_guesses=True)).log_in()
    assert talk.send(message).startswith("250 Ok ")


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        (
            '"re:ceiver"@example.net',
            failed(
                "Address contains illegal characters in user name: '<\"re:ceiver\"@example.net>'."
            ),
        ),
        (
            '"re@ceiver"@example.net',
            failed(
                "Address contains illegal characters in user name: '<\"re@ceiver\"@example.net>'."
            ),
        ),
        ("b@767", failed("Invalid domain name: '767'.")),
        ("b@exa_mple..net", failed("Invalid domain name: 'exa_mple..net'.")),
        ("re(ceiver@example.net", ""),
    ],
)
def test_recipients_that_are_refused_late(recipient: str, reply: str) -> None:
    answer = Talk().log_in().send(recipients=[recipient])
    assert answer == reply if reply else answer.startswith("250 Ok ")
    assert not reply or explain_reply(reply).reason != UNKNOWN_REPLY


def test_fifty_recipients_are_the_most() -> None:
    recipients = [f"b{number}@example.net" for number in range(51)]
    assert Talk().log_in().send(recipients=recipients[:50]).startswith("250 Ok ")
    assert Talk().log_in().send(recipients=recipients) == failed("Recipient count exceeds 50.")
    assert explain_reply(failed("Recipient count exceeds 50.")).reason != UNKNOWN_REPLY


def test_a_message_that_is_too_long() -> None:
    assert Behaviour().message_size == 40 * 1024 * 1024
    talk = Talk(behaviour=Behaviour(message_size=100)).log_in()
    assert talk.send().startswith("250 Ok ")
    assert talk.send(with_header() + "x" * 100) == "552 5.3.4 Message is too long. "


@pytest.mark.parametrize(("permissions", "identity"), PERMISSIONS)
def test_permissions(permissions: list[Permission], identity: str) -> None:
    talk = Talk(ACCOUNT.with_changes(permissions=tuple(permissions))).log_in()
    reply = talk.send(with_header(sender="A <a@example.com>"))
    assert reply == DENIED.format(identity) if identity else reply.startswith("250 Ok ")


def test_the_sandbox_needs_identities_and_permissions_of_recipients() -> None:
    """Only the mailbox simulator's addresses are exempt."""
    sandbox = ACCOUNT.with_changes(sandbox=True)
    simulator = [
        f"{name}{label}@simulator.amazonses.com"
        for name in ("success", "bounce", "complaint", "ooto", "suppressionlist")
        for label in ("", "+label")
    ]
    talk = Talk(sandbox).log_in()
    assert talk.send(recipients=[*simulator, "own@example.com"]).startswith("250 Ok ")
    expected = NOT_VERIFIED.format("US-EAST-1", "b@example.net, other@simulator.amazonses.com")
    recipients = [*simulator, "b@example.net", "other@simulator.amazonses.com"]
    assert talk.send(recipients=recipients) == expected
    narrow = sandbox.with_changes(
        identities=("example.com", "b@example.net"),
        permissions=(Permission(("*/example.com",)),),
    )
    assert Talk(narrow).log_in().send() == DENIED.format("b@example.net")


def test_configuration_sets() -> None:
    unknown = "554 Configuration Set does not exist: Configuration set <{}> does not exist."
    account = ACCOUNT.with_changes(configuration_sets=("own",))
    named = [with_header(f"X-SES-CONFIGURATION-SET: {name}") for name in ("own", "other")]
    talk = Talk(account).log_in()
    assert talk.send(named[0]).startswith("250 Ok ")
    assert talk.send(named[1]) == unknown.format("other")
    assert talk.send().startswith("250 Ok ")
    broken = Talk(account.with_changes(default_configuration_set="gone")).log_in()
    assert broken.send() == unknown.format("gone")
    assert broken.send(named[0]).startswith("250 Ok ")


def test_a_paused_account() -> None:
    assert Talk(ACCOUNT.with_changes(paused=True)).log_in().send() == (
        "554 Message rejected: Sending paused for this account. For more information, please check "
        "the inbox of the email address associated with your AWS account."
    )


def test_a_mail_from_domain_without_mx() -> None:
    talk = Talk(ACCOUNT.with_changes(broken_mail_from=("example.com",))).log_in()
    assert talk.send() == (
        "554 MAIL FROM domain not verified: DNS setup for MAIL FROM domain is invalid."
    )


def test_the_sending_rate_is_a_token_bucket_that_counts_recipients() -> None:
    now = [0.0]
    rate = "454 Throttling failure: Maximum sending rate exceeded."
    book = AccountBook([ACCOUNT.with_changes(rate=2.0)], clock=lambda: now[0])
    talk = Talk(book=book).log_in()
    assert talk.send(recipients=["b@example.net", "c@example.net"]).startswith("250 Ok ")
    assert talk.send() == rate
    assert Talk(book=book, region="eu-west-1").log_in().send().startswith("250 Ok ")
    now[0] = 0.5
    assert talk.send(recipients=["b@example.net", "c@example.net"]) == rate
    assert talk.send().startswith("250 Ok ")
    assert talk.send() == rate
    now[0] = 99
    assert talk.send(recipients=["b@example.net"] * 3) == rate


def test_the_daily_quota_counts_recipients() -> None:
    now = [0.0]
    book = AccountBook([ACCOUNT.with_changes(daily_quota=24)], clock=lambda: now[0])
    talk = Talk(book=book).log_in()
    recipients = [f"b{number}@example.net" for number in range(24)]
    assert talk.send(recipients=recipients).startswith("250 Ok ")
    assert talk.send() == "454 Throttling failure: Daily message quota exceeded."
    now[0] = 3600
    assert talk.send().startswith("250 Ok ")


def test_keys_of_one_aws_account_share_its_quota_and_other_accounts_do_not() -> None:
    first = ACCOUNT.with_changes(daily_quota=1)
    second, other = (
        first.with_changes(access_key="second"),
        first.with_changes(access_key="other", number="210987654321"),
    )
    book = AccountBook([first, second, other], clock=lambda: 0.0)
    assert Talk(first, book=book).log_in().send().startswith("250 Ok ")
    assert Talk(second, book=book).log_in().send().startswith("454 ")
    assert Talk(other, book=book).log_in().send().startswith("250 Ok ")


def test_a_refused_message_is_not_counted_and_the_session_goes_on() -> None:
    book = AccountBook([ACCOUNT.with_changes(daily_quota=1)], clock=lambda: 0.0)
    talk = Talk(book=book).log_in()
    assert talk.send(sender="root@host").startswith("554 Message rejected")
    assert talk.send().startswith("250 Ok ")
    assert len(talk.recorder.messages) == 1


def test_which_refusal_comes_first_is_nobodys_to_know() -> None:
    """Each seed has an order of its own; what is refused in one is refused in all."""
    account = Account(USER, SECRET, permissions=(), paused=True, daily_quota=0)
    replies = set()
    for seed in range(40):
        behaviour = Behaviour(order=seed, message_size=1)
        replies.add(Talk(account, behaviour=behaviour).log_in().send("X: y\r\n\r\nx"))
        assert sorted(map(id, behaviour.arrange(CHECKS))) == sorted(map(id, CHECKS))
        assert Talk(behaviour=Behaviour(order=seed)).log_in().send().startswith("250 Ok ")
    assert len(replies) == 6
