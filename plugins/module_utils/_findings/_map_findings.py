# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What is wrong with password maps: their entries, their tables and who can read them. Pure."""

from __future__ import annotations

import typing as t

from .._postfix._destination import parse_host
from .._postfix._lookup_table import State
from .._ses._mail_manager import MAIL_MANAGER
from .._ses._secret_shapes import is_access_key
from .._smtp._server import smtp_system
from ._entry_kinds import (
    ANY_REGION,
    IGNORED_LINE,
    IGNORED_LINE_NOT_COMPILED,
    OTHER_REGION,
    RAW_SECRET,
    REPEATED_KEY,
    REPEATED_KEY_NOT_COMPILED,
    SHADOWED_ENTRY,
    UNUSED_ENTRY,
    UNUSED_SENDER,
    USERNAME_NOT_ACCESS_KEY,
    USERNAME_NOT_INGRESS_ENDPOINT,
    USERNAME_OF_OTHER_KEY,
    VERSION_2_PASSWORD,
    name_entry,
)
from ._finding import Finding, Kind, find
from ._table_kinds import (
    LOGIN_WITHOUT_SOURCE,
    MAP_DENIED,
    MAP_NOT_LISTED,
    OPEN_FILE,
    OPEN_MAIN_CF,
    SOURCE_AND_TABLE_MISSING,
    SOURCE_MISSING,
    STALE_TABLE,
    TABLE_CLOSED,
    TABLE_DAMAGED,
    TABLE_DAMAGED_SOURCE_MISSING,
    TABLE_MISSING,
    TABLE_OLDER,
    TABLE_TYPE_MISSING,
)

if t.TYPE_CHECKING:
    from .._postfix._destination import Destination
    from ._facts import (
        Entry,
        InstanceFacts,
        MapFacts,
    )
    from ._lookup import Lookups

__all__ = ["entry_system", "find_entry_region", "find_map_mistakes"]


def find_entry_region(entry: Entry, servers: t.Sequence[Destination]) -> str | None:
    """The region of the SES endpoint that an entry is for: of its servers, or else of its key."""
    return next((each.region for each in servers if each.region), entry.key_region)


def entry_system(entry: Entry, servers: t.Sequence[Destination]) -> str | None:
    """The SMTP system of SES that an entry is for, None if it is for another server."""
    hosts = [*(each.host for each in servers), parse_host(entry.key) or ""]
    return smtp_system(hosts, entry.username, entry.version)


def find_map_mistakes(
    facts: InstanceFacts, lookups: Lookups, entries: t.Sequence[Entry]
) -> t.Iterator[Finding]:
    """What is wrong with the maps of an instance; `entries` are those of all maps."""
    # The maps of clients whose servers are not known.
    others = {each.name for each in facts.maps} - {
        facts.maps[number].name for numbers in facts.asked_maps.values() for number in numbers
    }
    for number, entry in enumerate(entries):
        servers = lookups.servers.get(number, ())
        system = entry_system(entry, servers)
        if system == MAIL_MANAGER:
            yield from _judge_mail_manager_entry(facts, entry)
        elif find_entry_region(entry, servers) or entry.version or entry.match:
            yield from _judge_entry(facts, entry, servers)
        else:
            continue
        if entry.is_active and not servers and entry.table not in others:
            yield from _judge_use(facts, entry, lookups.shadowed_by.get(number))
    for each in facts.maps:
        yield from _judge_table(facts, each)
        yield from _judge_source(each)
    for file in facts.open_files:
        if file.what == "main.cf":
            yield find(OPEN_MAIN_CF, file.path, status=file.status)
        else:
            yield find(OPEN_FILE, file.path, what=file.what, status=file.status)


def _judge_mail_manager_entry(facts: InstanceFacts, entry: Entry) -> t.Iterator[Finding]:
    """What is wrong with an entry for Mail Manager. Its password may have any form."""
    if entry.username and is_access_key(entry.username):
        values = {"username": entry.username}
        yield _find_in_entry(USERNAME_NOT_INGRESS_ENDPOINT, facts, entry, **values)


