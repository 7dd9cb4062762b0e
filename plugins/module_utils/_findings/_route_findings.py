# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What keeps mail from going to SES: another route, or what delivers it. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._postfix._configuration import ROUTING_TABLES
from .._postfix._destination import parse_destinations
from .._postfix._flows import FlowKind
from .._postfix._tls import CHECKED_LEVELS, MANDATORY_LEVELS
from .._postfix._tls_policy import LEVEL, find_tls
from .._ses._redaction import redact
from .._smtp._server import PORTS_OF_TLS
from ._client_findings import find_client_mistakes
from ._finding import find
from ._route_kinds import (
    OTHER_FLOW,
    OTHER_FLOW_OF_OWN_CLIENT,
    OTHER_FLOW_WRAPPERMODE,
    ROUTE_BY_RELAYHOST,
    ROUTE_ELSEWHERE,
    ROUTE_ELSEWHERE_BY_ENTRY,
    ROUTE_FAILS,
    ROUTE_PARTLY_ELSEWHERE,
    ROUTES_UNKNOWN,
    TRANSPORT_DEFERRED,
)
from ._service_findings import CLIENTS, find_own_client, mail_of, other_client, service_findings
from ._where import locate_decision, locate_setting, remove_decision, remove_setting, show_value

if t.TYPE_CHECKING:
    from .._postfix._configuration import Configuration
    from .._postfix._destination import Destination
    from .._postfix._flows import Flow, Flows
    from .._postfix._routing import Decision
    from ._finding import Finding

__all__ = ["Relay", "find_unverified", "judge_routes", "judge_set_up", "list_servers"]

_WRAPPERMODE = "smtp_tls_wrappermode"
_ERRORS = ("error", "retry", "discard")
_OWN_ROUTES = (FlowKind.SENDER, FlowKind.RECIPIENT, FlowKind.RELAYED, FlowKind.PATTERN)


@dataclass(frozen=True)
class Relay:
    """What a relay is to be: its servers, like [host]:587, and what their clients need.

    `servers` are for all mail, `senders` has those that have a server of their own, with that.
    `table` is the password map with the logins, None if any will do.
    """

    servers: frozenset[str]
    level: str = "secure"
    senders: t.Mapping[str, str] = field(default_factory=dict)
    table: str | None = None


def list_servers(flow: Flow) -> tuple[Destination, ...]:
    """The servers that mail is handed to; none if it is not Postfix's SMTP client that has it."""
    route = flow.route
    return parse_destinations(route.nexthop, route.client) if route.client else ()


def judge_routes(configuration: Configuration, flows: Flows, has_login: bool) -> list[Finding]:
    """For an audit: what is wrong with the routes of a host, if it has an SES login at all."""
    reaching = [flow for flow in flows.flows if any(map(_is_ses, list_servers(flow)))]
    if not has_login and not reaching:
        return []
    found = service_findings(configuration, flows.default)
    own = find_own_client(flows)
    # A table that can't be used is a finding of its own.
    is_table = flows.default.route.failed and flows.default.route.failed.setting in ROUTING_TABLES
    found += [] if is_table else _problems(configuration, flows.default)
    if flows.default not in reaching and not found and has_login:
        is_partly = any(flow.kind in _OWN_ROUTES for flow in reaching)
        found += _elsewhere(configuration, flows.default, is_partly=is_partly)
    for flow in reaching:
        if flow is not flows.default:
            found += _problems(configuration, flow)
            of_client = [
                finding
                for server in filter(_is_ses, list_servers(flow))
                for finding in find_client_mistakes(configuration, server)
            ]
            found += other_client(flow, own, of_client)
    found += _unlisted(configuration, flows)
    found += [
        finding
        for flow in flows.flows
        if flow not in reaching
        for finding in _other_flow(configuration, flow, own)
    ]
    return found


def judge_set_up(
    configuration: Configuration, flows: Flows, relay: Relay, previous: Configuration | None = None
) -> list[Finding]:
    """For a set-up: what keeps the mail that has to go to the relay from getting there.

    `configuration` is that after the change, and `previous` that before it: other mail must not be
    delivered under other settings than before.
    """
    found = service_findings(configuration, flows.default)
    client = find_own_client(flows)
    for flow in flows.flows:
        servers = list_servers(flow)
        own = relay.senders.get(flow.key) if flow.kind == FlowKind.SENDER else None
        known = relay.servers | {*relay.senders.values()} if own is None else {own}
        is_ours = bool(servers) and all(each.text.lower() in known for each in servers)
        must_reach = flow.kind == FlowKind.ALL or own is not None
        if flow.kind == FlowKind.RELAYED and flow.route.transport in _ERRORS:
            must_reach = True
        if must_reach:
            problems = _problems(configuration, flow)
            found += problems
            if not is_ours and not problems:
                found += _elsewhere(configuration, flow, is_partly=False)
        if not is_ours:
            is_sure = previous and not must_reach
            found += _changed_flow(configuration, flow, client, previous) if is_sure else []
            continue
        of_client = [
            finding
            for server in servers
            for finding in find_client_mistakes(
                configuration, server, relay.level, relay.table, bool(relay.senders)
            )
        ]
        found += other_client(flow, client, of_client)
        found += of_client
    return list(dict.fromkeys([*found, *_unlisted(configuration, flows)]))


def find_unverified(configuration: Configuration, flows: Flows, relay: Relay) -> set[str]:
    """The relay's servers, in lower case, whose certificate the client of a flow does not verify."""
    ours = relay.servers | {*relay.senders.values()}
    return {
        server.text.lower()
        for flow in flows.flows
        for server in list_servers(flow)
        if server.text.lower() in ours
        and find_tls(configuration, server.client, server).level not in CHECKED_LEVELS
    }


