# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A set-up is refused if mail would miss SES, or other mail would break; and goes on if that is accepted."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import RelayError
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import DEFAULTS
from ansible_collections.mailops.ses.tests.support.in_process.fake_relay import (
    FakeRelay,
    login,
    sender,
    trust_any_file,
)

if t.TYPE_CHECKING:
    from pathlib import Path


WEST, CENTRAL = "eu-west-1", "eu-central-1"


@pytest.fixture(name="relay")
def fixture_relay(tmp_path: Path) -> FakeRelay:
    return FakeRelay.make(tmp_path)


@pytest.fixture(autouse=True)
def fixture_ca_file(monkeypatch: pytest.MonkeyPatch) -> None:
    trust_any_file(monkeypatch)


def add(relay: FakeRelay, text: str, name: str = "main.cf") -> None:
    """Add lines to a file of the instance."""
    with (relay.directory / name).open("a", encoding="ascii") as file:
        file.write(text)


def test_a_route_that_is_accepted(relay: FakeRelay) -> None:
    """It is a warning at each run, and the result has its ID."""
    add(relay, "default_transport = relay:[127.0.0.9]\n")
    before = relay.files()
    with pytest.raises(RelayError, match=r"add route_elsewhere to accept_findings\. Nothing was"):
        relay.present(WEST)
    assert relay.files() == before
    for changed in (True, False):
        work = relay.setup(WEST, accept_findings=("route_elsewhere",))
        assert work.run().plan.changed is changed
        assert work.decision.accepted == ("route_elsewhere",)
        (warning,) = work.decision.warnings
        assert warning.startswith("All mail goes around SES")
    with pytest.raises(RelayError, match="All mail goes around SES"):
        relay.present(WEST)


def test_what_is_not_there_is_not_accepted(relay: FakeRelay) -> None:
    decision = relay.setup(WEST, accept_findings=("route_elsewhere",)).decision
    assert (decision.accepted, decision.warnings) == ((), ())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tls_not_verified", "can't be accepted: whoever redirects"),
        ("unused_entry", "no finding that blocks a relay. Give one of auth_disabled, "),
        ("no_such", "no finding that blocks"),
    ],
)
def test_what_nobody_can_accept(relay: FakeRelay, name: str, says: str) -> None:
    with pytest.raises(RelayError, match=f"accept_findings has {name}, which .*{says}"):
        relay.setup(WEST, accept_findings=("route_elsewhere", name))


def test_unverified_tls_is_refused_whatever_is_accepted(relay: FakeRelay) -> None:
    add(relay, "sender_dependent_default_transport_maps = inline:{ @x.example=out: }\n")
    add(relay, "out unix - - n - - smtp -o smtp_tls_security_level=may\n", "master.cf")
    before = relay.files()
    with pytest.raises(
        RelayError, match="smtp_tls_security_level = may for the service out"
    ) as raised:
        relay.present(WEST, accept_findings=("route_elsewhere", "other_mail_flow"))
    assert "accept_findings" not in str(raised.value)
    assert relay.files() == before


#: lines of main.cf, of the client smtp in master.cf, of rewrite there -> what the refusal says
BEATEN: dict[str, tuple[str, str, str, str]] = {
    "the level of a service": (
        "",
        "smtp_tls_security_level=may",
        "",
        "smtp_tls_security_level = may for the service smtp",
    ),
    "another password map": (
        "",
        "smtp_sasl_password_maps=hash:/x",
        "",
        "does not use the password map",
    ),
    "no login": (
        "",
        "smtp_sasl_auth_enable=no",
        "",
        "smtp_sasl_auth_enable = no for the service smtp",
    ),
    "no mechanism": ("", "smtp_sasl_tls_security_options=noplaintext", "", "contains noplaintext"),
    "no mechanism, verified": (
        "smtp_sasl_tls_verified_security_options = noplaintext\n",
        "",
        "",
        "contains noplaintext",
    ),
    "another port's TLS": (
        "",
        "smtp_tls_wrappermode=yes",
        "",
        "smtp_tls_wrappermode = yes, but port",
    ),
    "no authorities": ("", "smtp_tls_CAfile=", "", "has no smtp_tls_CAfile"),
    "another next hop": ("", "", "relayhost=[x]", r"master\.cf, line \d+ has relayhost = \[x\]"),
    "senders' logins": (
        "",
        "smtp_sender_dependent_authentication=no",
        "",
        "does not use the logins of senders",
    ),
    "a policy": (
        "smtp_tls_policy_maps = static:may\n",
        "",
        "",
        "smtp_tls_policy_maps has the level may",
    ),
    "a policy that is not there": (
        "smtp_tls_policy_maps = hash:/no/such\n",
        "",
        "",
        "smtp_tls_policy_maps names hash:/no/such",
    ),
    "a policy of no type": ("smtp_tls_policy_maps = {static:may sesame}, sesame\n", "", "", "."),
    "a policy that can't be asked": (
        "smtp_tls_policy_maps = ldap:/x\n",
        "",
        "",
        "names ldap:/x, which can't be asked",
    ),
}


