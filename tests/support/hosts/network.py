# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network of hosts, a controller and SES, cut off from everything else. Needs root.

::

    with HostNetwork(tmp_path) as net:
        authority = CertificateAuthority(tmp_path)
        bullseye, trixie = net.boot("bullseye", "trixie")
        trixie.trust(authority.ca_file)
        with net.ses(["eu-west-1"], authority, [account]) as ses:
            net.ansible.checked("ansible-playbook", playbook, "--limit", "trixie")
            with net.blocked(ses_address("eu-west-1")):
                ...

The controller is a network namespace that has a cable to each host and one to SES, and passes
packets between them; there is no way out. Names are those of SES in all regions.

Everything belongs to one process, which is process 1 of a pid namespace and the first in its
mount and network namespaces. It ends with the ``with`` block, and also with this program, however
that ends; the kernel then ends all other processes and takes the namespaces and mounts away.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import types
import typing as t
from pathlib import Path

from ..isolation.hosts_file import write_hosts
from ..running.ansible_cli import AnsibleCli
from ..ses.accounts import SMTP_REGIONS, Account
from ..ses.behaviour import Behaviour
from ..ses.certificate_authority import CertificateAuthority, endpoint_names
from ..ses.program import StandInProgram
from ..ses.protocol import Listener, Mode
from .host import DOMAIN, Host
from .roots import RELEASES, offering, root_file_systems

_CONTROLLER = "10.77.0.1"
_FIRST_HOST = 11  # as in 10.77.0.11
_SES = "10.77.1.1"
_SES_NETWORK = "10.77.1.0/24"
_FIRST_REGION = 11  # as in 10.77.1.11
_NAME_SERVER = "10.77.1.2"

_COMMAND_TIMEOUT = 30.0  # seconds, for what takes none
_END_TIMEOUT = 20.0  # seconds

#: The ports of SES's SMTP endpoints, by the way they do TLS.
PORTS: t.Mapping[int, Mode] = types.MappingProxyType(
    {
        25: Mode.STARTTLS,
        587: Mode.STARTTLS,
        2587: Mode.STARTTLS,
        465: Mode.WRAPPER,
        2465: Mode.WRAPPER,
    }
)

# All addresses of SES's network are the namespace's own, so that programs can bind them.
_WIRE_SES = f"""\
link set lo up
link add ses type veth peer name eth0 netns ses
addr add {_CONTROLLER} peer {_SES} dev ses
link set ses up
route add {_SES_NETWORK} via {_SES}
"""
_WIRE_INSIDE_SES = f"""\
link set lo up
addr add {_SES} peer {_CONTROLLER} dev eth0
link set eth0 up
route add local {_SES_NETWORK} dev lo
route add default via {_CONTROLLER}
"""


def ses_address(region: str) -> str:
    """The address of SES's SMTP endpoint in ``region``. Raises ValueError if it has none."""
    return f"10.77.1.{_FIRST_REGION + SMTP_REGIONS.index(region)}"