def _is_ses(destination: Destination) -> bool:
    return destination.is_ses


def _main_cf(configuration: Configuration) -> str:
    return f"{configuration.directory}/main.cf"


def _problems(configuration: Configuration, flow: Flow) -> list[Finding]:
    """Why Postfix keeps the mail of a flow, wherever it goes."""
    route, directory = flow.route, configuration.directory
    main_cf = _main_cf(configuration)
    if route.failed:
        by = route.failed
        return [
            find(
                ROUTE_FAILS,
                main_cf,
                mail=mail_of(flow),
                table=redact(by.table or by.value),
                setting=by.setting,
                where=locate_decision(by),
                directory=directory,
            )
        ]
    if route.deferred:
        by = route.deferred
        return [
            find(
                TRANSPORT_DEFERRED,
                main_cf,
                mail=mail_of(flow),
                where=locate_decision(by),
                value=show_value(by.value),
                transport=redact(route.transport),
                command=remove_setting(configuration, by.setting, by.service),
                directory=directory,
            )
        ]
    return []


def _elsewhere(configuration: Configuration, flow: Flow, *, is_partly: bool) -> list[Finding]:
    """That mail goes to another server, or to another service than the SMTP client."""
    route = flow.route
    by = _decisive(flow)
    path = f"{route.transport}/unix"
    if by is None or (path in CLIENTS and route.service is None):
        return []
    values: dict[str, t.Any] = {
        "mail": mail_of(flow),
        "where": locate_decision(by),
        "setting": by.setting,
        "transport": redact(route.transport),
        "nexthop": redact(route.nexthop.strip()),
        "command": remove_decision(configuration, by),
        "directory": configuration.directory,
    }
    kind = ROUTE_ELSEWHERE
    if by.setting == "relayhost" and not by.service and not is_partly:
        relayhost = redact(by.value) if configuration.get("relayhost") else "(empty)"
        values = {part: values[part] for part in ("mail", "where", "directory")}
        return [find(ROUTE_BY_RELAYHOST, by.file, value=relayhost, **values)]
    if is_partly:
        kind = ROUTE_PARTLY_ELSEWHERE
    elif by.table is not None:
        kind = ROUTE_ELSEWHERE_BY_ENTRY
        values.update(table=redact(by.table), entry=show_value(by.key or "a pattern"))
    else:
        values["value"] = show_value(by.value) or "(empty)"
    return [find(kind, by.file, **values)]


def _decisive(flow: Flow) -> Decision | None:
    """What has the mail go where it goes: the transport, unless it is a plain SMTP client."""
    route = flow.route
    if route.rewritten_by:
        return route.rewritten_by
    if route.client is None or (route.transport_by and route.transport_by == route.nexthop_by):
        return route.transport_by
    return route.nexthop_by


def _other_flow(configuration: Configuration, flow: Flow, own: str) -> list[Finding]:
    """That SES's strict TLS settings hold for another server as well.

    `own` is the service for SES alone, if there is one.
    """
    route = flow.route
    client, by = route.client, route.nexthop_by
    if client is None or by is None or not _is_own_flow(flow):
        return []
    values: dict[str, t.Any] = {
        "mail": mail_of(flow),
        "nexthop": redact(route.nexthop) or "the recipients' own servers",
        "setting": by.setting,
        "where": locate_decision(by),
        "transport": redact(route.transport),
    }
    if own and route.transport == own:
        return [find(OTHER_FLOW_OF_OWN_CLIENT, by.file, **values)]
    servers = list_servers(flow)
    if client.tls == "wrapper" and _WRAPPERMODE not in client.own:
        ports = {each.port for each in servers}
        if not ports or ports - {*PORTS_OF_TLS["wrapper"]}:
            return [find(OTHER_FLOW_WRAPPERMODE, _main_cf(configuration), **values)]
    # Without a next hop, the recipient's domain is it.
    levels = {find_tls(configuration, client, each).level for each in servers}
    levels = levels if route.nexthop else {client.tls_level}
    if LEVEL in client.own or not levels & MANDATORY_LEVELS:
        return []
    level = redact(client.tls_level)
    return [find(OTHER_FLOW, _main_cf(configuration), level=level, **values)]


def _is_own_flow(flow: Flow) -> bool:
    return flow.kind in (*_OWN_ROUTES, FlowKind.MAILBOX, FlowKind.FILTER)


def _changed_flow(
    configuration: Configuration, flow: Flow, own: str, previous: Configuration | None
) -> list[Finding]:
    """That other mail would be delivered under other settings than before."""
    client, by = flow.route.client, flow.route.transport_by
    if client is None or previous is None:
        return []
    if by and previous.get(by.setting) != configuration.get(by.setting):
        # It had another client: the one that main.cf named before.
        return _other_flow(configuration, flow, own)
    before = previous.find_client(flow.route.transport)
    if before is None:
        return []
    names = {*client.settings, *before.settings} & _BREAKING
    if all(client.get(name) == before.get(name) for name in names):
        return []
    return _other_flow(configuration, flow, own)


#: Settings of a relay that may keep mail from other servers.
_BREAKING = frozenset({LEVEL, "smtp_tls_CAfile", _WRAPPERMODE})


def _unlisted(configuration: Configuration, flows: Flows) -> list[Finding]:
    unlisted = [*flows.unlisted]
    for question in flows.default.route.unknown:
        names = [name for name in ROUTING_TABLES if question.table in configuration.get(name)]
        unlisted += [(name, question.table) for name in names]
    return [
        find(
            ROUTES_UNKNOWN,
            _main_cf(configuration),
            table=redact(table),
            setting=setting,
            where=locate_setting(configuration, setting, "rewrite/unix"),
            directory=configuration.directory,
        )
        for setting, table in dict.fromkeys(unlisted)
    ]
