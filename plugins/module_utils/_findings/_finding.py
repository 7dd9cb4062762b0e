# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""A finding, and the kind of finding that the catalogue describes. Pure, no I/O."""

from __future__ import annotations

import string
import typing as t
from dataclasses import dataclass

__all__ = ["SEVERITIES", "Finding", "Kind", "find", "sort_by_severity"]

#: Most severe first. A host without an answer is "unknown": it may have any of the others.
SEVERITIES = ("critical", "unknown", "warning", "notice")


@dataclass(frozen=True)
class Kind:
    """A kind of finding. Several kinds share an `id` if their texts or severities differ.

    `message` and `remedy` are templates with parts in braces, such as {table}. Each of the two may
    have {file} and {key}, those of the finding. `meaning` is for the documentation: it says what
    is wrong without a host's values, and when `mild_severity` holds in place of `severity`.
    `blocks` says that a relay must not be set up with such a finding, unless it is a mild one.
    """

    id: str
    severity: str
    meaning: str
    message: str
    remedy: str
    mild_severity: str | None = None
    blocks: bool = False

    @property
    def severities(self) -> tuple[str, ...]:
        """The severities that a finding of this kind can have."""
        return (self.severity, *filter(None, [self.mild_severity]))

    @property
    def parts(self) -> frozenset[str]:
        """The names of the parts in the templates."""
        parsed = string.Formatter().parse(f"{self.message}{self.remedy}")
        return frozenset(name for _text, name, _format, _conversion in parsed if name)


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: `id` and `severity` are for programs, the rest is for people.

    `file` is empty if there is none.
    """

    id: str
    severity: str
    file: str
    message: str
    remedy: str
    key: str | None = None
    blocks: bool = False

    @property
    def rank(self) -> int:
        """The place of its severity, 0 for the most severe."""
        return SEVERITIES.index(self.severity)

    def show(self, config_directory: str | None) -> dict[str, t.Any]:
        """The finding as a result has it, without a directory if it is about the whole host."""
        return {
            "id": self.id,
            "severity": self.severity,
            "config_directory": config_directory,
            "file": self.file or None,
            "key": self.key,
            "message": self.message,
            "remedy": self.remedy,
        }


def find(
    kind: Kind, file: str, key: str | None = None, is_mild: bool = False, **values: t.Any
) -> Finding:
    """Return a finding of this kind about `file` and the lookup key or server `key`.

    `values` are those of the templates. What comes from a host's files must be redacted before.
    Raises TypeError if a value is missing or superfluous, or if the kind has no mild severity.
    """
    places = {"file": file} if file else {}
    if key is not None:
        places["key"] = key
    missing = kind.parts.difference(places, values)
    superfluous = set(values) - kind.parts
    if missing or superfluous:
        raise TypeError(f"{kind.id}: missing {sorted(missing)}, superfluous {sorted(superfluous)}")
    severity = kind.mild_severity if is_mild else kind.severity
    if severity is None:
        raise TypeError(f"{kind.id} has no mild severity")
    parts: dict[str, t.Any] = {**places, **values}
    return Finding(
        kind.id,
        severity,
        file,
        kind.message.format(**parts),
        kind.remedy.format(**parts),
        key,
        kind.blocks and not is_mild,
    )


def sort_by_severity(found: t.Iterable[Finding]) -> list[Finding]:
    """The findings, most severe first, each once."""
    return sorted(dict.fromkeys(found), key=lambda each: each.rank)
