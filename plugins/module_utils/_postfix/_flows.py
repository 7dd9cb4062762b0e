# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The kinds of mail of an instance, and the route of each: who uses which of its SMTP clients.

All mail without a route of its own; mail of senders, to domains, and to relay_domains that has one;
what goes to a content filter, or to a server in case of need.
"""

from __future__ import annotations

import functools
import re
import typing as t
from dataclasses import dataclass, replace

from ._configuration import MAILBOX_TABLES, RECIPIENT_TABLES, Configuration
from ._destination import MECHANISM_FILTER, MECHANISMS, Destination, parse_destinations
from ._main_cf import split_tokens
from ._map_entry import decode
from ._routing import AddressClass, Decision, Route, answer_questions, find_route
from ._search import (
    UnansweredError,
    UnusableTableError,
    list_address_keys,
    matches_list,
    search,
)
from ._tls_policy import list_tls_questions

if t.TYPE_CHECKING:
    from ._lookup_table import Table
    from ._routing import Ask
    from ._search import Hit, Question

__all__ = ["Flow", "FlowKind", "Flows", "find_flows"]

# SES's mailbox simulator: there is nobody whose mail has a route of its own.
_RECIPIENT = "success@simulator.amazonses.com"
_SENDER = "nobody@simulator.amazonses.com"
_NOBODY = "nobody"
_RELAYHOSTS = "sender_dependent_relayhost_maps"
_SENDERS = (_RELAYHOSTS, "sender_dependent_default_transport_maps")
_CLEANUP = "cleanup/unix"
_REWRITE = "rewrite/unix"
_LOCAL = "local/unix"
_PLAIN_ADDRESS = re.compile(r"[\w.+=-]+(?:@[\w.-]+)?\Z")
_FILTERED = ("smtpd", "pickup", "qmqpd")


class FlowKind:
    """Whose mail it is."""

    ALL = "all mail"
    SENDER = "mail from"
    RECIPIENT = "mail to"
    RELAYED = "relayed mail to"
    PATTERN = "mail that matches a pattern in"
    MAILBOX = "mail for mailboxes of this host, by"
    FILTER = "mail to be filtered, of"
    FALLBACK = "mail whose server can't be reached, of"


@dataclass(frozen=True)
class Flow:
    """Mail, and its route. `key` says whose it is, and is empty for all mail."""

    kind: str
    key: str
    route: Route


@dataclass(frozen=True)
class Flows:
    """All flows, the one of all mail first.

    `unlisted` has the tables whose entries nobody can list, by the settings that name them.
    """

    flows: tuple[Flow, ...]
    unlisted: tuple[tuple[str, str], ...] = ()

    @property
    def are_known(self) -> bool:
        """Whether there are no other flows, and the route of each is known."""
        routes = [flow.route for flow in self.flows]
        return not self.unlisted and not any(route.failed or route.unknown for route in routes)

    @property
    def default(self) -> Flow:
        """That of all mail without a route of its own."""
        return self.flows[0]


def find_flows(
    configuration: Configuration, ask: Ask, senders: t.Iterable[str] = ()
) -> tuple[Configuration, Flows]:
    """Find all flows; `senders` are addresses or @domain that matter as well.

    Returns the configuration with what tables that can't be listed have answered, too.
    """
    return _Finder(configuration, ask).find_all(senders)


class _Finder:
    def __init__(self, configuration: Configuration, ask: Ask) -> None:
        self._configuration = configuration
        self._ask = ask

    def find_all(self, senders: t.Iterable[str]) -> tuple[Configuration, Flows]:
        found = [Flow(FlowKind.ALL, "", self._default_route())]
        found += self._of_senders(senders)
        found += self._of_recipients()
        found += self._of_relay_domains()
        found += self._of_patterns()
        found += self._of_mailboxes()
        found += self._of_filters()
        found += self._fallbacks({flow.route.transport for flow in found})
        self._ask_for_clients(found)
        return self._configuration, Flows(tuple(found), tuple(self._unlisted()))

    def _route(self, sender: str, recipient: str) -> Route:
        self._configuration, route = find_route(self._configuration, self._ask, sender, recipient)
        return route

    def _default_route(self) -> Route:
        """That of mail to anybody, even if cleanup(8) changes the recipient before."""
        recipient, by = _RECIPIENT, None
        for name in RECIPIENT_TABLES:
            hit = self._find_recipient(name, recipient)
            new = split_tokens(hit.value)[:1] if hit else ()
            if hit and new and _PLAIN_ADDRESS.match(new[0]):
                recipient, by = new[0], replace(self._decision(name, hit.table), key=hit.key)
        return replace(self._route(_SENDER, recipient), rewritten_by=by)

    def _find_recipient(self, name: str, recipient: str) -> Hit | None:
        value = self._configuration.get(name, _CLEANUP)

        def find(known: Configuration) -> Hit | None:
            return search(known, value, list_address_keys(known, recipient, service=_CLEANUP))

        def questions(known: Configuration) -> tuple[Question, ...]:
            try:
                find(known)
            except UnansweredError as exc:
                return exc.questions
            except UnusableTableError:
                pass
            return ()

        self._configuration = answer_questions(self._configuration, self._ask, questions)
        try:
            return find(self._configuration)
        except (UnansweredError, UnusableTableError):
            return None

    def _ask_for_clients(self, flows: t.Iterable[Flow]) -> None:
        """Ask the tables of the clients for the servers, if they can't be listed."""
        for flow in flows:
            client = flow.route.client
            for server in parse_destinations(flow.route.nexthop, client) if client else ():
                self._configuration = answer_questions(
                    self._configuration,
                    self._ask,
                    functools.partial(_client_questions, server=server),
                )

    def _get(self, name: str) -> str:
        return self._configuration.get(name, _REWRITE)

    def _tables(self, name: str, service: str = _REWRITE) -> list[tuple[str, Table]]:
        tables = self._configuration.tables
        value = self._configuration.get(name, service)
        return [(token, tables[token]) for token in split_tokens(value) if token in tables]

    def _of_senders(self, senders: t.Iterable[str]) -> t.Iterator[Flow]:
        keys = dict.fromkeys(sender.lower() for sender in senders)
        for name in _SENDERS:
            for _token, table in self._tables(name):
                keys.update(dict.fromkeys(map(decode, _listed_keys(table))))
        for key in keys:
            address = _NOBODY + key if key.startswith("@") else key
            if key == "<>":
                address = ""
            elif "@" not in key:
                address = f"{key}@{self._get('myorigin')}"
            yield Flow(FlowKind.SENDER, key, self._route(address, _RECIPIENT))

    def _of_recipients(self) -> t.Iterator[Flow]:
        """One for each value of transport_maps, of which there may be many with one value."""
        for _token, table in self._tables("transport_maps"):
            by_value = {table.values[key]: key for key in reversed(_listed_keys(table))}
            for key in map(decode, by_value.values()):
                if key != "*":
                    yield from self._of_recipient(FlowKind.RECIPIENT, key)

    def _of_recipient(self, kind: str, key: str) -> t.Iterator[Flow]:
        address = key if "@" in key else f"{_NOBODY}@{'x' if key.startswith('.') else ''}{key}"
        try:
            yield Flow(kind, key, self._route(_SENDER, address))
        except ValueError:
            return  # no address that mail can go to

    def _of_relay_domains(self) -> t.Iterator[Flow]:
        keys = [
            token for token in split_tokens(self._get("relay_domains")) if token[0] not in "/!["
        ]
        keys = [key for key in keys if ":" not in key]
        for entries in self._configuration.files.values():
            keys += [each for each in entries or () if each[0] not in "/![" and ":" not in each]
        for _token, table in self._tables("relay_domains"):
            keys += [decode(key) for key in _listed_keys(table)[:1]]
        for key in dict.fromkeys(keys):
            for flow in self._of_recipient(FlowKind.RELAYED, key):
                if flow.route.address_class is AddressClass.RELAY:
                    yield flow

    def _of_patterns(self) -> t.Iterator[Flow]:
        """What tables of patterns can decide, whoever it is for."""
        for name in ("transport_maps", *_SENDERS):
            for token, _table in self._tables(name):
                for result in self._configuration.results.get(token, ()):
                    yield Flow(FlowKind.PATTERN, token, self._by_result(name, token, result))

    def _by_result(self, name: str, token: str, result: str) -> Route:
        """The route for one right-hand side."""
        default = self._route(_SENDER, _RECIPIENT)
        is_of_sender = name in _SENDERS
        if is_of_sender and result.upper() == "DUNNO":
            result = ""
        transport, _colon, nexthop = result.partition(":")
        if name == _RELAYHOSTS:
            transport, nexthop = "", result
        if not nexthop and (is_of_sender or not transport):
            nexthop = default.nexthop
        return self._make(transport or default.transport, nexthop, self._decision(name, token))

    def _decision(self, name: str, token: str | None = None, service: str = "") -> Decision:
        file, line = self._configuration.locate(name, service)
        value = self._configuration.get(name, service)
        return Decision(name, value, file, line, service, table=token)

    def _make(self, transport: str, nexthop: str, by: Decision) -> Route:
        """A route without a recipient. An empty next hop is the recipient's domain."""
        return Route(
            "",
            "",
            transport=transport,
            nexthop=nexthop,
            transport_by=by,
            nexthop_by=by,
            service=self._configuration.find_transport(transport),
            client=self._configuration.find_client(transport),
        )

    def _of_mailboxes(self) -> t.Iterator[Flow]:
        """Mail for this host that another service than local(8) or virtual(8) may deliver."""
        names = {
            "local_transport": "rewrite",
            "mailbox_transport": "local",
            "fallback_transport": "local",
        }
        if self._get("virtual_mailbox_domains"):
            names["virtual_transport"] = "rewrite"
        for name, reader in names.items():
            service = f"{reader}/unix"
            transport, _colon, nexthop = self._configuration.get(name, service).partition(":")
            if transport:
                own = self._configuration.get_own(name, service) is not None
                by = self._decision(name, service=service if own else "")
                yield Flow(FlowKind.MAILBOX, name, self._make(transport, nexthop, by))
        yield from self._of_mailbox_tables()

    def _of_mailbox_tables(self) -> t.Iterator[Flow]:
        """One for each value of a table with which local(8) hands mail to another service."""
        for name in MAILBOX_TABLES:
            own = self._configuration.get_own(name, _LOCAL) is not None
            for token, table in self._tables(name, _LOCAL):
                results = self._configuration.results.get(token, ())
                found: dict[str, str | None] = dict.fromkeys(results)
                found.update({decode(value): decode(key) for key, value in table.values.items()})
                for value, key in found.items():
                    transport, _colon, nexthop = value.partition(":")
                    by = self._decision(name, token, _LOCAL if own else "")
                    made = self._make(transport, nexthop, replace(by, key=key))
                    yield Flow(FlowKind.MAILBOX, name, made)

    def _of_filters(self) -> t.Iterator[Flow]:
        """What content_filter names for the services that take mail in."""
        seen = set()
        for service in self._configuration.services.values():
            value = self._configuration.get("content_filter", service.path)
            if service.program not in _FILTERED or not value or value in seen:
                continue
            seen.add(value)
            own = self._configuration.get_own("content_filter", service.path) is not None
            by = self._decision("content_filter", service=service.path if own else "")
            transport, _colon, nexthop = value.partition(":")
            nexthop = nexthop or self._configuration.get("default_filter_nexthop")
            yield Flow(FlowKind.FILTER, service.path, self._make(transport, nexthop, by))
        for each in self._configuration.filters:
            transport, _colon, nexthop = each.value.partition(":")
            by = self._decision(each.setting, each.table)
            yield Flow(FlowKind.FILTER, each.setting, self._make(transport, nexthop, by))

    def _fallbacks(self, transports: t.Collection[str]) -> t.Iterator[Flow]:
        for client in self._configuration.list_clients():
            value = client.get("smtp_fallback_relay")
            if value and client.service in transports:
                path = f"{client.service}/unix"
                own = path if "smtp_fallback_relay" in client.own else ""
                by = self._decision("smtp_fallback_relay", service=own)
                yield Flow(FlowKind.FALLBACK, path, self._make(client.service, value, by))

    def _unlisted(self) -> t.Iterator[tuple[str, str]]:
        settings = [(name, _REWRITE) for name in ("transport_maps", *_SENDERS)]
        settings += [(name, _LOCAL) for name in MAILBOX_TABLES]
        for name, service in settings:
            for token, table in self._tables(name, service):
                is_known = (
                    table.is_complete or table.is_inline or token in self._configuration.results
                )
                if not is_known:
                    yield name, token


def _client_questions(configuration: Configuration, server: Destination) -> tuple[Question, ...]:
    """What tables that can't be listed have to be asked about TLS for a server, and mechanisms."""
    found = list_tls_questions(configuration, server.client, server)
    value = server.client.get(MECHANISM_FILTER)
    try:
        for mechanism in MECHANISMS:
            matches_list(configuration, value, mechanism)
    except UnansweredError as exc:
        found += exc.questions
    except UnusableTableError:
        pass
    return found


def _listed_keys(table: Table) -> list[bytes]:
    """The lookup keys of a table that can be listed. That of static: stands for all of them."""
    return [] if table.type == "static" else list(table.values)
