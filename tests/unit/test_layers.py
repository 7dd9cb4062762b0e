# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who imports whom in plugins/: each package uses only those above it, and imports are relative."""

from __future__ import annotations

import ast
import importlib
import typing as t
from pathlib import Path

import pytest

PLUGINS = Path(
    next(iter(importlib.import_module("ansible_collections.mailops.ses").__path__)), "plugins"
)
#: The packages of module_utils, and then what is on top of them, as in docs/architecture.md.
LAYERS = ("_ses", "_smtp", "_files", "_postfix", "_findings", "_relay", "module_utils")
#: What may use what, of the folders of plugins/.
FOLDERS = {
    "module_utils": {"module_utils"},
    "modules": {"module_utils"},
    "plugin_utils": {"module_utils", "plugin_utils"},
    "action": {"module_utils", "plugin_utils"},
    "filter": {"module_utils", "plugin_utils"},
    "doc_fragments": set(),
}
FILES = sorted(PLUGINS.rglob("*.py"))


def absolute(path: Path, node: ast.ImportFrom) -> tuple[str, ...]:
    """The parts of an import's module, below plugins/."""
    folder = path.relative_to(PLUGINS).parts[: -node.level]
    return (*folder, *(node.module or "").split("."))


def imports(path: Path) -> t.Iterator[tuple[str, ...]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = absolute(path, node)
            yield module
            # From a package, a name is a module.
            if (PLUGINS / Path(*module)).is_dir():
                yield from ((*module, name.name) for name in node.names)


def layer(parts: t.Sequence[str]) -> int:
    """The number of the layer of a module in module_utils."""
    return LAYERS.index(parts[1]) if parts[1] in LAYERS else len(LAYERS) - 1


def test_the_layers_are_those_that_are_there() -> None:
    folders = {path.name for path in (PLUGINS / "module_utils").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} == set(LAYERS[:-1])
    assert {path.relative_to(PLUGINS).parts[0] for path in FILES} == set(FOLDERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_a_package_uses_only_those_above_it(path: Path) -> None:
    own = path.relative_to(PLUGINS).parts
    for module in imports(path):
        assert module[0] in FOLDERS[own[0]], f"{'.'.join(module)} from {'/'.join(own)}"
        if own[0] == "module_utils":
            assert layer(module) <= layer(own), f"{'.'.join(module)} from {'/'.join(own)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_imports_are_relative(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [str(node.module)]
        else:
            continue
        assert not [name for name in names if name.startswith("ansible_collections")]


SUPPORT = sorted((PLUGINS.parent / "tests" / "support").rglob("*.py"))
#: These start a module or an action by its name, to see what it does.
BY_NAME = {"running/module_runner.py", "running/option_mistakes.py", "running/secret_register.py"}


@pytest.mark.parametrize("path", SUPPORT, ids=lambda path: str(path.relative_to(SUPPORT[0].parent)))
def test_helpers_share_no_code_with_the_plugins(path: Path) -> None:
    name = str(path.relative_to(SUPPORT[0].parent))
    if name.startswith("in_process/"):
        return
    text = path.read_text(encoding="utf-8")
    assert ("mailops.ses.plugins" in text) == (name in BY_NAME)


def test_the_check_sees_imports() -> None:
    path = PLUGINS / "module_utils" / "_postfix" / "_example.py"
    node = t.cast("ast.ImportFrom", ast.parse("from .._relay._plan import diff").body[0])
    assert absolute(path, node) == ("module_utils", "_relay", "_plan")
    assert layer(absolute(path, node)) > layer(path.relative_to(PLUGINS).parts)
