# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `make test` rests on: staging, finding Pythons, ansible-test's home, the final summary."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.tooling import (
    ansible_test_home,
    get_pip,
    interpreters,
    run_sessions,
    staging,
)

SHIM = "#!/bin/sh\necho 'pyenv: python: command not found' >&2\nexit 127\n"
LIAR = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
PYTHON_REQUIREMENTS = """
    default_packages = dict(
        pip='25.2',
    )
    override_packages = {'3.6': dict(pip='21.3.1')}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a file of each kind."""
    folder = tmp_path / "any name"
    (folder / "plugins" / "__pycache__").mkdir(parents=True)
    for name in ("tracked.py", "deleted.py", "new.py", "plugins/__pycache__/x.pyc"):
        (folder / name).write_text(name)
    (folder / ".gitignore").write_text("__pycache__/\n")
    git = ("git", "-C", str(folder))
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "tracked.py", "deleted.py"], check=True)
    (folder / "deleted.py").unlink()
    return folder


def test_staged_is_what_git_lists_and_what_is_there(checkout: Path, tmp_path: Path) -> None:
    """New files too, caches and deleted files not; nothing of an earlier copy stays."""
    stale = tmp_path / "build" / "ansible_collections" / "mailops" / "ses" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("stale")
    root = staging.stage(tmp_path / "build", checkout)
    assert root == stale.parent
    assert sorted(path.name for path in root.iterdir()) == [
        ".git",
        ".gitignore",
        "new.py",
        "tracked.py",
    ]


def test_a_staged_copy_is_a_repository_of_its_own(checkout: Path) -> None:
    """Inside a checkout it is ignored, and ansible-test would see no file."""
    root = staging.stage(checkout / "build", checkout)
    assert "tracked.py" in staging.listed_files(root)


@pytest.mark.parametrize("program", [SHIM, LIAR], ids=["shim", "another version"])
def test_a_program_that_is_not_that_python_is_not_taken(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyenv has shims for versions that are not active."""
    (tmp_path / "python3.99").write_text(program)
    (tmp_path / "python3.99").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert interpreters.interpreter.__wrapped__("3.99") is None


def test_behind_a_shim_the_python_itself_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is active or not, and without the time that a shim takes."""
    shim = tmp_path / "shims" / "python3.99"
    python = tmp_path / "versions" / "3.99.1" / "bin" / "python3.99"
    for program, text in ((shim, SHIM), (python, f"#!/bin/sh\necho 3.99 {python}\n")):
        program.parent.mkdir(parents=True)
        program.write_text(text)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent))
    assert interpreters.interpreter.__wrapped__("3.99") == str(python)


