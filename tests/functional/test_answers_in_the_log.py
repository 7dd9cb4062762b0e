# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A running Postfix logs each answer of SES as the guide says, and a bounce ends as it says."""

from __future__ import annotations

import contextlib
import re
import smtplib
import ssl
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp._known_reply import log_line
from ansible_collections.mailops.ses.plugins.module_utils._smtp._replies import explain_postfix
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import ScratchPostfix
from ansible_collections.mailops.ses.tests.support.replies_of_ses import ROWS, Row
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.scripted_server import (
    Conversation,
    ScriptedServer,
)
from ansible_collections.mailops.ses.tests.support.waiting import SECONDS, comes_true

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

HOST = "127.0.0.1[127.0.0.1]"
EHLO = (
    "250-email-smtp.amazonaws.com\r\n250-8BITMIME\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 Ok"
)
BOUNCE = Row("MAIL FROM", "501 Invalid MAIL FROM address provided", "invalid_sender", (), False)
#: What SES answers where nothing is wrong.
STEPS = {
    "connection": "220 email-smtp.amazonaws.com ESMTP SimpleEmailService-d-UCMGFU8F2 l8rfaVjiaG1V",
    "EHLO": EHLO,
    "STARTTLS": "220 Ready to start TLS",
    "EHLO inside TLS": EHLO,
    "AUTH": "235 Authentication successful.",
    "MAIL FROM": "250 Ok",
    "RCPT TO": "250 Ok",
    "DATA": "354 End data with <CR><LF>.<CR><LF>",
    "end of DATA": "250 Ok 0102",
}
_LINE = r"to=<[^>@]*@{domain}>,.* (dsn=[\d.]+, status=\w+ \(.*\))$"


def script(row: Row, context: ssl.SSLContext) -> t.Callable[[Conversation], None]:
    """A session in which everything is well up to the reply of ``row``."""

    def talk(conversation: Conversation) -> None:
        for step, reply in STEPS.items():
            if step == "end of DATA":
                while conversation.line() not in (b".", b""):
                    pass
            elif step != "connection":
                conversation.line()
            text = row.reply if step == row.command else reply
            conversation.send(f"{text}\r\n".encode())
            if step == row.command:
                break
            if step == "STARTTLS":
                conversation = Conversation(conversation.in_tls(context))
        while conversation.line() == b"RSET":  # of QUIT Postfix does not wait for the reply
            conversation.send(b"250 Ok\r\n")

    def talk_until_postfix_stops(conversation: Conversation) -> None:
        with contextlib.suppress(ssl.SSLEOFError):  # in a retry, which nothing here looks at
            talk(conversation)

    return talk_until_postfix_stops


def logged(postfix: ScratchPostfix, domain: str) -> str:
    """Postfix's line for the first delivery to a domain, from ``dsn=`` on; empty before it."""
    found = re.search(_LINE.format(domain=re.escape(domain)), postfix.log(), re.MULTILINE)
    return " ".join(found.group(1).split()) if found else ""


def test_the_log(authority: CertificateAuthority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("127.0.0.1"))
    rows = {f"r{number}.example.net": row for number, row in enumerate(ROWS)}
    with contextlib.ExitStack() as stack:
        servers = {
            domain: stack.enter_context(ScriptedServer(script(row, context)))
            for domain, row in {**rows, "example.com": BOUNCE}.items()
        }
        routes = ", ".join(
            f"{{{domain} = smtp:[127.0.0.1]:{server.port}}}" for domain, server in servers.items()
        )
        # None that ScratchPostfix has set, too: each daemon would warn of it, and postlogd(8), which
        # is started again after 100 lines, would wait for its own full socket.
        settings = {
            "transport_maps": f"inline:{{{routes}}}",
            "smtp_tls_security_level": "encrypt",
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_password_maps": "inline:{127.0.0.1=user:password}",
            "smtp_sasl_security_options": "noanonymous",
        }
        with ScratchPostfix(settings=settings) as postfix:
            with smtplib.SMTP(postfix.address, 10025, timeout=SECONDS) as client:
                for domain in rows:
                    client.sendmail(
                        "sender@example.com", [f"to@{domain}"], "Subject: a\r\n\r\na\r\n"
                    )
            assert comes_true(lambda: all(logged(postfix, domain) for domain in rows)), (
                postfix.log()
            )
            lines = {domain: logged(postfix, domain) for domain in rows}
            expected = {
                domain: " ".join(log_line(row.command, row.reply, HOST).split())
                for domain, row in rows.items()
            }
            assert lines == expected
            words = [line.partition(" (")[2].removesuffix(")") for line in lines.values()]
            assert all(map(explain_postfix, words))
            # The bounces are bounced in turn, and nothing of them is left.
            bounces = sum("status=bounced" in line for line in expected.values())
            of_bounce = re.compile(_LINE.format(domain=re.escape("example.com")), re.MULTILINE)
            assert comes_true(lambda: len(of_bounce.findall(postfix.log())) == bounces), (
                postfix.log()
            )
            assert set(of_bounce.findall(postfix.log())) == {
                log_line(BOUNCE.command, BOUNCE.reply, HOST)
            }
            # A message on its way from one queue to another can be missed.
            left = ["sender@example.com"] * (len(rows) - bounces)
            assert comes_true(lambda: [each.sender for each in postfix.queue()] == left)
