# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pip bootstrap for ansible-test's virtual environments, with nothing to download.

ansible-test runs the file that ansible_test_home.py puts into its cache as it would run the
get-pip.py of pip's authors, with the packages to install as arguments. This one runs the pip that
lies as a wheel beside the interpreter's ensurepip, and that pip installs the packages (pip itself,
of the version that ansible-test wants) from the package index that this machine's pip is set up
with. A wheel runs as it is: nothing is installed first, only to be replaced.

ansible-test makes up to ten environments in one run. What was installed into the first one of a
Python is kept beside this file, and linked into the others of this Python.
"""

from __future__ import annotations

import ensurepip
import os
import shutil
import subprocess
import sys
import sysconfig
import typing as t
from pathlib import Path

#: Options of get-pip.py that are none of pip's own.
GET_PIP_OPTIONS = {"--no-setuptools", "--no-wheel"}


def pip_wheel() -> Path:
    """Where this interpreter has pip; some distributions keep it in a folder of their own."""
    folder = sysconfig.get_config_var("WHEEL_PKG_DIR")
    wheels = Path(folder) if folder else Path(ensurepip.__file__).with_name("_bundled")
    return next(wheels.glob(f"pip-{ensurepip.version()}-*.whl"))


def name_kept(packages: t.Sequence[str]) -> Path:
    """Where the installed ``packages``, as ``pip==25.2``, are kept for other environments."""
    python = "python{}.{}".format(*sys.version_info)
    return Path(__file__).resolve().with_name("-".join(["installed", python, *packages]))


def link_all(source: Path, target: Path) -> None:
    """Link what is in ``source`` into ``target``."""
    for path in source.iterdir():
        if path.is_dir():
            shutil.copytree(str(path), str(target / path.name), copy_function=os.link)
        else:
            os.link(str(path), str(target / path.name))


def keep(source: Path, kept: Path) -> None:
    """Keep what is in ``source`` as ``kept``, which is there as a whole or not at all."""
    partial = kept.with_name(f"{kept.name}.partial")
    shutil.rmtree(str(partial), ignore_errors=True)
    partial.mkdir()
    link_all(source, partial)
    partial.rename(kept)


def main() -> int:
    """Install the packages and return the exit status of pip."""
    wanted = [argument for argument in sys.argv[1:] if argument not in GET_PIP_OPTIONS]
    site_packages = Path(sysconfig.get_path("purelib"))
    kept = name_kept([argument for argument in wanted if not argument.startswith("-")])
    is_empty = not any(site_packages.iterdir())
    if is_empty and kept.exists():
        link_all(kept, site_packages)
        return 0
    environment = {**os.environ, "PYTHONPATH": str(pip_wheel())}
    status = subprocess.call([sys.executable, "-m", "pip", "install", *wanted], env=environment)
    if is_empty and status == 0:
        keep(site_packages, kept)
    return status


if __name__ == "__main__":
    sys.exit(main())
