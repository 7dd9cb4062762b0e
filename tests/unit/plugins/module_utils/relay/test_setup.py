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
from ansible_collections.mailops.ses.plugins.module_utils._files._secret_file import SecretFileError
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import (
    PasswordMapError,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import PostfixError
from ansible_collections.mailops.ses.plugins.module_utils._relay import _setup as relay_setup
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
# what fails -> the exit status and the words of a program, and what the error says
FAILURES: dict[str, tuple[int, bytes, str]] = {
    "postconf -n": (1, b"fatal: x: Permission denied\n", "can't read Postfix's settings"),
    "postconf -e": (1, b"fatal: x: No space left on device\n", "No space left on device"),
    "postconf -o": (1, b"fatal: x\n", "can't read Postfix's settings"),
    "postmap -q": (1, b"fatal: x: Input/output error\n", "does not have the entry"),
    "postfix reload": (1, b"postfix: a\npostfix: fatal: broken\n", "reloaded: postfix: fatal: bro"),
}


@pytest.fixture(name="relay")
def fixture_relay(tmp_path: Path) -> FakeRelay:
    return FakeRelay.make(tmp_path / "etc", map_source="# by hand\n[other] them:theirs\n")


@pytest.fixture(autouse=True)
def fixture_ca_file(monkeypatch: pytest.MonkeyPatch) -> None:
    trust_any_file(monkeypatch)


def test_a_first_run(relay: FakeRelay) -> None:
    relay.postfix.main_cf.chmod(0o640)
    outcome = relay.present(WEST, CENTRAL)
    assert outcome.plan.changed
    assert outcome.reloaded
    assert outcome.backups == ()
    # What the client needs, and then the routing.
    assert relay.postfix.reloads == 2
    assert relay.settings() == {
        "mydestination": "$myhostname",
        "relayhost": f"{key(WEST)}, {key(CENTRAL)}",
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_password_maps": f"hash:{relay.map}",
        "smtp_sasl_security_options": "noanonymous, noplaintext",
        "smtp_sasl_tls_security_options": "noanonymous",
        "smtp_tls_CAfile": str(relay.ca_file),
        "smtp_tls_security_level": "secure",
    }
    of_ours = {key(region): f"{USER}:sesame-1" for region in (WEST, CENTRAL)}
    assert relay.entries() == {"[other]": "them:theirs", **of_ours}
    assert stat.S_IMODE(relay.postfix.main_cf.stat().st_mode) == 0o640
    assert stat.S_IMODE(relay.record.stat().st_mode) == 0o700
    modes = {name: oct(mode & 0o777) for name, (_c, mode, _i) in relay.files().items()}
    assert {modes[name] for name in modes if name.startswith(".")} == {"0o600"}
    assert (relay.record / "main.cf.before").read_text() == MAIN_CF
    assert "sesame" not in (relay.record / "relay.json").read_text()


def test_a_second_run_changes_nothing_and_costs_little(relay: FakeRelay) -> None:
    relay.present(WEST, CENTRAL)
    before = relay.files()
    relay.postfix.calls.clear()
    assert not relay.present(WEST, CENTRAL).plan.changed
    assert relay.files() == before
    assert relay.postfix.calls == ["postconf -x", "postmap -s"]


def test_a_plan_writes_nothing_and_says_all(relay: FakeRelay) -> None:
    before = relay.files()
    plan = relay.setup(WEST).plan()
    assert relay.files() == before
    assert plan.relayhost == key(WEST)
    assert plan.map is not None
    assert plan.map.edit.entries_added == (key(WEST),)
    shown = diff(plan, "/etc/postfix/main.cf")
    assert [part["before_header"] for part in shown] == ["/etc/postfix/main.cf", str(relay.map)]
    assert "relayhost = [old.example.net]\n" in shown[0]["before"]
    assert f"relayhost = {key(WEST)}\n" in shown[0]["after"]
    assert "smtp_tls_security_level" not in shown[0]["before"]
    assert f"{key(WEST)} {USER}:NEW_PASSWORD\n" in shown[1]["after"]
    assert "sesame" not in json.dumps(shown)


def test_a_stopped_postfix_stays_stopped(relay: FakeRelay) -> None:
    relay.postfix.running = False
    assert not relay.present(WEST).reloaded
    assert "postfix reload" not in relay.postfix.calls
    assert not relay.present(WEST).plan.changed


def test_a_rotation_is_no_reason_to_reload(relay: FakeRelay) -> None:
    relay.present(WEST)
    main_cf = relay.files()["main.cf"]
    outcome = relay.present(WEST, password="sesame-2")
    assert outcome.plan.map is not None
    assert outcome.plan.map.edit.entries_changed == (key(WEST),)
    assert not outcome.plan.settings
    assert not outcome.reloaded
    assert relay.postfix.reloads == 2
    assert relay.files()["main.cf"] == main_cf
    assert relay.entries()[key(WEST)] == f"{USER}:sesame-2"
    assert not relay.present(WEST, password="sesame-2").plan.changed


def test_texthash_is_read_at_start_only(relay: FakeRelay) -> None:
    relay.present(WEST, map_type="texthash")
    assert relay.settings()["smtp_sasl_password_maps"] == f"texthash:{relay.map}"
    assert relay.present(WEST, map_type="texthash", password="sesame-2").reloaded
    assert relay.postfix.reloads == 3
    # main.cf says what type the map has, unless the task does.
    assert not relay.present(WEST, password="sesame-2").plan.changed


def test_a_type_that_is_gone_gives_way_to_the_default(relay: FakeRelay) -> None:
    relay.present(WEST, map_type="lmdb")
    relay.postfix.fails["postconf -m"] = (0, b"btree\nhash\n", b"")
    outcome = relay.present(WEST)
    assert relay.settings()["smtp_sasl_password_maps"] == f"hash:{relay.map}"
    assert "sasl_passwd.lmdb is a table of another type" in outcome.plan.warnings[0]
    assert not relay.present(WEST).plan.changed


def test_old_keys_go_when_nobody_asks_for_them_any_more(relay: FakeRelay) -> None:
    relay.present(WEST)
    seen = []

    def look(name: str) -> None:
        if name == "postfix reload":
            seen.append(
                (relay.settings()["relayhost"], {key(WEST), key(CENTRAL)} & set(relay.entries()))
            )

    relay.postfix.before = look
    outcome = relay.present(CENTRAL, backup=True)
    assert seen == [(key(region), {key(WEST), key(CENTRAL)}) for region in (WEST, CENTRAL)]
    assert outcome.plan.entries_removed == (key(WEST),)
    assert set(relay.entries()) == {"[other]", key(CENTRAL)}
    names = [backup.rpartition("/")[2].partition(".")[0] for backup in outcome.backups]
    assert sorted(names) == ["main", "sasl_passwd"]
    assert not relay.present(CENTRAL).plan.changed


def test_a_key_of_ours_that_somebody_changed_stays(relay: FakeRelay) -> None:
    relay.present(WEST)
    relay.map.write_text(relay.map.read_text().replace(USER, "somebody"))
    outcome = relay.present(CENTRAL)
    assert relay.entries()[key(WEST)] == "somebody:sesame-1"
    assert "was changed by somebody else" in outcome.plan.warnings[0]


def test_senders_come_and_go(relay: FakeRelay) -> None:
    relay.present(WEST)
    plain = relay.contents()
    relay.present(WEST, senders=(sender("@example.com", CENTRAL), sender("me@x.org", WEST)))
    assert relay.entries("ses_sender_relayhost") == {
        "@example.com": key(CENTRAL),
        "me@x.org": key(WEST),
    }
    assert relay.entries()["@example.com"] == f"{USER}:sesame-s"
    assert relay.settings()["smtp_sender_dependent_authentication"] == "yes"
    routes = f"hash:{relay.directory}/ses_sender_relayhost"
    assert relay.settings()["sender_dependent_relayhost_maps"] == routes

    plan = relay.setup(WEST, senders=(sender("@example.com", WEST),)).plan()
    shown = diff(plan, "main.cf")[-1]
    assert shown["before"].startswith(f"@example.com {key(CENTRAL)}\n")
    relay.present(WEST, senders=(sender("@example.com", WEST),))
    assert relay.entries("ses_sender_relayhost") == {"@example.com": key(WEST)}
    assert "me@x.org" not in relay.entries()

    outcome = relay.present(WEST)
    assert len(outcome.plan.removes) == 2
    assert relay.contents() == plain
    assert not relay.present(WEST).plan.changed


def test_routes_of_somebody_else_stay(relay: FakeRelay) -> None:
    routes = relay.directory / "ses_sender_relayhost"
    routes.write_text("@mine.example [mine]\n")
    relay.present(WEST, senders=(sender("@example.com", WEST),))
    assert set(relay.entries(routes.name)) == {"@mine.example", "@example.com"}
    assert not relay.present(WEST, senders=(sender("@example.com", WEST),)).plan.changed
    relay.present(WEST, senders=(sender("me@x.org", WEST),))
    assert set(relay.entries(routes.name)) == {"@mine.example", "me@x.org"}
    relay.present(WEST)
    assert relay.entries(routes.name) == {"@mine.example": "[mine]"}
    assert not relay.present(WEST).plan.changed


def test_a_senders_former_server_comes_back(relay: FakeRelay) -> None:
    routes = relay.directory / "ses_sender_relayhost"
    before = {"@example.com": "[old.example]:25"}
    routes.write_text("@example.com [old.example]:25\n")
    both = (sender("@example.com", WEST), sender("me@x.org", WEST))
    for others in ([], [both], [both[:1]]):
        for senders in (both[:1], *others):
            relay.present(WEST, senders=senders)
            assert relay.entries(routes.name)["@example.com"] == key(WEST)
            assert not relay.present(WEST, senders=senders).plan.changed
        relay.absent()
        assert relay.entries(routes.name) == before
    relay.present(WEST, senders=both)
    relay.present(WEST, senders=both[1:])
    assert relay.entries(routes.name) == {**before, "me@x.org": key(WEST)}
    relay.absent()
    assert relay.entries(routes.name) == before


def test_routes_that_somebody_appends_stay_when_the_relay_goes(relay: FakeRelay) -> None:
    routes = relay.directory / "ses_sender_relayhost"
    relay.present(WEST, senders=(sender("@example.com", WEST),))
    with routes.open("a", encoding="utf-8") as file:
        file.write("@mine.example [mine]\n")
    relay.present(WEST, senders=(sender("@example.com", WEST),))
    assert set(relay.entries(routes.name)) == {"@mine.example", "@example.com"}
    relay.absent()
    assert relay.entries(routes.name) == {"@mine.example": "[mine]"}


def test_a_setting_that_somebody_changed_is_made_right(relay: FakeRelay) -> None:
    relay.present(WEST)
    text = relay.postfix.main_cf.read_text()
    relay.postfix.main_cf.write_text(text.replace("level = secure", "level = may") + "new = 1\n")
    outcome = relay.present(WEST)
    assert [change.name for change in outcome.plan.settings] == ["smtp_tls_security_level"]
    assert relay.postfix.main_cf.read_text() == text + "new = 1\n"
    record = json.loads((relay.record / "relay.json").read_text())
    assert record["settings"]["smtp_tls_security_level"]["before"] is None
    assert record["main_cf"]["whole"] is False


def test_encrypt_needs_no_ca_file(relay: FakeRelay) -> None:
    relay.present(WEST)
    relay.present(WEST, ca_file=None, tls_level="encrypt")
    assert relay.settings()["smtp_tls_security_level"] == "encrypt"
    assert "smtp_tls_CAfile" not in relay.settings()


def test_a_dropped_setting_that_somebody_changed_stays(relay: FakeRelay) -> None:
    relay.present(WEST)
    text = relay.postfix.main_cf.read_text()
    relay.postfix.main_cf.write_text(text.replace(str(relay.ca_file), "/other.pem"))
    outcome = relay.present(WEST, ca_file=None, tls_level="encrypt")
    assert "smtp_tls_CAfile was changed by somebody else" in outcome.plan.warnings[0]
    assert relay.settings()["smtp_tls_CAfile"] == "/other.pem"
    assert not relay.present(WEST, ca_file=None, tls_level="encrypt").plan.changed


def test_wrong_attributes_are_repaired_and_nothing_else(relay: FakeRelay) -> None:
    relay.present(WEST)
    before = relay.contents()
    relay.attributes.wrong.add(str(relay.map))
    outcome = relay.present(WEST)
    assert outcome.plan.changed
    assert relay.attributes.repaired == [str(relay.map)]
    assert "owner, group, mode" in diff(outcome.plan, "main.cf")[0]["before"]
    assert relay.contents() == before


@pytest.mark.parametrize("established", [False, True])
@pytest.mark.parametrize("what", FAILURES)
def test_a_program_that_fails_leaves_all_as_it_was(
    relay: FakeRelay, what: str, established: bool
) -> None:
    if established:
        relay.present(WEST)
    before = relay.files()
    relay.postfix.calls.clear()
    status, words, says = FAILURES[what]
    relay.postfix.fails[what] = (status, b"", words)
    with pytest.raises((RelayError, PostfixError), match=says):
        relay.present(CENTRAL, backup=True)
    assert relay.files() == before
    assert relay.record.exists() is established
    assert relay.postfix.calls.count("postfix reload") == (2 if what == "postfix reload" else 0)


class FailingRename:
    """os.rename, which fails once, after `number` calls."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._rename = os.rename

    def __call__(self, source: str, target: str, **directories: int) -> None:
        self._left -= 1
        if self._left == -1:
            raise OSError(errno.EIO, "Input/output error", target)
        self._rename(source, target, **directories)


def test_every_rename_that_fails_leaves_all_as_it_was(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = relay.files()
    rename = os.rename
    for number in range(100):
        monkeypatch.setattr(os, "rename", FailingRename(number))
        try:
            relay.present(WEST, senders=(sender("@example.com", WEST),))
            break
        except OSError:
            assert relay.files() == before
        finally:
            monkeypatch.setattr(os, "rename", rename)
    # The record with two files, the map with its table, main.cf; the routes with theirs and main.cf
    # again; at the end the record again.
    assert number == 9
    assert relay.settings()["relayhost"] == key(WEST)
    assert relay.present(WEST, senders=(sender("@example.com", WEST),)).plan.was_interrupted
    assert not relay.present(WEST, senders=(sender("@example.com", WEST),)).plan.changed


def test_a_check_that_only_the_staged_file_fails(relay: FakeRelay) -> None:
    def spoil(name: str) -> None:
        if name == "postconf -o":
            for folder in (relay.directory / ".main.cf.mailops").iterdir():
                with (folder / "main.cf").open("a", encoding="utf-8") as file:
                    file.write("smtp_tls_security_level = may\n")
                os.utime(folder / "main.cf", (0, 0))

    before = relay.files()
    relay.postfix.before = spoil
    with pytest.raises(RelayError, match="smtp_tls_security_level would be 'may'"):
        relay.present(WEST)
    assert relay.files() == before


def test_what_can_not_work_is_refused_in_check_mode_too(relay: FakeRelay, tmp_path: Path) -> None:
    relay.map.write_text("[other] them:theirs\n[OTHER] me:mine\n")
    with pytest.raises(PasswordMapError, match="more than once"):
        relay.setup(WEST).plan()
    relay.map.write_text("[other] them:theirs\n")
    with pytest.raises(PostfixError, match="can't be read"):
        relay.setup(WEST, ca_file=str(tmp_path / "no.pem")).plan()


def test_another_path_is_refused(relay: FakeRelay) -> None:
    relay.present(WEST)
    with pytest.raises(RelayError, match="Take the relay back first"):
        relay.setup(WEST, path=str(relay.directory / "other")).plan()


@pytest.mark.parametrize("name", ["a map", "a,map", "a\tmap"])
def test_a_path_that_main_cf_would_cut_is_refused(relay: FakeRelay, name: str) -> None:
    with pytest.raises(RelayError, match="white space or a comma"):
        relay.setup(WEST, path=str(relay.directory / name))


def test_the_systems_ca_file_is_used(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_setup, "find_system_ca_file", lambda: str(relay.ca_file))
    assert relay.setup(WEST, ca_file=None).ca_file == str(relay.ca_file)


def test_a_postfix_that_does_not_know_a_setting(relay: FakeRelay) -> None:
    relay.postfix.fails["postconf -x"] = (0, b"config_directory = /x\n", b"")
    with pytest.raises(PostfixError, match="does not know default_database_type, smtputf8_enable"):
        relay.setup(WEST)


def test_a_damaged_record(relay: FakeRelay) -> None:
    relay.present(WEST)
    for content in ("{", "{}", '{"format": 1}', '{"format": "2"}', "[]", "1"):
        (relay.record / "relay.json").write_text(content)
        with pytest.raises(RelayError, match=r"relay\.json is damaged"):
            relay.setup(WEST).plan()


def test_something_else_has_the_records_name(relay: FakeRelay) -> None:
    relay.record.touch()
    with pytest.raises(SecretFileError, match=r"\.mailops-ses is in the way"):
        relay.present(WEST)


def test_what_an_interrupted_run_left_is_removed(relay: FakeRelay) -> None:
    relay.present(WEST)
    before = relay.contents()
    left = relay.directory / ".main.cf.mailops"
    (left / "0123").mkdir(parents=True)
    (left / "0123" / "main.cf").touch()
    (left / "4567").touch()
    (relay.record / ".relay.json.mailops").mkdir()
    outcome = relay.present(WEST)
    assert outcome.plan.was_interrupted
    assert "interrupted" in diff(outcome.plan, "main.cf")[0]["before"]
    assert not outcome.reloaded
    assert not left.exists()
    assert relay.contents() == before
    assert not relay.present(WEST).plan.changed


def test_an_empty_record_is_removed_where_nothing_is_ours(relay: FakeRelay) -> None:
    relay.present(WEST)
    for name in ("relay.json", "main.cf.before"):
        (relay.record / name).unlink()
    before = relay.contents()
    assert relay.present(WEST).plan.was_interrupted
    assert not relay.record.exists()
    assert relay.contents().keys() == before.keys() - {".mailops-ses/map.before"}


def test_an_entry_for_the_bare_name_is_taken_over(relay: FakeRelay) -> None:
    host = key(WEST)[1:-5]
    theirs = f"{host} them:theirs\n# a comment\n{key(WEST)} them:other\n"
    relay.map.write_text(theirs)
    plan = relay.present(WEST).plan
    assert plan.map
    assert plan.map.edit.entries_changed == (key(WEST), host)
    assert relay.entries() == {key(WEST): f"{USER}:sesame-1", host: f"{USER}:sesame-1"}
    assert not relay.setup(WEST).plan().changed
    relay.present(WEST, password="sesame-2")
    assert relay.entries() == {key(WEST): f"{USER}:sesame-2", host: f"{USER}:sesame-2"}
    relay.map.write_text(f"{relay.map.read_text()}[later.example] them:later\n")
    relay.absent()
    assert relay.map.read_text() == f"{theirs}[later.example] them:later\n"


def test_local_only_is_replaced_with_the_routing_and_comes_back(relay: FakeRelay) -> None:
    main_cf = relay.directory / "main.cf"
    main_cf.write_text("default_transport = error\nrelay_transport = error\n")
    before = main_cf.read_bytes()
    outcome = relay.present(WEST)
    changed = {change.name: change.after for change in outcome.plan.settings}
    assert (changed["default_transport"], changed["relay_transport"]) == ("smtp", "relay")
    # Not before relayhost: mail would go around SES.
    (phase,) = (
        {change.name for file in phase.files for change in getattr(file, "settings", ())}
        for phase in outcome.plan.transaction.phases
        if phase.name == "the routing"
    )
    assert {"relayhost", "default_transport", "relay_transport"} <= phase
    assert not relay.present(WEST).plan.changed
    relay.absent()
    assert main_cf.read_bytes() == before


def test_a_transport_that_somebody_chose_since_is_refused(relay: FakeRelay) -> None:
    main_cf = relay.directory / "main.cf"
    main_cf.write_text("default_transport = error\n")
    relay.present(WEST)
    main_cf.write_text(
        main_cf.read_text().replace("default_transport = smtp", "default_transport = error:off")
    )
    with pytest.raises(RelayError, match="default_transport = error:off"):
        relay.present(WEST)
