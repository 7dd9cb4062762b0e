# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What decides where a Postfix sends a message: settings, services and lookup tables, as read."""

from __future__ import annotations

import errno
import os
import re
import socket
import typing as t
from dataclasses import dataclass, field, replace

from .._files._secret_file import SecretFileError, read_if_there
from ._destination import BIND_ADDRESSES, CLIENT_SETTINGS, Client
from ._lines import find_setting_lines, split_logical_lines
from ._lookup_table import Table, read_table
from ._main_cf import read_settings, split_tokens
from ._master_cf import Service, read_services
from ._table_name import parse_table_name

if t.TYPE_CHECKING:
    from ._programs import Postfix

__all__ = [
    "CLIENT_TABLES",
    "DOMAIN_LISTS",
    "FILE_SETTINGS",
    "FILTER_SETTINGS",
    "MAILBOX_TABLES",
    "RECIPIENT_TABLES",
    "ROUTING_SETTINGS",
    "ROUTING_TABLES",
    "Configuration",
    "Filter",
    "read_configuration",
]

#: Lists of domains: names, files and lookup tables.
DOMAIN_LISTS = (
    "mydestination",
    "relay_domains",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
)
#: Lists of lookup tables with which local(8) hands mail to another service (mailbox.c, unknown.c).
MAILBOX_TABLES = ("mailbox_transport_maps", "fallback_transport_maps")
#: Lists of lookup tables of Postfix's SMTP clients.
CLIENT_TABLES = (
    "smtp_discard_ehlo_keyword_address_maps",
    "smtp_tls_per_site",
    "smtp_tls_policy_maps",
)
#: Lists of words, files and lookup tables of Postfix's SMTP clients.
_CLIENT_LISTS = ("smtp_sasl_mechanism_filter",)
#: Lists of lookup tables.
ROUTING_TABLES = (
    "relocated_maps",
    "sender_dependent_default_transport_maps",
    "sender_dependent_relayhost_maps",
    "transport_maps",
)
#: Of a client: files whose absence keeps it from using TLS at all (tls_certkey.c, tls_dane.c).
FILE_SETTINGS = (
    "smtp_tls_cert_file",
    "smtp_tls_chain_files",
    "smtp_tls_dcert_file",
    "smtp_tls_dkey_file",
    "smtp_tls_eccert_file",
    "smtp_tls_eckey_file",
    "smtp_tls_key_file",
    "smtp_tls_trust_anchor_file",
)
#: Lists of lookup tables with which cleanup(8) changes a recipient, in its order.
RECIPIENT_TABLES = ("recipient_canonical_maps", "canonical_maps", "virtual_alias_maps")
#: What may name tables with the action FILTER: see access(5) and header_checks(5).
FILTER_SETTINGS = (
    "body_checks",
    "header_checks",
    "mime_header_checks",
    "nested_header_checks",
    "smtpd_client_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_sender_restrictions",
)
#: All settings that say where mail goes.
ROUTING_SETTINGS = (
    *DOMAIN_LISTS,
    *ROUTING_TABLES,
    *RECIPIENT_TABLES,
    *MAILBOX_TABLES,
    *FILTER_SETTINGS,
    "content_filter",
    "default_filter_nexthop",
    "default_transport",
    "defer_transports",
    "double_bounce_sender",
    "empty_address_default_transport_maps_lookup_key",
    "empty_address_recipient",
    "empty_address_relayhost_maps_lookup_key",
    "fallback_transport",
    "inet_interfaces",
    "local_transport",
    "mailbox_transport",
    "master_service_disable",
    "myhostname",
    "myorigin",
    "owner_request_special",
    "parent_domain_matches_subdomains",
    "proxy_interfaces",
    "recipient_delimiter",
    "relay_transport",
    "relayhost",
    "show_user_unknown_table_name",
    "smtputf8_enable",
    "virtual_transport",
)
# The program of Postfix's SMTP client in master.cf.
_CLIENT = "smtp"
# Types of tables with patterns in a file.
_WITH_PATTERNS = frozenset({"cidr", "pcre", "regexp"})
_PATTERN = re.compile(
    r"!?(?:/(?:\\.|[^/\\])*/|(?P<mark>[^\w\s])(?:\\.|(?!(?P=mark))[^\\])*(?P=mark)|[\da-fA-F.:/\[\]]+)"
    r"\w* (?P<result>\S.*)\Z"
)
_FILTER = re.compile(r"\sFILTER\s+([\w.-]+:\S*)")
# A list of domains is short. What is longer is no such file.
_LIST_BYTES = 4 * 1024 * 1024


class Filter(t.NamedTuple):
    """A content filter, like smtp:[127.0.0.1]:10025, that a table in a setting names."""

    setting: str
    table: str
    value: str


