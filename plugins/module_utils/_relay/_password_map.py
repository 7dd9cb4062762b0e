# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""A password map by itself, without a relay: which entries it gets, in one transaction."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass

from .._postfix._map_files import MapFiles
from .._postfix._map_plan import MapSnapshot, plan_map
from ._decision import Decision
from ._phases import CleanUp, MapChange, Phase, TransactionPlan

if t.TYPE_CHECKING:
    from .._postfix._map_entry import RequestedEntry
    from .._postfix._map_files import Tools
    from .._postfix._map_plan import MapPlan
    from .._postfix._programs import TableType

__all__ = ["MapRequest", "PasswordMapPlan", "decide_password_map", "plan_password_map"]


@dataclass(frozen=True)
class MapRequest:
    """What a task requests of the map `path`. `utf8` is the instance's `smtputf8_enable`."""

    path: str
    table_type: TableType
    entries: tuple[RequestedEntry, ...]
    exclusive: bool
    backup: bool
    utf8: bool


@dataclass(frozen=True)
class PasswordMapPlan:
    """What a run would do with the map."""

    map: MapPlan
    transaction: TransactionPlan

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return self.map.changed


def plan_password_map(request: MapRequest, now: MapSnapshot) -> PasswordMapPlan:
    """Compare what a task requests with what is there. Raises PasswordMapError if it can't be done."""
    plan = plan_map(now, request.entries, exclusive=request.exclusive)
    phase = Phase("the map", (MapChange(plan, backup=request.backup),))
    return PasswordMapPlan(
        plan,
        TransactionPlan(
            CleanUp("the map is in place, but not all that was made for it can be removed"),
            maps=(plan,),
            locks=(request.path,),
            phases=(phase,) if plan.replaces else (),
            repairs=True,
        ),
    )


def decide_password_map(
    request: MapRequest, tools: Tools
) -> Decision[MapSnapshot, PasswordMapPlan]:
    """Plan what a task requests of a map. Writes nothing, and takes no lock.

    Raises PasswordMapError, PostfixError or SecretFileError if it can't be done.
    """
    files = MapFiles(tools, request.path, request.table_type)
    return Decision(
        tools,
        None,
        read=functools.partial(files.read, utf8=request.utf8),
        make_plan=functools.partial(plan_password_map, request),
    )
