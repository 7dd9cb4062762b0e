# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a map lacks, from what was read of it; no file is read or written here."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import (
    PasswordMapError,
    RequestedEntry,
    RequestedLine,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_plan import (
    MapSnapshot,
    check_source_path,
    find_table_type,
    plan_map,
    rehearse,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import TABLE_TYPES

PATH = "/etc/postfix/sasl_passwd"
SOURCE = b"# by hand\n[a]:587 me:old\n[b]:587 you:other\n"
LISTING = frozenset({b"[a]:587\tme:old", b"[b]:587\tyou:other"})
NOW = MapSnapshot(PATH, TABLE_TYPES["hash"], True, source=SOURCE, has_table=True, listing=LISTING)
SAME, OTHER = RequestedEntry("[a]:587", "me", "old"), RequestedEntry("[a]:587", "me", "new")
GONE = RequestedEntry("[a]:587", present=False)

# What is different from NOW, what is requested -> why the table has to be made, and whether the
# source is written.
STATES: dict[str, tuple[dict[str, t.Any], RequestedEntry, str | None, bool]] = {
    "right": ({}, SAME, None, False),
    "another password": ({}, OTHER, "does not have the changes to its source yet", True),
    "an entry goes": ({}, GONE, "does not have the changes to its source yet", True),
    "no table": ({"has_table": False, "listing": None}, SAME, "is missing", False),
    "an old table": ({"is_older": True}, SAME, "is older than its source", False),
    "unreadable": ({"listing": None}, SAME, "can't be read as a table of type hash", False),
    "other entries": (
        {"listing": LISTING | {b"[c]:587\ta:b"}},
        SAME,
        "has other entries than its source",
        False,
    ),
    "texthash": (
        {"type": TABLE_TYPES["texthash"], "has_table": False, "listing": None},
        OTHER,
        None,
        True,
    ),
    "nothing at all": (
        {"source": None, "has_table": False, "listing": None},
        SAME,
        "is missing",
        True,
    ),
    "nothing, and nothing requested": (
        {"source": None, "has_table": False, "listing": None},
        GONE,
        None,
        False,
    ),
    "a table alone with this entry": (
        {"source": None, "listing": frozenset({b"[a]:587\tme:old"})},
        SAME,
        "is without a source",
        True,
    ),
    "a table alone with other entries, and nothing requested": (
        {"source": None, "listing": frozenset({b"[b]:587\tme:old"})},
        GONE,
        None,
        False,
    ),
}


@pytest.mark.parametrize("case", STATES)
def test_what_a_map_lacks(case: str) -> None:
    different, entry, problem, writes = STATES[case]
    plan = plan_map(replace(NOW, **different), [entry])
    assert (plan.table_problem, plan.writes_source) == (problem, writes)
    assert plan.replaces is bool(problem or writes)
    assert plan.changed is plan.replaces
    assert bool(plan.expected) is plan.replaces
    if different.get("source", SOURCE) is None and writes:
        assert plan.edit.source == b"[a]:587 me:old\n"


def test_what_the_new_table_must_find() -> None:
    assert plan_map(NOW, [OTHER]).expected == {b"[a]:587": b"me:new"}
    # One entry that stays, because an empty table has nothing of what goes either.
    assert plan_map(NOW, [GONE]).expected == {b"[a]:587": None, b"[b]:587": b"you:other"}
    only = replace(NOW, source=b"[a]:587 me:old\n")
    assert plan_map(only, [GONE]).expected == {b"[a]:587": None}
    exclusive = plan_map(NOW, [SAME], exclusive=True)
    assert exclusive.expected == {b"[a]:587": b"me:old", b"[b]:587": None}
    assert plan_map(NOW, [], exclusive=True).expected == {b"[a]:587": None, b"[b]:587": None}
    whole = plan_map(NOW, [], source=b"[b]:587 you:other\n[c]:587 x:y\n")
    assert whole.edit.source == b"[b]:587 you:other\n[c]:587 x:y\n"
    assert whole.expected == {
        b"[a]:587": None,
        b"[b]:587": b"you:other",
        b"[c]:587": b"x:y",
    }


@pytest.mark.parametrize(
    ("has_table", "problem"), [(True, "is without a source"), (False, "is missing")]
)
def test_a_whole_source_where_there_is_none(has_table: bool, problem: str) -> None:
    alone = replace(NOW, source=None, has_table=has_table)
    plan = plan_map(alone, [], source=SOURCE)
    assert (plan.table_problem, plan.writes_source) == (problem, True)


def test_entries_of_a_table_alone_are_not_lost() -> None:
    alone = replace(NOW, source=None)
    listing = LISTING | {b"[c]:587\tx:y\tz", b"no value"}
    with pytest.raises(PasswordMapError) as raised:
        plan_map(replace(alone, listing=listing), [SAME])
    assert str(raised.value) == (
        f"{PATH} is missing, but its table has entries that were not requested and would be lost:"
        f" [b]:587, [c]:587. Bring the source back (postmap -s hash:{PATH}), or remove the entries:"
        " mailops.ses.postfix_sasl_passwd with exclusive=true"
    )
    with pytest.raises(PasswordMapError) as raised:
        plan_map(replace(alone, listing=None), [SAME])
    assert str(raised.value) == (
        f"{PATH} is missing, and its table {PATH}.db can't be read as one of type hash, so that its"
        " entries would be lost. If it is of another type, set map_type to that; if it is damaged,"
        " remove it"
    )
    with pytest.raises(PasswordMapError, match=r"would be lost: \[b\]:587\."):
        plan_map(alone, [GONE])
    assert plan_map(alone, [], exclusive=True).table_problem == "is without a source"
    assert plan_map(alone, [SAME], exclusive=True).table_problem == "is without a source"
    assert plan_map(replace(alone, listing=None), [SAME], exclusive=True).writes_source
    assert alone.content == b"[a]:587 me:old\n[b]:587 you:other\n"
    assert replace(alone, listing=None).content is None
    assert NOW.content == SOURCE


@pytest.mark.parametrize("name", ["wrong_attributes", "is_left_behind"])
def test_other_reasons_for_a_run(name: str) -> None:
    value: t.Any = (PATH,) if name == "wrong_attributes" else True
    plan = plan_map(replace(NOW, **{name: value}), [SAME])
    assert plan.changed
    assert not plan.replaces
    assert getattr(plan, name) == value


def test_tables_of_other_types() -> None:
    plan = plan_map(replace(NOW, other_tables=(f"{PATH}.lmdb",)), [SAME])
    assert not plan.changed
    (warning,) = plan.describe_other_tables()
    assert warning == (
        f"{PATH}.lmdb is a table of another type than hash. It is not kept up to date and may hold"
        " old passwords. Remove it if no setting of Postfix names it"
    )


def test_a_rehearsal_has_no_password() -> None:
    plan = rehearse(plan_map(NOW, [OTHER, RequestedEntry("[b]:587", present=False)]))
    assert plan.edit.source == b"[a]:587 me:PASSWORD\n"
    assert plan.expected == {b"[a]:587": b"me:PASSWORD"}
    colons = rehearse(plan_map(NOW, [RequestedEntry("[a]:587", "me", "se:same")]))
    assert colons.edit.source == b"[a]:587 me:PASSWORD\n"
    odd = rehearse(plan_map(NOW, [RequestedLine("[a]:587", line=b"sesame")]))
    assert odd.edit.source == b"[a]:587 USER:PASSWORD\n"
    routes = replace(NOW, secret=False, source=b"", listing=frozenset())
    line = RequestedLine("@example.com", line=b"[server]:587")
    assert rehearse(plan_map(routes, [line])).edit.source == b"@example.com [server]:587\n"


@pytest.mark.parametrize("path", ["sasl_passwd", "./x"])
def test_a_relative_path(path: str) -> None:
    with pytest.raises(PasswordMapError, match="is not absolute"):
        check_source_path(path)


@pytest.mark.parametrize("suffix", [".db", ".lmdb", ".cdb"])
def test_the_name_of_a_table(suffix: str) -> None:
    with pytest.raises(PasswordMapError, match=f"give the map's source, like {PATH}$"):
        check_source_path(PATH + suffix)
    assert check_source_path(PATH) == PATH


def test_the_type_of_a_table() -> None:
    assert find_table_type(None, "btree").name == "btree"
    assert find_table_type("lmdb", "btree").name == "lmdb"
    with pytest.raises(PasswordMapError, match="is sdbm, which this module can't make") as raised:
        find_table_type(None, "sdbm")
    assert str(raised.value).endswith("Set map_type to one of btree, cdb, hash, lmdb, texthash")


@pytest.mark.parametrize("utf8", [True, False])
def test_letters_that_are_not_ascii(utf8: bool) -> None:
    """Without smtputf8_enable, Postfix folds ASCII only, and reads what is not UTF-8, too."""
    now = replace(NOW, utf8=utf8, source="[\u00c4]:587 me:old\n".encode())
    folded = "[\u00e4]:587"
    assert bool(plan_map(now, [RequestedEntry(folded, "me", "new")]).edit.entries_changed) is utf8
    latin = replace(now, source=b"[\xe4]:587 me:old\n")
    assert bool(latin.parse().first) is not utf8
    held = replace(latin, source=None, listing=frozenset({b"[\xe4]:587\tme:old"})).parse_content()
    assert bool(held.first) is not utf8
    whole = plan_map(now, [], source=b"[\xe4]:587 me:old\n[c]:587 x:y\n")
    assert (whole.expected.get(b"[\xe4]:587") is None) is utf8
    alone = replace(NOW, utf8=utf8, source=None, listing=frozenset({f"{folded}\tme:old".encode()}))
    if utf8:
        assert plan_map(alone, [RequestedEntry("[\u00c4]:587", "me", "old")]).writes_source
    else:
        with pytest.raises(PasswordMapError, match="would be lost"):
            plan_map(alone, [RequestedEntry("[\u00c4]:587", "me", "old")])


def test_the_entries_that_a_map_holds() -> None:
    assert NOW.parse().secret
    routes = replace(NOW, secret=False)
    assert not routes.parse().secret
    assert not routes.parse_content().secret
    assert NOW.parse_content() == NOW.parse()
    assert replace(NOW, source=None, listing=None).parse_content().source == b""
