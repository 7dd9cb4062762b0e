# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What SES answers to a connection, to STARTTLS and to a login, and when a session lasts too long.

Sources: Amazon SES developer guide, "Troubleshooting SMTP" and "SMTP response codes"
(https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html), and public logs.
"""

from __future__ import annotations

from ._known_reply import (
    AUTH,
    CONNECT,
    DATA,
    DOCUMENTED,
    END_OF_DATA,
    INFERRED,
    MAIL,
    RCPT,
    STARTTLS,
    Example,
    KnownReply,
)

__all__ = ("SESSION_REPLIES",)

_TRY_LATER = "Try again later. Postfix does so by itself"

SESSION_REPLIES = (
    # The login
    KnownReply(
        "version_2",
        r"535 .*Signature Version 2|\d{3} .*SigV2",
        (
            Example(
                AUTH,
                "535 Signature Version 2 is deprecated for use with SES from March 26, 2021. From"
                " that date on, we are progressively rejecting such requests. To resolve the"
                " issue, you must migrate to Signature Version 4. If you created your SMTP"
                " credentials in the SES Console, please create new credentials and replace the"
                " former ones. If you are deriving Signature Version 2 credentials from a IAM"
                " user, please start using the Signature Version 4 algorithm:"
                " https://docs.aws.amazon.com/ses/latest/DeveloperGuide/smtp-credentials.html",
            ),
            # AWS names no code for this one.
            Example(AUTH, "454 Maximum SigV2 SMTP sending rate exceeded", DOCUMENTED),
        ),
        "The password is a version 2 password (not bound to a region). SES has been rejecting these"
        " since 2021",
        "Derive a version 4 password: give access_key, secret_key and region",
    ),
    KnownReply(
        "not_subscribed",
        r"535 .*not subscribed",
        (Example(AUTH, "535 Account not subscribed to SES", DOCUMENTED),),
        "The AWS account of this access key has not signed up for SES",
        "Open SES in that account's console, in the region of the host, or use an access key of"
        " the right account",
    ),
    KnownReply(
        "credentials_invalid",
        r"535 Authentication Credentials Invalid",
        (Example(AUTH, "535 Authentication Credentials Invalid"),),
        "SES rejects the user name or the password, and does not say which of several mistakes"
        " was made",
        "Check the login with mailops.ses.ses_smtp_ping, which names the cause where it can",
        # SES learns of a new access key with a delay.
        may_pass=True,
    ),
    KnownReply(
        "login_required",
        r"530 Authentication required",
        (Example(MAIL, "530 Authentication required"),),
        "The client has sent mail without a login",
        "In Postfix, set smtp_sasl_auth_enable = yes, and give the entry in"
        " smtp_sasl_password_maps the lookup key as it is in relayhost, with brackets and port."
        " mailops.ses.postfix_relay does both",
    ),
    KnownReply(
        "no_mechanism",
        r"504 The requested authentication mechanism",
        (Example(AUTH, "504 The requested authentication mechanism is not supported", INFERRED),),
        "The client has asked for a way to log in that SES does not have",
        "Use PLAIN or LOGIN",
    ),
    # TLS
    KnownReply(
        "tls_required",
        r"530 Must issue a STARTTLS command first",
        (Example(MAIL, "530 Must issue a STARTTLS command first"),),
        "The client does not use TLS, which SES demands",
        "In Postfix, set smtp_tls_security_level = secure. mailops.ses.postfix_relay does",
    ),
    KnownReply(
        "tls_too_old",
        r"554 Access denied: Amazon SES no longer supports TLS",
        (
            Example(
                END_OF_DATA,
                "554 Access denied: Amazon SES no longer supports TLS 1.0 and TLS 1.1"
                " connections. You must update your client to use TLS version 1.2 or above. To"
                " learn more and to update your client, see https://go.aws/3AUlVSb. For further"
                " assistance, contact AWS support",
            ),
        ),
        "The client uses TLS 1.0 or 1.1",
        "Allow TLS 1.2 and newer: in Postfix, remove smtp_tls_protocols and"
        " smtp_tls_mandatory_protocols if they forbid it",
    ),
    # Before the next one, which has the same beginning.
    KnownReply(
        "protocol_error",
        r"454 TLS not available due to temporary reason: TLS already active"
        r"|50[0-4] (?:Error: |Syntax|Sender already specified|Refusing any other AUTH"
        r"|Invalid command argument|Authentication canceled|Input line length"
        r"|VRFY command is disabled)",
        (
            Example(MAIL, "503 Sender already specified."),
            Example(DATA, "503 Error: need RCPT command"),
            Example(RCPT, "503 Error: need MAIL command", INFERRED),
            Example(MAIL, "500 Error: command not implemented", INFERRED),
            Example(MAIL, "500 Error: bad syntax", INFERRED),
            Example(CONNECT, "501 Syntax: EHLO hostname", INFERRED),
            Example(MAIL, "501 Syntax: MAIL FROM: <address>", INFERRED),
            Example(MAIL, "501 Input line length is too long!", INFERRED),
            Example(
                MAIL,
                "501 Syntax error at character position 9. CR and LF must be CRLF paired.  See"
                " RFC 2821 #2.7.1.",
                INFERRED,
            ),
            Example(STARTTLS, "501 Syntax error (no parameters allowed)", INFERRED),
            Example(
                STARTTLS,
                "454 TLS not available due to temporary reason: TLS already active",
                INFERRED,
            ),
            Example(AUTH, "501 Syntax: AUTH mechanism [initial-response]", INFERRED),
            Example(AUTH, "501 Invalid command argument, not a valid Base64 string", INFERRED),
            Example(AUTH, "501 Authentication canceled by client.", INFERRED),
            Example(AUTH, "503 Refusing any other AUTH command.", INFERRED),
            Example(MAIL, "502 VRFY command is disabled", INFERRED),
        ),
        "SES can't make sense of a command, or of its place in the session",
        "Look for what changes the connection between this host and SES, such as a proxy or a"
        " firewall's SMTP inspection. A client other than Postfix may have a fault",
    ),
    KnownReply(
        "tls_unavailable",
        r"454 TLS not available",
        (Example(STARTTLS, "454 TLS not available due to temporary reason", INFERRED),),
        "SES can't begin TLS at the moment",
        _TRY_LATER,
        may_pass=True,
    ),
    # The session
    KnownReply(
        "too_many_connections",
        r"421 Too many concurrent",
        (Example(CONNECT, "421 Too many concurrent SMTP connections", DOCUMENTED),),
        "SES accepts no more connections now, because too many are open",
        "Close some, or try again later. With Postfix, lower smtp_destination_concurrency_limit",
        may_pass=True,
    ),
    KnownReply(
        "too_many_messages",
        r"421 .*(?:Maximum message count|too many messages)",
        (
            Example(
                MAIL,
                "421 Connection closed by server. Maximum message count per session reached.",
            ),
            Example(MAIL, "421 connection closed by server too many messages in one session"),
        ),
        "SES ends a connection after a number of messages, which is about 350",
        "Connect again and go on. With Postfix, leave smtp_tls_connection_reuse = no, or lower"
        " smtp_connection_reuse_count_limit",
        may_pass=True,
    ),
    KnownReply(
        "idle_timeout",
        r"(?:451 4\.4\.2|421) Timeout waiting for data",
        (
            Example(MAIL, "451 4.4.2 Timeout waiting for data from client."),
            Example(MAIL, "421 Timeout waiting for data from client."),
        ),
        "The client was silent for about 10 seconds, so SES has ended the connection",
        "Connect again. With Postfix, leave smtp_tls_connection_reuse = no",
        may_pass=True,
    ),
    KnownReply(
        "throttled",
        r"454 Throttling failure: Maximum sending rate exceeded",
        (Example(END_OF_DATA, "454 Throttling failure: Maximum sending rate exceeded."),),
        "The account sends faster than it may",
        "Send more slowly or try again later, and ask AWS for a higher rate if it happens often."
        " With Postfix, lower smtp_destination_concurrency_limit",
        may_pass=True,
    ),
    KnownReply(
        "quota_exceeded",
        r"454 Throttling failure: Daily message quota exceeded",
        (Example(END_OF_DATA, "454 Throttling failure: Daily message quota exceeded."),),
        "The account has sent all that it may in 24 hours",
        "Wait, or ask AWS for a higher quota",
    ),
    KnownReply(
        "temporary_failure",
        r"4\d\d Temporary (?:authentication|service) failure|421 Service not available",
        (
            Example(AUTH, "454 Temporary authentication failure", DOCUMENTED),
            Example(END_OF_DATA, "451 Temporary service failure", DOCUMENTED),
            Example(END_OF_DATA, "454 Temporary service failure"),
            Example(CONNECT, "421 Service not available, closing transmission channel."),
        ),
        "SES has a problem of its own, which it calls temporary",
        _TRY_LATER,
        may_pass=True,
    ),
)
