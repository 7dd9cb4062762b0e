# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From bare hosts to delivered mail and back: Debian 11, 12, 13 and testing, over SSH.

All tests share the hosts, and each play is run on all four at once. ``RelayHosts.ensure`` brings
them to where a test begins, whichever ran before it.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    SECRET_KEY,
    found_in,
    spellings,
)
from ansible_collections.mailops.ses.tests.support.hosts.host import Host
from ansible_collections.mailops.ses.tests.support.hosts.network import PORTS, ses_address
from ansible_collections.mailops.ses.tests.support.hosts.relay_hosts import (
    REGIONS,
    RELAY_TASK,
    REMOTE_TEMP,
    Play,
    ProcessWatch,
    RelayHosts,
    subject_of,
)
from ansible_collections.mailops.ses.tests.support.hosts.roots import RELEASES
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4
from ansible_collections.mailops.ses.tests.support.ses.protocol import Mode
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = [pytest.mark.on_hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.oldest_too]

FIRST = Account(ACCESS_KEY, SECRET_KEY, ("example.com",))
SECOND = Account(
    "AKIAEXAMPLE000000002",
    "secret/access+key/of+the+number/00000002",
    ("example.com", "example.org"),
)
THIRD = Account(
    "AKIAEXAMPLE000000003", "secret/access+key/of+the+number/00000003", ("example.com",)
)
ENDPOINTS = [f"email-smtp.{region}.amazonaws.com" for region in REGIONS]

#: Most tasks of the role that run where all is as it should be.
MOST_TASKS = 5
#: Where a secret could be.
SEARCHED = "/etc /tmp /var /root /run /dev/shm /usr/local /home /opt"

# What somebody had before: other settings, comments, an order, a mode, an owner, a link, a map.
FOREIGN_SETTINGS = """
# by hand: the relay's own settings, as somebody else would write them
  # an indented comment
smtp_tls_loglevel = 1
smtp_sasl_auth_enable=no
relayhost   =
smtp_sasl_password_maps = {table_type}:/etc/postfix/sasl_passwd
smtp_connection_cache_on_demand = no
notify_classes =
minimal_backoff_time = 1s
maximal_backoff_time =
    2s
queue_run_delay = 1s
# the end, without a newline"""
FOREIGN_MAP = """\
# by hand
[smtp.example.net]:587\tthem:their own/password+
@example.net   us:another

"""
FURNISH = """
mkdir /etc/mail
mv /etc/postfix/main.cf /etc/mail/relay.cf
ln -s ../mail/relay.cf /etc/postfix/main.cf
chown root:adm /etc/mail/relay.cf
chmod 0604 /etc/mail/relay.cf
chmod 0600 /etc/postfix/sasl_passwd
postmap /etc/postfix/sasl_passwd
postfix reload
"""
#: What is to be as before, byte for byte: files, what they are, and what Postfix finds.
LOOK = """
cat /etc/postfix/main.cf /etc/postfix/master.cf /etc/postfix/sasl_passwd
stat -c '%N %a %U:%G' /etc/postfix/main.cf /etc/mail/relay.cf /etc/postfix/sasl_passwd
postmap -s /etc/postfix/sasl_passwd | sort
postconf -n
"""


