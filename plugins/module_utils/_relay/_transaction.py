# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The one place that changes a host: a plan of phases becomes active, whole or not at all.

In this order: the locks; a comparison with what was read, so that others' changes are not lost;
the new files, made beside the old ones and checked there; the record of what was there before; the
phases, each with a reload where one is needed; the proof. What fails until then is rolled back.
Then comes the clean-up, which can neither fail nor undo the run: what it leaves, the next run does.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._files._attempts import (
    ATTEMPTS,
    LeftActiveError,
    defer_interrupts,
    explain,
)
from .._files._safe_path import ChangedError, SecretFileError
from .._files._secret_file import (
    Staging,
    activate,
    hold_lock,
    replace_files,
)
from .._postfix._map_entry import PasswordMapError
from .._postfix._map_files import MapFiles, make_map
from .._postfix._map_plan import plan_map, rehearse
from .._postfix._programs import PostfixError
from ._decision import Outcome
from ._phases import MapChange
from ._staged_config import ConfigFiles, StagedConfig, stage_config

if t.TYPE_CHECKING:
    from .._files._safe_path import Directory
    from .._postfix._map_files import StagedMap, Tools
    from ._decision import CheckStaged, Decision, Plan
    from ._instance import Instance
    from ._phases import Phase, StaleEntries, TransactionPlan
    from ._record import Record

__all__ = ["Outcome", "Transaction"]

# A run with 100,000 entries holds the lock for about a second.
_LOCK_SECONDS = 120.0
_ERRORS = (OSError, PasswordMapError, PostfixError, SecretFileError)

_P = t.TypeVar("_P", bound="Plan")


