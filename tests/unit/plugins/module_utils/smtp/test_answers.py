# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What SES's answers to a login are said to mean, and that no answer shows a secret."""

from __future__ import annotations

import base64
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp._answers import (
    login_answered,
    server_answered,
    shown,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._client import Reply
from ansible_collections.mailops.ses.plugins.module_utils._smtp._outcome import REASONS
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    MAIL_MANAGER,
    MISTAKES,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
    longest_common_part,
)
from hypothesis import given
from hypothesis import strategies as st

SERVER = SmtpServer("email-smtp.eu-west-1.amazonaws.com", 587, "starttls")
PASSWORD = PASSWORD_OF["eu-west-1"]
V2_PASSWORD = "An60U4ZD3sd4fg+FvXUjayOipTt8LO4rUUmhpdX6ctDy"
INVALID = Reply(535, "Authentication Credentials Invalid")

# case, user name, password, answer, reason, whether it may pass, parts of the message
ANSWERS: list[tuple[str, str, str, Reply, str, bool, list[str]]] = [
    (
        "well-formed",
        ACCESS_KEY,
        PASSWORD,
        INVALID,
        "credentials_invalid",
        True,
        ["another region than that of email-smtp.eu-west-1", "deactivated", "half a minute"],
    ),
    (
        "raw secret",
        ACCESS_KEY,
        SECRET_KEY,
        INVALID,
        "credentials_invalid",
        False,
        ["looks like a secret access key", "secret_key"],
    ),
    (
        "IAM user's name",
        "ses-smtp-user",
        PASSWORD,
        INVALID,
        "credentials_invalid",
        False,
        ["not an access key ID", "name of the IAM user"],
    ),
    (
        "temporary",
        "ASIAIOSFODNN7EXAMPLE",
        PASSWORD,
        INVALID,
        "credentials_invalid",
        False,
        ["ASIA", "Create an access key"],
    ),
    (
        "newline",
        ACCESS_KEY,
        f"{PASSWORD}\n",
        INVALID,
        "credentials_invalid",
        False,
        ["white space"],
    ),
    (
        "cut off",
        ACCESS_KEY,
        PASSWORD[:-1],
        INVALID,
        "credentials_invalid",
        False,
        ["not an SMTP password of SES", "44 characters"],
    ),
    ("version 2", ACCESS_KEY, V2_PASSWORD, INVALID, "version_2", False, ["version 4", "region"]),
    (
        "version 2, says SES",
        ACCESS_KEY,
        PASSWORD,
        Reply(535, "Signature Version 2 is deprecated for use with SES"),
        "version_2",
        False,
        ["Signature Version 2 is deprecated", "version 4"],
    ),
    (
        "not subscribed",
        ACCESS_KEY,
        PASSWORD,
        Reply(535, "Account not subscribed to SES"),
        "not_subscribed",
        False,
        ["has not signed up for SES"],
    ),
    (
        "rate",
        ACCESS_KEY,
        PASSWORD,
        Reply(454, "Throttling failure: Maximum sending rate exceeded"),
        "throttled",
        True,
        ["faster than it may", "try again later"],
    ),
    (
        "daily quota",
        ACCESS_KEY,
        PASSWORD,
        Reply(454, "Throttling failure: Daily message quota exceeded"),
        "quota_exceeded",
        False,
        ["24 hours"],
    ),
    (
        "temporary failure",
        ACCESS_KEY,
        PASSWORD,
        Reply(454, "Temporary authentication failure"),
        "temporary_failure",
        True,
        ["Try again later"],
    ),
    (
        "too many connections",
        ACCESS_KEY,
        PASSWORD,
        Reply(421, "Too many concurrent SMTP connections"),
        "too_many_connections",
        True,
        ["no more connections"],
    ),
    (
        "none of SES",
        ACCESS_KEY,
        PASSWORD,
        Reply(504, "Unrecognized authentication type"),
        "unknown_answer",
        False,
        ["This answer is unknown", "ask AWS Support"],
    ),
    (
        "none of SES, temporary",
        ACCESS_KEY,
        PASSWORD,
        Reply(450, "not now"),
        "unknown_answer",
        True,
        ["This answer is unknown", "try again later"],
    ),
    (
        "a text of 535 that nobody has seen",
        ACCESS_KEY,
        PASSWORD,
        Reply(535, "No, sorry"),
        "credentials_invalid",
        True,
        ["in no list of SES's answers; its code rejects the login", "another region"],
    ),
]
# what a server makes of the command that it refuses
ECHOES = {
    "as it is": lambda text: text,
    "in capitals": lambda text: text.upper(),
    "in quotes": lambda text: f"'{text}'",
    "cut": lambda text: text[: len(text) // 2],
    "its end": lambda text: text[len(text) // 2 :],
    "on lines": lambda text: "\n".join(
        text[start : start + 12] for start in range(0, len(text), 12)
    ),
}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("case", "username", "password", "reply", "reason", "may_pass", "says"),
    ANSWERS,
    ids=[row[0] for row in ANSWERS],
)
def test_meaning(
    *,
    case: str,
    username: str,
    password: str,
    reply: Reply,
    reason: str,
    may_pass: bool,
    says: list[str],
) -> None:
    refused = login_answered(SmtpLogin(SERVER, username, password), reply)
    assert (refused.reason, refused.may_pass) == (reason, may_pass)
    assert refused.reason in REASONS
    assert refused.answer == f"{reply.code} {reply.text}"
    assert refused.message.startswith(f'{SERVER.host} port 587 answered "{refused.answer}". ')
    assert not [part for part in says if part not in refused.message], refused.message
    assert not refused.message.endswith(".")
    assert str(refused) == refused.message
    assert not refused.outcome.accepted
    for secret in (PASSWORD, SECRET_KEY, V2_PASSWORD):
        assert len(longest_common_part(refused.message, secret)) < 8


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: str(row["mistake"])[:30])
def test_every_published_mistake_is_explained(row: dict[str, str]) -> None:
    refused = login_answered(SmtpLogin(SERVER, ACCESS_KEY, row["wrong_smtp_password"]), INVALID)
    assert refused.reason in ("credentials_invalid", "version_2")
    assert len(refused.message) > len(str(SERVER)) + 100


