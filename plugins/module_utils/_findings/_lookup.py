# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Which entry of the password maps Postfix uses for which destination: pure."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from .._postfix._destination import Destination, parse_destinations
from .._postfix._flows import FlowKind
from .._postfix._login_keys import SENDERS_OWN, list_login_keys
from .._postfix._lookup_table import ANY_KEY
from .._postfix._map_entry import fold
from ._facts import (
    Entry,
    InstanceFacts,
    Use,
)

if t.TYPE_CHECKING:
    from .._postfix._flows import Flows

__all__ = ["Lookups", "find_sender_keys", "find_uses", "look_up"]


@dataclass(frozen=True)
class Lookups:
    """What Postfix finds.

    `servers` and `shadowed_by` are by the entry's index among all of the instance: the
    destinations that it is used for, and the entry that is found instead.
    """

    servers: t.Mapping[int, tuple[Destination, ...]]
    shadowed_by: t.Mapping[int, Entry]
    without: tuple[Use, ...]


def find_uses(flows: Flows) -> tuple[Use, ...]:
    """Which servers mail goes to, of whom: of a sender, if it may have a login of its own."""
    uses = []
    for flow in flows.flows:
        sender = flow.key if flow.kind == FlowKind.SENDER and "@" in flow.key else None
        if flow.kind != FlowKind.FILTER and flow.route.client:
            found = parse_destinations(flow.route.nexthop, flow.route.client)
            uses += [Use(destination, sender) for destination in found]
    return tuple(dict.fromkeys(uses))


def find_sender_keys(entries: t.Iterable[Entry]) -> list[str]:
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
                if entry.is_active
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
        hits = list(
            dict.fromkeys(
                entries_by_key[key] for entries_by_key, key in found_in if key in entries_by_key
            )
        )
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
    keys = list_login_keys(use.destination.host, use.destination.text, sender)
    return list(dict.fromkeys(fold(os.fsencode(key), utf8) for key in keys))
