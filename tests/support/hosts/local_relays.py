# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many relays on the controller of a network of hosts, each a Postfix instance of its own.

To Ansible each is a host that needs no connection. Somebody has set them up by hand.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import sys
import typing as t
from pathlib import Path

from ..postfix.scratch_postfix import ScratchPostfix
from ..ses.accounts import SMTP_REGIONS, Account, password_v4
from .network import HostNetwork, ses_address

_AT_ONCE = 8


class _Relay(ScratchPostfix):
    """One of them; it has its map before it starts."""

    def __init__(self, source: str, *arguments: t.Any) -> None:
        super().__init__(*arguments)
        self._source = source

    def start(self) -> None:
        """Make the map, name it and start."""
        self.map.touch(mode=0o600)
        self.map.write_text(self._source)
        self.run("postmap", f"hash:{self.map}")
        self.set({"smtp_sasl_password_maps": f"hash:{self.map}"})
        super().start()

    @property
    def map(self) -> Path:
        """The source of its password map."""
        return self.config_directory / "sasl_passwd"


class LocalRelays:
    """``count`` relays through SES in a region of ``network``; a context manager."""

    def __init__(
        self, network: HostNetwork, count: int, ca_file: Path, *, region: str, account: Account
    ) -> None:
        hosts = {f"email-smtp.{each}.amazonaws.com": ses_address(each) for each in SMTP_REGIONS}
        network.let_the_controller_resolve(hosts)
        destination = f"[email-smtp.{region}.amazonaws.com]:587"
        settings = {
            # What the relays share is the controller's address: no listeners.
            "master_service_disable": "inet",
            "relayhost": destination,
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_security_options": "noanonymous, noplaintext",
            "smtp_sasl_tls_security_options": "noanonymous",
            "smtp_tls_security_level": "secure",
            "smtp_tls_CAfile": str(ca_file),
            # Every message logs in anew, so every message depends on the map as it is then.
            "smtp_connection_cache_on_demand": "no",
        }
        login = f"{account.access_key}:{password_v4(account.secret_key, region)}"
        source = f"# by hand\n{destination} {login}\n"
        self.relays = {
            f"local{number:02}": _Relay(source, hosts, settings, network.beside_the_controller())
            for number in range(count)
        }
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> LocalRelays:
        with self._stack:
            # All of them, so that those that did start are closed if one does not.
            with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as executor:
                starting = [executor.submit(each.__enter__) for each in self.relays.values()]
            for each in starting:
                if each.exception() is None:
                    self._stack.push(each.result().__exit__)
            for each in starting:
                each.result()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def write_inventory(self, path: Path) -> None:
        """An inventory of them alone. To Postfix's programs, each is the default instance."""
        hosts = {}
        for name, relay in self.relays.items():
            python = path.with_name(f"{name}.python")
            command = f"MAIL_CONFIG={relay.config_directory} exec {sys.executable}"
            python.write_text(f'#!/bin/sh\n{command} "$@"\n', "utf-8")
            python.chmod(0o755)
            hosts[name] = {
                "ansible_connection": "local",
                "ansible_python_interpreter": str(python),
                "postfix_relay_config_directory": str(relay.config_directory),
            }
        path.write_text(json.dumps({"all": {"hosts": hosts}}), "utf-8")

    def send(self, name: str, subject: str) -> None:
        """Hand in a message on one of them."""
        letter = f"From: sender@example.com\nTo: to@example.net\nSubject: {subject}\n\n{subject}\n"
        self.relays[name].run("sendmail", "-f", "sender@example.com", "to@example.net", text=letter)

    def kept(self) -> set[str]:
        """Those with a rotation that is pending."""
        name = ".sasl_passwd.mailops.former"
        return {each for each, relay in self.relays.items() if (relay.map.parent / name).exists()}

    def with_key(self, account: Account) -> set[str]:
        """Those that log in with this key."""
        return {
            each
            for each, relay in self.relays.items()
            if account.access_key in relay.map.read_text("utf-8")
        }

    def files(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Inode and time of the last change of all files in their configuration directories."""
        return {
            each: dict(_identities(relay.config_directory)) for each, relay in self.relays.items()
        }


def _identities(directory: Path) -> t.Iterator[tuple[str, tuple[int, int]]]:
    for path in directory.iterdir():
        # A module that outlives its controller may remove what it works in.
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            yield path.name, (status.st_ino, status.st_mtime_ns)
