# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""From what a host has to a plan: read all, plan, and check that the plan can work.

The reading and the checks look at the host and change nothing; the planning looks at what was read.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._files._obstacles import check_replaceable
from .._postfix._map_files import MapFiles

if t.TYPE_CHECKING:
    from .._files._safe_path import SafePath
    from .._postfix._map_files import Tools
    from ._checks import RouteCheck
    from ._instance import Instance
    from ._phases import TransactionPlan

    class Plan(t.Protocol):
        """What a plan has, whatever it is of."""

        @property
        def transaction(self) -> TransactionPlan:
            """What the transaction does."""

        @property
        def changed(self) -> bool:
            """Whether there is anything to do."""


__all__ = ["CheckStaged", "Decision", "Outcome"]

CheckStaged = t.Callable[["SafePath"], None]
_S = t.TypeVar("_S")
_P = t.TypeVar("_P", bound="Plan")


@dataclass(frozen=True)
class Outcome(t.Generic[_P]):
    """What a run did: the plan, and what nobody knows before."""

    plan: _P
    reloaded: bool = False
    backups: tuple[str, ...] = ()


class Decision(t.Generic[_S, _P]):
    """What a task is to do on a host: the `plan` that was made last, and its checks' `warnings`.

    `accepted` has the IDs of findings in spite of which it is done, `unverified` the servers whose
    certificate Postfix does not verify. What `check` finds counts until `check_staged` knows better.

    `read` reads a snapshot; `make_plan` is pure; `check` raises what would keep the plan from working,
    and returns what it has found; `check_staged` does the same with the new main.cf.
    """

    def __init__(
        self,
        tools: Tools,
        instance: Instance | None,
        *,
        read: t.Callable[[], _S],
        make_plan: t.Callable[[_S], _P],
        check: t.Callable[[_S, _P], RouteCheck] | None = None,
        check_staged: t.Callable[[_S, _P, SafePath], RouteCheck] | None = None,
    ) -> None:
        self._tools = tools
        self._instance = instance
        self._read = read
        self._make_plan = make_plan
        self._check = check
        self._check_staged = check_staged
        self.accepted: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self.unverified: frozenset[str] = frozenset()
        self._snapshot = read()
        self.plan = self._decide(self._snapshot)

    def decide_again(self) -> _P:
        """Read again, and plan again if what is there is not the same."""
        if self._instance:
            self._instance.read()
        snapshot = self._read()
        if snapshot != self._snapshot:
            self.plan = self._decide(snapshot)
            self._snapshot = snapshot
        return self.plan

    def check_staged(self, staged: SafePath) -> None:
        """Raise what would keep the new main.cf, which is not active yet, from working."""
        if self._check_staged:
            self._keep(self._check_staged(self._snapshot, self.plan, staged))

    def _decide(self, snapshot: _S) -> _P:
        plan = self._make_plan(snapshot)
        for each in plan.transaction.maps:
            MapFiles.of(self._tools, each.now).check(each)
        if self._check:
            self._keep(self._check(snapshot, plan))
        if self._instance:
            for file in (self._instance.main_cf, self._instance.master_cf):
                if plan.transaction.find_config(file.name):
                    check_replaceable(file.path)
        return plan

    def _keep(self, found: RouteCheck) -> None:
        self.accepted, self.warnings, self.unverified = found