@pytest.fixture(scope="module")
def relays(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[RelayHosts]:
    directory = tmp_path_factory.mktemp("relays")
    with RelayHosts(directory, list(RELEASES), [FIRST, SECOND, THIRD]) as relays:
        yield relays


class FirstRun(t.NamedTuple):
    """The role's first run on bare hosts, and the processes that there were meanwhile."""

    play: Play
    processes: ProcessWatch


@pytest.fixture(scope="module")
def first_run(relays: RelayHosts) -> FirstRun:
    options = {
        **relays.key_of(FIRST),
        "regions": list(REGIONS),
        "test_message": True,
        "test_message_sender": "sender@example.com",
    }
    with ProcessWatch(relays.hosts) as processes:
        keep = {"ANSIBLE_KEEP_REMOTE_FILES": "1"}
        play = relays.role(options, "-vvvv", "--diff", environment=keep)
    assert play.status == 0, play.output
    return FirstRun(play, processes)


@pytest.fixture(scope="module")
def before(relays: RelayHosts, first_run: FirstRun) -> dict[str, str]:
    """What was on the hosts before the relay: Postfix as somebody has set it up by hand."""
    play = relays.module({"state": "absent"})
    assert play.status == 0, play.output
    for host in relays.hosts:
        table_type = host.run("postconf", "-h", "default_database_type").strip()
        main_cf = host.read("/etc/postfix/main.cf")
        foreign = FOREIGN_SETTINGS.format(table_type=table_type)
        host.write("/etc/postfix/main.cf", main_cf + foreign)
        host.write("/etc/postfix/sasl_passwd", FOREIGN_MAP)
        host.run("sh", "-euc", FURNISH)
    return {host.name: host.run("sh", "-euc", LOOK) for host in relays.hosts}


@pytest.fixture
def base(relays: RelayHosts, before: dict[str, str]) -> dict[str, t.Any]:
    """The options for a relay with the first account's key through two regions."""
    return {**relays.key_of(FIRST), "regions": list(REGIONS)}


@pytest.fixture
def relaying(relays: RelayHosts, base: dict[str, t.Any]) -> dict[str, t.Any]:
    """The same, and that is what all hosts have."""
    relays.ensure(base)
    return base


def search(host: Host, texts: t.Iterable[str]) -> dict[str, str]:
    """The files on a host that hold one of ``texts``, however it is spelt, with their modes."""
    patterns = "\n".join(sorted(set().union(*map(spellings, texts))))
    found = host.run("sh", "-c", f"grep -rlaF -f - {SEARCHED} || true", text=patterns).split()
    return {path: host.run("stat", "-c", "%a", path).strip() for path in found}


# Bare hosts


def test_a_bare_host_becomes_a_relay(relays: RelayHosts, first_run: FirstRun) -> None:
    for host in relays.hosts:
        assert host.run("postconf", "-h", "mail_version").startswith(f"{host.release.postfix}.")
        default = host.run("postconf", "-h", "default_database_type").strip()
        in_use = host.run("postconf", "-h", "smtp_sasl_password_maps").partition(":")[0]
        assert (default, in_use) == (host.release.table_type,) * 2
        (probed,) = first_run.play.result(host, "Have Postfix probe its relay")["instances"]
        assert probed["probe"]["accepted"] is True
        assert probed["probe"]["nexthop"].startswith(f"[{ENDPOINTS[0]}]:587")
        said = first_run.play.result(host, "Check that the message left the queue")["msg"]
        assert said.startswith("The message left the queue.\nAs logged: ")
        assert f" relay={ENDPOINTS[0]}[{ses_address(REGIONS[0])}]:587, " in said
        assert " status=sent (250 " in said
        host.run("postfix", "status")
        assert "S01postfix" in host.run("ls", "/etc/rc2.d")
    messages = [each for each in relays.ses.messages if subject_of(each) == "Test"]
    assert len(messages) == len(relays.hosts)
    for message in messages:
        assert message.username == FIRST.access_key
        assert message.region == REGIONS[0]
        assert message.tls_version == "TLSv1.3"
        assert re.fullmatch(r"success\+\w+@simulator\.amazonses\.com", message.recipients[0])


def test_no_secret_is_left_anywhere(relays: RelayHosts, first_run: FirstRun) -> None:
    """Not in what is printed either, at any verbosity: every play here is searched for that."""
    used = [password_v4(FIRST.secret_key, region) for region in REGIONS]
    for host in relays.hosts:
        assert search(host, relays.aws_secrets) == {}
        found = search(host, used)
        payloads = {path: mode for path, mode in found.items() if path.startswith(REMOTE_TEMP)}
        # The one module that writes the password has it, where nobody else may go.
        assert {path.rpartition("/")[2] for path in payloads} == {"AnsiballZ_postfix_relay.py"}
        assert all(host.run("stat", "-c", "%a", path).strip() == "700" for path in payloads)
        suffix = {"hash": ".db", "cdb": ".cdb"}[host.release.table_type]
        of_map = {f"/etc/postfix/sasl_passwd{end}": "600" for end in ("", suffix)}
        assert {path: mode for path, mode in found.items() if path not in payloads} == of_map
    processes = first_run.processes.text()
    assert "AnsiballZ_postfix_relay.py" in processes
    # Any of those that the module starts: each takes a moment only.
    assert re.search("post(conf|fix|map) ", processes)
    for secret in [*relays.aws_secrets, *relays.passwords]:
        assert not [form for form in spellings(secret) if form in processes]


def test_a_second_run_changes_nothing(relays: RelayHosts, first_run: FirstRun) -> None:
    for host in relays.hosts:
        # From now on there is nothing left of the first run that has the password but the map.
        host.run("rm", "-r", REMOTE_TEMP)
        # Nor is there a network needed for packages that are there.
        host.run("sh", "-c", "rm -rf /var/lib/apt/lists/*")
    files = relays.files("/etc/postfix", "/etc/default", "/etc/rc2.d")
    logs = [relays.log(host) for host in relays.hosts]
    play = relays.role({**relays.key_of(FIRST), "regions": list(REGIONS)}, "--diff")
    assert play.status == 0, play.output
    for host, log in zip(relays.hosts, logs, strict=True):
        assert play.changed(host) == []
        tasks = [task for task in play.ran(host) if task != "Gathering Facts"]
        assert 3 <= len(tasks) <= MOST_TASKS, tasks
        assert play.result(host, "Relay through Amazon SES")["reloaded"] is False
        # An init script may log that it has looked.
        assert not re.search("reload|refresh|start", relays.log(host)[len(log) :])
        assert set(search(host, relays.passwords).values()) == {"600"}
    assert relays.files("/etc/postfix", "/etc/default", "/etc/rc2.d") == files


# A relay in use


def test_mail_goes_through_verified_tls(relays: RelayHosts, relaying: dict[str, t.Any]) -> None:
    messages = relays.arrived(relays.send_from_all("verified"))
    for host, message in zip(relays.hosts, messages, strict=True):
        assert (message.username, message.region) == (FIRST.access_key, REGIONS[0])
        assert host.has_logged(f"Verified TLS connection established to {ENDPOINTS[0]}[")
        # What somebody else had in the map still works.
        look_up = ["postmap", "-q", "[smtp.example.net]:587", "/etc/postfix/sasl_passwd"]
        assert host.run(*look_up) == "them:their own/password+\n"


def test_a_key_that_ses_refuses_changes_nothing(
    relays: RelayHosts, relaying: dict[str, t.Any]
) -> None:
    files = relays.files()
    wrong = {**relaying, **relays.key_of(SECOND), "access_key": THIRD.access_key}
    play = relays.module(wrong, "-vvvv", "--diff")
    assert play.status != 0
    for host in relays.hosts:
        assert "535 Authentication Credentials Invalid" in play.error(host)
        assert ENDPOINTS[0] in play.error(host)
    assert relays.files() == files
    messages = relays.arrived(relays.send_from_all("after a wrong key"))
    assert {message.username for message in messages} == {FIRST.access_key}


def test_the_second_region_when_the_first_is_down(
    relays: RelayHosts, relaying: dict[str, t.Any]
) -> None:
    with relays.network.blocked(ses_address(REGIONS[0]), silently=False):
        messages = relays.arrived(relays.send_from_all("first region down"))
    assert {(each.username, each.region) for each in messages} == {(FIRST.access_key, REGIONS[1])}
    for host in relays.hosts:
        assert host.has_logged(f"Verified TLS connection established to {ENDPOINTS[1]}[")


class Load(threading.Thread):
    """Hands in messages on a host, until it is over and there were enough."""

    LEAST, MOST, PAUSE = 20, 200, 0.3  # seconds

    def __init__(self, relays: RelayHosts, host: Host) -> None:
        super().__init__(name=f"load of {host.name}", daemon=True)
        self._relays, self._host = relays, host
        self.over = threading.Event()
        self.sent: list[str] = []

    def run(self) -> None:
        while len(self.sent) < (self.LEAST if self.over.is_set() else self.MOST):
            self.sent.append(self._relays.send(self._host, f"load {len(self.sent)}"))
            time.sleep(self.PAUSE)


def test_a_rotation_under_load_loses_nothing(
    relays: RelayHosts, relaying: dict[str, t.Any]
) -> None:
    """As with IAM: both keys are good during the rotation, and the old one is not after it."""
    loads = [Load(relays, host) for host in relays.hosts]
    with contextlib.ExitStack() as stack:
        for load in loads:
            load.start()
            stack.callback(load.join)
            stack.callback(load.over.set)
        play = relays.module({**relaying, **relays.key_of(SECOND)}, "-vvvv", "--diff")
        relays.ses.configure([SECOND, THIRD])
    assert play.status == 0, play.output
    assert not any(play.result(host, RELAY_TASK)["reloaded"] for host in relays.hosts)
    messages = relays.arrived([subject for load in loads for subject in load.sent])
    relays.wait_for_queues(lambda queue: not queue)
    assert {message.username for message in messages} == {FIRST.access_key, SECOND.access_key}
    after = relays.arrived(relays.send_from_all("after the rotation"))
    assert {message.username for message in after} == {SECOND.access_key}
    for host in relays.hosts:
        assert "status=bounced" not in relays.log(host)
        assert search(host, [password_v4(FIRST.secret_key, region) for region in REGIONS]) == {}
    relays.ses.configure(relays.accounts)


def test_senders_with_accounts_of_their_own(relays: RelayHosts, base: dict[str, t.Any]) -> None:
    senders = [
        {"sender": "@example.org", **relays.key_of(SECOND)},
        {"sender": "billing@example.com", **relays.key_of(THIRD), "region": REGIONS[1]},
    ]
    relays.ensure({**base, "senders": senders})
    expected = {
        "somebody@example.org": (SECOND.access_key, REGIONS[0]),
        "billing@example.com": (THIRD.access_key, REGIONS[1]),
        "sender@example.com": (FIRST.access_key, REGIONS[0]),
    }
    for sender, account in expected.items():
        messages = relays.arrived(relays.send_from_all(f"from {sender}", sender))
        assert {(message.username, message.region) for message in messages} == {account}


@pytest.mark.parametrize("transport", ["smtp", "ses"])
def test_port_465(relays: RelayHosts, base: dict[str, t.Any], transport: str) -> None:
    relays.ensure({**base, "port": 465, "transport": transport})
    messages = relays.arrived(relays.send_from_all(f"port 465, {transport}"))
    for host in relays.hosts:
        smtp, own = (
            host.run("sh", "-c", f"postconf -M {each}/unix 2>&1").split()
            for each in ("smtp", transport)
        )
        assert own[1:8] == smtp[1:8]  # its chroot, and no warning of an obsolete setting
    # A session is there when it has ended, which is after the message has come in.
    assert comes_true(
        lambda: {each.session for each in messages} <= {each.number for each in relays.ses.sessions}
    )
    sessions = {session.number: session for session in relays.ses.sessions}
    for message in messages:
        session = sessions[message.session]
        assert (session.port, session.mode, session.clear_text) == (465, "wrapper", b"")
        assert message.username == FIRST.access_key


#: Option, what the man in the middle does there, what ses_smtp_ping and then Postfix say of it.
MIDDLES = {
    "another authority, TLS at once": (
        {"port": 465},
        PORTS,
        "certificate",
        "Server certificate not",
    ),
    "another authority": ({}, PORTS, "certificate", "Server certificate not"),
    "STARTTLS stripped": ({}, {587: Mode.STRIPPED}, "STARTTLS", "TLS is required"),
}


@pytest.mark.parametrize("middle", MIDDLES)
def test_a_man_in_the_middle_learns_nothing(
    relays: RelayHosts, base: dict[str, t.Any], tmp_path: Path, middle: str
) -> None:
    port, modes, said_by_ping, said_by_postfix = MIDDLES[middle]
    options = {**base, **port}
    relays.ensure(options)
    files = relays.files()
    login = {**relays.key_of(SECOND), "region": REGIONS[0], **port}
    new_key = {**options, **relays.key_of(SECOND)}
    tasks = [
        {"name": "Ping", "mailops.ses.ses_smtp_ping": login, "ignore_errors": True},
        {"name": RELAY_TASK, "mailops.ses.postfix_relay": new_key, "ignore_errors": True},
    ]
    with relays.man_in_the_middle(tmp_path, modes) as thief:
        play = relays.play({"tasks": tasks})
        for host in relays.hosts:
            for task in ("Ping", RELAY_TASK):
                assert said_by_ping in play.result(host, task)["msg"]
        subjects = relays.send_from_all(f"to {middle}")
        relays.wait_for_queues(lambda queue: any(said_by_postfix in why for why in reasons(queue)))
        sessions = thief.sessions
    assert relays.files() == files
    for host in relays.hosts:
        # The ping, the relay's own and the mail's, through two regions.
        assert sum(session.client.startswith(f"{host.address}:") for session in sessions) >= 4
    secrets = [*relays.passwords, *(account.access_key for account in relays.accounts)]
    for session in sessions:
        assert not session.auth_seen
        assert session.auth_attempts == []
        heard = session.clear_text.decode("utf-8", "replace") + "\n".join(session.commands)
        assert found_in(heard, secrets) == []
    for host in relays.hosts:
        host.run("postqueue", "-f")
    assert {each.username for each in relays.arrived(subjects)} == {FIRST.access_key}


def reasons(queue: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Why the messages in a queue are there."""
    return [
        recipient.get("delay_reason", "")
        for message in queue
        for recipient in message["recipients"]
    ]


def test_and_back_byte_for_byte(
    relays: RelayHosts, relaying: dict[str, t.Any], before: dict[str, str]
) -> None:
    play = relays.role({"state": "absent"})
    assert play.status == 0, play.output
    for host in relays.hosts:
        result = play.result(host, "Relay through Amazon SES")
        assert (result["changed"], result["reloaded"]) == (True, True)
        assert result.get("warnings") is None
        assert host.run("sh", "-euc", LOOK) == before[host.name]
        assert search(host, relays.passwords) == {}
    files = relays.files()
    play = relays.module({"state": "absent"})
    assert play.status == 0, play.output
    assert [play.changed(host) for host in relays.hosts] == [[] for host in relays.hosts]
    assert relays.files() == files
