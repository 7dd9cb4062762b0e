# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""A server that Postfix's SMTP client connects to, and how it connects."""

from __future__ import annotations

import re
import socket
import typing as t
from dataclasses import dataclass, field

from .._ses._redaction import redact
from .._smtp._server import is_ses_host, region_of_endpoint
from ._main_cf import split_tokens
from ._tls import find_tls_level

__all__ = [
    "BIND_ADDRESSES",
    "CLIENT_SETTINGS",
    "MECHANISMS",
    "MECHANISM_FILTER",
    "PROTOCOLS",
    "TIMEOUTS",
    "Client",
    "Destination",
    "parse_destinations",
    "parse_host",
]

#: The mechanisms of SASL that SES has, and the setting that leaves some of them.
MECHANISMS = ("PLAIN", "LOGIN")
MECHANISM_FILTER = "smtp_sasl_mechanism_filter"

#: The protocols of IP, ipv4 and ipv6, and the local address for each.
PROTOCOLS = "inet_protocols"
BIND_ADDRESSES = {"smtp_bind_address": "ipv4", "smtp_bind_address6": "ipv6"}
#: How long the client waits for each step of a delivery.
TIMEOUTS = (
    "smtp_connect_timeout",
    "smtp_helo_timeout",
    "smtp_starttls_timeout",
    "smtp_mail_timeout",
    "smtp_rcpt_timeout",
    "smtp_data_init_timeout",
    "smtp_data_xfer_timeout",
    "smtp_data_done_timeout",
)
#: What decides how a client connects and logs in. A service of master.cf may have its own.
CLIENT_SETTINGS = (
    PROTOCOLS,
    *BIND_ADDRESSES,
    *TIMEOUTS,
    "smtp_bind_address_enforce",
    "smtp_cname_overrides_servername",
    "smtp_discard_ehlo_keyword_address_maps",
    "smtp_discard_ehlo_keywords",
    "smtp_enforce_tls",
    "smtp_fallback_relay",
    "smtp_never_send_ehlo",
    "smtp_sasl_auth_enable",
    "smtp_sasl_auth_soft_bounce",
    MECHANISM_FILTER,
    "smtp_sasl_password_maps",
    "smtp_sasl_security_options",
    "smtp_sasl_tls_security_options",
    "smtp_sasl_tls_verified_security_options",
    "smtp_sasl_type",
    "smtp_sender_dependent_authentication",
    "smtp_tcp_port",
    "smtp_tls_CAfile",
    "smtp_tls_CApath",
    "smtp_tls_cert_file",
    "smtp_tls_chain_files",
    "smtp_tls_dcert_file",
    "smtp_tls_dkey_file",
    "smtp_tls_eccert_file",
    "smtp_tls_eckey_file",
    "smtp_tls_enforce_peername",
    "smtp_tls_exclude_ciphers",
    "smtp_tls_key_file",
    "smtp_tls_mandatory_ciphers",
    "smtp_tls_mandatory_exclude_ciphers",
    "smtp_tls_mandatory_protocols",
    "smtp_tls_per_site",
    "smtp_tls_policy_maps",
    "smtp_tls_protocols",
    "smtp_tls_secure_cert_match",
    "smtp_tls_security_level",
    "smtp_tls_trust_anchor_file",
    "smtp_tls_verify_cert_match",
    "smtp_tls_wrappermode",
    "smtp_use_tls",
    "tls_append_default_CA",
    "tls_required_enable",
)

_SMTP_PORT = 25
# The names that /etc/services may lack.
_SERVICES = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465, "urd": 465}
_DESTINATION = re.compile(
    r"(?:\[(?P<literal>[^\[\]]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[^:]+))?\Z"
)


@dataclass(frozen=True)
class Client:
    """How one of Postfix's SMTP clients connects: main.cf's settings, and what master.cf says.

    `own` has the lines of master.cf with the settings that the service has of its own.
    """

    service: str
    settings: t.Mapping[str, str] = field(default_factory=dict, compare=False)
    own: t.Mapping[str, int] = field(default_factory=dict, compare=False)

    def get(self, name: str) -> str:
        """The value of a setting, empty if Postfix does not have it."""
        return self.settings.get(name, "")

    def is_on(self, name: str) -> bool:
        """Whether a yes-or-no setting is yes."""
        return self.get(name).lower() == "yes"

    @property
    def tls(self) -> str:
        """How TLS begins."""
        return "wrapper" if self.is_on("smtp_tls_wrappermode") else "starttls"

    @property
    def tls_level(self) -> str:
        """The security level without a TLS policy."""
        return find_tls_level(self.settings)


@dataclass(frozen=True)
class Destination:
    """A server that mail is relayed to, as written, and taken apart.

    Without brackets Postfix would ask for MX records first; SES's endpoints have none.
    """

    text: str
    host: str
    port: int
    client: Client

    @property
    def shown_text(self) -> str:
        """The server as written, redacted: it may have a login in it."""
        return redact(self.text)

    @property
    def shown_host(self) -> str:
        """The host, redacted."""
        return redact(self.host)

    @property
    def region(self) -> str | None:
        """The region whose SES endpoint it is."""
        return region_of_endpoint(self.host)

    @property
    def is_ses(self) -> bool:
        """Whether it is of one of SES's SMTP systems: a regional endpoint, or Mail Manager."""
        return is_ses_host(self.host)

    def show(self) -> dict[str, t.Any]:
        """The server as a result has it."""
        return {"host": self.shown_host, "port": self.port, "tls": self.client.tls}


def parse_host(key: str) -> str | None:
    """The host that a key of a password map names, None for a sender's."""
    match = _DESTINATION.match(key)
    if "@" in key or not match:
        return None
    return match.group("literal") or match.group("name")


def parse_destinations(value: str, client: Client) -> tuple[Destination, ...]:
    """The destinations in a value of relayhost and the like."""
    found = []
    for text in split_tokens(value):
        match = _DESTINATION.match(text)
        if match:
            host = match.group("literal") or match.group("name")
            port = match.group("port") or client.get("smtp_tcp_port")
            found.append(Destination(text, host.lower(), _port(port), client))
    return tuple(found)


def _port(port: str) -> int:
    if port.isdigit():
        return int(port)
    try:
        return _SERVICES.get(port) or socket.getservbyname(port, "tcp")
    except OSError:
        return _SMTP_PORT
