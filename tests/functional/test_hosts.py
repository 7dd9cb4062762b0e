# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts that other tests rely on: bare, of the right release, reachable by Ansible over SSH,
cut off from everything else, and gone without a trace at the end.

That each installs Postfix offline and becomes a relay that delivers, test_relay_on_hosts.py shows.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.hosts.host import Host
from ansible_collections.mailops.ses.tests.support.hosts.network import HostNetwork, ses_address
from ansible_collections.mailops.ses.tests.support.hosts.roots import (
    RELEASES,
    root_file_systems,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.program import StandInProgram
from ansible_collections.mailops.ses.tests.support.ses.protocol import Mode

pytestmark = [pytest.mark.on_hosts, pytest.mark.root, pytest.mark.slow]

ACCOUNT = Account("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
REGION = "eu-west-1"
OTHER_REGION = "eu-central-1"
SERVER = f"email-smtp.{REGION}.amazonaws.com"
PACKAGES = ["postfix", "libsasl2-modules", "ca-certificates"]

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
except OSError as error:
    print(type(error).__name__, error.errno)
else:
    print("connected")
"""
SHAKE_HANDS = """
import socket, ssl, sys
context = ssl.create_default_context(cafile="/tmp/ca.pem")
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as plain:
    try:
        context.wrap_socket(plain, server_hostname=sys.argv[1]).close()
    except ssl.SSLCertVerificationError:
        print("not trusted")
    else:
        print("trusted")
"""
UNREACHABLE = "OSError 101"
NO_ANSWER = ("TimeoutError None", "timeout None")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[HostNetwork]:
    with HostNetwork(tmp_path_factory.mktemp("hosts")) as network:
        network.boot(*RELEASES)
        yield network


@pytest.fixture(scope="module")
def authority(net: HostNetwork) -> CertificateAuthority:
    return CertificateAuthority(net.directory)


@pytest.fixture(scope="module")
def ses(net: HostNetwork, authority: CertificateAuthority) -> t.Iterator[StandInProgram]:
    with net.ses([REGION], authority, [ACCOUNT]) as program:
        yield program


def connect(host: Host, address: str, port: int) -> str:
    return host.run("python3", "-c", CONNECT, address, str(port)).strip()


@pytest.mark.every_minor
def test_ansible_reaches_all_of_them_over_ssh(net: HostNetwork) -> None:
    said = net.ansible.checked("ansible", "all", "-m", "ansible.builtin.ping")
    answers = sorted(line for line in said.splitlines() if line.endswith("=> {"))
    assert answers == [f"{suite} | SUCCESS => {{" for suite in sorted(RELEASES)]


def test_each_is_bare_and_of_its_release(net: HostNetwork) -> None:
    for host in net.hosts:
        assert f"VERSION_CODENAME={host.name}" in host.read("/etc/os-release")
        assert host.run("python3", "-V").startswith(f"Python {host.release.python}.")
        assert host.run("hostname", "--fqdn") == f"{host.name}.hosts.test\n"
        installed = host.run("dpkg-query", "-W", "-f", "${Package}\n").split()
        assert not set(PACKAGES) & set(installed)


def test_hosts_see_ses_under_its_names_and_nothing_else(
    net: HostNetwork, ses: StandInProgram
) -> None:
    for host in net.hosts:
        assert host.run("getent", "ahosts", SERVER).split()[0] == ses_address(REGION)
        assert host.run("getent", "ahosts", "www.example.com", check=False) == ""
        assert connect(host, "192.0.2.1", 80) == UNREACHABLE
        assert connect(host, SERVER, 465) == "connected"
        assert connect(host, SERVER, 80) == "ConnectionRefusedError 111"
    own = net.hosts[0].run("ip", "-brief", "address")
    machine = subprocess.run(["ip", "address"], check=True, capture_output=True, text=True)
    assert net.hosts[0].address in own
    assert net.hosts[0].address not in machine.stdout


def test_a_port_or_a_region_is_blocked_for_one_host_or_all(
    net: HostNetwork, ses: StandInProgram
) -> None:
    one, other = net.hosts[:2]
    address = ses_address(REGION)
    with net.blocked(address, port=587, host=one):
        assert connect(one, address, 587) in NO_ANSWER
        assert connect(one, address, 465) == "connected"
        assert connect(other, address, 587) == "connected"
    with net.blocked(address, silently=False):
        assert connect(one, address, 587) == UNREACHABLE
        assert connect(other, address, 465) == UNREACHABLE
    assert connect(one, address, 587) == "connected"


def test_a_name_can_be_given_to_another(net: HostNetwork, ses: StandInProgram) -> None:
    host = net.hosts[0]
    net.resolve(SERVER, "10.77.1.200")
    assert host.run("getent", "ahosts", SERVER).split()[0] == "10.77.1.200"
    net.resolve(SERVER, None)
    assert host.run("getent", "ahosts", SERVER, check=False) == ""
    net.resolve(SERVER, ses_address(REGION))
    assert host.run("getent", "ahosts", SERVER).split()[0] == ses_address(REGION)


def test_a_man_in_the_middle_can_take_the_place_of_ses(
    net: HostNetwork, authority: CertificateAuthority, tmp_path: Path
) -> None:
    host = net.hosts[0]
    host.write("/tmp/ca.pem", authority.ca_file.read_text())
    server = f"email-smtp.{OTHER_REGION}.amazonaws.com"
    for issuer, outcome in [
        (authority, "trusted"),
        (CertificateAuthority(tmp_path), "not trusted"),
    ]:
        with net.ses([OTHER_REGION], issuer, [ACCOUNT]):
            assert host.run("python3", "-c", SHAKE_HANDS, server, "465").strip() == outcome
    stripped = net.ses([OTHER_REGION], authority, [ACCOUNT], modes={587: Mode.STRIPPED})
    with stripped:
        assert connect(host, server, 587) == "connected"
        assert connect(host, server, 465) == "ConnectionRefusedError 111"
        assert [session.mode for session in stripped.wait_for_sessions(1)] == ["stripped"]


def running(pids: t.Iterable[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    pids: list[int] = []

    def fail_with_a_host() -> None:
        with HostNetwork(tmp_path) as network:
            pids.extend(host.pid for host in network.boot("bookworm"))
            assert running(pids) == pids
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_with_a_host()
    assert len(pids) == 1
    assert running(pids) == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert list((tmp_path / "bookworm").iterdir()) == []


BOOT_AND_WAIT = f"""
import sys, time
from pathlib import Path
from {HostNetwork.__module__} import HostNetwork
with HostNetwork(Path(sys.argv[1])) as network:
    print(*(host.pid for host in network.boot("bookworm", "bookworm")), flush=True)
    time.sleep(60)
"""


def test_a_killed_test_run_leaves_nothing_running(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BOOT_AND_WAIT, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert running(pids) == pids
        assert len(pids) == 2
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while running(pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert running(pids) == []


FAKE_MMDEBSTRAP = """#!/bin/sh
echo tried >>"$MAILOPS_SES_ROOTS/tries"
for directory; do case $directory in */*.new) mkdir "$directory" ;; esac; done
exit 1
"""


def test_an_unfinished_root_is_never_taken_for_a_finished_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "mmdebstrap"
    fake.parent.mkdir()
    fake.write_text(FAKE_MMDEBSTRAP)
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    monkeypatch.setenv("MAILOPS_SES_ROOTS", str(tmp_path))
    for tries in (1, 2):
        with pytest.raises(RuntimeError, match="bookworm was not made"):
            root_file_systems(["bookworm"])
        assert (tmp_path / "tries").read_text() == "tried\n" * tries
        assert [path.suffix for path in tmp_path.glob("bookworm-*") if path.is_dir()] == [".new"]
