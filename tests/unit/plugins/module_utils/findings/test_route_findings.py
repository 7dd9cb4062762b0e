# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What keeps mail from reaching a relay, by table: for a set-up, which refuses it by name."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings._finding import Finding
from ansible_collections.mailops.ses.plugins.module_utils._findings._route_findings import (
    Relay,
    judge_set_up,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._configuration import (
    Configuration,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._flows import find_flows
from ansible_collections.mailops.ses.plugins.module_utils._postfix._lookup_table import (
    State,
    Table,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._master_cf import (
    parse_services,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._own_client import (
    OwnClient,
    list_client_settings,
    place_service,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import MASTER_CF

HOST = "email-smtp.eu-west-1.amazonaws.com"
SES, OTHER = f"[{HOST}]:587", "[email-smtp.eu-west-3.amazonaws.com]:587"
BEFORE = {
    "myhostname": "host.example",
    "myorigin": "host.example",
    "mydestination": "host.example",
    "local_transport": "local:host.example",
    "relay_transport": "relay",
    "default_transport": "smtp",
    "relayhost": "",
    "parent_domain_matches_subdomains": "relay_domains",
    "smtp_tls_security_level": "may",
    "smtp_tls_wrappermode": "no",
    "smtp_tls_mandatory_protocols": "!SSLv2, !SSLv3",
    "smtp_tls_secure_cert_match": "nexthop, dot-nexthop",
    "smtp_tls_verify_cert_match": "hostname",
    "smtp_tls_mandatory_ciphers": "medium",
    "smtp_sasl_auth_soft_bounce": "yes",
    "smtp_sasl_tls_verified_security_options": "noanonymous",
}
AFTER = {
    "relayhost": SES,
    "smtp_sasl_auth_enable": "yes",
    "smtp_sasl_password_maps": "hash:/ours",
    "smtp_tls_security_level": "secure",
    "smtp_tls_CAfile": "/ca.pem",
}
WRAPPED = f"[{HOST}]:465"
ODD = f"[{HOST}]:1587"
SDR, SDT = "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps"
TRANSPORTS, T = "transport_maps", "hash:/t"
EHLO, MAILBOXES = "smtp_discard_ehlo_keyword_address_maps", "mailbox_transport_maps"
#: Beside SES_SERVICE, main.cf has the routing alone.
OWN = {
    "default_transport": "ses",
    "relay_transport": "ses",
    "smtp_sasl_auth_enable": "no",
    "smtp_sasl_password_maps": "",
    "smtp_tls_security_level": "may",
    "smtp_tls_CAfile": "",
}
_OWN = list_client_settings(
    {},
    table="hash:/ours",
    tls_level="secure",
    ca_file="/ca.pem",
    wrappermode=False,
    has_senders=False,
)
SES_SERVICE = place_service(b"", OwnClient("ses", _OWN)).decode()
NO_LOGIN = {"other_client", "auth_disabled", "tls_not_verified"}
BIND = "smtp_bind_address=192.0.2.1"
OUT = "out unix - - n - - smtp\n"
Case = t.Tuple[t.Dict[str, str], t.Dict[str, str], str, t.Set[str]]  # noqa: UP006  # Python 3.7


def judge(
    settings: t.Mapping[str, str],
    table: t.Mapping[str, str] | None = None,
    services: str = "",
    **relay: t.Any,
) -> list[Finding]:
    """What is found with these settings beside the relay's, the entries of hash:/t, and services."""
    values = {key.encode(): value.encode() for key, value in (table or {}).items()}
    tables = {
        T: Table(T, "hash", "/t", State.READ, values=values),
        "static:secure": Table(
            "static:secure", "static", None, State.OPAQUE, values={b"*": b"secure"}
        ),
        "static:me": Table("static:me", "static", None, State.OPAQUE, values={b"*": b"me"}),
        "static:me@x": Table("static:me@x", "static", None, State.OPAQUE, values={b"*": b"me@x"}),
        "static:out": Table("static:out", "static", None, State.OPAQUE, values={b"*": b"out"}),
        "static:auth": Table("static:auth", "static", None, State.OPAQUE, values={b"*": b"Auth"}),
        "static:smtp:[x]": Table(
            "static:", "static", None, State.OPAQUE, values={b"*": b"smtp:[x]"}
        ),
        "ldap:/l": Table("ldap:/l", "ldap", "/l", State.OPAQUE),
        "regexp:/p": Table("regexp:/p", "regexp", "/p", State.OPAQUE),
    }
    results = {"regexp:/p": tuple((table or {}).values())}
    before = Configuration(
        "/etc/postfix",
        {**BEFORE, **settings},
        {name: number for number, name in enumerate(settings, 1)},
        parse_services(MASTER_CF + services),
        tables,
        results=results,
        missing=frozenset({"/gone.pem"}),
        foreign=frozenset({"192.0.2.1"}),
    )
    after = before.with_settings({**AFTER, **{k: v for k, v in settings.items() if k in AFTER}})
    before = before.with_settings({"smtp_tls_wrappermode": "no"})
    if settings.get("default_transport") == "ses":
        before = before.with_settings({"default_transport": "smtp"})
    known = {"servers": frozenset({SES, WRAPPED, ODD}), "table": "hash:/ours", **relay}
    after, flows = find_flows(after, lambda _table, _keys: {}, known.get("senders", {}))
    return judge_set_up(after, flows, Relay(**known), before)


#: settings, entries of hash:/t, services of master.cf -> the findings that block
CASES: dict[str, Case] = {
    "nothing": ({}, {}, "", set()),
    # Another route for all mail.
    "error": ({"default_transport": "error"}, {}, "", {"route_elsewhere"}),
    "another next hop": ({"default_transport": "smtp:[x]"}, {}, "", {"route_elsewhere"}),
    "no SMTP client": ({"default_transport": "uucp"}, {}, "uucp unix - n n - - pipe\n", {"route_elsewhere"}),
    "a transport that is not there": ({"default_transport": "gone"}, {}, "", {"service_missing", "route_elsewhere"}),
    "another client": ({"default_transport": "out"}, {}, OUT, set()),
    "all of transport_maps": ({TRANSPORTS: T}, {"*": "smtp:[x]"}, "", {"route_elsewhere"}),
    "all of transport_maps, to MX": ({TRANSPORTS: T}, {"*": "smtp:"}, "", {"route_elsewhere"}),
    "all of transport_maps, discarded": ({TRANSPORTS: T}, {"*": "discard:"}, "", {"route_elsewhere"}),
    "all of transport_maps, to SES": ({TRANSPORTS: T}, {"*": f"smtp:{SES}"}, "", set()),
    "nothing of transport_maps": ({TRANSPORTS: T}, {"*": ":", "x.example": "error:no"}, "", set()),
    "all of a static table": ({SDT: "static:out"}, {}, f"{OUT} -o smtp_tls_security_level=may\n", {"tls_not_verified"}),
    "deferred": ({"defer_transports": "lmtp smtp"}, {}, "", {"transport_deferred"}),
    "another one deferred": ({"defer_transports": "relay"}, {}, "", set()),
    "disabled": ({"master_service_disable": "smtp.unix"}, {}, "", {"service_missing"}),
    "trivial-rewrite's own": ({}, {}, "rewrite unix - - n - - trivial-rewrite -orelayhost=[x]\n", {"route_elsewhere"}),
    "all to one address here": ({"virtual_alias_maps": "static:me"}, {}, "", {"route_elsewhere"}),
    "all to one address elsewhere": ({"virtual_alias_maps": "static:me@x"}, {}, "", set()),
    "some to an address here": ({"virtual_alias_maps": T}, {"you@x.example": "me"}, "", set()),
    "an empty transport": ({"default_transport": ":[x]"}, {}, "", {"route_fails"}),
    # relay_domains
    "relayed": ({"relay_domains": "x.example"}, {}, "", set()),
    "relayed with an error": ({"relay_domains": "x.example", "relay_transport": "error"}, {}, "", {"route_elsewhere"}),
    "an error without relay_domains": ({"relay_transport": "error"}, {}, "", set()),
    # Senders whose mail goes to SES, by another service.
    "a sender's client": ({SDT: T}, {"@x.example": "out:"}, OUT, set()),
    "a sender without TLS": ({SDT: T}, {"@x.example": "out:"}, f"{OUT} -o smtp_tls_security_level=may\n", {"tls_not_verified"}),
    "a sender without TLS, joined": ({SDT: T}, {"me@x.example": "out"}, f"{OUT} -osmtp_tls_security_level=encrypt\n", {"tls_not_verified"}),
    "a pattern without TLS": ({SDT: "regexp:/p"}, {"p": "out:"}, f"{OUT} -o smtp_tls_security_level=may\n", {"tls_not_verified"}),
    "a sender without a login": ({SDT: T}, {"@x.example": "out:"}, f"{OUT} -o smtp_sasl_auth_enable=no\n", {"auth_disabled"}),
    "a sender with other maps": ({SDT: T}, {"@x.example": "out:"}, f"{OUT} -o smtp_sasl_password_maps=hash:/o\n", {"other_password_maps"}),
    "a sender with our map": ({SDT: T}, {"@x.example": "out:"}, f"{OUT} -o smtp_sasl_password_maps=proxy:hash:/ours\n", set()),
    "a sender with other authorities": ({SDT: T}, {"@x.example": "out:"}, f"{OUT} -o smtp_tls_CAfile=/company.pem\n", {"other_ca_file"}),
    "a sender with our authorities": ({SDT: T}, {"@x.example": "out:"}, f"{OUT} -o smtp_tls_CAfile=/ca.pem\n", set()),
    "a sender elsewhere": ({SDR: T}, {"@x.example": "[other.example]"}, "smtp unix - - n - - smtp -o smtp_tls_security_level=may\n", {"tls_not_verified"}),
    "an unused service": ({}, {}, f"{OUT} -o smtp_tls_security_level=none\n", set()),
    # TLS
    "old protocols": ({"smtp_tls_mandatory_protocols": "TLSv1"}, {}, "", {"tls_protocols"}),
    "protocols of another level": ({"smtp_tls_protocols": "TLSv1"}, {}, "", set()),
    "ciphers": ({"smtp_tls_mandatory_ciphers": "null"}, {}, "", {"tls_ciphers"}),
    "no ciphers": ({"smtp_tls_exclude_ciphers": "aNULL, ALL"}, {}, "", {"tls_ciphers"}),
    "another name": ({"smtp_tls_secure_cert_match": "smtp.example.net"}, {}, "", {"tls_certificate_match"}),
    "a parent's name": ({"smtp_tls_secure_cert_match": ".amazonaws.com"}, {}, "", set()),
    "names of another level": ({"smtp_tls_verify_cert_match": "x"}, {}, "", set()),
    "a certificate": ({"smtp_tls_cert_file": "/gone.pem"}, {}, "", {"tls_file_missing"}),
    "a certificate that is there": ({"smtp_tls_cert_file": "/there.pem"}, {}, "", set()),
    "a key without a certificate": ({"smtp_tls_key_file": "/gone.pem"}, {}, "", set()),
    "a chain": ({"smtp_tls_chain_files": "/gone.pem", "smtp_tls_cert_file": "/gone.pem"}, {}, "", set()),
    "trust anchors": ({"smtp_tls_trust_anchor_file": "/gone.pem"}, {}, "", {"tls_file_missing"}),
    "a service's wrapper mode, on a port of one's own": ({"relayhost": ODD}, {}, "smtp unix - - n - - smtp -o smtp_tls_wrappermode=yes\n", {"wrappermode"}),
    "a port of one's own": ({"relayhost": ODD}, {}, "", set()),
    "a service's CA file": ({}, {}, "smtp unix - - n - - smtp -o smtp_tls_CAfile=/gone.pem\n", {"tls_file_missing"}),
    "a header": ({"tls_required_enable": "yes"}, {}, "", {"tls_not_verified"}),
    "no header": ({"tls_required_enable": "no"}, {}, "", set()),
    "a header for one service": ({"tls_required_enable": "no"}, {}, "smtp unix - - n - - smtp -o tls_required_enable=yes\n", {"tls_not_verified"}),
    "a policy": ({"smtp_tls_policy_maps": T}, {SES: "may"}, "", {"tls_not_verified"}),
    "a policy's protocols": ({"smtp_tls_policy_maps": T}, {SES: "secure protocols=TLSv1.1"}, "", {"tls_protocols"}),
    "a policy's names": ({"smtp_tls_policy_maps": T}, {SES: "secure match=dot-nexthop"}, "", {"tls_certificate_match"}),
    "a good policy": ({"smtp_tls_policy_maps": T}, {SES: "secure match=nexthop:dot-nexthop"}, "", set()),
    "a site": ({"smtp_tls_per_site": T}, {HOST: "NONE"}, "", {"tls_not_verified"}),
    "a site that may": ({"smtp_tls_per_site": T}, {HOST: "MAY"}, "", set()),
    # SASL and EHLO
    "mechanisms": ({"smtp_sasl_mechanism_filter": "cram-md5, external"}, {}, "", {"sasl_mechanism_filter"}),
    "all but those": ({"smtp_sasl_mechanism_filter": "!plain, !LOGIN"}, {}, "", {"sasl_mechanism_filter"}),
    "one of them": ({"smtp_sasl_mechanism_filter": "!gssapi, Login"}, {}, "", set()),
    "a table of mechanisms": ({"smtp_sasl_mechanism_filter": T}, {"gssapi": "x"}, "", {"sasl_mechanism_filter"}),
    "a table with one of them": ({"smtp_sasl_mechanism_filter": f"gssapi, {T}"}, {"login": "x"}, "", set()),
    "a table without one of them": ({"smtp_sasl_mechanism_filter": f"!{T}, static:me"}, {"plain": "x"}, "", set()),
    "any mechanism": ({"smtp_sasl_mechanism_filter": "static:me"}, {}, "", set()),
    "mechanisms of a table that is asked": ({"smtp_sasl_mechanism_filter": "ldap:/l"}, {}, "", {"sasl_mechanism_filter"}),
    "mechanisms of a file that can't be read": ({"smtp_sasl_mechanism_filter": "/gone"}, {}, "", {"sasl_mechanism_filter"}),
    "no EHLO": ({"smtp_never_send_ehlo": "yes"}, {}, "", {"ehlo_disabled"}),
    "an ignored STARTTLS": ({"smtp_discard_ehlo_keywords": "pipelining STARTTLS"}, {}, "", {"ehlo_disabled"}),
    "an ignored AUTH at every address": ({EHLO: "static:auth"}, {}, "", {"ehlo_disabled"}),
    "ignored at every address, but no AUTH": ({EHLO: "static:me"}, {}, "", set()),
    # The connection.
    "no address": ({"smtp_bind_address": "eth0"}, {}, "", {"bind_address"}),
    "another host's address": ({"smtp_bind_address": "192.0.2.1", "smtp_bind_address_enforce": "yes"}, {}, "", {"bind_address"}),
    "another host's address for one service": (
        {"smtp_bind_address_enforce": "no"}, {}, f"smtp unix - - n - - smtp -o smtp_bind_address_enforce=yes -o {BIND}\n", {"bind_address"},
    ),
    "the same before Postfix 3.7": ({}, {}, f"smtp unix - - n - - smtp -o smtp_bind_address_enforce=yes -o {BIND}\n", set()),
    "another host's address, if possible": ({"smtp_bind_address": "192.0.2.1"}, {}, "", set()),
    "one of the host's addresses": ({"smtp_bind_address": "192.0.2.2", "smtp_bind_address_enforce": "yes"}, {}, "", set()),
    "an address of another family": ({"smtp_bind_address6": "eth0"}, {}, "", set()),
    "an address that is not used": ({"smtp_bind_address": "eth0", "inet_protocols": "ipv6"}, {}, "", set()),
    # Other mail.
    "a filter": ({"content_filter": "smtp:[127.0.0.9]:25"}, {}, "", {"other_mail_flow"}),
    "a filter of a service": ({}, {}, "pickup unix n - n 60 1 pickup -o content_filter=smtp:[x]\n", {"other_mail_flow"}),
    "a filter with a client of its own": ({"content_filter": "out:[x]"}, {}, f"{OUT} -o smtp_tls_security_level=none\n", set()),
    "a filter that is no SMTP client": ({"content_filter": "scan:x"}, {}, "scan unix - n n - - pipe\n", set()),
    "an internal server": ({TRANSPORTS: T}, {"x.example": "smtp:[x]:25"}, "", {"other_mail_flow"}),
    "a domain's own servers": ({TRANSPORTS: T}, {".x.example": "relay:"}, "", {"other_mail_flow"}),
    "a pattern's server": ({TRANSPORTS: "regexp:/p"}, {"p": "smtp:[x]:25"}, "", {"other_mail_flow"}),
    "relayed elsewhere": ({"relay_domains": "x.example", "relay_transport": "relay:[x]"}, {}, "", {"other_mail_flow"}),
    "mailboxes elsewhere": ({"mailbox_transport": "smtp:[x]:25"}, {}, "", {"other_mail_flow"}),
    "unknown users elsewhere": ({"fallback_transport": "relay:[x]"}, {}, "", {"other_mail_flow"}),
    "local mail elsewhere": ({"local_transport": "smtp:[x]"}, {}, "", {"other_mail_flow"}),
    "virtual mailboxes elsewhere": ({"virtual_mailbox_domains": "x.example", "virtual_transport": "smtp:[x]"}, {}, "", {"other_mail_flow"}),
    "no virtual mailboxes": ({"virtual_transport": "smtp:[x]"}, {}, "", set()),
    "mailboxes by LMTP": ({"mailbox_transport": "lmtp:[x]"}, {}, "lmtp unix - - n - - lmtp\n", set()),
    "some mailboxes elsewhere": ({MAILBOXES: T}, {"me": "smtp:[x]:25"}, "", {"other_mail_flow"}),
    "unknown users elsewhere, by a table": ({"fallback_transport_maps": T}, {"me": "relay:[x]"}, "", {"other_mail_flow"}),
    "all mailboxes elsewhere": ({MAILBOXES: "static:smtp:[x]"}, {}, "", {"other_mail_flow"}),
    "mailboxes of a pattern elsewhere": ({MAILBOXES: "regexp:/p"}, {"p": "smtp:[x]"}, "", {"other_mail_flow"}),
    "mailboxes by LMTP, by a table": ({MAILBOXES: T}, {"me": "lmtp:[x]"}, "lmtp unix - - n - - lmtp\n", set()),
    "a client of its own for mailboxes": ({MAILBOXES: T}, {"me": "out:[x]"}, f"{OUT} -o smtp_tls_security_level=none\n", set()),
    "mailboxes of one local(8), by a table": ({}, {"me": "smtp:[x]"}, f"local unix - n n - - local -o {MAILBOXES}=hash:/t\n", {"other_mail_flow"}),
    "mailboxes elsewhere for one local(8)": ({}, {}, "local unix - n n - - local -o mailbox_transport=smtp:[x]\n", {"other_mail_flow"}),
    "elsewhere with a policy": ({TRANSPORTS: T, "smtp_tls_policy_maps": T}, {"x.example": "smtp:[x]:25", "[x]:25": "may"}, "", set()),
    "elsewhere, strict before": (
        {TRANSPORTS: T, "smtp_tls_security_level": "secure", "smtp_tls_CAfile": "/ca.pem"}, {"x.example": "smtp:[x]:25"}, "", set(),
    ),
    "a wrapped filter": (
        {"relayhost": WRAPPED, "smtp_tls_wrappermode": "yes", "content_filter": "out:[x]"}, {}, f"{OUT} -o smtp_tls_security_level=none\n", {"other_mail_flow"},
    ),
    "a filter that expects it": (
        {"relayhost": WRAPPED, "smtp_tls_wrappermode": "yes", "content_filter": "out:[x]:465"}, {}, f"{OUT} -o smtp_tls_security_level=encrypt\n", set(),
    ),
    "a filter with a mode of its own": (
        {"relayhost": WRAPPED, "smtp_tls_wrappermode": "yes", "content_filter": "out:[x]"}, {},
        f"{OUT} -o smtp_tls_security_level=none -o smtp_tls_wrappermode=no\n", set(),
    ),
    # A client for SES alone.
    "a client of its own": (OWN, {}, SES_SERVICE, set()),
    "beside a filter": ({**OWN, "content_filter": "smtp:[127.0.0.9]:25"}, {}, SES_SERVICE, set()),
    "beside an internal server": ({**OWN, TRANSPORTS: T}, {"x.example": "smtp:[x]:25"}, SES_SERVICE, set()),
    "an internal server without a service": ({**OWN, TRANSPORTS: T}, {"x.example": ":[x]"}, SES_SERVICE, {"other_mail_flow"}),
    "a sender's server without a service": ({**OWN, SDR: T}, {"@x.example": "[other.example]"}, SES_SERVICE, {"other_mail_flow"}),
    "a sender's server with one": ({**OWN, SDT: T}, {"@x.example": "smtp:[other.example]"}, SES_SERVICE, set()),
    "relayed through it": ({**OWN, "relay_domains": "x.example"}, {}, SES_SERVICE, set()),
    "relayed without a login": ({**OWN, "relay_domains": "x.example", "relay_transport": "relay"}, {}, SES_SERVICE, NO_LOGIN),
    "a sender's service without a login": ({**OWN, SDT: T}, {"@x.example": "smtp:"}, SES_SERVICE, NO_LOGIN),
    "it is not there": (OWN, {}, "", {"service_missing", "route_elsewhere"}),
    "it is disabled": ({**OWN, "master_service_disable": "ses.unix"}, {}, SES_SERVICE, {"service_missing", "route_elsewhere"}),
    "its setting is changed": (OWN, {}, SES_SERVICE.replace("auth_enable=yes", "auth_enable=no"), {"auth_disabled"}),
    "a sender's other server": ({SDR: T}, {"@x.example": "[other.example]"}, "", {"other_mail_flow"}),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "table", "services", "expected"), CASES.values(), ids=CASES)
def test_what_blocks(
    settings: dict[str, str], table: dict[str, str], services: str, expected: set[str]
) -> None:
    found = judge(settings, table, services)
    assert {each.id for each in found if each.blocks} == expected
    for finding in found:
        place = finding.file
        assert place in ("/etc/postfix/main.cf", "/etc/postfix/master.cf")
        assert finding.message
        assert "None" not in finding.message + finding.remedy


def test_what_only_warns() -> None:
    found = judge(
        {
            "smtp_sasl_auth_soft_bounce": "no",
            TRANSPORTS: "ldap:/l",
            EHLO: "regexp:/p, static:me",
        },
        {"p": "starttls, chunking"},
    )
    assert {(each.id, each.blocks) for each in found} == {
        ("auth_soft_bounce_off", False),
        ("ehlo_disabled", False),
        ("routes_unknown", False),
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("inet_protocols", "ipv6", {"address_family"}),
        ("inet_protocols", "ipv6, IPv4", set()),
        ("inet_protocols", "all", set()),
        ("smtp_bind_address", "127.0.0.1", {"bind_address"}),
        ("smtp_bind_address", "192.0.2.2", set()),
        ("smtp_bind_address6", "::1", set()),  # the endpoint has no IPv6
        ("smtp_connect_timeout", "0", set()),  # no limit
        ("smtp_connect_timeout", "4", {"timeout_short"}),
        ("smtp_connect_timeout", "5s", set()),
        ("smtp_data_done_timeout", "1s", {"timeout_short"}),
        ("smtp_data_done_timeout", "1m", set()),
        ("smtp_helo_timeout", "0", {"timeout_short"}),
        ("smtp_helo_timeout", "soon", set()),  # the client does not start
    ],
)
def test_what_may_keep_the_client_from_a_connection(
    name: str, value: str, expected: set[str]
) -> None:
    found = judge({name: value})
    assert {each.id for each in found} == expected
    assert not any(each.blocks for each in found)
    assert all(f"{name} = {value}" in each.message for each in found)


def test_a_table_of_mailboxes_that_cannot_be_listed_is_said() -> None:
    (found,) = judge({MAILBOXES: "ldap:/l"})
    assert (found.id, found.blocks) == ("routes_unknown", False)
    assert MAILBOXES in found.message


@pytest.mark.parametrize(
    ("server", "expected"),
    [(OTHER, set()), (SES, {"route_elsewhere"}), ("[x]", {"route_elsewhere"})],
)
def test_a_sender_that_is_named_has_to_reach_its_server(server: str, expected: set[str]) -> None:
    found = judge({SDR: T}, {"me@x.example": server}, senders={"me@x.example": OTHER})
    assert {each.id for each in found} == expected


def test_what_decides_is_named_with_a_command_that_takes_it_away() -> None:
    def first(*arguments: t.Any) -> tuple[str, str]:
        finding = judge(*arguments)[0]
        return finding.message, finding.remedy

    message, remedy = first({"default_transport": "error:no mail"})
    assert "/etc/postfix/main.cf, line 1 has default_transport = error:no mail," in message
    assert "run postconf -c /etc/postfix -X default_transport." in remedy
    message, remedy = first({TRANSPORTS: T}, {"*": "smtp:[x]"})
    assert (
        "hash:/t, in transport_maps (/etc/postfix/main.cf, line 1), has an entry for *" in message
    )
    assert "delete the line of * in /t, and run postmap hash:/t." in remedy
    own = "smtp unix - - n - - smtp\n  -o smtp_sasl_auth_enable=no\n"
    message, remedy = first({}, {}, own)
    assert (
        "/etc/postfix/master.cf, line 14 has smtp_sasl_auth_enable = no for the service smtp"
        in message
    )
    assert "run postconf -c /etc/postfix -PX smtp/unix/smtp_sasl_auth_enable." in remedy
    own = "smtp unix - - n - - smtp -osmtp_sasl_auth_enable=no\n"
    assert "delete -osmtp_sasl_auth_enable=no in line 13 of master.cf" in first({}, {}, own)[1]
    _message, remedy = first({"master_service_disable": "smtp.unix"})
    assert remedy.startswith("Run: postconf -c /etc/postfix -X master_service_disable.")
    _message, remedy = first(OWN, {}, SES_SERVICE.replace("auth_enable=yes", "auth_enable=no"))
    assert "run postconf -c /etc/postfix -P ses/unix/smtp_sasl_auth_enable=yes in its" in remedy


def test_no_secret_is_shown() -> None:
    secret = "BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk"
    for settings, table in (
        ({"default_transport": f"smtp:{secret}"}, {}),
        ({"smtp_sasl_mechanism_filter": secret}, {}),
        ({TRANSPORTS: T}, {"*": f"smtp:{secret}"}),
        ({"smtp_tls_secure_cert_match": f"x {secret}"}, {}),
        ({"content_filter": f"smtp:{secret}"}, {}),
    ):
        found = judge(settings, table)
        assert found
        assert secret not in str(found)


def test_a_level_that_is_requested() -> None:
    settings = {"smtp_tls_security_level": "encrypt"}
    assert judge(settings, level="encrypt") == []
    assert {each.id for each in judge(settings)} == {"tls_not_verified"}
