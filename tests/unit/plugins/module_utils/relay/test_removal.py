# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._relay._plan import diff
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import RelayError
from ansible_collections.mailops.ses.tests.support.in_process.fake_relay import (
    MAIN_CF,
    USER,
    FakeRelay,
    key,
    sender,
    trust_any_file,
)

if t.TYPE_CHECKING:
    from pathlib import Path

WEST, CENTRAL = "eu-west-1", "eu-central-1"
THEIRS = "# by hand\n[other] them:theirs"
OLD_OURS = f"{THEIRS}\n{key(WEST)}   me:old\n"


@pytest.fixture(autouse=True)
def fixture_ca_file(monkeypatch: pytest.MonkeyPatch) -> None:
    trust_any_file(monkeypatch)


@pytest.fixture(name="relay")
def fixture_relay(tmp_path: Path) -> FakeRelay:
    return FakeRelay.make(tmp_path / "etc")


@pytest.mark.parametrize("map_source", [None, THEIRS, OLD_OURS])
@pytest.mark.parametrize("main_cf", [MAIN_CF, MAIN_CF + "# without an end", ""])
def test_all_comes_back_byte_for_byte(tmp_path: Path, main_cf: str, map_source: str | None) -> None:
    relay = FakeRelay.make(tmp_path / "etc", main_cf, map_source)
    relay.postfix.main_cf.chmod(0o640)
    before = relay.contents()
    relay.present(WEST)
    relay.present(CENTRAL, WEST, senders=(sender("@example.com", WEST),))
    relay.present(CENTRAL, password="sesame-2")
    outcome = relay.absent()
    assert outcome.plan.changed
    assert outcome.reloaded
    assert relay.contents() == before
    assert relay.postfix.main_cf.stat().st_mode & 0o777 == 0o640
    assert not relay.record.exists()
    assert not relay.absent().plan.changed


def test_a_plan_writes_nothing_and_says_all(relay: FakeRelay) -> None:
    relay.present(WEST)
    before = relay.files()
    plan = relay.removal().plan()
    assert relay.files() == before
    assert plan.relayhost == "[old.example.net]"
    assert plan.entries_removed == (key(WEST),)
    main_cf, table, source = diff(plan, "main.cf")
    assert f"relayhost = {key(WEST)}\n" in main_cf["before"]
    assert "relayhost = [old.example.net]\n" in main_cf["after"]
    assert "smtp_sasl_auth_enable" not in main_cf["after"]
    assert table["before"] == f"# {relay.map}.db exists\n"
    assert source["before"] == f"# {relay.map} exists\n"


def test_the_map_outlives_the_settings_that_name_it(relay: FakeRelay) -> None:
    relay.present(WEST)
    seen = []

    def look(name: str) -> None:
        if name == "postfix reload":
            seen.append((relay.settings()["relayhost"], list(relay.entries())))

    relay.postfix.before = look
    relay.absent()
    # After the routing, and after what the client needed for it.
    assert seen == [("[old.example.net]", [key(WEST)])] * 2


def test_a_main_cf_with_changes_of_others_gets_its_settings_back(relay: FakeRelay) -> None:
    relay.present(WEST)
    text = relay.postfix.main_cf.read_text()
    text = text.replace("level = secure", "level = may") + "new = 1\n"
    relay.postfix.main_cf.write_text(text)
    outcome = relay.absent()
    assert relay.settings() == {
        "mydestination": "$myhostname",
        "relayhost": "[old.example.net]",
        "smtp_sasl_security_options": "noanonymous",
        "smtp_tls_security_level": "may",
        "new": "1",
    }
    (warning,) = outcome.plan.warnings
    assert "smtp_tls_security_level was changed by somebody else" in warning
    assert not relay.map.exists()
    assert not relay.absent().plan.changed


def test_others_that_wrote_between_our_runs(relay: FakeRelay) -> None:
    relay.present(WEST)
    relay.postfix.main_cf.write_text(relay.postfix.main_cf.read_text() + "new = 1\n")
    relay.present(CENTRAL)
    relay.absent()
    assert relay.settings() == {
        "mydestination": "$myhostname",
        "relayhost": "[old.example.net]",
        "smtp_sasl_security_options": "noanonymous",
        "new": "1",
    }


@pytest.mark.parametrize("map_source", [None, OLD_OURS])
def test_a_map_with_entries_of_others_gets_ours_back(
    tmp_path: Path, map_source: str | None
) -> None:
    relay = FakeRelay.make(tmp_path / "etc", map_source=map_source)
    relay.present(WEST, CENTRAL, senders=(sender("@example.com", WEST),))
    text = relay.map.read_text().replace(f"@example.com {USER}", "@example.com somebody")
    relay.map.write_text(text + "[new] new:new\n")
    outcome = relay.absent(backup=True)
    theirs = {"@example.com": "somebody:sesame-s", "[new]": "new:new"}
    if map_source:
        theirs.update({"[other]": "them:theirs", key(WEST): "me:old"})
        assert f"{key(WEST)}   me:old\n" in relay.map.read_text()
    assert {name: value.strip() for name, value in relay.entries().items()} == theirs
    (warning,) = outcome.plan.warnings
    assert "'@example.com' of the password map was changed by somebody else" in warning
    assert [name.rpartition("/")[2].split(".")[0] for name in outcome.backups] == [
        "main",
        "sasl_passwd",
    ]


