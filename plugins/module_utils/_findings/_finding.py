# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Something that is wrong on a host, in words for the operator."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

__all__ = ["SEVERITIES", "Finding", "by_severity"]

#: Most severe first. critical: mail is not delivered, or a password is in danger.
SEVERITIES = ("critical", "warning", "notice")


@dataclass(frozen=True)
class Finding:
    """A finding: `id` and `severity` are for programs, the rest is for people."""

    id: str
    severity: str
    file: str
    message: str
    remedy: str
    key: str | None = None

    @property
    def rank(self) -> int:
        """The place of its severity, 0 for the most severe."""
        return SEVERITIES.index(self.severity)

    def shown(self, config_directory: str | None) -> dict[str, t.Any]:
        """The finding as a result has it, without a directory if it is about the whole host."""
        return {
            "id": self.id,
            "severity": self.severity,
            "config_directory": config_directory,
            "file": self.file,
            "key": self.key,
            "message": self.message,
            "remedy": self.remedy,
        }


def by_severity(found: t.Iterable[Finding]) -> list[Finding]:
    """The findings, most severe first, each once."""
    return sorted(dict.fromkeys(found), key=lambda each: each.rank)
