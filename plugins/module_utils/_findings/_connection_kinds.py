# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The catalogue's findings about how Postfix's SMTP client connects to a server."""

from __future__ import annotations

from dataclasses import replace

from ._finding import Kind

__all__ = [
    "ADDRESS_FAMILY",
    "BIND_ADDRESS_INVALID",
    "BIND_ADDRESS_LOOPBACK",
    "BIND_ADDRESS_MISSING",
    "TIMEOUT_SHORT",
]

_REMEDY = "Remove that setting: {command}. Then run: postfix -c {directory} reload"

ADDRESS_FAMILY = Kind(
    "address_family",
    "warning",
    "inet_protocols leaves no IPv4, and the SES endpoint has IPv4 addresses only. Mail needs NAT64 and"
    " DNS64 then.",
    "{where} has inet_protocols = {value}, and {key} has IPv4 addresses only. Without NAT64 and DNS64 all"
    " mail is deferred",
    f"Add ipv4 to inet_protocols, or use a dual-stack endpoint (dualstack). {_REMEDY}",
)
BIND_ADDRESS_INVALID = Kind(
    "bind_address",
    "critical",
    "smtp_bind_address or smtp_bind_address6 is not an address, so Postfix's SMTP client ends as soon as"
    " it connects.",
    "{where} has {setting} = {value}, which is not an address, so Postfix's SMTP client ends when it"
    " connects to {key}. All mail is deferred",
    _REMEDY,
    blocks=True,
)
BIND_ADDRESS_MISSING = replace(
    BIND_ADDRESS_INVALID,
    meaning="This host does not have the address in smtp_bind_address or smtp_bind_address6, and"
    " smtp_bind_address_enforce = yes.",
    message="{where} has {setting} = {value}, an address that this host does not have, and"
    " smtp_bind_address_enforce = yes. Postfix does not connect to {key}, and all mail is deferred",
)
BIND_ADDRESS_LOOPBACK = replace(
    BIND_ADDRESS_INVALID,
    severity="warning",
    meaning="smtp_bind_address or smtp_bind_address6 is a loopback address, from which no other host can"
    " be reached.",
    message="{where} has {setting} = {value}, a loopback address, from which {key} can't be reached. All"
    " mail is deferred",
    blocks=False,
)
TIMEOUT_SHORT = Kind(
    "timeout_short",
    "warning",
    "A timeout of Postfix's SMTP client is shorter than 5 seconds. Mail is deferred when SES takes"
    " longer; after smtp_data_done_timeout it is sent twice.",
    "{where} has {setting} = {value}, so Postfix gives up when {key} does not answer within that time."
    " The mail is deferred, or sent twice",
    _REMEDY,
)