class Transaction:
    """The changes of one run, on the files of an instance if there is one, and of maps.

    `prove` is called when all is active, and raises whatever the proof that it works fails with.
    """

    def __init__(
        self,
        tools: Tools,
        instance: Instance | None = None,
        prove: t.Callable[[], None] | None = None,
    ) -> None:
        self._tools = tools
        self._instance = instance
        self._prove = prove

    def run(self, decision: Decision[t.Any, _P]) -> Outcome[_P]:
        """Do what is decided, with the locks held.

        If somebody else has changed a file since, read and plan again. Raises ChangedError if that
        does not end, and what the plan, its checks, Postfix's programs and the proof raise.
        """
        for _number in range(ATTEMPTS):
            locks = decision.plan.transaction.locks
            with self._hold_locks(locks), defer_interrupts():
                outcome = self._run_locked(decision, frozenset(locks))
            if outcome is not None:
                return outcome
        raise ChangedError(
            "other runs of this collection have changed the tables of this relay again and again."
            " Wait until they are over, then run the task again. Nothing was changed"
        )

    def rehearse(self, decision: Decision[t.Any, t.Any], directory: Directory) -> None:
        """Make and check the new files in another directory, without a password, for check mode.

        Raises what a run would, before it changes anything.
        """
        plan = decision.plan.transaction
        if self._instance:
            files = ConfigFiles(
                self._instance.main_cf.rehearse(directory),
                self._instance.master_cf.rehearse(directory),
            )
            self._stage_config(plan, files, decision.check_staged)
        staging = Staging(directory.get_path("map"))
        for phase in plan.phases:
            for change in phase.files:
                if isinstance(change, MapChange):
                    staging.create()
                    try:
                        make_map(self._tools.postfix, rehearse(change.plan), staging, staging)
                    finally:
                        staging.remove()

    def _run_locked(
        self, decision: Decision[t.Any, _P], locks: frozenset[str]
    ) -> Outcome[_P] | None:
        """Do it; None if other locks are needed for that."""
        plan = decision.plan
        applied: _P | None = None
        backups: list[str] = []
        for number in range(ATTEMPTS):
            self._tools.places.look_again()
            try:
                plan = decision.decide_again()
                if not locks.issuperset(plan.transaction.locks) and applied is None:
                    return None
                if plan.changed:
                    record = self._apply(plan.transaction, decision.check_staged, backups)
                applied = applied or plan
                if plan.changed:
                    self._clean_up(plan.transaction, record, backups)
                break
            except _ERRORS as exc:
                is_other = isinstance(exc, (ChangedError, LeftActiveError))
                if is_other and number < ATTEMPTS - 1:
                    continue
                if applied is None:
                    raise
                problem = applied.transaction.clean_up.problem
                self._tools.places.warn(f"{problem}: {explain(exc)}. The next run will do it")
                break
        reloaded = self._instance is not None and self._instance.reloaded
        return Outcome(applied or plan, reloaded, tuple(backups))

    @contextlib.contextmanager
    def _hold_locks(self, paths: t.Iterable[str]) -> t.Iterator[None]:
        """Hold the locks of the instance and of these maps, which all that change them take."""
        with contextlib.ExitStack() as locks:
            if self._instance:
                locks.enter_context(self._instance.hold_lock())
            for path in sorted(paths, key=os.path.realpath):
                locks.enter_context(hold_lock(self._tools.places.find(path), _LOCK_SECONDS))
            yield

    # Until it is active

    def _apply(
        self, plan: TransactionPlan, check: CheckStaged | None, backups: list[str]
    ) -> Record | None:
        """Make all that is new active, or nothing; returns the record that says so."""
        made: list[str] = []
        if plan.repairs:
            for each in plan.maps:
                MapFiles.of(self._tools, each.now).repair(each)
        try:
            with contextlib.ExitStack() as stack:
                config = self._stage_files(plan, check, stack, made)
                record = self._stage_record(plan, config, stack)
                maps = self._stage_maps(plan, stack, made)
                for number, phase in enumerate(plan.phases):
                    renames = _list_renames(number, phase, config, maps)
                    stack.enter_context(activate(renames))
                    if phase.needs_reload and self._instance:
                        self._instance.reload()
                if self._prove:
                    self._prove()
        except BaseException:
            if self._instance:
                self._instance.reload_again()
            raise
        backups += made
        return record

    def _stage_files(
        self,
        plan: TransactionPlan,
        check: CheckStaged | None,
        stack: contextlib.ExitStack,
        made: list[str],
    ) -> StagedConfig:
        """Make the files of the configuration, and remove what a killed run has left of them."""
        instance = self._instance
        if instance is None:
            return StagedConfig()
        for file in instance.list_config_files():
            stack.callback(file.staging.clean_up)
            file.staging.remove()
        files = ConfigFiles(instance.main_cf, instance.master_cf)
        staged = self._stage_config(plan, files, check)
        made += staged.backups
        return staged

    def _stage_config(
        self, plan: TransactionPlan, files: ConfigFiles, check: CheckStaged | None
    ) -> StagedConfig:
        staged = stage_config(plan, files)
        if staged.main_cf is not None and check:
            check(staged.main_cf)
        return staged

    def _stage_record(
        self, plan: TransactionPlan, config: StagedConfig, stack: contextlib.ExitStack
    ) -> Record | None:
        """Make the record active that says what is about to be, and return it."""
        record = plan.record.during if plan.record else None
        if plan.record is None or record is None or self._instance is None:
            return None
        coming = {
            name: state.expect(*config.list_contents(name)) for name, state in record.list_states()
        }
        record = record.with_states(coming)
        store = self._instance.store
        stack.callback(store.clean_up)
        store.create()
        stack.enter_context(activate(store.stage(record, plan.record.keeps)))
        return record

    def _stage_maps(
        self, plan: TransactionPlan, stack: contextlib.ExitStack, made: list[str]
    ) -> dict[str, StagedMap]:
        """Make the maps, by path, and remove what a killed run has left of them."""
        changes = {
            change.plan.now.path: change
            for phase in plan.phases
            for change in phase.files
            if isinstance(change, MapChange)
        }
        staged = {}
        for each in plan.maps:
            path = each.now.path
            change = changes.get(path)
            backup, as_kept = (change.backup, change.as_kept) if change else (False, False)
            files = MapFiles.of(self._tools, each.now)
            staged[path] = stack.enter_context(files.stage(each, backup, as_kept))
            made += filter(None, [staged[path].backup])
        return staged

    # Once it is active

    def _clean_up(self, plan: TransactionPlan, during: Record | None, backups: list[str]) -> None:
        """Remove what nothing looks at any more, and record that this run is over."""
        clean_up, instance = plan.clean_up, self._instance
        if clean_up.stale:
            self._drop_entries(clean_up.stale, backups)
        if instance is None:
            return
        instance.remove_files(clean_up.removes)
        for path in clean_up.left_beside:
            instance.remove_left(path)
        if plan.record and plan.record.after:
            self._finish_record(instance, plan.record.after, during)
        elif plan.record:
            instance.store.remove()
        instance.remove_files(clean_up.removes_last)

    def _drop_entries(self, stale: StaleEntries, backups: list[str]) -> None:
        """Have the stale entries leave the map as it is now."""
        files = MapFiles.of(self._tools, stale.map.now)
        plan = plan_map(files.read(utf8=stale.map.now.utf8), stale.entries)
        with files.stage(plan, stale.backup) as staged:
            replace_files(staged.renames)
        backups += filter(None, [staged.backup])

    def _finish_record(self, instance: Instance, after: Record, during: Record | None) -> None:
        """Save the record, with what the files are that this run has changed."""
        content = {
            "main.cf": instance.main_cf.read,
            "master.cf": instance.master_cf.read,
            "map": self._tools.places.find(after.map.path).read,
        }
        states = during.list_states() if during else ()
        finished = {name: state.finish(content[name]()) for name, state in states}
        instance.store.save(after.with_states(finished))


def _list_renames(
    number: int, phase: Phase, config: StagedConfig, maps: t.Mapping[str, StagedMap]
) -> list[tuple[str, str]]:
    """What is renamed in one phase, in order."""
    renames: list[tuple[str, str]] = []
    for position, change in enumerate(phase.files):
        if isinstance(change, MapChange):
            renames += maps[change.plan.now.path].renames
        else:
            renames += config.renames[number, position]
    return renames
