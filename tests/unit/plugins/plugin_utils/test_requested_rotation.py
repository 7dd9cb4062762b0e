# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import RequestedEntry
from ansible_collections.mailops.ses.plugins.module_utils._relay._rotation_plan import (
    RotatedEntries,
    RotatedEntry,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import SesSmtpError
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpServer
from ansible_collections.mailops.ses.plugins.plugin_utils._requested_rotation import (
    NewKey,
    find_entries,
    find_mail_manager_entries,
)
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    MAIL_MANAGER,
    PASSWORD_OF,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import password_v4

OLD = "AKIAEXAMPLE000000002"
OPTIONS: dict[str, t.Any] = {
    "access_key": ACCESS_KEY,
    "secret_key": SECRET_KEY,
    "old_access_key": OLD,
    "region": None,
}
SERVER: dict[str, t.Any] = {
    "host": "email-smtp.eu-west-1.amazonaws.com",
    "port": 587,
    "tls": "starttls",
}
ENTRY: dict[str, t.Any] = {
    "table": "hash:/etc/postfix/sasl_passwd",
    "path": "/etc/postfix/sasl_passwd",
    "key": "[email-smtp.eu-west-1.amazonaws.com]:587",
    "username": OLD,
    "system": "iam",
    "region": "eu-west-1",
    "servers": [SERVER],
}

# what the options lack, or have instead -> what is said
REFUSED: list[tuple[dict[str, t.Any], str]] = [
    ({"old_access_key": None}, "old_access_key is missing"),
    ({"old_access_key": SECRET_KEY}, "old_access_key is not an access key ID"),
    ({"old_access_key": ACCESS_KEY}, "access_key and old_access_key are the same"),
    ({"access_key": None}, "access_key is missing"),
    ({"access_key": "ASIAIOSFODNN7EXAMPLE"}, "temporary credentials"),
    ({"secret_key": None}, "secret_key is missing"),
    ({"secret_key": f"{SECRET_KEY}\n"}, "secret_key has white space after it"),
    ({"region": "eu west"}, "region"),
    ({"regions": ["eu-west-1", "eu west"]}, "regions: "),
]


@pytest.fixture(autouse=True)
def fixture_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def test_each_entry_has_the_password_of_its_own_region() -> None:
    central = {**ENTRY, "key": "@example.com", "region": "eu-central-1", "servers": []}
    others = {**ENTRY, "username": "AKIAEXAMPLE000000003"}
    rotated = NewKey(OPTIONS).rotate([ENTRY, others, central])
    passwords = PASSWORD_OF["eu-west-1"], password_v4(SECRET_KEY, "eu-central-1")
    entries = [
        RequestedEntry(key, ACCESS_KEY, password, requested_by=f"the entry {key!r}")
        for key, password in zip((ENTRY["key"], "@example.com"), passwords, strict=True)
    ]
    assert rotated.entries == (
        RotatedEntry(ENTRY["path"], entries[0], (SmtpServer(SERVER["host"], 587, "starttls"),)),
        RotatedEntry(ENTRY["path"], entries[1], ()),
    )


def test_the_key_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    (rotated,) = NewKey({"old_access_key": OLD}).rotate([ENTRY]).entries
    assert (rotated.entry.username, rotated.entry.password) == (
        ACCESS_KEY,
        PASSWORD_OF["eu-west-1"],
    )


def test_a_region_that_can_not_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is not asked: its region would be a guess."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    nowhere = {**ENTRY, "key": "[mail.example.com]:587", "region": None}
    with pytest.raises(SesSmtpError) as raised:
        NewKey(OPTIONS).rotate([nowhere])
    assert "'[mail.example.com]:587' of /etc/postfix/sasl_passwd can't be told" in str(raised.value)
    (rotated,) = NewKey({**OPTIONS, "region": "eu-west-1"}).rotate([nowhere]).entries
    assert rotated.entry.password == PASSWORD_OF["eu-west-1"]


def test_entries_for_mail_manager() -> None:
    """Their own logins are left alone; an access key is never right there."""
    key = f"[{MAIL_MANAGER['endpoint']}]:587"
    own = {**ENTRY, "key": key, "username": MAIL_MANAGER["username"], "system": "mail_manager"}
    (rotated,) = NewKey(OPTIONS).rotate([own, ENTRY]).entries
    assert rotated.entry.key == ENTRY["key"]
    assert find_mail_manager_entries([own, ENTRY, own]) == [key]
    with pytest.raises(SesSmtpError) as raised:
        NewKey({**OPTIONS, "region": "eu-west-1"}).rotate([{**own, "username": OLD}])
    assert f"the entry {key!r} of /etc/postfix/sasl_passwd is for Mail Manager" in str(raised.value)


def test_an_entry_in_main_cf_itself() -> None:
    with pytest.raises(SesSmtpError, match="line 3 of /etc/p has its parts in another order"):
        NewKey(OPTIONS).rotate([{**ENTRY, "path": "/etc/p", "line": 3, "key": "REDACTED"}])
    with pytest.raises(SesSmtpError, match="is in inline, which has no file"):
        NewKey(OPTIONS).rotate([{**ENTRY, "table": "inline", "path": ""}])


@pytest.mark.parametrize(("said", "says"), REFUSED)
def test_refused(said: dict[str, t.Any], says: str) -> None:
    with pytest.raises(SesSmtpError) as raised:
        NewKey({**OPTIONS, **said})
    assert says in str(raised.value)
    assert SECRET_KEY not in str(raised.value)


def test_the_instance_that_a_task_is_about() -> None:
    of_one, of_two = {**ENTRY, "key": "one"}, {**ENTRY, "key": "two"}
    instances = [{"name": "out", "entries": [of_one]}, {"name": "-", "entries": [of_two]}]
    assert find_entries(instances, None) == [of_two]
    assert find_entries(instances[:1], "/etc/postfix-out") == [of_one]
    with pytest.raises(SesSmtpError, match="Give the config_directory of the one"):
        find_entries(instances[:1], None)


# what an entry has instead, or None for something else instead of all instances -> what is said
MALFORMED: list[tuple[t.Any, str]] = [
    ({"key": None}, r"\[0\].entries\[0\].key is not of the type str"),
    ({"key": ["x"]}, "key is not of the type str"),
    ({"servers": "x"}, "servers is not of the type list"),
    ({"servers": [{"host": "a", "port": "587", "tls": None}]}, "port is not of the type int"),
    ({"region": 4}, "region is not of the type str"),
    ({"username": {}}, "username is not of the type str"),
    ({"path": "/" * 5000}, "path has 5000 characters, and at most 4096"),
]


@pytest.mark.parametrize(("wrong", "says"), MALFORMED)
def test_a_host_that_answers_anything_else(wrong: dict[str, t.Any], says: str) -> None:
    with pytest.raises(SesSmtpError, match=says):
        find_entries([{"name": "-", "entries": [{**ENTRY, **wrong}]}], None)


@pytest.mark.parametrize("instances", [None, {}, "text", [3], [{"name": "-"}], [{"entries": []}]])
def test_a_host_without_instances(instances: t.Any) -> None:
    with pytest.raises(
        SesSmtpError, match=r"not one of postfix_relay_info: .*No password was sent"
    ):
        find_entries(instances, None)


def test_a_host_with_too_many_entries() -> None:
    with pytest.raises(SesSmtpError, match="entries has 100000 items, and at most 10000"):
        find_entries([{"name": "-", "entries": [ENTRY] * 100_000}], None)


def test_regions_are_a_limit() -> None:
    """Of what a host says, whether the region is in its answer or given for it."""
    central = {**ENTRY, "region": "eu-central-1"}
    limited = {**OPTIONS, "regions": ["eu-west-1", "us-east-1"]}
    assert len(NewKey(limited).rotate([ENTRY]).entries) == 1
    with pytest.raises(SesSmtpError, match="is for the region 'eu-central-1', which is not in"):
        NewKey(limited).rotate([ENTRY, central])
    with pytest.raises(SesSmtpError, match="'eu-central-1'"):
        NewKey({**limited, "region": "eu-central-1"}).rotate([{**ENTRY, "region": None}])
    with pytest.raises(SesSmtpError, match="not in regions"):
        NewKey({**OPTIONS, "regions": []}).rotate([ENTRY])


def test_no_host_has_more_regions_than_there_are() -> None:
    many = [{**ENTRY, "region": f"xx-east-{number}"} for number in range(40)]
    with pytest.raises(SesSmtpError, match="entries for 40 regions, and SES has"):
        NewKey(OPTIONS).rotate(many)
    others = [{**entry, "username": ACCESS_KEY} for entry in many]
    assert NewKey(OPTIONS).rotate(others) == RotatedEntries()
