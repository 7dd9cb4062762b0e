# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of every plugin and role says what readers look for, beyond what a schema asks."""

from __future__ import annotations

import importlib
import re
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(
    next(iter(importlib.import_module("ansible_collections.mailops.ses").__path__))
).resolve()
MODULES = sorted(ROOT.glob("plugins/modules/[!_]*.py"))
FILTERS = sorted(ROOT.glob("plugins/filter/[!_]*.py"))
ROLES = sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
ATTRIBUTES = {"check_mode", "diff_mode", "idempotent", "platform"}
GUIDE = re.compile(r"ansible_collections\.mailops\.ses\.docsite\.(\w+)")


def documentation(path: Path) -> dict[str, t.Any]:
    """What a plugin's file, or a role's specification, says about it."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yml":
        said = yaml.safe_load(text)["argument_specs"]["main"]
    else:
        found = re.search(r'^DOCUMENTATION = r"""\n(.*?)^"""', text, re.MULTILINE | re.DOTALL)
        assert found
        said = yaml.safe_load(found[1])
    return t.cast(dict[str, t.Any], said)


def test_there_are_some() -> None:
    """So that nothing below passes for want of files."""
    assert MODULES
    assert FILTERS
    assert ROLES


@pytest.mark.parametrize("path", [*MODULES, *ROLES], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_and_a_role_say_what_they_support(path: Path) -> None:
    """Each of the attributes, and how far."""
    attributes = documentation(path)["attributes"]
    assert set(attributes) >= ATTRIBUTES
    for name in ATTRIBUTES:
        assert attributes[name]["support"] in ("full", "partial", "none", "N/A"), name


@pytest.mark.parametrize(
    "path", [*MODULES, *FILTERS, *ROLES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_it_says_since_when_and_what_else_to_see(path: Path) -> None:
    """Another plugin, and a guide that there is or a page elsewhere."""
    said = documentation(path)
    assert re.fullmatch(r"\d+\.\d+\.\d+", said["version_added"])
    assert {"module", "plugin"} & {kind for entry in said["seealso"] for kind in entry}
    assert {"ref", "link"} & {kind for entry in said["seealso"] for kind in entry}
    guides = {name for entry in said["seealso"] for name in GUIDE.findall(entry.get("ref", ""))}
    assert all((ROOT / f"docs/docsite/rst/{name}.rst").is_file() for name in guides)


@pytest.mark.parametrize(
    "path", [*MODULES, *FILTERS, *ROLES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_it_has_only_semantic_markup(path: Path) -> None:
    """I() and B() are of before; O(), V(), E(), RV() and P() say what something is."""
    assert re.findall(r"\b[IB]\([^)]*\)", path.read_text(encoding="utf-8")) == []


def test_the_architecture_names_only_files_that_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]*\w\.(?:py|yml|rst|md))`", text))
    assert len(named) > 20
    files = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.*")}
    missing = [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)]
    assert missing == []
