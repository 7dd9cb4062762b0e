# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Looking something up as Postfix's daemons do: in lists of lookup tables, and of patterns. Pure.

Sources: maps.c, mail_addr_find.c, split_addr.c, match_list.c, match_ops.c, resolve_local.c.
"""

from __future__ import annotations

import ipaddress
import os
import re
import typing as t

from ._configuration import Configuration, is_table
from ._lookup_table import ANY_KEY, State, Table
from ._main_cf import split_tokens
from ._map_entry import decode, fold

__all__ = [
    "Hit",
    "LookupKey",
    "Question",
    "UnansweredError",
    "UnusableTableError",
    "is_local",
    "is_pattern_table",
    "list_address_keys",
    "list_parent_keys",
    "matches",
    "matches_list",
    "search",
]

# Types of tables with patterns: they are asked with whole addresses only, and fold nothing.
_PATTERNS = frozenset({"cidr", "pcre", "randmap", "regexp"})
_LOOPBACK = ("all", "loopback-only", "localhost")
_IPV4 = 4
_NOT_SPLIT = ("postmaster", "mailer-daemon")


class LookupKey(t.NamedTuple):
    """A lookup key. A part of an address is not looked up in tables with patterns."""

    text: str
    is_part: bool = False


class Hit(t.NamedTuple):
    """What a list of tables has found."""

    table: str
    key: str
    value: str


class Question(t.NamedTuple):
    """What a table that can't be listed is to be asked: `postmap -q KEY TABLE`."""

    table: str
    key: str


class UnansweredError(Exception):
    """Tables that can't be listed have to be asked first."""

    def __init__(self, questions: t.Sequence[Question]) -> None:
        super().__init__(*questions)
        self.questions = tuple(questions)


class UnusableTableError(Exception):
    """Postfix can't use a table that it has to ask, and defers the mail."""

    def __init__(self, table: str) -> None:
        super().__init__(table)
        self.table = table


def is_pattern_table(table: Table) -> bool:
    """Whether a table has patterns in place of lookup keys."""
    return table.type in _PATTERNS


def search(configuration: Configuration, value: str, keys: t.Iterable[LookupKey]) -> Hit | None:
    """The first hit: for each key, all tables in turn.

    `value` is that of the setting. Raises UnansweredError or UnusableTableError.
    """
    pairs = [
        (token, configuration.tables[token], key)
        for key in keys
        for token in split_tokens(value)
        if key.text and not (key.is_part and is_pattern_table(configuration.tables[token]))
    ]
    _refuse_questions(configuration, [(token, table, key.text) for token, table, key in pairs])
    for token, table, key in pairs:
        found = _look_up(configuration, token, table, key.text)
        if found == "":
            raise UnusableTableError(token)
        if found is not None:
            return Hit(token, key.text, found)
    return None


def _refuse_questions(
    configuration: Configuration, pairs: t.Iterable[tuple[str, Table, str]]
) -> None:
    """Raise UnansweredError with all that has to be asked, at once."""
    questions = [
        Question(token, key)
        for token, table, key in pairs
        if _has_to_be_asked(table) and (token, key) not in configuration.answers
    ]
    if questions:
        raise UnansweredError(list(dict.fromkeys(questions)))


def _has_to_be_asked(table: Table) -> bool:
    return not table.is_complete and not table.is_inline


def _look_up(configuration: Configuration, token: str, table: Table, key: str) -> str | None:
    """The value of a key, None if the table has none."""
    if _has_to_be_asked(table):
        return configuration.answers[token, key]
    if not table.state.is_usable:
        raise UnusableTableError(token)
    values = table.values
    found = values.get(fold(os.fsencode(key), configuration.utf8))
    if found is None and table.state is State.OPAQUE:  # of static:, that all keys have
        found = values.get(ANY_KEY) if table.type == "static" else None
    return None if found is None else decode(found)


def list_address_keys(
    configuration: Configuration, address: str, *, service: str
) -> list[LookupKey]:
    """The keys for an address: with and without its extension, the user if local, the domain."""
    bare = _without_extension(configuration, address, service)
    keys = [LookupKey(address), *([LookupKey(bare, is_part=True)] if bare else [])]
    local, at, domain = address.rpartition("@")
    if not at:
        return keys
    is_own = domain.lower() == configuration.get("myorigin", service).lower()
    if is_own or is_local(configuration, domain, service=service):
        keys.append(LookupKey(local, is_part=True))
        if bare:
            keys.append(LookupKey(bare.rpartition("@")[0], is_part=True))
    keys.append(LookupKey(f"@{domain}", is_part=True))
    return keys


