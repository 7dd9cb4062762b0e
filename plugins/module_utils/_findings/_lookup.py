# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Which entry of the password maps Postfix uses for which destination: pure."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from .._postfix._destination import Destination, destinations
from .._postfix._login_keys import SENDERS_OWN, login_keys
from .._postfix._lookup_table import ANY_KEY
from .._postfix._map_entry import fold
from ._facts import (
    Entry,
    InstanceFacts,
    Use,
)

if t.TYPE_CHECKING:
    from .._postfix._destination import Client

__all__ = ["Lookups", "Routes", "look_up", "senders_keys", "uses_of"]


@dataclass(frozen=True)
class Routes:
    """The settings and tables that say where mail goes, with values by key (already text).

    `client` gives the client of a transport by its name, the default one's for an empty name.
    """

    relayhost: str
    client: t.Callable[[str], Client]
    default_transport: str = ""
    relay_transport: str = ""
    fallback_relay: str = ""
    senders: t.Mapping[str, str] = field(default_factory=dict)
    transports: t.Sequence[str] = ()


@dataclass(frozen=True)
class Lookups:
    """What Postfix finds.

    `servers` and `shadowed_by` are by the entry's index among all of the instance: the
    destinations that it is used for, and the entry that is found instead.
    """

    servers: t.Mapping[int, tuple[Destination, ...]]
    shadowed_by: t.Mapping[int, Entry]
    without: tuple[Use, ...]


def uses_of(routes: Routes, senders_with_login: t.Iterable[str]) -> tuple[Use, ...]:
    """Where mail goes, of whom. `senders_with_login` are keys of the password maps."""
    default = routes.client("")
    _transport, _colon, nexthop = routes.default_transport.partition(":")
    general = destinations(nexthop or routes.relayhost, default)
    by_sender = {
        sender.lower(): destinations(value, default)
        for sender, value in routes.senders.items()
        if value.upper() != "DUNNO"
    }
    uses = [Use(destination) for destination in general]
    uses += [Use(destination) for destination in destinations(routes.fallback_relay, default)]
    for value in (routes.relay_transport, *routes.transports):
        transport, _colon, nexthop = value.partition(":")
        client = routes.client(transport)
        uses += [Use(destination) for destination in destinations(nexthop, client)]
    for sender, own in by_sender.items():
        uses += [Use(destination, sender) for destination in own]
    for sender in senders_with_login:
        if sender not in by_sender:
            own = by_sender.get("@" + sender.rpartition("@")[2], general)
            uses += [Use(destination, sender) for destination in own]
    return tuple(dict.fromkeys(uses))


def senders_keys(entries: t.Iterable[Entry]) -> list[str]:
    """The keys that are addresses or @domain."""
    return [entry.key.lower() for entry in entries if "@" in entry.key]


def look_up(facts: InstanceFacts) -> Lookups:
    """Look up every destination as Postfix's client would."""
    maps: list[t.Mapping[bytes, int]] = []
    entries: list[Entry] = []
    for each in facts.maps:
        offset = len(entries)
        entries += each.entries
        maps.append(
            {
                entry.folded: offset + number
                for number, entry in enumerate(each.entries)
                if entry.in_force
            }
        )
    servers: dict[int, list[Destination]] = {}
    shadowed_by: dict[int, Entry] = {}
    without = []
    for use in facts.uses:
        asked = facts.asked_maps.get(use.destination.client.service, ())
        found_in = [
            (maps[number], key if key in maps[number] else ANY_KEY)
            for key in _keys(use, facts.utf8)
            for number in asked
        ]
        hits = list(dict.fromkeys(of_map[key] for of_map, key in found_in if key in of_map))
        if not hits:
            without.append(use)
            continue
        found = servers.setdefault(hits[0], [])
        if use.destination not in found:
            found.append(use.destination)
        for other in hits[1:]:
            shadowed_by.setdefault(other, entries[hits[0]])
    return Lookups(
        {number: tuple(found) for number, found in servers.items()}, shadowed_by, tuple(without)
    )


def _keys(use: Use, utf8: bool) -> list[bytes]:
    sender = use.sender if use.destination.client.is_on(SENDERS_OWN) else None
    keys = login_keys(use.destination.host, use.destination.text, sender)
    return list(dict.fromkeys(fold(os.fsencode(key), utf8) for key in keys))
