# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation lists the catalogue of findings, and nothing names a finding that is not in it."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings._catalogue import KINDS
from ansible_collections.mailops.ses.tests.tooling import findings_section

ROOT = Path(
    next(iter(importlib.import_module("ansible_collections.mailops.ses").__path__))
).resolve()
GUIDE = findings_section.GUIDE.read_text(encoding="utf-8")
LABEL = "ansible_collections.mailops.ses.docsite.guide_audit.findings"
IDS = {kind.id for kind in KINDS.values()}
#: Those of findings of the module.
SEVERITIES = {"critical", "warning", "notice"}

#: Where YAML, Jinja and documentation name a finding.
IN_TEXT = [
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"selectattr\(\s*'id',\s*'[^']*',\s*'(\w+)'",
        r"(?:\.id|\['id'\])\s*[!=]=\s*'(\w+)'",
        r"attribute='id'\)[^\n]*== \['(\w+)'",
        r"'(\w+)' (?:not )?in [^\n]*attribute='id'",
        r"^\s+id: (\w+)$",
        r"\bfinding\s+``(\w+)``",
        r"\bfinding\s+V\((\w+)\)",
    )
]


def named_in_python(source: str) -> t.Iterator[str]:
    """The IDs beside a severity in a pair or a dict, and those that a finding's ID is compared with."""
    nodes = list(ast.walk(ast.parse(source)))
    for node in nodes:
        if isinstance(node, ast.Tuple) and len(node.elts) == 2 and not names_arguments(node, nodes):
            yield from of_pair(*node.elts)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if text(value) in SEVERITIES:
                    yield from filter(None, [text(key)])
        elif isinstance(node, ast.Compare) and is_id(node.left):
            yield from filter(None, map(text, node.comparators))


def names_arguments(pair: ast.Tuple, nodes: t.Iterable[ast.AST]) -> bool:
    """Whether a pair is what pytest.mark.parametrize calls the arguments of a test."""
    calls = (node for node in nodes if isinstance(node, ast.Call))
    return any(
        call.args[:1] == [pair] and ast.unparse(call.func) == "pytest.mark.parametrize"
        for call in calls
    )


def of_pair(one: ast.expr, other: ast.expr) -> t.Iterator[str]:
    names = {text(one), text(other)}
    if names & SEVERITIES:
        yield from filter(None, names.difference(SEVERITIES))


def text(node: ast.expr | None) -> str | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else None


def is_id(node: ast.expr) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "id"
    return isinstance(node, ast.Subscript) and text(node.slice) == "id"


def named_in_text(source: str) -> set[str]:
    return {name for pattern in IN_TEXT for name in pattern.findall(source)}


def files(*patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file()]


def test_the_guide_lists_the_catalogue() -> None:
    """To write it again: make findings."""
    section = findings_section.write_section(KINDS.values())
    assert findings_section.replace_section(GUIDE, section) == GUIDE


def test_the_guide_has_each_id_once_with_its_severities() -> None:
    section = GUIDE.partition(findings_section.BEGIN)[2].partition(findings_section.END)[0]
    definitions = re.split(r"^``(\w+)``\n", section, flags=re.MULTILINE)[1:]
    names, texts = definitions[::2], definitions[1::2]
    assert names == sorted(IDS)
    for name, said in zip(names, texts, strict=True):
        kinds = [kind for kind in KINDS.values() if kind.id == name]
        severities = [" or ".join(kind.severities).capitalize() for kind in kinds]
        assert re.findall(r"^  \*([\w ]+)\.\*", said, re.MULTILINE) == severities
        assert said.count("\n  Remedy: ") == len(
            list(itertools.groupby(kinds, lambda kind: kind.remedy))
        )


def test_the_module_refers_to_the_list() -> None:
    module = (ROOT / "plugins/modules/postfix_relay_info.py").read_text(encoding="utf-8")
    assert f"R(All findings, {LABEL})" in module
    assert f".. _{LABEL}:\n\nAll findings\n" in GUIDE


