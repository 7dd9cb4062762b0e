# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mutation testing: would the unit tests notice a wrong line of the derivation, or of a verdict?

mutmut makes every small change it knows to the modules below, and mutant_runs.py runs the tests with
each. As a program, in the folder that holds ansible_collections: ``python -m ...mutation``. It
fails if too few of the changes are noticed, or if those that are not differ from the list in
mutation_survivors.yml, where each has a reason.

Only tests by example run here, no properties: what hypothesis happens to find differs from run to
run, and a survivor must not depend on luck.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import yaml

COLLECTION = Path("ansible_collections", "mailops", "ses")
#: The modules, by their paths in the collection: the derivation and the password map's format; the
#: transaction; what says "accepted", "no findings" and "safe".
MODULES = {
    Path(path).stem: COLLECTION / "plugins" / path
    for path in (
        "module_utils/_postfix/_map_entry.py",
        "module_utils/_postfix/_map_plan.py",
        "module_utils/_postfix/_password_map.py",
        "module_utils/_findings/_probe.py",
        "module_utils/_relay/_phases.py",
        "module_utils/_relay/_transaction.py",
        "module_utils/_ses/_regions.py",
        "module_utils/_ses/_secret_mistakes.py",
        "module_utils/_ses/_smtp_password.py",
        "plugin_utils/_audit.py",
        "plugin_utils/_rotation_verdict.py",
    )
}
TESTS = COLLECTION / "tests" / "unit" / "plugins"
#: The tests by example of these modules, by the beginning of their files' names.
TESTED_BY = (
    "module_utils/postfix/test_map_entry",
    "module_utils/postfix/test_map_plan",
    "module_utils/postfix/test_password_map",
    "module_utils/findings/test_probe",
    "module_utils/relay/test_plans",
    "module_utils/relay/test_transaction",
    "module_utils/ses/test_mail_manager",
    "module_utils/ses/test_regions",
    "module_utils/ses/test_secret_mistakes",
    "module_utils/ses/test_smtp_password",
    "plugin_utils/test_audit",
    "plugin_utils/test_rotation_verdict",
)
SURVIVORS = Path(__file__).with_name("mutation_survivors.yml")
ENOUGH_PERCENT = 95
#: Where mutmut puts the changed files.
MUTANTS = Path("mutants")
#: A program that runs the tests with each mutant.
RUNS = "ansible_collections.mailops.ses.tests.tooling.mutant_runs"

Survivor = tuple[str, str, str]


@dataclass(frozen=True)
class Mutant:
    """One changed line: of which function, what it was and became, and whether a test noticed."""

    function: str
    was: str
    became: str
    killed: bool

    @property
    def key(self) -> Survivor:
        """What names it in the list of survivors; mutmut's numbers move with every edit."""
        return self.function, self.was, self.became


def settings() -> str:
    """mutmut's configuration, for the folder that it runs in."""
    options: dict[str, t.Sequence[Path]] = {
        "source_paths": [COLLECTION / "plugins"],
        "only_mutate": list(MODULES.values()),
        "also_copy": [COLLECTION],
    }
    lines = ["[mutmut]"]
    for name, values in options.items():
        lines += [f"{name}=", *(f"    {value}" for value in values)]
    return "\n".join(lines) + "\n"


def tests_by_example() -> list[Path]:
    """The files with the tests that run for every mutant."""
    files = [path for name in TESTED_BY for path in TESTS.glob(f"{name}*.py")]
    return sorted(path for path in files if not path.stem.endswith(("_properties", "_oracles")))


def changed_line(diff: str) -> tuple[str, str]:
    """What a unified diff takes away and adds, without its indentation."""
    lines = [line for line in diff.splitlines() if not line.startswith(("+++", "---"))]
    was, became = ([line[1:].strip() for line in lines if line[:1] == sign] for sign in "-+")
    return "\n".join(was), "\n".join(became)