@pytest.mark.parametrize("case", BEATEN)
def test_what_beats_the_settings_is_refused(relay: FakeRelay, case: str) -> None:
    """A service of master.cf, a TLS policy or another setting; also for a server that is not SES's own name."""
    main_cf, client, rewrite, says = BEATEN[case]
    add(relay, main_cf)
    options = f" -o {client}" if client else "", f" -o {rewrite}" if rewrite else ""
    add(
        relay,
        f"smtp unix - - n - - smtp{options[0]}\nrewrite unix - - n - - trivial-rewrite\n{options[1]}\n",
        "master.cf",
    )
    before = relay.files()
    senders = (sender("me@x.example", WEST),)
    with pytest.raises(RelayError, match=says) as raised:
        relay.present(WEST, senders=senders)
    assert "sesame" not in str(raised.value)
    assert relay.files() == before


@pytest.mark.parametrize(
    "option",
    [
        "smtp_tls_security_level=verify",
        "smtp_sasl_security_options=noanonymous",
        "smtp_tls_loglevel=1",
        "relayhost=[x]",  # which rewrite(8) reads, and no client
    ],
)
def test_what_a_service_may_have_of_its_own(relay: FakeRelay, option: str) -> None:
    add(relay, f"smtp unix - - n - - smtp -o {option}\n", "master.cf")
    relay.present(WEST)
    assert not relay.present(WEST).plan.changed


def test_a_warning_does_not_stop_a_run(relay: FakeRelay) -> None:
    add(relay, "smtp_sasl_auth_soft_bounce = no\n")
    for _run in range(2):
        work = relay.setup(WEST)
        work.run()
        (warning,) = work.decision.warnings
        assert "mail is returned to its sender" in warning


def test_what_only_the_new_main_cf_shows_is_said_in_the_run_that_makes_it(
    relay: FakeRelay,
) -> None:
    """Before, smtp_sasl_auth_soft_bounce is yes, and the plan does not tell that it will be no."""
    add(relay, "smtp_tls_wrappermode = yes\nsmtp_sasl_auth_soft_bounce = $smtp_tls_wrappermode\n")
    work = relay.setup(WEST)
    assert not work.decision.warnings
    work.run()
    (warning,) = work.decision.warnings
    assert "smtp_sasl_auth_soft_bounce = no" in warning


def test_tls_that_is_not_verified_is_known_by_server(relay: FakeRelay) -> None:
    west, central = (login(region).destination for region in (WEST, CENTRAL))
    add(relay, f"smtp_tls_policy_maps = inline:{{ {west}=secure }}\n")
    work = relay.setup(WEST, CENTRAL, tls_level="encrypt", ca_file=None)
    work.run()
    assert work.decision.unverified == {central}
    assert relay.setup(WEST, CENTRAL, tls_level="encrypt", ca_file=None).decision.unverified == {
        central
    }


def test_no_header_turns_off_tls(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    """From Postfix 3.10 on, which has this setting."""
    monkeypatch.setitem(DEFAULTS, "tls_required_enable", "yes")
    before = relay.files()["main.cf"][0]
    outcome = relay.present(WEST)
    assert {each.name: each.after for each in outcome.plan.settings}["tls_required_enable"] == "no"
    assert not relay.present(WEST).plan.changed
    relay.absent()
    assert relay.files()["main.cf"][0] == before
    add(relay, "smtp unix - - n - - smtp -o tls_required_enable=yes\n", "master.cf")
    with pytest.raises(RelayError, match=r"master\.cf, line \d+ has tls_required_enable = yes"):
        relay.present(WEST)


def test_what_a_parameter_stands_for_afterwards_counts(relay: FakeRelay) -> None:
    add(relay, "relayhost = [old.example]\ndefault_transport = smtp:$relayhost\n")
    relay.present(WEST)
    assert not relay.present(WEST).plan.changed


def test_senders_reach_the_servers_that_are_written_in_the_same_run(relay: FakeRelay) -> None:
    senders = (sender("me@x.example", CENTRAL), sender("@y.example", WEST))
    relay.present(WEST, senders=senders)
    assert not relay.present(WEST, senders=senders).plan.changed