@dataclass(frozen=True)
class Configuration:
    """One instance, frozen. All values have their parameters expanded.

    `results` has the right-hand sides of tables with patterns, by table. `missing` has the files that
    settings of SMTP clients name, and that are not there, `foreign` the addresses for their side of
    a connection that this host does not have. `filters` are those that tables name.
    `settings` are main.cf's effective ones, `lines` those of main.cf by the settings that it has,
    `services` those of master.cf by name/type. `tables` are by their names in settings, `files`
    has the entries of files with patterns, None for one that can't be read. `answers` is what
    tables that can't be listed have found, by table and lookup key.
    """

    directory: str
    settings: t.Mapping[str, str]
    lines: t.Mapping[str, int] = field(default_factory=dict)
    services: t.Mapping[str, Service] = field(default_factory=dict)
    tables: t.Mapping[str, Table] = field(default_factory=dict)
    files: t.Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    answers: t.Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    results: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()
    filters: tuple[Filter, ...] = ()

    @property
    def utf8(self) -> bool:
        """Whether Postfix folds all of Unicode."""
        return self.settings.get("smtputf8_enable") == "yes"

    def get(self, name: str, service: str = "") -> str:
        """The value of a setting for a service, name/type; for all others without one."""
        own = self.get_own(name, service)
        return self.settings.get(name, "") if own is None else own

    def get_own(self, name: str, service: str) -> str | None:
        """The value that a service has of its own, None if it has none."""
        its = self.services.get(service)
        override = its.overrides.get(name) if its else None
        return override.value if override else None

    def locate(self, name: str, service: str = "") -> tuple[str, int | None]:
        """The file with a setting for a service, and the line in it, if it has one."""
        its = self.services.get(service)
        if its and name in its.overrides:
            return os.path.join(self.directory, "master.cf"), its.overrides[name].line
        return os.path.join(self.directory, "main.cf"), self.lines.get(name)

    def find_transport(self, name: str) -> Service | None:
        """The service that delivers for a transport, None if master.cf has none, or disables it."""
        service = self.services.get(f"{name}/unix")
        if service is None or self._is_disabled(service):
            return None
        return service

    def find_client(self, name: str) -> Client | None:
        """The SMTP client of a transport, None if it has none."""
        service = self.find_transport(name)
        if service is None or service.program != _CLIENT:
            return None
        settings = {each: self.settings[each] for each in CLIENT_SETTINGS if each in self.settings}
        own = {each: one for each, one in service.overrides.items() if each in CLIENT_SETTINGS}
        settings.update({each: one.value for each, one in own.items()})
        return Client(name, settings, {each: one.line for each, one in own.items()})

    def list_clients(self) -> tuple[Client, ...]:
        """All of Postfix's SMTP clients in master.cf."""
        names = [service.name for service in self.services.values() if service.type == "unix"]
        found = (self.find_client(name) for name in names)
        return tuple(client for client in found if client)

    def with_settings(
        self, settings: t.Mapping[str, str], services: t.Mapping[str, Service] | None = None
    ) -> Configuration:
        """The same with other settings in main.cf and, if they are given, other services."""
        its = self.services if services is None else services
        return replace(self, settings={**self.settings, **settings}, services=its)

    def with_answers(self, answers: t.Mapping[tuple[str, str], str | None]) -> Configuration:
        """The same with more answers of tables."""
        return replace(self, answers={**self.answers, **answers})

    def _is_disabled(self, service: Service) -> bool:
        """Whether master_service_disable names it: type, or name/type (postconf(5)).

        The older form name.type still counts (match_service.c).
        """
        names = (service.type, service.path, f"{service.name}.{service.type}")
        for pattern in split_tokens(self.get("master_service_disable")):
            is_negated, name = pattern.startswith("!"), pattern.lstrip("!")
            if name in names:
                return not is_negated
        return False


