# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The password maps of every service, and whether all their entries are known."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings._report import report
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.plugins.module_utils._ses._candidate_digests import Candidates
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import MASTER_CF
from ansible_collections.mailops.ses.tests.support.in_process.fake_survey import (
    HOST,
    KEY,
    LINE,
    PASSWORD,
    FakeSurvey,
    fake_survey,
)

OLD = "AKIAEXAMPLE000000002"
OLD_LINE = f"{KEY} {OLD}:{PASSWORD}\n"
OLD_LOGIN = f"{OLD}:{PASSWORD}"


@pytest.fixture(name="relay")
def fixture_relay(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeSurvey]:
    with fake_survey(monkeypatch) as relay:
        yield relay


def instance(relay: FakeSurvey) -> dict[str, t.Any]:
    """The only instance, as the result has it. No password is in it."""
    found = report(Postfix(relay.postfix, str(relay.folder)), Candidates()).make_result()
    assert PASSWORD not in str(found)
    (only,) = found["instances"]
    return t.cast("dict[str, t.Any]", only)


def override(survey: FakeSurvey, **values: str) -> None:
    """Have master.cf set these, by service; the parameter is smtp_sasl_password_maps."""
    lines = [
        f"{service} unix - - n - - {'lmtp' if service == 'lmtp' else 'smtp'}\n"
        f" -o {{ {'lmtp' if service == 'lmtp' else 'smtp'}_sasl_password_maps = {value} }}\n"
        for service, value in values.items()
    ]
    (survey.folder / "master.cf").write_text(f"{MASTER_CF}{''.join(lines)}", encoding="ascii")


def named(found: t.Mapping[str, t.Any]) -> list[tuple[t.Any, ...]]:
    """Who is where, and by which settings."""
    return [
        (each["username"], each["table"].rpartition("/")[2], each["settings"])
        for each in found["entries"]
    ]


def test_every_service_of_master_cf(relay: FakeSurvey) -> None:
    other = relay.map(OLD_LINE, "other")
    override(relay, ses=f"hash:{other}", relay=f"hash:{relay.folder}/sasl_passwd")
    assert named(instance(relay)) == [
        (
            ACCESS_KEY,
            "sasl_passwd",
            ["smtp_sasl_password_maps", "relay/unix/smtp_sasl_password_maps"],
        ),
        (OLD, "other", ["ses/unix/smtp_sasl_password_maps"]),
    ]


def test_lmtp(relay: FakeSurvey) -> None:
    """In main.cf and in master.cf. Its entries are not called unused: its mail is not looked at."""
    first, second = relay.map(OLD_LINE, "first"), relay.map(OLD_LINE, "second")
    relay.set(lmtp_sasl_password_maps=f"hash:{first}")
    override(relay, lmtp=f"hash:{second}")
    assert named(instance(relay))[1:] == [
        (OLD, "first", ["lmtp_sasl_password_maps"]),
        (OLD, "second", ["lmtp/unix/lmtp_sasl_password_maps"]),
    ]
    assert relay.findings() == []


def test_a_service_asks_its_own_maps_in_its_own_order(relay: FakeSurvey) -> None:
    other = relay.map(OLD_LINE, "other")
    name = f"hash:{relay.folder}/sasl_passwd"
    relay.set(relay_transport=f"relay:{KEY}", relay_domains="x.example")
    override(relay, relay=f"hash:{other} {name}")
    assert relay.used() == {f"sasl_passwd {KEY}": [KEY], f"other {KEY}": [KEY]}
    override(relay, relay=f"{name} hash:{other}")
    assert relay.used() == {f"sasl_passwd {KEY}": [KEY, KEY], f"other {KEY}": []}


def test_a_login_of_another_service_is_none_for_this_one(relay: FakeSurvey) -> None:
    relay.set(smtp_sasl_password_maps="hash:{folder}/empty")
    relay.map("# nothing\n", "empty")
    override(relay, ses=f"hash:{relay.folder}/sasl_passwd")
    assert "no_entry" in {finding.id for finding in relay.findings()}


# type and rest of a map -> its user names
IN_THE_SETTING: dict[str, list[str | None]] = {
    f"static:{OLD_LOGIN}": [OLD],
    f"static:{{{OLD_LOGIN}}}": [OLD],
    f"proxy:static:{OLD_LOGIN}": [OLD],
    f"inline:{{ {HOST}={OLD_LOGIN} }}": [OLD],
    f"inline:{{ {{ {KEY} = {OLD_LOGIN} }}, {{{HOST} = {ACCESS_KEY}:{PASSWORD}}}, x }}": [
        OLD,
        ACCESS_KEY,
    ],
    "regexp:/etc/postfix/sasl_regexp": [],
    "ldap:sasl": [],
}


@pytest.mark.parametrize("name", IN_THE_SETTING)
@pytest.mark.parametrize("service", [False, True])
def test_tables_without_a_file(relay: FakeSurvey, name: str, service: bool) -> None:
    if service:
        override(relay, ses=name)
        relay.set(smtp_sasl_password_maps="")
    else:
        relay.set(smtp_sasl_password_maps=name.replace("{", "{{").replace("}", "}}"))
    found = instance(relay)
    assert [each["username"] for each in found["entries"]] == IN_THE_SETTING[name]
    assert [each["complete"] for each in found["maps"]] == [False]


def test_a_static_login_is_for_every_server(relay: FakeSurvey) -> None:
    relay.set(
        smtp_sasl_password_maps=f"static:{OLD_LOGIN}",
        relayhost=f"{KEY}, [mail.example.com]:587",
    )
    (entry,) = instance(relay)["entries"]
    assert [server["host"] for server in entry["servers"]] == [HOST, "mail.example.com"]
    assert entry["region"] == "eu-west-1"


def spoil_nothing(_relay: FakeSurvey) -> None:
    pass


def spoil_source(relay: FakeSurvey) -> None:
    (relay.folder / "sasl_passwd").unlink()


def spoil_table(relay: FakeSurvey) -> None:
    (relay.folder / "sasl_passwd.db").unlink()


def spoil_both(relay: FakeSurvey) -> None:
    spoil_source(relay)
    spoil_table(relay)


def spoil_listing(relay: FakeSurvey) -> None:
    relay.postfix.fails["postmap -s"] = (1, b"", b"postmap: fatal: damaged")


def spoil_form(relay: FakeSurvey) -> None:
    """The source is no file, though its table is there."""
    spoil_source(relay)
    (relay.folder / "sasl_passwd").mkdir()


def spoil_type(relay: FakeSurvey) -> None:
    relay.set(smtp_sasl_password_maps="dbm:{folder}/sasl_passwd")


SPOILT: list[tuple[t.Callable[[FakeSurvey], None], bool]] = [
    (spoil_nothing, True),
    (spoil_source, True),
    (spoil_table, True),  # what a new table would have is known
    (spoil_both, False),
    (spoil_listing, False),
    (spoil_form, False),
    (spoil_type, False),
]


@pytest.mark.parametrize(("spoil", "complete"), SPOILT)
def test_whether_all_entries_are_known(
    relay: FakeSurvey, spoil: t.Callable[[FakeSurvey], None], complete: bool
) -> None:
    relay.map(LINE)
    spoil(relay)
    assert [each["complete"] for each in instance(relay)["maps"]] == [complete]


def test_a_map_that_this_user_may_not_read(
    relay: FakeSurvey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_access(path: t.Any, mode: int) -> bool:
        return Path(path).suffix != ".db" or mode != os.R_OK

    monkeypatch.setattr(os, "access", no_access)
    assert [each["complete"] for each in instance(relay)["maps"]] == [False]
