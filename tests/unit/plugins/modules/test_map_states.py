# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files as administrators leave them behind: odd times, odd bytes, a table without its source."""

from __future__ import annotations

import json
import os
import time
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.modules import postfix_relay, postfix_relay_info
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import MASTER_CF
from ansible_collections.mailops.ses.tests.support.in_process.map_host import (
    COMPILED,
    NOTHING,
    SECRET,
    picked,
)
from ansible_collections.mailops.ses.tests.support.in_process.map_host import Host as MapHost
from ansible_collections.mailops.ses.tests.support.in_process.map_host import present as entry
from ansible_collections.mailops.ses.tests.support.in_process.module_in_process import (
    ModuleInProcess,
)
from ansible_collections.mailops.ses.tests.support.in_process.relay_host import (
    BY_HAND,
    CENTRAL,
    LOGIN,
    THEIRS,
    USER,
    WEST,
    RelayHost,
    key,
    server,
)
from ansible_collections.mailops.ses.tests.support.running.payloads import relay_payload

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


def test_a_login_in_the_table_alone_comes_back(host: RelayHost) -> None:
    """After a recipe that removes the source once postmap has run."""
    before = host.set_up_by_hand()
    assert host.present(WEST)["entries_added"] == [key(WEST)]
    assert host.entries() != {key(WEST): LOGIN}
    assert not host.present(WEST)["changed"]
    assert host.absent()["changed"]
    assert host.entries() == {key(WEST): LOGIN}
    assert host.contents() == before
    assert not host.absent()["changed"]


def test_it_comes_back_whatever_happens_in_between(host: RelayHost) -> None:
    host.set_up_by_hand()
    host.present(WEST)
    host.present(CENTRAL)
    assert host.entries().keys() == {key(WEST), key(CENTRAL)}
    with host.map.open("a", encoding="utf-8") as file:
        file.write(THEIRS)
    host.absent()
    assert host.entries() == {key(WEST): LOGIN, "[other.example.net]:587": "them:theirs"}
    assert THEIRS in host.map.read_text("utf-8")


@pytest.mark.parametrize("source", [True, False])
def test_the_recipe_is_run_after_the_module(host: RelayHost, source: bool) -> None:
    """It removes the source of the map that the module has made."""
    before = host.set_up_by_hand(source=source)
    host.present(WEST)
    host.map.unlink()
    host.absent()
    assert host.contents() == before
    assert not host.absent()["changed"]


def test_the_recipe_is_run_where_there_was_no_map(host: RelayHost) -> None:
    before = host.contents()
    host.present(WEST)
    host.map.unlink()
    host.absent()
    assert host.contents() == before


def test_entries_of_others_in_a_table_alone_stay(host: RelayHost) -> None:
    host.present(WEST)
    with host.map.open("a", encoding="utf-8") as file:
        file.write(THEIRS)
    host.present(WEST)
    host.map.unlink()
    host.absent()
    assert host.entries() == {"[other.example.net]:587": "them:theirs"}
    assert not host.absent()["changed"]


@pytest.mark.postfix
def test_a_table_alone_that_can_not_be_read_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables of type hash and btree have one name: the logins in the other kind would be lost."""
    host = MapHost(tmp_path, monkeypatch, capsys)
    host.run(entry(key(WEST)), map_type="btree")
    host.source.unlink()
    assert "can't be read as one of type hash" in host.failure(entry(key(CENTRAL)), map_type="hash")
    assert host.look_up(key(WEST), "btree") == f"user:{SECRET}"
    assert host.run(entry(key(CENTRAL)), map_type="hash", exclusive=True)["changed"]


@pytest.mark.postfix
@pytest.mark.parametrize("table_type", COMPILED)
def test_a_login_in_a_real_table_alone_comes_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table_type: str,
) -> None:
    """With each type of table, as Postfix's own programs make and read it."""
    host = MapHost(tmp_path, monkeypatch, capsys)
    settings = BY_HAND.format(server=key(WEST), path=host.source).replace("hash:", f"{table_type}:")
    main_cf = host.folder / "main.cf"
    main_cf.write_text(main_cf.read_text("utf-8") + settings, encoding="utf-8")
    (host.folder / "master.cf").write_text(MASTER_CF, encoding="utf-8")
    date(main_cf, -10)
    host.run(entry(key(WEST)), map_type=table_type)
    host.source.unlink()
    module = ModuleInProcess(monkeypatch, capsys)
    login = {"host": server(WEST), "port": 587, "tls": "starttls", "username": USER}
    for state, logins in (("present", [{**login, "password": "sesame-2"}]), ("absent", [])):
        arguments = {
            "config_directory": str(host.folder),
            "password": relay_payload(logins),
            "tls_security_level": "encrypt",
            "verify": False,
            "state": state,
        }
        result = module.run(postfix_relay.main, arguments, ["sesame-2"])
        assert result["changed"], result
        found = f"{USER}:sesame-2" if logins else f"user:{SECRET}"
        assert host.look_up(key(WEST), table_type) == found
    assert not host.source.exists()


