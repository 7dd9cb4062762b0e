# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Password maps as administrators leave them behind: odd times, a table without its source."""

from __future__ import annotations

import os
import time
import typing as t

import pytest
from ansible_collections.mailops.ses.tests.support.map_host import COMPILED, NOTHING, picked
from ansible_collections.mailops.ses.tests.support.map_host import Host as MapHost
from ansible_collections.mailops.ses.tests.support.map_host import present as entry
from ansible_collections.mailops.ses.tests.support.relay_host import (
    THEIRS,
    WEST,
    RelayHost,
    key,
)

if t.TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.root]


@pytest.fixture(name="host")
def fixture_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RelayHost:
    return RelayHost(tmp_path, monkeypatch, capsys)


def date(path: Path, seconds: float) -> None:
    """Have a file look as if it was changed in so many seconds from now."""
    os.utime(path, (time.time() + seconds, time.time() + seconds))


def test_a_source_from_the_future(host: RelayHost) -> None:
    """The clock was set back, or the file restored: what is right is right in each further run."""
    host.write_map(THEIRS)
    host.present(WEST)
    date(host.map, 3600)
    assert not host.present(WEST)["changed"]
    assert not host.set_entry(key(WEST))["changed"]
    assert "table_stale" not in [each["id"] for each in host.findings()]
    # Other entries than those in the table are compiled, whatever the time.
    host.map.write_text(host.map.read_text("utf-8") + "[new.example]:587 u:p\n", encoding="utf-8")
    date(host.map, 3600)
    assert host.present(WEST)["changed"]
    assert host.entries()["[new.example]:587"] == "u:p"
    assert not host.present(WEST)["changed"]
    # When that time has come, Postfix would warn of a table that is older.
    date(host.map, -1)
    date(host.map.with_name("sasl_passwd.db"), -2)
    assert host.present(WEST)["changed"]
    assert not host.present(WEST)["changed"]


@pytest.mark.postfix
@pytest.mark.parametrize("table_type", COMPILED)
def test_a_source_from_the_future_with_real_tables(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table_type: str,
) -> None:
    host = MapHost(tmp_path, monkeypatch, capsys)
    host.run(entry(), map_type=table_type)
    date(host.source, 3600)
    assert picked(host.run(entry(), map_type=table_type)) == NOTHING
