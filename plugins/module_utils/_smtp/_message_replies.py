# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What SES answers to a sender, a recipient and a message. Identities and permissions come last.

Sources: Amazon SES developer guide, "Troubleshooting SMTP", "Header fields" and "Verified
identities" (https://docs.aws.amazon.com/ses/latest/dg/), and public logs.
"""

from __future__ import annotations

from ._known_reply import (
    DOCUMENTED,
    END_OF_DATA,
    INFERRED,
    MAIL,
    OF_API,
    RCPT,
    Example,
    KnownReply,
)

__all__ = ("MESSAGE_REPLIES",)

_VERIFY = (
    "Verify the address or its domain in that region, in the AWS account of the access key, or send"
    " from one that is. Addresses are case-sensitive, and a verified domain includes its subdomains."
    " SES checks From and Sender as well as the envelope sender. Postfix's smtp_generic_maps"
    " rewrites both From and the envelope sender"
)

MESSAGE_REPLIES = (
    # Identities, permissions and the account
    KnownReply(
        "identity_not_verified",
        r"554 Message rejected: Email address is not verified\. The following identities failed"
        r" the check in region (?P<region>[\w-]+): (?P<identities>.+)",
        (
            Example(
                END_OF_DATA,
                "554 Message rejected: Email address is not verified. The following identities"
                " failed the check in region US-EAST-1: root@mx1.example.org,"
                " root@mx1.example.org",
            ),
        ),
        "These are not verified in {region}: {identities}. In the SES sandbox, recipients have"
        " to be verified as well",
        _VERIFY,
    ),
    KnownReply(
        "identity_not_verified",
        r"554 Message rejected: Email address is not verified",
        (Example(END_OF_DATA, "554 Message rejected: Email address is not verified.", DOCUMENTED),),
        "The sender is not verified in the region of the endpoint or, in the SES sandbox, a"
        " recipient is not",
        _VERIFY,
    ),
    KnownReply(
        "permission_missing",
        r"554 Access denied: User \W?(?P<user>[^\s'`]+)'? is not authorized to perform"
        r" \W?(?P<action>[^\s'`]+)'? on resource \W?(?P<resource>[^\s'`]+)",
        (
            Example(
                END_OF_DATA,
                "554 Access denied: User `arn:aws:iam::123456789012:user/mail' is not authorized"
                " to perform `ses:SendRawEmail' on resource"
                " `arn:aws:ses:eu-west-2:123456789012:identity/sender@example.com'",
            ),
        ),
        "The IAM user {user} lacks the permission {action} for {resource}. SES checks it for each"
        " message, not at login",
        "Allow it in the policy of the IAM user. Look at the policy's conditions, too, such as"
        " ses:FromAddress. In the SES sandbox, the recipient's identity needs the permission as"
        " well",
    ),
    KnownReply(
        "permission_missing",
        r"554 Access denied: User .* is not authorized",
        (
            Example(
                END_OF_DATA,
                "554 Access denied: User arn:aws:iam::123456789012:user/mail is not authorized to"
                " perform ses:SendRawEmail",
                DOCUMENTED,
            ),
        ),
        "The IAM user lacks a permission. SES checks it for each message, not at login",
        "Allow ses:SendRawEmail for the sender's identity in the policy of the IAM user. Look at"
        " the policy's conditions, too, such as ses:FromAddress",
    ),
    KnownReply(
        "account_paused",
        r"554 Message rejected: Sending (?:paused|suspended) for this account",
        (
            Example(
                END_OF_DATA,
                "554 Message rejected: Sending paused for this account. For more information,"
                " please check the inbox of the email address associated with your AWS account.",
            ),
            Example(
                END_OF_DATA,
                "554 Message rejected: Sending suspended for this account. For more information,"
                " please check the inbox of the email address associated with your AWS account.",
            ),
        ),
        "AWS has paused sending for this account, mostly because of bounces or complaints",
        "Read AWS's message to the account's owner, and answer it in the AWS Support Center",
    ),
    KnownReply(
        "configuration_set",
        r"554 Configuration Set does not exist(?:: Configuration set <(?P<name>[^>]+)>)?",
        (
            Example(
                END_OF_DATA,
                "554 Configuration Set does not exist: Configuration set"
                " <my-first-configuration-set> does not exist.",
            ),
        ),
        "The region has no configuration set of this name. The name is in the header"
        " X-SES-CONFIGURATION-SET, or it is the default of the sender's identity",
        "Create the configuration set in this region, or correct the header or the identity's"
        " default",
    ),
    KnownReply(
        "mail_from_domain",
        r"554 MAIL FROM domain not verified",
        (
            Example(
                END_OF_DATA,
                "554 MAIL FROM domain not verified: DNS setup for MAIL FROM domain is invalid.",
            ),
        ),
        "The sender's identity has a custom MAIL FROM domain without the MX record that SES"
        " wants, and is set up to reject mail then",
        "Correct the MX record that the SES console shows for the identity, or let SES use its"
        " own MAIL FROM domain when the record is missing",
    ),
    # Addresses
    KnownReply(
        "invalid_sender",
        r"501 Invalid MAIL FROM address",
        (Example(MAIL, "501 Invalid MAIL FROM address provided"),),
        "The envelope sender is not a complete address (USER@DOMAIN), or is empty, as in a bounce."
        " A bounce through SES always ends so",
        "Give the sender a domain. If the message was a bounce, look for the refusal that caused"
        " it, earlier in the log",
    ),
    KnownReply(
        "invalid_sender",
        r"553 .*Invalid email address",
        (Example(MAIL, "553 <sender> Invalid email address", DOCUMENTED),),
        "The envelope sender is not an address that SES accepts",
        "Correct the sender's address",
    ),
    KnownReply(
        "invalid_recipient",
        r"501 Invalid RCPT TO address|553 .*address unknown",
        (
            Example(RCPT, "501 Invalid RCPT TO address provided"),
            Example(RCPT, "553 <recipient@example.com> address unknown", DOCUMENTED),
        ),
        "The recipient is not a complete address (USER@DOMAIN), or has characters that SES does"
        " not accept",
        "Correct the recipient's address",
    ),
    KnownReply(
        "too_many_recipients",
        r"554 Transaction failed: Recipient count exceeds",
        (Example(END_OF_DATA, "554 Transaction failed: Recipient count exceeds 50."),),
        "The message has more than 50 recipients",
        "Send it to at most 50 recipients at once. With Postfix, leave"
        " smtp_destination_recipient_limit at its default, 50, or lower it",
    ),
    KnownReply(
        "invalid_address",
        # Logs have the examples only. The other words are those of the same parser, JavaMail's.
        r"554 Transaction failed: (?:Address contains|Empty address|Invalid domain name"
        r"|Missing (?:final|local|domain)|Domain |Local address |Illegal |Quote not at)",
        (
            Example(
                END_OF_DATA,
                "554 Transaction failed: Address contains illegal characters in user name:"
                " '<\"re:ceiver\"@example.com>'.",
            ),
            Example(END_OF_DATA, "554 Transaction failed: Invalid domain name: '767'."),
            Example(END_OF_DATA, "554 Transaction failed: Missing final '@domain'"),
            Example(END_OF_DATA, "554 Transaction failed: Domain contains illegal character"),
            Example(
                END_OF_DATA,
                "554 Transaction failed: Local address contains control or whitespace",
            ),
        ),
        "SES can't parse an address in From, To, Cc or another header, or in the envelope",
        "Correct the address that the answer describes. Addresses without a domain, such as root,"
        " need one, and characters outside ASCII are not supported",
    ),
    # The message
    KnownReply(
        "duplicate_header",
        r"554 Transaction failed: Duplicate header '(?P<header>[^']+)'",
        (Example(END_OF_DATA, "554 Transaction failed: Duplicate header 'DKIM-Signature'."),),
        "The message has the header {header} twice, and SES accepts it only once",
        "Let one program write it. A line IGNORE in Postfix's header_checks removes one that an"
        " earlier server has added, such as Delivered-To",
    ),
    KnownReply(
        "missing_header",
        r"554 Transaction failed: (?:Missing|Empty) required header '(?P<header>[^']+)'",
        (
            Example(END_OF_DATA, "554 Transaction failed: Missing required header 'From'.", OF_API),
            Example(END_OF_DATA, "554 Transaction failed: Empty required header 'To'."),
            Example(END_OF_DATA, "554 Transaction failed: Missing required header 'To'.", OF_API),
        ),
        "The header {header} is missing or empty, and SES demands it",
        "Have the program that writes the message add it. Postfix adds a missing From, Date and"
        " Message-ID to mail of its local clients, and to all mail with"
        " always_add_missing_headers = yes. It adds a To with undisclosed_recipients_header",
    ),
    KnownReply(
        "malformed_header",
        r"554 Transaction failed: Expected ",
        (
            Example(END_OF_DATA, "554 Transaction failed: Expected '/', got ;"),
            Example(END_OF_DATA, "554 Transaction failed: Expected disposition, got =."),
            Example(END_OF_DATA, "554 Transaction failed: Expected ';', got \":\""),
        ),
        "SES can't parse a header of the message, mostly Content-Type or Content-Disposition",
        "Correct the program that writes the header",
    ),
    KnownReply(
        "message_too_large",
        r"552 (?:5\.3\.4 )?Message (?:is too long|size exceeds)",
        (
            Example(END_OF_DATA, "552 5.3.4 Message is too long."),
            Example(END_OF_DATA, "552 Message is too long.", DOCUMENTED),
            Example(MAIL, "552 5.3.4 Message size exceeds fixed limit", INFERRED),
        ),
        "The message is larger than SES accepts, which is 40 MB with its attachments encoded",
        "Send a link instead of an attachment. With Postfix, lower message_size_limit, so that"
        " the sending program learns of it at once",
    ),
)
