# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Amazon SES answers over SMTP, as data.

Source: Amazon SES Developer Guide, "Troubleshooting SMTP" and "SMTP response codes".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

AUTHENTICATED = "235 Authentication successful."
ALREADY_AUTHENTICATED = "503 Already authenticated"  # RFC 4954, section 4
STARTTLS_FIRST = "530 Must issue a STARTTLS command first"
AUTHENTICATION_REQUIRED = "530 Authentication required"
CREDENTIALS_INVALID = "535 Authentication Credentials Invalid"
VERSION_2_DEPRECATED = "535 Signature Version 2 is deprecated for use with SES"


class Stage(enum.Enum):
    """When in a session an answer is given."""

    CONNECT = "CONNECT"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"  # after the final dot


@dataclass(frozen=True)
class Fault:
    """A refusal: the reply line, and the stage at which it replaces the normal answer."""

    stage: Stage
    reply: str

    @property
    def closes(self) -> bool:
        """Whether the server hangs up after it (RFC 5321, 3.8: only 421 does)."""
        return self.reply.startswith("421")


#: Every refusal that can be switched on by name, where SES gives it.
FAULTS: dict[str, Fault] = {
    "too_many_connections": Fault(Stage.CONNECT, "421 Too many concurrent SMTP connections"),
    "temporary_authentication": Fault(Stage.AUTH, "454 Temporary authentication failure"),
    "throttled_login": Fault(Stage.AUTH, "454 Throttling failure: Maximum sending rate exceeded"),
    "not_subscribed": Fault(Stage.AUTH, "535 Account not subscribed to SES"),
    # A key made seconds ago, or one that was deactivated: SES does not tell them apart.
    "key_refused": Fault(Stage.AUTH, CREDENTIALS_INVALID),
    "temporary": Fault(Stage.DATA, "451 Temporary service failure"),
    "daily_quota": Fault(Stage.DATA, "454 Throttling failure: Daily message quota exceeded"),
    "sending_rate": Fault(Stage.DATA, "454 Throttling failure: Maximum sending rate exceeded"),
    "not_authorized": Fault(
        Stage.DATA,
        "554 Access denied: User `arn:aws:iam::123456789012:user/mail' is not authorized to "
        "perform `ses:SendRawEmail' on resource "
        "`arn:aws:ses:eu-west-1:123456789012:identity/example.com'",
    ),
    "not_verified": Fault(
        Stage.DATA,
        "554 Message rejected: Email address is not verified. The following identities failed "
        "the check in region EU-WEST-1: sender@example.com",
    ),
}
