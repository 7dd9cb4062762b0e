# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What keeps one of Postfix's SMTP clients from a connection to SES. Pure.

Sources: smtp_connect_addr() in smtp_connect.c, inet_proto.c, conv_time.c.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._postfix._destination import BIND_ADDRESSES, PROTOCOLS, TIMEOUTS
from .._postfix._main_cf import split_tokens
from ._connection_kinds import (
    ADDRESS_FAMILY,
    BIND_ADDRESS_INVALID,
    BIND_ADDRESS_LOOPBACK,
    BIND_ADDRESS_MISSING,
    TIMEOUT_SHORT,
)

if t.TYPE_CHECKING:
    from .._postfix._configuration import Configuration
    from .._postfix._destination import Destination
    from ._finding import Kind

__all__ = ["connection_findings"]

# The endpoints that have IPv4 addresses only, unlike those of api.aws and of a VPC.
_IPV4_ALONE = re.compile(r"email-smtp(?:-fips)?\.[\w-]+\.amazonaws\.com")
_TIME = re.compile(r"(\d+)([smhdw]?)", re.IGNORECASE)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SHORT_SECONDS = 5
_OFF = "0"
_ENFORCE = "smtp_bind_address_enforce"


def connection_findings(
    configuration: Configuration, destination: Destination
) -> t.Iterator[tuple[Kind, str]]:
    """The kinds of what is wrong, each with the setting that it is about."""
    client = destination.client
    families = [each.lower() for each in split_tokens(client.get(PROTOCOLS))]
    has_ipv4_alone = _IPV4_ALONE.fullmatch(destination.host) is not None
    if has_ipv4_alone and families and not {"all", "ipv4"} & {*families}:
        yield ADDRESS_FAMILY, PROTOCOLS
    for name, family in BIND_ADDRESSES.items():
        is_used = not families or "all" in families or family in families
        if client.get(name) and is_used and (family == "ipv4" or not has_ipv4_alone):
            # Before Postfix 3.7 there is no such setting, not even for a service that has it.
            is_enforced = _ENFORCE in configuration.settings and client.is_on(_ENFORCE)
            kind = _judge_address(configuration, client.get(name), is_enforced)
            if kind:
                yield kind, name
    for name in TIMEOUTS:
        value = client.get(name)
        match = _TIME.fullmatch(value)
        is_off = value == _OFF and name == "smtp_connect_timeout"
        if match and not is_off:
            number, unit = match.groups()
            if int(number) * _SECONDS[unit.lower()] < _SHORT_SECONDS:
                yield TIMEOUT_SHORT, name


def _judge_address(configuration: Configuration, value: str, is_enforced: bool) -> Kind | None:
    try:
        address = ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        return BIND_ADDRESS_INVALID
    if is_enforced and value in configuration.foreign:
        return BIND_ADDRESS_MISSING
    return BIND_ADDRESS_LOOPBACK if address.is_loopback else None
