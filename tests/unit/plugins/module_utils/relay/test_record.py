# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records that other versions have written."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._relay._record import (
    FileState,
    digest,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import RelayError
from ansible_collections.mailops.ses.tests.support.in_process.fake_relay import (
    FakeRelay,
    sender,
    trust_any_file,
)

if t.TYPE_CHECKING:
    from pathlib import Path

WEST = "eu-west-1"
#: Fields that came after the first records of 0.1.0.
LATER = ("routes", "former_routes", "reload_pending")


@pytest.fixture(autouse=True)
def fixture_ca_file(monkeypatch: pytest.MonkeyPatch) -> None:
    trust_any_file(monkeypatch)


@pytest.fixture(name="relay")
def fixture_relay(tmp_path: Path) -> FakeRelay:
    return FakeRelay.make(tmp_path / "etc", map_source="[other] them:theirs\n")


def read_record(relay: FakeRelay) -> dict[str, t.Any]:
    content: dict[str, t.Any] = json.loads((relay.record / "relay.json").read_text())
    return content


def write_record(relay: FakeRelay, content: t.Mapping[str, t.Any]) -> None:
    (relay.record / "relay.json").write_text(json.dumps(content))


def test_the_form_of_0_1_0(relay: FakeRelay) -> None:
    relay.present(WEST, senders=(sender("@example.com", WEST),))
    written = read_record(relay)
    assert written["format"] == 1
    assert set(written) == {"format", "map", "settings", "main_cf", *LATER}
    assert set(written["map"]) == {"path", "type", "existed", "file", "keys", "only_table"}


def test_a_record_without_the_later_fields(relay: FakeRelay) -> None:
    before = relay.contents()
    relay.present(WEST)
    written = read_record(relay)
    for name in LATER:
        del written[name]
    del written["map"]["only_table"]
    write_record(relay, written)
    assert not relay.present(WEST).plan.changed
    relay.absent()
    assert relay.contents() == before


@pytest.mark.parametrize("number", [3, 17])
def test_a_record_of_a_newer_version(relay: FakeRelay, number: int) -> None:
    relay.present(WEST)
    write_record(relay, {"format": number, "relays": [{"unknown": True}]})
    before = relay.files()
    with pytest.raises(RelayError) as raised:
        relay.removal()
    with pytest.raises(RelayError) as raised_too:
        relay.setup(WEST)
    message = str(raised.value)
    assert message == str(raised_too.value)
    assert f"has the format {number}" in message
    assert "a newer version has set up this relay" in message
    assert message.endswith("with that version or a later one. Nothing was changed")
    assert "damaged" not in message
    assert "remove" not in message
    assert relay.files() == before


def test_the_state_of_a_file() -> None:
    state = FileState().begin(b"old", b"old", b"first", b"last")
    assert (state.wrote, state.whole) == ((digest(b"old"), digest(b"first"), digest(b"last")), True)
    assert state.finish(b"first") == FileState((digest(b"first"),))
    # What somebody else has made of it since is not ours.
    assert state.finish(b"theirs") == FileState((digest(b"last"),))
    assert state.expect(b"last", b"more").wrote[-1] == digest(b"more")
    theirs = FileState((digest(b"ours"),)).begin(b"theirs", b"before", b"ours again")
    assert not theirs.whole
    assert not theirs.is_ours(b"ours again", b"before")
    assert not theirs.is_ours(b"before", b"before")
    assert state.is_ours(b"anything", b"anything")
    assert digest(None) == ""
