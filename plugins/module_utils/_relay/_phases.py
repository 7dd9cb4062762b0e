# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What a transaction is to do, as data: files in phases, the record, and the clean-up.

The phases are in an order in which no mail ever reaches SES without a login. Postfix's processes
read main.cf when they start, one after the other. If the one that finds the next hop has read the
new main.cf and the client the old one, mail goes to SES without a login, and bounces. So what the
client needs comes first, then the routing, and what the client does not need any more goes last,
each with a reload. What is in between, mail waits for, at worst.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ._settings import ROUTING

if t.TYPE_CHECKING:
    from .._postfix._map_entry import RequestedEntry
    from .._postfix._map_plan import MapPlan
    from ._record import Record
    from ._settings import SettingChange

__all__ = [
    "CleanUp",
    "ConfigChange",
    "MapChange",
    "Phase",
    "RecordPlan",
    "StaleEntries",
    "TransactionPlan",
    "order_phases",
    "sort_changes",
]


@dataclass(frozen=True)
class MapChange:
    """A map whose source, compiled table, or both are replaced.

    `backup` keeps a copy of its source, `as_kept` where it is kept while a rotation is pending.
    """

    plan: MapPlan
    backup: bool = False
    as_kept: bool = False


@dataclass(frozen=True)
class ConfigChange:
    """A file of the configuration that is replaced, by its name in Postfix's directory.

    Either these `settings` change in what the phase before has left, or it is `content`.
    """

    name: str
    settings: tuple[SettingChange, ...] = ()
    content: bytes | None = field(default=None, repr=False)
    backup: bool = False


@dataclass(frozen=True)
class Phase:
    """Files that become active together, in this order, and whether Postfix is then reloaded."""

    name: str
    files: tuple[MapChange | ConfigChange, ...] = ()
    needs_reload: bool = False


@dataclass(frozen=True)
class RecordPlan:
    """The relay's record: before the run, while it is under way, and after it.

    None where there is none: without `during`, the previous one stays until the run is over.
    `keeps` has the files from before the relay, by the names of the record's files.
    """

    previous: Record | None
    during: Record | None
    after: Record | None
    keeps: t.Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class StaleEntries:
    """How the entries that nothing looks for any more leave a map, and whether a copy is kept."""

    map: MapPlan
    entries: tuple[RequestedEntry, ...]
    backup: bool = False


@dataclass(frozen=True)
class CleanUp:
    """What comes after the transaction, and can't undo it; `problem` begins the warning if it fails.

    First the `stale` entries leave their map; then the files in `removes` go, then the record is
    final, then the files in `removes_last` go. `left_beside` has the maps beside which a
    killed run may have left something.
    """

    problem: str
    stale: StaleEntries | None = None
    removes: tuple[str, ...] = ()
    left_beside: tuple[str, ...] = ()
    removes_last: tuple[str, ...] = ()


@dataclass(frozen=True)
class TransactionPlan:
    """All that one transaction does.

    `maps` has the maps that it may change, `locks` the sources whose locks it takes. `repairs` says
    that the maps' files get the owner, mode and context that they lack.
    """

    clean_up: CleanUp
    maps: tuple[MapPlan, ...] = ()
    locks: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    record: RecordPlan | None = None
    repairs: bool = False

    def find_config(self, name: str) -> list[ConfigChange]:
        """The changes of one file of the configuration, in order."""
        files = [file for phase in self.phases for file in phase.files]
        return [file for file in files if isinstance(file, ConfigChange) and file.name == name]


def sort_changes(
    changes: t.Iterable[SettingChange], needed: t.Container[str]
) -> tuple[tuple[SettingChange, ...], tuple[SettingChange, ...], tuple[SettingChange, ...]]:
    """The changes of main.cf before the routing, of the routing itself, and after it.

    `needed` has the names of the settings that the client is to have.
    """
    changes = tuple(changes)
    client = [change for change in changes if change.name not in ROUTING]
    return (
        tuple(change for change in client if change.name in needed),
        tuple(change for change in changes if change.name in ROUTING),
        tuple(change for change in client if change.name not in needed),
    )


def order_phases(phases: t.Iterable[Phase], *, reload: bool, pending: bool) -> tuple[Phase, ...]:
    """Those of the phases that have something to do, first of all what a killed run did not.

    `reload` says that Postfix is reloaded, `pending` that a killed run has not done so.
    """
    found = [phase for phase in phases if phase.files]
    if reload and (pending or not found):
        found.insert(0, Phase("what was changed before", needs_reload=True))
    return tuple(found)
