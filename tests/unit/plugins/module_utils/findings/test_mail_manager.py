# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An audit of a relay through Mail Manager: judged as one through SES, but for the form of its login."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings._report import report_on_all
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.plugins.module_utils._ses._candidate_digests import Candidates
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    MAIL_MANAGER,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_survey import (
    KEY,
    LINE,
    VERSION_2,
    FakeSurvey,
    fake_survey,
    found,
)

HOST, USERNAME, PASSWORD = (MAIL_MANAGER[name] for name in ("endpoint", "username", "password"))
SERVER = f"[{HOST}]:587"


@pytest.fixture(name="relay")
def fixture_relay(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeSurvey]:
    with fake_survey(monkeypatch) as relay:
        relay.set(relayhost=SERVER)
        yield relay


def entries(relay: FakeSurvey) -> list[dict[str, t.Any]]:
    """The entries as postfix_relay_info returns them."""
    postfix = Postfix(relay.postfix, str(relay.folder))
    (instance,) = report_on_all(postfix, Candidates()).instances
    shown: list[dict[str, t.Any]] = instance["entries"]
    return shown


# A chosen password may look like anything.
@pytest.mark.parametrize("password", [PASSWORD, SECRET_KEY, VERSION_2, "12345678"])
def test_a_relay_that_is_right(relay: FakeSurvey, password: str) -> None:
    relay.map(f"{SERVER} {USERNAME}:{password}\n")
    assert found(relay) == {}
    (entry,) = entries(relay)
    assert entry["system"] == "mail_manager"
    assert (entry["key"], entry["username"], entry["region"]) == (SERVER, USERNAME, None)
    assert entry["servers"] == [{"host": HOST, "port": 587, "tls": "starttls"}]


def test_an_access_key(relay: FakeSurvey) -> None:
    relay.map(f"{SERVER} {ACCESS_KEY}:{PASSWORD}\n")
    assert found(relay) == {"username_not_ingress_endpoint": "critical"}
    (finding,) = relay.findings()
    assert f"the user name {ACCESS_KEY} is an access key ID" in finding.message


def test_no_login(relay: FakeSurvey) -> None:
    """As for SES: the mail is sent without one."""
    assert found(relay) == {"no_entry": "critical", "unused_entry": "notice"}


def test_what_keeps_postfix_from_logging_in(relay: FakeSurvey) -> None:
    relay.map(f"{SERVER} {USERNAME}:{PASSWORD}\n")
    relay.set(relayhost=SERVER, smtp_sasl_auth_enable="no")
    assert found(relay)["auth_disabled"] == "critical"
    relay.set(relayhost=SERVER, default_transport="error: no mail")
    assert found(relay)["route_elsewhere"] == "critical"


def test_tls_from_the_first_byte(relay: FakeSurvey) -> None:
    """Whether Postfix has it or not: there is nobody to speak it."""
    for mode in ("yes", "no"):
        relay.set(relayhost=f"[{HOST}]:465", smtp_tls_wrappermode=mode)
        relay.map(f"[{HOST}]:465 {USERNAME}:{PASSWORD}\n")
        assert found(relay) == {"wrappermode": "critical"}
        (finding,) = relay.findings()
        assert "Mail Manager does not support TLS from the first byte" in finding.message
    relay.set(relayhost=SERVER, smtp_tls_wrappermode="yes")
    relay.map(f"{SERVER} {USERNAME}:{PASSWORD}\n")
    (finding,) = relay.findings()
    assert "expects STARTTLS" in finding.message


def test_an_entry_that_is_not_used(relay: FakeSurvey) -> None:
    relay.set()
    relay.map(f"{LINE}{SERVER} {USERNAME}:{PASSWORD}\n")
    assert found(relay) == {"unused_entry": "notice"}


@pytest.mark.parametrize(
    ("line", "system"),
    [
        (LINE, "iam"),
        (f"{KEY} {USERNAME}:{PASSWORD}\n", "iam"),
        (f"@example.com {USERNAME}:Sesame=8|\n", "mail_manager"),
        (f"@example.com {ACCESS_KEY}:{PASSWORD}\n", "iam"),
        (f"[smtp.example.com]:587 me:{VERSION_2}\n", "iam"),
        (f"[smtp.example.com]:587 me:{PASSWORD}\n", None),
    ],
)
def test_the_system_of_an_entry(relay: FakeSurvey, line: str, system: str | None) -> None:
    relay.map(line)
    (entry,) = entries(relay)
    assert entry["system"] == system
