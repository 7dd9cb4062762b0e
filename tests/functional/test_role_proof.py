# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role has a stopped Postfix run for its proof, and starts the service if SES accepts that."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, SECRET_KEY
from ansible_collections.mailops.ses.tests.support.hosts.host import Host
from ansible_collections.mailops.ses.tests.support.hosts.relay_hosts import (
    REGIONS,
    Play,
    RelayHosts,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account

pytestmark = [pytest.mark.on_hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.oldest_too]

FIRST = Account(ACCESS_KEY, SECRET_KEY, ("example.com",))
SECOND = Account(
    "AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002", ("example.com",)
)
TEST_MESSAGE = {"test_message": True, "test_message_sender": "sender@example.com"}
RELAY = "Relay through Amazon SES"
PROBE = "Have Postfix probe its relay"

MAIN_CF = """\
# by hand
compatibility_level = 3.6
inet_interfaces = loopback-only
myhostname = by-hand.example.com
mydestination =
"""
# What our own login, from the same host, does not meet: Postfix's client can use no address.
CUT_OFF = "smtp/unix/inet_protocols=ipv6"
#: What has to be as before, byte for byte, and whether it starts at boot. Lock files stay.
LOOK = """
ls /etc/rc2.d
cd /etc/postfix
ls -A | grep -v lock
cat main.cf master.cf
test ! -e sasl_passwd || cat sasl_passwd
"""
#: Postfix is installed and has mail, and is not running.
INSTALL = """
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
apt-get --quiet update
apt-get --quiet --yes install postfix
rm /usr/sbin/policy-rc.d
update-rc.d postfix disable
"""


@pytest.fixture(scope="module")
def relays(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[RelayHosts]:
    with RelayHosts(tmp_path_factory.mktemp("proof"), ["bookworm"], [FIRST, SECOND]) as relays:
        yield relays


@pytest.fixture(scope="module")
def host(relays: RelayHosts) -> Host:
    """With a Postfix that is cut off from SES, and was never running."""
    (host,) = relays.hosts
    host.run("sh", "-euc", INSTALL)
    host.write("/etc/postfix/main.cf", MAIN_CF)
    cut_off(host)
    return host


def cut_off(host: Host) -> None:
    """Have the next Postfix on ``host`` not reach SES."""
    host.run("postconf", "-P", CUT_OFF)


def connect(host: Host) -> None:
    host.run("postconf", "-PX", CUT_OFF.partition("=")[0])


def look(host: Host) -> str:
    return host.run("sh", "-euc", LOOK)


def proofs(play: Play, host: Host) -> list[str]:
    """What the module's runs on ``host`` were shown by, one after another."""
    return [
        proof["shown_by"]
        for event in play.events
        if event["host"] == host.name and event["task"].endswith(RELAY)
        for proof in event["result"].get("proof", ())
    ]


def failures(play: Play, host: Host) -> list[str]:
    """What the failed tasks on ``host`` said, those that were rescued first."""
    return [
        event["result"]["msg"]
        for event in play.events
        if (event["host"], event["event"]) == (host.name, "failed")
    ]


# In this order, on one host.


def test_a_host_that_had_no_relay(relays: RelayHosts, host: Host) -> None:
    """Postfix is stopped again, the relay is gone, and mail that was waiting still does."""
    subject = relays.send(host, "from before")
    before = look(host)
    options = {**relays.key_of(FIRST), "region": REGIONS[0]}
    play = relays.role({**options, **TEST_MESSAGE}, "-vvvv", "--diff", hosts=host.name)
    assert play.status == 2, play.output
    (error,) = failures(play, host)
    assert "Postfix's own probe of the relay failed: " in error
    assert "inet_protocols = ipv6 (/etc/postfix/master.cf" in error
    assert error.endswith("Everything was rolled back, and Postfix is stopped again")
    assert (host.runs("master"), look(host)) == (False, before)
    # Postfix has tried, and keeps it.
    assert "to=<to@example.net>" in relays.log(host)
    assert "status=bounced" not in relays.log(host)
    assert len(relays.queue(host)) == 1

    connect(host)
    play = relays.role(options, hosts=host.name)
    assert play.status == 0, play.output
    assert proofs(play, host) == ["postfix"]
    assert host.runs("master")
    assert "S01postfix" in host.run("ls", "/etc/rc2.d")
    host.run("postqueue", "-f")
    (message,) = relays.arrived([subject])
    assert message.username == FIRST.access_key


def test_one_probe_is_enough_for_a_test_message(relays: RelayHosts, host: Host) -> None:
    options = {**relays.key_of(FIRST), "region": REGIONS[0], **TEST_MESSAGE}
    play = relays.role(options, hosts=host.name)
    assert (play.status, play.changed(host), proofs(play, host)) == (0, [], ["postfix"])
    assert not [task for task in play.ran(host) if task.endswith(PROBE)]
    assert play.result(host, "Check that the message left the queue")


def test_a_postfix_that_was_running_goes_on(relays: RelayHosts, host: Host) -> None:
    cut_off(host)
    host.run("postfix", "reload")
    before = look(host)
    play = relays.role({**relays.key_of(SECOND), "region": REGIONS[0]}, hosts=host.name)
    assert play.status == 2
    assert "Everything was rolled back" in play.error(host)
    assert (host.runs("master"), look(host)) == (True, before)


def test_a_host_that_had_a_relay(relays: RelayHosts, host: Host) -> None:
    """Its previous login is back, and Postfix stopped, as before."""
    host.run("postfix", "stop")
    before = look(host)
    for account, said in ((FIRST, "Nothing was changed"), (SECOND, "Everything was rolled back")):
        play = relays.role({**relays.key_of(account), "region": REGIONS[0]}, hosts=host.name)
        assert play.status == 2
        (message,) = failures(play, host)
        assert message.endswith(f"{said}, and Postfix is stopped again")
        assert (host.runs("master"), look(host)) == (False, before)
    assert FIRST.access_key in host.read("/etc/postfix/sasl_passwd")


def test_without_verify_there_is_no_proof(relays: RelayHosts, host: Host) -> None:
    options = {**relays.key_of(SECOND), "region": REGIONS[0], "verify": False}
    play = relays.role(options, hosts=host.name)
    assert (play.status, proofs(play, host)) == (0, ["nothing"]), play.output
    assert host.runs("master")


def test_a_postfix_that_does_not_start(relays: RelayHosts, host: Host) -> None:
    """As one that does not prove its relay."""
    host.run("postfix", "stop")
    connect(host)
    play = relays.role({"state": "absent"}, hosts=host.name)
    assert play.status == 0, play.output
    no_port = "no-such-port inet n - n - - smtpd"
    host.run("postconf", "-M", f"no-such-port/inet={no_port}")
    before = look(host)
    play = relays.role({**relays.key_of(FIRST), "region": REGIONS[0]}, hosts=host.name)
    assert play.status == 2, play.output
    (message,) = failures(play, host)
    assert "Postfix can't be started for its proof: " in message
    assert (host.runs("master"), look(host)) == (False, before)
