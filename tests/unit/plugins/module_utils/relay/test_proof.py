# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run says that it has shown, and when that fails it."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings._probe import RelayProbe
from ansible_collections.mailops.ses.plugins.module_utils._relay._proof import (
    lack_proof,
    prove,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import (
    RelayError,
    RelayLogins,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_relay import login, sender

WEST, CENTRAL = "eu-west-1", "eu-central-1"
ONE = RelayLogins((login(WEST),))
TWO = RelayLogins((login(WEST), login(CENTRAL)))
WITH_SENDER = RelayLogins((login(WEST),), (sender("@example.com", CENTRAL),))
ACCEPTED = RelayProbe(True, "250 OK")
REFUSED = RelayProbe(False, "SASL authentication failed")
LATE = RelayProbe(None, "Postfix's probe had no answer within 10 s", is_late=True, may_pass=True)
STOPPED = RelayProbe(None, "Postfix is not running")


class Asked:
    """Answers the probes of a test, in this order; the last one again and again."""

    def __init__(self, *answers: RelayProbe) -> None:
        self._answers = list(answers)
        self.times = 0
        self.slept: list[float] = []

    def __call__(self) -> RelayProbe:
        self.times += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def prove(
        self,
        logins: RelayLogins,
        retries: int = 0,
        unverified: t.Collection[str] = (),
        **more: t.Any,
    ) -> list[dict[str, t.Any]]:
        sleep = self.slept.append
        proofs = prove(logins, unverified, self, retries=retries, delay=3.0, sleep=sleep, **more)
        return [each.show() for each in proofs]


def test_one_server_is_shown_by_postfix() -> None:
    assert Asked(ACCEPTED).prove(ONE) == [
        {
            "server": f"[email-smtp.{WEST}.amazonaws.com]:587",
            "sender": None,
            "shown_by": "postfix",
            "tls_verified": True,
            "reason": "250 OK",
        }
    ]


def test_of_several_servers_nobody_knows_which_one_answered() -> None:
    proofs = Asked(ACCEPTED).prove(TWO)
    assert [each["shown_by"] for each in proofs] == ["login", "login"]
    assert all("one of 2 servers" in each["reason"] for each in proofs)


def test_the_login_of_a_sender_is_not_probed() -> None:
    first, second = Asked(ACCEPTED).prove(WITH_SENDER)
    assert (first["shown_by"], second["shown_by"]) == ("postfix", "login")
    assert second["sender"] == "@example.com"
    assert "double-bounce" in second["reason"]


@pytest.mark.parametrize("answer", [REFUSED, LATE])
def test_a_probe_that_fails_is_an_error_with_the_reason(answer: RelayProbe) -> None:
    asked = Asked(answer)
    with pytest.raises(RelayError, match=f"own probe of the relay failed: {answer.reason}"):
        asked.prove(ONE)
    assert asked.times == 1


def test_settings_that_may_be_the_cause_are_named() -> None:
    def find_suspects(found: RelayProbe) -> list[str]:
        assert found == REFUSED
        return ["smtp_reply_filter = x (main.cf, line 1)", "tls_config_name = y"]

    with pytest.raises(RelayError) as raised:
        Asked(REFUSED).prove(ONE, find_suspects=find_suspects)
    assert str(raised.value).endswith(
        "failed: SASL authentication failed. The cause may be one of these settings:"
        " smtp_reply_filter = x (main.cf, line 1); tls_config_name = y. Nothing was changed"
    )


def test_a_probe_is_not_made_again_for_what_does_not_pass() -> None:
    asked = Asked(REFUSED)
    with pytest.raises(RelayError):
        asked.prove(ONE, retries=5)
    assert (asked.times, asked.slept) == (1, [])


@pytest.mark.parametrize("first", [replace(REFUSED, may_pass=True), LATE])
def test_a_probe_is_made_again(first: RelayProbe) -> None:
    asked = Asked(first, first, ACCEPTED)
    assert asked.prove(ONE, retries=5)[0]["shown_by"] == "postfix"
    assert (asked.times, asked.slept) == (3, [3.0, 3.0])
    with pytest.raises(RelayError):
        Asked(first).prove(ONE, retries=2)


def test_a_postfix_that_cannot_be_asked_is_said() -> None:
    asked = Asked(STOPPED)
    (proof,) = asked.prove(ONE, retries=3)
    assert (proof["shown_by"], proof["reason"]) == ("login", "Postfix is not running")
    assert asked.times == 1


def test_tls_that_verifies_nothing_is_said() -> None:
    proofs = Asked(ACCEPTED).prove(TWO, unverified={f"[email-smtp.{WEST}.amazonaws.com]:587"})
    assert [each["tls_verified"] for each in proofs] == [False, True]


@pytest.mark.parametrize(("logged_in", "shown_by"), [(True, "login"), (False, "nothing")])
def test_a_run_that_does_not_ask(logged_in: bool, shown_by: str) -> None:
    proofs = lack_proof(WITH_SENDER, frozenset(), "verify is false", logged_in=logged_in)
    assert [(each.shown_by, each.reason) for each in proofs] == [(shown_by, "verify is false")] * 2
