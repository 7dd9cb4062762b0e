# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The derivation and its filter, against the bare HMAC chain and against a program a password."""

from __future__ import annotations

import base64
import hmac
import os
import random
import string
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

REGION = "eu-west-1"
CREDENTIALS = 10_000
PIPED = 100
ROUNDS = 7

PROGRAM = Path(__file__).with_name("aws_page_style.py")
FILTER = "{% for key in keys %}{{ key | mailops.ses.ses_smtp_password(region) }}\n{% endfor %}"
PIPE = (
    "{% for key in keys %}{{ lookup('pipe', 'AWS_SECRET_ACCESS_KEY=' ~ (key | quote) ~ command) }}"
    "\n{% endfor %}"
)


def main() -> None:
    """Print the ratios."""
    init_plugin_loader()  # before the collection is imported, so that Ansible's own importer does it
    from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import (
        derive_password,
    )

    rng = random.Random(1)
    alphabet = string.ascii_letters + string.digits + "+/"
    keys = ["".join(rng.choices(alphabet, k=40)) for _dummy in range(CREDENTIALS)]

    expected = bare_chain(keys)
    if [derive_password(key, REGION) for key in keys] != expected:
        raise SystemExit("the derivation and the bare chain disagree")
    if rendered(FILTER, keys).split() != expected:
        raise SystemExit("the filter and the bare chain disagree")
    if rendered(PIPE, keys[:3]).split() != expected[:3]:
        raise SystemExit("the AWS-page-style program and the bare chain disagree")

    # In turn, round by round, so that a noisy moment of the machine hits them alike.
    bare, derived, filtered = best_of(
        lambda: bare_chain(keys),
        lambda: [derive_password(key, REGION) for key in keys],
        lambda: rendered(FILTER, keys),
    )
    started = time.perf_counter()
    rendered(PIPE, keys[:PIPED])
    piped = (time.perf_counter() - started) * CREDENTIALS / PIPED
    without, imported = best_of(
        lambda: python("import ansible.template"),
        lambda: python(
            "import ansible.template\n"
            "import ansible_collections.mailops.ses.plugins.filter.ses_smtp_password"
        ),
    )

    print(f"{CREDENTIALS:,} SMTP passwords from as many secret access keys")
    print(f"  bare HMAC chain in a Python loop       {bare:8.3f} s   1")
    print(f"  derive_password, with all its checks   {derived:8.3f} s   {derived / bare:.2f}")
    print(f"  the filter, in one template            {filtered:8.3f} s   {filtered / bare:.2f}")
    print(
        f"  lookup('pipe') of an AWS-style program {piped:8.1f} s   {piped / bare:,.0f}"
        f"   ({piped / filtered:,.0f} x the filter; extrapolated from {PIPED})"
    )
    print("Import of the filter and its modules")
    print(f"  Python with ansible.template           {without:8.3f} s   1")
    print(f"  and with the filter                    {imported:8.3f} s   {imported / without:.3f}")


def bare_chain(keys: list[str]) -> list[str]:
    """Return the version 4 passwords of ``keys``, without a check of anything."""
    passwords = []
    for secret in keys:
        key = hmac.digest(b"AWS4" + secret.encode(), b"11111111", "sha256")
        for message in (REGION.encode(), b"ses", b"aws4_request", b"SendRawEmail"):
            key = hmac.digest(key, message, "sha256")
        passwords.append(base64.b64encode(b"\x04" + key).decode())
    return passwords


def rendered(template: str, keys: list[str]) -> str:
    """Render ``template`` as ansible-core does."""
    templar = Templar(
        loader=DataLoader(),
        variables={
            "keys": keys,
            "region": REGION,
            "command": f" {sys.executable} {PROGRAM} {REGION}",
        },
    )
    return str(templar.template(trust_as_template(template)))


def python(code: str) -> None:
    """Run ``code`` in a Python of its own that finds what this one finds."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def best_of(*functions: t.Callable[[], object]) -> list[float]:
    """Return each function's shortest time in seconds."""
    best = [float("inf")] * len(functions)
    for _dummy in range(ROUNDS):
        for index, function in enumerate(functions):
            started = time.perf_counter()
            function()
            best[index] = min(best[index], time.perf_counter() - started)
    return best
