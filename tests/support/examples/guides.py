# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guides of docs/docsite/rst, as tests read them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "docsite" / "rst"

_BLOCK = re.compile(r"^\.\. code-block:: (\S+)\n\n((?:    .*\n|\n)+)", re.MULTILINE)


def text(guide: str) -> str:
    """The guide of this name, as it is written."""
    return (FOLDER / f"{guide}.rst").read_text(encoding="utf-8")


def blocks(guide: str, language: str) -> list[str]:
    """The blocks of a guide that are in ``language``, as they would be copied from its page."""
    found = _BLOCK.findall(text(guide))
    return [textwrap.dedent(block).strip("\n") + "\n" for name, block in found if name == language]


def playbooks() -> list[tuple[str, int, str]]:
    """Every playbook in every guide, with the guide's name and a number."""
    return [
        (path.stem, number, block)
        for path in sorted(FOLDER.glob("*.rst"))
        for number, block in enumerate(blocks(path.stem, "yaml+jinja"))
    ]


def commands(guide: str) -> list[str]:
    """The commands of a guide, without their prompts."""
    lines = [line for block in blocks(guide, "console") for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
