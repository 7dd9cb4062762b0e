# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A relay's run that ends at once at each of its steps: the next run finds its way from there.

The steps are the calls that change files and those of programs. The functional tests do the same
with a real kill at every system call.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t

import pytest
from ansible_collections.mailops.ses.tests.support.fake_relay import (
    FakeRelay,
    key,
    sender,
    trust_any_file,
)

if t.TYPE_CHECKING:
    from pathlib import Path

WEST, CENTRAL = "eu-west-1", "eu-central-1"
KILLED = 99
STEPS = ("chmod", "chown", "fsync", "link", "mkdir", "open", "rename", "rmdir", "unlink", "utime")
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


def killed_at(number: int, run: Run, relay: FakeRelay) -> bool:
    """Run in a process of its own, which ends before its step ``number``; whether it came to it."""
    pid = os.fork()
    if pid:
        _pid, status = os.waitpid(pid, 0)
        assert os.WEXITSTATUS(status) in (0, KILLED)
        return os.WEXITSTATUS(status) == KILLED
    with contextlib.suppress(BaseException):
        _count_steps(number, relay)
        run(relay)
        os._exit(0)
    os._exit(1)


def _count_steps(number: int, relay: FakeRelay) -> None:
    left = [number]

    def step(_name: str = "") -> None:
        left[0] -= 1
        if left[0] < 0:
            os._exit(KILLED)

    def counted(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
            step()
            return function(*args, **kwargs)

        return wrapper

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    relay.postfix.before = step


def deliverable(relay: FakeRelay) -> bool:
    """Whether Postfix finds a login for each server that main.cf names, or is as it was before."""
    settings, entries = relay.settings(), relay.entries()
    servers = settings["relayhost"].split(", ")
    if servers == ["[old.example.net]"]:
        return True
    routes = (
        relay.entries("ses_sender_relayhost")
        if "sender_dependent_relayhost_maps" in settings
        else {}
    )
    return {*servers, *routes} <= set(entries)


@pytest.mark.slow
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
    points = 0
    while True:
        shutil.rmtree(model.directory)
        shutil.copytree(saved, model.directory)
        relay = FakeRelay(model.postfix, model.attributes)
        if not killed_at(points, run, relay):
            break
        assert deliverable(relay)
        relay.postfix.reloads = 0
        was = relay.contents()
        changed = run(relay).plan.changed
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

    def kill(name: str) -> None:
        if name == "postfix reload":
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