@pytest.mark.slow
def test_this_python_is_found(tmp_path: Path) -> None:
    """And search_path has it under its name."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = interpreters.interpreter(version)
    assert found is not None
    assert interpreters.search_path(tmp_path).startswith(f"{tmp_path}:")
    assert (tmp_path / f"python{version}").resolve() == Path(found).resolve()


@pytest.mark.parametrize(
    ("minor", "requirement"),
    [("2.16", "ansible-core~=2.16.0"), ("2.22", "ansible-core>=2.22.0rc1,<2.23")],
)
def test_only_minors_without_a_release_allow_a_pre_release(minor: str, requirement: str) -> None:
    """A specifier that names a pre-release makes pip take them."""
    assert interpreters.any_ansible_core(minor) == requirement


@pytest.mark.parametrize("minor", interpreters.CONTROLLER_PYTHONS)
def test_every_minor_is_pinned(minor: str) -> None:
    assert re.fullmatch(rf"ansible-core=={minor}\.\d+(rc\d+)?", interpreters.ansible_core(minor))


def test_every_pip_that_ansible_test_names_is_bootstrapped(tmp_path: Path) -> None:
    """By its source, so that the next ansible-core needs no change here."""
    source = tmp_path / "ansible_test" / "_internal" / "python_requirements.py"
    source.parent.mkdir(parents=True)
    source.write_text(PYTHON_REQUIREMENTS)
    ansible_test_home.prepare(tmp_path / "home", tmp_path)
    cache = tmp_path / "home" / ".ansible" / "test" / "cache"
    assert sorted(path.name for path in cache.iterdir()) == ["get_pip_21_3_1.py", "get_pip_25_2.py"]
    source.write_text("pip = find_pip()")
    with pytest.raises(LookupError, match="no longer names"):
        ansible_test_home.prepare(tmp_path / "home", tmp_path)


def test_tools_come_from_the_package_index(tmp_path: Path) -> None:
    """Also where a release candidate names a forge."""
    tools = tmp_path / "sanity.pylint.txt"
    tools.write_text("astroid==4.0.4\ndill @ https://forge.example/x.zip#sha256=0\npylint==4.0.5\n")
    cached = tmp_path / "cached"
    cached.hardlink_to(tools)
    assert ansible_test_home.take_from_index(tmp_path) == ["dill"]
    assert tools.read_text() == "astroid==4.0.4\ndill\npylint==4.0.5\n"
    assert "forge" in cached.read_text(), "the installer's cache is its own"
    assert ansible_test_home.take_from_index(tmp_path) == []


def test_pips_settings_reach_ansible_tests_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the user's file and, above them, those of the environment."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    users = tmp_path / "user" / ".config" / "pip" / "pip.conf"
    users.parent.mkdir(parents=True)
    users.write_text("[global]\ntimeout = 7\nretries = 3\n[install]\nno-compile = true\n")
    home = tmp_path / "home"
    ansible_test_home.write_pip_configuration(home, {"PIP_TIMEOUT": "9", "OTHER": "x"})
    written = configparser.RawConfigParser()
    written.read(home / ".config" / "pip" / "pip.conf")
    assert dict(written["global"]) == {"timeout": "9", "retries": "3", "quiet": "2"}
    assert dict(written["install"]) == {"no-compile": "true"}


def test_the_summary_says_once_what_did_not_run() -> None:
    """After the table, where it is seen."""
    said = "x > NOT RUN: 2 tests need root\nmore\n"
    missing = "x > NOT RUN: units-3.14 needs Python 3.14, not found here\n"
    outcomes = [
        run_sessions.Outcome("units", passed=True, seconds=1.2, output=said),
        run_sessions.Outcome("units-3.14", passed=True, seconds=0, output=missing),
        run_sessions.Outcome("lint", passed=False, seconds=60, output=said),
    ]
    assert run_sessions.summary(outcomes, 61.0).splitlines() == [
        "passed       1 s  units",
        "not run      0 s  units-3.14",
        "FAILED      60 s  lint",
        "1 of 2 FAILED, 61 s in all",
        "NOT RUN: 2 tests need root",
        "NOT RUN: units-3.14 needs Python 3.14, not found here",
    ]


@pytest.mark.slow
@pytest.mark.ends_only
def test_pip_is_installed_once_for_all_environments_of_ansible_test(tmp_path: Path) -> None:
    """From an index for the first one; the others need none."""
    bootstrap = tmp_path / "get_pip_x.py"
    bootstrap.write_bytes(ansible_test_home.GET_PIP.read_bytes())
    wheel = get_pip.pip_wheel()
    settings = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    for number, folder in enumerate((wheel.parent, tmp_path)):
        environment = tmp_path / str(number)
        venv.create(environment)
        python = str(environment / "bin" / "python")
        subprocess.run(
            [python, str(bootstrap), "--no-setuptools", f"pip=={wheel.name.split('-')[1]}"],
            env={**os.environ, **settings, "PIP_FIND_LINKS": str(folder)},
            check=True,
        )
        said = subprocess.run(
            [python, "-m", "pip", "--version"], check=True, stdout=subprocess.PIPE
        )
        assert f"from {environment}/" in said.stdout.decode()
