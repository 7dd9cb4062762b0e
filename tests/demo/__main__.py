# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make demo`: from a vaulted key to delivered mail, or without root to Postfix's password file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from . import password_file

# Where `make test` looks for what did not run.
LEFT_OUT = """
== What root would add
NOT RUN: the role on a Postfix of its own, and mail with two keys through a stand-in for SES
That needs {lacking}. As root on Debian, `make demo` installs Postfix and shows it all.\
"""


def lacking() -> str:
    """What this machine lacks for the whole demo, empty if nothing."""
    if os.geteuid() != 0:
        return "root"
    if shutil.which("postfix", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin") is None:
        return "Postfix"
    # Names of one's own need a mount, which not every container allows.
    probe = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    return "the right to mount" if probe.returncode else ""


def main() -> int:
    """Show as much as there can be; return the exit status."""
    reason = lacking()
    if not reason:
        # What it imports is installed for root alone, see the noxfile.
        from . import relay

        return relay.main()
    if os.environ.get("CI") and os.geteuid() == 0:
        print(f"In CI the whole demo must run; this machine lacks {reason}", file=sys.stderr)
        return 1
    status = password_file.main()
    print(LEFT_OUT.format(lacking=reason))
    return status


if __name__ == "__main__":
    sys.exit(main())
