# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_relay`` says "ok" when Postfix itself has reached SES, and takes everything back when not."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.postfix.relay_runner import (
    RelayRunner,
    contents,
    destination,
    files,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import ScratchPostfix
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

WEST, CENTRAL = "eu-west-1", "eu-central-1"
FIRST = Account(
    "AKIAEXAMPLE000000001", "secret/access+key/of+the+number/00000001", ("example.com",)
)
SECOND = Account("AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002")
# What our own login, from the same host, does not meet: this Postfix's client can use no address.
CUT_OFF = "smtp/unix/inet_protocols=ipv6"


@pytest.fixture(name="relay")
def fixture_relay(
    tmp_path: Path,
    postfix: ScratchPostfix,
    regional_ses: SesStandIn,
    authority: CertificateAuthority,
) -> RelayRunner:
    regional_ses.accounts.add(FIRST)
    regional_ses.accounts.add(SECOND)
    return RelayRunner(tmp_path, postfix, authority.ca_file)


def logins(ses: SesStandIn) -> int:
    """How many logins the stand-in has accepted."""
    attempts = [each for session in ses.recorder.sessions for each in session.auth_attempts]
    return sum(each.accepted for each in attempts)


def proof(server: str, shown_by: str, reason: str, **more: t.Any) -> dict[str, t.Any]:
    usual = {"sender": None, "tls_verified": True}
    return {"server": server, "shown_by": shown_by, "reason": reason, **usual, **more}


def test_postfix_shows_it(
    postfix: ScratchPostfix, regional_ses: SesStandIn, relay: RelayRunner
) -> None:
    task = relay.task(key=FIRST, region=WEST)
    predicted, done, again, unverified = relay.run_all(
        {**task, "check_mode": True}, task, task, relay.task(key=FIRST, region=WEST, verify=False)
    )
    reason = "in check mode, Postfix is not asked"
    assert predicted["proof"] == [proof(destination(WEST), "login", reason)]
    for ran in (done, again):
        assert not ran["failed"], ran
        (shown,) = ran["proof"]
        assert shown == proof(destination(WEST), "postfix", shown["reason"])
        assert shown["reason"].startswith("250 ")
    assert not again["changed"]
    assert unverified["proof"] == [proof(destination(WEST), "nothing", "verify is false")]
    # Our own: three times. Postfix's: twice. And no message.
    assert logins(regional_ses) == 5
    assert regional_ses.recorder.messages == []
    assert postfix.queue() == []


def test_what_postfix_cannot_show_is_said(postfix: ScratchPostfix, relay: RelayRunner) -> None:
    second = {"access_key": SECOND.access_key, "secret_key": SECOND.secret_key}
    senders = [{"sender": "@example.org", "region": CENTRAL, **second}]
    first, several = relay.run_all(
        relay.task(key=FIRST, region=WEST, senders=senders),
        relay.task(key=FIRST, regions=[WEST, CENTRAL]),
    )
    of_all, of_sender = first["proof"]
    assert of_all["shown_by"] == "postfix"
    assert (of_sender["sender"], of_sender["shown_by"]) == ("@example.org", "login")
    assert "double-bounce" in of_sender["reason"]
    assert [each["server"] for each in several["proof"]] == [
        destination(WEST),
        destination(CENTRAL),
    ]
    for each in several["proof"]:
        assert each["shown_by"] == "login"
        assert "one of 2 servers" in each["reason"]
    postfix.stop()
    (shown,) = relay.run(key=FIRST, region=WEST)["proof"]
    assert shown == proof(destination(WEST), "login", "Postfix is not running")


def test_a_postfix_that_does_not_reach_ses_is_as_it_was(
    postfix: ScratchPostfix, relay: RelayRunner
) -> None:
    postfix.run("postconf", "-P", CUT_OFF)
    postfix.reload()
    before = contents(postfix)
    refused = relay.run(key=FIRST, region=WEST)
    assert refused["failed"]
    assert "Postfix's own probe of the relay failed: " in refused["msg"]
    assert refused["msg"].endswith("Everything was rolled back")
    assert contents(postfix) == before


def test_a_relay_that_is_cut_off_later(
    postfix: ScratchPostfix, regional_ses: SesStandIn, relay: RelayRunner
) -> None:
    assert not relay.run(key=FIRST, region=WEST)["failed"]
    postfix.run("postconf", "-P", CUT_OFF)
    postfix.reload()
    there = files(postfix)
    unchanged, changed = relay.run_all(
        relay.task(key=FIRST, region=WEST), relay.task(key=SECOND, region=WEST)
    )
    for ran in (unchanged, changed):
        assert ran["failed"]
        assert "own probe of the relay failed" in ran["msg"]
    assert unchanged["msg"].endswith("Nothing was changed")
    assert unchanged.files == there
    postfix.run("postconf", "-PX", CUT_OFF.partition("=")[0])
    postfix.reload()
    postfix.send("hello")
    (message,) = regional_ses.recorder.wait_for_messages(1)
    assert message.username == FIRST.access_key


def test_the_audit_says_whether_ses_accepts_a_relay_now(
    postfix: ScratchPostfix, regional_ses: SesStandIn, relay: RelayRunner
) -> None:
    assert not relay.run(key=FIRST, region=WEST)["failed"]
    where = f"On: mx1 ({postfix.config_directory})"
    assert f"Accepted by SES {where}" in relay.audit(audit_probe=True)
    regional_ses.accounts.remove(FIRST.access_key)
    shown = relay.audit(audit_probe=True)
    assert "Not accepted: " in shown
    assert "CRITICAL: relay_not_accepted, on 1 host" in shown
    assert "535 Authentication Credentials Invalid" in shown
    assert where not in relay.audit()
