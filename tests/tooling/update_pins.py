# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets every pin in tests/requirements to the newest version that its Python can install.

As a program: ``python -m tests.tooling.update_pins``, which ``make pins`` does. pip decides what is
newest, for the lowest Python that a pin's marker allows. A line with ``# held`` stays as it is, and
ansible-core stays with each minor.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

from . import interpreters

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
#: The lowest Python that a file without markers is installed on; what is not here is a tool's, which
#: run on what the newest ansible-core runs on.
LOWEST_PYTHON = {"functional": "3.10", "nox": "3.11", "uv": "3.11"}
LOWEST_PYTHON_OF_TOOLS = "3.12"

_PIN = re.compile(r'([A-Za-z0-9._-]+)==([^\s;]+)(?:; python_version (?:==|>=) "([0-9.]+)")?\Z')

Newest = t.Callable[[str, str], str]


def repin(text: str, python: str, newest: Newest) -> str:
    """A requirements file with the newest versions; ``newest`` tells one by name and Python.

    :raises ValueError: for a line that is no exact pin, so that none can be overlooked.
    """
    return "".join(
        _repinned(line.rstrip("\n"), python, newest) + "\n" for line in text.splitlines()
    )


def _repinned(line: str, python: str, newest: Newest) -> str:
    if not line or line.startswith(("#", "-r ")) or "# held" in line:
        return line
    match = _PIN.match(line)
    if match is None:
        raise ValueError(f"not an exact pin with one of the markers in use: {line!r}")
    name, version, marker = match.groups()
    python = marker or python
    if name == "ansible-core":
        minor = ".".join(version.split(".")[:2])
        name = interpreters.any_ansible_core(minor)
        python = min(interpreters.CONTROLLER_PYTHONS[minor], key=interpreters.as_tuple)
    return line.replace(f"=={version}", f"=={newest(name, python)}", 1)


def ask_pip(requirement: str, python: str) -> str:
    """The newest version that meets ``requirement`` and installs on ``python``, as pip finds it."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        # Another Python's packages need a target, into which a dry run puts nothing.
        elsewhere = ["--python-version", python, "--only-binary", ":all:", "--target", folder]
        command = ["install", "-q", "--dry-run", "--no-deps", "--ignore-installed", *elsewhere]
        subprocess.run(
            [sys.executable, "-m", "pip", *command, "--report", str(report), requirement],
            check=True,
        )
        (found,) = json.loads(report.read_text(encoding="utf-8"))["install"]
        return str(found["metadata"]["version"])


def main() -> None:
    """Update all files, and say what has changed."""
    for path in sorted(REQUIREMENTS.glob("*.txt")):
        if path.stem == "debian":
            continue
        before = path.read_text(encoding="utf-8")
        after = repin(before, LOWEST_PYTHON.get(path.stem, LOWEST_PYTHON_OF_TOOLS), ask_pip)
        path.write_text(after, encoding="utf-8")
        for old, new in zip(before.splitlines(), after.splitlines(), strict=True):
            if old != new:
                sys.stdout.write(f"{path.name}: {old} -> {new}\n")


if __name__ == "__main__":
    main()
