# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What is wrong with password maps: their entries, their tables and who can read them. Pure."""

from __future__ import annotations

import typing as t

from .._postfix._lookup_table import State
from ._finding import Finding

if t.TYPE_CHECKING:
    from ._facts import (
        Destination,
        Entry,
        InstanceFacts,
        MapFacts,
    )
    from ._lookup import Lookups

__all__ = ["entry_region", "map_findings"]

_AGAIN = (
    "Have the password derived again from the IAM key, for {region}: mailops.ses.postfix_relay or"
    " mailops.ses.postfix_sasl_passwd"
)


def entry_region(entry: Entry, servers: t.Sequence[Destination]) -> str | None:
    """The region of the SES endpoint that an entry is for: of its servers, or else of its key."""
    return next((each.region for each in servers if each.region), entry.key_region)


def map_findings(
    facts: InstanceFacts, lookups: Lookups, entries: t.Sequence[Entry]
) -> t.Iterator[Finding]:
    """What is wrong with the maps of an instance; `entries` are those of all maps."""
    # Of a client whose destinations are not looked at.
    others = {each.name for each in facts.maps} - {
        facts.maps[number].name for numbers in facts.asked_maps.values() for number in numbers
    }
    for number, entry in enumerate(entries):
        servers = lookups.servers.get(number, ())
        if entry_region(entry, servers) or entry.version or entry.match:
            yield from _of_entry(facts, entry, servers)
            if entry.in_force and not servers and entry.table not in others:
                yield from _unused(facts, entry, lookups.shadowed_by.get(number))
    for each in facts.maps:
        yield from _of_table(facts, each)
        yield from _of_source(each)
    for file in facts.open_files:
        yield Finding(
            "readable_by_others",
            "critical",
            file.path,
            f"this {file.what} holds passwords, and others than root can read or change it"
            f" ({file.status})",
            "Move the passwords into a table (mailops.ses.postfix_relay), and make new ones"
            if file.what == "main.cf"
            else f"chown root:root and chmod 0600 {file.path}, or remove it if it is a copy; if"
            " others are on this host, take a new key",
        )


def _of_entry(
    facts: InstanceFacts, entry: Entry, servers: t.Sequence[Destination]
) -> t.Iterator[Finding]:
    """What is wrong with an entry for SES."""
    regions = dict.fromkeys(each.region for each in servers if each.region)
    if not regions and entry.key_region:
        regions[entry.key_region] = None
    wanted = ", ".join(str(region) for region in regions) or "the region of the mail"
    again = _AGAIN.format(region=wanted)

    def finding(id_: str, severity: str, message: str, remedy: str) -> Finding:
        file = entry.path or facts.main_cf
        return Finding(id_, severity, file, f"{_name(entry)}: {message}", remedy, entry.key)

    if entry.version == 2:
        yield finding(
            "version_2_password",
            "warning",
            "the password is of version 2, the one without a region, which SES rejects more and"
            " more",
            again,
        )
    if entry.raw_secret:
        yield finding(
            "raw_secret",
            "critical",
            "the password looks like a secret access key, which SES refuses and which does not"
            " belong on this host",
            f"{again}. Whoever could read this file has the key: make a new one",
        )
    if entry.username_problem:
        yield finding(
            "username_not_access_key",
            "critical",
            entry.username_problem,
            "Use the access key ID that belongs to the password as the user name",
        )
    match = entry.match
    if match and match.region and any(region != match.region for region in regions):
        yield finding(
            "other_region",
            "critical",
            f"the password is that of {match.access_key} for {match.region}, which is refused in"
            f" {wanted}",
            again,
        )
    if match and entry.username not in (None, match.access_key) and not entry.username_problem:
        yield finding(
            "username_of_other_key",
            "critical",
            f"the user name is {entry.username}, but the password is that of {match.access_key}",
            again,
        )


