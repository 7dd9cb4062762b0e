# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A relay's run that ends at once at each of its steps: the next run finds its way from there.

The steps are the calls that change files and those of programs. The functional tests do the same
with real kills at system calls.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.fake_postfix import FakePostfix
from ansible_collections.mailops.ses.tests.support.fake_relay import (
    FakeRelay,
    key,
    sender,
    trust_any_file,
)

WEST, CENTRAL = "eu-west-1", "eu-central-1"
KILLED = 99
STEPS = (
    *("chmod", "chown", "fchmod", "fchown", "fsync", "link", "mkdir", "open", "rename"),
    *("rmdir", "unlink", "utime"),
)
THEIRS = "[other] them:theirs\n"

Run = t.Callable[[FakeRelay], t.Any]


def to_west(relay: FakeRelay) -> t.Any:
    return relay.present(WEST)


def to_central(relay: FakeRelay) -> t.Any:
    return relay.present(CENTRAL, senders=(sender("@example.com", WEST),))


def rotated(relay: FakeRelay) -> t.Any:
    return relay.present(WEST, password="sesame-2")


def away(relay: FakeRelay) -> t.Any:
    return relay.absent()


# what there was before, and the run that is killed
SCENARIOS: dict[str, tuple[t.Sequence[Run], Run, str | None]] = {
    "set up": ([], to_west, None),
    "set up beside others": ([], to_central, THEIRS),
    "rotation": ([to_west], rotated, THEIRS),
    "another region": ([to_west], to_central, None),
    "senders dropped": ([to_west, to_central], to_west, THEIRS),
    "taken back": ([to_central], away, THEIRS),
    "taken back altogether": ([to_central], away, None),
}


@pytest.fixture(autouse=True)
def fixture_ca_file(monkeypatch: pytest.MonkeyPatch) -> None:
    trust_any_file(monkeypatch)


@dataclass(frozen=True)
class Trial:
    """A relay on a Postfix whose processes have read what is in the folder `read`, or read it now."""

    relay: FakeRelay
    read: Path

    def start(self, directory: Path) -> None:
        """Have all processes read this configuration."""
        shutil.rmtree(self.read, ignore_errors=True)
        shutil.copytree(directory, self.read)

    def noticed(self, program: str) -> None:
        """What comes of a program that is about to be run."""
        if program == "postfix reload":
            self.start(self.relay.directory)

    def check(self) -> None:
        """Whichever processes have read which of the two: mail to SES finds its login."""
        main_cf = (self.read / "main.cf").read_text("utf-8")
        then = FakeRelay(FakePostfix(self.read, main_cf), self.relay.attributes)
        for routing, client in itertools.product((then, self.relay), repeat=2):
            assert deliverable(routing, client)


def killed_at(number: int, run: Run, trial: Trial) -> bool:
    """Run in a process of its own, which ends before its step ``number``; whether it came to it."""
    pid = os.fork()
    if pid:
        _pid, status = os.waitpid(pid, 0)
        assert os.WEXITSTATUS(status) in (0, KILLED)
        return os.WEXITSTATUS(status) == KILLED
    with contextlib.suppress(BaseException):
        _count_steps(number, trial)
        run(trial.relay)
        os._exit(0)
    os._exit(1)


def _count_steps(number: int, trial: Trial) -> None:
    left = [number]

    def step(name: str = "") -> None:
        left[0] -= 1
        if left[0] < 0:
            os._exit(KILLED)
        if name:
            steps = {each: getattr(os, each) for each in STEPS}
            for each in STEPS:
                setattr(os, each, real[each])
            trial.noticed(name)
            for each, function in steps.items():
                setattr(os, each, function)

    def counted(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
            step()
            return function(*args, **kwargs)

        return wrapper

    real = {name: getattr(os, name) for name in STEPS}
    for name, function in real.items():
        setattr(os, name, counted(function))
    trial.relay.postfix.before = step


def deliverable(routing: FakeRelay, client: FakeRelay) -> bool:
    """Whether mail that is routed by the one goes nowhere that the other does not log in to."""
    settings, entries = client.settings(), client.entries()
    servers = routing.settings()["relayhost"].split(", ")
    if servers == ["[old.example.net]"]:
        return True
    if settings.get("smtp_sasl_auth_enable") != "yes":
        return False
    routes = routing.entries("ses_sender_relayhost")
    if "sender_dependent_relayhost_maps" not in routing.settings():
        routes = {}
    if routes and settings.get("smtp_sender_dependent_authentication") != "yes":
        return False
    return {*servers, *routes} <= set(entries)


@pytest.mark.slow
@pytest.mark.ends_only
@pytest.mark.parametrize("case", SCENARIOS)
def test_a_run_that_is_killed_at_any_step(tmp_path: Path, case: str) -> None:
    before, run, map_source = SCENARIOS[case]
    model = FakeRelay.make(tmp_path / "etc", map_source=map_source)
    original = model.contents()
    for earlier in before:
        earlier(model)
    saved = tmp_path / "saved"
    shutil.copytree(model.directory, saved)
    run(model)
    wanted = model.contents()
    trial = Trial(FakeRelay(model.postfix, model.attributes), tmp_path / "read")
    relay = trial.relay
    points = 0
    while True:
        shutil.rmtree(model.directory)
        shutil.copytree(saved, model.directory)
        trial.start(saved)
        if not killed_at(points, run, trial):
            break
        trial.check()

        def again(program: str) -> None:
            trial.check()
            trial.noticed(program)

        was = relay.contents()
        relay.postfix.before = again
        changed = run(relay).plan.changed
        trial.check()
        relay.postfix.before = lambda _program: None
        assert relay.contents() == wanted
        assert changed or was == wanted
        # What the killed run put in force, the next one has had reloaded, if that run had not.
        assert not run(relay).plan.changed
        relay.absent()
        assert relay.contents() == original
        points += 1
    print(f"{case}: killed at {points} points")
    assert points > 25


@pytest.mark.parametrize("run", [to_central, away])
def test_main_cf_in_force_and_not_reloaded_is_reloaded_by_the_next_run(
    tmp_path: Path, run: Run
) -> None:
    relay = FakeRelay.make(tmp_path / "etc")
    relay.present(WEST)
    reloads = itertools.count(1)

    def kill(name: str) -> None:
        if name == "postfix reload" and next(reloads) == 2:
            os._exit(KILLED)

    pid = os.fork()
    if not pid:
        relay.postfix.before = kill
        run(relay)
        os._exit(0)
    assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == KILLED
    assert relay.settings()["relayhost"] != key(WEST)
    outcome = run(relay)
    assert (outcome.plan.settings, outcome.plan.interrupted) == ((), True)
    assert outcome.reloaded
    assert not run(relay).plan.changed
