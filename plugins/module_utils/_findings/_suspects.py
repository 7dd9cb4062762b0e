# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Settings that may be why a probe fails: those of Postfix's SMTP client that are not its defaults."""

from __future__ import annotations

import os
import re
import typing as t

from .._files._secret_file import read_if_there
from .._postfix._lines import find_setting_lines
from .._postfix._main_cf import read_settings
from .._postfix._master_cf import read_services
from ._where import show_value

if t.TYPE_CHECKING:
    from .._postfix._programs import Postfix

__all__ = ["list_suspects"]

_OF_CLIENTS = re.compile(
    r"smtp_.*|tls_.*|inet_.*|.*_(?:rate_delay|concurrency_limit)|default_delivery_status_filter"
    r"|default_process_limit|default_transport|disable_dns_lookups|relay_transport|address_verify_.*"
)
# What keeps no connection and no login from working, whatever its value is.
_HARMLESS = re.compile(
    r"smtp_tls_(?:loglevel|note_starttls_offer|session_cache_.*)|smtp_(?:helo_name|generic_maps)"
    r"|smtp_(?:mime_|nested_)?header_checks|smtp_body_checks|.*_destination_recipient_limit"
    r"|smtp_use_tls|smtp_enforce_tls|smtp_tls_CApath"
)


def list_suspects(
    postfix: Postfix, directory: str, transport: str | None, ours: t.Collection[str]
) -> tuple[str, ...]:
    """Each with its place, like "inet_protocols = ipv6 (/etc/postfix/main.cf, line 7)".

    `transport` is the service of master.cf whose own settings count as well, `ours` has the names
    of settings that are as they have to be. Values are redacted. Raises PostfixError.
    """
    main_cf, master_cf = (os.path.join(directory, name) for name in ("main.cf", "master.cf"))
    lines = find_setting_lines(os.fsdecode(read_if_there(main_cf) or b""))
    names = [name for name in lines if _is_suspect(name) and name not in ours]
    values = read_settings(postfix, names) if names else {}
    defaults = read_settings(postfix, names, ["-d"]) if names else {}
    found = [
        f"{name} = {show_value(value)} ({main_cf}, line {lines[name]})"
        for name, value in values.items()
        if value != defaults.get(name)
    ]
    service = read_services(postfix, directory).get(f"{transport}/unix")
    for override in service.overrides.values() if service else ():
        if _is_suspect(override.name):
            place = f"{master_cf}, line {override.line}"
            found.append(f"{override.name} = {show_value(override.value)} ({place})")
    return tuple(found)


def _is_suspect(name: str) -> bool:
    return bool(_OF_CLIENTS.fullmatch(name)) and not _HARMLESS.fullmatch(name)
