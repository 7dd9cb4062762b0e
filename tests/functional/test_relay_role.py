# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role on one host: its life in short with every ansible-core, and what else it has to get right."""

from __future__ import annotations

import contextlib
import json
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, SECRET_KEY
from ansible_collections.mailops.ses.tests.support.hosts.host import Host
from ansible_collections.mailops.ses.tests.support.hosts.relay_hosts import (
    REGIONS,
    ROLE,
    Play,
    RelayHosts,
)
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = pytest.mark.on_hosts

FIRST = Account(ACCESS_KEY, SECRET_KEY, ("example.com",))
SECOND = Account(
    "AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002", ("example.com",)
)
TEST_MESSAGE = {"test_message": True, "test_message_sender": "sender@example.com"}
INSTALL = "Install the packages on Debian"
INSTALL_AFRESH = f"{INSTALL}, with fresh package lists"

#: What somebody may have put there before Postfix is.
MAIN_CF = """\
# by hand
compatibility_level = 3.6
inet_interfaces = loopback-only
myhostname = by-hand.example.com
mydestination =
"""
#: As /sbin/runlevel says it on a Debian that was booted: with it, packages start their services.
RUNLEVEL = "#!/bin/sh\necho N 2\n"


@pytest.fixture(scope="module")
def relays(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[RelayHosts]:
    with RelayHosts(tmp_path_factory.mktemp("role"), ["bookworm"], [FIRST, SECOND]) as relays:
        yield relays


@pytest.fixture(scope="module")
def host(relays: RelayHosts) -> Host:
    """A bare host that becomes a relay."""
    return relays.hosts[0]


@pytest.fixture(scope="module")
def booted(relays: RelayHosts) -> Host:
    """A bare host that starts what is installed, as one does that has booted with an init."""
    (host,) = relays.boot("bookworm")
    host.write("/sbin/runlevel", RUNLEVEL)
    host.run("chmod", "0755", "/sbin/runlevel")
    return host


@pytest.mark.every_minor
@pytest.mark.root
@pytest.mark.slow
def test_a_life_in_short(relays: RelayHosts, host: Host) -> None:
    """A bare host becomes a relay; nothing to do; a refused key; another key."""
    options = {**relays.key_of(FIRST), "regions": list(REGIONS)}
    play = relays.role({**options, **TEST_MESSAGE}, "-vvvv", "--diff", hosts=host.name)
    assert play.status == 0, play.output
    assert INSTALL_AFRESH in "".join(play.changed(host))
    assert [message.username for message in relays.ses.messages] == [FIRST.access_key]

    files = relays.files()
    play = relays.role(options, "--diff", hosts=host.name)
    assert (play.status, play.changed(host)) == (0, []), play.output

    refused = {**options, "access_key": SECOND.access_key}
    play = relays.role(refused, "-vvvv", "--diff", hosts=host.name)
    assert play.status != 0
    assert "535 Authentication Credentials Invalid" in play.error(host)
    assert relays.files() == files

    play = relays.role({**options, **relays.key_of(SECOND)}, "-vvvv", hosts=host.name)
    assert (play.status, len(play.changed(host))) == (0, 1), play.output
    (message,) = relays.arrived([relays.send(host, "after the rotation")])
    assert message.username == SECOND.access_key


# In the order in which they are here, on one host.


@pytest.mark.root
@pytest.mark.slow
def test_check_mode_on_a_bare_host(relays: RelayHosts, booted: Host) -> None:
    booted.run("apt-get", "--quiet", "update")
    options = {**relays.key_of(FIRST), "region": REGIONS[0], **TEST_MESSAGE}
    play = relays.role(options, "--check", "--diff", hosts=booted.name)
    assert play.status == 0, play.output
    assert [name.partition(" : ")[2] for name in play.changed(booted)] == [INSTALL]
    assert booted.run("sh", "-c", "command -v postconf || true") == ""


@pytest.mark.root
@pytest.mark.slow
def test_nothing_starts_before_there_is_a_relay(relays: RelayHosts, booted: Host) -> None:
    """Debian would start Postfix as soon as it is there, to deliver by itself."""
    booted.write("/etc/postfix/main.cf", MAIN_CF)
    refused = {**relays.key_of(FIRST), "access_key": SECOND.access_key, "region": REGIONS[0]}
    play = relays.role(refused, hosts=booted.name)
    assert play.status != 0
    assert "535 Authentication Credentials Invalid" in play.error(booted)
    assert booted.run("postconf", "-h", "relayhost") == "\n"
    assert not booted.runs("master")
    assert booted.read("/etc/postfix/main.cf") == MAIN_CF


@pytest.mark.root
@pytest.mark.slow
def test_a_main_cf_that_is_there_stays(relays: RelayHosts, booted: Host) -> None:
    play = relays.role({**relays.key_of(FIRST), "region": REGIONS[0]}, hosts=booted.name)
    assert play.status == 0, play.output
    assert booted.runs("master")
    assert booted.read("/etc/postfix/main.cf").startswith(MAIN_CF)
    (message,) = relays.arrived([relays.send(booted, "with a main.cf")])
    assert message.username == FIRST.access_key


@pytest.mark.root
@pytest.mark.slow
def test_a_stopped_postfix_is_started_unless_told_not_to(relays: RelayHosts, booted: Host) -> None:
    options = {**relays.key_of(FIRST), "region": REGIONS[0]}
    booted.run("postfix", "stop")
    for service, running in ((False, False), (True, True)):
        play = relays.role({**options, "service": service}, hosts=booted.name)
        assert play.status == 0, play.output
        assert len(play.changed(booted)) == running
        assert booted.runs("master") is running


@pytest.mark.root
@pytest.mark.slow
def test_a_test_message_that_ses_refuses(relays: RelayHosts, booted: Host) -> None:
    options = {**relays.key_of(FIRST), "region": REGIONS[0], **TEST_MESSAGE}
    relays.ses.configure([FIRST.with_changes(identities=("example.org",))])
    play = relays.role(options, hosts=booted.name)
    relays.ses.configure([FIRST, SECOND])
    assert play.status != 0
    assert "554 Message rejected: Email address is not verified" in play.error(booted)


#: An unprivileged user who waits for the test message, and forges a line of the log about it.
ATTACKER = r"""
import json, os, pathlib, re, socket, subprocess, sys, time
status = sys.argv[1]
os.setgroups([]), os.setgid(65534), os.setuid(65534)
label = re.compile(r"success\+[0-9a-f]{16}@simulator\.amazonses\.com")
arguments, recipient = set(), ""
while not pathlib.Path("/tmp/over").exists():
    time.sleep(0.002)
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            arguments.add((process / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            pass
    if not recipient:
        listed = subprocess.run(["/usr/sbin/postqueue", "-j"], capture_output=True, text=True).stdout
        found = [
            each["address"]
            for line in listed.splitlines()
            if json.loads(line)["sender"] == "sender@example.com"
            for each in json.loads(line)["recipients"]
            if label.fullmatch(each["address"])
        ]
        if found:
            recipient = found[0]
            for queue_id in ("ALL", "-"):
                line = f"{queue_id}: to=<{recipient}>, relay=x[192.0.2.1]:587, status={status} (250 Ok)"
                subprocess.run(["/usr/sbin/postlog", "-t", "postfix/smtp", line])
                subprocess.run(["/usr/bin/logger", "-p", "mail.info", "-t", "postfix/smtp[1]", line])
print(json.dumps({"recipient": recipient, "arguments": sorted(arguments)}))
"""


@contextlib.contextmanager
def attacked(host: Host, status: str) -> t.Iterator[dict[str, t.Any]]:
    """Have the attacker at work meanwhile; what he saw is known after that."""
    saw: dict[str, t.Any] = {}

    def attack() -> None:
        saw.update(json.loads(host.run("python3", "-", status, text=ATTACKER)))

    attacker = threading.Thread(target=attack)
    host.run("rm", "-f", "/tmp/over")
    attacker.start()
    try:
        yield saw
    finally:
        host.run("touch", "/tmp/over")
        attacker.join()


def send_test_message(relays: RelayHosts, host: Host, **options: t.Any) -> Play:
    """The role's last step alone, as the rotation has it."""
    include = {"name": ROLE, "tasks_from": "test_message"}
    return relays.play(
        {
            "gather_facts": True,
            "vars": {
                f"postfix_relay_{name}": value
                for name, value in {**TEST_MESSAGE, **options}.items()
            },
            "tasks": [{"ansible.builtin.include_role": include}],
        },
        hosts=host.name,
    )


@pytest.mark.oldest_too
@pytest.mark.root
@pytest.mark.slow
def test_nothing_that_anybody_can_write_is_believed(relays: RelayHosts, booted: Host) -> None:
    """With mail of others in the queue, which a line of the log could have deleted."""
    play = relays.role({**relays.key_of(FIRST), "region": REGIONS[0]}, hosts=booted.name)
    assert play.status == 0, play.output
    booted.run("postconf", "-e", "header_checks = regexp:{{/^Subject:/ HOLD}}")
    booted.run("postfix", "reload")
    for number in range(3):
        booted.run("sendmail", "-i", f"other{number}@example.net", text="Subject: x\n\nx\n")
    assert comes_true(lambda: [each["queue_name"] for each in relays.queue(booted)] == ["hold"] * 3)
    others = sorted(each["queue_id"] for each in relays.queue(booted))
    with attacked(booted, "bounced") as saw:
        play = send_test_message(relays, booted, test_message_timeout=5)
    assert play.status != 0
    assert "the message is in the queue hold, without a reason" in play.error(booted)
    assert "It was removed from the queue." in play.error(booted)
    assert sorted(each["queue_id"] for each in relays.queue(booted)) == others
    assert f" ALL: to=<{saw['recipient']}>" in relays.log(booted)
    arguments = "".join(saw["arguments"])
    assert "send_test_message.py" in arguments
    assert saw["recipient"].partition("@")[0].partition("+")[2] not in arguments

    # SES refuses the login that Postfix has. That a line says otherwise is of no use.
    booted.run("sed", "-i", "s/:[^:]*$/:wrong/", "/etc/postfix/sasl_passwd")
    booted.run("sh", "-c", "postmap /etc/postfix/sasl_passwd && postfix reload")
    with attacked(booted, "sent"):
        play = send_test_message(relays, booted)
    assert play.status != 0
    assert "Postfix does not get mail to its relay: SASL authentication failed" in play.error(
        booted
    )
    assert "535 Authentication Credentials Invalid" in play.error(booted)
    booted.run("postfix", "stop")
    play = send_test_message(relays, booted)
    assert play.status != 0
    assert "Postfix is not running. No test message was sent" in play.error(booted)


# Elsewhere

#: Postfix, the CA certificates, and what has the mechanism PLAIN or LOGIN.
PACKAGES = {
    "Alpine": {"postfix", "ca-certificates", "cyrus-sasl", "cyrus-sasl-login"},
    "Archlinux": {"postfix", "ca-certificates", "cyrus-sasl"},
    "Debian": {"postfix", "ca-certificates", "libsasl2-modules"},
    "RedHat": {"postfix", "ca-certificates", "cyrus-sasl-plain"},
    "Suse": {"postfix", "ca-certificates-mozilla", "cyrus-sasl-plain"},
}
SERVICE_MANAGERS = {"systemd": True, "openrc": True, "tini": False, "sh": False}
VARIABLES_PLAYBOOK = """
    - hosts: localhost
      gather_facts: false
      vars:
        ansible_facts: "{{ item }}"
        # As if they were not set.
        postfix_relay_packages: null
        postfix_relay_service: null
        postfix_relay_test_message_recipient: null
        postfix_relay_test_message_timeout: null
      tasks:
        - ansible.builtin.include_vars: %s
        - name: Packages
          ansible.builtin.debug:
            msg: "{{ _postfix_relay_packages }}"
          loop: &facts %s
          ignore_errors: true
        - name: Service
          ansible.builtin.debug:
            msg: "{{ _postfix_relay_service }}"
          loop: *facts
        - name: Test message
          ansible.builtin.debug:
            msg: "{{ _postfix_relay_test_message_recipient }} {{ _postfix_relay_test_message_timeout }}"
"""


def test_other_families_and_inits(tmp_path: Path) -> None:
    """What the role makes of facts that none of the hosts here has."""
    role = Path(__file__).parents[2] / "roles" / "postfix_relay"
    cli = AnsibleCli(tmp_path)
    cli.environment["ANSIBLE_STDOUT_CALLBACK"] = "json_lines"
    facts: list[dict[str, t.Any]] = [
        {"os_family": family, "service_mgr": manager, "is_chroot": is_chroot}
        for family in [*PACKAGES, "Plan9"]
        for manager in SERVICE_MANAGERS
        for is_chroot in (True, False)
    ]
    text = VARIABLES_PLAYBOOK % (role / "vars" / "main.yml", json.dumps(facts))
    done = cli.run("ansible-playbook", cli.write("playbook.yml", text))
    play = Play(done.returncode, done.stdout)
    (packages, services) = (
        [each["msg"] for each in event["result"]["results"]]
        for event in play.events
        if "results" in event["result"]
    )
    assert play.messages()["localhost", "Test message"] == "success@simulator.amazonses.com 60"
    for each, installed, starts in zip(facts, packages, services, strict=True):
        family = each["os_family"]
        if family == "Plan9":
            assert "postfix_relay knows no packages for Plan9: name them in" in installed
        else:
            assert set(installed) == PACKAGES[family]
        can_start = SERVICE_MANAGERS[each["service_mgr"]] or family == "Debian"
        assert starts is (can_start and not each["is_chroot"])
