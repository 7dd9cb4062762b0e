# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules whose run fails, or is interrupted, at any of its steps: all of it is done, or nothing.

What could not be cleaned up afterwards is a warning, and the next run does it.
"""

from __future__ import annotations

import errno
import os
import signal
import typing as t

import pytest
from ansible_collections.mailops.ses.tests.support.in_process.relay_host import (
    NAMING,
    THEIRS,
    USER,
    WEST,
    RelayHost,
    change,
    confirm,
    interrupt,
    key,
    killed,
    remove,
    rotate,
    set_up,
    set_up_with_sender,
)

if t.TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.root]

Run = t.Callable[[RelayHost], t.Any]


def set_entry(host: RelayHost) -> t.Any:
    return host.set_entry(key(WEST))


#: The password map before all runs, the runs before, and the one that something happens to.
CASES: dict[str, tuple[str | None, tuple[Run, ...], Run]] = {
    "set up": (None, (), set_up),
    "set up beside others": (THEIRS, (), set_up_with_sender),
    "changed": (THEIRS, (set_up_with_sender,), change),
    "rotated": (THEIRS, (set_up,), rotate),
    "confirmed": (THEIRS, (set_up, rotate), confirm),
    "removed": (None, (set_up_with_sender,), remove),
    "removed beside others": (THEIRS, (set_up_with_sender,), remove),
    "set up beside a table": (None, (), set_up),
    "removed beside a table": (None, (set_up,), remove),
    "an entry alone": (THEIRS, (), set_entry),
}
OF_RELAYS = [name for name, (_source, _earlier, run) in CASES.items() if run is not set_entry]


@pytest.fixture(name="host")
def fixture_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RelayHost:
    return RelayHost(tmp_path, monkeypatch, capsys)


class Case:
    """A case on a host, which it can begin again and again."""

    def __init__(self, host: RelayHost, name: str) -> None:
        self.host = host
        map_source, earlier, self.run = CASES[name]
        if map_source:
            host.write_map(map_source)
        if "beside a table" in name:
            host.set_up_by_hand()
        self.original = host.contents()
        for run in earlier:
            run(host)
        self.before = host.contents()
        self.run(host)
        self.after = host.contents()
        self.begin()
        self.check_what_follows()

    def begin(self) -> None:
        self.host.reset(self.before)

    def check_what_follows(self) -> None:
        """The next run leaves what it would without all that, and nothing is lost for the last."""
        self.run(self.host)
        assert self.host.contents() == self.after
        assert not [each for each in self.host.warnings if "The next run" in each]
        assert not self.run(self.host)["changed"]
        if self.run is set_entry:
            return
        self.host.absent()
        assert self.host.contents() == self.original
        assert not self.host.absent()["changed"]


@pytest.mark.slow
@pytest.mark.ends_only
@pytest.mark.parametrize("name", CASES)
def test_a_step_that_fails(host: RelayHost, name: str) -> None:
    case = Case(host, name)
    failed = warned = 0
    for number in range(1000):
        case.begin()
        reached = False

        def fail(reached_number: int, step: str, number: int = number) -> None:
            nonlocal reached
            if reached_number == number:
                reached = True
                raise OSError(errno.EIO, os.strerror(errno.EIO), f"step {step}")

        host.at_steps(fail)
        result = case.run(host)
        host.at_ease()
        if not reached:
            break
        if result.get("failed"):
            failed += 1
            assert host.contents() == case.before, result["msg"]
        elif host.contents() != case.after:
            warned += 1
            (warning,) = host.warnings
            assert "Input/output error" in warning
            assert "The next run will do it" in warning
            case.check_what_follows()
    print(f"{name}: {failed} failures, {warned} warnings")
    assert failed
    assert warned


@pytest.mark.slow
@pytest.mark.ends_only
@pytest.mark.parametrize("name", CASES)
def test_an_interrupt_at_a_step(
    host: RelayHost, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C right after a call, before the run can note that it was made."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    case = Case(host, name)
    states = {"before": 0, "after": 0}
    try:
        for number in range(1000):
            case.begin()
            reached = False

            def press(reached_number: int, _step: str, number: int = number) -> None:
                nonlocal reached
                if reached_number == number:
                    reached = True
                    interrupt()

            host.at_steps(press, NAMING, after=True)
            try:
                case.run(host)
            except KeyboardInterrupt:
                assert reached
            host.at_ease()
            if not reached:
                break
            found = host.contents()
            assert found in (case.before, case.after)
            states["after" if found == case.after else "before"] += 1
    finally:
        signal.signal(signal.SIGINT, former)
    print(f"{name}: {states}")
    assert states["after"]


def test_a_relay_that_is_active_keeps_its_record(host: RelayHost) -> None:
    """A first run that can't clean up after itself: what there was before is not lost."""
    before = host.contents()

    def fail(_number: int, step: str) -> None:
        if step == "rmdir":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    host.at_steps(fail)
    result = host.present(WEST)
    host.at_ease()
    assert (result["changed"], result["reloaded"]) == (True, True)
    assert host.settings()["relayhost"] == key(WEST)
    assert host.entries()[key(WEST)].startswith(USER)
    for name in (".main.cf.mailops", ".sasl_passwd.mailops"):
        assert any(f"{name} can't be removed" in warning for warning in host.warnings)
    assert host.absent()["changed"]
    assert host.contents() == before


