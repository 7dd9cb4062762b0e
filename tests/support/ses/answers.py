# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Amazon SES answers over SMTP, as data, and how well each answer is known.

Collected in November 2026 from public transcripts and logs, AWS's documentation, and the source of
SubEthaSMTP, from which SES's front end evidently descends.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Confidence(enum.Enum):
    """Where an answer is known from."""

    HIGH = "H"  # verbatim in a transcript, from two independent people or since 2024
    MEDIUM = "M"  # in one transcript, or an old one
    DOCUMENTED = "D"  # in AWS's documentation only
    INFERRED = "I"  # SubEthaSMTP's answer, or a guess


class Stage(enum.Enum):
    """When in a session an answer is given."""

    CONNECT = "CONNECT"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"  # after the final dot


@dataclass(frozen=True)
class Answer:
    """A reply: its text, with ``{fields}``; its confidence; and whether the server hangs up after it.

    ``other`` is another plausible text for what is only inferred: see ``Behaviour.other_guesses``.
    """

    text: str
    confidence: Confidence
    other: str | None = None
    closes: bool = False

    def __post_init__(self) -> None:
        if (self.confidence is Confidence.INFERRED) != (self.other is not None):
            raise ValueError(f"an inferred answer, and no other, has a second text: {self.text}")


def _high(text: str, *, closes: bool = False) -> Answer:
    return Answer(text, Confidence.HIGH, closes=closes)


def _medium(text: str, *, closes: bool = False) -> Answer:
    return Answer(text, Confidence.MEDIUM, closes=closes)


def _documented(text: str, *, closes: bool = False) -> Answer:
    return Answer(text, Confidence.DOCUMENTED, closes=closes)


def _inferred(text: str, other: str, *, closes: bool = False) -> Answer:
    return Answer(text, Confidence.INFERRED, other, closes)


HOST = "email-smtp.amazonaws.com"  # in every region

# The connection and simple commands

GREETING = _high("220 email-smtp.amazonaws.com ESMTP SimpleEmailService-d-{fleet} {connection}")
EHLO_HOST = _high(f"250-{HOST}")
EHLO_8BITMIME = _high("250-8BITMIME")
EHLO_SIZE = _high("250-SIZE {limit}")  # until about 2022
EHLO_STARTTLS = _high("250-STARTTLS")
EHLO_AUTH = _high("250-AUTH PLAIN LOGIN")
EHLO_END = _high("250 Ok")
EHLO_SYNTAX = _inferred("501 Syntax: EHLO hostname", "501 Syntax error in parameters")
HELO = _inferred(f"250 {HOST}", "250 Ok")
HELO_SYNTAX = _inferred("501 Syntax: HELO <hostname>", "501 Syntax error in parameters")
NOOP = _inferred("250 Ok", "250 OK")
RSET = _medium("250 Ok")
QUIT = _high("221 Bye", closes=True)
VRFY = _inferred("502 VRFY command is disabled", "502 Command not implemented")
HELP = _inferred(
    "214-Topics:\r\n214-     HELP\r\n214 End of HELP info", "502 Command not implemented"
)
UNKNOWN_COMMAND = _inferred("500 Error: command not implemented", "502 Command not implemented")
BAD_SYNTAX = _inferred("500 Error: bad syntax", "500 Syntax error, command unrecognized")
LINE_TOO_LONG = _inferred("501 Input line length is too long!", "500 Line too long", closes=True)
BARE_NEWLINE = _inferred(
    "501 Syntax error at character position {position}. CR and LF must be CRLF paired.  "
    "See RFC 2821 #2.7.1.",
    "500 Error: bad syntax",
    closes=True,
)
STARTTLS_FIRST = _high("530 Must issue a STARTTLS command first")
READY_TO_START_TLS = _high("220 Ready to start TLS")
TLS_ALREADY_ACTIVE = _inferred(
    "454 TLS not available due to temporary reason: TLS already active",
    "503 TLS already active",
)
STARTTLS_SYNTAX = _inferred(
    "501 Syntax error (no parameters allowed)", "501 Syntax error in parameters"
)
SILENCE = _high("451 4.4.2 Timeout waiting for data from client.", closes=True)
MANY_MESSAGES = _high(
    "421 Connection closed by server. Maximum message count per session reached.", closes=True
)
MANY_MESSAGES_2024 = _medium(
    "421 connection closed by server too many messages in one session", closes=True
)
NOT_AVAILABLE = _medium("421 Service not available, closing transmission channel.", closes=True)
MANY_CONNECTIONS = _documented("421 Too many concurrent SMTP connections", closes=True)

