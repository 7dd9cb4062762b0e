# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which Pythons the checks want, and which of them this machine has."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import typing as t
from pathlib import Path

#: What a controller of each ansible-core runs on (ansible-core's support matrix). The first one
#: that is there is taken; they are in such an order that all minors together use all Pythons.
CONTROLLER_PYTHONS = {
    "2.16": ("3.10", "3.12", "3.11"),
    "2.17": ("3.12", "3.11", "3.10"),
    "2.18": ("3.11", "3.13", "3.12"),
    "2.19": ("3.13", "3.12", "3.11"),
    "2.20": ("3.12", "3.14", "3.13"),
    "2.21": ("3.13", "3.14", "3.12"),
    "2.22": ("3.14", "3.13", "3.15"),
}
#: The minors of which there is no release yet: the package index has them as pre-releases.
PRE_RELEASES = ("2.22",)
#: The minors between the ends: their templates and results are those of another, which runs all
#: tests. Up to 2.18 there is no data tagging, as in the oldest; from 2.19 on, as in the newest.
LIKE_ANOTHER = ("2.17", "2.18", "2.19", "2.20")
ANSIBLE_CORE_PINS = Path(__file__).resolve().parent.parent / "requirements" / "ansible-core.txt"
#: What the modules run on, on managed hosts.
MANAGED_PYTHONS = ("3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")

_WHO = """
import sys
from importlib.machinery import PathFinder
if PathFinder.find_spec("ensurepip") and PathFinder.find_spec("venv"):
    print("%d.%d" % sys.version_info[:2], sys.executable)
"""


def as_tuple(version: str) -> tuple[int, ...]:
    """``"3.10"`` as ``(3, 10)``, which sorts as versions do."""
    return tuple(int(part) for part in version.split("."))


def _folders() -> t.Iterator[Path]:
    """Where Pythons may be; instead of pyenv's shims, which take long to start, those behind them."""
    yield Path(sys.base_prefix, "bin")
    folders = [Path(folder) for folder in os.get_exec_path()]
    roots = [Path(root).expanduser() for root in (os.environ.get("PYENV_ROOT"), "~/.pyenv") if root]
    folders += [root / "shims" for root in roots]
    for folder in folders:
        versions = folder.with_name("versions")
        if folder.name == "shims" and versions.is_dir():
            yield from sorted(versions.glob("*/bin"), reverse=True)
        else:
            yield folder


@functools.cache
def interpreter(version: str) -> str | None:
    """The path of a Python of this version, as ``"3.12"``, that can make virtual environments.

    Each candidate is run: a pyenv shim is there for versions that are not, and Debian's Python
    has no ensurepip without its package python3-venv.
    """
    for folder in _folders():
        candidate = folder / f"python{version}"
        if not candidate.is_file():
            continue
        try:
            answer = subprocess.run(
                [str(candidate), "-I", "-c", _WHO],
                check=False,
                capture_output=True,
                text=True,
                timeout=30,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        name, _blank, path = answer.stdout.strip().partition(" ")
        if answer.returncode == 0 and name == version:
            return path
    return None


def first_of(versions: t.Iterable[str]) -> str | None:
    """The first of ``versions`` that this machine has."""
    return next((version for version in versions if interpreter(version)), None)


def search_path(links: Path) -> str:
    """A search path on which ``python3.X`` is there for each Python found, and works.

    ``links`` becomes a folder of links to them. pyenv's shims are left out, since ansible-test
    takes each of them for a Python.
    """
    links.mkdir(parents=True, exist_ok=True)
    for version in MANAGED_PYTHONS:
        found, link = interpreter(version), links / f"python{version}"
        if link.is_symlink():
            link.unlink()
        if found:
            link.symlink_to(found)
    others = [folder for folder in os.get_exec_path() if Path(folder).name != "shims"]
    return os.pathsep.join([str(links), *others])


def newest_release() -> str | None:
    """The newest released ansible-core that this machine has a Python for."""
    released = [minor for minor in CONTROLLER_PYTHONS if minor not in PRE_RELEASES]
    runnable = [minor for minor in released if first_of(CONTROLLER_PYTHONS[minor])]
    return max(runnable, key=as_tuple, default=None)


def ansible_core(minor: str) -> str:
    """The requirement that gives pip this minor in the version that is pinned."""
    lines = ANSIBLE_CORE_PINS.read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"ansible-core=={minor}."))


def any_ansible_core(minor: str) -> str:
    """All versions of this minor as pip knows them, pre-releases only until there is a release."""
    if minor in PRE_RELEASES:
        following = f"2.{as_tuple(minor)[1] + 1}"
        return f"ansible-core>={minor}.0rc1,<{following}"
    return f"ansible-core~={minor}.0"
