# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The report of _audit.py on a terminal: a table, who has which user name, a line that sums up."""

from __future__ import annotations

import typing as t

from ..module_utils._postfix._destination import parse_host
from ..module_utils._ses._mail_manager import (
    IAM,
    MAIL_MANAGER,
    MAIL_MANAGER_ACCEPTS,
    is_mail_manager_host,
)

__all__ = ("make_plain", "write_audit_lines")

_TITLES = ("SEVERITY", "HOST", "FINDING", "KEY OR FILE", "MESSAGE")
#: A longer one moves what follows in its own row, not in all of them.
_WIDEST = 56
_NAMED_HOSTS = 5
_SYSTEMS = {IAM: "access key", MAIL_MANAGER: "Mail Manager"}


def write_audit_lines(report: t.Mapping[str, t.Any]) -> list[str]:
    """Return the lines, the sum last: there it is seen after thousands of findings too."""
    usernames = [
        f"User name {make_plain(one['username'])}{_system(one['system'])}: {_hosts(one['hosts'])}"
        for one in report["usernames"]
    ]
    parts = [
        _table([_cells(finding) for finding in report["findings"]]),
        list(_probes(report["hosts"])),
        usernames,
    ]
    return [*(line for part in parts if part for line in [*part, ""]), _sum(report["summary"])]


def _probes(hosts: t.Iterable[t.Mapping[str, t.Any]]) -> t.Iterator[str]:
    """Return what each Postfix found out about its relay, if it was asked."""
    for host in sorted(hosts, key=lambda each: each["host"]):
        for instance in host["instances"]:
            probe = instance["probe"]
            if probe is None:
                continue
            verdict = "accepted by SES now"
            if _uses_mail_manager(instance):
                verdict = f"accepted by Mail Manager now. {MAIL_MANAGER_ACCEPTS}"
            if not probe["accepted"]:
                known = "not accepted" if probe["accepted"] is False else "not known"
                verdict = f"{known}: {probe['reason']}"
            where = f"{host['host']}, {instance['config_directory']}"
            yield make_plain(f"Relay of {where}: {verdict}")


def _uses_mail_manager(instance: t.Mapping[str, t.Any]) -> bool:
    """Return whether the relay of an instance, of postfix_relay_info, is Mail Manager's."""
    return any(is_mail_manager_host(parse_host(each) or "") for each in instance["relayhost"])


def _system(system: str | None) -> str:
    return f" ({_SYSTEMS[system]})" if system in _SYSTEMS else ""


def _cells(finding: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    where = finding["key"] or finding["file"] or finding["config_directory"] or "-"
    cells = (finding["severity"], finding["host"], finding["id"], where, finding["message"])
    return tuple(make_plain(cell) for cell in cells)


def make_plain(text: str) -> str:
    """Return ``text`` in one line, without what a terminal would take as a command."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in " ".join(text.split())
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    rows = [_TITLES, *rows]
    columns = zip(*rows, strict=True)
    *widths, _last = (min(_WIDEST, max(map(len, column))) for column in columns)
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True))
        for row in rows
    ]


def _hosts(names: list[str]) -> str:
    named = ", ".join(map(make_plain, names[:_NAMED_HOSTS]))
    more = len(names) - _NAMED_HOSTS
    return f"{_count(len(names), 'host')} ({named}{f' and {more} more' if more > 0 else ''})"


def _sum(summary: t.Mapping[str, int]) -> str:
    return (
        f"{_count(summary['hosts'], 'host')}: {summary['audited']} audited, of which "
        f"{summary['without_findings']} without findings, "
        f"{summary['unreachable']} unreachable, {summary['failed']} failed. "
        f"Findings: {summary['critical']} critical, {_count(summary['warning'], 'warning')}, "
        f"{_count(summary['notice'], 'notice')}."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
