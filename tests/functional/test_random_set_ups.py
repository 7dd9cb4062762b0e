# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_relay`` on random combinations of set-ups: a run that ends well means that mail arrives.

Each is two or three of the set-ups of test_set_ups_deliver.py in one Postfix, drawn by a number.
"""

from __future__ import annotations

import itertools
import random
import typing as t

import pytest
from ansible_collections.mailops.ses.tests.support.postfix.set_up_cases import (
    Case,
    Flow,
    SetUp,
    read_cases,
)
from ansible_collections.mailops.ses.tests.support.postfix.set_up_host import SetUpHost
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

COUNT = 30
#: What a run of every other number is given.
OWN_CLIENT: dict[str, t.Any] = {"transport": "ses"}
#: Where mail does not end at SES with a relay, although it is right.
ELSEWHERE = {"filter-by-lmtp"}
CASES = [case for case in read_cases().values() if case.name not in ELSEWHERE]
FLOW = Flow(("internet",), ("ses",))


def contradict(case: Case, other: Case, options: dict[str, t.Any]) -> bool:
    """Whether mail may miss SES, and nobody can tell before, with both in one Postfix."""
    if not case.set_up.fits(other.set_up):
        return True
    # Postfix's probe finds it, and can't be made.
    if case.needs_proof and other.name.startswith("probes-"):
        return True
    # The level of TLS in main.cf stays, and the filter has no TLS: mail does not pass it before, either.
    is_strict = "smtp_tls_security_level = encrypt" in case.set_up.main_cf
    is_filtered = any("filter" in flow.before for flow in other.flows)
    return options == OWN_CLIENT and is_strict and is_filtered


def combined(number: int, options: dict[str, t.Any]) -> tuple[list[str], SetUp]:
    """Two or three set-ups that don't contradict each other, and their names.

    A set-up that works is more likely to be drawn: two that are refused show no more than one.
    """
    draw = random.Random(number)
    cases = [case for case in CASES if case.options in ({}, options)]
    weights = [1 if case.is_refused else 2 for case in cases]
    chosen: list[Case] = []
    count = draw.choice((2, 3))
    while len(chosen) < count:
        (case,) = draw.choices(cases, weights)
        if not any(
            contradict(one, another, options)
            for other in chosen
            for one, another in itertools.permutations((case, other))
        ):
            chosen.append(case)
    set_up = chosen[0].set_up
    for case in chosen[1:]:
        set_up = set_up.and_also(case.set_up)
    return [case.name for case in chosen], set_up


@pytest.fixture(scope="module", name="host")
def fixture_host(
    tmp_path_factory: pytest.TempPathFactory, authority: CertificateAuthority
) -> t.Iterator[SetUpHost]:
    with SetUpHost(tmp_path_factory.mktemp("set-ups"), authority) as host:
        yield host


@pytest.mark.parametrize("number", range(COUNT))
def test_a_run_that_ends_well_means_that_mail_arrives(host: SetUpHost, number: int) -> None:
    options: dict[str, t.Any] = OWN_CLIENT if number % 2 else {}
    names, set_up = combined(number, options)
    host.configure(set_up)
    before = host.contents()
    predicted = host.set_up(check=True, **options)
    assert host.contents() == before, names
    done = host.set_up(**options)
    if done.get("failed"):
        assert host.contents() == before, names
    else:
        assert "failed" not in predicted, names
        assert host.deliver(FLOW)[-1] == "ses", names
        assert host.set_up(**options).get("changed") is False, names
        way, has_login = host.deliver_to_thief(FLOW)
        assert not has_login, names
        assert "ses" not in way[-1], names
        assert "failed" not in host.set_up(None), names
        assert host.contents() == before, names
