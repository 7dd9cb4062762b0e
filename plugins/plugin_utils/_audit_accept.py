# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The file of accepted findings: who accepts which finding on which hosts, why and until when."""

from __future__ import annotations

import datetime
import re
import typing as t
from dataclasses import dataclass

import yaml

from ..module_utils._findings._catalogue import KINDS

__all__ = ("AcceptError", "Acceptance", "Acceptances", "read_acceptances")

_FIELDS = ("finding", "hosts", "reason", "until")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_IDS = frozenset(kind.id for kind in KINDS.values())


class AcceptError(ValueError):
    """What is wrong with the file."""


@dataclass(frozen=True)
class Acceptance:
    """That ``finding`` is accepted on ``hosts``, up to and including the day ``until``."""

    finding: str
    hosts: frozenset[str]
    reason: str
    until: datetime.date


class Acceptances:
    """What is accepted on the day ``today``."""

    def __init__(self, accepted: t.Iterable[Acceptance], today: datetime.date) -> None:
        self._today = today
        self._by_finding: dict[str, list[Acceptance]] = {}
        # The one that lasts longest is found first.
        for each in sorted(accepted, key=lambda one: one.until, reverse=True):
            self._by_finding.setdefault(each.finding, []).append(each)

    def look_up(self, finding: str, host: str) -> dict[str, t.Any] | None:
        """Return the acceptance of a finding on a host as the report has it, None if there is none."""
        for each in self._by_finding.get(finding, ()):
            if host in each.hosts:
                return {
                    "reason": each.reason,
                    "until": each.until.isoformat(),
                    "is_over": each.until < self._today,
                }
        return None


class _Loader(yaml.BaseLoader):  # every scalar is text: no date is made of it, and no number
    """Reads YAML, and refuses a mapping that has a field twice."""

    def construct_mapping(self, node: t.Any, deep: bool = False) -> dict[t.Any, t.Any]:
        fields = [self.construct_object(key, deep=True) for key, _value in node.value]
        twice = [field for field in fields if fields.count(field) > 1]
        if twice:
            raise AcceptError(f"line {node.start_mark.line + 1} has the field {twice[0]!r} twice")
        return t.cast("dict[t.Any, t.Any]", super().construct_mapping(node, deep))


def read_acceptances(
    text: str, find_hosts: t.Callable[[str], t.Collection[str]]
) -> list[Acceptance]:
    """Return what the ``text`` of the file accepts.

    ``find_hosts`` returns the hosts that a pattern matches, and raises ValueError for a malformed one.

    :raises AcceptError: if the text is anything else than a list of complete entries.
    """
    try:
        entries = yaml.load(text, Loader=_Loader)  # noqa: S506  # it makes text, lists and dicts
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise AcceptError(f"this is not YAML{where}") from None
    if entries in (None, ""):
        return []
    if not isinstance(entries, list):
        raise AcceptError("this must be a list of entries, each with " + ", ".join(_FIELDS))
    return [_entry(number, entry, find_hosts) for number, entry in enumerate(entries, 1)]


def _entry(
    number: int, entry: t.Any, find_hosts: t.Callable[[str], t.Collection[str]]
) -> Acceptance:
    if not isinstance(entry, dict):
        raise AcceptError(f"entry {number} must be a dictionary with {', '.join(_FIELDS)}")
    unknown = [str(field) for field in entry if field not in _FIELDS]
    if unknown:
        raise AcceptError(
            f"entry {number} has the unknown field {unknown[0]!r}. There are {', '.join(_FIELDS)}"
        )
    for field in _FIELDS:
        value = entry.get(field)
        if not isinstance(value, str) or not value.strip():
            raise AcceptError(f"entry {number} needs a {field}, a text that is not empty")
    finding = entry["finding"]
    if finding not in _IDS:
        raise AcceptError(
            f"entry {number} has the unknown finding {finding!r}. The guide about the audit lists"
            " the IDs of all findings"
        )
    hosts = _hosts(number, entry["hosts"], find_hosts)
    return Acceptance(finding, hosts, entry["reason"], _date(number, entry["until"]))


def _hosts(
    number: int, pattern: str, find_hosts: t.Callable[[str], t.Collection[str]]
) -> frozenset[str]:
    try:
        hosts = frozenset(find_hosts(pattern))
    except ValueError:
        raise AcceptError(
            f"entry {number} has the malformed pattern {pattern!r} in hosts. Give a pattern of"
            " hosts as for --limit"
        ) from None
    if not hosts:
        raise AcceptError(
            f"entry {number} has the pattern {pattern!r} in hosts, which matches no host of the"
            " inventory. Check its spelling, or remove the entry"
        )
    return hosts


def _date(number: int, value: str) -> datetime.date:
    try:
        if _DATE.fullmatch(value):
            return datetime.date.fromisoformat(value)
    except ValueError:
        pass  # it has the form, and no calendar has it
    raise AcceptError(
        f"entry {number} has {value!r} for until, which is no date. Give one like 2030-12-31"
    )
