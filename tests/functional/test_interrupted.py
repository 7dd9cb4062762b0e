# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run over SSH leaves no password in a file, on either side, wherever it is interrupted.

And it shows none, whatever mistakes are in the task or in the host's files. Ansible has its default
settings: no pipelining. Root is reached by sudo, with and without a password, by su, and by logging
in as root; one play has them all as its hosts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, SECRET_KEY
from ansible_collections.mailops.ses.tests.support.hosts.host import Host
from ansible_collections.mailops.ses.tests.support.hosts.logins import LOGINS, provide_logins
from ansible_collections.mailops.ses.tests.support.hosts.network import ses_address
from ansible_collections.mailops.ses.tests.support.hosts.relay_hosts import Play, RelayHosts
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import squeezed
from ansible_collections.mailops.ses.tests.support.running.option_mistakes import MODULES, derivable
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = [pytest.mark.on_hosts, pytest.mark.root, pytest.mark.slow, pytest.mark.every_minor]

REGION = "eu-west-1"
FIRST = Account(ACCESS_KEY, SECRET_KEY, ("example.com",))
SECOND = Account(
    "AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002", ("example.com",)
)
PASSWORD = password_v4(SECRET_KEY, REGION)
LOOK = "Look"
PING = {
    "access_key": ACCESS_KEY,
    "secret_key": f"{{{{ secrets['{ACCESS_KEY}'] }}}}",
    "region": REGION,
    "timeout": 600,
}
INSTALL = """
apt-get -qq update && apt-get -qq install --no-install-recommends postfix libsasl2-modules \\
    ca-certificates
"""
END_MODULES = """
while pids=$(grep -l 'Ansiball[Z]_' /proc/[0-9]*/cmdline 2>/dev/null | tr -dc '0-9\\n'); [ "$pids" ]; do
    kill $pids || true; sleep 0.05
done
"""
SMTP_PASSWORD = f"{{{{ secrets['{ACCESS_KEY}'] | mailops.ses.ses_smtp_password('{REGION}') }}}}"
WRONG_MAP = "/etc/postfix/wrong"
#: The login where it must not be: swapped and reversed, and in Postfix's own files.
WRONG_FILES = f"""
umask 077
printf '%s\\n' '[email-smtp.{REGION}.amazonaws.com]:587 {PASSWORD}:{ACCESS_KEY}' \\
    '{ACCESS_KEY}:{PASSWORD} [smtp.example.net]:587' >{WRONG_MAP}
cp -p /etc/postfix/main.cf /etc/postfix/master.cf /etc/apt
postconf -e 'smtp_sasl_password_maps = {ACCESS_KEY}:{PASSWORD}'
postconf -P 'smtp/unix/smtp_sasl_password_maps = static:{ACCESS_KEY}:{PASSWORD}'
"""
RIGHT_FILES = f"mv /etc/apt/main.cf /etc/apt/master.cf /etc/postfix; rm {WRONG_MAP}"
#: All places of a host where somebody but root could look.
WRITABLE = ("/home", "/root", "/tmp", "/var/tmp", "/run", "/dev/shm")


