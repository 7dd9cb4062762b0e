# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""As root: the role on a Postfix of its own, mail through a stand-in for SES, and a second key.

The machine's own Postfix and its hosts file stay as they are; that is looked at.
"""

from __future__ import annotations

import shutil
import stat
import sys
from pathlib import Path

from ..support.example_key import ACCESS_KEY, SECRET_KEY
from ..support.isolation.hosts_file import loopback_address, with_hosts
from ..support.postfix.scratch_postfix import ScratchPostfix
from ..support.ses.accounts import Account
from ..support.ses.certificate_authority import CertificateAuthority
from ..support.ses.protocol import Listener
from ..support.ses.records import Message
from ..support.ses.stand_in import SesStandIn
from .scratch import HERE, HOST, PUBLISHED, REGION, SCRATCH, prepare, run, step, vaults

FIRST = Account(ACCESS_KEY, SECRET_KEY, ("example.com",))
SECOND = Account(
    "AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002", ("example.com",)
)
FIRST_VAULT, SECOND_VAULT = "vault.yml", "vault-second-key.yml"
DELIVERED_WITHIN = 30.0  # seconds
SETTINGS = (
    "relayhost",
    "smtp_sasl_auth_enable",
    "smtp_sasl_password_maps",
    "smtp_sasl_security_options",
    "smtp_sasl_tls_security_options",
    "smtp_tls_security_level",
    "smtp_tls_CAfile",
)


def main() -> int:
    """Run it; return the exit status."""
    before = machine()
    prepare()
    vaults(
        {
            FIRST_VAULT: (FIRST.access_key, FIRST.secret_key),
            SECOND_VAULT: (SECOND.access_key, SECOND.secret_key),
        }
    )
    shutil.copy(HERE / "relay.yml", SCRATCH)
    (SCRATCH / "authority").mkdir()
    authority = CertificateAuthority(SCRATCH / "authority")
    address = loopback_address()
    listener = Listener(REGION, authority.issue_for_region(REGION), address, 587)
    with (
        SesStandIn([listener], [FIRST, SECOND]) as ses,
        ScratchPostfix({HOST: address}) as postfix,
    ):
        step("Start a Postfix of its own, and a stand-in for SES")
        version = postfix.get("mail_version")
        print(f"Postfix {version} in {postfix.directory}: etc, queue, data and log")
        print(f"SES in {REGION} on {address}:587, which is {HOST} for this Postfix and this play;")
        print(f"its certificate is of {authority.ca_file}")
        right = deliver(postfix, ses, authority)
        # The instance is gone after this.
        shutil.copytree(postfix.config_directory, SCRATCH / "etc")
        shutil.copy(postfix.log_file, SCRATCH)

    step("What is left")
    print(f"{SCRATCH}: the vaults, and of the Postfix that has ended now its etc and its maillog")
    if machine() != before:
        print("/etc/postfix or /etc/hosts is not what it was", file=sys.stderr)
        return 1
    print("/etc/postfix and /etc/hosts are as they were before")
    return 0 if right else 1


def deliver(postfix: ScratchPostfix, ses: SesStandIn, authority: CertificateAuthority) -> bool:
    """Have mail delivered with one key and then with the other; whether it came with them."""
    step(f"Run the playbook {SCRATCH / 'relay.yml'}")
    play(postfix, authority, FIRST_VAULT)

    step("What it has set in main.cf")
    print(postfix.run("postconf", *SETTINGS).strip())

    source = postfix.config_directory / "sasl_passwd"
    step(f"{source} (mode {stat.S_IMODE(source.stat().st_mode):04o})")
    entry = source.read_text().strip()
    print(entry)
    as_published = entry == f"[{HOST}]:587 {ACCESS_KEY}:{PUBLISHED}"
    print(f"The password is {'' if as_published else 'NOT '}the published one, {PUBLISHED}")

    step("Send a message, and see it arrive")
    postfix.send("The first message", sender="app@example.com")
    first = ses.recorder.wait_for_messages(1, DELIVERED_WITHIN)[0]
    show(first)

    step(f"Rotate: the same playbook with {SECOND_VAULT}")
    play(postfix, authority, SECOND_VAULT)
    postfix.send("After the rotation", sender="app@example.com")
    second = ses.recorder.wait_for_messages(2, DELIVERED_WITHIN)[1]
    show(second)
    users = (first.username, second.username)
    return as_published and users == (FIRST.access_key, SECOND.access_key)


def play(postfix: ScratchPostfix, authority: CertificateAuthority, vault: str) -> None:
    """Run the playbook, which finds SES by the hosts file of this Postfix."""
    variables = [
        f"@{SCRATCH / vault}",
        f"demo_config_directory={postfix.config_directory}",
        f"demo_ca_file={authority.ca_file}",
    ]
    options = [f"--extra-vars={variable}" for variable in variables]
    in_its_place = with_hosts(postfix.directory / "hosts", [])
    playbook = str(SCRATCH / "relay.yml")
    print(run("ansible-playbook", *options, playbook, prefix=in_its_place).strip())


def show(message: Message) -> None:
    """Print a message as SES has got it."""
    print(f"from {message.mail_from} to {', '.join(message.recipients)}")
    print(f"SMTP user {message.username}, {message.tls_version}, region {message.region}")
    _header, _blank, body = message.data.decode().partition("\r\n\r\n")
    print(f"body: {body.strip()}")


def machine() -> dict[Path, tuple[int, int]]:
    """The machine's own files that must stay, with inode and time of the last change."""
    files = [Path("/etc/hosts"), *Path("/etc/postfix").rglob("*")]
    return {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in files}
