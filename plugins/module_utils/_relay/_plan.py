# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What a run of the relay would do, as data: check mode and the diff show it, a run does it."""

from __future__ import annotations

import difflib
import os
import typing as t
from dataclasses import dataclass, field

from .._ses._redaction import redact, redact_service_line

if t.TYPE_CHECKING:
    from .._postfix._map_plan import MapPlan
    from ._phases import TransactionPlan
    from ._settings import (
        RelayLogin,
        SettingChange,
    )

__all__ = [
    "ContentChange",
    "RelayPlan",
    "RelayRequest",
    "diff",
    "diff_map",
    "diff_part",
]


@dataclass(frozen=True)
class RelayRequest:
    """What a task asks for. The paths are None where the instance's defaults are meant."""

    logins: tuple[RelayLogin, ...] = ()
    senders: tuple[RelayLogin, ...] = ()
    path: str | None = None
    map_type: str | None = None
    tls_level: str = "secure"
    ca_file: str | None = None
    backup: bool = False
    accept_findings: tuple[str, ...] = ()
    transport: str = "smtp"


@dataclass(frozen=True)
class ContentChange:
    """A master.cf whose whole content changes."""

    before: bytes = field(repr=False)
    after: bytes = field(repr=False)

    def list_lines(self) -> tuple[list[str], list[str]]:
        """The lines of master.cf that go and those that come, redacted."""
        old, new = (os.fsdecode(content).split("\n") for content in (self.before, self.after))
        gone: list[str] = []
        come: list[str] = []
        matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
        for what, first, last, its_first, its_last in matcher.get_opcodes():
            if what != "equal":
                gone += map(redact_service_line, old[first:last])
                come += map(redact_service_line, new[its_first:its_last])
        return gone, come


@dataclass(frozen=True)
class RelayPlan:
    """All that a run would do.

    `map` and `routes` (the table with the senders' servers, at `routes_path`) are None where there
    is nothing to write; `values` are the effective settings afterwards, as far as they are known;
    `removes` has the paths of what goes; `interrupted` says that a run did
    not come to its end, `record` that the record of what is ours changes. `main_cf` is the whole
    new content, when the previous file comes back byte for byte; so it is in `master_cf`.
    """

    path: str
    table: str
    relayhost: str
    transaction: TransactionPlan
    settings: tuple[SettingChange, ...] = ()
    values: t.Mapping[str, str] = field(default_factory=dict)
    main_cf: bytes | None = None
    master_cf: ContentChange | None = None
    map: MapPlan | None = None
    routes: MapPlan | None = None
    routes_path: str = ""
    removes: tuple[str, ...] = ()
    entries_removed: tuple[str, ...] = ()
    was_interrupted: bool = False
    writes_record: bool = False
    needs_reload: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(
            self.settings
            or self.main_cf is not None
            or self.master_cf is not None
            or (self.map and self.map.changed)
            or (self.routes and self.routes.changed)
            or self.removes
            or self.was_interrupted
            or self.writes_record
            or self.needs_reload
        )


def diff(plan: RelayPlan, main_cf: str) -> list[dict[str, str]]:
    """The settings, the entries and the files that change, for Ansible; no password is in it."""
    parts = [
        diff_part(
            main_cf,
            [_line(change.name, change.before) for change in plan.settings],
            [_line(change.name, change.after) for change in plan.settings],
        )
    ]
    if plan.master_cf:
        services = os.path.join(os.path.dirname(main_cf), "master.cf")
        parts.append(diff_part(services, *plan.master_cf.list_lines()))
    for path, table in ((plan.path, plan.map), (plan.routes_path, plan.routes)):
        if table:
            parts.append(diff_map(path, table))
    parts += [diff_part(path, [f"# {path} exists"], []) for path in plan.removes]
    if plan.was_interrupted:
        parts.append(diff_part(main_cf, ["# an interrupted run has left something to finish"], []))
    return [part for part in parts if part["before"] or part["after"]]


def diff_map(path: str, plan: MapPlan) -> dict[str, str]:
    before, after = list(plan.edit.before), list(plan.edit.after)
    if plan.table_problem:
        before.append(f"# the table {plan.table_problem}")
        after.append("# the table is up to date")
    for wrong in plan.wrong_attributes:
        before.append(f"# {wrong}: owner, group, mode or SELinux context are not as requested")
        after.append(f"# {wrong}: owner, group, mode and SELinux context are as requested")
    return diff_part(path, before, after)


def diff_part(header: str, before: t.Sequence[str], after: t.Sequence[str]) -> dict[str, str]:
    return {
        "before_header": header,
        "after_header": header,
        "before": "".join(f"{line}\n" for line in before if line),
        "after": "".join(f"{line}\n" for line in after if line),
    }


def _line(name: str, value: str | None) -> str:
    return "" if value is None else f"{name} = {redact(value)}"
