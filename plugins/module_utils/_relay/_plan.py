# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What a run of the relay would do, as data: check mode and the diff show it, a run does it."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field

from .._postfix._map_entry import (
    Wanted,
    WantedLine,
    fold,
)
from .._postfix._password_map import read_map
from .._ses._redaction import redact, redact_entry

if t.TYPE_CHECKING:
    from .._postfix._map_update import Plan
    from .._postfix._password_map import PasswordMap
    from ._record import Record
    from ._settings import (
        RelayLogin,
        SettingChange,
    )

__all__ = [
    "Outcome",
    "RelayPlan",
    "RelayRequest",
    "diff",
    "diff_of_map",
    "diff_part",
    "former_routes",
    "routes_taken_back",
    "taken_back",
    "wanted_entries",
    "wanted_routes",
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


@dataclass(frozen=True)
class RelayPlan:
    """All that a run would do.

    `map` and `routes` (the table with the senders' servers, at `routes_path`) are None where there
    is nothing to write; `removes` has the paths of what goes; `interrupted` says that a run did
    not come to its end, `record` that the record of what is ours changes. `main_cf` is the whole
    new content, when the former file comes back byte for byte.
    """

    path: str
    table: str
    relayhost: str
    settings: tuple[SettingChange, ...] = ()
    main_cf: bytes | None = None
    map: Plan | None = None
    routes: Plan | None = None
    routes_path: str = ""
    removes: tuple[str, ...] = ()
    entries_removed: tuple[str, ...] = ()
    interrupted: bool = False
    record: bool = False
    reload: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(
            self.settings
            or self.main_cf is not None
            or (self.map and self.map.changed)
            or (self.routes and self.routes.changed)
            or self.removes
            or self.interrupted
            or self.record
            or self.reload
        )


@dataclass(frozen=True)
class Outcome:
    """What a run did: the plan, and what nobody knows before."""

    plan: RelayPlan
    reloaded: bool = False
    backups: tuple[str, ...] = field(default_factory=tuple)


def wanted_entries(request: RelayRequest, source: bytes, utf8: bool) -> list[Wanted]:
    """The entries that the password map with this source is to have.

    One for the bare name of a server gets the same login, because Postfix finds it first. To remove
    it would leave mail without a login that goes there by another way.
    """
    keys = [(login.key, login) for login in (*request.logins, *request.senders)]
    hosts = {each.login.server.host: each for each in request.logins}
    # Only then: to read all of a long map takes a while.
    if any(re.search(rb"(?i)(?<!\[)" + re.escape(host.encode()), source) for host in hosts):
        first = read_map(source, utf8).first
        keys += [
            (host, of_host) for host, of_host in hosts.items() if fold(host.encode(), utf8) in first
        ]
    return [Wanted.with_login(key, login.login) for key, login in keys]


def wanted_routes(request: RelayRequest) -> list[WantedLine]:
    """The entries of the table with the senders' servers."""
    return [
        WantedLine(
            sender.key, requested_by=sender.login.requested_by, line=sender.destination.encode()
        )
        for sender in request.senders
    ]


def former_routes(
    wanted: t.Iterable[WantedLine], ours: t.Container[str], source: bytes, utf8: bool
) -> dict[str, str]:
    """The servers that senders have in the table already, but for those whose keys are `ours`."""
    there = read_map(source, utf8, secret=False)
    found = {
        entry.key: _value(there, fold(entry.key.encode(), utf8))
        for entry in wanted
        if entry.key not in ours
    }
    return {key: os.fsdecode(line) for key, line in found.items() if line is not None}


def routes_taken_back(
    record: Record, source: bytes, utf8: bool, asked: t.Iterable[Wanted] = ()
) -> tuple[list[Wanted], bool]:
    """How those of our keys that are not `asked` for leave the table with the senders' servers.

    And whether it then has entries of somebody else's, so that it stays.
    """
    there = read_map(source, utf8, secret=False).first
    still = {fold(entry.key.encode(), utf8) for entry in asked}
    ours = {fold(key.encode(), utf8): key for key in record.map.keys}
    gone: list[Wanted] = []
    for folded, key in ours.items():
        server = record.former_routes.get(key)
        if folded not in there or folded in still:
            continue
        if server is None:
            gone.append(Wanted(key, present=False))
        else:
            gone.append(WantedLine(key, requested_by="the former table", line=os.fsencode(server)))
    has_others = any(key not in ours and key not in still for key in there)
    return gone, has_others or any(entry.present for entry in gone)


def taken_back(
    keys: t.Mapping[str, str], current: PasswordMap, before: PasswordMap | None
) -> tuple[list[Wanted], list[str]]:
    """How our `keys`, with the user name of each, leave the map; and what to warn of.

    A key that was there before gets its former value, the others go. An entry with another user
    name than ours is not ours any more, and stays.
    """
    wanted: list[Wanted] = []
    warnings = []
    for key, username in keys.items():
        folded = fold(key.encode(), current.utf8)
        now = _value(current, folded)
        was = _value(before, folded) if before else None
        if now in (None, was):
            continue
        if now is not None and now.partition(b":")[0] != username.encode():
            warnings.append(
                f"the entry {redact_entry(key, f'{username}:PASSWORD').key!r} of the password map was changed by somebody else since, so it"
                " stays as it is"
            )
        elif was is not None:
            wanted.append(WantedLine(key, requested_by="the former map", line=was))
        else:
            wanted.append(Wanted(key, present=False))
    return wanted, warnings


def diff(plan: RelayPlan, main_cf: str) -> list[dict[str, str]]:
    """The settings, the entries and the files that change, for Ansible; no password is in it."""
    parts = [
        diff_part(
            main_cf,
            [_line(change.name, change.before) for change in plan.settings],
            [_line(change.name, change.after) for change in plan.settings],
        )
    ]
    for path, of_map in ((plan.path, plan.map), (plan.routes_path, plan.routes)):
        if of_map:
            parts.append(diff_of_map(path, of_map))
    parts += [diff_part(path, [f"# {path} exists"], []) for path in plan.removes]
    if plan.interrupted:
        parts.append(diff_part(main_cf, ["# an interrupted run has left something to finish"], []))
    return [part for part in parts if part["before"] or part["after"]]


def diff_of_map(path: str, plan: Plan) -> dict[str, str]:
    before, after = list(plan.edit.before), list(plan.edit.after)
    if plan.table_problem:
        before.append(f"# the table {plan.table_problem}")
        after.append("# the table is up to date")
    for wrong in plan.wrong_attributes:
        before.append(f"# {wrong}: owner, group, mode or SELinux context are not as asked for")
        after.append(f"# {wrong}: owner, group, mode and SELinux context are as asked for")
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


def _value(of_map: PasswordMap, folded: bytes) -> bytes | None:
    number = of_map.first.get(folded)
    return None if number is None else of_map.entry(number)[1]
