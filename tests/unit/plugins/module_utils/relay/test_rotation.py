# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import json
import os
import stat
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._files._safe_path import UnsafePathError
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import RequestedEntry
from ansible_collections.mailops.ses.plugins.module_utils._relay._rotation import decide_rotation
from ansible_collections.mailops.ses.plugins.module_utils._relay._rotation_plan import (
    RotatedEntry,
    RotationPlan,
    RotationRequest,
    diff,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import RelayError
from ansible_collections.mailops.ses.plugins.module_utils._relay._transaction import Transaction
from ansible_collections.mailops.ses.tests.support.in_process.fake_relay import (
    USER,
    FakeRelay,
    key,
    trust_any_file,
)

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.mailops.ses.plugins.module_utils._relay._decision import Decision
    from ansible_collections.mailops.ses.plugins.module_utils._relay._instance import Instance

WEST, CENTRAL = "eu-west-1", "eu-central-1"
NEW = "AKIAEXAMPLE000000002"
THEIRS = "# by hand\n[other] them:theirs\n"
OLD_LOGIN, NEW_LOGIN = f"{USER}:sesame-1", f"{NEW}:sesame-2"
KEPT = ".sasl_passwd.mailops.former"


@pytest.fixture(autouse=True)
def fixture_ca_file(monkeypatch: pytest.MonkeyPatch) -> None:
    trust_any_file(monkeypatch)


@pytest.fixture(name="relay")
def fixture_relay(tmp_path: Path) -> FakeRelay:
    """A relay of ours through two regions, in a map that somebody else has begun."""
    relay = FakeRelay.make(tmp_path / "etc", map_source=THEIRS)
    relay.present(WEST, CENTRAL)
    return relay


@pytest.fixture(name="by_hand")
def fixture_by_hand(tmp_path: Path) -> FakeRelay:
    """A relay that somebody else has set up."""
    source = f"{THEIRS}{key(WEST)} {OLD_LOGIN}\n"
    main_cf = f"smtp_sasl_password_maps = proxy:hash:{tmp_path}/by-hand/sasl_passwd\n"
    return FakeRelay.make(tmp_path / "by-hand", main_cf, source)


class Work(t.NamedTuple):
    """What the module does in a run."""

    instance: Instance
    decision: Decision[t.Any, RotationPlan]

    def plan(self) -> RotationPlan:
        return self.decision.plan


def rotation(relay: FakeRelay, state: str = "replaced", *keys: str, **said: t.Any) -> Work:
    """The work of a run; `keys` are of the entries that the action has found with the old key."""
    path = said.pop("path", str(relay.map))
    logins = [RotatedEntry(path, RequestedEntry(each, NEW, "sesame-2")) for each in keys]
    request = RotationRequest(state, tuple(logins), USER)
    instance = relay.instance()
    return Work(instance, decide_rotation(request, instance))


def run(work: Work) -> RotationPlan:
    """What the module does with it."""
    if not work.plan().changed:
        return work.plan()
    return Transaction(work.instance.tools, work.instance).run(work.decision).plan


def replace(relay: FakeRelay, *keys: str) -> RotationPlan:
    return run(rotation(relay, "replaced", *(keys or (key(WEST), key(CENTRAL)))))


def recorded(relay: FakeRelay) -> dict[str, t.Any]:
    content: dict[str, t.Any] = json.loads((relay.record / "relay.json").read_text())
    return content


def present_with_the_new_key(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether postfix_relay has anything to do with the new key."""
    monkeypatch.setattr(
        "ansible_collections.mailops.ses.tests.support.in_process.fake_relay.USER", NEW
    )
    return relay.setup(WEST, CENTRAL, password="sesame-2").plan().changed


# Replaced


def test_the_new_key_is_in_the_place_of_the_old_one(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = relay.contents()
    os.chmod(relay.map, 0o640)
    plan = replace(relay)
    assert (plan.changed, plan.is_pending, plan.needs_reload) == (True, True, False)
    assert plan.entries_changed == [key(WEST), key(CENTRAL)]
    assert relay.entries() == {
        "[other]": "them:theirs",
        key(WEST): NEW_LOGIN,
        key(CENTRAL): NEW_LOGIN,
    }
    assert (relay.directory / KEPT).read_bytes() == before["sasl_passwd"]
    assert stat.S_IMODE((relay.directory / KEPT).stat().st_mode) == 0o600
    assert relay.postfix.reloads == 2  # that of the set-up
    assert set(relay.contents()) == {*before, KEPT}
    assert not present_with_the_new_key(relay, monkeypatch)


def test_a_second_run_has_nothing_to_do(relay: FakeRelay) -> None:
    replace(relay)
    before = relay.files()
    plan = run(rotation(relay))
    assert (plan.changed, plan.is_pending) == (False, True)
    assert relay.files() == before


def test_what_is_confirmed_is_not_even_read_again(relay: FakeRelay) -> None:
    replace(relay)
    plan = run(rotation(relay, "confirmed"))
    assert (plan.changed, plan.is_pending, plan.entries_changed) == (True, False, [])
    before = relay.files()
    assert KEPT not in before
    relay.postfix.calls.clear()
    for state in ("replaced", "confirmed", "restored"):
        plan = run(rotation(relay, state))
        assert (plan.changed, plan.is_pending, plan.maps) == (False, False, ())
    assert relay.files() == before
    assert set(relay.postfix.calls) == {"postconf -x"}


def test_a_map_that_another_user_can_exchange_matters_only_with_the_old_key(
    tmp_path: Path,
) -> None:
    """Nothing is to be written there, so a rotation of the other maps goes on."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    ours = tmp_path / "ours" / "sasl_passwd"
    main_cf = f"smtp_sasl_password_maps = hash:{ours}, hash:{theirs}/sasl_passwd\n"
    relay = FakeRelay.make(tmp_path / "ours", main_cf, f"{key(WEST)} {OLD_LOGIN}\n")
    (theirs / "sasl_passwd").write_text("[other] them:theirs\n")
    theirs.chmod(0o777)
    assert replace(relay, key(WEST)).entries_changed == [key(WEST)]
    with pytest.raises(UnsafePathError, match="chmod o-w"):
        rotation(relay, "replaced", "[other]", path=f"{theirs}/sasl_passwd").plan()


def test_a_relay_that_somebody_else_has_set_up(by_hand: FakeRelay) -> None:
    before = by_hand.contents()
    assert replace(by_hand, key(WEST)).entries_changed == [key(WEST)]
    assert by_hand.entries() == {"[other]": "them:theirs", key(WEST): NEW_LOGIN}
    assert not by_hand.record.exists()
    assert run(rotation(by_hand, "restored")).changed
    assert by_hand.contents() == before


def test_an_entry_that_somebody_changed_meanwhile_stays(relay: FakeRelay) -> None:
    source = relay.map.read_text().replace(f"{key(WEST)} {USER}", f"{key(WEST)} somebody")
    relay.map.write_text(source)
    plan = replace(relay, key(WEST), key(CENTRAL), "[gone]:587")
    assert plan.entries_changed == [key(CENTRAL)]
    assert [warning.partition(" of ")[0] for warning in plan.warnings] == [
        f"the entry {key(WEST)!r}",
        "the entry '[gone]:587'",
    ]
    assert relay.entries()[key(WEST)] == "somebody:sesame-1"
    assert recorded(relay)["map"]["keys"] == {key(WEST): USER, key(CENTRAL): NEW}


def test_an_entry_that_has_the_new_key_already(relay: FakeRelay) -> None:
    replace(relay)
    run(rotation(relay, "confirmed"))
    before = relay.files()
    plan = replace(relay)
    assert (plan.changed, plan.warnings) == (False, ())
    assert relay.files() == before


def test_what_was_kept_first_stays(relay: FakeRelay) -> None:
    replace(relay, key(WEST))
    kept = (relay.directory / KEPT).read_bytes()
    assert replace(relay, key(CENTRAL)).entries_changed == [key(CENTRAL)]
    assert (relay.directory / KEPT).read_bytes() == kept


def test_a_map_that_main_cf_does_not_name(relay: FakeRelay) -> None:
    with pytest.raises(RelayError, match="is in /other, which no smtp_sasl_password_maps"):
        rotation(relay, "replaced", key(WEST), path="/other").plan()


def test_check_mode_and_the_diff(relay: FakeRelay) -> None:
    before = relay.files()
    plan = rotation(relay, "replaced", key(WEST)).plan()
    assert relay.files() == before
    shown = {part["before_header"]: (part["before"], part["after"]) for part in diff(plan)}
    table = "# the table does not have the changes to its source yet"
    assert shown == {
        str(relay.map): (
            f"{key(WEST)} {USER}:PASSWORD\n{table}\n",
            f"{key(WEST)} {NEW}:NEW_PASSWORD\n# the table is up to date\n",
        ),
        str(relay.directory / KEPT): ("", f"# {relay.directory / KEPT} exists\n"),
    }
    replace(relay)
    (part,) = diff(rotation(relay, "confirmed").plan())
    assert part["before"] == f"# {relay.directory / KEPT} exists\n"
    (relay.directory / ".sasl_passwd.mailops").mkdir()
    assert "interrupted" in diff(rotation(relay).plan())[0]["before"]


def test_texthash_needs_a_reload(tmp_path: Path) -> None:
    relay = FakeRelay.make(tmp_path / "etc")
    relay.present(WEST, map_type="texthash")
    assert replace(relay, key(WEST)).needs_reload
    assert relay.postfix.reloads == 3
    # Killed before the reload: what is staged is still there.
    (relay.directory / ".sasl_passwd.mailops").mkdir()
    assert run(rotation(relay)).needs_reload
    assert relay.postfix.reloads == 4
    assert run(rotation(relay, "restored")).needs_reload
    assert relay.postfix.reloads == 5
    assert relay.map.read_text() == f"{key(WEST)} {OLD_LOGIN}\n"


def test_a_reload_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    relay = FakeRelay.make(tmp_path / "etc")
    relay.present(WEST, map_type="texthash")
    before = relay.files()
    relay.postfix.fails["postfix reload"] = (1, b"", b"postfix: fatal: broken\n")
    with pytest.raises(RelayError, match="can't be reloaded"):
        replace(relay, key(WEST))
    assert relay.files() == before
    assert relay.postfix.calls[-2:] == ["postfix reload", "postfix reload"]


# Restored


def test_restored_byte_for_byte(relay: FakeRelay) -> None:
    before = relay.contents()
    replace(relay)
    plan = run(rotation(relay, "restored"))
    assert (plan.changed, plan.is_pending, plan.warnings) == (True, False, ())
    assert set(plan.entries_changed) == {key(WEST), key(CENTRAL)}
    after = relay.contents()
    assert {**after, ".mailops-ses/relay.json": b""} == {**before, ".mailops-ses/relay.json": b""}
    assert json.loads(after[".mailops-ses/relay.json"]) == json.loads(
        before[".mailops-ses/relay.json"]
    )
    assert not relay.setup(WEST, CENTRAL).plan().changed


def test_what_somebody_changed_since_stays(relay: FakeRelay) -> None:
    before = relay.map.read_text()
    replace(relay)
    more = "[more] us:ours\n"
    relay.map.write_text(relay.map.read_text() + more)
    plan = run(rotation(relay, "restored"))
    assert "was changed by somebody else meanwhile" in plan.warnings[0]
    assert relay.map.read_text() == before + more
    assert KEPT not in relay.contents()


def test_the_map_is_as_it_was_already(relay: FakeRelay) -> None:
    before = relay.contents()
    replace(relay)
    for name in ("sasl_passwd", "sasl_passwd.db"):
        (relay.directory / name).write_bytes(before[name])
    assert run(rotation(relay, "restored")).entries_changed == []
    assert KEPT not in relay.contents()


# The relay's record


@pytest.mark.parametrize("state", ["replaced", "confirmed", "restored"])
def test_the_relay_can_still_be_taken_back(tmp_path: Path, state: str) -> None:
    relay = FakeRelay.make(tmp_path / "etc", map_source=THEIRS)
    before = relay.contents()
    relay.present(WEST, CENTRAL)
    replace(relay)
    run(rotation(relay, state))
    assert relay.absent().plan.warnings == ()
    assert relay.contents() == before


def test_an_old_key_of_somebody_else_does_not_come_back_with_the_relay(tmp_path: Path) -> None:
    relay = FakeRelay.make(tmp_path / "etc", map_source=f"{THEIRS}[mine]:587 {OLD_LOGIN}\n")
    relay.present(WEST)
    replace(relay, key(WEST), "[mine]:587")
    run(rotation(relay, "confirmed"))
    assert recorded(relay)["map"]["keys"] == {key(WEST): NEW}
    assert relay.absent().plan.warnings == ()
    assert relay.entries() == {"[other]": "them:theirs", "[mine]:587": NEW_LOGIN}


def test_the_record_of_another_map_stays(relay: FakeRelay) -> None:
    other = relay.directory / "other"
    other.write_text(f"[mine]:587 {OLD_LOGIN}\n")
    relay.postfix.run_command(["postmap", f"hash:{other}"])
    main_cf = relay.postfix.main_cf
    main_cf.write_text(main_cf.read_text().replace("_maps = ", f"_maps = hash:{other} static:a:b "))
    before = recorded(relay)
    plan = run(rotation(relay, "replaced", "[mine]:587", path=str(other)))
    assert [each.table for each in plan.maps] == [f"hash:{other}"]
    assert relay.entries("other") == {"[mine]:587": NEW_LOGIN}
    assert recorded(relay) == before


# Killed, or failed, on the way


class StopError(BaseException):
    """What ends a run at some call, without any of its clean-up: see killed_at()."""


def killed_at(work: Work, number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run it and stop it for good before its rename or unlink with that number.

    Nothing is cleaned up, because nothing that changes something works any more.
    """
    calls = 0
    with monkeypatch.context() as patch:
        for name in ("rename", "unlink", "mkdir", "rmdir", "chmod", "link", "open"):
            original = getattr(os, name)

            def call(
                *args: t.Any, _original: t.Any = original, _name: str = name, **kwargs: t.Any
            ) -> t.Any:
                nonlocal calls
                calls += _name in ("rename", "unlink") and calls < number
                if calls >= number and not (_name == "open" and args[1] == os.O_RDONLY):
                    raise StopError
                return _original(*args, **kwargs)

            patch.setattr(os, name, call)
        try:
            run(work)
        except StopError:
            return True
    return False


@pytest.mark.parametrize("state", ["replaced", "restored"])
def test_killed_anywhere_and_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    keys = [key(WEST), key(CENTRAL)]
    number = 1
    while True:
        relay = FakeRelay.make(tmp_path / str(number), map_source=THEIRS)
        empty = relay.contents()
        relay.present(WEST, CENTRAL)
        old = relay.map.read_bytes()
        if state == "restored":
            replace(relay)
        work = rotation(relay, state, *(keys if state == "replaced" else []))
        if not killed_at(work, number, monkeypatch):
            break
        for each in keys:
            assert relay.entries()[each] in (OLD_LOGIN, NEW_LOGIN)
        found = [each for each in keys if USER in relay.map.read_text()]
        again = run(rotation(relay, state, *(found if state == "replaced" else [])))
        login = NEW_LOGIN if state == "replaced" else OLD_LOGIN
        assert {relay.entries()[each] for each in keys} == {login}
        assert again.is_pending is (state == "replaced")
        if state == "restored":
            assert relay.map.read_bytes() == old
        assert recorded(relay)["map"]["keys"] == dict.fromkeys(keys, login.partition(":")[0])
        assert not run(rotation(relay, state)).changed
        if state == "restored":
            assert not relay.setup(WEST, CENTRAL).plan().changed
        assert relay.absent().plan.warnings == ()
        assert relay.contents() == empty
        number += 1
    assert number > 6


def test_a_rename_that_fails_leaves_all_as_it_was(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = relay.files()
    rename = os.rename

    def fail(source: str, target: str, **directories: int) -> None:
        if target == f"{relay.map.name}.db":
            raise OSError(errno.EIO, "Input/output error", target)
        rename(source, target, **directories)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="Input/output error"):
        replace(relay)
    assert relay.files() == before
