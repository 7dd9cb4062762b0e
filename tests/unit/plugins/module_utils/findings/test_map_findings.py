# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with the files of a password map: the source, the table, and who may read them."""

from __future__ import annotations

import os
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix import (
    _lookup_table as _survey_tables,
)
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY
from ansible_collections.mailops.ses.tests.support.in_process.fake_survey import (
    KEY,
    LINE,
    PASSWORD,
    VERSION_2,
    FakeSurvey,
    fake_survey,
    found,
)

OTHER_HOST = "email-smtp.us-east-1.amazonaws.com"


@pytest.fixture(name="relay")
def fixture_relay(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeSurvey]:
    with fake_survey(monkeypatch) as relay:
        yield relay


def test_a_table_that_is_not_as_its_source(relay: FakeSurvey) -> None:
    source = relay.folder / "sasl_passwd"
    table = relay.folder / "sasl_passwd.db"
    source.write_text(f"{LINE}# newer\n", encoding="ascii")
    assert found(relay) == {"table_stale": "notice"}
    source.write_text(f"{LINE}[{OTHER_HOST}]:587 {ACCESS_KEY}:{PASSWORD}\n", encoding="ascii")
    assert found(relay) == {"table_stale": "warning"}
    facts = relay.facts()
    assert [(entry.line, entry.is_active) for entry in facts.maps[0].entries] == [
        (1, True),
        (2, False),
    ]
    source.write_text(LINE.replace(PASSWORD, VERSION_2), encoding="ascii")
    assert found(relay) == {"table_stale": "warning", "version_2_password": "warning"}
    entries = relay.facts().maps[0].entries
    assert [(each.line, each.is_active, each.version) for each in entries] == [
        (None, True, 4),
        (1, False, 2),
    ]
    table.unlink()
    assert found(relay) == {"table_missing": "critical", "version_2_password": "warning"}
    source.unlink()
    assert found(relay) == {"table_missing": "critical"}


def test_a_table_without_a_source_and_one_that_is_damaged(relay: FakeSurvey) -> None:
    (relay.folder / "sasl_passwd").unlink()
    assert found(relay) == {"login_without_source": "warning", "source_missing": "notice"}
    (entry,) = relay.facts().maps[0].entries
    assert (entry.key, entry.line, entry.is_active) == (KEY, None, True)
    relay.postfix.fails["postmap -s"] = (1, b"", b"postmap: fatal: not a table")
    assert found(relay) == {"table_damaged": "critical"}


def test_a_source_that_is_no_file(relay: FakeSurvey) -> None:
    source = relay.folder / "sasl_passwd"
    source.unlink()
    source.mkdir()
    assert found(relay) == {}


def test_files_that_this_user_may_not_read(
    relay: FakeSurvey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: str) -> t.NoReturn:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(_survey_tables, "read_if_there", denied)
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert found(relay) == {"map_not_read": "critical"}
    assert "become" in relay.findings()[0].remedy


#: name of a file beside the map, mode -> whether that is a finding
FILES = [
    ("sasl_passwd", 0o600, False),
    ("sasl_passwd", 0o400, False),
    ("sasl_passwd", 0o640, False),  # the group is root's or Postfix's own
    ("sasl_passwd", 0o644, True),
    ("sasl_passwd", 0o602, True),
    ("sasl_passwd.db", 0o604, True),
    ("sasl_passwd.lmdb", 0o644, True),
    ("sasl_passwd.2145.2026-03-09@12:30:00~", 0o644, True),
    ("sasl_passwd.2145.2026-03-09@12:30:00~", 0o600, False),
    ("sasl_passwd~", 0o644, True),
    ("sasl_passwd.bak", 0o644, True),
    ("sasl_passwd.old.db", 0o644, True),
    ("sasl_passwd-20260309", 0o644, True),
    ("sasl_passwd.dpkg-old", 0o644, True),
    (".sasl_passwd.swp", 0o644, True),
    ("sasl_passwd.README", 0o644, False),
    ("sasl_passwd_of_others", 0o644, False),
    (".sasl_passwd.mailops.lock", 0o644, False),
]


@pytest.mark.parametrize(("name", "mode", "is_open"), FILES)
def test_readable_by_others(relay: FakeSurvey, name: str, mode: int, is_open: bool) -> None:
    path = relay.folder / name
    if not path.exists():
        path.write_text("something", encoding="ascii")
    path.chmod(mode)
    assert found(relay) == ({"readable_by_others": "critical"} if is_open else {})
    if is_open:
        assert relay.findings()[0].file == str(path)
        assert f"mode {mode:04o}" in relay.findings()[0].message
    if name != "sasl_passwd.db":  # an empty one can't be a table
        path.write_bytes(b"")
        assert "readable_by_others" not in found(relay)


def test_readable_by_others_by_owner_group_directory_and_link(
    relay: FakeSurvey, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = relay.folder / "sasl_passwd"
    closed = relay.folder / "closed"
    closed.mkdir(mode=0o700)
    target = closed / "map"
    source.rename(target)
    source.symlink_to(target)
    target.chmod(0o644)
    assert found(relay) == {}
    closed.chmod(0o711)
    (finding,) = relay.findings()
    assert finding.file == str(target)
    assert f"by the link {source}" in finding.message
    target.chmod(0o640)
    assert found(relay) == {}
    # Neither is root's, nor of Postfix's own user.
    relay.set(mail_owner="nobody-of-that-name")
    if os.geteuid() == 0:
        os.chown(str(target), 0, 12345)
        assert found(relay) == {"readable_by_others": "critical"}
        assert "owner root:12345" in relay.findings()[0].message
        closed.chmod(0o700)
        assert found(relay) == {}
        closed.chmod(0o710)
        assert found(relay) == {}
        os.chown(str(closed), 0, 12345)
        assert found(relay) == {"readable_by_others": "critical"}
        target.chmod(0o600)
        assert found(relay) == {}
        os.chown(str(target), 12346, 0)
        assert found(relay) == {"readable_by_others": "critical"}
        assert "owner 12346:root" in relay.findings()[0].message
    else:
        assert found(relay) == {"readable_by_others": "critical"}
