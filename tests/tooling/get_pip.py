# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pip bootstrap for ansible-test's virtual environments, with nothing to download.

ansible-test runs the file that ansible_test_home.py puts into its cache as it would run the
get-pip.py of pip's authors, with the packages to install as arguments. This one runs the pip that
lies as a wheel beside the interpreter's ensurepip, and that pip installs the packages (pip itself,
of the version that ansible-test wants) from the package index that this machine's pip is set up
with. A wheel runs as it is: nothing is installed first, only to be replaced.
"""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

#: Options of get-pip.py that are none of pip's own.
GET_PIP_OPTIONS = {"--no-setuptools", "--no-wheel"}


def pip_wheel() -> Path:
    """Where this interpreter has pip; some distributions keep it in a folder of their own."""
    folder = sysconfig.get_config_var("WHEEL_PKG_DIR")
    wheels = Path(folder) if folder else Path(ensurepip.__file__).with_name("_bundled")
    return next(wheels.glob(f"pip-{ensurepip.version()}-*.whl"))


def main() -> int:
    """Install the packages and return the exit status of pip."""
    wanted = [argument for argument in sys.argv[1:] if argument not in GET_PIP_OPTIONS]
    environment = {**os.environ, "PYTHONPATH": str(pip_wheel())}
    return subprocess.call([sys.executable, "-m", "pip", "install", *wanted], env=environment)


if __name__ == "__main__":
    sys.exit(main())