def read_configuration(
    postfix: Postfix,
    directory: str,
    settings: t.Mapping[str, str] | None = None,
    coming: t.Mapping[str, str] | None = None,
    coming_services: t.Mapping[str, Service] | None = None,
) -> Configuration:
    """Read the instance in `directory`. Raises PostfixError.

    `settings` are effective ones that were read before; those of ROUTING_SETTINGS and
    CLIENT_SETTINGS must be among them. What settings and services name that are `coming` is read as
    well.
    """
    if settings is None:
        settings = read_settings(postfix, (*ROUTING_SETTINGS, *CLIENT_SETTINGS))
    content = os.fsdecode(read_if_there(os.path.join(directory, "main.cf")) or b"")
    services = read_services(postfix, directory)
    utf8 = settings.get("smtputf8_enable") == "yes"
    tables: dict[str, Table] = {}
    files: dict[str, tuple[str, ...] | None] = {}
    lists = (*DOMAIN_LISTS, *_CLIENT_LISTS)
    for name in (*lists, *ROUTING_TABLES, *RECIPIENT_TABLES, *MAILBOX_TABLES, *CLIENT_TABLES):
        both = [*services.values(), *(coming_services or {}).values()]
        values = [one.overrides[name].value for one in both if name in one.overrides]
        values += [settings.get(name, ""), (coming or {}).get(name, "")]
        for token in (token for value in values for token in split_tokens(value)):
            _read_token(postfix, token, utf8, tables, files, is_list=name in lists)
    found = Configuration(directory, settings, find_setting_lines(content), services, tables, files)
    results = {token: _read_results(table.path) for token, table in tables.items() if table.path}
    return replace(
        found,
        results={
            token: values
            for token, values in results.items()
            if values is not None and tables[token].type in _WITH_PATTERNS
        },
        missing=frozenset(
            path
            for client in (
                *found.list_clients(),
                *found.with_settings({}, coming_services).list_clients(),
            )
            for path in _named_files(client)
            if _is_missing(path)
        ),
        foreign=frozenset(filter(_is_foreign, _bind_addresses(found))),
        filters=tuple(_read_filters(found)),
    )


def _read_filters(configuration: Configuration) -> t.Iterator[Filter]:
    """The filters in files of tables. What another kind of table says is not known."""
    for setting in FILTER_SETTINGS:
        services = {service.path for service in configuration.services.values()}
        values = dict.fromkeys(configuration.get(setting, path) for path in ("", *services))
        for token in (token for value in values for token in split_tokens(value)):
            path = parse_table_name(token).path
            for value in _found_filters(path) if path.startswith("/") else ():
                yield Filter(setting, token, value)


def _found_filters(path: str) -> t.Iterable[str]:
    try:
        content = read_if_there(path) or b""
    except (OSError, SecretFileError):
        return ()
    lines = (line for line, _number in split_logical_lines(os.fsdecode(content[:_LIST_BYTES])))
    matches = (_FILTER.search(line) for line in lines)
    return dict.fromkeys(match.group(1) for match in matches if match)


def _named_files(client: Client) -> t.Iterator[str]:
    for name in (*FILE_SETTINGS, "smtp_tls_CAfile"):
        yield from split_tokens(client.get(name))


def _bind_addresses(configuration: Configuration) -> t.Iterator[str]:
    for client in configuration.list_clients():
        yield from filter(None, map(client.get, BIND_ADDRESSES))


def _is_foreign(address: str) -> bool:
    """Whether this host does not have an address; False if it is none."""
    literal = address.strip("[]")
    family = socket.AF_INET6 if ":" in literal else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.bind((literal, 0))
    except OSError as exc:
        return exc.errno == errno.EADDRNOTAVAIL
    return False


def _is_missing(path: str) -> bool:
    """Whether a file is not there. One in a directory that this user may not enter may be."""
    try:
        os.stat(path)
    except OSError as exc:
        return exc.errno in (errno.ENOENT, errno.ENOTDIR)
    return False


def _read_results(path: str) -> tuple[str, ...] | None:
    """The right-hand sides in a table with patterns, None if it can't be read.

    Source: regexp_table(5), pcre_table(5), cidr_table(5).
    """
    try:
        content = read_if_there(path)
    except (OSError, SecretFileError):
        return None
    if content is None or len(content) > _LIST_BYTES:
        return None
    lines = (line for line, _number in split_logical_lines(os.fsdecode(content)))
    matches = (_PATTERN.match(" ".join(line.split())) for line in lines)
    return tuple(dict.fromkeys(match.group("result") for match in matches if match))


def is_table(pattern: str) -> bool:
    """Whether an entry of a list is a lookup table. Source: match_list.c."""
    return not pattern.startswith("[") and ":" in pattern


def _read_token(
    postfix: Postfix,
    token: str,
    utf8: bool,
    tables: dict[str, Table],
    files: dict[str, tuple[str, ...] | None],
    *,
    is_list: bool,
) -> None:
    name = token.lstrip("!") if is_list else token
    if is_list and name.startswith("/"):
        if name not in files:
            files[name] = entries = _read_list(name)
            for entry in entries or ():
                _read_token(postfix, entry, utf8, tables, files, is_list=True)
    elif (is_table(name) or not is_list) and name not in tables:
        tables[name] = read_table(postfix, name, utf8)


def _read_list(path: str) -> tuple[str, ...] | None:
    """The patterns in a file, which may be anybody's; None if it can't be read."""
    try:
        content = read_if_there(path)
    except (OSError, SecretFileError):
        return None
    if content is None or len(content) > _LIST_BYTES:
        return None
    lines = [line for line in os.fsdecode(content).split("\n") if not line.lstrip().startswith("#")]
    return split_tokens("\n".join(lines))
