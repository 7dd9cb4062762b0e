# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_relay`` on set-ups as people have them, each on a running Postfix: where does mail go?

Each is tried in check mode, for real, a second time, and taken back, with messages in between that
sendmail hands in. A run that ends well means that they reach SES, with our user and inside verified
TLS; a refused one, that not a byte has changed. What must happen is in tests/support/postfix.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.mailops.ses.tests.support.postfix.set_up_cases import (
    Case,
    Flow,
    read_cases,
)
from ansible_collections.mailops.ses.tests.support.postfix.set_up_host import (
    OTHER_REGION,
    SetUpHost,
)
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

CASES = read_cases()
PREDICTED = ("changed", "settings", "relayhost", "path", "table", "reloaded")


@pytest.fixture(scope="module", name="host")
def fixture_host(
    tmp_path_factory: pytest.TempPathFactory, authority: CertificateAuthority
) -> t.Iterator[SetUpHost]:
    with SetUpHost(tmp_path_factory.mktemp("set-ups"), authority) as host:
        yield host


def assert_delivered(host: SetUpHost, flows: t.Sequence[Flow], when: str) -> None:
    """Each message goes where it must ``before`` there is a relay, or ``after``."""
    ways = {flow: tuple(host.deliver(flow)) for flow in flows}
    assert ways == {flow: getattr(flow, when) for flow in flows}


def assert_keeps_the_login(host: SetUpHost, flow: Flow) -> None:
    """A man in the middle gets neither the login nor the message."""
    way, has_login = host.deliver_to_thief(flow)
    assert not has_login
    assert "ses" not in way[-1]


def assert_named(names: t.Sequence[str], message: str) -> None:
    """The error names one of these settings."""
    assert any(name in message for name in names), message


def is_found(finding: str, findings: t.Sequence[dict[str, t.Any]]) -> bool:
    """Whether a finding has this ID, or this in its message."""
    return any(finding == each["id"] or finding in each["message"] for each in findings)


@pytest.mark.parametrize("name", CASES)
def test_a_set_up(host: SetUpHost, name: str) -> None:
    case = CASES[name]
    host.configure(case.set_up)
    before = host.contents()
    assert_delivered(host, case.flows, "before")
    predicted = host.set_up(check=True, **case.options)
    assert host.contents() == before
    done = host.set_up(**case.options)
    if case.is_refused:
        assert_refused(host, case, before, predicted, done)
    else:
        assert_set_up(host, case, before, predicted, done)


def assert_refused(
    host: SetUpHost,
    case: Case,
    before: dict[str, object],
    predicted: dict[str, t.Any],
    done: dict[str, t.Any],
) -> None:
    assert done.get("failed"), "the relay was set up"
    assert host.contents() == before
    if not case.needs_proof:
        assert predicted.get("msg") == done["msg"]
    assert_named(case.names, done["msg"])
    assert_delivered(host, case.flows, "before")
    # A relay by hand may well give its login away.
    if "unverified" not in case.flows[-1].before[-1]:
        assert_keeps_the_login(host, case.flows[-1])


def assert_set_up(
    host: SetUpHost,
    case: Case,
    before: dict[str, object],
    predicted: dict[str, t.Any],
    done: dict[str, t.Any],
) -> None:
    assert "failed" not in done, done["msg"]
    assert {each: predicted[each] for each in PREDICTED} == {each: done[each] for each in PREDICTED}
    assert done["changed"]
    there = host.contents()
    again = host.set_up(**case.options)
    assert again.get("changed") is False, again
    assert host.contents() == there
    assert_delivered(host, case.flows, "after")
    assert_keeps_the_login(host, case.flows[0])
    assert_other_lines_kept(host, case, done["settings"])
    findings = host.info()
    assert [each for each in findings if each["severity"] == "critical"] == []
    assert case.finding is None or is_found(case.finding, findings), findings

    if case.added_later:
        host.add_to_main_cf(case.added_later)
        other = host.set_up(OTHER_REGION)
        assert other.get("changed"), other
        assert_delivered(host, case.flows, "after")
    predicted = host.set_up(None, check=True)
    done = host.set_up(None)
    assert "failed" not in done, done
    assert predicted["settings"] == done["settings"]
    if case.added_later:
        main_cf = host.etc / "main.cf"
        assert main_cf.read_text("utf-8").endswith(case.added_later)
        main_cf.write_text(main_cf.read_text("utf-8").replace(case.added_later, ""), "utf-8")
    assert host.contents() == before
    assert_delivered(host, case.flows, "before")


def assert_other_lines_kept(host: SetUpHost, case: Case, settings: t.Container[str]) -> None:
    """Lines of main.cf that are none of the relay's settings are still there."""
    lines = (host.etc / "main.cf").read_text("utf-8").splitlines()
    for line in host.filled_in(case.set_up.main_cf).splitlines():
        is_continued = line[:1].isspace()
        if not is_continued and line.partition("=")[0].strip() not in settings:
            assert line in lines


#: What goes wrong with a relay by hand is what the run is refused for.
BROKEN = [name for name, case in CASES.items() if case.is_broken]


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_refused_would_not_work(host: SetUpHost, name: str) -> None:
    """Set up by hand in spite of it, mail misses SES, or other mail what it had before."""
    case = CASES[name]
    host.configure(case.set_up.with_relay_by_hand())
    flows = case.flows
    ways = {flow: tuple(host.deliver(flow)) for flow in flows}
    to_ses = replace(flows[0], after=(*flows[0].before[:-1], "ses"))
    good = {flows[0]: to_ses.after}
    for flow in flows[1:]:
        good[flow] = tuple("ses" if each == "internet" else each for each in flow.before)
    assert ways != good


#: Where a relay by hand has a finding.
FOUND = [name for name, case in CASES.items() if case.is_refused and case.finding]


@pytest.mark.parametrize("name", FOUND)
def test_the_audit_finds_what_is_refused(host: SetUpHost, name: str) -> None:
    """With a relay by hand, which has the same fault."""
    case = CASES[name]
    host.configure(case.set_up.with_relay_by_hand())
    findings = host.info()
    assert case.finding is not None
    assert is_found(case.finding, findings), findings
