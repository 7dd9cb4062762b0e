# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An SMTP client for Amazon SES alone: a service in master.cf, and the routing to it."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._master_cf import (
    parse_services,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._phases import ConfigChange
from ansible_collections.mailops.ses.plugins.module_utils._relay._plan import RelayRequest, diff
from ansible_collections.mailops.ses.plugins.module_utils._relay._record import RecordedSetting
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import (
    RelayError,
    RelayLogin,
    Setting,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._setup import decide_setup
from ansible_collections.mailops.ses.plugins.module_utils._relay._transaction import Transaction
from ansible_collections.mailops.ses.plugins.module_utils._relay._transport import (
    check_transport,
    list_transports,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import (
    MASTER_CF,
    settings_of,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_relay import (
    USER,
    FakeRelay,
    key,
    sender,
    trust_any_file,
)

if t.TYPE_CHECKING:
    from pathlib import Path

WEST, CENTRAL = "eu-west-1", "eu-central-1"
DEFAULT, RELAY = "default_transport", "relay_transport"
MAPS, CA_FILE = "smtp_sasl_password_maps", "smtp_tls_CAfile"
THEIRS = "out unix - - n - - smtp\n  -o syslog_name=out\npipe unix - n n - - pipe argv=/bin/true\n"


@pytest.fixture(name="relay")
def fixture_relay(tmp_path: Path) -> FakeRelay:
    relay = FakeRelay.make(tmp_path / "etc", map_source="# by hand\n[other] them:theirs\n")
    (relay.directory / "master.cf").write_text(MASTER_CF + THEIRS)
    return relay


@pytest.fixture(autouse=True)
def fixture_ca_file(monkeypatch: pytest.MonkeyPatch) -> None:
    trust_any_file(monkeypatch)


def own(relay: FakeRelay, name: str = "ses") -> dict[str, str]:
    """What the service has of its own, empty if there is none."""
    services = parse_services(services_of(relay))
    its = services.get(f"{name}/unix")
    return {each: one.value for each, one in its.overrides.items()} if its else {}


def services_of(relay: FakeRelay) -> str:
    return (relay.directory / "master.cf").read_text()


def write_services(relay: FakeRelay, text: str) -> None:
    (relay.directory / "master.cf").write_text(text)


# The names of services


@pytest.mark.parametrize("name", ["smtp", "ses", "SES", "amazon-ses", "ses_2"])
def test_names_of_services(name: str) -> None:
    check_transport(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "relay",
        "local",
        "error",
        "lmtp",
        "default",
        "Retry",
        "2ses",
        "-ses",
        "a b",
        "ses:",
        "ses/unix",
        "s.s",
        "x" * 51,
    ],
)
def test_what_is_no_name_of_a_service(name: str) -> None:
    with pytest.raises(RelayError, match=r"transport.*Nothing was changed"):
        check_transport(name)


# The routing


def recorded(before: str | None, wrote: str) -> dict[str, RecordedSetting]:
    return {DEFAULT: RecordedSetting(before, wrote)}


#: transport, the effective default_transport, what was recorded -> what it is to be
TRANSPORTS: dict[str, tuple[str, str, dict[str, RecordedSetting], str | None]] = {
    "local only": ("smtp", "error", {}, "smtp"),
    "local only again": ("smtp", "error", recorded("error", "smtp"), "smtp"),
    "ours": ("smtp", "smtp", recorded("error", "smtp"), "smtp"),
    "the default": ("smtp", "smtp", {}, None),
    "a text for people": ("smtp", "error:outside mail is off", {}, None),
    "another service": ("smtp", "errors", {}, None),
    "empty": ("smtp", "", {}, None),
    "somebody's since": ("smtp", "uucp", recorded("error", "smtp"), None),
    "ours, after another client": ("smtp", "ses", recorded("error", "ses"), "smtp"),
    "not ours, after another client": ("smtp", "ses", recorded(None, "ses"), None),
    "own, instead of the default": ("ses", "smtp", {}, "ses"),
    "own, instead of local only": ("ses", "error", {}, "ses"),
    "own, instead of relay": ("ses", "relay", {}, "ses"),
    "own, instead of another client": ("ses", "out", {}, "ses"),
    "own, already": ("ses", "ses", {}, "ses"),
    "own, after another own": ("ses2", "ses", recorded(None, "ses"), "ses2"),
    "own, beside a next hop": ("ses", "smtp:[other]", {}, None),
    "own, beside a delivery agent": ("ses", "pipe", {}, None),
    "own, beside a missing one": ("ses", "gone", {}, None),
    "own, beside a text": ("ses", "error:off", {}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", TRANSPORTS)
def test_which_transport_changes(case: str) -> None:
    transport, effective, known, expected = TRANSPORTS[case]
    services = (MASTER_CF + THEIRS).encode()
    found = list_transports(transport, {DEFAULT: effective}, known, services)
    assert found == ([Setting(DEFAULT, expected)] if expected else [])


def test_both_transports_change() -> None:
    both = {DEFAULT: "error", RELAY: "error"}
    found = list_transports("smtp", both, {}, None)
    assert [(each.name, each.value) for each in found] == [(DEFAULT, "smtp"), (RELAY, "relay")]


# The whole relay


def test_all_that_ses_needs_is_in_a_service(relay: FakeRelay) -> None:
    before, main_cf = relay.contents(), relay.settings()
    outcome = relay.present(WEST, transport="ses")
    assert outcome.plan.changed
    assert outcome.reloaded
    changed = {name for name, value in relay.settings().items() if main_cf.get(name) != value}
    assert changed == {"relayhost", DEFAULT, RELAY}
    assert relay.settings() == {**main_cf, "relayhost": key(WEST), DEFAULT: "ses", RELAY: "ses"}
    assert services_of(relay).startswith(MASTER_CF + THEIRS + "ses ")
    assert own(relay)[MAPS] == f"hash:{relay.map}"
    assert own(relay)[CA_FILE] == str(relay.ca_file)
    assert relay.entries()[key(WEST)] == f"{USER}:sesame-1"
    assert not relay.present(WEST, transport="ses").plan.changed
    assert not relay.absent().plan.warnings
    assert relay.contents() == before


def test_the_diff_has_its_lines(relay: FakeRelay) -> None:
    outcome = relay.present(WEST, transport="ses")
    parts = {each["after_header"]: each for each in diff(outcome.plan, "/etc/postfix/main.cf")}
    master_cf = parts["/etc/postfix/master.cf"]
    assert master_cf["before"] == ""
    assert master_cf["after"].splitlines()[0].split() == ["ses", "unix", *"--n--", "smtp"]
    assert "REDACTED" not in master_cf["after"]


def test_from_one_client_to_the_other_and_back(relay: FakeRelay) -> None:
    before = relay.contents()
    relay.present(WEST)
    shared = relay.contents()
    relay.present(WEST, transport="ses")
    assert relay.settings()[DEFAULT] == "ses"
    assert "smtp_sasl_auth_enable" not in relay.settings()
    assert relay.settings()["smtp_sasl_security_options"] == "noanonymous"
    assert own(relay)
    assert not relay.present(WEST, transport="ses").plan.changed
    relay.present(WEST)
    assert not own(relay)
    assert relay.contents()["master.cf"] == before["master.cf"]
    assert relay.settings() == settings_of(shared["main.cf"].decode())
    assert not relay.present(WEST).plan.changed
    relay.absent()
    assert relay.contents() == before


def test_another_name(relay: FakeRelay) -> None:
    before = relay.contents()
    relay.present(WEST, transport="ses")
    relay.present(WEST, transport="amazon")
    assert relay.settings()[DEFAULT] == "amazon"
    assert not own(relay)
    assert own(relay, "amazon")
    assert not relay.present(WEST, transport="amazon").plan.changed
    relay.absent()
    assert relay.contents() == before


def test_senders_come_and_go(relay: FakeRelay) -> None:
    name = "smtp_sender_dependent_authentication"
    before = relay.contents()
    relay.present(WEST, transport="ses", senders=(sender("@a.example", CENTRAL),))
    assert own(relay)[name] == "yes"
    assert name not in relay.settings()
    outcome = relay.present(WEST, transport="ses")
    assert own(relay)[name] == "no"
    # While mail of the sender is on its way, its login is looked up.
    main_cf, master_cf = [file for phase in outcome.plan.transaction.phases for file in phase.files]
    assert isinstance(main_cf, ConfigChange)
    assert isinstance(master_cf, ConfigChange)
    assert (main_cf.name, master_cf.name) == ("main.cf", "master.cf")
    relay.absent()
    assert relay.contents() == before


def test_a_shared_client_without_a_relay_domain(relay: FakeRelay) -> None:
    relay.postfix.main_cf.write_text("relay_transport = relay:[other]\nrelay_domains = x.example\n")
    relay.present(WEST, transport="ses", accept_findings=("other_mail_flow",))
    assert relay.settings()[RELAY] == "relay:[other]"


#: master.cf -> why there is no relay
REFUSED = {
    "a program of somebody's": "ses unix - n n - - pipe argv=/bin/true\n",
    "a client of somebody's": "ses unix - - n - - smtp -o smtp_helo_name=x\n",
}  # fmt: skip


@pytest.mark.parametrize("line", REFUSED.values(), ids=REFUSED)
def test_a_service_of_somebody_elses(relay: FakeRelay, line: str) -> None:
    write_services(relay, MASTER_CF + line)
    before = relay.contents()
    with pytest.raises(RelayError, match=r"master\.cf has a service ses already.*transport"):
        relay.present(WEST, transport="ses")
    assert relay.contents() == before


def test_the_same_service_without_a_record_is_not_ours(relay: FakeRelay) -> None:
    relay.present(WEST, transport="ses")
    services = services_of(relay)
    relay.absent()
    write_services(relay, services)
    relay.present(WEST, transport="ses")
    assert services_of(relay) == services
    relay.absent()
    assert services_of(relay) == services


def test_no_master_cf(relay: FakeRelay) -> None:
    (relay.directory / "master.cf").unlink()
    with pytest.raises(RelayError, match=r"master\.cf does not exist"):
        relay.setup(WEST, transport="ses")


@pytest.mark.parametrize("name", ["ca file", "ca,file", "{ca}"])
def test_a_ca_file_that_master_cf_would_cut(relay: FakeRelay, name: str) -> None:
    with pytest.raises(RelayError, match=r"ca_file .*white space"):
        relay.setup(WEST, transport="ses", ca_file=f"/etc/{name}")


# What somebody else has changed


def test_a_changed_service_is_repaired(relay: FakeRelay) -> None:
    relay.present(WEST, transport="ses")
    good = services_of(relay)
    write_services(relay, good.replace("level=secure", "level=may") + "    -o syslog_name=x\n")
    outcome = relay.present(WEST, transport="ses")
    assert outcome.plan.changed
    assert services_of(relay) == good + "    -o syslog_name=x\n"
    (master_cf,) = [
        each
        for each in diff(outcome.plan, "main.cf")
        if each["before_header"].endswith("master.cf")
    ]
    assert "-o smtp_tls_security_level=may" in master_cf["before"]
    assert not relay.present(WEST, transport="ses").plan.changed
    # Of it, nothing but our own lines is ours; they are still as the last run has written them.
    assert relay.absent().plan.warnings == ()
    assert services_of(relay) == MASTER_CF + THEIRS


def test_a_removed_service_comes_back(relay: FakeRelay) -> None:
    relay.present(WEST, transport="ses")
    good = services_of(relay)
    write_services(relay, MASTER_CF + THEIRS)
    assert relay.present(WEST, transport="ses").plan.changed
    assert services_of(relay) == good
    write_services(relay, MASTER_CF + THEIRS)
    assert relay.absent().plan.warnings == ()
    assert services_of(relay) == MASTER_CF + THEIRS


def test_other_lines_stay(relay: FakeRelay) -> None:
    relay.present(WEST, transport="ses")
    added = "# theirs\nnew unix - - n - - smtp\n"
    write_services(relay, added + services_of(relay))
    assert not relay.present(WEST, transport="ses").plan.changed
    assert relay.absent().plan.warnings == ()
    assert services_of(relay) == added + MASTER_CF + THEIRS


def test_a_service_that_somebody_changed_since_stays(relay: FakeRelay) -> None:
    relay.present(WEST, transport="ses")
    changed = services_of(relay) + "    -o syslog_name=x\n"
    write_services(relay, changed)
    outcome = relay.absent()
    assert "service ses in master.cf was changed by somebody else" in outcome.plan.warnings[0]
    assert services_of(relay) == changed
    assert DEFAULT not in relay.settings()
    assert not relay.record.exists()


def test_a_change_after_the_way_back(relay: FakeRelay) -> None:
    """What somebody adds while there is no service of ours is there before the next one."""
    relay.present(WEST, transport="ses")
    relay.present(WEST)
    theirs = services_of(relay) + "new unix - - n - - smtp\n"
    write_services(relay, theirs)
    relay.present(WEST, transport="ses")
    relay.absent()
    assert services_of(relay) == theirs


def test_the_record(relay: FakeRelay) -> None:
    relay.present(WEST)
    said = json.loads((relay.record / "relay.json").read_text())
    assert said["format"] == 1
    assert "services" not in said
    relay.present(WEST, transport="ses")
    said = json.loads((relay.record / "relay.json").read_text())
    assert said["format"] == 2
    (lines,) = said["services"]["ses"]
    assert services_of(relay).endswith(lines)


def test_wrappermode(relay: FakeRelay) -> None:
    server = SmtpServer(f"email-smtp.{WEST}.amazonaws.com", 465, "wrapper")
    instance = relay.instance()
    logins = (RelayLogin(SmtpLogin(server, USER, "sesame-1")),)
    request = RelayRequest(logins, ca_file=str(relay.ca_file), transport="ses")
    Transaction(instance.tools, instance).run(decide_setup(request, instance))
    assert own(relay)["smtp_tls_wrappermode"] == "yes"
    assert "smtp_tls_wrappermode" not in relay.settings()


def test_a_rotation_finds_its_map(relay: FakeRelay) -> None:
    relay.present(WEST, transport="ses")
    instance = relay.instance()
    assert list(instance.list_password_tables()) == [str(relay.map)]
    assert instance.client_values()[CA_FILE] == str(relay.ca_file)
    assert instance.values[CA_FILE] == ""


def test_the_maps_type_stays(relay: FakeRelay) -> None:
    """After an upgrade, the type that Postfix makes by default may be another one."""
    relay.present(WEST, transport="ses", map_type="btree")
    assert own(relay)[MAPS] == f"btree:{relay.map}"
    assert not relay.present(WEST, transport="ses").plan.changed
    assert relay.present(WEST, transport="ses", map_type="hash").plan.changed
    assert own(relay)[MAPS] == f"hash:{relay.map}"
