# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook ``mailops.ses.rotate`` on four hosts and six local relays, all of which send mail.

A batch that fails and is put back, a controller that is killed, and the end; one after the other.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import json
import os
import signal
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import found_in
from ansible_collections.mailops.ses.tests.support.hosts.local_relays import LocalRelays
from ansible_collections.mailops.ses.tests.support.hosts.network import ses_address
from ansible_collections.mailops.ses.tests.support.hosts.relay_hosts import Play, RelayHosts
from ansible_collections.mailops.ses.tests.support.hosts.roots import RELEASES
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = [pytest.mark.on_hosts, pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

OLD = Account("AKIAEXAMPLE000000001", "secret/access+key/of+the+number/00000001", ("example.com",))
NEW = Account("AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002", ("example.com",))
REGION = "eu-west-1"
LOCAL = 6
#: One host; the other three, of which one can't reach SES; a local relay; the others.
SERIAL = [1, 3, 1, "100%"]
#: How many relays of the last batch have been given the new key when the controller is killed.
KILLED_AFTER = 2
#: Fewer than the last batch has relays: some have yet to begin when those have the new key.
FORKS = 3
TIMEOUT = 120.0  # seconds, for what takes a few
LONG = 600.0  # seconds, for a run; it takes about 15 on two processors that do nothing else

#: The role does it, too, in twice the time. The service copies what the chroot needs.
INSTALL = """
apt-get -qq update
apt-get -qq install --no-install-recommends postfix libsasl2-modules ca-certificates
service postfix start
"""

VARIABLES: dict[str, t.Any] = {
    "rotate_access_key": NEW.access_key,
    "rotate_secret_key": f"{{{{ secrets['{NEW.access_key}'] }}}}",
    "rotate_old_access_key": OLD.access_key,
    "rotate_serial": SERIAL,
    "rotate_retries": 0,
    "rotate_timeout": 30,
}
ARGUMENTS = [
    "mailops.ses.rotate",
    "--extra-vars=@vault.yml",
    "--vault-password-file=vault-password",
    f"--extra-vars={json.dumps(VARIABLES)}",
]
TEST_MESSAGE = "--extra-vars=rotate_test_message=true rotate_test_sender=sender@example.com"
LAST_TASK = "Check that the old access key can be deactivated"


class Rotation(Play):
    """What the playbook did."""

    def verdict(self) -> list[str]:
        """What it said at the end: counts, whether it is safe, and what is in the way."""
        (said,) = [each for (_host, task), each in self.messages().items() if task == LAST_TASK]
        return list(said)


@dataclass
class Fleet:
    """The four hosts and the local relays."""

    hosts: RelayHosts
    local: LocalRelays

    def rotate(self, *arguments: str, **more: t.Any) -> Rotation:
        """Run the playbook to its end."""
        ansible = self.hosts.network.ansible
        done = ansible.run("ansible-playbook", *ARGUMENTS, *arguments, timeout=LONG, **more)
        self.look_for_secrets(done.stdout)
        return Rotation(done.returncode, done.stdout)

    def look_for_secrets(self, output: str) -> None:
        assert found_in(output, [*self.hosts.aws_secrets, *self.hosts.passwords]) == []

    def maps(self) -> dict[str, str]:
        """What is in the directories of the hosts' maps, and in the maps."""
        look = "cd /etc/postfix; ls -A; cat sasl_passwd .mailops-ses/relay.json; postmap -s sasl_passwd"
        return {host.name: host.run("sh", "-euc", look) for host in self.hosts.hosts}

    def send(self, name: str, subject: str) -> str:
        """Hand in a message on a host or local relay; returns its whole subject."""
        if name in self.local.relays:
            self.local.send(name, f"{name} {subject}")
            return f"{name} {subject}"
        return self.hosts.send(self.host(name), subject)

    def host(self, name: str) -> t.Any:
        return next(host for host in self.hosts.hosts if host.name == name)

    @property
    def names(self) -> list[str]:
        """Of all of them, in the order of the inventory."""
        return [*(host.name for host in self.hosts.hosts), *self.local.relays]


class Load(threading.Thread):
    """Hands in a message on one after the other, until it is over."""

    PAUSE = 1.0  # seconds

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(name="load", daemon=True)
        self._fleet = fleet
        self.over = threading.Event()
        self.sent: list[str] = []

    def run(self) -> None:
        for number in itertools.count():
            for name in self._fleet.names:
                self.sent.append(self._fleet.send(name, f"load {number}"))
                if self.over.wait(self.PAUSE):
                    return


def make_fleet(
    stack: contextlib.ExitStack, folder: Path, suites: t.Sequence[str], count: int
) -> Fleet:
    """Hosts of these releases, ``count`` local relays, and all of them with the old key."""
    started = time.monotonic()
    hosts = stack.enter_context(RelayHosts(folder, suites, [OLD, NEW]))
    local = LocalRelays(hosts.network, count, hosts.authority.ca_file, region=REGION, account=OLD)
    with concurrent.futures.ThreadPoolExecutor() as executor:
        installing = executor.map(lambda host: host.run("sh", "-euc", INSTALL), hosts.hosts)
        stack.enter_context(local)
        list(installing)
    if hosts.hosts:
        hosts.ensure({**hosts.key_of(OLD), "region": REGION})
    inventory = folder / "local.json"
    local.write_inventory(inventory)
    environment = hosts.network.ansible.environment
    environment["ANSIBLE_INVENTORY"] += f",{inventory}"
    environment |= {"ANSIBLE_PIPELINING": "1", "ANSIBLE_FORKS": str(FORKS)}
    timed("all relays are there", started)
    return Fleet(hosts, local)


@pytest.fixture(name="fleet")
def fixture_fleet(tmp_path: Path) -> t.Iterator[Fleet]:
    with contextlib.ExitStack() as stack:
        yield make_fleet(stack, tmp_path, list(RELEASES), LOCAL)


@pytest.mark.oldest_too
def test_a_host_that_can_not_be_reached(tmp_path: Path) -> None:
    """Stops it like one that fails; and without it, the same command comes to its end."""
    with contextlib.ExitStack() as stack:
        fleet = make_fleet(stack, tmp_path, [], 2)
        first, *others = fleet.names
        inventory = tmp_path / "gone.json"
        unreachable = {"ansible_host": "127.0.0.1", "ansible_port": 1}
        inventory.write_text(json.dumps({"all": {"hosts": {"gone": unreachable}}}))
        serial = f"--extra-vars={json.dumps({'rotate_serial': [1, '100%']})}"
        maps = {name: relay.map.read_bytes() for name, relay in fleet.local.relays.items()}
        a_test_message_that_ses_refuses(fleet)
        assert maps == {name: each.map.read_bytes() for name, each in fleet.local.relays.items()}
        with_it = f"{fleet.hosts.network.ansible.environment['ANSIBLE_INVENTORY']},{inventory}"
        play = fleet.rotate(serial, environment={"ANSIBLE_INVENTORY": with_it})
        assert play.status != 0
        assert fleet.local.with_key(NEW) == {first}
        assert fleet.local.kept() == set()
        for name in others:
            assert fleet.local.relays[name].map.read_bytes() == maps[name]
        _counts, verdict, *rest = play.verdict()
        assert verdict == f"It is NOT safe to deactivate {OLD.access_key}"
        unreachable_host, *in_the_way = rest[: len(others) + 1]
        assert unreachable_host.startswith("gone: ")
        assert "can't be reached" in unreachable_host
        assert in_the_way == [f"{name}: has the old key" for name in others]
        seen = "Rolled back, and seen without the new access key"
        assert f"{seen}: {', '.join(others)}" in rest
        assert "Not touched by this run: gone" in rest
        # Postfix probed its relay, and no message was needed for that.
        assert fleet.hosts.ses.messages == []
        play = fleet.rotate(serial, TEST_MESSAGE)
        assert play.status == 0, play.output
        assert fleet.local.with_key(NEW) == set(fleet.names)
        assert play.verdict()[1] == f"It is safe to deactivate {OLD.access_key}"
        messages = fleet.hosts.ses.wait_for_messages(len(others))
        assert {message.mail_from for message in messages} == {"sender@example.com"}
        assert {message.username for message in messages} == {NEW.access_key}


def test_rotation(fleet: Fleet, tmp_path: Path) -> None:
    load = Load(fleet)
    load.start()
    try:
        a_batch_that_fails_is_put_back(fleet)
        a_killed_controller(fleet, tmp_path / "killed.log")
        the_same_command_goes_on(fleet)
    finally:
        load.over.set()
        load.join(TIMEOUT)
    nothing_is_lost(fleet, load.sent)


def a_test_message_that_ses_refuses(fleet: Fleet) -> None:
    """The new key is of another AWS account, where the sender is not verified: all goes back."""
    fleet.hosts.ses.configure([OLD, NEW.with_changes(identities=("example.org",))])
    play = fleet.rotate(TEST_MESSAGE)
    fleet.hosts.ses.configure([OLD, NEW])
    assert play.status != 0
    assert "the access key is valid, but the sender is not a verified identity" in play.output
    assert fleet.local.with_key(OLD) == set(fleet.names)
    for relay in fleet.local.relays.values():
        assert relay.queue() == []


def reasons(message: t.Mapping[str, t.Any]) -> list[str]:
    """Why a message is still in a queue, if an attempt was made to deliver it."""
    return [each["delay_reason"] for each in message["recipients"] if "delay_reason" in each]


def timed(what: str, started: float) -> None:
    print(f"{what}: {time.monotonic() - started:.0f} s")


def a_batch_that_fails_is_put_back(fleet: Fleet) -> None:
    """A host whose firewall blocks port 587 stops it, and the other hosts of its batch go back."""
    started = time.monotonic()
    first, *batch = fleet.hosts.hosts
    blocked = batch[1]
    maps, files, local = fleet.maps(), fleet.hosts.files(), fleet.local.files()
    # Not silently, or an attempt to deliver could fail long after the firewall is open again.
    with fleet.hosts.network.blocked(ses_address(REGION), 587, blocked, silently=False):
        play = fleet.rotate()

    def all_tried_again() -> bool:
        # Postfix takes a rest from a server that it could not reach, unless it is told to try.
        # More than once, because it skips what it is still busy with.
        blocked.run("postqueue", "-f")
        queues = map(fleet.hosts.queue, fleet.hosts.hosts)
        return not any(reasons(message) for queue in queues for message in queue)

    assert comes_true(all_tried_again)
    timed("a batch that fails", started)
    assert play.status != 0
    after = fleet.maps()
    assert OLD.access_key not in after[first.name]
    assert {host.name: after[host.name] for host in batch} == {
        host.name: maps[host.name] for host in batch
    }
    # It was told no before anything was changed; the others had the new key for a moment.
    now = fleet.hosts.files()
    assert [host for host in batch if now[host.name] == files[host.name]] == [blocked]
    assert fleet.local.files() == local
    counts, verdict, *rest = play.verdict()
    in_the_way = rest[: len(fleet.names) - 1]
    total = len(fleet.names)
    assert counts.startswith(f"1 of {total} hosts hold the new access key {NEW.access_key}")
    assert f"{total - 1} the old access key {OLD.access_key}" in counts
    assert verdict == f"It is NOT safe to deactivate {OLD.access_key}"
    assert sorted(line.partition(": ")[0] for line in in_the_way) == sorted(fleet.names[1:])
    others = [host.name for host in batch if host is not blocked]
    seen = "Rolled back, and seen without the new access key: "
    # Of the blocked one nothing was changed, but it was about to be.
    (rolled_back,) = [line for line in rest if line.startswith(seen)]
    assert set(rolled_back[len(seen) :].split(", ")) == {*others, blocked.name}
    (untouched,) = [line for line in rest if line.startswith("Not touched by this run: ")]
    assert untouched.endswith(", ".join(sorted(fleet.local.relays)))
    (why,) = [line for line in in_the_way if line.startswith(f"{blocked.name}: ")]
    assert "has the old key; " in why
    assert "port 587" in why


def a_killed_controller(fleet: Fleet, log: Path) -> None:
    """kill -9 when some of the last batch have the new key and others have not."""
    started = time.monotonic()
    process = fleet.hosts.network.ansible.start("ansible-playbook", *ARGUMENTS, log=log)
    last = set(fleet.names[sum(each for each in SERIAL if isinstance(each, int)) :])
    deadline = time.monotonic() + LONG
    while len(fleet.local.kept() & last) < KILLED_AFTER:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    # nsenter waits for it, outside of its namespace of process ids.
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for pid in children.read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    process.wait(TIMEOUT)
    timed("killed after", started)
    fleet.look_for_secrets(log.read_text())
    assert LAST_TASK not in log.read_text()
    assert len(fleet.local.kept()) >= KILLED_AFTER
    assert fleet.local.kept() <= last
    assert fleet.local.with_key(OLD) & last


def the_same_command_goes_on(fleet: Fleet) -> None:
    """And touches nothing that was done."""
    started = time.monotonic()
    hosts, local = fleet.hosts.files(), fleet.local.files()
    done = set(fleet.local.relays) - fleet.local.with_key(OLD) - fleet.local.kept()
    assert done
    play = fleet.rotate()
    timed("to the end", started)
    assert play.status == 0, play.output
    assert fleet.hosts.files() == hosts
    after = fleet.local.files()
    assert {name: after[name] for name in done} == {name: local[name] for name in done}
    assert fleet.local.with_key(OLD) == fleet.local.kept() == set()
    assert OLD.access_key not in "".join(fleet.maps().values())
    counts, verdict, *_rest = play.verdict()
    total = len(fleet.names)
    assert counts.startswith(f"{total} of {total} hosts hold the new access key {NEW.access_key}")
    assert verdict == f"It is safe to deactivate {OLD.access_key}"


def nothing_is_lost(fleet: Fleet, sent: list[str]) -> None:
    """Nor bounced, nor delivered twice; and without the old key mail still flows."""
    started = time.monotonic()
    fleet.hosts.ses.configure([NEW])
    after = [fleet.send(name, "after the rotation") for name in fleet.names]
    messages = fleet.hosts.arrived([*sent, *after], TIMEOUT)
    print(f"{len(messages)} messages, the last after {time.monotonic() - started:.0f} s")
    assert {message.username for message in messages} == {OLD.access_key, NEW.access_key}
    assert {message.username for message in messages[len(sent) :]} == {NEW.access_key}
    assert len(sent) >= 2 * len(fleet.names)
    fleet.hosts.wait_for_queues(lambda queue: not queue)
    for host in fleet.hosts.hosts:
        assert "status=bounced" not in fleet.hosts.log(host)
    for relay in fleet.local.relays.values():
        # Postfix logs what became of a probe, too.
        assert {each.status for each in relay.deliveries()} - {"deliverable"} == {"sent"}
