# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the list of findings in the guide about the audit, from the catalogue of findings.

As a program, from the top of the checkout: ``python -m tests.tooling.findings_section``, which
``make findings`` does. A unit test fails if the guide differs from the catalogue.
"""

from __future__ import annotations

import importlib
import re
import textwrap
import typing as t
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst" / "guide_audit.rst"
BEGIN = ".. Findings, written by make findings from the catalogue\n\n"
END = ".. End of the findings\n"
_WIDTH = 118

_PLUGINS = "postfix_relay|postfix_relay_info|postfix_sasl_passwd|ses_smtp_ping"
_LITERAL = re.compile(
    "|".join(
        [
            rf"mailops\.ses\.(?P<plugin>{_PLUGINS})(?!\w)",
            # A command ends with its sentence.
            r"(?P<run>[Rr]un: )(?P<command>.+?)(?=[.;] |$)",
            # A setting or an option with its value; names, files and parts of a template.
            r"(?:\{\w+\}|\w+)(?: = |=)(?:\{\w+\}|\w+)|become: true|USERNAME:PASSWORD|USER@DOMAIN",
            r"(?:proxy:)?\{\w+\}|mailops\.ses\.\w+|main\.cf|/[\w./-]+\w|[a-z]+_\w+",
        ]
    )
)


class Kind(t.Protocol):
    """What is used of a kind of the catalogue."""

    @property
    def id(self) -> str:
        """For programs."""

    @property
    def severities(self) -> tuple[str, ...]:
        """Those that it can have."""

    @property
    def meaning(self) -> str:
        """What is wrong."""

    @property
    def remedy(self) -> str:
        """A template."""


def write_section(kinds: t.Iterable[Kind]) -> str:
    """The findings as a definition list, by their IDs; the kinds that share one stay in order."""
    by_id: dict[str, list[Kind]] = {}
    for kind in kinds:
        by_id.setdefault(kind.id, []).append(kind)
    return "\n".join(_definition(name, by_id[name]) for name in sorted(by_id))


def replace_section(guide: str, section: str, begin: str = BEGIN, end: str = END) -> str:
    """The guide with this section in place of its own, between the comments ``begin`` and ``end``.

    :raises ValueError: if it does not have the comments that mark the section, once each.
    """
    before, _begin, rest = guide.partition(begin)
    _section, found, after = rest.partition(end)
    if not found or guide.count(begin) != 1 or guide.count(end) != 1:
        raise ValueError(f"the guide has not one {begin.strip()!r} before one {end.strip()!r}")
    return f"{before}{begin}{section}\n{end}{after}"


def _definition(name: str, kinds: t.Sequence[Kind]) -> str:
    paragraphs = []
    for number, kind in enumerate(kinds, 1):
        severity = " or ".join(kind.severities).capitalize()
        paragraphs.append(f"*{severity}.* {mark_up(kind.meaning)}")
        if [each.remedy for each in kinds[number : number + 1]] != [kind.remedy]:
            paragraphs.append(f"Remedy: {mark_up(kind.remedy)}.")
    return f"``{name}``\n" + "\n".join(map(_wrapped, paragraphs))


def _wrapped(paragraph: str) -> str:
    lines = textwrap.wrap(paragraph, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "".join(f"  {line}\n" for line in lines)


def mark_up(text: str) -> str:
    """A text of the catalogue in reStructuredText, with the parts of a template in capitals."""
    return _LITERAL.sub(_literal, text)


def _literal(match: re.Match[str]) -> str:
    if match["plugin"]:
        return f":ansplugin:`mailops.ses.{match['plugin']}#module`"
    words = re.sub(r"\{(\w+)\}", lambda part: part[1].upper(), match["command"] or match[0])
    return f"{match['run'] or ''}``{words}``"


def main() -> None:
    catalogue = importlib.import_module("plugins.module_utils._findings._catalogue")
    guide = GUIDE.read_text(encoding="utf-8")
    section = write_section(catalogue.KINDS.values())
    GUIDE.write_text(replace_section(guide, section), encoding="utf-8")


if __name__ == "__main__":
    main()