def test_before_the_login() -> None:
    refused = server_answered(SERVER, Reply(421, "Too many concurrent SMTP connections"))
    assert (refused.reason, refused.may_pass) == ("too_many_connections", True)
    refused = server_answered(SERVER, Reply(554, "No SMTP service here"))
    assert (refused.reason, refused.may_pass) == ("unknown_answer", False)
    assert '"554 No SMTP service here". This answer is unknown' in refused.message
    assert "another server" not in refused.message


@pytest.mark.parametrize("echo", ECHOES.values(), ids=list(ECHOES))
@pytest.mark.parametrize("code", [535, 454, 500])
def test_no_echo_shows_the_password(code: int, echo: t.Callable[[str], str]) -> None:
    for sent in (PASSWORD, encoded(PASSWORD), encoded(f"\0{ACCESS_KEY}\0{PASSWORD}")):
        text = f"Invalid: {echo(sent)} refused"
        refused = login_answered(SmtpLogin(SERVER, ACCESS_KEY, PASSWORD), Reply(code, text))
        assert refused.answer is not None
        assert "***" in refused.answer
        assert refused.answer.startswith(f"{code} ")
        assert "refused" in refused.answer
        for shown_text in (refused.answer, refused.message):
            assert not found_in(shown_text, [PASSWORD])
            assert len(longest_common_part(shown_text, PASSWORD)) < 8
            assert len(longest_common_part(shown_text, encoded(PASSWORD))) < 8


def test_no_echo_shows_a_secret_in_place_of_the_user_name() -> None:
    reply = Reply(535, f"No such user {SECRET_KEY}")
    refused = login_answered(SmtpLogin(SERVER, SECRET_KEY, ACCESS_KEY), reply)
    assert refused.answer == "535 No such user ***"
    reply = Reply(535, f"No such user {ACCESS_KEY}")
    assert (
        login_answered(SmtpLogin(SERVER, ACCESS_KEY, PASSWORD), reply).answer == f"535 {reply.text}"
    )


