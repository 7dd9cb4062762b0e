# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_relay`` killed anywhere in its transaction, on a Postfix that runs and has mail.

Before each system call of its own that changes a name in the configuration directory, before one in
six of the others that change something, and around every program that it runs. What happens within
a postmap is test_password_map_crash.py's.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.postfix.left_behind import Seen
from ansible_collections.mailops.ses.tests.support.postfix.relay_trial import (
    ACCOUNTS,
    CENTRAL,
    WEST,
    Point,
    ProgramPoint,
    Scenario,
    Trial,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import ScratchPostfix
from ansible_collections.mailops.ses.tests.support.running.module_runner import ModuleServer
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

#: Postfix takes a rest of up to 2 s where main.cf was changed a moment ago; more of them fit in.
WORKERS = 2
#: What there is in memory when main.cf is new: after a time processes end, and new ones read it.
ENDED = ("smtp", "trivial-rewrite")
SCENARIOS = {
    "set up": Scenario(None, CENTRAL),
    "another region and account": Scenario(WEST, CENTRAL),
    "taken back": Scenario(WEST, None),
    "set up with a client of its own": Scenario(None, CENTRAL, "ses"),
    "taken back with its client": Scenario(WEST, None, "ses"),
}


def make_trials(
    stack: contextlib.ExitStack,
    folder: Path,
    ses: SesStandIn,
    authority: CertificateAuthority,
    *,
    scenario: str,
    count: int,
) -> list[Trial]:
    """Trials of one scenario, each with a Postfix of its own that runs until the stack ends."""
    for account in ACCOUNTS.values():
        ses.accounts.add(account)
    hosts = {
        f"email-smtp.{listener.region}.amazonaws.com": listener.address
        for listener in ses.listeners
    }
    seen = Seen()
    return [
        Trial(
            stack.enter_context(ScratchPostfix(hosts)),
            stack.enter_context(ModuleServer("postfix_relay")),
            authority.ca_file,
            folder / f"worker-{number}",
            SCENARIOS[scenario],
            seen,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_anywhere(
    tmp_path: Path, regional_ses: SesStandIn, authority: CertificateAuthority, scenario: str
) -> None:
    """The old relay or the new one, and Postfix goes on; and then the new one, in force.

    And no mixture of processes that have read the old main.cf and the new gives SES mail without a
    login.
    """
    started = time.monotonic()
    now: dict[int, Point] = {}

    def work(number: int) -> None:
        for point in points[number::WORKERS]:
            now[number] = point
            trials[number].check(point)
        for name in ENDED[number::WORKERS]:
            now[number] = point = reload_point(points)
            trials[number].check_mixture(point, name)
        del now[number]

    with contextlib.ExitStack() as stack:
        trials = make_trials(
            stack, tmp_path, regional_ses, authority, scenario=scenario, count=WORKERS
        )
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as executor:
            list(executor.map(Trial.prepare, trials))
            points = trials[0].points()
            running = [executor.submit(work, number) for number in range(WORKERS)]
        for point in now.values():
            print(f"failed when killed at {point}")
        for each in running:
            each.result()
        kinds = collections.Counter(type(point).__name__ for point in points)
        seen = trials[0].seen
        states = {trial.described(state) for trial in trials for state in trial.tried}
        print(
            f"{dict(kinds)} leave {seen.count('left')} different things, {len(states)} states of Postfix,"
            f" and then {seen.count('finished')}; {time.monotonic() - started:.0f} s"
        )
        print(*sorted(states), sep="\n")
        assert min(kinds.values()) >= 8
        assert len(states) >= 3
        for trial in trials:
            # Never without a login, which SES would refuse and Postfix would bounce.
            assert {each.status for each in trial.postfix.deliveries()} <= {"sent", "deferred"}
    assert not [each for each in regional_ses.sessions if refused(each.replies)]
    arrived = collections.Counter(message.mail_from for message in regional_ses.messages)
    assert set(arrived.values()) <= {1}
    if SCENARIOS[scenario].after:
        assert set(arrived) == {sender for trial in trials for sender in trial.sent}


def reload_point(points: t.Iterable[Point]) -> ProgramPoint:
    """Before the reload: main.cf is new, and no process knows."""
    around = [point for point in points if isinstance(point, ProgramPoint)]
    return [each for each in around if (each.program, each.when) == ("postfix", "before")][-1]


def refused(replies: t.Iterable[str]) -> bool:
    """Whether SES was given mail without a login, or without TLS."""
    return any(reply.startswith("530 ") for reply in replies)
