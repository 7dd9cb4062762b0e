# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a message would go, by table. That Postfix says the same, tests/functional/test_routing.py shows."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._configuration import (
    Configuration,
    Filter,
    read_configuration,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._lookup_table import (
    State,
    Table,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._master_cf import (
    parse_services,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.plugins.module_utils._postfix._routing import (
    AddressClass,
    find_route,
    resolve_route,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._search import Question
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import (
    MASTER_CF,
    FakePostfix,
)

if t.TYPE_CHECKING:
    from pathlib import Path

SES = "[ses.example]:587"
DEFAULTS = {
    "myhostname": "host.example",
    "myorigin": "host.example",
    "mydestination": "host.example",
    "local_transport": "local:host.example",
    "virtual_transport": "virtual",
    "relay_transport": "relay",
    "default_transport": "smtp",
    "relayhost": SES,
    "parent_domain_matches_subdomains": "relay_domains",
    "recipient_delimiter": "+",
    "empty_address_recipient": "MAILER-DAEMON",
    "empty_address_relayhost_maps_lookup_key": "<>",
    "empty_address_default_transport_maps_lookup_key": "<>",
}
SDR, SDT = "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps"
Entries = t.Dict[str, str]  # noqa: UP006  # Python 3.7


def made(
    settings: t.Mapping[str, str], table: Entries | None = None, master_cf: str = ""
) -> Configuration:
    """A configuration in which hash:/t is a table with these entries, and regexp:/p has to be asked."""
    values = {key.encode(): value.encode() for key, value in (table or {}).items()}
    return Configuration(
        "/etc/postfix",
        {**DEFAULTS, **settings},
        {name: number for number, name in enumerate(settings, 1)},
        parse_services(MASTER_CF + master_cf),
        {
            "hash:/t": Table("hash:/t", "hash", "/t", State.READ, values=values),
            "regexp:/p": Table("regexp:/p", "regexp", "/p", State.OPAQUE),
            "hash:/no": Table("hash:/no", "hash", "/no", State.MISSING),
            "static:x": Table("static:x", "static", None, State.OPAQUE, values={b"*": b"x"}),
        },
        {"/list": ("!a.example", "b.example"), "/closed": None},
    )


T = "hash:/t"
#: settings, the table -> transport, next hop, what decided each; from me+x@x.example to you+y@a.b.example
ROUTES: list[tuple[dict[str, str], Entries, tuple[str, str, str, str]]] = [
    ({}, {}, ("smtp", SES, "default_transport", "relayhost")),
    ({"relayhost": ""}, {}, ("smtp", "a.b.example", "default_transport", "relayhost")),
    ({"default_transport": "out"}, {}, ("out", SES, "default_transport", "relayhost")),
    ({"default_transport": "error"}, {}, ("error", SES, "default_transport", "relayhost")),
    (
        {"default_transport": "error:no mail"},
        {},
        ("error", "no mail", "default_transport", "default_transport"),
    ),
    ({"relay_domains": "b.example"}, {}, ("relay", SES, "relay_transport", "relayhost")),
    ({"relay_domains": "/list"}, {}, ("relay", SES, "relay_transport", "relayhost")),
    ({"relay_domains": "!/list b.example"}, {}, ("smtp", SES, "default_transport", "relayhost")),
    ({"relay_domains": "!a.b.example, b.example"}, {}, ("smtp", SES, "default_transport", "relayhost")),
    (
        {"relay_domains": "b.example", "parent_domain_matches_subdomains": ""},
        {},
        ("smtp", SES, "default_transport", "relayhost"),
    ),
    (
        {"relay_domains": ".b.example", "parent_domain_matches_subdomains": ""},
        {},
        ("relay", SES, "relay_transport", "relayhost"),
    ),
    ({"relay_domains": T}, {"b.example": "x"}, ("relay", SES, "relay_transport", "relayhost")),
    ({"mydestination": "b.example"}, {}, ("smtp", SES, "default_transport", "relayhost")),
    ({"mydestination": "A.B.example"}, {}, ("local", "host.example", "local_transport", "local_transport")),
    ({"mydestination": T}, {"a.b.example": "x"}, ("local", "host.example", "local_transport", "local_transport")),
    (
        {"virtual_alias_domains": "a.b.example"},
        {},
        ("error", "5.1.1 User unknown in virtual alias table", "virtual_alias_domains", "virtual_alias_domains"),
    ),
    (
        {"virtual_mailbox_domains": "a.b.example"},
        {},
        ("virtual", "a.b.example", "virtual_transport", "virtual_transport"),
    ),
    # The sender's own.
    ({SDR: T}, {"me+x@x.example": "[r]"}, ("smtp", "[r]", "default_transport", SDR)),
    ({SDR: T}, {"me@x.example": "[r]"}, ("smtp", "[r]", "default_transport", SDR)),
    ({SDR: T}, {"@x.example": "[r]"}, ("smtp", "[r]", "default_transport", SDR)),
    ({SDR: T}, {"x.example": "[r]", "me": "[r]"}, ("smtp", SES, "default_transport", "relayhost")),
    ({SDR: T, "myorigin": "x.example"}, {"me": "[r]"}, ("smtp", "[r]", "default_transport", SDR)),
    (
        {SDR: T},
        {"me@x.example": "Dunno", "@x.example": "[r]"},
        ("smtp", SES, "default_transport", "relayhost"),
    ),
    ({SDT: T}, {"@x.example": "out1:"}, ("out1", SES, SDT, "relayhost")),
    ({SDT: T}, {"@x.example": "out1:[r]"}, ("out1", "[r]", SDT, SDT)),
    ({SDT: T}, {"@x.example": "DUNNO"}, ("smtp", SES, "default_transport", "relayhost")),
    (
        {SDT: T, SDR: "static:x"},
        {"@x.example": "out1"},
        ("out1", "x", SDT, SDR),
    ),
    (
        {SDT: T, "relay_domains": "b.example"},
        {"@x.example": "out1"},
        ("relay", SES, "relay_transport", "relayhost"),
    ),
    # transport(5)
    ({"transport_maps": T}, {"you+y@a.b.example": "t:[n]"}, ("t", "[n]", "transport_maps", "transport_maps")),
    ({"transport_maps": T}, {"you@a.b.example": "t:[n]"}, ("t", "[n]", "transport_maps", "transport_maps")),
    ({"transport_maps": T}, {"a.b.example": "t:"}, ("t", "a.b.example", "transport_maps", "transport_maps")),
    ({"transport_maps": T}, {".b.example": ":[n]"}, ("smtp", "[n]", "default_transport", "transport_maps")),
    ({"transport_maps": T}, {".b.example": ":"}, ("smtp", SES, "default_transport", "relayhost")),
    ({"transport_maps": T}, {"b.example": "t:", "@a.b.example": "t:"}, ("smtp", SES, "default_transport", "relayhost")),
    (
        {"transport_maps": T, "parent_domain_matches_subdomains": "transport_maps"},
        {"b.example": "t"},
        ("t", "a.b.example", "transport_maps", "transport_maps"),
    ),
    (
        {"transport_maps": T},
        {"*": "error:"},
        ("error", "Address is undeliverable", "transport_maps", "transport_maps"),
    ),
    ({"transport_maps": T}, {"*": "t:[n]", ".example": ":"}, ("smtp", SES, "default_transport", "relayhost")),
    (
        {"relocated_maps": T},
        {"@a.b.example": "z@z.example"},
        ("error", "5.1.6 User has moved to z@z.example", "relocated_maps", "relocated_maps"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "table", "expected"), ROUTES)
def test_routes(
    settings: dict[str, str], table: Entries, expected: tuple[str, str, str, str]
) -> None:
    configuration = made(settings, table)
    route = resolve_route(configuration, "me+x@x.example", "you+y@a.b.example")
    assert route.transport_by
    assert route.nexthop_by
    decided = (route.transport_by.setting, route.nexthop_by.setting)
    assert (route.transport, route.nexthop, *decided) == expected
    for by in (route.transport_by, route.nexthop_by):
        assert by.file == "/etc/postfix/main.cf"
        assert by.line == configuration.lines.get(by.setting)
        assert (by.table is None) is (by.key is None)


def test_the_null_sender_has_keys_of_its_own() -> None:
    for key, entry in (("<>", "<>"), ("@x.example", "@x.example")):
        names = ("empty_address_relayhost_maps_lookup_key",)
        configuration = made({SDR: T, **dict.fromkeys(names, key)}, {entry: "[r]"})
        assert resolve_route(configuration, "", "you@a.example").nexthop == "[r]"


def test_addresses_that_are_completed() -> None:
    assert resolve_route(made({}), "", "me").address_class is AddressClass.LOCAL
    assert resolve_route(made({}), "", "").recipient == "MAILER-DAEMON@host.example"
    assert resolve_route(made({}), "", "me@a.example.").recipient == "me@a.example"
    interfaces = {"inet_interfaces": "loopback-only", "proxy_interfaces": "192.0.2.1"}
    for address, is_local in (("127.0.0.2", True), ("192.0.2.1", True), ("192.0.2.2", False)):
        route = resolve_route(made(interfaces), "", f"me@[{address}]")
        assert (route.address_class is AddressClass.LOCAL) is is_local


@pytest.mark.parametrize("address", ["a%b@host.example", "a!b", '"a b"@x', "a@b@c", "a@b c"])
def test_addresses_that_postfix_takes_apart(address: str) -> None:
    with pytest.raises(ValueError, match="no plain address"):
        resolve_route(made({}), "", address)


def test_a_setting_of_trivial_rewrite_counts() -> None:
    own = "rewrite unix - - n - - trivial-rewrite\n  -orelayhost=[own]\n"
    route = resolve_route(made({}, master_cf=own), "", "me@a.example")
    assert route.nexthop == "[own]"
    assert route.nexthop_by
    assert route.nexthop_by.service == "rewrite/unix"
    assert route.nexthop_by.file == "/etc/postfix/master.cf"
    assert route.nexthop_by.line == MASTER_CF.count("\n") + 2


def test_what_keeps_the_mail() -> None:
    route = resolve_route(made({"defer_transports": "lmtp, smtp"}), "", "me@a.example")
    assert route.deferred
    assert (route.deferred.setting, route.deferred.line) == ("defer_transports", 1)
    own = "qmgr unix n - n 300 1 qmgr -o defer_transports=\n"
    settings = {"defer_transports": "smtp"}
    assert resolve_route(made(settings, master_cf=own), "", "me@a.example").deferred is None


def test_services() -> None:
    route = resolve_route(made({"smtp_tls_security_level": "may"}), "", "me@a.example")
    assert route.client
    assert (route.client.service, route.client.tls_level) == ("smtp", "may")
    own = "smtp unix - - n - - smtp -o smtp_tls_security_level=secure\n"
    client = resolve_route(made({}, master_cf=own), "", "me@a.example").client
    assert client
    assert (client.tls_level, client.own) == ("secure", {"smtp_tls_security_level": 13})
    assert resolve_route(made({"default_transport": "no"}), "", "me@a.example").service is None
    for disabled in ("smtp.unix", "smtp/unix", "unix", "!smtp/inet, unix"):
        settings = {"master_service_disable": disabled}
        assert resolve_route(made(settings), "", "me@a.example").service is None
    settings = {"master_service_disable": "!smtp.unix, unix"}
    assert resolve_route(made(settings), "", "me@a.example").service


def test_tables_that_postfix_can_not_use() -> None:
    for settings in (
        {SDR: "hash:/no"},
        {"transport_maps": "hash:/no"},
        {"mydestination": "/closed"},
    ):
        route = resolve_route(made(settings), "", "me@a.example")
        assert route.failed
        assert route.failed.setting in settings
        assert route.transport == ""
    route = resolve_route(made({"default_transport": ":[x]"}), "", "me@a.example")
    assert route.failed
    assert route.failed.setting == "default_transport"


def test_tables_that_have_to_be_asked() -> None:
    """Whole addresses only, for patterns; and only when no other table has the key before."""
    settings = {"transport_maps": f"{T} regexp:/p"}
    route = resolve_route(made(settings), "", "me+x@a.example")
    assert route.unknown == (Question("regexp:/p", "me+x@a.example"),)
    asked: list[tuple[str, tuple[str, ...]]] = []

    def ask(table: str, keys: t.Sequence[str]) -> dict[str, str] | None:
        asked.append((table, tuple(keys)))
        return {"*": "t:"} if "*" in keys else {}

    configuration, route = find_route(made(settings), ask, "", "me+x@a.example")
    assert asked == [("regexp:/p", ("me+x@a.example",)), ("regexp:/p", ("*",))]
    assert (route.transport, route.nexthop) == ("t", "a.example")
    assert resolve_route(configuration, "", "me+x@a.example") == route
    _configuration, route = find_route(made(settings), lambda *_any: None, "", "me@a.example")
    assert route.unknown


def test_what_is_read(tmp_path: Path) -> None:
    """The settings with their lines, tables, files of patterns, and services."""
    (tmp_path / "list").write_text("# domains\na.example\n!hash:/no\n", "ascii")
    lines = [
        "# mine",
        f"mydestination = {tmp_path}/list, [b], !{tmp_path}/none hash:{tmp_path}/no",
        "  c.example",
        "transport_maps = hash:/one",
        "transport_maps = regexp:/two",
    ]
    fake = FakePostfix(tmp_path, "\n".join(lines) + "\n")
    configuration = read_configuration(Postfix(fake), str(tmp_path))
    assert configuration.lines == {"mydestination": 2, "transport_maps": 5}
    assert configuration.files == {
        f"{tmp_path}/list": ("a.example", "!hash:/no"),
        f"{tmp_path}/none": None,
    }
    assert set(configuration.tables) == {"hash:/no", f"hash:{tmp_path}/no", "regexp:/two"}
    assert [client.service for client in configuration.list_clients()] == ["smtp", "relay"]
    changed = configuration.with_settings({"transport_maps": ""})
    assert (changed.get("transport_maps"), changed.tables) == ("", configuration.tables)


def test_what_files_of_tables_say(tmp_path: Path) -> None:
    """Right-hand sides of patterns, and filters."""
    (tmp_path / "patterns").write_text(
        "# mine\n/^a\\/b$/i smtp:[x]\n!/c/ :\n  [d]\nif /e/\n%f% g: h\nendif\n/no/\n192.0.2.0/24 z:\n"
    )
    (tmp_path / "access").write_text("a.example FILTER scan:[127.0.0.1]:25\nb FILTERED x:y\n")
    main_cf = (
        f"transport_maps = regexp:{tmp_path}/patterns pcre:/no/such\n"
        f"smtpd_client_restrictions = check_client_access hash:{tmp_path}/access, reject\n"
        f"header_checks = regexp:/no/such\n"
    )
    configuration = read_configuration(Postfix(FakePostfix(tmp_path, main_cf)), str(tmp_path))
    name = f"regexp:{tmp_path}/patterns"
    assert configuration.results == {name: ("smtp:[x]", ": [d]", "g: h", "z:")}
    assert configuration.filters == (
        Filter("smtpd_client_restrictions", f"hash:{tmp_path}/access", "scan:[127.0.0.1]:25"),
    )


def test_files_of_clients_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / "there.pem").touch()
    main_cf = f"smtp_tls_cert_file = {tmp_path}/there.pem\nsmtp_tls_key_file = {tmp_path}/no.pem\n"
    configuration = read_configuration(Postfix(FakePostfix(tmp_path, main_cf)), str(tmp_path))
    assert configuration.missing == {f"{tmp_path}/no.pem"}