class HostNetwork:
    """The network, for the length of a ``with`` block.

    ``directory`` must exist; keys, inventory and logs go there.
    """

    ansible: AnsibleCli
    """Ansible's programs on the controller, with all hosts in the inventory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.inventory = directory / "inventory.json"
        self.hosts: list[Host] = []
        self._private_key = directory / "id_ed25519"
        self._known_hosts = directory / "known_hosts"
        self._names = directory / "names.json"
        self._stack = contextlib.ExitStack()
        self._first = 0
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> HostNetwork:
        """Make the network, as yet without hosts. Raises RuntimeError if not root."""
        if os.geteuid() != 0:
            raise RuntimeError("hosts for tests need root: run these tests as root")
        with self._stack:
            self._start_first_process()
            self._wire_ses()
            self._start_name_server()
            key = [str(self._private_key), "-C", "controller", "-N", "", "-q"]
            _call(["ssh-keygen", "-t", "ed25519", "-f", *key])
            self._known_hosts.touch()
            self._write_inventory()
            self._provide_ansible()
            # Up to here a failure undoes all; from here on __exit__ does.
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    # Hosts

    def boot(
        self, *suites: str, names: t.Sequence[str] = (), offered: t.Sequence[str] = ()
    ) -> list[Host]:
        """Boot bare hosts of these releases at once and put them into the inventory.

        A host has the name of its release, a second one NAME-2 and so on, or one of ``names``.
        Besides the usual packages, their repositories have those that are ``offered``.
        """
        roots = root_file_systems(dict.fromkeys(suites))
        layers = {
            suite: [*([offering(suite, offered)] if offered else []), root]
            for suite, root in zip(dict.fromkeys(suites), roots, strict=True)
        }
        booting = [
            self._start_host(suite, name, layers[suite])
            for suite, name in itertools.zip_longest(suites, names)
        ]
        for host in booting:
            host.wait_until_up()
            with self._known_hosts.open("a") as known:
                for key in host.run("sh", "-c", "cat /etc/ssh/ssh_host_*.pub").splitlines():
                    known.write(f"{host.address} {key}\n")
        self._write_inventory()
        return booting

    # SES

    def ses(
        self,
        regions: t.Iterable[str],
        authority: CertificateAuthority,
        accounts: t.Iterable[Account],
        modes: t.Mapping[int, Mode] = PORTS,
    ) -> StandInProgram:
        """The stand-in for SES, to be started with ``with``, on real ports under real names.

        For a man in the middle give it another authority, or ``Mode.STRIPPED`` for a port.
        """
        listeners = [
            Listener(
                region,
                certificate,
                ses_address(region),
                port,
                mode,
                behaviour=Behaviour.of("hosts"),
            )
            for region in regions
            for certificate in [authority.issue_for_region(region)]
            for port, mode in modes.items()
        ]
        spool = self.directory / f"ses-{next(_COUNTER)}"
        spool.mkdir()
        return StandInProgram(spool, listeners, accounts, self._inside_ses())

    def resolve(self, name: str, address: str | None) -> None:
        """Have the name server say this of ``name`` from now on; None for "no such name".

        Another name that the name server knows makes ``name`` an alias (CNAME) of it.
        """
        names: dict[str, str] = json.loads(self._names.read_text("utf-8"))
        names.pop(name, None)
        self._write_names({**names, **({name: address} if address else {})})

    @contextlib.contextmanager
    def blocked(
        self,
        address: str,
        port: int | None = None,
        host: Host | None = None,
        silently: bool = True,
    ) -> t.Iterator[None]:
        """While inside, packets to this address (and port, and from this host only) get lost.

        With ``silently`` false the sender is told at once that the address can't be reached.
        """
        rule = ["to", address]
        if host is not None:
            rule += ["from", host.address]
        if port is not None:
            rule += ["ipproto", "tcp", "dport", str(port)]
        rule += ["type", "blackhole" if silently else "unreachable", "priority", "100"]
        self._call("ip", "rule", "add", *rule)
        try:
            yield
        finally:
            self._call("ip", "rule", "del", *rule)

    @contextlib.contextmanager
    def unplugged(self, host: Host) -> t.Iterator[None]:
        """While inside, the cable between the controller and ``host`` is pulled."""
        cable = f"host{host.address.rpartition('.')[2]}"
        self._call("ip", "link", "set", cable, "down")
        try:
            yield
        finally:
            self._call("ip", "link", "set", cable, "up")
            # The kernel drops the route with the link.
            self._call("ip", "route", "replace", host.address, "dev", cable)

    def beside_the_controller(self) -> list[str]:
        """What to put before a command that is to be in the controller's network, and only that."""
        return ["nsenter", "--target", str(self._first), "--net", "--"]

    def let_the_controller_resolve(self, names: t.Mapping[str, str]) -> None:
        """Have programs on the controller find these names (to addresses), and no others."""
        path = self.directory / "controller-hosts"
        write_hosts(path, names)
        self._call("mount", "--bind", str(path), "/etc/hosts")

    # How it is made

    def _start_first_process(self) -> None:
        # cat ends when our end of its standard input closes, and nobody else has that.
        own = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        process = subprocess.Popen(
            ["unshare", *own, "--propagation", "private", "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us, and we close it
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._stack.callback(self._end, process)
        process.stdin.write(b"up\n")
        process.stdin.flush()
        if process.stdout.readline() != b"up\n":
            raise RuntimeError("no namespaces for the hosts: unshare said why on standard error")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        self._first = int(children)

    def _end(self, first: subprocess.Popen[bytes]) -> None:
        """Close the first process's standard input, and wait until all is gone."""
        assert first.stdin is not None
        assert first.stdout is not None
        first.stdin.close()
        first.stdout.close()
        try:
            first.wait(_END_TIMEOUT)
        except subprocess.TimeoutExpired:
            first.kill()  # takes its child along, see --kill-child
            first.wait()
        for process in self._started:
            process.wait(_END_TIMEOUT)

    def _wire_ses(self) -> None:
        # An empty /run of its own for the names of network namespaces and ssh's sockets.
        script = "mount -t tmpfs tmpfs /run && echo 1 >/proc/sys/net/ipv4/ip_forward"
        self._call("sh", "-euc", script)
        self._call("ip", "netns", "add", "ses")
        self._call("ip", "-batch", "-", text=_WIRE_SES)
        self._call("ip", "-netns", "ses", "-batch", "-", text=_WIRE_INSIDE_SES)

    def _start_name_server(self) -> None:
        self._write_names(
            {
                name: ses_address(region)
                for region in SMTP_REGIONS
                for name in endpoint_names(region)
            }
        )
        program = [sys.executable, str(Path(__file__).with_name("name_server.py"))]
        self._start([*program, _NAME_SERVER, str(self._names)], "ses", "name-server.log")

    def _start_host(self, suite: str, name: str | None, layers: t.Sequence[Path]) -> Host:
        count = 1 + sum(host.release.suite == suite for host in self.hosts)
        name = name or (suite if count == 1 else f"{suite}-{count}")
        number = _FIRST_HOST + len(self.hosts)
        address = f"10.77.0.{number}"
        self._call("ip", "netns", "add", name)
        wires = f"link add host{number} type veth peer name eth0 netns {name}\n"
        wires += f"addr add {_CONTROLLER} peer {address} dev host{number}\n"
        wires += f"link set host{number} up\n"
        self._call("ip", "-batch", "-", text=wires)
        wires = f"link set lo up\naddr add {address} peer {_CONTROLLER} dev eth0\n"
        wires += f"link set eth0 up\nroute add default via {_CONTROLLER}\n"
        self._call("ip", "-netns", name, "-batch", "-", text=wires)
        mount_point = self.directory / name
        mount_point.mkdir()
        own = ["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
        root = ":".join(map(str, layers))  # as overlay's lowerdir has it
        script = ["/bin/sh", str(Path(__file__).with_name("boot_host.sh")), root]
        key = self._private_key.with_suffix(".pub").read_text("ascii").strip()
        process, log = self._start(
            ["unshare", *own, *script, str(mount_point), name, DOMAIN, address, _NAME_SERVER, key],
            name,
            f"{name}.log",
        )
        host = Host(name, RELEASES[suite], address, process, log)
        self.hosts.append(host)
        return host

    def _start(
        self, command: t.Sequence[str], namespace: str, log: str
    ) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a program in a network namespace, to run as long as the network does."""
        path = self.directory / log
        with path.open("wb") as output:
            process = subprocess.Popen(
                [*self._inside(), "ip", "netns", "exec", namespace, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        # What it starts is below the first process and ends with that.
        self._started.append(process)
        return process, path

    def _write_names(self, names: t.Mapping[str, str]) -> None:
        new = self._names.with_suffix(".new")
        new.write_text(json.dumps(names), "utf-8")
        new.replace(self._names)

    def _provide_ansible(self) -> None:
        folder = self.directory / "controller"
        self.ansible = AnsibleCli(folder, [*self._inside(), "env", f"--chdir={folder}"])
        self.ansible.environment |= {
            "ANSIBLE_INVENTORY": str(self.inventory),
            "ANSIBLE_FORKS": "10",
            # The folders of tests are too long for a socket's name; this is the network's own.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": "/run/ssh",
        }

    def _write_inventory(self) -> None:
        options = {"UserKnownHostsFile": str(self._known_hosts), "StrictHostKeyChecking": "yes"}
        common = " ".join(f"-o {name}={value}" for name, value in options.items())
        content = {
            "all": {
                "hosts": {host.name: {"ansible_host": host.address} for host in self.hosts},
                "vars": {
                    "ansible_user": "root",
                    "ansible_ssh_private_key_file": str(self._private_key),
                    "ansible_ssh_common_args": f"-F none {common}",
                    "ansible_python_interpreter": "/usr/bin/python3",
                },
            }
        }
        self.inventory.write_text(json.dumps(content, indent=2), "utf-8")

    def _inside(self) -> list[str]:
        """What to put before a command for the controller's namespaces."""
        return ["nsenter", "--target", str(self._first), "--mount", "--net", "--pid", "--"]

    def _inside_ses(self) -> list[str]:
        # nsenter becomes the command, so that a signal reaches it.
        alone = ["setpriv", "--pdeathsig", "KILL"]
        return [*alone, "nsenter", f"--net=/proc/{self._first}/root/run/netns/ses", "--"]

    def _call(self, *command: str, text: str = "") -> None:
        _call([*self._inside(), *command], text)


_COUNTER = itertools.count(1)


def _call(command: t.Sequence[str], text: str = "") -> None:
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_TIMEOUT,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command} ({done.returncode}): {done.stdout}{done.stderr}")
