# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of accepted findings: what is read, and every mistake in it that is refused."""

from __future__ import annotations

import datetime
import fnmatch

import pytest
from ansible_collections.mailops.ses.plugins.plugin_utils._audit_accept import (
    Acceptance,
    AcceptError,
    read_acceptances,
)

ENTRY = """
- finding: table_stale
  hosts: mx*
  reason: "Recompiled on Monday: see the ticket"
  until: 2030-12-31
"""


def find_hosts(pattern: str) -> list[str]:
    if pattern.startswith("~["):
        raise ValueError("a malformed regular expression")
    return fnmatch.filter(["mx1", "mx2", "db"], pattern)


def test_an_entry() -> None:
    (found,) = read_acceptances(ENTRY, find_hosts)
    assert found == Acceptance(
        "table_stale",
        frozenset(["mx1", "mx2"]),
        "Recompiled on Monday: see the ticket",
        datetime.date(2030, 12, 31),
    )


def test_a_date_may_be_quoted() -> None:
    assert read_acceptances(ENTRY.replace("2030-12-31", "'2030-12-31'"), find_hosts) == (
        read_acceptances(ENTRY, find_hosts)
    )


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "[]"])
def test_a_file_without_entries(text: str) -> None:
    assert read_acceptances(text, find_hosts) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "this is not YAML (line 1)"),
        ("- a: !vault x\n  b: *c", "this is not YAML (line 2)"),
        ("finding: table_stale", "this must be a list of entries, each with finding, hosts"),
        ("text", "this must be a list of entries"),
        ("- table_stale", "entry 1 must be a dictionary with finding, hosts, reason, until"),
        (f"{ENTRY}  host: mx1\n", "entry 1 has the unknown field 'host'. There are finding"),
        (f"{ENTRY}- [1]", "entry 2 must be a dictionary"),
        (f"{ENTRY}  until: 2031-01-01\n", "line 2 has the field 'until' twice"),
        (f"{ENTRY}  [1]: 2\n", "this is not YAML"),
        (ENTRY.replace("table_stale", "stale"), "entry 1 has the unknown finding 'stale'"),
        (ENTRY.replace("table_stale", "[table_stale]"), "entry 1 needs a finding, a text"),
        (ENTRY.replace("mx*", "''"), "entry 1 needs a hosts, a text that is not empty"),
        (ENTRY.replace("mx*", "web*"), "'web*' in hosts, which matches no host of the inventory"),
        (ENTRY.replace("mx*", "'~[mx'"), "entry 1 has the malformed pattern '~[mx' in hosts"),
        (ENTRY.replace("2030-12-31", "2030-02-30"), "entry 1 has '2030-02-30' for until"),
        (ENTRY.replace("2030-12-31", "31.12.2030"), "Give one like 2030-12-31"),
        (ENTRY.replace("2030-12-31", "20301231"), "which is no date"),
        (ENTRY.replace("2030-12-31", "2030-12-31 12:00:00"), "which is no date"),
        (ENTRY.replace("  until: 2030-12-31\n", ""), "entry 1 needs a until"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(AcceptError) as caught:
        read_acceptances(text, find_hosts)
    assert says in str(caught.value)
