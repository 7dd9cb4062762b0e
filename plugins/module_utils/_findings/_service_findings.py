# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Services of master.cf that mail needs, and the one that delivers to SES. Pure."""

from __future__ import annotations

import typing as t

from .._postfix._flows import FlowKind
from .._postfix._own_client import is_own_client
from .._ses._redaction import redact
from ._finding import find
from ._route_kinds import (
    OTHER_CLIENT,
    SERVICE_DISABLED,
    SERVICE_MISSING,
    SERVICE_UNKNOWN,
)
from ._where import locate_decision, remove_decision

if t.TYPE_CHECKING:
    from .._postfix._configuration import Configuration
    from .._postfix._flows import Flow, Flows
    from ._finding import Finding

__all__ = ["CLIENTS", "find_own_client", "mail_of", "other_client", "service_findings"]

#: Without these no mail leaves a host, by their lines in master.cf.
_NEEDED = {
    "cleanup/unix": "cleanup unix n - n - 0 cleanup",
    "qmgr/unix": "qmgr unix n - n 300 1 qmgr",
    "rewrite/unix": "rewrite unix - - n - - trivial-rewrite",
    "tlsmgr/unix": "tlsmgr unix - - n 1000? 1 tlsmgr",
}
#: Postfix's own SMTP clients, by their lines in master.cf.
CLIENTS = {
    "smtp/unix": "smtp unix - - n - - smtp",
    "relay/unix": "relay unix - - n - - smtp",
}


def mail_of(flow: Flow) -> str:
    """The mail of a flow, in words that begin a message."""
    if flow.kind == FlowKind.ALL:
        return "All mail"
    return f"{flow.kind[0].upper()}{flow.kind[1:]} {redact(flow.key)}"


def service_findings(configuration: Configuration, default: Flow) -> list[Finding]:
    """Services that all mail needs, and that are not there."""
    needed = dict(_NEEDED)
    path = f"{default.route.transport}/unix"
    if path in CLIENTS and default.route.service is None:
        needed[path] = CLIENTS[path]
    elif path in configuration.services:
        needed[path] = ""
    found = _unknown_service(configuration, default) if path not in needed else []
    for service, line in needed.items():
        if configuration.find_transport(service.partition("/")[0]):
            continue
        directory = configuration.directory
        file = f"{directory}/master.cf"
        if service in configuration.services:
            found.append(find(SERVICE_DISABLED, file, service=service, directory=directory))
        else:
            found.append(
                find(SERVICE_MISSING, file, service=service, line=line, directory=directory)
            )
    return found


def _unknown_service(configuration: Configuration, default: Flow) -> list[Finding]:
    """That a setting names a service that master.cf does not have."""
    route, by = default.route, default.route.transport_by
    if route.service or by is None or by.table is not None or not route.transport:
        return []
    return [
        find(
            SERVICE_UNKNOWN,
            by.file,
            mail=mail_of(default),
            setting=by.setting,
            where=locate_decision(by),
            transport=redact(route.transport),
            command=remove_decision(configuration, by),
            directory=configuration.directory,
        )
    ]


def find_own_client(flows: Flows) -> str:
    """The service that all mail goes through, if it is a client for SES alone, else empty."""
    route = flows.default.route
    is_own = f"{route.transport}/unix" not in CLIENTS and is_own_client(route.service)
    return route.transport if is_own else ""


def other_client(flow: Flow, own: str, of_client: t.Iterable[Finding]) -> list[Finding]:
    """That mail to SES does not go through its own client, if it has one and that matters."""
    problems = [finding.message for finding in of_client if finding.blocks]
    by = flow.route.transport_by
    if not own or flow.route.transport == own or not problems or by is None:
        return []
    return [
        find(
            OTHER_CLIENT,
            by.file,
            mail=mail_of(flow),
            nexthop=redact(flow.route.nexthop),
            transport=redact(flow.route.transport),
            setting=by.setting,
            where=locate_decision(by),
            service=redact(own),
            problem=problems[0],
        )
    ]
