# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a probe proves, with a Postfix and its services in miniature."""

from __future__ import annotations

import os
import re
import types
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings._probe import probe_relay
from ansible_collections.mailops.ses.plugins.module_utils._findings._report import report
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.plugins.module_utils._ses._candidate_digests import Candidates
from ansible_collections.mailops.ses.tests.support.example_key import MAIL_MANAGER
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import CLIENTS, MASTER_CF
from ansible_collections.mailops.ses.tests.support.in_process.fake_services import (
    Answer,
    FakeServices,
    attributes,
    route,
    verified,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_survey import (
    HOST,
    KEY,
    PASSWORD,
    FakeSurvey,
    fake_survey,
)

AT_HOST = f"host {HOST}[192.0.2.1]"
NO_SENDER = f"{AT_HOST} said: 554 no such sender (in reply to MAIL FROM command)"
NO_LOGIN = f"{AT_HOST} said: 530 Authentication required (in reply to MAIL FROM command)"
WRONG_LOGIN = (
    f"SASL authentication failed; server {HOST}[192.0.2.1] said:"
    " 535 Authentication Credentials Invalid"
)


@pytest.fixture(name="relay")
def fixture_relay(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeSurvey]:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with fake_survey(monkeypatch) as relay:
        yield relay


def services(
    reason: str = "250 OK",
    status: str = "0",
    of_mail: tuple[str, str] = ("smtp", KEY),
    of_probe: tuple[str, str] | None = None,
) -> dict[str, Answer]:
    """The answers of an instance."""
    routes = {"resolve": route(*of_mail), "verify": route(*(of_probe or of_mail))}
    routes["rewrite"] = attributes(("flags", "0"), ("address", "double-bounce@example.com"))
    return {
        "rewrite": lambda request: [routes[request["request"]]],
        "verify": lambda _request: [verified(status, reason)],
    }


def ask(
    relay: FakeSurvey, answers: t.Mapping[str, Answer], seconds: float = 5, **settings: str
) -> dict[str, t.Any]:
    """The probe as a result of the module has it."""
    with FakeServices(answers) as running:
        relay.set(queue_directory=running.queue_directory, **settings)
        postfix = Postfix(relay.postfix, str(relay.folder))
        (instance,) = report(postfix, Candidates(), seconds).instances
    probe: dict[str, t.Any] = instance["probe"]
    return probe


def test_accepted(relay: FakeSurvey) -> None:
    probe = ask(relay, services())
    recipient = probe.pop("recipient")
    assert re.fullmatch(r"success\+[0-9a-f]{16}@simulator\.amazonses\.com", recipient)
    assert probe == {"accepted": True, "reason": "250 OK", "transport": "smtp", "nexthop": KEY}
    assert ask(relay, services())["recipient"] != recipient


def test_what_mail_manager_accepts(relay: FakeSurvey) -> None:
    """Its host is a relay without relayhost, too. That it accepts is not all."""
    server = f"[{MAIL_MANAGER['endpoint']}]:587"
    probe = ask(relay, services(of_mail=("smtp", server)))
    assert probe["accepted"] is True
    assert probe["reason"] == (
        "250 OK. Mail Manager accepts a message before its rules are applied. A rule may still drop it"
    )
    refused = ask(relay, services(WRONG_LOGIN, "1", ("smtp", server)))
    assert refused["accepted"] is False
    assert "rules" not in refused["reason"]


#: How the reasons begin that are given in full.
WHOLE = ("mail does not go", "the settings", "smtp_fallback_relay is")
ELSEWHERE = (
    "mail does not go through the relay: Postfix hands it to the transport {}, next hop {!r}."
    " Look at transport_maps, default_transport and relayhost"
)
ANOTHER_WAY = (
    "the settings address_verify_* send probes another way than mail, to smtp:[smtp.example.net],"
    " so that a probe proves nothing"
)
TWO_FALLBACKS = (
    "smtp_fallback_relay is [smtp.example.net], [other.example.net], and Postfix does not say which"
    " server answered the probe"
)
#: What Postfix answers, with main.cf's settings -> accepted, and the reason or a part of it
CASES: dict[str, tuple[dict[str, Answer], dict[str, str], bool | None, str]] = {
    "refused at MAIL": (services(NO_SENDER, "2"), {}, True, NO_SENDER),
    "refused at RCPT for now": (
        services(f"{AT_HOST} said: 454 4.7.0 Throttling (in reply to RCPT TO command)", "1"),
        {}, True, "the login was accepted, and the probe's address was not",
    ),
    "several servers, and SES without relayhost": (
        services(of_mail=("smtp", f"{KEY.upper()}, [email-smtp.us-east-1.amazonaws.com]")),
        {}, True, "250 OK",
    ),
    "another server in relayhost": (
        services(of_mail=("smtp", "[smtp.example.net]")),
        {"relayhost": "[smtp.example.net]"}, True, "250 OK",
    ),
    "no login": (services(NO_LOGIN, "2"), {}, False, NO_LOGIN),
    "a wrong login": (services(WRONG_LOGIN, "1"), {}, False, WRONG_LOGIN),
    "an answer to AUTH that looks like one to MAIL": (
        services(f"{WRONG_LOGIN} {NO_SENDER}", "1"), {}, False, WRONG_LOGIN,
    ),
    "refused at the greeting": (
        services(f"{AT_HOST} refused to talk to me: 421 too many", "1"), {}, False, "421",
    ),
    "unreachable": (services("connect to x: Connection refused", "1"), {}, False, "connect to x"),
    "another server": (
        services(of_mail=("smtp", "[smtp.example.net]")), {}, False,
        ELSEWHERE.format("smtp", "[smtp.example.net]"),
    ),
    "one other server of two": (
        services(of_mail=("smtp", f"{KEY} [smtp.example.net]")), {}, False, "does not go through",
    ),
    "a refused destination": (
        services(of_mail=("error", "no mail today")), {}, False, "next hop 'no mail today'",
    ),
    "thrown away": (services("x", of_mail=("discard", KEY)), {}, False, "transport discard"),
    "a transport that is not in master.cf": (
        services(of_mail=("nosuch", KEY)), {}, False, "transport nosuch",
    ),
    "a transport with a name that postconf would misread": (
        services(of_mail=("-x", KEY)), {}, False, "transport REDACTED",
    ),
    "nowhere": (services(of_mail=("smtp", "")), {}, False, "next hop ''"),
    "probes that go another way": (
        services(of_probe=("smtp", "[smtp.example.net]")), {}, None, ANOTHER_WAY,
    ),
    "a fallback": (
        services(), {"smtp_fallback_relay": f"{KEY}, [smtp.example.net] [other.example.net]"}, None,
        TWO_FALLBACKS,
    ),
    "a fallback that is a relay": (services(), {"smtp_fallback_relay": KEY}, True, "250 OK"),
    "a fallback that may have refused the sender": (
        services(NO_SENDER, "2"), {"smtp_fallback_relay": "[smtp.example.net]"}, None, "fallback",
    ),
    "delivered by something else": (
        services("delivers to mailbox"), {}, None, "was not answered by a server",
    ),
    "no answer in time": (services("busy", "3"), {}, None, "had no answer within 0.01 s"),
    "no service verify": (
        {"rewrite": services()["rewrite"]}, {}, None, "No such file or directory",
    ),
    "no service rewrite": ({}, {}, None, "service rewrite can't be asked"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_accepted(relay: FakeSurvey, name: str) -> None:
    answers, settings, accepted, said = CASES[name]
    probe = ask(relay, answers, 0.01 if "in time" in name else 5, **settings)
    assert probe["accepted"] is accepted
    assert said in probe["reason"]
    if said.startswith(WHOLE):
        assert probe["reason"] == said
    if accepted is not None:
        assert probe["transport"]


#: What Postfix quotes of SES -> a part of its explanation, None if it is not explained
EXPLAINED = {
    NO_LOGIN: ". The client has sent mail without a login. In Postfix, set smtp_sasl_auth_enable",
    WRONG_LOGIN: ". SES rejects the user name or the password",
    f"{AT_HOST} refused to talk to me: 421 Too many concurrent SMTP connections": ". SES accepts no",
    f"{AT_HOST} said: 530 5.7.0 Who are you? (in reply to MAIL FROM command)": None,
    "connect to x: Connection refused": None,
}


@pytest.mark.parametrize("words", EXPLAINED)
def test_a_refusal_of_ses_is_explained(relay: FakeSurvey, words: str) -> None:
    probe = ask(relay, services(words, "2"), 5)
    said = EXPLAINED[words]
    assert probe["accepted"] is False
    if said is None:
        assert probe["reason"] == words
    else:
        assert probe["reason"].startswith(words + said)


def test_a_login_in_the_next_hop(relay: FakeSurvey) -> None:
    """What main.cf or a table has there may be a secret, and Postfix repeats it."""
    hop = f"AKIAIOSFODNN7EXAMPLE:{PASSWORD}@{KEY}"
    for of_relayhost in ("", hop):
        reason = f"Host or domain name not found. Name service error for name={hop}"
        probe = ask(relay, services(reason, "1", ("smtp", hop)), relayhost=of_relayhost)
        assert probe["accepted"] is False
        assert PASSWORD not in str(probe)
        assert ("Name service error for" in probe["reason"]) is bool(of_relayhost)


@pytest.mark.parametrize("suspended", [1, 2, 3])
def test_a_failure_that_is_over(relay: FakeSurvey, suspended: int) -> None:
    """The queue manager remembers it for minutes; it is asked to forget it, and nobody guesses."""
    answers = [verified("1", f"delivery temporarily suspended: {WRONG_LOGIN}")] * suspended
    asked = services()
    asked["verify"] = lambda _request: [answers.pop() if answers else verified("0", "250 OK")]
    with FakeServices(asked) as running:
        relay.set(queue_directory=running.queue_directory)
        postfix = Postfix(relay.postfix, str(relay.folder))
        (instance,) = report(postfix, Candidates(), 5).instances
    probe = instance["probe"]
    assert running.forgotten == min(suspended, 2)
    assert probe["accepted"] is (True if suspended < 3 else None)
    recipients = [each["address"] for each in running.requests if each["request"] == "query"]
    assert len(set(recipients)) == len(recipients) == min(suspended + 1, 3)
    assert probe["recipient"] == recipients[-1]
    assert probe["reason"] == (
        "250 OK"
        if suspended < 3
        else "Postfix made no attempt, because an earlier one failed. Run postqueue -f, then probe"
        f" again. It said: delivery temporarily suspended: {WRONG_LOGIN}"
    )


@pytest.mark.parametrize(
    ("status", "queue_manager", "is_late"), [("3", True, True), ("1", False, False)]
)
def test_no_answer_in_time_is_told_from_a_postfix_that_cannot_be_asked(
    relay: FakeSurvey, status: str, queue_manager: bool, is_late: bool
) -> None:
    asked = services(f"delivery temporarily suspended: {WRONG_LOGIN}", status)
    if is_late:
        asked = services("busy", status)
    with FakeServices(asked, queue_manager=queue_manager) as running:
        relay.set(queue_directory=running.queue_directory)
        postfix = Postfix(relay.postfix, str(relay.folder))
        probe = probe_relay(postfix, str(relay.folder), 0.01, running=True)
    assert (probe.accepted, probe.is_late, probe.may_pass) == (None, is_late, is_late)


@pytest.mark.parametrize(("words", "may_pass"), [(WRONG_LOGIN, True), (NO_LOGIN, False)])
def test_a_refusal_says_whether_it_may_pass(relay: FakeSurvey, words: str, may_pass: bool) -> None:
    with FakeServices(services(words, "1")) as running:
        relay.set(queue_directory=running.queue_directory)
        probe = probe_relay(
            Postfix(relay.postfix, str(relay.folder)), str(relay.folder), 5, running=True
        )
    assert (probe.accepted, probe.may_pass) == (False, may_pass)


def test_a_queue_manager_that_cannot_be_reached(relay: FakeSurvey) -> None:
    asked = services(f"delivery temporarily suspended: {WRONG_LOGIN}", "1")
    with FakeServices(asked, queue_manager=False) as running:
        relay.set(queue_directory=running.queue_directory)
        postfix = Postfix(relay.postfix, str(relay.folder))
        (instance,) = report(postfix, Candidates(), 5).instances
    assert instance["probe"]["accepted"] is None
    assert "queue manager can't be reached" in instance["probe"]["reason"]


def test_another_fallback_in_master_cf(relay: FakeSurvey) -> None:
    master_cf = relay.folder / "master.cf"
    own = " -o smtp_fallback_relay=[x]\n"
    master_cf.write_text(f"{MASTER_CF}other unix - - n - - smtp\n{own}")
    refused = services(NO_SENDER, "2")
    assert ask(relay, services())["accepted"] is ask(relay, refused)["accepted"] is True
    master_cf.write_text(f"{MASTER_CF}smtp unix - - n - - smtp\n{own}")
    assert ask(relay, services())["accepted"] is ask(relay, refused)["accepted"] is None


@pytest.mark.parametrize(
    "entry", ["@simulator.amazonses.com x", "success@simulator.amazonses.com x", ""]
)
def test_an_alias_for_the_recipient(relay: FakeSurvey, entry: str) -> None:
    """cleanup(8) would send the probe to another address than the one that was asked about."""
    aliases = relay.map(f"root me\n{entry}\n", "virtual", 0o644)
    probe = ask(relay, services(), virtual_alias_maps=f"hash:{aliases}")
    assert probe["accepted"] is (None if entry else True)
    assert ("virtual_alias_maps has another address" in probe["reason"]) is bool(entry)


def test_what_a_table_is_asked(relay: FakeSurvey, monkeypatch: pytest.MonkeyPatch) -> None:
    aliases = relay.map("root me\n", "virtual", 0o644)
    asked: list[bytes] = []
    run = relay.postfix.run_command

    def remember(args: list[str], **kwargs: t.Any) -> tuple[int, bytes, bytes]:
        asked.extend(kwargs.get("data", b"").splitlines() if args[-1].endswith("/virtual") else [])
        return run(args, **kwargs)

    monkeypatch.setattr(relay.postfix, "run_command", remember)
    recipient = ask(relay, services(), virtual_alias_maps=f"hash:{aliases}")["recipient"]
    assert asked == [
        recipient.encode(),
        b"success@simulator.amazonses.com",
        b"@simulator.amazonses.com",
    ]


def test_options_of_a_client_in_master_cf(
    relay: FakeSurvey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CLIENTS, "relay/unix", "smtp -o syslog_name=postfix/relay")
    assert ask(relay, services(of_mail=("relay", KEY)))["accepted"] is True


def test_an_answer_that_comes_later(relay: FakeSurvey) -> None:
    answers = [verified("3", "busy"), verified("0", "250 OK")]
    asked = {**services(), "verify": lambda _request: [answers.pop(0)]}
    assert ask(relay, asked, 60)["accepted"] is True


def test_a_table_that_cannot_be_asked(relay: FakeSurvey) -> None:
    probe = ask(relay, services(), canonical_maps="ldap:x")
    assert probe["accepted"] is None


def test_postfix_is_not_running(relay: FakeSurvey) -> None:
    relay.postfix.running = False
    assert ask(relay, {}) == {
        "accepted": None,
        "reason": "Postfix is not running",
        "recipient": None,
        "transport": None,
        "nexthop": None,
    }


def test_only_root_can_ask(relay: FakeSurvey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    probe = ask(relay, services())
    assert (probe["accepted"], probe["recipient"]) == (None, None)
    assert probe["reason"] == "only root can ask Postfix for a probe: set become"


@pytest.mark.parametrize("name", ["", "main.cf"])
def test_settings_that_others_can_change(relay: FakeSurvey, name: str) -> None:
    """They say where the sockets are, so that somebody else could answer."""
    with FakeServices(services()) as running:
        relay.set(queue_directory=running.queue_directory)
        path = relay.folder / name
        path.chmod(path.stat().st_mode | 0o002)
        postfix = Postfix(relay.postfix, str(relay.folder))
        (instance,) = report(postfix, Candidates(), 5).instances
    assert running.requests == []
    assert instance["probe"]["accepted"] is None
    assert f"{path} can be changed by others" in instance["probe"]["reason"]


@pytest.mark.parametrize(("owner", "accepted"), [(0, True), (1, None)])
def test_the_owner_of_the_settings(
    relay: FakeSurvey, monkeypatch: pytest.MonkeyPatch, owner: int, accepted: bool | None
) -> None:
    with FakeServices(services()) as running:
        relay.set(queue_directory=running.queue_directory)
        postfix = Postfix(relay.postfix, str(relay.folder))
        stat = os.stat
        with monkeypatch.context() as patch:
            patch.setattr(os, "getuid", lambda: 1000)
            patch.setattr(
                os,
                "stat",
                lambda path, **options: types.SimpleNamespace(
                    st_uid=owner, st_mode=stat(path, **options).st_mode
                ),
            )
            probe = probe_relay(postfix, str(relay.folder), 5, running=True)
    assert probe.accepted is accepted
