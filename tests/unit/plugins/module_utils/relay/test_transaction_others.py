# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The transaction while others are at work, its locks and its clean-up, and what a run costs."""

from __future__ import annotations

import contextlib
import os
import typing as t
from dataclasses import dataclass

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._files._safe_path import (
    ChangedError,
    SecretFileError,
)
from ansible_collections.mailops.ses.plugins.module_utils._files._secret_file import hold_lock
from ansible_collections.mailops.ses.plugins.module_utils._postfix import _map_plan
from ansible_collections.mailops.ses.plugins.module_utils._relay import (
    _removal,
    _setup,
    _setup_plan,
    _transaction,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._decision import Decision
from ansible_collections.mailops.ses.plugins.module_utils._relay._phases import (
    CleanUp,
    TransactionPlan,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._transaction import Transaction
from ansible_collections.mailops.ses.tests.support.in_process.fake_relay import (
    FakeRelay,
    key,
    trust_any_file,
)

if t.TYPE_CHECKING:
    from pathlib import Path


WEST, CENTRAL = "eu-west-1", "eu-central-1"
THEIRS = "# by hand\n[other] them:theirs\n"

Counts = t.Dict[str, int]  # noqa: UP006  # Python 3.7


@pytest.fixture(name="relay")
def fixture_relay(tmp_path: Path) -> FakeRelay:
    return FakeRelay.make(tmp_path / "etc", map_source=THEIRS)


@pytest.fixture(autouse=True)
def fixture_ca_file(monkeypatch: pytest.MonkeyPatch) -> None:
    trust_any_file(monkeypatch)


@dataclass(frozen=True)
class Empty:
    """A plan of nothing but a transaction."""

    transaction: TransactionPlan
    changed: bool = True


# The comparison with what was read, and the locks


def test_what_somebody_appends_while_the_lock_is_waited_for(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def lock_late(path: str, seconds: float) -> t.Iterator[None]:
        with hold_lock(path, seconds):
            relay.map.write_text(f"{relay.map.read_text()}[late] them:late\n")
            yield

    work = relay.setup(WEST)
    monkeypatch.setattr(_transaction, "hold_lock", lock_late)
    work.run()
    assert set(relay.entries()) == {"[other]", "[late]", key(WEST)}


def test_what_somebody_adds_to_master_cf_while_the_lock_is_waited_for(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = relay.directory / "master.cf"
    before, theirs = path.read_text(), "their unix - n n - - pipe argv=/bin/true\n"

    @contextlib.contextmanager
    def lock_late(path_: str, seconds: float) -> t.Iterator[None]:
        with hold_lock(path_, seconds):
            if theirs not in path.read_text():
                path.write_text(path.read_text() + theirs)
            yield

    work = relay.setup(WEST, transport="ses")
    monkeypatch.setattr(_transaction, "hold_lock", lock_late)
    work.run()
    assert path.read_text().startswith(f"{before}{theirs}ses ")
    relay.absent()
    assert path.read_text() == before + theirs


@pytest.mark.parametrize("times", [1, 2, 100])
def test_what_somebody_adds_to_master_cf_once_it_is_read(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Nothing is lost: the run begins again, and gives up if that does not end."""
    path = relay.directory / "master.cf"
    before, numbers = relay.contents(), iter(range(times))
    added: list[str] = []
    stage_maps = Transaction._stage_maps

    def add_a_service(*arguments: t.Any) -> t.Any:
        if next(numbers, None) is not None:
            added.append(f"their{len(added)} unix - n n - - pipe argv=/bin/true\n")
            path.write_text(path.read_text() + added[-1])
        return stage_maps(*arguments)

    monkeypatch.setattr(Transaction, "_stage_maps", add_a_service)
    work = relay.setup(WEST, transport="ses")
    if times == 100:
        with pytest.raises(ChangedError, match=r"master\.cf was changed by another process"):
            work.run()
        expected = {**before, "master.cf": before["master.cf"] + "".join(added).encode()}
        assert relay.contents() == expected
        return
    work.run()
    services = before["master.cf"].decode() + "".join(added)
    assert path.read_text().startswith(f"{services}ses ")
    relay.absent()
    assert path.read_text() == services


def test_the_lock_of_another_map_is_taken_if_that_turns_out_to_be_needed(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No relay at first, so the removal needs no map; then another run has set one up."""
    work = relay.removal()
    relay.present(WEST)
    held: list[str] = []

    @contextlib.contextmanager
    def note(path: str, seconds: float) -> t.Iterator[None]:
        with hold_lock(path, seconds):
            held.append(os.path.basename(path))
            yield

    monkeypatch.setattr(_transaction, "hold_lock", note)
    outcome = Transaction(work.instance.tools, work.instance).run(work.decision)
    assert held == ["sasl_passwd"]
    assert outcome.plan.changed
    assert not relay.record.exists()


def test_other_maps_without_end(relay: FakeRelay) -> None:
    """Each time that it reads, the run needs the lock of another map."""
    numbers = iter(range(100))

    def make_plan(_snapshot: int) -> Empty:
        return Empty(TransactionPlan(CleanUp(""), locks=(f"{relay.map}{next(numbers)}",)))

    instance = relay.instance()
    reads = iter(range(100))
    decision = Decision(instance.tools, None, read=lambda: next(reads), make_plan=make_plan)
    with pytest.raises(ChangedError) as raised:
        Transaction(instance.tools).run(decision)
    assert str(raised.value) == (
        "other runs of this collection have changed the tables of this relay again and again. Wait"
        " until they are over, then run the task again. Nothing was changed"
    )


def test_a_clean_up_that_fails_is_a_warning(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.present(WEST)
    work = relay.setup(CENTRAL)
    warnings: list[str] = []
    monkeypatch.setattr(work.instance.places, "_warn", warnings.append)

    def fail(*_args: object) -> None:
        raise SecretFileError("no way")

    monkeypatch.setattr(Transaction, "_drop_entries", fail)
    outcome = work.run()
    assert outcome.plan.changed
    assert relay.settings()["relayhost"] == key(CENTRAL)
    (warning,) = warnings
    assert warning == (
        "the relay is set up, but what it does not need any more can't be removed: no way. The next"
        " run will do it"
    )
    monkeypatch.undo()
    trust_any_file(monkeypatch)
    assert relay.present(CENTRAL).plan.changed
    assert set(relay.entries()) == {"[other]", key(CENTRAL)}
    assert not relay.present(CENTRAL).plan.changed


class Failing:
    """Raises ChangedError at its first calls, so many of them, or at all."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.calls = 0

    def __call__(self, *_args: object) -> None:
        self.calls += 1
        if self.calls <= self.times:
            raise ChangedError("main.cf was changed by another process")


def test_somebody_else_changes_a_file_now_and_again(relay: FakeRelay) -> None:
    before = set(relay.files())
    prove = Failing(4)
    outcome = relay.setup(WEST, backup=True).run(prove)
    assert prove.calls == 5
    assert outcome.reloaded
    assert outcome.plan.entries_removed == ()
    backups = {os.path.basename(backup) for backup in outcome.backups}
    assert len(outcome.backups) == len(backups) == 2
    record = {name for name in relay.files() if name.startswith(".mailops-ses/")}
    assert set(relay.files()) - before == backups | record
    assert not relay.present(WEST).plan.changed


def test_somebody_else_changes_a_file_without_end(relay: FakeRelay) -> None:
    before = relay.files()
    prove = Failing(100)
    with pytest.raises(ChangedError, match="changed by another process"):
        relay.setup(WEST, backup=True).run(prove)
    assert prove.calls == 5
    assert relay.files() == before


@pytest.mark.parametrize("times", [1, 4, 100])
def test_somebody_else_changes_a_file_during_the_clean_up(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """It is planned and done again; and what the first plan did is what was done."""
    relay.present(WEST)
    work = relay.setup(CENTRAL)
    warnings: list[str] = []
    remove = Failing(times)
    monkeypatch.setattr(work.instance.places, "_warn", warnings.append)
    monkeypatch.setattr(work.instance, "remove_files", remove)
    outcome = work.run()
    assert outcome.plan.entries_removed == (key(WEST),)
    assert [change.name for change in outcome.plan.settings] == ["relayhost"]
    assert relay.settings()["relayhost"] == key(CENTRAL)
    assert len(warnings) == (times == 100)
    assert relay.present(CENTRAL).plan.changed is (times == 100)
    assert not relay.present(CENTRAL).plan.changed


def test_a_run_that_finds_everything_done_under_the_lock(relay: FakeRelay) -> None:
    work = relay.setup(WEST, backup=True)
    relay.present(WEST)
    before = relay.files()
    outcome = work.run()
    assert (outcome.plan.changed, outcome.reloaded, outcome.backups) == (False, False, ())
    assert relay.files() == before


def test_a_backup_of_a_map_that_only_the_clean_up_changes(relay: FakeRelay) -> None:
    relay.present(WEST, CENTRAL)
    before = relay.map.read_bytes()
    outcome = relay.setup(WEST, backup=True).run()
    (main_cf, table) = outcome.backups
    assert os.path.basename(main_cf).startswith("main.cf.")
    with open(table, "rb") as file:
        assert file.read() == before
    assert key(CENTRAL) not in relay.entries()


# What a run costs


@pytest.fixture(name="counts")
def fixture_counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """How often something is called."""
    found: Counts = {}

    def count(module: t.Any, name: str) -> None:
        real = getattr(module, name)

        def counting(*args: t.Any, **kwargs: t.Any) -> t.Any:
            found[name] = found.get(name, 0) + 1
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, counting)

    for module, name in (
        (_setup, "plan_setup"),
        (_setup, "read_for_setup"),
        (_removal, "plan_removal"),
        (_removal, "read_for_removal"),
        (_map_plan, "edit"),
        (_map_plan, "replace_source"),
        (_setup_plan, "plan_map"),
    ):
        count(module, name)
    return found


def test_a_changed_run_plans_once_and_reads_again_under_the_lock(
    relay: FakeRelay, counts: Counts
) -> None:
    relay.present(WEST)
    assert counts == {"plan_setup": 1, "read_for_setup": 2, "plan_map": 1, "edit": 1}
    counts.clear()
    assert relay.present(WEST, password="sesame-2").plan.changed
    assert counts == {"plan_setup": 1, "read_for_setup": 2, "plan_map": 1, "edit": 1}
    counts.clear()
    assert not relay.present(WEST, password="sesame-2").plan.changed
    assert counts == {"plan_setup": 1, "read_for_setup": 1, "plan_map": 1, "edit": 1}
    counts.clear()
    relay.absent()
    assert counts == {"plan_removal": 1, "read_for_removal": 2, "replace_source": 1}


def test_a_run_plans_again_only_if_something_has_changed(relay: FakeRelay, counts: Counts) -> None:
    work = relay.setup(WEST)
    relay.map.write_text(f"{THEIRS}[late] them:late\n")
    work.run()
    assert counts == {"plan_setup": 2, "read_for_setup": 2, "plan_map": 2, "edit": 2}
    assert set(relay.entries()) == {"[other]", "[late]", key(WEST)}
