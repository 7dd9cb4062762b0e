# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Whether an audit passes: which findings count against it. Pure, no Ansible."""

from __future__ import annotations

import typing as t

from ..module_utils._findings._finding import SEVERITIES

__all__ = ("FAIL_ON", "count", "judge")

#: Which severities fail an audit. A host without an answer (unknown) may have any finding.
_COUNTED = {"critical": SEVERITIES[:2], "warning": SEVERITIES[:3], "none": SEVERITIES[:0]}
FAIL_ON = tuple(_COUNTED)
_WORDS = {"critical": "critical finding", "unknown": "host"}


def judge(findings: t.Iterable[t.Mapping[str, t.Any]], fail_on: str) -> dict[str, t.Any]:
    """Return whether the audit passes with ``findings`` that are not accepted, and why not."""
    counts = dict.fromkeys(_COUNTED[fail_on], 0)
    for row in findings:
        if row["severity"] in counts:
            counts[row["severity"]] += 1
    reasons = [
        count(number, _WORDS.get(severity, severity))
        + (" without an answer" if severity == "unknown" else "")
        for severity, number in counts.items()
        if number
    ]
    return {"fail_on": fail_on, "passed": not reasons, "reasons": reasons}


def count(number: int, what: str) -> str:
    """Return a number with its noun, as in 2 hosts."""
    return f"{number} {what}{'' if number == 1 else 's'}"