@pytest.mark.postfix
def test_a_table_alone_of_another_type_stays_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty source beside it would be newer, and the next postmap would empty the table."""
    host = MapHost(tmp_path, monkeypatch, capsys)
    main_cf = host.folder / "main.cf"
    settings = BY_HAND.format(server=key(WEST), path=host.source)
    main_cf.write_text(main_cf.read_text("utf-8") + settings, encoding="utf-8")
    (host.folder / "master.cf").write_text(MASTER_CF, encoding="utf-8")
    date(main_cf, -10)
    host.run(entry(key(WEST)), map_type="hash")
    host.source.unlink()
    before = {path.name for path in host.folder.iterdir() if path.suffix != ".lock"}
    login = {"host": server(WEST), "port": 587, "tls": "starttls", "username": USER}
    for state, logins in (("present", [{**login, "password": "sesame-2"}]), ("absent", [])):
        arguments = {
            "config_directory": str(host.folder),
            "password": relay_payload(logins),
            "tls_security_level": "encrypt",
            "verify": False,
            "map_type": "lmdb",
            "state": state,
        }
        module = ModuleInProcess(monkeypatch, capsys)
        assert module.run(postfix_relay.main, arguments, ["sesame-2"])["changed"]
    assert {path.name for path in host.folder.iterdir() if path.suffix != ".lock"} == before
    assert host.look_up(key(WEST), "hash") == f"user:{SECRET}"


@pytest.mark.postfix
def test_bytes_that_are_not_utf_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a comment and in settings of ours: they are shown in another way, and come back as they were."""
    host = MapHost(tmp_path, monkeypatch, capsys)
    theirs = tmp_path / os.fsdecode(b"caf\xe9")
    theirs.write_text("[other.example.net]:587 them:theirs\n", encoding="utf-8")
    main_cf = host.folder / "main.cf"
    odd = b"# caf\xe9\nsmtpd_banner = caf\xe9\nrelayhost = [caf\xe9.example.net]\n"
    odd += b"smtp_tls_CAfile = /caf\xe9\nsmtp_sasl_password_maps = texthash:" + os.fsencode(theirs)
    original = main_cf.read_bytes() + odd + b"\n"
    main_cf.write_bytes(original)
    (host.folder / "master.cf").write_text(MASTER_CF, encoding="utf-8")
    for path in (main_cf, theirs):
        date(path, -10)
    module = ModuleInProcess(monkeypatch, capsys)
    login = {"host": server(WEST), "port": 587, "tls": "starttls", "username": USER}
    for state, logins in (("present", [{**login, "password": SECRET}]), ("absent", [])):
        arguments = {
            "config_directory": str(host.folder),
            "password": relay_payload(logins),
            "tls_security_level": "encrypt",
            "verify": False,
            "state": state,
        }
        for changed in (True, False):
            result = module.run(postfix_relay.main, arguments, [SECRET], diff=True)
            assert result["changed"] is changed, result
            if changed:
                assert r"caf\xe9" in json.dumps(result["settings"]).replace("\\\\", "\\")
        info = {"config_directory": str(host.folder)}
        (instance,) = module.run(postfix_relay_info.main, info, [SECRET])["instances"]
        assert instance["config_directory"] == str(host.folder)
    assert main_cf.read_bytes() == original