@pytest.mark.slow
@pytest.mark.ends_only
@pytest.mark.parametrize("name", OF_RELAYS)
def test_removal_after_a_killed_run(host: RelayHost, name: str) -> None:
    """Whatever it has left, the staged password map above all, goes at the first removal."""
    case = Case(host, name)
    states = []
    for number in range(1000):
        case.begin()
        if not killed(host, case.run, number):
            break
        # The names in staging directories are random.
        states.append([len(host.contents()), *sorted(host.contents().values())])
        if states[-1:] == states[-2:-1]:
            continue
        changed = host.contents() != case.original
        assert host.absent()["changed"] is changed
        assert host.contents() == case.original
        assert not host.absent()["changed"]
    print(f"{name}: killed {number} times")
    assert number > 2


class Disk:
    """What of a run's changes would still be there if the machine went down, by its calls."""

    def __init__(self, host: RelayHost, monkeypatch: pytest.MonkeyPatch) -> None:
        #: Inodes: what is on the disk as it is now, and the directories that have changed since.
        self.synced: set[int] = set()
        self.changed: set[int] = set()
        self._host = host
        host.postfix.before = self.look
        for name in ("rename", "unlink", "rmdir", "mkdir", "fsync"):
            monkeypatch.setattr(os, name, getattr(self, name)(getattr(os, name)))

    def look(self, program: str) -> None:
        """Whether Postfix is told only of what is safe on the disk."""
        if program == "postfix reload":
            folders = (os.stat(self._host.directory).st_ino, os.stat(self._host.record).st_ino)
            assert not self.changed & set(folders)

    def _changing(self, real: t.Callable[..., t.Any], directory: str) -> t.Callable[..., t.Any]:
        def changing(*args: t.Any, **directories: int) -> None:
            real(*args, **directories)
            self.changed.add(os.fstat(directories[directory]).st_ino)

        return changing

    def fsync(self, real: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def syncing(descriptor: int) -> None:
            real(descriptor)
            self.synced.add(os.fstat(descriptor).st_ino)
            self.changed.discard(os.fstat(descriptor).st_ino)

        return syncing

    def rename(self, real: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        changing = self._changing(real, "dst_dir_fd")

        def renaming(source: str, target: str, **directories: int) -> None:
            staged = os.stat(source, dir_fd=directories["src_dir_fd"]).st_ino
            assert staged in self.synced, f"{target} is replaced by what is not on the disk yet"
            changing(source, target, **directories)

        return renaming

    def mkdir(self, real: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        return self._changing(real, "dir_fd")

    unlink = rmdir = mkdir


@pytest.mark.parametrize("name", CASES)
def test_nothing_comes_back_when_the_machine_goes_down(
    host: RelayHost, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New files are on the disk before they are renamed, and directories after each change."""
    case = Case(host, name)
    case.begin()
    disk = Disk(host, monkeypatch)
    case.run(host)
    assert host.contents() == case.after
    assert disk.synced
    folders = [host.directory, *(path for path in host.directory.rglob("*") if path.is_dir())]
    assert not [path for path in folders if path.stat().st_ino in disk.changed]


def set_up_texthash(host: RelayHost) -> t.Any:
    return host.present(WEST, map_type="texthash")


#: What runs before, and the run that reloads Postfix.
RELOADS: dict[str, tuple[tuple[Run, ...], Run]] = {
    "set up": ((), set_up),
    "changed": ((set_up,), change),
    "rotated": ((set_up_texthash,), rotate),
    "removed": ((set_up,), remove),
}


@pytest.mark.parametrize("answer", [(1, b"", b""), (1, b"", b"fatal: no sesame"), (-9, b"", b"")])
@pytest.mark.parametrize("name", RELOADS)
def test_a_postfix_that_does_not_say_whether_it_runs(
    host: RelayHost, name: str, answer: tuple[int, bytes, bytes]
) -> None:
    """It is no stopped Postfix, which needs no reload: nothing is changed until it can be told."""
    earlier, run = RELOADS[name]
    for each in earlier:
        each(host)
    before = host.contents()
    host.postfix.fails["postfix status"] = answer
    result = run(host)
    assert result["failed"]
    assert "whether Postfix is running" in result["msg"]
    assert "Nothing was changed" in result["msg"]
    assert host.contents() == before
    host.postfix.fails.clear()
    reloads = host.postfix.reloads
    assert run(host)["reloaded"]
    assert host.postfix.reloads > reloads
    assert not run(host)["changed"]


@pytest.mark.parametrize("was_running", [True, False])
@pytest.mark.parametrize("name", RELOADS)
def test_a_stopped_postfix(host: RelayHost, name: str, was_running: bool) -> None:
    """The lock's file stays when Postfix is stopped; where there is none, it has never run."""
    earlier, run = RELOADS[name]
    host.postfix.running = False
    if not was_running:
        host.lock.unlink()
        host.postfix.fails["master -t"] = (1, b"", b"")
    for each in earlier:
        each(host)
    result = run(host)
    assert (result["changed"], result["reloaded"]) == (True, False)
    assert not run(host)["changed"]