def make_mutants() -> dict[str, Path]:
    """Have mutmut make all mutants, in a copy of the collection; their names, and of which file."""
    shutil.rmtree(MUTANTS, ignore_errors=True)  # the results of an earlier run
    MUTANTS.mkdir()
    Path("setup.cfg").write_text(settings(), encoding="utf-8")
    # Only its session has it.
    program = importlib.import_module("mutmut.__main__")
    with contextlib.redirect_stdout(io.StringIO()):  # it names each file
        program.copy_src_dir()
        program.copy_also_copy_files()
        program.create_mutants(os.cpu_count() or 1)
    made = {}
    for path in MODULES.values():
        meta = json.loads(Path(MUTANTS, f"{path}.meta").read_text(encoding="utf-8"))
        made.update(dict.fromkeys(meta["exit_code_by_key"], path))
    return made


def run_tests(names: t.Iterable[str]) -> dict[str, bool]:
    """Run the tests with each mutant: by its name, whether a test noticed it.

    :raises subprocess.CalledProcessError: if the tests do not pass without a mutant.
    """
    names_file, verdicts = MUTANTS / "names.json", MUTANTS / "verdicts.json"
    names_file.write_text(json.dumps(list(names)), encoding="utf-8")
    # -p no:unraisableexception: it collects garbage five times at the end of each test run.
    options = ["-p", "no:unraisableexception", "-m", "not slow", "--rootdir=."]
    options += ["-c", str(COLLECTION / "pyproject.toml"), *map(str, tests_by_example())]
    subprocess.run(
        [sys.executable, "-m", RUNS, names_file.name, verdicts.name, *options],
        check=True,
        cwd=MUTANTS,
        # Not the collection as it is, which the session's path names.
        env={**os.environ, "PYTHONPATH": str(MUTANTS.resolve())},
    )
    said: dict[str, bool] = json.loads(verdicts.read_text(encoding="utf-8"))
    return said


def find_mutants() -> list[Mutant]:
    """Make all mutants, and find out which of them the tests notice."""
    made = make_mutants()
    diff_apply = importlib.import_module("mutmut.mutation.diff_apply")
    found = []
    for name, killed in run_tests(made).items():
        # mutmut's names: module.x_function__mutmut_1, module.xǁClassǁmethod__mutmut_1
        function = name.rpartition(".x")[2].rpartition("__mutmut_")[0]
        function = f"{made[name].stem}.{function.strip('_ǁ').replace('ǁ', '.')}"
        diff = "" if killed else diff_apply.get_diff_for_mutant(name, path=made[name])
        found.append(Mutant(function, *changed_line(diff), killed=killed))
    return found


def known_survivors(text: str) -> set[Survivor]:
    """The survivors on this Python that are listed with a reason."""
    known: set[Survivor] = set()
    for group in yaml.safe_load(text):
        if not group["reason"].strip():
            raise ValueError("a survivor needs a reason")
        known.update(
            (row["function"], row["was"], row["became"])
            for row in group["survivors"]
            if sys.version_info >= tuple(row.get("since", ()))
        )
    return known


def problems(found: t.Sequence[Mutant], known: set[Survivor]) -> list[str]:
    """What is wrong: too few are noticed, one survives without a reason, one is listed but dead."""
    killed = sum(mutant.killed for mutant in found)
    survived = {mutant.key for mutant in found if not mutant.killed}
    said = [
        f"survived, and is not in {SURVIVORS.name}: {function}\n  - {was}\n  + {became}"
        for function, was, became in sorted(survived - known)
    ]
    said += [
        f"in {SURVIVORS.name}, but there is no such survivor: {function}\n  + {became}"
        for function, _was, became in sorted(known - survived)
    ]
    if killed * 100 < len(found) * ENOUGH_PERCENT or not found:
        said.append(f"fewer than {ENOUGH_PERCENT} % are killed")
    return said


def main() -> int:
    """Make the mutants, run the tests, and judge; the exit status."""
    found = find_mutants()
    wrong = problems(found, known_survivors(SURVIVORS.read_text(encoding="utf-8")))
    killed = sum(mutant.killed for mutant in found)
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{killed} of {len(found)} mutants killed ({killed / len(found):.1%})\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
