# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Without root: a playbook with a vaulted key writes Postfix's password file into build/demo.

The password is compared with a published test vector.
"""

from __future__ import annotations

import shutil
import stat
import sys

from ..support.example_key import ACCESS_KEY, SECRET_KEY
from .scratch import HERE, HOST, PUBLISHED, REGION, SCRATCH, prepare, run, step, vaults


def main() -> int:
    """Run it; return the exit status."""
    prepare()
    vaults({"vault.yml": (ACCESS_KEY, SECRET_KEY)})
    step("Run the playbook")
    shutil.copy(HERE / "password_file.yml", SCRATCH)
    playbook = str(SCRATCH / "password_file.yml")
    print(run("ansible-playbook", f"--extra-vars=demo_directory={SCRATCH}", playbook).strip())

    for name in ("sasl_passwd", "main.cf.ses"):
        path = SCRATCH / name
        step(f"{path} (mode {stat.S_IMODE(path.stat().st_mode):04o})")
        print(path.read_text().strip())

    step("Compare with the published test vector")
    line = f"[{HOST}]:587 {ACCESS_KEY}:{PUBLISHED}"
    if (SCRATCH / "sasl_passwd").read_text().strip() != line:
        print(f"sasl_passwd does not hold the published password {PUBLISHED}", file=sys.stderr)
        return 1
    if stat.S_IMODE((SCRATCH / "sasl_passwd").stat().st_mode) != 0o600:
        print("sasl_passwd is readable by others", file=sys.stderr)
        return 1
    print(f"The password of {ACCESS_KEY} for {REGION} is {PUBLISHED}, as published.")
    return 0
