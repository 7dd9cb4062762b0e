# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each finding, by making its mistake; and none where there is no mistake."""

from __future__ import annotations

import pwd
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_survey import (
    CANDIDATE,
    HOST,
    KEY,
    LINE,
    PASSWORD,
    VERSION_2,
    FakeSurvey,
    Found,
    fake_survey,
    found,
)

OTHER_HOST = "email-smtp.us-east-1.amazonaws.com"
OF_OTHER_REGION = PASSWORD_OF["us-east-1"]


@pytest.fixture(name="relay")
def fixture_relay(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeSurvey]:
    with fake_survey(monkeypatch) as relay:
        yield relay


#: settings that differ from a right relay's -> what is found
SETTINGS: dict[str, tuple[dict[str, str], Found]] = {
    "right": ({}, {}),
    "no relay": ({"relayhost": "", "smtp_sasl_password_maps": ""}, {}),
    "not ours": ({"relayhost": "smtp.example.net", "smtp_sasl_password_maps": ""}, {}),
    "verified by name": ({"smtp_tls_security_level": "verify"}, {}),
    "another port": ({"relayhost": f"[{HOST}]:2587"}, {"no_entry": "critical", "unused_entry": "notice"}),
    "no port": ({"relayhost": f"[{HOST}]"}, {"no_entry": "critical", "unused_entry": "notice"}),
    "no map": ({"smtp_sasl_password_maps": ""}, {"no_entry": "critical"}),
    "not relayed": ({"relayhost": ""}, {"route_elsewhere": "critical", "unused_entry": "notice"}),
    "no login": ({"smtp_sasl_auth_enable": "no"}, {"auth_disabled": "critical"}),
    "encrypted only": ({"smtp_tls_security_level": "encrypt"}, {"tls_not_verified": "warning"}),
    "dane, which SES has not": ({"smtp_tls_security_level": "dane"}, {"tls_not_verified": "warning"}),
    "TLS or not": ({"smtp_tls_security_level": "may"}, {"tls_not_verified": "critical"}),
    "no TLS": ({"smtp_tls_security_level": ""}, {"tls_not_verified": "critical"}),
    "the old settings": ({"smtp_tls_security_level": "", "smtp_enforce_tls": "yes"}, {}),
    "the old settings, unverified": (
        {"smtp_tls_security_level": "", "smtp_enforce_tls": "yes", "smtp_tls_enforce_peername": "no"},
        {"tls_not_verified": "warning"},
    ),
    "the old settings, TLS or not": (
        {"smtp_tls_security_level": "", "smtp_use_tls": "yes"},
        {"tls_not_verified": "critical"},
    ),
    "no CA file": ({"smtp_tls_CAfile": ""}, {"no_ca_file": "critical"}),
    "a CA file that is not there": ({"smtp_tls_CAfile": "/no/such.pem"}, {"no_ca_file": "critical"}),
    "a CA file that is not there, and CAs elsewhere": (
        {"smtp_tls_CAfile": "/no/such.pem", "smtp_tls_CApath": "/etc/ssl/certs"},
        {"no_ca_file": "critical"},
    ),
    "CAs elsewhere": ({"smtp_tls_CAfile": "", "smtp_tls_CApath": "/etc/ssl/certs"}, {}),
    "the default CAs": ({"smtp_tls_CAfile": "", "tls_append_default_CA": "yes"}, {}),
    "no CA file needed": (
        {"smtp_tls_CAfile": "", "smtp_tls_security_level": "encrypt"},
        {"tls_not_verified": "warning"},
    ),
    "wrapper mode for 587": ({"smtp_tls_wrappermode": "yes"}, {"wrappermode": "critical"}),
    "no mechanism": (
        {"smtp_sasl_tls_security_options": "", "smtp_sasl_security_options": ""},
        {"sasl_noplaintext": "critical"},
    ),
    "no mechanism in verified TLS": (
        {"smtp_sasl_tls_verified_security_options": "noplaintext"},
        {"sasl_noplaintext": "critical"},
    ),
    "a type that is gone": (
        {"smtp_sasl_password_maps": "dbm:{folder}/sasl_passwd"},
        {"table_type_missing": "critical"},
    ),
    "no type": ({"smtp_sasl_password_maps": "user:sesame"}, {"table_type_missing": "critical"}),
    "a map without its type": (
        {"smtp_sasl_password_maps": "{folder}/sasl_passwd"},
        {"table_type_missing": "critical"},
    ),
    "a map that is not used": (
        {"smtp_sasl_auth_enable": "no", "smtp_sasl_password_maps": "hash:/no/such", "relayhost": ""},
        {"table_missing": "notice"},
    ),
    "through proxymap": ({"smtp_sasl_password_maps": "proxy:hash:{folder}/sasl_passwd"}, {}),
    "without a table": ({"smtp_sasl_password_maps": "texthash:{folder}/sasl_passwd"}, {}),
    "in a directory service": (
        {"smtp_sasl_password_maps": "proxy:ldap:sesame"},
        {"map_not_read": "warning"},
    ),
    "in main.cf": (
        {"smtp_sasl_password_maps": "static:user:sesame"},
        {
            "map_not_read": "warning",
            "readable_by_others": "critical",
            "username_not_access_key": "critical",
        },
    ),
    "in main.cf, too": (
        {"smtp_sasl_password_maps": "hash:{folder}/sasl_passwd inline:{{{{ k=u:sesame }}}}"},
        {"map_not_read": "warning", "readable_by_others": "critical"},
    ),
    "senders' servers": (
        {"sender_dependent_relayhost_maps": "dbm:/senders", "smtp_tls_wrappermode": "no"},
        {"table_type_missing": "critical"},
    ),
    "senders' servers missing": (
        {"sender_dependent_relayhost_maps": "hash:/no/senders"},
        {"table_missing": "critical"},
    ),
    "mail that goes elsewhere, nobody knows where": (
        {"relayhost": "", "transport_maps": "regexp:/etc/postfix/transport"},
        {"routes_unknown": "warning"},
    ),
    "another mail system's port": ({"relayhost": f"[{HOST}]:587, [smtp.example.net]:465"}, {}),
}  # fmt: skip

