# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A relay's run that ends at once at each of its steps: the next run finds its way from there.

The steps are the calls that change files and those of programs, of which those alone count before
which something has changed: from the same files, the next run does the same. The functional tests
do the same with real kills at system calls.
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
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import FakePostfix
from ansible_collections.mailops.ses.tests.support.in_process.fake_relay import (
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

    def state(self) -> list[tuple[object, ...]]:
        """All that a run leaves behind: each file and folder, and what the processes have read."""
        found: list[tuple[object, ...]] = []
        for top in (self.relay.directory, self.read):
            for path in sorted([top, *top.rglob("*")]):
                status = path.lstat()
                content = b"" if path.is_dir() else path.read_bytes()
                kept = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns)
                found.append((path, content, status.st_ino, status.st_nlink, *kept))
        return found

    def check(self) -> None:
        """Whichever processes have read which of the two: mail to SES finds its login."""
        main_cf = (self.read / "main.cf").read_text("utf-8")
        then = FakeRelay(FakePostfix(self.read, main_cf), self.relay.attributes)
        for routing, client in itertools.product((then, self.relay), repeat=2):
            assert deliverable(routing, client)


def steps_of(run: Run, trial: Trial) -> list[int]:
    """The numbers of the steps before which something has changed since the one before."""
    changed: list[int] = []
    states: list[object] = [None]

    def step(number: int) -> None:
        state = trial.state()
        if state != states[-1]:
            states.append(state)
            changed.append(number)

    with stepwise(trial, step):
        run(trial.relay)
    return changed


def kill(number: int, run: Run, trial: Trial) -> None:
    """Run in a process of its own, which ends before its step ``number``."""

    def step(reached: int) -> None:
        if reached == number:
            os._exit(KILLED)

    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException), stepwise(trial, step):
            run(trial.relay)
        os._exit(1)
    assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == KILLED


@contextlib.contextmanager
def stepwise(trial: Trial, step: t.Callable[[int], None]) -> t.Iterator[None]:
    """Call ``step`` with its number before each step."""
    real = {name: getattr(os, name) for name in STEPS}
    numbers = itertools.count()

    def use(functions: t.Mapping[str, t.Any]) -> None:
        for name, function in functions.items():
            setattr(os, name, function)

    def reach(program: str = "") -> None:
        use(real)
        step(next(numbers))
        if program:
            trial.noticed(program)
        use(counted)

    def counting(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
            reach()
            return function(*args, **kwargs)

        return wrapper

    counted = {name: counting(function) for name, function in real.items()}
    trial.relay.postfix.before = reach
    use(counted)
    try:
        yield
    finally:
        use(real)
        trial.relay.postfix.before = lambda _program: None


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

    def begin() -> None:
        shutil.rmtree(model.directory)
        shutil.copytree(saved, model.directory)
        trial.start(saved)

    def again(program: str) -> None:
        trial.check()
        trial.noticed(program)

    begin()
    points = steps_of(run, trial)
    finished: set[object] = set()
    for point in points:
        begin()
        kill(point, run, trial)
        trial.check()
        was = relay.contents()
        relay.postfix.before = again
        changed = run(relay).plan.changed
        trial.check()
        relay.postfix.before = lambda _program: None
        assert relay.contents() == wanted
        assert changed or was == wanted
        # From the same files, the runs after that do the same.
        files = frozenset((name, *about[:2]) for name, about in relay.files().items())
        if files not in finished:
            finished.add(files)
            # What the killed run put in force, the next one has had reloaded, if that run had not.
            assert not run(relay).plan.changed
            relay.absent()
            assert relay.contents() == original
    print(f"{case}: killed at {len(points)} points, and then {len(finished)} different outcomes")
    assert len(points) > 20


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
    assert (outcome.plan.settings, outcome.plan.was_interrupted) == ((), True)
    assert outcome.reloaded
    assert not run(relay).plan.changed
