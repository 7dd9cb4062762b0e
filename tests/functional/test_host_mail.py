# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail of the host itself, from root: SES refuses it, unless Postfix rewrites it as the guide says."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.tests.support.examples import guides
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import ScratchPostfix
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = [pytest.mark.root, pytest.mark.postfix]

REGION = "eu-west-1"
KEY = f"[email-smtp.{REGION}.amazonaws.com]:587"
ACCOUNT = Account(
    "AKIAEXAMPLE000000001",
    "secret/access+key/of+the+number/00000001",
    ("postmaster@example.com",),
)
#: As cron writes it.
MESSAGE = "From: root (Cron Daemon)\nTo: to@example.net\nSubject: from cron\n\nhello\n"
HOST = "mail1.example.org"
ENVELOPE = {"sender_canonical_classes": "envelope_sender"}


def bounce(postfix: ScratchPostfix, recipient: str) -> str:
    """Send a message as root, and return what the log says when it has bounced."""
    found: list[str] = []

    def has_bounced() -> bool:
        found[:] = [
            each.text
            for each in postfix.deliveries()
            if (each.recipient, each.status) == (recipient, "bounced")
        ]
        return bool(found)

    postfix.run("sendmail", recipient, text=MESSAGE)
    assert comes_true(has_bounced), postfix.log()
    return found[0]


def test_mail_of_root(
    postfix: ScratchPostfix, regional_ses: SesStandIn, authority: CertificateAuthority
) -> None:
    regional_ses.accounts.add(ACCOUNT)
    etc = postfix.config_directory
    login = f"{ACCOUNT.access_key}:{password_v4(ACCOUNT.secret_key, REGION)}"
    postfix.set(
        {
            "myhostname": HOST,
            "relayhost": KEY,
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_tls_security_options": "noanonymous",
            "smtp_sasl_password_maps": f"inline:{{{{{KEY} = {login}}}}}",
            "smtp_tls_security_level": "secure",
            "smtp_tls_CAfile": str(authority.ca_file),
        }
    )
    refused = bounce(postfix, "one@example.net")
    assert f"root@{HOST}" in refused
    assert "554 Message rejected: Email address is not verified" in refused

    # What some instructions have is not enough.
    postfix.set({"sender_canonical_maps": "regexp:{{/.*/ postmaster@example.com}}", **ENVELOPE})
    refused = bounce(postfix, "two@example.net")
    assert f"{REGION.upper()}: root@{HOST} (Cron Daemon) (in reply to end of DATA" in refused
    postfix.set({"sender_canonical_maps": ""})

    setting, table = guides.blocks("guide_relay", "none")
    name, _equals, value = setting.strip().partition(" = ")
    generic = etc / "generic"
    generic.write_text(table)
    table_name = value.replace("/etc/postfix", str(etc))
    postfix.run("postmap", table_name)
    postfix.set({name: table_name})
    postfix.run("sendmail", "three@example.net", text=MESSAGE)
    (message,) = regional_ses.recorder.wait_for_messages(1)
    assert message.mail_from == "postmaster@example.com"
    assert b"From: postmaster@example.com (Cron Daemon)" in message.data
