# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which entry Postfix takes for which destination: the order of its lookups."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._destination import (
    Client,
    parse_destinations,
    parse_host,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._redaction import redact_entry
from ansible_collections.mailops.ses.tests.support.in_process.fake_survey import (
    FakeSurvey,
    fake_survey,
)

A, B, C = "[a.example]:587", "[b.example]:587", "[c.example]:587"
SENDERS = {
    "sender_dependent_relayhost_maps": "hash:{folder}/senders",
    "smtp_sender_dependent_authentication": "yes",
}
Used = t.Dict[str, t.List[str]]  # noqa: UP006  # Python 3.7


@pytest.fixture(name="relay")
def fixture_relay(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeSurvey]:
    with fake_survey(monkeypatch) as relay:
        yield relay


#: settings, keys of sasl_passwd, the senders' table -> what each entry is used for
LOOKUPS: dict[str, tuple[dict[str, str], list[str], str, Used]] = {
    "as written": ({"relayhost": A}, [A, "[a.example]", "a.example:587"], "", {A: [A], "[a.example]": [], "a.example:587": []}),
    "the bare name first": ({"relayhost": A}, [A, "a.example"], "", {A: [], "a.example": [A]}),
    "the bare name for all ports": ({"relayhost": f"{A}, [a.example]:2587"}, ["a.example"], "", {"a.example": [A, "[a.example]:2587"]}),
    "upper and lower case": ({"relayhost": "[A.Example]:587"}, ["[a.EXAMPLE]:587"], "", {"[a.EXAMPLE]:587": ["[A.Example]:587"]}),
    "a list": ({"relayhost": f"{A} {B},{C}"}, [A, B], "", {A: [A], B: [B]}),
    "without brackets": ({"relayhost": "a.example:587"}, ["a.example:587"], "", {"a.example:587": ["a.example:587"]}),
    "fallback": ({"relayhost": A, "smtp_fallback_relay": B}, [B], "", {B: [B]}),
    "default_transport beats relayhost": ({"relayhost": A, "default_transport": f"smtp:{B}"}, [A, B], "", {A: [], B: [B]}),
    "relay_transport": ({"relay_transport": f"relay:{C}", "relay_domains": "x.example"}, [C], "", {C: [C]}),
    "a sender": (
        {"relayhost": A, **SENDERS}, [A, "me@x.example"], f"me@x.example {B}",
        {A: [A], "me@x.example": [B]},
    ),
    "a sender without the setting": (
        {"relayhost": A, **SENDERS, "smtp_sender_dependent_authentication": "no"},
        [A, B, "me@x.example"], f"me@x.example {B}",
        {A: [A], B: [B], "me@x.example": []},
    ),
    "a domain": (
        {"relayhost": A, **SENDERS}, [A, "@x.example"], f"@x.example {B}", {A: [A], "@x.example": [B]},
    ),
    "a sender's server, the domain's login": (
        {"relayhost": A, **SENDERS}, ["@x.example"], f"me@x.example {B}", {"@x.example": [A, B]},
    ),
    "a sender's login, the domain's server": (
        {"relayhost": A, **SENDERS}, ["me@x.example"], f"@x.example {B}", {"me@x.example": [B]},
    ),
    "a sender's login, everybody's server": (
        {"relayhost": A, **SENDERS}, ["me@x.example", A], "you@x.example DUNNO",
        {"me@x.example": [A], A: [A]},
    ),
    "a server of a sender, its own login": (
        {"relayhost": A, **SENDERS}, [B], f"me@x.example {B}", {B: [B]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "keys", "senders", "used"), LOOKUPS.values(), ids=LOOKUPS)
def test_lookups(
    relay: FakeSurvey, settings: dict[str, str], keys: list[str], senders: str, used: Used
) -> None:
    relay.set(**{"relayhost": "", **settings})
    relay.map("".join(f"{key} user:sesame\n" for key in keys))
    relay.map(f"{senders}\n", "senders")
    assert relay.used() == {f"sasl_passwd {key}": where for key, where in used.items()}


def test_all_maps_are_asked_for_one_key_before_the_next(relay: FakeSurvey) -> None:
    maps = "hash:{folder}/one hash:{folder}/two"
    relay.set(relayhost=f"{A} {B}", smtp_sasl_password_maps=maps)
    relay.map(f"{A} u:sesame\n{B} u:sesame\n", "one")
    relay.map(f"a.example u:sesame\n{B} u:sesame\n", "two")
    assert relay.used() == {
        f"one {A}": [],
        f"one {B}": [B],
        "two a.example": [A],
        f"two {B}": [],
    }


def test_transports(relay: FakeSurvey) -> None:
    relay.set(relayhost="", transport_maps="hash:{folder}/transport")
    relay.map(f"{A} u:sesame\n{B} u:sesame\n")
    relay.map(f"x.example smtp:{A}\ny.example discard:\nz.example :{B}\n", "transport")
    assert relay.used() == {f"sasl_passwd {A}": [A], f"sasl_passwd {B}": [B]}


DESTINATIONS = [
    ("[a.example]:587", [("a.example", 587)]),
    ("[a.example]:submissions a.example:smtp", [("a.example", 465), ("a.example", 25)]),
    ("[192.0.2.1], [2001:db8::1]:2587", [("192.0.2.1", 25), ("2001:db8::1", 2587)]),
    ("a.example:pop3", [("a.example", 110)]),
    ("a.example:no-such-service", [("a.example", 25)]),
    ("a.example:1:2", []),
    ("", []),
]


@pytest.mark.parametrize(("value", "expected"), DESTINATIONS)
def test_destinations(value: str, expected: list[tuple[str, int]]) -> None:
    found = parse_destinations(value, Client("smtp"))
    assert [(each.host, each.port) for each in found] == expected


KEYS: list[tuple[str, str | None]] = [
    ("[a.example]:587", "a.example"),
    ("a.example:submission", "a.example"),
    ("a.example", "a.example"),
    ("@a.example", None),
    ("me@a.example", None),
    ("[2001:db8::1]:587", "2001:db8::1"),
    ("2001:db8::1", None),
]


@pytest.mark.parametrize(("key", "host"), KEYS)
def test_the_host_of_a_key(key: str, host: str | None) -> None:
    assert parse_host(key) == host
    assert redact_entry(key, "user:sesame").key == key
