# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planners alone: from a snapshot to a plan, without a file, a program or a Postfix."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import (
    PasswordMapError,
    RequestedEntry,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_plan import MapSnapshot
from ansible_collections.mailops.ses.plugins.module_utils._postfix._password_map import read_map
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import TABLE_TYPES
from ansible_collections.mailops.ses.plugins.module_utils._relay._phases import (
    ConfigChange,
    MapChange,
    Phase,
    RecordPlan,
    TransactionPlan,
    order_phases,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._plan import RelayRequest
from ansible_collections.mailops.ses.plugins.module_utils._relay._record import (
    MAIN_CF,
    MAP,
    FileState,
    Record,
    digest,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._removal_plan import plan_removal
from ansible_collections.mailops.ses.plugins.module_utils._relay._rotation_plan import (
    RotatedEntry,
    RotatedMap,
    RotationRequest,
    RotationSnapshot,
    plan_rotation,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import (
    RelayError,
    list_settings,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._setup_plan import plan_setup
from ansible_collections.mailops.ses.plugins.module_utils._relay._snapshot import RelaySnapshot
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import DEFAULTS
from ansible_collections.mailops.ses.tests.support.in_process.fake_relay import (
    USER,
    key,
    login,
    sender,
)

WEST, CENTRAL = "eu-west-1", "eu-central-1"
PATH, ROUTES, KEPT = "/etc/postfix/sasl_passwd", "/etc/postfix/routes", "/etc/postfix/.kept"
HASH = TABLE_TYPES["hash"]
THEIRS = b"[other] them:theirs\n"
LOGIN = f"{USER}:sesame-1"
NEW = "AKIAEXAMPLE000000002"
CLIENT, ROUTING, REST = (
    "what the client needs",
    "the routing",
    "what the client does not need any more",
)


def table(source: bytes | None, path: str = PATH, *, secret: bool = True) -> MapSnapshot:
    """A map whose compiled table has what its source has."""
    listing = None if source is None else frozenset(read_map(source).list_entries())
    has_table = source is not None
    return MapSnapshot(path, HASH, True, secret, source, has_table, listing=listing)


def request(*regions: str, senders: tuple[str, ...] = (), backup: bool = False) -> RelayRequest:
    return RelayRequest(
        tuple(login(region) for region in regions),
        tuple(sender(address, WEST) for address in senders),
        ca_file="/ca.pem",
        backup=backup,
    )


def snapshot(
    requested: RelayRequest, source: bytes | None = None, explicit: dict[str, str] | None = None
) -> RelaySnapshot:
    """A host with these settings in main.cf, and without a relay of ours."""
    explicit = {} if explicit is None else explicit
    settings = list_settings(
        requested.logins,
        requested.senders,
        table=f"hash:{PATH}",
        sender_table=f"hash:{ROUTES}",
        tls_level="secure",
        ca_file="/ca.pem",
    )
    return RelaySnapshot(
        directory="/etc/postfix",
        record_directory="/etc/postfix/.mailops-ses",
        values={**DEFAULTS, **explicit},
        path=PATH,
        type=HASH,
        routes_path=ROUTES,
        main_cf=b"before\n",
        explicit=explicit,
        settings=tuple(settings),
        map=table(source),
        routes=table(None, ROUTES, secret=False) if requested.senders else None,
    )


def follow(now: RelaySnapshot, requested: RelayRequest) -> RelaySnapshot:
    """The host once the relay is set up as planned."""
    plan = plan_setup(requested, now)
    record = plan.transaction.record
    assert plan.map
    assert record
    assert record.after
    explicit = {change.name: change.after or "" for change in plan.settings}
    states = {"main.cf": FileState((digest(b"after\n"),))}
    source = plan.map.edit.source
    states["map"] = record.after.map.file.finish(source)
    return replace(
        now,
        values={**now.values, **explicit},
        explicit={**(now.explicit or {}), **explicit},
        main_cf=b"after\n",
        record=record.after.with_states(states),
        kept={MAIN_CF: b"before\n", **record.keeps},
        map=table(source),
        routes=table(plan.routes.edit.source, ROUTES, secret=False) if plan.routes else None,
        files={PATH: (f"{PATH}.db", PATH), ROUTES: (f"{ROUTES}.db", ROUTES)},
    )


def describe(plan: TransactionPlan) -> list[tuple[str, list[str], bool]]:
    """The phases: name, files, and whether Postfix is reloaded."""
    return [(phase.name, list(map(name, phase.files)), phase.needs_reload) for phase in plan.phases]


def name(change: MapChange | ConfigChange) -> str:
    backup = "+" if change.backup else ""
    return backup + (change.name if isinstance(change, ConfigChange) else change.plan.now.path)


# Set-up


def test_a_first_set_up() -> None:
    requested = request(WEST, senders=("@example.com",), backup=True)
    now = snapshot(requested, THEIRS, {"relayhost": "[old]"})
    plan = plan_setup(requested, now)
    assert describe(plan.transaction) == [
        (CLIENT, [f"+{PATH}", "+main.cf"], True),
        (ROUTING, [ROUTES, "main.cf"], True),
    ]
    assert plan.transaction.locks == (PATH,)
    assert plan.transaction.repairs
    client, routing = plan.transaction.find_config("main.cf")
    assert {change.name for change in routing.settings} == {
        "relayhost",
        "sender_dependent_relayhost_maps",
    }
    assert "smtp_sasl_password_maps" in {change.name for change in client.settings}
    assert plan.values["relayhost"] == key(WEST)
    record = plan.transaction.record
    assert record
    assert (record.previous, record.keeps) == (None, {MAIN_CF: b"before\n", MAP: THEIRS})
    assert record.during
    assert record.after
    assert (record.during.reload_pending, record.after.reload_pending) == (True, False)
    assert record.after.map.keys == {key(WEST): USER, "@example.com": USER}
    assert record.after.settings["relayhost"].before == "[old]"
    assert plan.map
    assert record.during.map.file.wrote == (digest(THEIRS), digest(plan.map.edit.source))
    assert record.during.main_cf == FileState((digest(b"before\n"),))


def test_the_same_snapshot_gives_the_same_plan() -> None:
    requested = request(WEST)
    now = snapshot(requested, THEIRS)
    assert plan_setup(requested, now) == plan_setup(requested, now)
    after = follow(now, requested)
    assert plan_removal(requested, after) == plan_removal(requested, after)


def test_a_relay_that_is_set_up_has_nothing_to_do() -> None:
    requested = request(WEST, senders=("@example.com",))
    after = follow(snapshot(requested, THEIRS), requested)
    plan = plan_setup(requested, replace(after, explicit=None))
    assert not plan.changed
    assert plan.transaction.phases == ()
    assert plan.transaction.clean_up.stale is None


def test_another_password_needs_no_reload() -> None:
    requested = request(WEST)
    after = follow(snapshot(requested, THEIRS), requested)
    changed = RelayRequest((login(WEST, "sesame-2"),), ca_file="/ca.pem")
    plan = plan_setup(changed, after)
    assert describe(plan.transaction) == [(CLIENT, [PATH], False)]
    assert not plan.needs_reload


def test_another_region_leaves_the_old_entry_until_the_clean_up() -> None:
    requested, other = request(WEST), request(CENTRAL, backup=True)
    after = follow(snapshot(requested, THEIRS), requested)
    plan = plan_setup(other, replace(after, settings=snapshot(other).settings))
    assert describe(plan.transaction) == [
        (CLIENT, [f"+{PATH}"], True),
        (ROUTING, ["+main.cf"], True),
    ]
    change = plan.transaction.phases[0].files[0]
    assert isinstance(change, MapChange)
    assert change.plan.edit.entries_removed == ()
    assert plan.entries_removed == (key(WEST),)
    stale = plan.transaction.clean_up.stale
    assert stale
    assert [(entry.key, entry.present) for entry in stale.entries] == [(key(WEST), False)]
    assert (stale.map, stale.backup) == (change.plan, False)
    record = plan.transaction.record
    assert record
    assert record.during
    assert record.after
    assert set(record.during.map.keys) == {key(WEST), key(CENTRAL)}
    assert set(record.after.map.keys) == {key(CENTRAL)}


def test_what_a_killed_run_did_is_reloaded_first() -> None:
    requested = request(WEST)
    after = follow(snapshot(requested), requested)
    assert after.record
    killed = replace(after, record=replace(after.record, reload_pending=True))
    plan = plan_setup(requested, killed)
    assert (plan.was_interrupted, plan.needs_reload) == (True, True)
    assert describe(plan.transaction) == [("what was changed before", [], True)]
    left = plan_setup(requested, replace(after, is_left=True))
    assert (left.was_interrupted, left.needs_reload, left.transaction.phases) == (True, False, ())


def test_files_that_a_killed_first_run_left() -> None:
    requested = request(WEST)
    after = follow(snapshot(requested), requested)
    plan = plan_setup(requested, replace(after, record=None, kept={}, is_left=True))
    assert plan.transaction.record == RecordPlan(None, None, None)
    assert plan.changed


def test_another_map_is_refused() -> None:
    requested = request(WEST)
    after = follow(snapshot(requested), requested)
    with pytest.raises(RelayError, match="Take the relay back first"):
        plan_setup(requested, replace(after, path="/other"))


def test_entries_that_would_be_lost_are_refused() -> None:
    requested = request(WEST)
    now = snapshot(requested)
    alone = replace(table(THEIRS), source=None)
    with pytest.raises(PasswordMapError, match=r"would be lost: \[other\]"):
        plan_setup(requested, replace(now, map=alone))


# Removal


def test_a_removal_byte_for_byte() -> None:
    requested = request(WEST, senders=("@example.com",))
    after = follow(snapshot(requested, THEIRS, {"relayhost": "[old]"}), requested)
    plan = plan_removal(replace(requested, backup=True), after)
    assert plan.main_cf == b"before\n"
    assert describe(plan.transaction) == [
        (ROUTING, ["+main.cf"], True),
        ("what the client needed", ["main.cf"], True),
        ("the tables", [f"+{PATH}"], False),
    ]
    assert plan.map
    assert plan.map.edit.source == THEIRS
    assert plan.removes == (f"{ROUTES}.db", ROUTES)
    assert plan.transaction.locks == (PATH,)
    record = plan.transaction.record
    assert record
    assert record.during
    assert record.during.reload_pending
    assert record.after is None
    assert plan.relayhost == "[old]"


def test_a_removal_beside_changes_of_others() -> None:
    requested = request(WEST)
    after = follow(snapshot(requested, THEIRS, {"relayhost": "[old]"}), requested)
    assert after.map
    more = (after.map.source or b"") + b"[more] me:mine\n"
    now = replace(after, main_cf=b"theirs\n", map=table(more))
    plan = plan_removal(requested, now)
    assert plan.main_cf is None
    assert {change.name: change.after for change in plan.settings}["relayhost"] == "[old]"
    assert plan.map
    assert plan.map.edit.source == THEIRS + b"[more] me:mine\n"
    assert plan.entries_removed == (key(WEST),)


def test_a_map_of_ours_alone_goes() -> None:
    requested = request(WEST)
    after = replace(follow(snapshot(requested), requested), kept_map=KEPT)
    plan = plan_removal(requested, after)
    assert plan.map is None
    assert plan.removes == (f"{PATH}.db", PATH, KEPT)
    assert plan.transaction.maps == ()
    assert plan.transaction.clean_up.left_beside == (PATH,)


def test_a_map_that_can_not_be_reached() -> None:
    requested = request(WEST)
    after = follow(snapshot(requested, THEIRS), requested)
    plan = plan_removal(requested, replace(after, map=None))
    assert (plan.map, plan.transaction.locks) == (None, ())


def test_a_removal_where_nothing_is_ours() -> None:
    requested = request(WEST)
    plan = plan_removal(requested, snapshot(requested))
    assert not plan.changed
    assert plan.transaction.record == RecordPlan(None, None, None)
    assert plan_removal(requested, replace(snapshot(requested), is_left=True)).changed


# Rotation


def rotated(now: MapSnapshot, kept: bytes | None = None, *keys: str) -> RotatedMap:
    entries = (RotatedEntry(PATH, RequestedEntry(each, NEW, "sesame-2")) for each in keys)
    return RotatedMap(now, KEPT, kept, tuple(entries))


def test_a_rotation_and_its_record() -> None:
    requested = request(WEST)
    after = follow(snapshot(requested, THEIRS), requested)
    assert after.map
    assert after.record
    maps = (rotated(after.map, None, key(WEST)),)
    plan = plan_rotation(
        RotationRequest("replaced", maps[0].logins, USER),
        RotationSnapshot(maps, after.record, THEIRS),
    )
    assert (plan.entries_changed, plan.is_pending, plan.needs_reload) == ([key(WEST)], True, False)
    (phase,) = plan.transaction.phases
    (change,) = phase.files
    assert isinstance(change, MapChange)
    assert (change.backup, change.as_kept) == (True, True)
    record = plan.transaction.record
    assert record
    assert record.during
    assert record.after
    assert record.during.map.keys == {key(WEST): USER}
    assert len(record.during.map.file.wrote) == 2
    assert record.after.map.keys == {key(WEST): NEW}
    assert record.after.map.file == FileState((digest(change.plan.edit.source),))
    # Killed before the record was final: the next run finds out, and makes it so.
    killed = rotated(table(change.plan.edit.source), after.map.source)
    again = plan_rotation(
        RotationRequest("replaced", (), USER),
        RotationSnapshot((killed,), record.during, THEIRS),
    )
    assert (again.writes_record, again.changed, again.entries_changed) == (True, True, [])
    assert again.transaction.record == RecordPlan(record.during, None, record.after)


def test_an_end_of_a_rotation() -> None:
    source = f"{key(WEST)} {NEW}:sesame-2\n".encode()
    kept = f"{key(WEST)} {LOGIN}\n".encode()
    now = RotationSnapshot((rotated(table(source), kept),), None)
    confirmed = plan_rotation(RotationRequest("confirmed"), now)
    assert confirmed.transaction.clean_up.removes_last == (KEPT,)
    assert (confirmed.is_pending, confirmed.transaction.phases) == (False, ())
    restored = plan_rotation(RotationRequest("restored"), now)
    assert restored.maps[0].plan.edit.source == kept
    assert restored.transaction.clean_up.removes_last == (KEPT,)
    replaced = plan_rotation(RotationRequest("replaced"), now)
    assert (replaced.changed, replaced.is_pending) == (False, True)


# Phases


@pytest.mark.parametrize(
    ("reload", "pending", "names"),
    [
        (False, False, ["full"]),
        (True, False, ["full"]),
        (True, True, ["what was changed before", "full"]),
    ],
)
def test_the_order_of_phases(reload: bool, pending: bool, names: list[str]) -> None:
    full = Phase("full", (ConfigChange("main.cf", content=b""),), reload)
    phases = order_phases([Phase("empty"), full], reload=reload, pending=pending)
    assert [phase.name for phase in phases] == names
    (first,) = order_phases([Phase("empty")], reload=True, pending=False)
    assert first.needs_reload
    assert order_phases([Phase("empty")], reload=False, pending=False) == ()


def test_a_record_is_data() -> None:
    """Two records with the same content are equal, whatever run made them."""
    requested = request(WEST)
    first, second = (plan_setup(requested, snapshot(requested)) for _number in range(2))
    assert first.transaction.record == second.transaction.record
    assert isinstance(first.transaction.record, RecordPlan)
    assert isinstance(first.transaction.record.after, Record)
