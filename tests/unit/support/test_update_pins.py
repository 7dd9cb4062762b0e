# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Updating the pins changes versions and nothing else."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.tests.tooling import update_pins

BEFORE = """\
# why
-r unit.txt
ruff==0.1.0
botocore==1.44.5; python_version >= "3.10"
botocore==1.33.13; python_version == "3.7"
old==1.0.0  # held: the next one needs a newer Python
ansible-core==2.16.3

"""
AFTER = """\
# why
-r unit.txt
ruff==3.12
botocore==3.10; python_version >= "3.10"
botocore==3.7; python_version == "3.7"
old==1.0.0  # held: the next one needs a newer Python
ansible-core==3.10

"""


def test_each_pin_is_the_newest_for_its_python() -> None:
    """Here a version is the Python that it was asked for."""
    asked = []

    def newest(name: str, python: str) -> str:
        asked.append(name)
        return python

    assert update_pins.repin(BEFORE, "3.12", newest) == AFTER
    assert asked == ["ruff", "botocore", "botocore", "ansible-core~=2.16.0"]


@pytest.mark.parametrize("line", ["ruff", "ruff>=1", 'x==1; sys_platform == "linux"'])
def test_what_is_no_pin_is_not_overlooked(line: str) -> None:
    with pytest.raises(ValueError, match="not an exact pin"):
        update_pins.repin(line, "3.12", lambda _name, _python: "1")


def test_every_requirement_of_the_checks_is_pinned() -> None:
    """In all files, so that the same commit is checked by the same tools."""
    files = [path for path in update_pins.REQUIREMENTS.glob("*.txt") if path.stem != "debian"]
    assert len(files) > 5
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert update_pins.repin(text, "3.12", lambda _name, _python: "0") != text, path
