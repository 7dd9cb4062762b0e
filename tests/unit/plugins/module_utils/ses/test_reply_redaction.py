# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is shown of the reason why mail waits: usual words, servers and codes, and no address."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._reply_redaction import redact_reply

SERVER = "email-smtp.eu-west-1.amazonaws.com[192.0.2.1]"

#: What Postfix and SES say, and nobody has to hide.
SHOWN = [
    f"SASL authentication failed; server {SERVER} said: 535 Authentication Credentials Invalid",
    f"connect to {SERVER}:587: Connection timed out",
    f"local data error while talking to {SERVER}",
    f"host {SERVER} said: 454 Throttling failure: Maximum sending rate exceeded. (in reply to DATA)",
    f"lost connection with {SERVER} while receiving the initial server greeting",
    "Name service error for name=email-smtp.eu-west-1.amazonaws.com type=A: Host not found, try again",
    f"TLS is required, but was not offered by host {SERVER}",
    "delivery temporarily suspended: Server certificate not verified",
    "connect to 2001:db8::1[2001:db8::1]:587: Network is unreachable",
]
#: What may be a secret, or is nobody's business.
REDACTED = {
    "550 5.1.1 <joe@example.net>: Recipient address rejected": (
        "550 5.1.1 REDACTED Recipient address rejected"
    ),
    "name=AKIAIOSFODNN7EXAMPLE:BM8Sesame type=A": "REDACTED type=A",
    "User sesame sesame2 is not authorized": "User REDACTED is not authorized",
    "\x1b[2J connect": "REDACTED connect",
}


@pytest.mark.parametrize("reason", SHOWN)
def test_usual_reasons_are_shown(reason: str) -> None:
    assert redact_reply(reason) == reason


@pytest.mark.parametrize(("reason", "shown"), REDACTED.items())
def test_the_rest_is_redacted(reason: str, shown: str) -> None:
    assert redact_reply(reason) == shown


def test_a_reason_has_a_limited_length() -> None:
    assert redact_reply("connect " * 1_000_000) == f"{('connect ' * 38)[:300]} ..."