class Trial:
    """One host that can be logged in to in several ways."""

    def __init__(self, relays: RelayHosts) -> None:
        self.relays = relays
        self.host: Host = relays.hosts[0]
        self.controller = relays.network.ansible.folder

    @contextlib.contextmanager
    def hanging(self, **options: t.Any) -> t.Iterator[subprocess.Popen[bytes]]:
        """While inside, a play whose modules wait for SES, by all LOGINS; it ends by force."""
        ansible = self.relays.network.ansible
        content = [
            {
                "hosts": "all",
                "gather_facts": False,
                "vars_files": ["vault.yml"],
                "tasks": [{"mailops.ses.ses_smtp_ping": PING}],
                **options,
            }
        ]
        playbook = ansible.write("hanging.yml", yaml.safe_dump(content))
        log = self.controller / "hanging.log"
        before = self.waiting()
        with self.relays.network.blocked(ses_address(REGION)):
            process = ansible.start(
                "ansible-playbook",
                playbook,
                "--vault-password-file=vault-password",
                log=log,
                session=True,
            )
            try:
                assert comes_true(
                    lambda: (
                        process.poll() is not None or len(self.waiting() - before) == len(LOGINS)
                    )
                ), log.read_text()
                assert process.poll() is None, log.read_text()
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def waiting(self) -> set[str]:
        """The connections to SES that are not open yet."""
        return set(self.host.run("ss", "-Htn", "state", "syn-sent").splitlines())

    def kill(self, program: str) -> None:
        """Kill all processes of the controller that run it, by the name that the kernel knows."""
        _nsenter, _target, first, *_rest = self.relays.network.beside_the_controller()
        network = os.readlink(f"/proc/{first}/ns/net")
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                is_one = (folder / "comm").read_text().strip() == program
                if is_one and os.readlink(folder / "ns" / "net") == network:
                    os.kill(int(folder.name), signal.SIGKILL)

    def end_modules(self) -> None:
        """End the modules that run from a file, as they will when they have waited long enough."""
        self.host.run("sh", "-euc", END_MODULES)

    def files(self) -> list[str]:
        """The files that hold the password, on the host and on the controller."""
        find = [
            "find",
            *WRITABLE,
            "-xdev",
            "-type",
            "f",
            "-exec",
            "grep",
            "-lF",
            PASSWORD,
            "{}",
            "+",
        ]
        on_host = self.host.run(*find, check=False).splitlines()
        on_controller = [
            str(path)
            for path in self.controller.rglob("*")
            if path.is_file() and PASSWORD.encode() in path.read_bytes()
        ]
        return [*on_host, *on_controller]


@pytest.fixture(name="trial", scope="module")
def fixture_trial(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Trial]:
    directory = tmp_path_factory.mktemp("interrupted")
    with RelayHosts(directory, ["trixie"], [FIRST, SECOND]) as relays:
        # Ansible's default, which is below the home of the login user.
        del relays.network.ansible.environment["ANSIBLE_REMOTE_TEMP"]
        relays.hosts[0].run("sh", "-euc", INSTALL)
        provide_logins(relays.network, relays.hosts[0])
        yield Trial(relays)


Cut = t.Callable[[Trial, subprocess.Popen[bytes]], None]


def interrupt(_trial: Trial, process: subprocess.Popen[bytes]) -> None:
    """Do what Ctrl-C does."""
    os.killpg(process.pid, signal.SIGINT)
    assert comes_true(lambda: process.poll() is not None)


def kill_ssh(trial: Trial, process: subprocess.Popen[bytes]) -> None:
    """Kill all ssh of the controller; the play then ends by itself."""
    trial.kill("ssh")
    assert comes_true(lambda: process.poll() is not None)


@pytest.mark.parametrize("cut", [interrupt, kill_ssh])
def test_nothing_is_left(trial: Trial, cut: Cut) -> None:
    with trial.hanging() as process:
        assert trial.files() == []
        cut(trial, process)
    assert trial.files() == []


def test_nothing_is_left_when_the_connection_is_cut(trial: Trial) -> None:
    with trial.hanging(), trial.relays.network.unplugged(trial.host):
        assert trial.files() == []
    assert trial.files() == []


def test_every_module(trial: Trial) -> None:
    """None is ever in a file: ansible-core tells all that it copies."""
    first, second = ({**trial.relays.key_of(each), "region": REGION} for each in (FIRST, SECOND))
    new_key = {**second, "old_access_key": FIRST.access_key}
    tasks = [
        {"mailops.ses.ses_smtp_ping": first},
        {"mailops.ses.postfix_relay": first, "throttle": 1},
        {"mailops.ses.postfix_sasl_passwd": first, "throttle": 1},
        {"mailops.ses.postfix_relay_key": new_key, "throttle": 1},
        {"mailops.ses.postfix_relay_key": {"state": "confirmed"}, "throttle": 1},
        {"mailops.ses.postfix_relay_info": {}, "name": LOOK},
    ]
    play = trial.relays.play({"tasks": tasks}, "-vvv", hosts="sudo:su")
    assert play.status == 0, play.output
    assert "AnsiballZ_" not in play.output
    assert "WARN" not in play.output
    assert trial.files() == []
    assert left_overs(play) == {"sudo": [], "su": []}