# AUTH

AUTHENTICATED = _high("235 Authentication successful.")
ASK_USERNAME = _high("334 VXNlcm5hbWU6")
ASK_PASSWORD = _high("334 UGFzc3dvcmQ6")
ASK_PLAIN = _high("334 Ok")
CREDENTIALS_INVALID = _high("535 Authentication Credentials Invalid")
VERSION_2_DEPRECATED = _high(
    "535 Signature Version 2 is deprecated for use with SES from March 26, 2021. From that date on, "
    "we are progressively rejecting such requests. To resolve the issue, you must migrate to "
    "Signature Version 4. If you created your SMTP credentials in the SES Console, please create new "
    "credentials and replace the former ones. If you are deriving Signature Version 2 credentials "
    "from a IAM user, please start using the Signature Version 4 algorithm: "
    "https://docs.aws.amazon.com/ses/latest/DeveloperGuide/smtp-credentials.html"
)
ALREADY_AUTHENTICATED = _inferred(
    "503 Refusing any other AUTH command.", "503 Already authenticated"
)
UNKNOWN_MECHANISM = _inferred(
    "504 The requested authentication mechanism is not supported",
    "504 Unrecognized authentication type",
)
AUTH_SYNTAX = _inferred(
    "501 Syntax: AUTH mechanism [initial-response]", "501 Syntax error in parameters"
)
BAD_BASE64 = _inferred(
    "501 Invalid command argument, not a valid Base64 string", "501 Cannot decode the response"
)
PLAIN_WITHOUT_NUL = _inferred(
    "501 Invalid command argument, does not contain NUL", "501 Cannot decode the response"
)
AUTH_CANCELED = _inferred("501 Authentication canceled by client.", "501 Authentication aborted")
TEMPORARY_LOGIN_FAILURE = _documented("454 Temporary authentication failure")
NOT_SUBSCRIBED = _documented("535 Account not subscribed to SES")
VERSION_2_THROTTLED = _documented(
    "454 Throttling failure: Maximum SigV2 SMTP sending rate exceeded"
)

# MAIL, RCPT, DATA

OK = _high("250 Ok")
AUTHENTICATION_REQUIRED = _high("530 Authentication required")
BAD_SENDER = _high("501 Invalid MAIL FROM address provided")
BAD_RECIPIENT = _high("501 Invalid RCPT TO address provided")
MAIL_SYNTAX = _inferred("501 Syntax: MAIL FROM: <address>", "501 Syntax error in parameters")
MAIL_SYNTAX_ARGUMENT = _inferred(
    '501 Syntax: MAIL FROM: <address>  Error in parameters: "{argument}"',
    "501 Syntax error in parameters",
)
RCPT_SYNTAX = _inferred(
    '501 Syntax: RCPT TO: <address>  Error in parameters: "{argument}"',
    "501 Syntax error in parameters",
)
SENDER_ALREADY_SPECIFIED = _medium("503 Sender already specified.")
MAIL_FIRST = _inferred("503 Error: need MAIL command", "503 Bad sequence of commands")
RCPT_FIRST = _medium("503 Error: need RCPT command")
DECLARED_TOO_LONG = _inferred(
    "552 5.3.4 Message size exceeds fixed limit", "552 Message is too long."
)
SEND_MESSAGE = _high("354 End data with <CR><LF>.<CR><LF>")
INVALID_EMAIL_ADDRESS = _documented("553 <{address}> Invalid email address")
ADDRESS_UNKNOWN = _documented("553 <{address}> address unknown")

# After the final dot

