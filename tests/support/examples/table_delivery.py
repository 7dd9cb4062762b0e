# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail through the password map that an example of the documentation has written in a sandbox.

Before the example there is one with an outdated password, so that writing its source alone is not
enough.
"""

from __future__ import annotations

import re
import shlex

from ..example_key import ACCESS_KEY
from ..postfix.scratch_postfix import ScratchPostfix
from ..ses.stand_in import SesStandIn
from ..waiting import comes_true
from .sandbox import Sandbox

#: What writes a password map, but no main.cf.
WRITES_MAP = re.compile(r"dest: /etc/postfix/sasl_passwd|mailops\.ses\.postfix_sasl_passwd:")
_MAP = "/etc/postfix/sasl_passwd"


def key_of(region: str) -> str:
    """The map's key for a region."""
    return f"[email-smtp.{region}.amazonaws.com]:587"


def write_outdated_map(sandbox: Sandbox, region: str) -> None:
    """Write and compile a map with an outdated password."""
    line = shlex.quote(f"{key_of(region)} {ACCESS_KEY}:outdated")
    sandbox.run(f"umask 077; printf '%s\\n' {line} >{_MAP}; postmap {_MAP}")


def check_mail_arrives(sandbox: Sandbox, ses: SesStandIn, region: str) -> None:
    """Send a message with a Postfix that has the map; fails unless SES gets it."""
    before = len(ses.messages)
    hosts = {
        f"email-smtp.{listener.region}.amazonaws.com": listener.address
        for listener in ses.listeners
    }
    table_type = sandbox.run("postconf -h default_database_type").strip()
    settings = {
        "relayhost": key_of(region),
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_password_maps": f"{table_type}:{sandbox.directory}{_MAP}",
        "smtp_sasl_tls_security_options": "noanonymous",
        "smtp_tls_security_level": "secure",
        "smtp_tls_CAfile": sandbox.environment["SSL_CERT_FILE"],
    }
    with ScratchPostfix(hosts, settings) as postfix:
        postfix.send("through the example's map")
        assert comes_true(lambda: bool(postfix.deliveries())), postfix.log()
        (delivery, *_more) = postfix.deliveries()
    assert delivery.status == "sent", delivery
    assert len(ses.messages) == before + 1