def test_every_id_that_is_named_exists() -> None:
    python = {
        name
        for path in files("tests/**/*.py", "plugins/**/*.py")
        for name in named_in_python(path.read_text(encoding="utf-8"))
    }
    of_texts = {
        pattern: {
            name
            for path in files(pattern)
            for name in named_in_text(path.read_text(encoding="utf-8"))
        }
        for pattern in (
            "playbooks/**/*",
            "roles/**/*",
            "README.md",
            "docs/**/*.rst",
            "plugins/*/*.py",
            "tests/integration/**/*.yml",
        )
    }
    assert {*python, *(name for names in of_texts.values() for name in names)} - IDS == set()
    # So that a pattern that finds nothing any more is noticed.
    assert python >= {"table_stale", "left_over_module", "tls_not_verified", "deferred_535"}
    assert of_texts["docs/**/*.rst"] >= {"map_not_read", "left_over_module", "unreachable"}
    assert of_texts["plugins/*/*.py"] >= {"instance_unreadable"}
    assert of_texts["tests/integration/**/*.yml"] >= {"table_stale"}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("found == {'no_entry': 'critical', 'x': 1}", ["no_entry"]),
        ("result(('warning', 'table_stale'), ('notice', name))", ["table_stale"]),
        ("(each.id, each.severity) == ('no_entry', 'critical')", ["no_entry"]),
        ("[each for each in found if each['id'] == 'no_entry']", ["no_entry"]),
        ("finding.id != 'no_entry'", ["no_entry"]),
        ("pytest.mark.parametrize(('path', 'warning'), [('no_entry', 'notice')])", ["no_entry"]),
        ("row['host'] == 'mx', ('a', 'b'), {'critical': 1}", []),
    ],
)
def test_names_in_python(source: str, named: list[str]) -> None:
    assert list(named_in_python(source)) == named


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("relay.findings | selectattr('id', '==', 'no_entry') | length == 0", {"no_entry"}),
        ("finding.id == 'no_entry' or finding['id'] != 'raw_secret'", {"no_entry", "raw_secret"}),
        ("relay.findings | map(attribute='id') == ['no_entry']", {"no_entry"}),
        ("'no_entry' not in relay.findings | map(attribute='id')", {"no_entry"}),
        ("  severity: critical\n  id: no_entry\n", {"no_entry"}),
        ("the finding\n``no_entry`` and the finding V(raw_secret)", {"no_entry", "raw_secret"}),
        ("the setting ``relayhost``, and instance.name == 'no_entry'", set()),
    ],
)
def test_names_in_texts(source: str, named: set[str]) -> None:
    assert named_in_text(source) == named


@pytest.mark.parametrize(
    ("said", "marked_up"),
    [
        ("Run: postmap {table}", "Run: ``postmap TABLE``"),
        (
            "Then run: postfix reload; or do not. Yes",
            "Then run: ``postfix reload``; or do not. Yes",
        ),
        ("Run: rm -r {path}. If", "Run: ``rm -r PATH``. If"),
        (
            "run mailops.ses.postfix_relay or mailops.ses.rotate",
            "run :ansplugin:`mailops.ses.postfix_relay#module` or ``mailops.ses.rotate``",
        ),
        ("Set {setting} = secure in main.cf", "Set ``SETTING = secure`` in ``main.cf``"),
        ("smtp_tls_CAfile (/etc/ssl/x.crt) has", "``smtp_tls_CAfile`` (``/etc/ssl/x.crt``) has"),
        ("with port={port}, state=absent: why", "with ``port=PORT``, ``state=absent``: why"),
        ("Set become: true", "Set ``become: true``"),
        ("replace proxy:{table}, for {key}", "replace ``proxy:TABLE``, for ``KEY``"),
    ],
)
def test_mark_up(said: str, marked_up: str) -> None:
    assert findings_section.mark_up(said) == marked_up


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_no_text_of_the_catalogue_is_mark_up_by_itself(kind: t.Any) -> None:
    assert re.findall(r"[*`|\\]|_(?!\w)", kind.meaning + kind.remedy) == []


@pytest.mark.parametrize("text", ["", findings_section.BEGIN, findings_section.END, GUIDE + GUIDE])
def test_a_guide_without_a_place_for_the_list(text: str) -> None:
    with pytest.raises(ValueError, match="the guide has not one"):
        findings_section.replace_section(text, "")