def _judge_entry(
    facts: InstanceFacts, entry: Entry, servers: t.Sequence[Destination]
) -> t.Iterator[Finding]:
    """What is wrong with an entry for SES."""
    regions = dict.fromkeys(each.region for each in servers if each.region)
    if not regions and entry.key_region:
        regions[entry.key_region] = None
    region = ", ".join(str(region) for region in regions) or ANY_REGION
    match = entry.match

    if entry.version == 2:
        yield _find_in_entry(VERSION_2_PASSWORD, facts, entry, region=region)
    if entry.is_raw_secret:
        yield _find_in_entry(RAW_SECRET, facts, entry, region=region)
    if entry.username_problem:
        yield _find_in_entry(USERNAME_NOT_ACCESS_KEY, facts, entry, problem=entry.username_problem)
    if match and match.region and any(region != match.region for region in regions):
        yield _find_in_entry(
            OTHER_REGION,
            facts,
            entry,
            access_key=match.access_key,
            derived_for=match.region,
            region=region,
        )
    if match and entry.username not in (None, match.access_key) and not entry.username_problem:
        yield _find_in_entry(
            USERNAME_OF_OTHER_KEY,
            facts,
            entry,
            username=entry.username,
            access_key=match.access_key,
            region=region,
        )


def _judge_use(facts: InstanceFacts, entry: Entry, first: Entry | None) -> t.Iterator[Finding]:
    """Why Postfix never uses an entry; `first` is the one that it finds instead."""
    if first is not None:
        if first.login != entry.login:
            yield _find_in_entry(SHADOWED_ENTRY, facts, entry, first=first.key)
    elif not facts.are_uses_known:
        return
    elif "@" in entry.key and not facts.client.is_on("smtp_sender_dependent_authentication"):
        yield _find_in_entry(UNUSED_SENDER, facts, entry)
    else:
        yield _find_in_entry(UNUSED_ENTRY, facts, entry)


def _find_in_entry(kind: Kind, facts: InstanceFacts, entry: Entry, **values: t.Any) -> Finding:
    place = name_entry(entry.line, entry.key)
    return find(kind, entry.path or facts.main_cf, entry.key, entry=place, **values)


def _judge_table(facts: InstanceFacts, one: MapFacts) -> t.Iterator[Finding]:
    """What is wrong with the compiled table of a password map."""
    name, file = one.name, one.table_path or one.path or facts.main_cf
    setting = ", ".join(one.settings)
    # Postfix opens its password maps only to log in.
    is_off = not facts.client.is_on("smtp_sasl_auth_enable")
    if one.state is State.NO_TYPE:
        yield find(TABLE_TYPE_MISSING, facts.main_cf, is_mild=is_off, table=name, setting=setting)
    elif one.state in (State.MISSING, State.DAMAGED):
        yield _find_unusable(one, file, setting, is_off)
    elif one.is_closed_to_proxymap:
        yield find(TABLE_CLOSED, file, is_mild=is_off, table=name, setting=setting)
    elif one.state is State.OPAQUE:
        yield find(MAP_NOT_LISTED, one.path or facts.main_cf, table=name, setting=setting)
    elif not one.is_complete:
        yield find(MAP_DENIED, one.path or facts.main_cf, table=name)
    elif one.differs:
        yield find(STALE_TABLE, file, table=name)
    elif one.is_older:
        yield find(TABLE_OLDER, file, table=name)


def _find_unusable(one: MapFacts, file: str, setting: str, is_off: bool) -> Finding:
    """A compiled table that is missing or damaged. The remedy depends on the source."""
    is_missing = one.state is State.MISSING
    if one.is_source_missing:
        kind = SOURCE_AND_TABLE_MISSING if is_missing else TABLE_DAMAGED_SOURCE_MISSING
        return find(kind, file, is_mild=is_off, table=one.name, setting=setting, source=one.path)
    kind = TABLE_MISSING if is_missing else TABLE_DAMAGED
    return find(kind, file, is_mild=is_off, table=one.name, setting=setting)


def _judge_source(one: MapFacts) -> t.Iterator[Finding]:
    """What is wrong with the source of a password map."""
    path = one.path
    if path is None:
        return
    if one.is_source_missing and one.state is State.READ:
        yield find(SOURCE_MISSING, path, table=one.name)
        for entry in one.entries:
            yield find(LOGIN_WITHOUT_SOURCE, path, entry.key, table=one.name)
    if one.table_path == path:
        for line in one.ignored_lines:
            yield find(IGNORED_LINE_NOT_COMPILED, path, line=line)
        for key, line in one.repeated:
            yield find(REPEATED_KEY_NOT_COMPILED, path, key, line=line)
        return
    for line in one.ignored_lines:
        yield find(IGNORED_LINE, path, line=line, table=one.name)
    for key, line in one.repeated:
        yield find(REPEATED_KEY, path, key, line=line, table=one.name)
