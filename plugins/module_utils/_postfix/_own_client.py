# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""An SMTP client of Postfix's for Amazon SES alone: its service in master.cf. Pure.

It has every setting of its own that decides whether mail arrives at SES with a login, inside verified
TLS. So nothing in main.cf can change that, and nothing of it holds for other mail.
Sources: smtp(8), smtp_params.c, smtp_tls_policy.c, smtp_sasl_glue.c.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ._lines import split_logical_lines
from ._login_keys import SENDERS_OWN
from ._main_cf import split_tokens
from ._master_cf import parse_services, split_line
from ._tls_policy import TLS_REQUIRED

if t.TYPE_CHECKING:
    from ._master_cf import Service

__all__ = [
    "FIXED",
    "OwnClient",
    "find_service_lines",
    "is_own_client",
    "is_satisfied",
    "list_client_settings",
    "place_service",
    "remove_service",
]

_CLIENT = "smtp"
_FIELDS = 8
#: Settings with the same value for every relay.
FIXED = {
    "smtp_sasl_auth_enable": "yes",
    "smtp_sasl_security_options": "noanonymous,noplaintext",
    "smtp_sasl_tls_security_options": "noanonymous",
    "smtp_sasl_tls_verified_security_options": "noanonymous",
    "smtp_sasl_mechanism_filter": "plain,login",
    "smtp_sasl_auth_soft_bounce": "yes",
    "smtp_sasl_type": "cyrus",
    "smtp_sasl_path": "",
    "smtp_tls_CApath": "",
    "tls_append_default_CA": "no",
    "smtp_tls_mandatory_protocols": "!SSLv2,!SSLv3,!TLSv1,!TLSv1.1",
    "smtp_tls_mandatory_ciphers": "medium",
    "smtp_tls_mandatory_exclude_ciphers": "",
    "smtp_tls_exclude_ciphers": "",
    "smtp_tls_secure_cert_match": "nexthop",
    "smtp_tls_scert_verifydepth": "9",
    "smtp_tls_servername": "",
    "smtp_tls_connection_reuse": "no",
    "smtp_tls_cert_file": "",
    "smtp_tls_dcert_file": "",
    "smtp_tls_eccert_file": "",
    "smtp_tls_chain_files": "",
    "smtp_tls_trust_anchor_file": "",
    "smtp_never_send_ehlo": "no",
    "smtp_always_send_ehlo": "yes",
    "smtp_discard_ehlo_keywords": "",
    "smtp_discard_ehlo_keyword_address_maps": "",
    "smtp_reply_filter": "",
    "smtp_fallback_relay": "",
}
# Newer releases of Postfix warn of these, so the service has them only where main.cf has another value.
_OBSOLETE = {"smtp_cname_overrides_servername": "no"}
# Those that older releases do not know. With this one a message's header turns off the level.
_NEW = {TLS_REQUIRED: "no"}
_LEVEL = "smtp_tls_security_level"
_MAPS = "smtp_sasl_password_maps"
_PRIVATE = ("-", "y")


@dataclass(frozen=True)
class OwnClient:
    """A service of master.cf, and the settings that it is to have of its own, in their order."""

    name: str
    settings: t.Mapping[str, str]

    @property
    def path(self) -> str:
        """Its name for postconf -P and -M."""
        return f"{self.name}/unix"


def list_client_settings(
    values: t.Mapping[str, str],
    *,
    table: str,
    tls_level: str,
    ca_file: str | None,
    wrappermode: bool,
    has_senders: bool,
) -> dict[str, str]:
    """The settings for a relay. `values` are main.cf's effective ones, `table` is like hash:/path."""
    return {
        _LEVEL: tls_level,
        # A table with one answer, and not none: with a table, smtp_tls_per_site has no effect.
        "smtp_tls_policy_maps": f"static:{tls_level}",
        "smtp_tls_CAfile": ca_file or "",
        "smtp_tls_wrappermode": "yes" if wrappermode else "no",
        _MAPS: table,
        SENDERS_OWN: "yes" if has_senders else "no",
        **FIXED,
        **{name: value for name, value in _OBSOLETE.items() if values.get(name, value) != value},
        **{name: value for name, value in _NEW.items() if name in values},
    }


