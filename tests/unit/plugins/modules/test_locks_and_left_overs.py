# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules rely on beside their transaction: locks, what they read under them, whole tables.

Each test is for a mistake that no other test noticed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.in_process.relay_host import (
    CENTRAL,
    THEIRS,
    WEST,
    RelayHost,
    change,
    key,
    killed,
    remove,
    restore,
    rotate,
    set_up,
)

pytestmark = [pytest.mark.root]

Run = t.Callable[[RelayHost], t.Any]
FORMER = ".sasl_passwd.mailops.former"
LOCKS = (".main.cf.mailops.lock", ".sasl_passwd.mailops.lock")


def set_entry(host: RelayHost) -> t.Any:
    return host.set_entry(key(CENTRAL))


@pytest.fixture(name="host")
def fixture_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RelayHost:
    host = RelayHost(tmp_path, monkeypatch, capsys)
    host.write_map(THEIRS)
    return host


class Waiting:
    """A run in a process of its own that has to wait for a lock, which somebody else holds."""

    def __init__(self, host: RelayHost, run: Run, lock: str) -> None:
        self._file = open(host.directory / lock, "w", encoding="ascii")  # noqa: SIM115
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._pid = os.fork()
        if not self._pid:
            self._file.close()  # or it would hold the lock itself
            status = 1
            with contextlib.suppress(BaseException):
                status = 0 if run(host)["changed"] else 2
            os._exit(status)

    def is_waiting(self) -> bool:
        """Whether it does not end, given the time for ten runs."""
        time.sleep(0.5)
        return os.waitpid(self._pid, os.WNOHANG) == (0, 0)

    def end(self) -> bool:
        """Release the lock, and wait for the end; whether the run has changed something."""
        self._file.close()
        return os.waitpid(self._pid, 0)[1] == 0


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("run", [change, rotate, restore, remove])
def test_a_run_waits_for_each_lock(host: RelayHost, run: Run, lock: str) -> None:
    host.present(WEST)
    if run is restore:
        rotate(host)
    before = host.contents()
    waiting = Waiting(host, run, lock)
    assert waiting.is_waiting()
    assert host.contents() == before
    assert waiting.end()
    assert host.contents() != before
    assert not run(host)["changed"]


@pytest.mark.parametrize("run", [set_up, remove])
def test_settings_are_read_again_under_the_lock(host: RelayHost, run: Run) -> None:
    """Somebody changes main.cf while the run waits."""
    original = host.settings()
    host.present(WEST)
    host.map.write_text(THEIRS, encoding="utf-8")  # for the run to have something to do
    waiting = Waiting(host, run, LOCKS[0])
    assert waiting.is_waiting()
    main_cf = host.postfix.main_cf
    text = main_cf.read_text("utf-8")
    main_cf.write_text(text.replace(f"relayhost = {key(WEST)}\n", "") + "new = 1\n", "utf-8")
    assert waiting.end()
    assert host.settings()["new"] == "1"
    if run is remove:
        del original["relayhost"]  # which somebody has removed, so it does not come back
        assert host.settings() == {**original, "new": "1"}
    else:
        assert host.settings()["relayhost"] == key(WEST)
        assert not run(host)["changed"]


@pytest.mark.parametrize("confirmed", [False, True])
def test_removal_after_a_rotation_leaves_no_password(host: RelayHost, confirmed: bool) -> None:
    """The former map, with the old password, goes with the relay."""
    before = host.contents()
    host.present(WEST)
    rotate(host)
    assert (host.directory / FORMER).exists()
    if confirmed:
        host.rotate("confirmed")
    host.absent()
    assert not (host.directory / FORMER).exists()
    assert host.contents() == before


@pytest.mark.parametrize("run", [restore, remove])
def test_a_table_without_one_of_the_previous_entries(host: RelayHost, run: Run) -> None:
    """A postmap that leaves an entry out, without an error, where the whole source comes back."""
    host.present(WEST)
    if run is restore:
        rotate(host)
    before = host.contents()
    real = host.postfix.run_command

    def forgetful(args: list[str], **kwargs: t.Any) -> tuple[int, bytes, bytes]:
        answer = real(args, **kwargs)
        if args[0].endswith("postmap") and args[-2] not in ("-s", "-"):
            table = Path(f"{args[-1].partition(':')[2]}.db")
            table.write_text(table.read_text("utf-8").replace(THEIRS, ""), encoding="utf-8")
        return answer

    host.postfix.run_command = forgetful  # type: ignore[method-assign]
    result = run(host)
    assert result["failed"]
    assert "does not have the entry '[other.example.net]:587'" in result["msg"]
    assert host.contents() == before
    host.postfix.run_command = real  # type: ignore[method-assign]
    assert run(host)["changed"]
    assert host.entries()["[other.example.net]:587"] == "them:theirs"


@pytest.mark.slow
@pytest.mark.ends_only
@pytest.mark.parametrize(
    ("run", "following"),
    [(set_entry, set_entry), (change, change), (remove, remove), (change, remove)],
)
def test_left_overs_beside_a_table_that_is_elsewhere(
    host: RelayHost, tmp_path: Path, run: Run, following: Run
) -> None:
    """Source and table are each made beside their targets; the next run looks in both directories."""
    tables = tmp_path / "tables"
    tables.mkdir(mode=0o755)
    table = host.map.with_name("sasl_passwd.db")
    if following is not run:  # a removal that has no map to bring back
        host.map.unlink()
        table.unlink()
    host.present(WEST)
    table.rename(tables / table.name)
    table.symlink_to(tables / table.name)
    content, before = (tables / table.name).read_bytes(), host.contents()
    left = set()
    for number in range(1000):
        host.reset(before)
        (tables / table.name).touch(mode=0o600)
        (tables / table.name).write_bytes(content)
        table.unlink()
        table.symlink_to(tables / table.name)
        if not killed(host, run, number):
            break
        found = tuple(
            (folder / ".sasl_passwd.mailops").exists() for folder in (host.directory, tables)
        )
        left.add(found)
        if not any(found):
            continue
        assert following(host)["changed"]
        assert not list(tmp_path.rglob(".sasl_passwd.mailops"))
        assert not following(host)["changed"]
    assert {(True, True), (False, True)} <= left