#: the source of the map, with its table -> what is found without and with candidates
SOURCES: dict[str, tuple[str, Found, Found]] = {
    "right": (LINE, {}, {}),
    "right, and somebody else's": (f"{LINE}[smtp.example.net]:587 them:sesame\n", {}, {}),
    "version 2": (
        f"{KEY} {ACCESS_KEY}:{VERSION_2}\n",
        {"version_2_password": "warning"},
        {"version_2_password": "warning"},
    ),
    "another region's": (
        f"{KEY} {ACCESS_KEY}:{OF_OTHER_REGION}\n", {}, {"other_region": "critical"}
    ),
    "another region's, unused": (
        f"{LINE}[{OTHER_HOST}]:587 {ACCESS_KEY}:{PASSWORD}\n",
        {"unused_entry": "notice"},
        {"other_region": "critical", "unused_entry": "notice"},
    ),
    "the secret itself": (
        f"{KEY} {ACCESS_KEY}:{SECRET_KEY}\n", {"raw_secret": "critical"}, {"raw_secret": "critical"}
    ),
    "a user's name": (
        f"{KEY} joe@example.com:{PASSWORD}\n",
        {"username_not_access_key": "critical"},
        {"username_not_access_key": "critical"},
    ),
    "a temporary key": (
        f"{KEY} ASIAIOSFODNN7EXAMPLE:{PASSWORD}\n",
        {"username_not_access_key": "critical"},
        {"username_not_access_key": "critical"},
    ),
    "swapped": (
        f"{KEY} {PASSWORD}:{ACCESS_KEY}\n",
        {"username_not_access_key": "critical"},
        {"username_not_access_key": "critical"},
    ),
    "another key's user name": (
        f"{KEY} AKIAEXAMPLE000000002:{PASSWORD}\n", {}, {"username_of_other_key": "critical"}
    ),
    "no colon": (
        f"{KEY} sesame\n",
        {"username_not_access_key": "critical"},
        {"username_not_access_key": "critical"},
    ),
    "the bare name is found first": (
        f"{LINE}{HOST} AKIAEXAMPLE000000002:{PASSWORD}\n",
        {"unused_entry": "warning"},
        {"unused_entry": "warning", "username_of_other_key": "critical"},
    ),
    "the bare name has the same login": (f"{LINE}{HOST} {ACCESS_KEY}:{PASSWORD}\n", {}, {}),
    "no entry for the port": (
        f"[{HOST}] {ACCESS_KEY}:{PASSWORD}\n",
        {"no_entry": "critical", "unused_entry": "notice"},
        {"no_entry": "critical", "unused_entry": "notice"},
    ),
    "a sender's": (
        f"{LINE}@example.org {ACCESS_KEY}:{PASSWORD}\n",
        {"unused_entry": "notice"},
        {"unused_entry": "notice"},
    ),
    "a key again": (LINE + LINE, {"repeated_key": "warning"}, {"repeated_key": "warning"}),
    "no entry at all": (
        f"{LINE}[{OTHER_HOST}]:587\n", {"line_ignored": "warning"}, {"line_ignored": "warning"}
    ),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_settings(relay: FakeSurvey, settings: dict[str, str], expected: Found) -> None:
    relay.set(**settings)
    assert found(relay) == expected


@pytest.mark.parametrize(("source", "expected", "with_candidates"), SOURCES.values(), ids=SOURCES)
def test_entries(relay: FakeSurvey, source: str, expected: Found, with_candidates: Found) -> None:
    relay.map(source)
    assert found(relay) == expected
    assert found(relay, CANDIDATE) == with_candidates


@pytest.mark.parametrize(
    ("value", "username"),
    [
        (f"{ACCESS_KEY}:{PASSWORD}", ACCESS_KEY),
        ("joe@example.com:sesame", "joe@example.com"),
        (f"{PASSWORD}:{ACCESS_KEY}", None),
        (f"{SECRET_KEY}:{ACCESS_KEY}", None),
        (f"x.{SECRET_KEY}:{ACCESS_KEY}", None),
        ("sesame", None),
    ],
)
def test_a_user_name_that_could_be_a_secret_is_not_shown(
    relay: FakeSurvey, value: str, username: str | None
) -> None:
    relay.map(f"{KEY} {value}\n")
    (entry,) = relay.facts().maps[0].entries
    assert entry.username == username


def test_the_trap_is_explained(relay: FakeSurvey) -> None:
    relay.map(f"[{HOST}] {ACCESS_KEY}:{PASSWORD}\n")
    finding = relay.findings()[0]
    assert (finding.id, finding.key) == ("no_entry", KEY)
    assert finding.file == f"{relay.folder}/sasl_passwd"
    assert (
        f"There is an entry for '[{HOST}]', but Postfix looks up {HOST!r} and then {KEY!r}"
        in finding.message
    )


def test_proxymap_runs_as_postfix_itself(
    relay: FakeSurvey, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = pwd.struct_passwd(("postfix", "", 12345, 12346, "", "/", "/bin/false"))
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: owner)
    table = relay.folder / "sasl_passwd.db"

    def closed() -> list[str]:
        return [each.id for each in relay.findings() if each.id == "table_closed"]

    relay.set(smtp_sasl_password_maps="proxy:hash:{folder}/sasl_passwd")
    assert closed() == ["table_closed"]
    table.chmod(0o640)
    assert closed() == ["table_closed"]
    table.chmod(0o604)
    assert closed() == []
    relay.set()
    table.chmod(0o600)
    assert closed() == []


def test_port_465_wants_wrapper_mode(relay: FakeSurvey) -> None:
    relay.set(relayhost=f"[{HOST}]:submissions")
    relay.map(LINE.replace("587", "submissions"))
    assert found(relay) == {"wrappermode": "critical"}
    relay.set(relayhost=f"[{HOST}]:submissions", smtp_tls_wrappermode="yes")
    assert found(relay) == {}


def test_master_cf_may_say_otherwise(relay: FakeSurvey) -> None:
    """A transport of its own for port 465, and a default one that logs in."""
    relay.set(relayhost="", transport_maps="hash:{folder}/transport", smtp_sasl_auth_enable="no")
    relay.map(f"* ses:[{HOST}]:465\n", "transport")
    relay.map(LINE.replace("587", "465"))
    services = (relay.folder / "master.cf").read_text("ascii")
    (relay.folder / "master.cf").write_text(f"{services}ses unix - - n - - smtp\n", "ascii")
    assert found(relay) == {"auth_disabled": "critical", "wrappermode": "critical"}
    options = {"smtp_sasl_auth_enable": "yes", "smtp_tls_wrappermode": "yes"}
    own = " ".join(f"-o {name}={value}" for name, value in options.items())
    with (relay.folder / "master.cf").open("a", encoding="ascii") as file:
        file.write(f"ses unix - - n - - smtp {own}\n")
    assert found(relay) == {}


@pytest.mark.parametrize(
    ("policy", "level", "expected"),
    [
        (f"{KEY} secure match=nexthop", "may", {}),
        (f"{KEY} may", "secure", {"tls_not_verified": "critical"}),
        ("[smtp.example.net]:587 may", "secure", {}),
    ],
)
def test_a_tls_policy_beats_the_level(
    relay: FakeSurvey, policy: str, level: str, expected: Found
) -> None:
    relay.set(smtp_tls_policy_maps="hash:{folder}/policy", smtp_tls_security_level=level)
    relay.map(f"{policy}\n", "policy")
    assert found(relay) == expected


def test_a_policy_for_a_parent_domain_and_one_that_nobody_can_read(relay: FakeSurvey) -> None:
    relay.set(
        relayhost=HOST,
        smtp_tls_policy_maps="hash:{folder}/policy",
        smtp_tls_security_level="may",
    )
    relay.map(f"{HOST} {ACCESS_KEY}:{PASSWORD}\n")
    relay.map(".amazonaws.com verify\n", "policy")
    assert found(relay) == {}
    relay.set(smtp_tls_policy_maps="regexp:/policy", smtp_tls_security_level="may")
    relay.map(LINE)
    assert found(relay) == {"tls_unknown": "warning"}


def test_sasl_mechanisms(relay: FakeSurvey) -> None:
    (relay.folder / "sasl2" / "libplain.so.2").unlink()
    assert found(relay) == {"sasl_mechanism_missing": "critical"}
    (relay.folder / "sasl2" / "liblogin.so").touch()
    assert found(relay) == {}
    (relay.folder / "sasl2" / "liblogin.so").unlink()
    relay.set(smtp_sasl_type="dovecot")
    assert found(relay) == {"sasl_type": "critical"}
    relay.set()
    (relay.folder / "sasl2").rmdir()  # then nobody can tell
    assert found(relay) == {}


def test_a_broken_map_hides_no_other_finding(relay: FakeSurvey) -> None:
    relay.set(
        smtp_sasl_password_maps="hash:{folder}/sasl_passwd, hash:/no/such", relayhost=f"[{HOST}]"
    )
    assert found(relay) == {"table_missing": "critical", "unused_entry": "notice"}


def test_paths_are_the_files(relay: FakeSurvey) -> None:
    facts = relay.facts()
    assert Path(facts.main_cf) == relay.folder / "main.cf"
    assert [(each.name, each.path, each.mode) for each in facts.maps] == [
        (f"hash:{relay.folder}/sasl_passwd", f"{relay.folder}/sasl_passwd", "0600")
    ]
