# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts a copy of the checkout where ansible-core wants a collection: ansible_collections/mailops/ses.

A checkout may lie in any folder, so that everything that runs Ansible runs from such a copy.
As a program: ``python tests/tooling/staging.py FOLDER`` makes FOLDER/ansible_collections/mailops/ses.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PLACE = Path("ansible_collections", "mailops", "ses")


def listed_files(checkout: Path = CHECKOUT) -> list[str]:
    """The checkout's files that git knows, or would add, as sorted relative paths.

    Ignored files (caches, builds) and files that are deleted but not committed yet are left out.
    """
    # Root may test a checkout that somebody else owns; listing it is harmless.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "-c", "-o", "--exclude-standard"]
    listing = subprocess.run(command, cwd=str(checkout), check=True, stdout=subprocess.PIPE)
    names = listing.stdout.decode().split("\0")
    return sorted(name for name in names if name and (checkout / name).is_file())


def stage(folder: Path, checkout: Path = CHECKOUT) -> Path:
    """Make a fresh copy below ``folder``, a collections path, and return the collection's root."""
    root = folder / PLACE
    if root.exists():
        shutil.rmtree(str(root))
    root.mkdir(parents=True)
    for name in listed_files(checkout):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(str(checkout / name), str(target), follow_symlinks=False)
    # ansible-test looks for a repository upwards. It would find the checkout's, in which all of
    # this is ignored, and pass having looked at no file.
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    return root


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
