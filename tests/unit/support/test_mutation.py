# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the results of mutation testing are judged."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.tests.tooling import mutation
from ansible_collections.mailops.ses.tests.tooling.mutation import Mutant

DIFF = """\
--- a.py
+++ a.py
@@ -1,3 +1,3 @@
 def f():
-    return  1
+    return  2
"""
KILLED = Mutant("_m.f", "", "", killed=True)
SURVIVED = Mutant("_m.f", "return 1", "return 2", killed=False)


def test_a_change_is_named_by_what_it_was_and_became() -> None:
    assert mutation.changed_line(DIFF) == ("return  1", "return  2")


def test_survivors_must_be_those_on_the_list() -> None:
    found = [KILLED] * 19 + [SURVIVED]
    assert mutation.problems(found, {SURVIVED.key}) == []
    (unknown,) = mutation.problems(found, set())
    assert unknown.startswith("survived, and is not in mutation_survivors.yml: _m.f")
    assert unknown.endswith("- return 1\n  + return 2")
    (dead,) = mutation.problems([KILLED], {SURVIVED.key})
    assert "there is no such survivor: _m.f" in dead


def test_enough_must_be_killed_all_the_same() -> None:
    found = [KILLED] * 18 + [SURVIVED]
    assert mutation.problems(found, {SURVIVED.key}) == ["fewer than 95 % are killed"]
    assert mutation.problems([], set()) == ["fewer than 95 % are killed"]


def test_each_survivor_on_the_list_has_a_reason() -> None:
    text = (
        "- reason: '{0}'\n  survivors:\n  - {{function: _m.f, was: return 1, became: return 2}}\n"
    )
    assert mutation.known_survivors(text.format("the same")) == {SURVIVED.key}
    with pytest.raises(ValueError, match="needs a reason"):
        mutation.known_survivors(text.format(" "))
    assert mutation.known_survivors(mutation.SURVIVORS.read_text(encoding="utf-8"))