def _unused(facts: InstanceFacts, entry: Entry, by: Entry | None) -> t.Iterator[Finding]:
    if by is not None:
        if by.login == entry.login:
            return
        message = f"Postfix finds the entry {by.key!r} before this one, which is never used"
        remedy = "Remove the one of the two that is not meant"
    elif not facts.uses_known:
        return
    elif "@" in entry.key and not facts.client.is_on("smtp_sender_dependent_authentication"):
        message = "this is a sender's, and smtp_sender_dependent_authentication is not yes"
        remedy = "Set smtp_sender_dependent_authentication = yes, or remove the entry"
    else:
        message = "no mail goes to this server, so that the entry is never used"
        remedy = (
            "Remove it (mailops.ses.postfix_sasl_passwd with state=absent), and deactivate its key"
            " if nothing else uses it"
        )
    yield Finding(
        "unused_entry",
        "warning" if by is not None else "notice",
        entry.path or facts.main_cf,
        f"{_name(entry)}: {message}",
        remedy,
        entry.key,
    )


def _of_table(facts: InstanceFacts, of_map: MapFacts) -> t.Iterator[Finding]:
    name, file = of_map.name, of_map.table_path or of_map.path or facts.main_cf
    make = f"Make the table: postmap {name}"
    # Postfix opens the maps only if it is to log in.
    waits = facts.client.is_on("smtp_sasl_auth_enable")
    severity, so = ("critical", ", so that all mail waits") if waits else ("notice", "")
    if of_map.state is State.NO_TYPE:
        yield Finding(
            "table_type_missing",
            severity,
            facts.main_cf,
            f"this Postfix has no tables of the type of {name}{so}",
            "Take a type that it has (postconf -m) with mailops.ses.postfix_relay, or install the"
            " package with this one",
        )
    elif of_map.state is State.MISSING:
        yield Finding(
            "table_missing",
            severity,
            file,
            f"the table of {name} is missing{so}",
            make,
        )
    elif of_map.state is State.DAMAGED:
        yield Finding(
            "table_damaged",
            severity,
            file,
            f"Postfix can't read the table of {name}{so}",
            make,
        )
    elif of_map.closed_to_proxymap:
        yield Finding(
            "table_closed",
            severity,
            file,
            f"Postfix's proxymap, which is to read {name}, may not: it runs as Postfix's own"
            f" user{so}",
            "Take proxy: out of smtp_sasl_password_maps: without it, root reads the table",
        )
    elif not of_map.complete:
        yield Finding(
            "map_not_read",
            "warning" if of_map.state is State.OPAQUE else "critical",
            of_map.path or facts.main_cf,
            f"the entries of {name} were not looked at"
            + ("" if of_map.state is State.OPAQUE else ": it can't be read by this user"),
            "Look at them yourself"
            if of_map.state is State.OPAQUE
            else "Run the task as root (become: true)",
        )
    elif of_map.differs:
        yield Finding(
            "table_stale",
            "warning",
            file,
            f"the table of {name} has other entries than its source",
            f"Look at the source, then: postmap {name}",
        )
    elif of_map.older:
        yield Finding(
            "table_stale",
            "notice",
            file,
            f"the table of {name} is older than its source, though with the same entries",
            make,
        )


def _of_source(of_map: MapFacts) -> t.Iterator[Finding]:
    path = of_map.path
    if path is None:
        return
    if of_map.source_missing and of_map.state is State.READ:
        yield Finding(
            "source_missing",
            "notice",
            path,
            f"the source of {of_map.name} is missing; its entries are in the table only",
            f"Bring it back, for nobody but root to read: postmap -s {of_map.name}",
        )
    for line in of_map.ignored_lines:
        yield Finding(
            "line_ignored",
            "warning",
            path,
            f"line {line} is no entry: Postfix skips it",
            "Write a key, white space, and user name and password with a colon between them",
        )
    for key, line in of_map.repeated:
        yield Finding(
            "repeated_key",
            "warning",
            path,
            f"line {line}: the key {key!r} occurs before, and Postfix uses the first",
            "Remove the line that is not meant",
            key,
        )


def _name(entry: Entry) -> str:
    """Where an entry is."""
    return f"line {entry.line}" if entry.line else f"the entry {entry.key!r} of the table"
