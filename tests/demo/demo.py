# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make demo`: from a vaulted key to Postfix's password file, in a scratch folder.

It installs the collection from this checkout as a user would, encrypts AWS's public example key
with ansible-vault, runs playbook.yml, and compares the password with a published test vector.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
SCRATCH = CHECKOUT / "build" / "demo"
PROGRAMS = Path(sys.executable).parent
VAULT_PASSWORD = "a passphrase for the demo only"

# AWS's public example key, and the vector that others published for it.
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "us-east-1"


def main() -> int:
    """Run the demo; return the exit status."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    (SCRATCH / "vault-password").write_text(VAULT_PASSWORD + "\n")
    (SCRATCH / "hosts").write_text(
        f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n"
    )
    (SCRATCH / "ansible.cfg").write_text(
        "[defaults]\n"
        f"collections_path={SCRATCH}\ninventory={SCRATCH}/hosts\n"
        f"vault_password_file={SCRATCH}/vault-password\n"
    )

    step("Install the collection from this checkout")
    run("ansible-galaxy", "collection", "install", str(CHECKOUT), "-p", str(SCRATCH))

    step("Encrypt the access key with ansible-vault")
    shutil.copy(HERE / "playbook.yml", SCRATCH)
    vault = SCRATCH / "vault.yml"
    vault.write_text(f"ses_access_key_id: {ACCESS_KEY}\nses_secret_access_key: {SECRET_KEY}\n")
    run("ansible-vault", "encrypt", str(vault))
    print(vault.read_text().splitlines()[0], "...")

    step("Run the playbook")
    print(
        run(
            "ansible-playbook",
            f"--extra-vars=demo_directory={SCRATCH}",
            str(SCRATCH / "playbook.yml"),
        ).strip()
    )

    for name in ("sasl_passwd", "main.cf.ses"):
        path = SCRATCH / name
        step(f"{path} (mode {stat.S_IMODE(path.stat().st_mode):04o})")
        print(path.read_text().strip())

    step("Compare with the published test vector")
    expected = published_password()
    line = f"[email-smtp.{REGION}.amazonaws.com]:587 {ACCESS_KEY}:{expected}"
    if (SCRATCH / "sasl_passwd").read_text().strip() != line:
        print(f"sasl_passwd does not hold the published password {expected}", file=sys.stderr)
        return 1
    if stat.S_IMODE((SCRATCH / "sasl_passwd").stat().st_mode) != 0o600:
        print("sasl_passwd is readable by others", file=sys.stderr)
        return 1
    print(f"The password of {ACCESS_KEY} for {REGION} is {expected}, as published.")
    return 0


def published_password() -> str:
    """Return the version 4 password of the example key from the published vectors."""
    vectors = json.loads((HERE.parent / "support" / "vectors.json").read_text())["vectors"]
    (password,) = (
        row["smtp_password"]
        for row in vectors
        if (row["version"], row["secret_access_key"], row["region"]) == (4, SECRET_KEY, REGION)
    )
    return str(password)


def step(title: str) -> None:
    """Print the title of a step."""
    print(f"\n== {title}", flush=True)


def run(program: str, *arguments: str) -> str:
    """Run one of Ansible's programs that stand beside this Python; return what it printed."""
    done = subprocess.run(
        [PROGRAMS / program, *arguments],
        env={**os.environ, "ANSIBLE_CONFIG": str(SCRATCH / "ansible.cfg")},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{program} failed:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