def is_own_client(service: Service | None) -> bool:
    """Whether a service is an SMTP client with TLS and a login of its own."""
    return bool(
        service
        and service.program == _CLIENT
        and _LEVEL in service.overrides
        and _MAPS in service.overrides
    )


def is_satisfied(content: bytes, client: OwnClient) -> bool:
    """Whether master.cf has the service with these settings, and perhaps more."""
    service = _find(content, client.path)
    if service is None or service.program != _CLIENT:
        return False
    is_private = split_line(find_service_lines(content, client.path) or "")[2] in _PRIVATE
    own = service.overrides
    return is_private and all(
        name in own and split_tokens(own[name].value) == split_tokens(value)
        for name, value in client.settings.items()
    )


def find_service_lines(content: bytes, path: str) -> str | None:
    """The lines of a service (name/type) as they are, None if master.cf has none."""
    service = _find(content, path)
    if service is None:
        return None
    first, last = _span(content, service)
    return "\n".join(os.fsdecode(content).split("\n")[first:last]) + "\n"


def place_service(content: bytes, client: OwnClient) -> bytes:
    """master.cf with the service, the same bytes if it is satisfied.

    One that is there and lacks something keeps what else it has of its own. A new one comes last; it
    runs in a chroot if the service smtp does.
    """
    if is_satisfied(content, client):
        return content
    service = _find(content, client.path)
    lines = os.fsdecode(content).split("\n")
    if service is None:
        pattern = _find(content, "smtp/unix") or _find(content, "relay/unix")
        new = _format(client, pattern.chroot if pattern else "n")
        if lines[-1]:
            lines.append("")
        lines[-1:] = [*new, ""]
    else:
        first, last = _span(content, service)
        lines[first:last] = _repair(client, service, split_line("\n".join(lines[first:last])))
    return os.fsencode("\n".join(lines))


def remove_service(content: bytes, path: str) -> bytes:
    """master.cf without the lines of a service."""
    service = _find(content, path)
    if service is None:
        return content
    first, last = _span(content, service)
    lines = os.fsdecode(content).split("\n")
    return os.fsencode("\n".join([*lines[:first], *lines[last:]]))


def _find(content: bytes, path: str) -> Service | None:
    return parse_services(os.fsdecode(content)).get(path)


def _span(content: bytes, service: Service) -> tuple[int, int]:
    """The indexes of a service's first line, and of the line after its last."""
    for text, number in split_logical_lines(os.fsdecode(content)):
        if number == service.line:
            return number - 1, number - 1 + text.rstrip().count("\n") + 1
    raise ValueError("a service of another file")


def _format(client: OwnClient, chroot: str, processes: str = "-") -> list[str]:
    columns = (f"{client.name:<9}", "unix  ", *(f"{each:<7}" for each in ("-", "-", chroot, "-")))
    return [
        " ".join([*columns, f"{processes:<7}", _CLIENT]),
        *(f"    -o {name}={value}" for name, value in client.settings.items()),
    ]


def _repair(client: OwnClient, service: Service, words: t.Sequence[str]) -> list[str]:
    """The lines of a service once it has these settings, too."""
    if service.program != _CLIENT:
        return _format(client, service.chroot)
    lines = _format(client, service.chroot, words[6])
    rest = iter(words[_FIELDS:])
    for word in rest:
        if not word.startswith("-o"):
            lines.append(f"    {word}")
            continue
        setting = word[2:] or next(rest, "")
        name = setting.partition("=")[0].strip()
        if name and name not in client.settings:
            is_split = len(setting.split()) > 1
            lines.append(f"    -o {{ {setting} }}" if is_split else f"    -o {setting}")
    return lines
