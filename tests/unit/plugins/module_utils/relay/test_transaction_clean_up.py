# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the transaction removes, records and keeps when all is active."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import RequestedEntry
from ansible_collections.mailops.ses.plugins.module_utils._relay._record import (
    FileState,
    digest,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._rotation import decide_rotation
from ansible_collections.mailops.ses.plugins.module_utils._relay._rotation_plan import (
    RotatedEntry,
    RotationRequest,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import (
    RelayError,
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


@pytest.fixture(name="relay")
def fixture_relay(tmp_path: Path) -> FakeRelay:
    return FakeRelay.make(tmp_path / "etc", map_source=THEIRS)


@pytest.fixture(autouse=True)
def fixture_ca_file(monkeypatch: pytest.MonkeyPatch) -> None:
    trust_any_file(monkeypatch)


def test_what_the_new_main_cf_lacks_is_found_before_it_is_active(relay: FakeRelay) -> None:
    work = relay.setup(WEST)
    before = relay.files()

    def refuse(_now: object, _plan: object, staged: str) -> None:
        with open(staged, encoding="utf-8") as file:
            assert f"relayhost = {key(WEST)}\n" in file.read()
        raise RelayError("it would not work")

    setattr(work.decision, "_check_staged", refuse)  # noqa: B010
    with pytest.raises(RelayError, match="it would not work"):
        work.run()
    assert relay.files() == before


def test_files_of_a_killed_first_run_go_without_a_record(tmp_path: Path) -> None:
    relay = FakeRelay.make(tmp_path / "etc")
    relay.present(WEST)
    active = relay.contents()
    for name in ("relay.json", "main.cf.before"):
        (relay.record / name).unlink()
    (relay.directory / ".master.cf.mailops").mkdir()
    relay.present(WEST)
    assert set(relay.contents()) == {name for name in active if "mailops" not in name}
    assert not (relay.directory / ".master.cf.mailops").exists()


def test_a_removal_takes_what_a_killed_run_left_beside_the_map(tmp_path: Path) -> None:
    relay = FakeRelay.make(tmp_path / "etc")
    relay.present(WEST)
    left = relay.directory / ".sasl_passwd.mailops"
    left.mkdir()
    (left / "0123456789abcdef").write_text("sesame")
    relay.absent()
    assert not left.exists()


def test_what_is_not_utf_8_does_not_keep_stale_entries(relay: FakeRelay) -> None:
    theirs = b"[\xe4] one:theirs\n[\xe4] two:theirs\n"
    relay.map.write_bytes(theirs)
    relay.present(WEST)
    relay.present(CENTRAL)
    assert relay.map.read_bytes().startswith(theirs + f"{key(CENTRAL)} ".encode())
    assert relay.map.read_bytes().count(b"\n") == 3


def test_the_record_has_what_main_cf_is_in_the_end(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has put back the previous main.cf before the run was over."""
    before = relay.postfix.main_cf.read_bytes()
    work = relay.setup(WEST)

    def restore(_paths: object) -> None:
        relay.postfix.main_cf.write_bytes(before)

    monkeypatch.setattr(work.instance, "remove_files", restore)
    work.run()
    record = work.instance.store.load()
    assert record
    assert record.main_cf.wrote == (digest(before),)


def test_a_rotation_keeps_the_previous_map_and_needs_no_record(relay: FakeRelay) -> None:
    text = f"smtp_sasl_password_maps = hash:{relay.map}\n"
    relay.postfix.main_cf.write_text(text)
    entry = RequestedEntry("[other]", "new", "sesame-2")
    kept = relay.directory / ".sasl_passwd.mailops.former"
    for state, source in (("replaced", "[other] new:sesame-2\n"), ("confirmed", None)):
        instance = relay.instance()
        rotated = (RotatedEntry(str(relay.map), entry),) if source else ()
        decision = decide_rotation(RotationRequest(state, rotated, "them"), instance)
        outcome = Transaction(instance.tools, instance).run(decision)
        assert outcome.plan.changed
        assert relay.map.read_text() == "# by hand\n[other] new:sesame-2\n"
        assert kept.exists() is (state == "replaced")
        if source:
            assert kept.read_text() == THEIRS
            assert outcome.backups == (str(kept),)
    assert not relay.record.exists()


def test_a_record_that_a_killed_rotation_left_is_made_final(relay: FakeRelay) -> None:
    relay.present(WEST)
    instance = relay.instance()
    record = instance.store.load()
    assert record is not None
    source = relay.map.read_bytes()
    file = FileState((digest(b"before"), digest(source)))
    instance.store.save(replace(record, map=replace(record.map, file=file)))
    (relay.directory / ".sasl_passwd.mailops").mkdir()
    decision = decide_rotation(RotationRequest("replaced"), instance)
    Transaction(instance.tools, instance).run(decision)
    after = instance.store.load()
    assert after
    assert after.map.file == FileState((digest(source),))
