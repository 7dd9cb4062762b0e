# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which mutants are noticed, with a stand-in for mutmut and for the functions that it has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.tooling import mutant_runs

STATE = """
class _State:
    _stats = set()

def state(only=_State()):
    return only
"""
TRAMPOLINE = """
chosen = ""

def set_mutant_under_test(name):
    global chosen
    chosen = name
"""
#: Two functions of which mutmut would have made mutants.
CHANGED = """
import time
from mutmut.mutation import trampoline
from mutmut.state import state

def called(name):
    if trampoline.chosen == "stats":
        state()._stats.add(name)
    if trampoline.chosen == "fail":
        raise ValueError

def double(number):
    called("double")
    if trampoline.chosen == "double__mutmut_3":
        while True:
            pass
    if trampoline.chosen == "double__mutmut_4":
        raise SystemExit(0)
    return number * (3 if trampoline.chosen == "double__mutmut_1" else 2)

def wait():
    called("wait")
    if trampoline.chosen == "wait__mutmut_1":
        time.sleep(1000)
"""
TESTS = """
import changed
import pytest

@pytest.mark.parametrize("number", [0, 2], ids=["a::b[", "c"])
def test_double(number):
    assert changed.double(number) == number * 2

def test_wait():
    changed.wait()
"""
MUTANTS = [*(f"double__mutmut_{number}" for number in (1, 2, 3, 4)), "wait__mutmut_1"]


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    """Where the stand-ins are."""
    (tmp_path / "mutmut" / "mutation").mkdir(parents=True)
    for name, text in {
        "mutmut/__init__.py": "",
        "mutmut/mutation/__init__.py": "",
        "mutmut/mutation/trampoline.py": TRAMPOLINE,
        "mutmut/state.py": STATE,
        "changed.py": CHANGED,
        "test_changed.py": TESTS,
        "pytest.ini": "[pytest]\n",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run_mutants(
    folder: Path, mutants: t.Sequence[str], *options: str
) -> subprocess.CompletedProcess[str]:
    """Run the program, with less patience than for real tests."""
    (folder / "names.json").write_text(json.dumps(mutants))
    script = (
        f"import sys; sys.path[:0] = [{str(folder)!r}]\n"
        "from pathlib import Path\n"
        "from ansible_collections.mailops.ses.tests.tooling import mutant_runs\n"
        "mutant_runs.COMPUTING_SECONDS = mutant_runs.WAITING_SECONDS = 1\n"
        "mutant_runs.main(Path('names.json'), Path('verdicts.json'), sys.argv[1:])\n"
    )
    collections = str(Path(mutant_runs.__file__).parents[5])
    return subprocess.run(
        [sys.executable, "-c", script, "-p", "no:hypothesispytest", *options, "test_changed.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": collections},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.ends_only
def test_a_mutant_is_noticed_if_a_test_fails_or_never_ends(folder: Path) -> None:
    """Also if it waits, or exits as if all was well; a test's ID may be any text."""
    done = run_mutants(folder, [*MUTANTS, "never_called__mutmut_1"])
    assert done.returncode == 0, done.stdout
    verdicts = json.loads((folder / "verdicts.json").read_text())
    survivors = {"double__mutmut_2", "never_called__mutmut_1"}
    assert verdicts == {
        name: name not in survivors for name in [*MUTANTS, "never_called__mutmut_1"]
    }
    # Each test once, and nothing of what the mutants' processes have to say.
    assert "3 passed" in done.stdout
    assert "F" not in done.stdout


@pytest.mark.slow
@pytest.mark.ends_only
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("== number * 2", "== number * 5", "the tests have to pass without a mutant"),
        ("import changed", "class changed: double, wait = (2).__mul__, dict", "the tests pass in"),
        ("def test_", "def no_test_", "exited with status"),
    ],
    ids=["failing", "not calling", "none"],
)
def test_runs_that_would_tell_nothing_are_an_error(
    folder: Path, before: str, after: str, said: str
) -> None:
    tests = folder / "test_changed.py"
    tests.write_text(TESTS.replace(before, after))
    done = run_mutants(folder, MUTANTS)
    assert done.returncode == 1
    assert said in done.stdout
    assert not (folder / "verdicts.json").exists()


def test_a_mutant_is_of_a_function() -> None:
    """mutmut numbers the mutants of each."""
    assert mutant_runs.name_function("a.b.x_f__mutmut_12") == "a.b.x_f"