def test_a_map_that_main_cf_still_names_stays(relay: FakeRelay) -> None:
    relay.present(WEST)
    text = relay.postfix.main_cf.read_text()
    ours = f"hash:{relay.map}"
    relay.postfix.main_cf.write_text(
        f"mine = {ours}\n" + text.replace(f"maps = {ours}", "maps = $mine")
    )
    relay.absent()
    assert relay.map.exists()
    assert relay.entries() == {}


def test_a_map_that_is_gone_already(relay: FakeRelay) -> None:
    relay.present(WEST)
    relay.map.unlink()
    relay.absent()
    assert set(relay.contents()) == {"main.cf", "master.cf"}


def test_where_nothing_is_ours_nothing_changes(relay: FakeRelay) -> None:
    before = relay.files()
    plan = relay.absent().plan
    assert not plan.changed
    assert not plan.warnings
    assert (plan.relayhost, plan.table) == ("[old.example.net]", f"hash:{relay.map}")
    assert relay.files() == before


def test_a_relay_of_somebody_else_stays_with_a_warning(tmp_path: Path) -> None:
    relay = FakeRelay.make(tmp_path / "etc", f"relayhost = {key(WEST)}\n")
    plan = relay.absent().plan
    assert not plan.changed
    assert "there is no record" in plan.warnings[0]


def test_what_an_interrupted_first_run_left_is_removed(relay: FakeRelay) -> None:
    before = relay.contents()
    relay.record.mkdir()
    (relay.record / "main.cf.before").touch()
    (relay.directory / ".main.cf.mailops").mkdir()
    outcome = relay.absent()
    assert outcome.plan.was_interrupted
    assert not outcome.reloaded
    assert relay.contents() == before
    assert not (relay.directory / ".main.cf.mailops").exists()


@pytest.mark.parametrize(
    ("err", "says"),
    [
        (b"", "exit status 1"),
        (b"postfix: fatal: broken sesame\n", "postfix: fatal: broken REDACTED"),
        (
            b"postfix: fatal: config variable inet_interfaces: host not found: sesame\n",
            "exit status 1, inet_interfaces: host not found",
        ),
    ],
)
def test_a_reload_that_fails_leaves_all_as_it_was(relay: FakeRelay, err: bytes, says: str) -> None:
    relay.present(WEST)
    before = relay.files()
    relay.postfix.calls.clear()
    relay.postfix.fails["postfix reload"] = (1, b"", err)
    with pytest.raises(RelayError, match=f"can't be reloaded: {says}$"):
        relay.absent()
    assert relay.files() == before
    assert relay.postfix.calls.count("postfix reload") == 2


def test_a_stopped_postfix_stays_stopped(relay: FakeRelay) -> None:
    relay.present(WEST)
    relay.postfix.running = False
    assert not relay.absent().reloaded


def test_a_main_cf_that_was_put_back_already(relay: FakeRelay) -> None:
    relay.present(WEST)
    relay.postfix.main_cf.write_text(MAIN_CF)
    outcome = relay.absent()
    assert not outcome.plan.settings
    assert not outcome.reloaded
    assert set(relay.contents()) == {"main.cf", "master.cf"}


def test_a_directory_of_the_map_that_is_gone(relay: FakeRelay, tmp_path: Path) -> None:
    elsewhere = tmp_path / "maps"
    elsewhere.mkdir()
    relay.present(WEST, path=str(elsewhere / "sasl"))
    for path in elsewhere.iterdir():
        path.unlink()
    elsewhere.rmdir()
    relay.absent()
    assert set(relay.contents()) == {"main.cf", "master.cf"}


@pytest.mark.parametrize("had_server", [False, True])
def test_a_senders_table_that_lost_its_source(tmp_path: Path, had_server: bool) -> None:
    """Others' entries in the compiled table stay, and a sender's previous server comes back."""
    relay = FakeRelay.make(tmp_path / "etc")
    routes = relay.directory / "ses_sender_relayhost"
    if had_server:
        routes.write_text("@example.com [old.example]:25\n")
    relay.present(WEST, senders=(sender("@example.com", WEST),))
    with routes.open("a", encoding="utf-8") as file:
        file.write("@mine.example [mine]\n")
    relay.postfix.run_command(["postmap", f"hash:{routes}"])
    routes.unlink()
    relay.absent()
    theirs = {"@example.com": "[old.example]:25"} if had_server else {}
    assert relay.entries(routes.name) == {**theirs, "@mine.example": "[mine]"}
    assert not routes.exists()
    assert not relay.absent().plan.changed


def test_a_senders_table_of_ours_alone_that_lost_its_source_goes(relay: FakeRelay) -> None:
    relay.present(WEST, senders=(sender("@example.com", WEST),))
    (relay.directory / "ses_sender_relayhost").unlink()
    relay.absent()
    assert set(relay.contents()) == {"main.cf", "master.cf"}
