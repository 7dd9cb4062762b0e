# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Where a setting or an entry stands, and how somebody gets rid of it, in words for messages."""

from __future__ import annotations

import os
import re
import shlex
import typing as t

from .._postfix._own_client import FIXED, is_own_client
from .._postfix._programs import TABLE_TYPES
from .._postfix._table_name import TableName, parse_table_name
from .._ses._redaction import redact

if t.TYPE_CHECKING:
    from .._postfix._configuration import Configuration
    from .._postfix._routing import Decision

__all__ = ["locate_decision", "locate_setting", "remove_decision", "remove_setting", "show_value"]

_OF_OWN_CLIENT = {
    **FIXED,
    "smtp_tls_security_level": "secure",
    "smtp_tls_policy_maps": "static:secure",
}
_WORD = re.compile(r"[^\s,]+")
_HARMLESS = re.compile(r"[!<>=]{0,2}(?:TLSv1(?:\.[0-3])?|SSLv[23])|\*", re.IGNORECASE)


def locate_setting(configuration: Configuration, name: str, service: str = "") -> str:
    """Where a setting stands, like "master.cf, line 7"; for a service (name/type) its own comes first."""
    file, line = configuration.locate(name, service)
    return _show_place(file, line)


def locate_decision(by: Decision) -> str:
    """Where the setting stands that decides."""
    return _show_place(by.file, by.line)


def remove_setting(configuration: Configuration, name: str, service: str = "") -> str:
    """What to do about a setting: a command, or a line of master.cf."""
    postconf = f"postconf -c {shlex.quote(configuration.directory)}"
    its = configuration.services.get(service)
    override = its.overrides.get(name) if its else None
    if override is None:
        return f"run {postconf} -X {name}"
    if is_own_client(its) and name in _OF_OWN_CLIENT and not override.is_joined:
        # Without it, main.cf's value would count, which is for other mail.
        right = shlex.quote(f"{service}/{name}={_OF_OWN_CLIENT[name]}")
        return f"run {postconf} -P {right} in its place"
    if override.is_joined:  # which postconf does not know
        return f"delete -o{name}={redact(override.value)} in line {override.line} of master.cf"
    return f"run {postconf} -PX {service}/{name}"


def remove_decision(configuration: Configuration, by: Decision) -> str:
    """What to do about the setting or the entry that decides."""
    if by.table is None:
        return remove_setting(configuration, by.setting, by.service)
    table = parse_table_name(by.table)
    if table.type in TABLE_TYPES:
        entry = show_value(by.key or "")
        compiled = TABLE_TYPES[table.type].suffix
        command = f", and run postmap {redact(str(table))}" if compiled else ""
        return f"delete the line of {entry} in {_show_path(table)}{command}"
    if by.key is None or os.path.isabs(table.path):
        return f"delete the pattern in {_show_path(table)} that matches"
    return f"take {redact(by.table)} out of {by.setting}"


def _show_path(table: TableName) -> str:
    return redact(str(table)).partition(":")[2]


def show_value(value: str) -> str:
    """A setting's value, redacted word by word; names of TLS protocols and * are no secrets."""
    transport, colon, nexthop = value.partition(":")
    if colon and nexthop[:1] in ("", " ", "["):
        return f"{redact(transport)}:{redact(nexthop)}".strip()
    return _WORD.sub(_show_word, value)


def _show_word(match: t.Match[str]) -> str:
    word = match.group()
    return word if _HARMLESS.fullmatch(word) else redact(word)


def _show_place(file: str, line: int | None) -> str:
    return f"{file}, line {line}" if line else file
