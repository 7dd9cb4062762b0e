# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A home for ansible-test, so that it neither downloads a program nor writes into the user's.

ansible-test keeps its virtual environments and its cache in ~/.ansible/test, and starts pip with
the home folder but without the environment: what ``PIP_*`` variables say must be in a file there.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import typing as t
from pathlib import Path

GET_PIP = Path(__file__).with_name("get_pip.py")
_PIP_FILES = ("~/.pip/pip.conf", "~/.config/pip/pip.conf")
_DIRECT_REFERENCE = re.compile(r"^([\w.-]+) @ https?://.*$", re.MULTILINE)
#: Variables that say how a single run behaves, or that no configuration file can hold.
_NO_SETTING = ("PIP_CONFIG_FILE", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV")


def pip_versions(requirements: Path) -> set[str]:
    """The versions of pip that ansible-test may ask the bootstrap for.

    ``requirements`` is its file ``_internal/python_requirements.py``; LookupError if that names none.
    """
    versions = set(re.findall(r"\bpip='([0-9.]+)'", requirements.read_text(encoding="utf-8")))
    if not versions:
        raise LookupError(f"{requirements} no longer names pip's version as pip='X.Y'")
    return versions


def write_pip_configuration(home: Path, environment: t.Mapping[str, str]) -> None:
    """Give ``home`` the pip settings of the user's files and of ``environment``, which wins."""
    settings = configparser.RawConfigParser()
    named = environment.get("PIP_CONFIG_FILE")
    settings.read([os.path.expanduser(name) for name in _PIP_FILES] + ([named] if named else []))
    if not settings.has_section("global"):
        settings.add_section("global")
    for name, value in environment.items():
        if name.startswith("PIP_") and name not in _NO_SETTING and value:
            settings.set("global", name[len("PIP_") :].lower().replace("_", "-"), value)
    settings.set("global", "quiet", "2")  # errors only; ansible-test shows all that pip says
    target = home / ".config" / "pip" / "pip.conf"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)  # an index's address may hold a password
    with target.open("w", encoding="utf-8") as stream:
        settings.write(stream)


def take_from_index(requirements: Path) -> list[str]:
    """Turn direct references in ansible-test's ``sanity.*.txt`` into plain ones; returns them.

    A release candidate may want an unreleased version of a tool from a forge (2.22.0rc1 wants
    dill so, for Python 3.15). The released one does for the Pythons here, and nothing but the
    package index needs to be in reach.
    """
    replaced = []
    for path in sorted(requirements.glob("sanity.*.txt")):
        text = path.read_text(encoding="utf-8")
        replaced += _DIRECT_REFERENCE.findall(text)
        # A file of its own: uv links the installed one to its cache.
        new = path.with_suffix(".new")
        new.write_text(_DIRECT_REFERENCE.sub(r"\1", text), encoding="utf-8")
        new.replace(path)
    return replaced


def prepare(home: Path, site_packages: Path) -> list[str]:
    """Make ``home`` ready for the ansible-test that is installed in ``site_packages``.

    Returns the names of the tools that it takes from the index instead of from elsewhere.
    """
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    internal = site_packages / "ansible_test" / "_internal"
    for version in pip_versions(internal / "python_requirements.py"):
        shutil.copyfile(str(GET_PIP), str(cache / f"get_pip_{version.replace('.', '_')}.py"))
    write_pip_configuration(home, os.environ)
    return take_from_index(site_packages / "ansible_test" / "_data" / "requirements")