@given(st.text(min_size=1, max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_no_password_whatever_it_is(password: str, before: str, after: str) -> None:
    text = before + password + after
    answer = shown(Reply(535, text), [password])
    pieces = [piece for piece in password.split() if len(piece) >= 8]
    assert not [piece for piece in pieces if piece.lower() in answer.lower()]


def test_a_long_answer_is_cut() -> None:
    assert len(shown(Reply(535, "no " * 5000), [PASSWORD])) <= 600


DIAGNOSIS = "It is for another region"
# code and text of the answer, whether the diagnosis of the login explains it
DIAGNOSED = [
    (535, "Authentication Credentials Invalid", True),
    (535, "No, sorry", True),
    (535, "Signature Version 2 is deprecated for use with SES", True),
    (535, "Account not subscribed to SES", False),
    (454, "Temporary authentication failure", False),
]


@pytest.mark.parametrize(("code", "text", "is_explained"), DIAGNOSED)
def test_a_diagnosis_is_told_where_it_explains_the_answer(
    code: int, text: str, is_explained: bool
) -> None:
    """The controller makes it of the key that the password may be of."""
    login = SmtpLogin(SERVER, ACCESS_KEY, PASSWORD, diagnosis=DIAGNOSIS)
    message = login_answered(login, Reply(code, text)).message
    assert message.endswith(f". {DIAGNOSIS}") == is_explained
    # It stands in their place, because it may rule them out.
    assert "Usual causes" not in message


def test_a_diagnosis_beside_a_mistake() -> None:
    login = SmtpLogin(SERVER, ACCESS_KEY, SECRET_KEY, diagnosis=DIAGNOSIS)
    message = login_answered(login, INVALID).message
    assert "looks like a secret access key" in message
    assert message.endswith(f". {DIAGNOSIS}")


MANAGER = SmtpServer(MAIL_MANAGER["endpoint"], 587, "starttls")
# user name, password -> whether it may pass, and a part of the message
AT_MAIL_MANAGER: dict[str, tuple[str, str, bool, str]] = {
    "well-formed": (
        MAIL_MANAGER["username"],
        MAIL_MANAGER["password"],
        True,
        "the previous one has expired",
    ),
    "a password that looks derived": (MAIL_MANAGER["username"], V2_PASSWORD, True, "expired"),
    "a password of 40 letters": (MAIL_MANAGER["username"], "a" * 40, True, "Usual causes"),
    "an access key ID": (ACCESS_KEY, "Sesame123", False, "not the ID of an ingress endpoint"),
    "too short": (MAIL_MANAGER["username"], "Sesame", False, "8 to 64"),
}


@pytest.mark.parametrize("text", ["Authentication Credentials Invalid", "whatever it says"])
@pytest.mark.parametrize("case", AT_MAIL_MANAGER)
def test_a_login_that_mail_manager_rejects(case: str, text: str) -> None:
    """Nothing is said of regions and access keys, or of lists of SES's answers."""
    username, password, may_pass, says = AT_MAIL_MANAGER[case]
    login = SmtpLogin(MANAGER, username, password)
    refused = login_answered(login, Reply(535, text))
    assert (refused.reason, refused.may_pass) == ("credentials_invalid", may_pass)
    assert refused.message.startswith(f'{MANAGER} answered "535 {text}". ')
    assert says in refused.message
    for other in ("region", "secret_key", "version", "list of SES"):
        assert other not in refused.message
    assert password not in refused.message


def test_another_answer_of_mail_manager() -> None:
    login = SmtpLogin(MANAGER, MAIL_MANAGER["username"], MAIL_MANAGER["password"])
    refused = login_answered(login, Reply(454, "Temporary authentication failure"))
    assert (refused.reason, refused.may_pass) == ("temporary_failure", True)
