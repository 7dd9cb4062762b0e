# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every recipe of guide_mail_servers, from a bare Debian 13 to delivered mail, a host for each.

The playbooks are those on the page, the programs those of Debian, and all of them are tried at
once. The tests build on each other, in the order in which they stand.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import copy
import itertools
import json
import re
import time
import typing as t
from pathlib import Path
from urllib.parse import quote

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, SECRET_KEY
from ansible_collections.mailops.ses.tests.support.examples.mail_server_recipes import (
    OFFERED,
    PLAYBOOKS,
    RECIPES,
)
from ansible_collections.mailops.ses.tests.support.hosts.host import Host
from ansible_collections.mailops.ses.tests.support.hosts.network import ses_address
from ansible_collections.mailops.ses.tests.support.hosts.relay_hosts import (
    REGIONS,
    Play,
    ProcessWatch,
    RelayHosts,
    subject_of,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4
from ansible_collections.mailops.ses.tests.support.ses.protocol import Mode
from ansible_collections.mailops.ses.tests.support.ses.records import Message, Session
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = [pytest.mark.on_hosts, pytest.mark.root, pytest.mark.slow]

REGION = REGIONS[0]
SERVER = f"email-smtp.{REGION}.amazonaws.com"
#: With a "+" and a "/" in its password, as most keys have.
FIRST = Account(
    "AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002", ("example.com",)
)
SECOND = Account(ACCESS_KEY, SECRET_KEY, ("example.com",))
_PLAYS_AT_ONCE = 4
_TRIED_WITHIN = 120.0  # seconds

#: All files that hold a text of standard input, a line each, with mode and owner.
_LOOK = "grep -rlFf - /etc /home /opt /root /run /srv /tmp /usr/local /var | xargs -r stat -c %s"


def playbook_for(host: Host) -> str:
    """The playbook of the host's recipe, for this host alone."""
    recipe = RECIPES[host.name]
    text, count = re.subn(
        f"(?m)^  hosts: {recipe.group}$", f"  hosts: {host.name}", recipe.playbook
    )
    assert count == 1
    return f"{text}\n"


class MailServers:
    """The hosts of all recipes, and what is done with all of them at once."""

    def __init__(self, relays: RelayHosts) -> None:
        self.relays = relays
        self.second_runs: dict[str, Play] = {}
        names = list(RECIPES)
        hosts = relays.boot(*["trixie"] * len(names), names=names, offered=OFFERED)
        self.hosts = {host.name: host for host in hosts}
        self._prepared: set[Host] = set()
        groups: dict[str, dict[str, t.Any]] = {}
        for name, recipe in RECIPES.items():
            groups.setdefault(recipe.group, {"hosts": {}})["hosts"][name] = {}
        inventory = relays.network.ansible.write("groups.json", json.dumps(groups))
        relays.network.ansible.environment |= {
            "ANSIBLE_INVENTORY": f"{relays.network.inventory},{inventory}",
            "ANSIBLE_GATHERING": "explicit",
            "ANSIBLE_PIPELINING": "true",
        }
        # Sendmail looks the senders' domain up.
        relays.network.resolve("example.com", "10.77.1.250")

    def of_all(self, work: t.Callable[[Host], t.Any]) -> dict[str, t.Any]:
        """Do ``work`` for all hosts, some at once, and return the results by name."""
        with concurrent.futures.ThreadPoolExecutor(_PLAYS_AT_ONCE) as pool:
            return dict(zip(self.hosts, pool.map(work, self.hosts.values()), strict=True))

    def play(self, account: Account, times: int = 1) -> dict[str, Play]:
        """Run every recipe's playbook with this account's key in the vault; what each did last.

        Several ``times`` and hosts are plays of one run: Ansible's start takes as long as the tasks.
        """
        key = {"ses_access_key_id": account.access_key}
        self.relays.vault({**key, "ses_secret_access_key": account.secret_key})

        def play(hosts: list[Host]) -> list[Play]:
            for host in hosts:
                if host not in self._prepared:
                    host.run("sh", "-euc", RECIPES[host.name].before)
                    self._prepared.add(host)
            texts = [playbook_for(host) * times for host in hosts]
            play = self.relays.playbook(hosts[0].name, "".join(texts), "--diff")
            assert play.status == 0, play.output
            return [last_of(play, host) for host in hosts]

        def last_of(whole: Play, host: Host) -> Play:
            play = copy.copy(whole)
            play.events = [each for each in whole.events if each["host"] == host.name]
            tasks = [each["task"] for each in play.events]
            starts = [number for number, task in enumerate(tasks) if task == tasks[0]]
            assert len(starts) == times
            play.events = play.events[starts[-1] :]
            return play

        hosts = list(self.hosts.values())
        runs = [hosts[number::_PLAYS_AT_ONCE] for number in range(_PLAYS_AT_ONCE)]
        with concurrent.futures.ThreadPoolExecutor(_PLAYS_AT_ONCE) as pool:
            plays = list(itertools.chain.from_iterable(pool.map(play, runs)))
        names = [host.name for host in itertools.chain.from_iterable(runs)]
        return dict(zip(names, plays, strict=True))

    def send(self, subject: str) -> list[str]:
        """Hand in a message on every host by every sender; returns all subjects."""

        def send(host: Host) -> list[str]:
            scripts = RECIPES[host.name].senders
            subjects = [f"{subject} {host.name} {number}" for number in range(len(scripts))]
            for script, each in zip(scripts, subjects, strict=True):
                # Programs without a queue fail when the message can't be delivered.
                host.run("timeout", "20", "sh", "-c", script, "send", each, check=False)
            return subjects

        return list(itertools.chain.from_iterable(self.of_all(send).values()))

    def deliver(self, subject: str, account: Account) -> list[Message]:
        """Send from everywhere, and see that it all arrived on this account's credit."""
        messages = self.relays.arrived(self.send(subject))
        assert {message.username for message in messages} == {account.access_key}
        assert {message.region for message in messages} == {REGION}
        assert {message.tls_version for message in messages} == {"TLSv1.3"}
        return messages

    def secret_files(self, *accounts: Account) -> dict[str, dict[str, str]]:
        """By host, the files that hold a password of one of these accounts, or its AWS secret."""
        secrets = [account.secret_key for account in accounts]
        secrets += [password_v4(secret, REGION) for secret in secrets]
        text = "\n".join([*secrets, *(quote(secret, safe="") for secret in secrets)])

        def look(host: Host) -> dict[str, str]:
            found = host.run("sh", "-c", _LOOK.replace("%s", "'%n %a %U:%G'"), text=text)
            return dict(line.split(" ", 1) for line in found.splitlines())

        return self.of_all(look)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[MailServers]:
    with RelayHosts(tmp_path_factory.mktemp("servers"), [], [FIRST, SECOND]) as relays:
        servers = MailServers(relays)
        for host in servers.hosts.values():
            # Else apt takes the lists, which are empty, for up to date.
            host.run("touch", "--date=@0", "/var/lib/apt/lists")
        yield servers


def test_every_recipe_delivers(servers: MailServers) -> None:
    servers.second_runs = servers.play(FIRST, times=2)
    with ProcessWatch(
        [host for host in servers.hosts.values() if host.name != "applications"]
    ) as processes:
        # nullmailer's own program is there for less than a tenth of a second.
        for number in range(5):
            servers.deliver(f"first {number}", FIRST)
            if "/usr/lib/nullmailer/smtp" in processes.text():
                break
    assert "/usr/lib/nullmailer/smtp" in processes.text()
    # Not even nullmailer, which hands it to another program.
    assert password_v4(FIRST.secret_key, REGION) not in processes.text()
    for session in servers.relays.ses.sessions:
        assert b"AUTH" not in session.clear_text


def test_the_password_is_where_the_page_says_and_nowhere_else(servers: MailServers) -> None:
    found = servers.secret_files(FIRST)
    assert found == {name: dict(recipe.secret_files) for name, recipe in RECIPES.items()}
    for recipe in RECIPES.values():
        for path, mode in recipe.secret_files.items():
            assert path in recipe.playbook or path.endswith(".db")
            assert mode.startswith(("600 ", "640 "))


#: The libraries that take the URLs apart: an environment file, and a program that prints a list.
PARSERS = {
    "Python's urllib": (
        "django",
        ["python3", "-c"],
        """
import json, os
from urllib.parse import unquote, urlsplit
url = urlsplit(os.environ["EMAIL_URL"])
print(json.dumps([url.hostname, url.port, url.username, unquote(url.password)]))
""",
    ),
    "django-environ": (
        "django",
        ["python3", "-c"],
        """
import environ, json
email = environ.Env().email("EMAIL_URL")
assert email["EMAIL_USE_SSL"]
names = "EMAIL_HOST", "EMAIL_PORT", "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD"
print(json.dumps([email[name] for name in names]))
""",
    ),
    "Ruby's URI": (
        "rails",
        ["ruby", "-ruri", "-rjson", "-e"],
        """
url = URI.parse(ENV["SMTP_URL"])
puts [url.host, url.port, url.user, URI.decode_uri_component(url.password)].to_json
""",
    ),
    "PHP's parse_url": (
        "symfony",
        ["php", "-r"],
        """
$url = parse_url(getenv("MAILER_DSN"));
echo json_encode([$url["host"], $url["port"], $url["user"], rawurldecode($url["pass"])]);
""",
    ),
    "Symfony's Dsn": (
        "symfony",
        ["php", "-r"],
        """
require "/usr/share/php/Symfony/Component/Mailer/autoload.php";
$dsn = Symfony\\Component\\Mailer\\Transport\\Dsn::fromString(getenv("MAILER_DSN"));
echo json_encode([$dsn->getHost(), $dsn->getPort(), $dsn->getUser(), $dsn->getPassword()]);
""",
    ),
    "none, for Grafana": (
        "grafana",
        ["python3", "-c"],
        """
import json, os
host, port = os.environ["GF_SMTP_HOST"].split(":")
print(json.dumps([host, int(port), os.environ["GF_SMTP_USER"], os.environ["GF_SMTP_PASSWORD"]]))
""",
    ),
}


@pytest.mark.parametrize("library", PARSERS)
def test_the_password_survives_in_a_url(servers: MailServers, library: str) -> None:
    environment, interpreter, program = PARSERS[library]
    source = ["sh", "-euc", f'set -a; . /etc/app/{environment}.env; exec "$@"', "sh"]
    said = servers.hosts["applications"].run(*source, *interpreter, program)
    host, port, username, password = json.loads(said)
    assert {"+", "/"} < set(password)
    assert password == password_v4(FIRST.secret_key, REGION)
    assert (host, username) == (SERVER, FIRST.access_key)
    assert port == (587 if environment == "grafana" else 465)


def test_a_second_run_changes_nothing(servers: MailServers) -> None:
    assert servers.second_runs.keys() == RECIPES.keys()
    for name, play in servers.second_runs.items():
        assert play.changed(servers.hosts[name]) == []


def test_a_new_key_is_in_force_at_once(servers: MailServers) -> None:
    servers.play(SECOND)
    servers.deliver("rotated", SECOND)
    assert servers.secret_files(FIRST) == {name: {} for name in RECIPES}


def test_where_the_server_s_name_is_an_alias(servers: MailServers) -> None:
    network = servers.relays.network
    canonical = f"ses-smtp-prod-1.{REGION}.elb.amazonaws.com"
    network.resolve(canonical, ses_address(REGION))
    network.resolve(SERVER, canonical)
    subjects = servers.send("alias")
    refused = [f"alias {name} 0" for name, recipe in RECIPES.items() if not recipe.takes_an_alias]
    servers.relays.arrived(set(subjects) - set(refused))
    assert {subject_of(each) for each in servers.relays.ses.messages}.isdisjoint(refused)
    network.resolve(SERVER, ses_address(REGION))


class Middle(t.NamedTuple):
    """Somebody who takes the place of SES; ``lures`` says whether TLS can be had at all."""

    take_place: t.Callable[[MailServers, Path], t.ContextManager[object]]
    lures: bool


@contextlib.contextmanager
def under_another_name(servers: MailServers, _directory: Path) -> t.Iterator[None]:
    """Whoever has a certificate of an authority that everybody trusts, but for another name."""
    servers.relays.network.resolve(SERVER, ses_address(REGIONS[1]))
    yield
    servers.relays.network.resolve(SERVER, ses_address(REGION))


def another_authority(servers: MailServers, directory: Path) -> t.ContextManager[object]:
    return servers.relays.man_in_the_middle(directory)


def starttls_stripped(servers: MailServers, directory: Path) -> t.ContextManager[object]:
    """Whoever answers without STARTTLS, and has another authority's certificate on port 465."""
    modes = {587: Mode.STRIPPED, 465: Mode.WRAPPER}
    return servers.relays.man_in_the_middle(directory, modes)


MIDDLES = {
    "a certificate of another authority": Middle(another_authority, lures=True),
    "a certificate for another name": Middle(under_another_name, lures=True),
    "no STARTTLS": Middle(starttls_stripped, lures=False),
}


@pytest.mark.parametrize("middle", MIDDLES)
def test_who_falls_for_a_man_in_the_middle(
    servers: MailServers, tmp_path: Path, middle: str
) -> None:
    with MIDDLES[middle].take_place(servers, tmp_path):
        servers.of_all(lambda host: host.run("sh", "-euc", RECIPES[host.name].forget))
        before = len(servers.relays.ses.sessions)
        servers.send(middle)
        sessions = sessions_of_all(servers, before)
    fell_for_it = {name for name, seen in sessions.items() if any(map(gave_something_away, seen))}
    careless = {name for name, recipe in RECIPES.items() if not recipe.verifies}
    assert fell_for_it == (careless if MIDDLES[middle].lures else set())


def gave_something_away(session: Session) -> bool:
    """Whether there was a login, or at least the beginning of a message."""
    return session.auth_seen or any(command.startswith("MAIL ") for command in session.commands)


def test_symfony_needs_smtps(servers: MailServers, tmp_path: Path) -> None:
    host = servers.hosts["applications"]
    script = """
. /etc/app/symfony.env
export MAILER_DSN="$(echo "$MAILER_DSN" | sed 's/^smtps:/smtp:/; s/:465$/:587/')"
php /root/send.php starttls
"""
    with starttls_stripped(servers, tmp_path):
        host.run("sh", "-euc", script)
        # Other programs may try again meanwhile.
        assert comes_true(
            lambda: any(
                b"AUTH LOGIN" in session.clear_text for session in servers.relays.ses.sessions
            )
        )


def sessions_of_all(servers: MailServers, before: int) -> dict[str, list[Session]]:
    """By host, the sessions after the first ``before``, as soon as every sender had one."""
    deadline = time.monotonic() + _TRIED_WITHIN
    while True:
        ended = servers.relays.ses.sessions[before:]
        found = {
            name: [each for each in ended if each.client.startswith(f"{host.address}:")]
            for name, host in servers.hosts.items()
        }
        missing = [name for name in found if len(found[name]) < len(RECIPES[name].senders)]
        if not missing:
            return found
        if time.monotonic() > deadline:
            logs = "\n".join(servers.relays.log(servers.hosts[name])[-2000:] for name in missing)
            raise TimeoutError(f"{missing} did not try:\n{logs}")
        time.sleep(0.1)


def test_every_playbook_of_the_page_is_tried() -> None:
    assert {recipe.playbook for recipe in RECIPES.values()} == set(PLAYBOOKS.values())
    assert len(PLAYBOOKS) == 9
