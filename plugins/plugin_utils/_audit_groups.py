# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Findings of many hosts, grouped for people: one group a finding, one case a message."""

from __future__ import annotations

import typing as t

from ..module_utils._findings._finding import SEVERITIES

__all__ = ("Rows", "group_by", "group_findings")

Row = t.Mapping[str, t.Any]
Rows = t.Sequence[Row]


def group_findings(rows: Rows) -> list[dict[str, t.Any]]:
    """Return the groups of findings: the worst first, and of these what most hosts have.

    A group has ``severity``, ``id``, the number of ``hosts``, and ``cases``. What differs by the host
    alone is one case: ``message``, ``where`` (a key, a file or a directory; it may be null),
    ``remedy``, ``acceptance`` (null, or one that is over or not) and the names of its ``hosts``.
    """
    groups = [
        {
            "severity": severity,
            "id": name,
            "hosts": len({row["host"] for row in of_finding}),
            "cases": [_case(of_case) for _key, of_case in group_by(of_finding, _key_of_case)],
        }
        for (severity, name), of_finding in group_by(rows, lambda row: (row["severity"], row["id"]))
    ]
    return sorted(groups, key=_rank)


def group_by(
    rows: Rows, key: t.Callable[[Row], tuple[t.Any, ...]]
) -> list[tuple[tuple[t.Any, ...], list[Row]]]:
    """Return the rows by their keys, in the order in which the keys come first."""
    groups: dict[tuple[t.Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.items())


def _rank(group: Row) -> tuple[int, int, str]:
    return SEVERITIES.index(group["severity"]), -group["hosts"], group["id"]


def _where(row: Row) -> t.Any:
    return row["key"] or row["file"] or row["config_directory"]


def _key_of_case(row: Row) -> tuple[t.Any, ...]:
    acceptance = row["acceptance"] or {}
    return row["message"], _where(row), row["remedy"], *acceptance.values()


def _case(rows: Rows) -> dict[str, t.Any]:
    first = rows[0]
    return {
        "message": first["message"],
        "where": _where(first),
        "remedy": first["remedy"],
        "acceptance": first["acceptance"],
        "hosts": list(dict.fromkeys(row["host"] for row in rows)),
    }