def test_mistakes_show_no_secret(trial: Trial) -> None:
    """In a task, and in the files that a host has already; what is refused is on no disk either."""
    key = {**trial.relays.key_of(FIRST), "region": REGION}
    swapped = {"username": SMTP_PASSWORD, "password": ACCESS_KEY, "region": REGION}
    asked: list[tuple[str, dict[str, t.Any], str]] = [
        ("postfix_relay", swapped, "were username and password swapped?"),
        ("postfix_sasl_passwd", swapped, "were username and password swapped?"),
        ("postfix_sasl_passwd", {**key, "mode": "0644"}, "others than root and Postfix could"),
        ("postfix_sasl_passwd", {**key, "path": WRONG_MAP, "exclusive": True}, ""),
        ("postfix_relay", key, "REDACTED, in smtp_sasl_password_maps, is not a lookup table"),
        ("postfix_relay_info", {}, ""),
    ]
    for module in MODULES:
        good = derivable(module, key["secret_key"])
        asked += [
            (module, {**good, "regoin": REGION}, "regoin"),
            (module, {**good, "secret_key": [key["secret_key"]]}, "must be a string, not list"),
        ]
    tasks = [
        {"name": f"{number}", f"mailops.ses.{module}": options, "ignore_errors": True}
        for number, (module, options, _says) in enumerate(asked)
    ]
    trial.host.run("sh", "-euc", WRONG_FILES)
    try:
        play = trial.relays.play({"tasks": tasks}, "-vvv", "--diff", hosts="sudo")
    finally:
        trial.host.run("sh", "-euc", RIGHT_FILES)
    assert trial.files() == []
    events = [each for each in play.events if each["event"] != "diff"]
    for each, (module, _options, says) in zip(events, asked, strict=True):
        assert each["event"] == ("failed" if says else "ok"), module
        assert says in each["result"].get("msg", ""), module


def test_an_asynchronous_task_warns(trial: Trial) -> None:
    ping = {**trial.relays.key_of(FIRST), "region": REGION}
    task = {"mailops.ses.ses_smtp_ping": ping, "async": 60, "poll": 1}
    play = trial.relays.play({"tasks": [task]}, hosts="sudo")
    assert play.status == 0, play.output
    assert squeezed("an asynchronous task can't be pipelined") in squeezed(play.output)
    # async_wrapper looks every five seconds whether the job has ended.
    assert comes_true(lambda: trial.files() == [])


def test_a_host_whose_sudo_needs_a_terminal(trial: Trial) -> None:
    """The error names the way out. It works, and the audit finds what it leaves behind."""
    trial.host.write("/etc/sudoers.d/terminal", "Defaults requiretty\n")
    play = trial.relays.play({"tasks": [{"mailops.ses.ses_smtp_ping": {**PING, "timeout": 30}}]})
    failed = {
        host: message for (host, _task), message in play.messages().items() if "tty" in message
    }
    assert set(failed) == {"sudo", "sudo-with-password"}, play.output
    for message in failed.values():
        assert "set the variable mailops_ses_pipelining to false" in message
        assert "Nothing was changed" in message

    look = {"tasks": [{"mailops.ses.postfix_relay_info": {}, "name": LOOK}]}
    way_out = {"mailops_ses_pipelining": False}
    with trial.hanging(vars=way_out):
        files = trial.files()
        assert len(files) == len(LOGINS)
        play = trial.relays.play({**look, "vars": way_out})
        assert left_overs(play) == {login: [] for login in LOGINS}, "these tasks are running"
        # Ctrl-C would do. This way it is certain that no worker of ansible-playbook cleans up:
        # they end first, because one whose ssh has ended starts another one for that.
        trial.kill("ansible-playboo")
        trial.kill("ssh")
        trial.end_modules()
    assert sorted(trial.files()) == sorted(files)
    found = left_overs(trial.relays.play({**look, "vars": way_out}))
    assert found == dict.fromkeys(LOGINS, sorted(files))


def left_overs(play: Play) -> dict[str, list[str]]:
    """What postfix_relay_info found in each way, as files."""
    return {
        each["host"]: sorted(
            finding["file"]
            for finding in each["result"]["findings"]
            if finding["id"] == "left_over_module"
        )
        for each in play.events
        if each["task"] == LOOK and each["event"] == "ok"
    }
