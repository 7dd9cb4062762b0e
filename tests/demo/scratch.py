# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder build/demo, with the collection installed as a user would, and a vault."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

from ..support.example_key import PASSWORD_OF

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
SCRATCH = CHECKOUT / "build" / "demo"
PROGRAMS = Path(sys.executable).parent
VAULT_PASSWORD = "a passphrase for the demo only"

REGION = "us-east-1"
HOST = f"email-smtp.{REGION}.amazonaws.com"
#: Of AWS's public example key, as others published it.
PUBLISHED = PASSWORD_OF[REGION]


def prepare() -> None:
    """Make the folder anew, and install the collection from this checkout into it."""
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
        "display_skipped_hosts=false\n"
    )
    step("Install the collection from this checkout")
    run("ansible-galaxy", "collection", "install", str(CHECKOUT), "-p", str(SCRATCH))
    print(f"in {SCRATCH}")


def vaults(keys: t.Mapping[str, tuple[str, str]]) -> None:
    """Make a vault of each name, with an access key ID and its secret, in one call."""
    step("Encrypt the access key with ansible-vault")
    paths = [SCRATCH / name for name in keys]
    for path, (access_key, secret_key) in zip(paths, keys.values(), strict=True):
        content = {"ses_access_key_id": access_key, "ses_secret_access_key": secret_key}
        path.write_text(json.dumps(content))
    run("ansible-vault", "encrypt", *map(str, paths))
    for path in paths:
        print(f"{path}: {path.read_text().splitlines()[0]} ...")


def step(title: str) -> None:
    """Print the title of a step."""
    print(f"\n== {title}", flush=True)


def run(program: str, *arguments: str, prefix: t.Sequence[str] = ()) -> str:
    """Run one of Ansible's programs that stand beside this Python; return what it printed."""
    done = subprocess.run(
        [*prefix, str(PROGRAMS / program), *arguments],
        env={**os.environ, "ANSIBLE_CONFIG": str(SCRATCH / "ansible.cfg")},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{program} failed:\n{done.stdout}")
    return done.stdout
