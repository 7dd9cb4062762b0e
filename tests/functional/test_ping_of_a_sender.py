# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ses_smtp_ping with a sender, against the strict stand-in for SES: what becomes of the message."""

from __future__ import annotations

import email
import email.policy
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp._login import (
    LoginOutcome,
    LoginRefused,
    log_in,
    log_in_with_retries,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._message import make_message
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli
from ansible_collections.mailops.ses.tests.support.running.pings import (
    PYTHONS,
    REGION,
    Pings,
    write_vault,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, Permission
from ansible_collections.mailops.ses.tests.support.ses.behaviour import Behaviour
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.protocol import Listener
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

pytestmark = [pytest.mark.every_minor, pytest.mark.slow]

SENDER = "orders@example.com"
ACCOUNT = Account(ACCESS_KEY, SECRET_KEY, ("example.com",), configuration_sets=("shop",))
ARN = "arn:aws:ses:{}:123456789012:identity/{}"
SHOP = {"headers": {"X-SES-CONFIGURATION-SET": "shop"}}
#: Seeds of the order of SES's checks, which nobody knows.
ORDERS = [None, 1, 2, 3]

#: case -> changes of the account, options of the message
ACCEPTED: dict[str, tuple[dict[str, t.Any], dict[str, t.Any]]] = {
    "a domain": ({}, {}),
    "an address": ({"identities": (SENDER,)}, {}),
    "a subdomain": ({}, {"sender": "a@mail.Example.com"}),
    "in this region": ({"identities": (ARN.format(REGION, "example.com"),)}, {}),
    "a configuration set": ({}, SHOP),
    "a permission for it": (
        {"permissions": (Permission((ARN.format(REGION, "example.com"),), (SENDER,)),)}, {},
    ),
    "the sandbox": ({"sandbox": True}, {}),
    "more headers": ({}, {"headers": {"Reply-To": "a@example.net", "X-SES-MESSAGE-TAGS": "a=b"}}),
}  # fmt: skip
#: case -> changes of the account, options of the message, reason, parts of the words
REFUSED: dict[str, tuple[dict[str, t.Any], dict[str, t.Any], str, list[str]]] = {
    "no identity": (
        {"identities": ()}, {}, "identity_not_verified",
        [f"not verified in eu-west-1: {SENDER}. ", "Verify the address or its domain"],
    ),
    "another region's": (
        {"identities": (ARN.format("us-east-1", "example.com"),)}, {}, "identity_not_verified",
        ["not verified in eu-west-1"],
    ),
    "upper case": (
        {"identities": (SENDER,)}, {"sender": "Orders@example.com"}, "identity_not_verified",
        ["Orders@example.com", "case-sensitive"],
    ),
    "a recipient in the sandbox": (
        {"sandbox": True}, {"recipient": "me@example.org"}, "identity_not_verified",
        ["eu-west-1: me@example.org. In the SES sandbox"],
    ),
    "no permission": (
        {"permissions": ()}, {}, "permission_missing",
        [f"lacks the permission ses:SendRawEmail for {ARN.format(REGION, 'example.com')}. "],
    ),
    "a permission for another sender": (
        {"permissions": (Permission(from_address=("shop@example.com",)),)}, {},
        "permission_missing", ["ses:FromAddress"],
    ),
    "no configuration set": (
        {"configuration_sets": ()}, SHOP, "configuration_set", ["<shop>", "in this region"],
    ),
    "no default configuration set": (
        {"default_configuration_set": "gone"}, {}, "configuration_set", ["<gone>", "default"],
    ),
    "paused": ({"paused": True}, {}, "account_paused", ["AWS has paused sending"]),
    "no quota": ({"daily_quota": 0}, {}, "quota_exceeded", ["24 hours"]),
    "no rate": ({"rate": 0}, {}, "throttled", ["faster than it may"]),
    "no MX record": (
        {"broken_mail_from": ("example.com",)}, {}, "mail_from_domain", ["MX record"],
    ),
}  # fmt: skip
#: A fault of the stand-in, and the reason.
FAULTS = {
    "not_available": "temporary_failure",
    "too_many_messages": "too_many_messages",
    "temporary": "temporary_failure",
    "daily_quota": "quota_exceeded",
    "sending_rate": "throttled",
    "paused": "account_paused",
    "old_tls": "tls_too_old",
    "not_authorized": "permission_missing",
    "not_verified": "identity_not_verified",
}


@pytest.fixture(name="certificate", scope="module")
def fixture_certificate(authority: CertificateAuthority) -> Path:
    return authority.issue("localhost")


@pytest.fixture(name="ses", params=ORDERS)
def fixture_ses(request: pytest.FixtureRequest, certificate: Path) -> t.Iterator[SesStandIn]:
    listener = Listener(REGION, certificate, behaviour=Behaviour(order=request.param))
    with SesStandIn([listener], [ACCOUNT]) as ses:
        yield ses


def send(
    ses: SesStandIn, authority: CertificateAuthority, options: t.Mapping[str, t.Any], **more: int
) -> LoginOutcome:
    message = make_message(
        options.get("sender", SENDER), options.get("recipient"), options.get("headers")
    )
    login = SmtpLogin(
        SmtpServer("localhost", ses.port(REGION), "starttls"), ACCESS_KEY, PASSWORD_OF[REGION]
    )
    return log_in_with_retries(
        lambda: log_in(login, message=message, ca_file=str(authority.ca_file)),
        more.get("retries", 0),
        0,
    )


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(ses: SesStandIn, authority: CertificateAuthority, case: str) -> None:
    changes, options = ACCEPTED[case]
    ses.accounts.add(ACCOUNT.with_changes(**changes))
    outcome = send(ses, authority, options)
    assert outcome.accepted
    assert outcome.message_id
    (message,) = ses.messages
    assert f"250 Ok {outcome.message_id}" in ses.sessions[0].replies
    sender = options.get("sender", SENDER)
    assert (message.mail_from, message.recipients) == (sender, ("success@simulator.amazonses.com",))
    arrived = email.message_from_bytes(message.data, policy=email.policy.SMTP)
    assert (arrived["From"], arrived["To"]) == (sender, "success@simulator.amazonses.com")
    assert all(arrived[name] == value for name, value in options.get("headers", {}).items())


@pytest.mark.parametrize("case", REFUSED)
def test_refused(ses: SesStandIn, authority: CertificateAuthority, case: str) -> None:
    changes, options, reason, says = REFUSED[case]
    ses.accounts.add(ACCOUNT.with_changes(**changes))
    with pytest.raises(LoginRefused) as caught:
        send(ses, authority, options)
    refused = caught.value
    assert refused.reason == reason, refused.message
    assert f'answered "{refused.answer}" to the message. ' in refused.message
    assert not [part for part in says if part not in refused.message], refused.message
    assert (refused.outcome.accepted, refused.outcome.logged_in) == (False, True)
    assert ses.messages == []
    (session,) = ses.recorder.wait_for_sessions(1)
    assert session.commands[-1] == "QUIT"


@pytest.mark.parametrize("ses", ORDERS[:1], indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
def test_faults(ses: SesStandIn, authority: CertificateAuthority, fault: str) -> None:
    """Those that can pass by themselves are tried again."""
    ses.accounts.switch_on(fault, times=1)
    with pytest.raises(LoginRefused) as caught:
        send(ses, authority, {})
    assert caught.value.reason == FAULTS[fault], caught.value.message
    ses.accounts.switch_on(fault, times=1)
    if caught.value.may_pass:
        assert send(ses, authority, {}, retries=3).attempts == 2
        assert len(ses.messages) == 1
    else:
        with pytest.raises(LoginRefused) as caught:
            send(ses, authority, {}, retries=3)
        assert caught.value.outcome.attempts == 1
        assert ses.messages == []


# With Ansible


@pytest.fixture(name="pings")
def fixture_pings(tmp_path: Path, authority: CertificateAuthority) -> Pings:
    cli = AnsibleCli(tmp_path / "ansible")
    write_vault(cli)
    return Pings(cli, authority.ca_file)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("ses", ORDERS[:1], indirect=True)
def test_the_module(pings: Pings, ses: SesStandIn, python: str) -> None:
    port = {"port": ses.port(REGION)}
    results, output = pings.run(
        {**port, "sender": SENDER, **SHOP},
        {**port, "sender": "a@example.org"},
        {**port, "sender": "a@example.org", "fail": False},
        {**port, "sender": SENDER, "headers": {"X-SES-CONFIGURATION-SET": "other"}},
        {**port, "sender": "root", "fail": False},
        {**port, "sender": SENDER, "headers": {"X-A": "b\nBcc: c@example.org"}},
        {**port, "recipient": SENDER},
        {**port, "sender": SENDER, "headers": {"X-A": SECRET_KEY}},
        port,
        python=python,
    )
    sent, *refused, wrong_sender, wrong_header, no_sender, secret, no_message = results
    assert secret["failed"]
    assert "headers has a secret for its value" in secret["msg"]
    assert not found_in(output, [SECRET_KEY])
    (message,) = ses.messages
    assert (message.mail_from, sent["ping"], sent["logged_in"]) == (SENDER, True, True)
    assert f"250 Ok {sent['message_id']}" in ses.sessions[0].replies
    assert [each["reason"] for each in refused] == [
        *["identity_not_verified"] * 2,
        "configuration_set",
    ]
    assert [each["failed"] for each in refused] == [True, False, True]
    for each in refused:
        assert (each["ping"], each["logged_in"], each["message_id"]) == (False, True, None)
        assert each["answer"].startswith("554 ")
    assert "not verified in eu-west-1: a@example.org. " in refused[0]["msg"]
    for each, says in (
        (wrong_sender, "sender 'root' is not an e-mail address"),
        (wrong_header, "the value of 'X-A' has a line break"),
        (no_sender, "recipient is given without sender"),
    ):
        assert each["failed"]
        assert says in each["msg"]
        assert "Nothing was sent" in each["msg"]
    assert no_message["ping"]
    assert "message_id" not in no_message
    # Wrong options log in nowhere.
    assert len(ses.recorder.wait_for_sessions(5)) == 5


@pytest.mark.parametrize("ses", ORDERS[:1], indirect=True)
def test_check_mode_sends_nothing(pings: Pings, ses: SesStandIn) -> None:
    task = {"port": ses.port(REGION), "sender": "nobody@example.org"}
    (result,), _output = pings.run(task, arguments=("--check",))
    assert (result["ping"], result["logged_in"], result["message_id"]) == (True, True, None)
    (session,) = ses.recorder.wait_for_sessions(1)
    assert session.commands[-2:] == ["AUTH PLAIN", "QUIT"]
