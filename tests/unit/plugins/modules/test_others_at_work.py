# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody else changes a file while a module runs: neither change is lost."""

from __future__ import annotations

import os
import typing as t

import pytest
from ansible_collections.mailops.ses.tests.support.in_process.relay_host import (
    NAMING,
    THEIRS,
    WEST,
    RelayHost,
    change,
    key,
    remove,
    restore,
    rotate,
    set_up,
    set_up_with_sender,
)

if t.TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.root]

SETTING = "message_size_limit = 1234\n"
ENTRY = "later@example.com later:theirs\n"

Run = t.Callable[[RelayHost], t.Any]
Change = t.Callable[[RelayHost], None]


def set_entry(host: RelayHost) -> t.Any:
    return host.set_entry(key(WEST))


#: The password map before all runs, the runs before, and the one during which something happens.
CASES: dict[str, tuple[str | None, tuple[Run, ...], Run]] = {
    "set up": (None, (), set_up),
    "set up beside others": (THEIRS, (), set_up_with_sender),
    "changed": (THEIRS, (set_up_with_sender,), change),
    "rotated": (THEIRS, (set_up,), rotate),
    "restored": (THEIRS, (set_up, rotate), restore),
    "removed": (None, (set_up,), remove),
    "removed beside others": (THEIRS, (set_up_with_sender,), remove),
    "an entry alone": (THEIRS, (), set_entry),
}


def begin(host: RelayHost, name: str) -> Run:
    """Bring a host into a case, up to the run during which something happens."""
    map_source, earlier, run = CASES[name]
    if map_source:
        host.write_map(map_source)
    for each in earlier:
        each(host)
    return run


def edit_main_cf(host: RelayHost) -> None:
    """As postconf -e does it: a new file with the old name."""
    new = host.directory / "main.cf.tmp"
    text = host.postfix.main_cf.read_text("utf-8")
    new.write_text(text + SETTING, encoding="utf-8")
    os.replace(new, host.postfix.main_cf)


def append_to_map(host: RelayHost) -> None:
    """As a shell's >> does it."""
    with host.map.open("a", encoding="utf-8") as file:
        file.write(ENTRY)


@pytest.fixture(name="host")
def fixture_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RelayHost:
    return RelayHost(tmp_path, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.ends_only
@pytest.mark.parametrize("other", [edit_main_cf, append_to_map])
@pytest.mark.parametrize("name", CASES)
def test_a_change_meanwhile_is_kept(host: RelayHost, name: str, other: Change) -> None:
    """At any moment but between the comparison and the rename, which nothing can come between here."""
    run = begin(host, name)
    before = host.contents()
    run(host)
    wanted = host.settings(), host.entries()
    for number in range(1000):
        host.reset(before)
        reached = False

        def work(reached_number: int, _step: str, number: int = number) -> None:
            nonlocal reached
            if reached_number == number:
                reached = True
                host.at_ease()
                other(host)

        host.at_steps(work, NAMING, after=True)
        result = run(host)
        host.at_ease()
        if not reached:
            break
        assert not result.get("failed"), result["msg"]
        assert result["changed"]
        settings, entries = dict(wanted[0]), dict(wanted[1])
        if other is edit_main_cf:
            settings["message_size_limit"] = "1234"
        else:
            entries["later@example.com"] = "later:theirs"
            # What was appended after the last rename is for its author to compile.
            host.postfix.run_command(["postmap", f"hash:{host.map}"])
        assert (host.settings(), host.entries()) == (settings, entries)
        if run is set_entry:
            continue
        host.absent()
        assert ("message_size_limit" in host.settings()) is (other is edit_main_cf)
        assert ("later@example.com" in host.entries()) is (other is append_to_map)
    assert number > 5


def comment_map(host: RelayHost) -> None:
    with host.map.open("a", encoding="utf-8") as file:
        file.write("# once more\n")


@pytest.mark.parametrize(
    ("name", "other", "file"),
    [
        ("set up", edit_main_cf, "main.cf"),
        ("changed", comment_map, "sasl_passwd"),
        ("rotated", comment_map, "sasl_passwd"),
        ("removed", edit_main_cf, "main.cf"),
        ("an entry alone", comment_map, "sasl_passwd"),
    ],
)
def test_changes_without_end(host: RelayHost, name: str, other: Change, file: str) -> None:
    """The run ends, says what happened, and has undone what it had done."""
    run = begin(host, name)
    before = host.contents()
    ended = False

    def work(_number: int, _step: str) -> None:
        if not ended:
            host.at_ease()
            other(host)
            host.at_steps(work, ("mkdir",))

    host.at_steps(work, ("mkdir",))
    result = run(host)
    ended = True
    assert result["failed"]
    assert f"{host.directory / file} was changed by another process during the run" in result["msg"]
    after = host.contents()
    assert after.pop(file).startswith(before.pop(file))
    assert after == before
    assert run(host)["changed"]