def list_parent_keys(
    configuration: Configuration, address: str, *, service: str
) -> list[LookupKey]:
    """The keys for an address in transport_maps: it, its domain, and the parents of that."""
    bare = _without_extension(configuration, address, service)
    keys = [LookupKey(address), *([LookupKey(bare, is_part=True)] if bare else [])]
    domain = address.rpartition("@")[2]
    with_dot = "" if _is_parent_style(configuration, "transport_maps", service) else "."
    labels = domain.split(".")
    parents = [with_dot + ".".join(labels[number:]) for number in range(1, len(labels))]
    return [*keys, *(LookupKey(each, is_part=True) for each in (domain, *parents))]


def _without_extension(configuration: Configuration, address: str, service: str) -> str:
    """The address without its extension, empty if it has none."""
    delimiters = configuration.get("recipient_delimiter", service)
    local, at, domain = address.rpartition("@") if "@" in address else (address, "", "")
    special = (*_NOT_SPLIT, configuration.get("double_bounce_sender", service).lower())
    if not delimiters or local.lower() in special:
        return ""
    if "-" in delimiters and configuration.get("owner_request_special", service) != "no":
        folded = local.lower()
        if folded.startswith("owner-") or (folded.endswith("-request") and len(local) > 8):
            return ""
    positions = [number for number, each in enumerate(local) if each in delimiters]
    if not positions or positions[0] == 0:
        return ""
    return f"{local[: positions[0]]}{at}{domain}"


def matches(
    configuration: Configuration,
    setting: str,
    name: str,
    *,
    service: str = "",
    with_parents: bool = False,
) -> bool:
    """Whether a list of patterns has a name. Raises UnansweredError or UnusableTableError.

    `with_parents` is for lists of domains whose subdomains may count as well.
    """
    folded = name.casefold() if configuration.utf8 else name.lower()
    is_parent_style = with_parents and _is_parent_style(configuration, setting, service)
    names = [folded]
    if with_parents:
        labels = folded.split(".")
        dot = "" if is_parent_style else "."
        names += [dot + ".".join(labels[number:]) for number in range(1, len(labels))]
    for pattern, is_match in _patterns(configuration, configuration.get(setting, service)):
        if pattern.startswith("/"):
            raise UnusableTableError(pattern)
        if is_table(pattern):
            table = configuration.tables[pattern]
            asked = names[:1] if is_pattern_table(table) else names
            _refuse_questions(configuration, [(pattern, table, each) for each in asked])
            if any(_look_up(configuration, pattern, table, each) is not None for each in asked):
                return is_match
        elif pattern.lower() in names:
            return is_match
    return False


def matches_list(configuration: Configuration, value: str, name: str) -> bool:
    """Whether a list of names in the value of a setting has a name: see matches()."""
    changed = configuration.with_settings({"": value})
    return matches(changed, "", name)


def _patterns(configuration: Configuration, value: str) -> t.Iterator[tuple[str, bool]]:
    """The entries of a list with what a match means; those of files in place of their names.

    The name of a file that can't be read stays.
    """
    for token in split_tokens(value):
        pattern = token.lstrip("!")
        is_match = (len(token) - len(pattern)) % 2 == 0
        entries = configuration.files.get(pattern) if pattern.startswith("/") else None
        if entries is None:
            yield pattern, is_match
            continue
        for entry, inside in _patterns(configuration, "\n".join(entries)):
            yield entry, inside is is_match


def _is_parent_style(configuration: Configuration, setting: str, service: str) -> bool:
    """Whether a parent domain matches its subdomains in this list."""
    return matches(configuration, "parent_domain_matches_subdomains", setting, service=service)


def is_local(configuration: Configuration, domain: str, *, service: str = "") -> bool:
    """Whether a domain is one of this host's. Raises UnansweredError or UnusableTableError."""
    name = domain[:-1] if domain.endswith(".") else domain
    if not name or name.endswith("."):
        return False
    if matches(configuration, "mydestination", name, service=service):
        return True
    return name.startswith("[") and name.endswith("]") and _is_own(configuration, name[1:-1])


def _is_own(configuration: Configuration, address: str) -> bool:
    """Whether an address is one that Postfix listens on, or a proxy's for it.

    Of the machine's own interfaces, only the loopback one is known.
    """
    literal = re.sub(r"^ipv6:", "", address, flags=re.IGNORECASE)
    try:
        number = ipaddress.ip_address(literal)
    except ValueError:
        return False
    for setting in ("inet_interfaces", "proxy_interfaces"):
        for each in split_tokens(configuration.get(setting).lower()):
            if each in _LOOPBACK and number.is_loopback and number.version == _IPV4:
                return True
            if each.strip("[]") == str(number):
                return True
    return False