ACCEPTED = _high("250 Ok {message_id}")
TOO_LONG = _medium("552 5.3.4 Message is too long. ")
TRANSACTION_FAILED = _high("554 Transaction failed: {reason}")
NOT_VERIFIED = _high(
    "554 Message rejected: Email address is not verified. The following identities failed the check "
    "in region {region}: {identities}"
)
PAUSED = _high(
    "554 Message rejected: Sending paused for this account. For more information, please check the "
    "inbox of the email address associated with your AWS account."
)
SENDING_RATE = _high("454 Throttling failure: Maximum sending rate exceeded.")
DAILY_QUOTA = _medium("454 Throttling failure: Daily message quota exceeded.")
ACCESS_DENIED = _high(
    "554 Access denied: User `{user}' is not authorized to perform `ses:SendRawEmail' on resource "
    "`{resource}'"
)
CONFIGURATION_SET = _medium(
    "554 Configuration Set does not exist: Configuration set <{name}> does not exist."
)
MAIL_FROM_DOMAIN = _medium(
    "554 MAIL FROM domain not verified: DNS setup for MAIL FROM domain is invalid."
)
OLD_TLS = _medium(
    "554 Access denied: Amazon SES no longer supports TLS 1.0 and TLS 1.1 connections. You must "
    "update your client to use TLS version 1.2 or above. To learn more and to update your client, "
    "see https://go.aws/3AUlVSb. For further assistance, contact AWS support"
)
SERVICE_FAILURE = _documented("451 Temporary service failure")
SERVICE_FAILURE_2017 = _medium("454 Temporary service failure")

# Mail Manager: no transcript of it is public

MANAGER_GREETING = _inferred("220 {host} ESMTP", "220 {host} ESMTP MailManager")
MANAGER_EHLO_HOST = _inferred("250-{host}", "250-{host} greets you")
MANAGER_EHLO_END = _inferred("250 Ok", "250 8BITMIME")
MANAGER_CREDENTIALS_INVALID = _inferred(
    "535 Authentication failed", "535 5.7.8 Authentication credentials invalid"
)
MANAGER_ACCEPTED = _inferred("250 OK {message_id}", "250 Ok")


@dataclass(frozen=True)
class Fault:
    """A refusal that is switched on: its reply, and the stage at which it replaces the normal answer."""

    stage: Stage
    reply: str

    @property
    def closes(self) -> bool:
        """Whether the server hangs up after it: of the answers that can be switched on, only 421."""
        return self.reply.startswith("421")


_USER = "arn:aws:iam::123456789012:user/mail"

#: Every refusal that can be switched on by name, where SES gives it.
FAULTS: dict[str, Fault] = {
    "too_many_connections": Fault(Stage.CONNECT, MANY_CONNECTIONS.text),
    "temporary_authentication": Fault(Stage.AUTH, TEMPORARY_LOGIN_FAILURE.text),
    "throttled_login": Fault(Stage.AUTH, SENDING_RATE.text),
    "throttled_version_2": Fault(Stage.AUTH, VERSION_2_THROTTLED.text),
    "not_subscribed": Fault(Stage.AUTH, NOT_SUBSCRIBED.text),
    # A key made seconds ago, or one that was deactivated: SES does not tell them apart.
    "key_refused": Fault(Stage.AUTH, CREDENTIALS_INVALID.text),
    "not_available": Fault(Stage.MAIL, NOT_AVAILABLE.text),
    "too_many_messages": Fault(Stage.MAIL, MANY_MESSAGES.text),
    "temporary": Fault(Stage.DATA, SERVICE_FAILURE.text),
    "daily_quota": Fault(Stage.DATA, DAILY_QUOTA.text),
    "sending_rate": Fault(Stage.DATA, SENDING_RATE.text),
    "paused": Fault(Stage.DATA, PAUSED.text),
    "old_tls": Fault(Stage.DATA, OLD_TLS.text),
    "not_authorized": Fault(
        Stage.DATA,
        ACCESS_DENIED.text.format(
            user=_USER, resource="arn:aws:ses:eu-west-1:123456789012:identity/example.com"
        ),
    ),
    "not_verified": Fault(
        Stage.DATA,
        NOT_VERIFIED.text.format(region="EU-WEST-1", identities="sender@example.com"),
    ),
}
