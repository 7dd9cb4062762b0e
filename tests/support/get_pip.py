# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pip bootstrap for ansible-test's virtual environments, with nothing to download.

ansible-test runs the file that ansible_test_home.py puts into its cache as it would run the
get-pip.py of pip's authors, with the packages to install as arguments. This one takes pip from
the wheel inside the interpreter, and that pip installs the packages (pip itself, of the version
that ansible-test wants) from the package index that this machine's pip is set up with.
"""

from __future__ import annotations

import ensurepip
import os
import subprocess
import sys

#: Options of get-pip.py that are none of pip's own.
GET_PIP_OPTIONS = {"--no-setuptools", "--no-wheel"}


def main() -> int:
    """Bootstrap pip and return the exit status of its first run."""
    environment = dict(os.environ)  # ensurepip turns pip's configuration off in os.environ
    ensurepip.bootstrap(upgrade=True)
    wanted = [argument for argument in sys.argv[1:] if argument not in GET_PIP_OPTIONS]
    return subprocess.call([sys.executable, "-m", "pip", "install", *wanted], env=environment)


if __name__ == "__main__":
    sys.exit(main())
