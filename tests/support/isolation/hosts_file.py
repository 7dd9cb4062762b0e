# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of one's own choosing for a few processes, without touching the machine's hosts file."""

from __future__ import annotations

import itertools
import os
import socket
import typing as t
from pathlib import Path

_COUNTER = itertools.count(1)
_SCRIPT = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'


def loopback_address() -> str:
    """An address in 127.0.0.0/8 that no other caller gets, in this process or beside it.

    On it the ports 587 and 465 are free, whatever listens on the machine's usual addresses.
    """
    pid = os.getpid()
    return f"127.{64 + pid // 256 % 64}.{pid % 256}.{next(_COUNTER) % 254 + 1}"


def write_hosts(path: Path, addresses: t.Mapping[str, str]) -> None:
    """Make ``path`` a hosts file with these names (name to address), localhost and our own.

    Our own because Cyrus SASL looks up the name of the machine at every login, and would wait for
    a name server.
    """
    lines = [
        f"127.0.0.1 localhost {socket.gethostname()}",
        *(f"{address} {name}" for name, address in addresses.items()),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    path.chmod(0o644)


def with_hosts(path: Path, command: t.Sequence[str]) -> list[str]:
    """``command``, to be run (as root) so that it and its children see ``path`` as /etc/hosts.

    They get a mount namespace of their own (unshare(1), of util-linux), everything else stays
    shared: files, network and process ids.
    """
    shell = ["sh", "-c", _SCRIPT, "with-hosts", str(path)]
    return ["unshare", "--mount", "--propagation", "private", *shell, *command]
