# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways to become root on a host over SSH, each as a host of an inventory."""

from __future__ import annotations

import json
import typing as t

from .host import Host
from .network import HostNetwork

#: The password of root, and of the login users that sudo asks for one.
PASSWORD = "for a test"

_SUDO = {"ansible_become": True, "ansible_become_method": "ansible.builtin.sudo"}
_SU = {"ansible_become": True, "ansible_become_method": "ansible.builtin.su"}
_PASSWORD = {"ansible_become_password": PASSWORD}

#: By name: the login user, and the variables with which Ansible becomes root.
LOGINS: t.Mapping[str, tuple[str, t.Mapping[str, t.Any]]] = {
    "sudo": ("deploy", _SUDO),
    "sudo-with-password": ("engineer", {**_SUDO, **_PASSWORD}),
    "su": ("guest", {**_SU, **_PASSWORD}),
    "root": ("root", {}),
}

_ADD_USERS = """
useradd() { command useradd -m -s /bin/sh "$1"; mkdir -m 700 "/home/$1/.ssh"
            cp /root/.ssh/authorized_keys "/home/$1/.ssh/"; chown -R "$1:" "/home/$1/.ssh"; }
useradd deploy; useradd engineer; useradd guest
printf '%s\\n' "root:$1" "engineer:$1" | chpasswd
printf '%s\\n' 'deploy ALL=(ALL) NOPASSWD: ALL' 'engineer ALL=(ALL) ALL' >/etc/sudoers.d/logins
chmod 440 /etc/sudoers.d/logins
"""


def provide_logins(network: HostNetwork, host: Host) -> None:
    """Make the login users on ``host``; the inventory then has LOGINS in place of the hosts."""
    host.run("sh", "-euc", _ADD_USERS, "add users", PASSWORD)
    inventory = json.loads(network.inventory.read_text("utf-8"))
    inventory["all"]["hosts"] = {
        name: {**variables, "ansible_host": host.address, "ansible_user": user}
        for name, (user, variables) in LOGINS.items()
    }
    network.inventory.write_text(json.dumps(inventory, indent=2), "utf-8")
