# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox of examples and guides shows nothing of the machine's own Postfix."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.isolation.own_etc import over_etc, with_own_etc

pytestmark = [pytest.mark.root, pytest.mark.postfix]

#: Everything that a module or an example could read of a Postfix and its host.
LOOK = """
postconf -n; postconf -M; postmulti -l
ls -A /etc/postfix; cat /etc/postfix/main.cf /etc/postfix/master.cf
cat /etc/aliases /etc/mailname /etc/hosts
postfix status
"""
#: The /etc of a host that relays already, by path. Every setting names machine.example.
MACHINE = {
    "postfix/main.cf": """\
compatibility_level = 3.6
myhostname = machine.example
queue_directory = {queue}
default_database_type = btree
relayhost = [relay.machine.example]:587
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:/etc/postfix/sasl_passwd
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = may
transport_maps = inline:{{*=smtp:[machine.example]}}
multi_instance_enable = yes
multi_instance_directories = /etc/postfix-machine.example
""",
    "postfix/master.cf": "smtp unix - - n - - smtp -o myhostname=machine.example\n",
    "postfix/sasl_passwd": "[relay.machine.example]:587 machine.example:OfTheMachine\n",
    "postfix-machine.example/main.cf": "multi_instance_name = postfix-machine.example\n",
    "aliases": "root: root@machine.example\n",
    "mailname": "machine.example\n",
    "hosts": "127.0.0.9 email-smtp.eu-west-1.amazonaws.com machine.example\n",
}


def look(command: list[str]) -> str:
    """What ``command`` prints, without the process ids and times of Postfix's own messages."""
    done = subprocess.run(command, text=True, capture_output=True, timeout=60, check=False)
    return re.sub(r"(?m)^post\w+(/[\w-]+\[\d+\])?: ", "", done.stdout + done.stderr)


def test_nothing_of_the_machines_postfix_is_seen(tmp_path: Path) -> None:
    """The same on a machine that relays already, with a second instance and an own hosts file."""
    machine, queue = tmp_path / "machine", tmp_path / "machine.example"
    (queue / "pid").mkdir(parents=True)
    for name, content in MACHINE.items():
        path = machine / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.format(queue=queue))
    plain = ["sh", "-c", LOOK]
    # The machine is one on which a test could fail.
    for said in ("relayhost = [relay.machine.example]", "root@machine.example", "127.0.0.9"):
        assert said in look(over_etc(machine, plain))

    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    command = with_own_etc(sandbox, plain)
    seen = look(command)
    assert look(over_etc(machine, command)) == seen
    assert "machine.example" not in seen
    assert f"queue_directory = {sandbox}/queue" in seen
