# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plugin has one name: its file's, in its documentation, its examples, its code and meta/."""

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
FOLDERS = {"filter": "filter", "module": "modules", "action": "action"}
#: Full names that are neither plugins nor modules: the action group, and the roles.
NO_PLUGINS = {"ses", "docsite", *(path.name for path in ROOT.glob("roles/*"))}


def plugins(kind: str) -> list[str]:
    """The names of the public plugins of a kind."""
    files = (ROOT / "plugins" / FOLDERS[kind]).glob("*.py")
    return sorted(path.stem for path in files if not path.name.startswith("_"))


FILTERS, MODULES, ACTIONS = (plugins(kind) for kind in FOLDERS)
DOCUMENTED = [("filter", name) for name in FILTERS] + [("module", name) for name in MODULES]
IN_CODE = re.compile(r"\bmailops\.ses\.([a-z][a-z0-9_]*)\b")


def load(kind: str, name: str) -> t.Any:
    """A plugin's Python module."""
    return importlib.import_module(
        f"ansible_collections.mailops.ses.plugins.{FOLDERS[kind]}.{name}"
    )


def test_there_are_plugins_of_each_kind() -> None:
    """So that nothing below passes for want of files."""
    assert FILTERS
    assert MODULES
    assert ACTIONS


@pytest.mark.parametrize(("kind", "name"), DOCUMENTED)
def test_the_documented_name_is_the_files(kind: str, name: str) -> None:
    """Nothing in ansible-core checks this."""
    documentation = yaml.safe_load(load(kind, name).DOCUMENTATION)
    assert documentation["name" if kind == "filter" else "module"] == name


@pytest.mark.parametrize(("kind", "name"), DOCUMENTED)
def test_the_examples_are_about_this_plugin(kind: str, name: str) -> None:
    """By its full name."""
    assert f"mailops.ses.{name}" in load(kind, name).EXAMPLES


@pytest.mark.parametrize("name", FILTERS)
def test_a_filters_file_defines_the_filter_of_its_name(name: str) -> None:
    """Jinja's name for it comes from FilterModule."""
    assert list(load("filter", name).FilterModule().filters()) == [name]


@pytest.mark.parametrize(("kind", "name"), [*DOCUMENTED, *(("action", name) for name in ACTIONS)])
def test_every_full_name_in_a_plugins_file_exists(kind: str, name: str) -> None:
    """In messages, examples and references; its own name is among them."""
    text = Path(load(kind, name).__file__).read_text(encoding="utf-8")
    named = set(IN_CODE.findall(text.replace("ansible_collections.mailops.ses.plugins", "")))
    assert name in named
    assert named <= {*FILTERS, *MODULES, *NO_PLUGINS}


def test_the_action_group_is_all_modules() -> None:
    """So that module_defaults reaches every module."""
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert sorted(runtime["action_groups"]["ses"]) == MODULES


def test_every_action_plugin_belongs_to_a_module() -> None:
    """The module's file carries its documentation."""
    assert set(ACTIONS) <= set(MODULES)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("filter", name) for name in FILTERS]
    + [("action" if name in ACTIONS else "module", name) for name in MODULES],
)
def test_some_unit_test_imports_it(kind: str, name: str) -> None:
    """A module with an action plugin only documents it, or is used through it."""
    folder = FOLDERS[kind]
    importing = re.compile(rf"plugins\.{folder}(\.| import \(?[^)]*\b){name}\b")
    tests = ROOT.glob("tests/unit/plugins/**/test_*.py")
    assert any(importing.search(test.read_text(encoding="utf-8")) for test in tests)
