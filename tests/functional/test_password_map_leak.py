# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_sasl_passwd`` shows no secret, neither its own nor other people's, wherever one looks."""

from __future__ import annotations

import base64
import io
import os
import re
import stat
import subprocess
import sys
import typing as t
import zipfile
from pathlib import Path

import ansible.release
import pytest
import yaml
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.isolation.own_syslog import OwnSyslog
from ansible_collections.mailops.ses.tests.support.postfix.scratch_map import ScratchMap
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import program
from ansible_collections.mailops.ses.tests.support.process_watch import ProcessWatch
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import (
    EVERY_CALLBACK,
    AnsibleCli,
    squeezed,
)
from ansible_collections.mailops.ses.tests.support.running.vaulted import vaulted
from ansible_collections.mailops.ses.tests.tooling.interpreters import (
    MANAGED_PYTHONS,
    as_tuple,
    interpreter,
)

pytestmark = [
    pytest.mark.root,
    pytest.mark.postfix,
    pytest.mark.slow,
    pytest.mark.every_minor,
]

REGION = "eu-west-3"  # its password has a "/" and a "+"
KEY = f"[email-smtp.{REGION}.amazonaws.com]:587"
PASSWORD = PASSWORD_OF[REGION]
VAULT_PASSWORD = "the vault password"
GIVEN_PASSWORD = "Given+Password/of=one"
FOREIGN_PASSWORDS = [f"Foreign+Password/of={number}" for number in ("one", "two", "three", "four")]
SMTP_PASSWORDS = [*PASSWORD_OF.values(), GIVEN_PASSWORD]
SECRETS = [SECRET_KEY, *SMTP_PASSWORDS, *FOREIGN_PASSWORDS]

# Of these lines postmap stores the first and prints all the others, in warnings.
SOURCE = f"""\
[smtp.example.net]:587 them:{FOREIGN_PASSWORDS[0]}
"unbalanced them:{FOREIGN_PASSWORDS[1]}
them:{FOREIGN_PASSWORDS[2]}
# them:{FOREIGN_PASSWORDS[3]}
""".encode()

MODULE = "mailops.ses.postfix_sasl_passwd"
INFO = "mailops.ses.postfix_relay_info"
SAYS_WHAT_IT_GOT = """\
#!/bin/sh
{{ tr '\\0' ' ' < /proc/$$/cmdline; env; }} >> {log}
exec {program} "$@"
"""
FAILS_LOUDLY = """\
#!/bin/sh
case " $* " in *" -q "*|*" -s "*) exec {program} "$@" ;; esac
cat "${{3#*:}}"; sed 's/^/postmap: fatal: /' "${{3#*:}}" >&2; exit 1
"""


def task(**options: t.Any) -> dict[str, t.Any]:
    """A task for the map; options that are None are left out."""
    arguments = {
        "access_key": ACCESS_KEY,
        "secret_key": "{{ secret }}",
        "region": REGION,
        "path": "{{ path }}",
        "config_directory": "{{ config_directory }}",
        **options,
    }
    given = {name: value for name, value in arguments.items() if value is not None}
    return {MODULE: given, "register": "result"}


def login(**options: t.Any) -> dict[str, t.Any]:
    """A task with a password that is given."""
    return task(access_key=None, secret_key=None, region=None, **options)


def look(secret_key: str = "{{ secret }}") -> dict[str, t.Any]:
    """A task that compares the map with the key."""
    candidates = [{"access_key": ACCESS_KEY, "secret_key": secret_key}]
    return {
        INFO: {"config_directory": "{{ config_directory }}", "candidates": candidates},
        "register": "relay",
    }


SUCCESSES = [
    {**task(), "check_mode": True},
    task(),
    task(),
    {"ansible.builtin.debug": {"var": "result"}},
    login(key="billing@example.com", username="billing", password="{{ given }}"),
    {
        **task(
            entries=[
                {"key": "@example.com", "username": "someone", "password": "{{ given }}"},
                {"region": "eu-west-1"},
            ],
            backup=True,
        ),
        "register": "several",
    },
    {"ansible.builtin.debug": {"msg": "{{ several }}"}},
    # Several, for those who watch the processes: it takes some 0.4 s.
    *[look()] * 3,
    {"ansible.builtin.debug": {"var": "relay"}},
    task(region="us-east-1", version=4, owner="nobody", mode="0640"),
    task(region="us-east-1", state="absent"),
    {"ansible.builtin.copy": {"content": "damaged", "dest": "{{ path }}.db"}, "diff": False},
    task(),
    {**task(entries=[], exclusive=True), "check_mode": True},
    {**task(), "loop": [1, 2]},
    task(exclusive=True),
]

FAILURES: list[tuple[dict[str, t.Any], str]] = [
    (login(key="[smtp.example.net]:587", username="u", password="{{ given }}\n"), "newline"),
    (login(key="k", username="u:{{ given }}", password="{{ given }}"), "contains ':'"),
    (login(key="k k", username="u", password="{{ given }}"), "white space"),
    (login(key="k", username="u", password=""), "password"),
    (login(key="k", username="", password="{{ given }}"), "username"),
    (task(password="{{ given }}", username="u"), "password"),
    (task(secret_key="{{ secret }}\n"), "secret_key has white space"),
    (task(secret_key="{{ derived }}"), "secret_key is an SES SMTP password already"),
    (task(region="{{ secret }}"), "region is not a region name"),
    (task(access_key="{{ secret }}"), "access_key is not an access key ID"),
    (look("{{ secret }}\n"), "candidates[0]: secret_key has white space"),
    (look("{{ derived }}"), "candidates[0]: secret_key is an SES SMTP password already"),
    (task(path="relative"), "is not absolute"),
    (task(path="/no/such/folder/sasl_passwd"), "the directory /no does not exist"),
    (task(map_type="sdbm"), "map_type"),
    (task(config_directory="/no/such/folder"), "postconf can't read Postfix's settings"),
    (task(owner="no such user"), "no such user"),
    (task(unknown="{{ secret }}"), "Unsupported parameters"),
    (
        task(entries=[{"key": "k", "username": "u"}, {"password": "{{ given }}"}]),
        "entries[0]",
    ),
    (
        {**task(), "environment": {"PATH": "{{ failing }}:/usr/sbin:/usr/bin:/sbin:/bin"}},
        "postmap can't make a table of type hash",
    ),
]
#: The same with a map in which something has to be put right by hand, by the map's name.
ODD_SOURCES = {
    "repeated": ("occurs more than once", SOURCE + SOURCE.splitlines(keepends=True)[0]),
    "bare_host": ("shadows", SOURCE + f"{KEY[1:-5]} u:{FOREIGN_PASSWORDS[1]}\n".encode()),
}
FAILURES += [
    (task(path=f"{{{{ path }}}}.{name}"), says) for name, (says, _source) in ODD_SOURCES.items()
]


class Stage:
    """A map and what looks at a playbook that works on it."""

    def __init__(self, folder: Path, syslog: OwnSyslog) -> None:
        self.map = ScratchMap(folder / "map", "hash").make(SOURCE)
        with (self.map.config_directory / "main.cf").open("a") as main_cf:
            main_cf.write(f"smtp_sasl_password_maps = {self.map.name} static:u:{GIVEN_PASSWORD}\n")
        os.utime(self.map.config_directory / "main.cf", (0, 0))
        self.cli = AnsibleCli(folder / "controller", syslog.prefix)
        self.syslog = syslog
        self.programs = folder / "programs.log"
        self.logs = self.cli.folder / "logs"
        self.logs.mkdir()
        self._fake(folder / "talkative", SAYS_WHAT_IT_GOT, "postmap", "postconf")
        self._fake(folder / "failing", FAILS_LOUDLY, "postmap")
        self.cli.environment["PATH"] = f"{folder / 'talkative'}:{self.cli.environment['PATH']}"
        self._variables = {"failing": str(folder / "failing")}
        self.cli.write("vault-password", VAULT_PASSWORD)
        secrets = {"secret": SECRET_KEY, "given": GIVEN_PASSWORD, "derived": PASSWORD}
        self.cli.write("vars.yml", vaulted(yaml.safe_dump(secrets), VAULT_PASSWORD))

    def _fake(self, folder: Path, script: str, *names: str) -> None:
        folder.mkdir()
        for name in names:
            fake = folder / name
            fake.write_text(script.format(log=self.programs, program=program(name)))
            fake.chmod(0o755)

    def play(self, tasks: list[dict[str, t.Any]], **environment: str) -> tuple[int, str]:
        """Run ``tasks``, as loud as can be; the exit status and what was said on the screen."""
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars_files": ["vars.yml"],
            "vars": {
                "ansible_connection": "local",
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                "path": str(self.map.path),
                "config_directory": str(self.map.config_directory),
                **self._variables,
            },
            "tasks": tasks,
        }
        self.cli.write("play.yml", yaml.safe_dump([play], width=1000))
        done = self.cli.run(
            "ansible-playbook",
            *("-vvvv", "--diff", "--vault-password-file", "vault-password", "play.yml"),
            environment={"ANSIBLE_LOG_PATH": "logs/ansible.log", **environment},
        )
        return done.returncode, done.stdout

    def events(self) -> str:
        """What a callback was told that tells all."""
        return (self.cli.folder / EVERY_CALLBACK["JSON_FILE"]).read_text()

    def log(self) -> str:
        """What is in all logs of the controller."""
        return "\n".join(path.read_text() for path in self.logs.rglob("*") if path.is_file())


@pytest.fixture(name="stage")
def fixture_stage(tmp_path: Path) -> t.Iterator[Stage]:
    with OwnSyslog(tmp_path / "syslog") as syslog:
        yield Stage(tmp_path, syslog)


def test_postmap_would_print_passwords(stage: Stage) -> None:
    """Or there would be nothing here to hide."""
    done = subprocess.run(
        [program("postmap"), "-c", str(stage.map.config_directory), stage.map.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert found_in(done.stderr, FOREIGN_PASSWORDS[1:2])


def test_no_leak_when_all_goes_well(stage: Stage) -> None:
    with ProcessWatch(str(stage.cli.folder)) as watch:
        status, screen = stage.play(SUCCESSES, **EVERY_CALLBACK)
    assert status == 0, screen
    assert stage.map.look_up(KEY) == {KEY: f"{ACCESS_KEY}:{PASSWORD}"}
    for text in (screen, stage.events()):
        assert f"{KEY} {ACCESS_KEY}:NEW_PASSWORD" in text
    assert found_in(screen, SECRETS) == []
    assert (stage.logs / "ansible.log").stat().st_size > 1000
    assert found_in(stage.log(), SECRETS) == []

    # On the managed host: the system's log, the processes, and what Postfix's programs were given.
    messages = [message for message in stage.syslog.messages if MODULE in message]
    assert len(messages) > 10
    # ansible-core 2.22 has another word for it.
    hidden = re.compile(r" password=(NOT_LOGGING_PARAMETER|\$REDACTED\$) ")
    assert all(hidden.search(message) for message in messages)
    looking = [message for message in stage.syslog.messages if INFO in message]
    assert looking
    assert found_in("\n".join(messages + looking), SECRETS) == []
    # A module comes through its standard input, so that its process has no arguments.
    assert sys.executable in {shown.partition("\n")[0].strip() for shown in watch.seen}
    assert found_in("\n".join(watch.seen), SECRETS) == []
    programs = stage.programs.read_text()
    assert f"postmap -c {stage.map.config_directory} hash:" in programs
    assert found_in(programs, SECRETS) == []

    (backup,) = stage.map.names() - stage.map.right_names()
    assert stat.S_IMODE((stage.map.directory / backup).stat().st_mode) == 0o600


def test_no_leak_with_every_error(stage: Stage) -> None:
    odd = {
        Path(f"{stage.map.path}.{name}"): source for name, (_says, source) in ODD_SOURCES.items()
    }
    for path, source in odd.items():
        path.touch(mode=0o600)
        path.write_bytes(source)
    tasks = []
    for number, (failing, _says) in enumerate(FAILURES):
        tasks.append({**failing, "name": f"Error {number}.", "ignore_errors": True})
    status, screen = stage.play(tasks, **EVERY_CALLBACK)
    assert status == 0, screen
    for text in (squeezed(screen), squeezed(stage.events())):
        for number, (failing, says) in enumerate(FAILURES):
            start = text.index(f"Error{number}.")
            end = text.find(f"Error{number + 1}.", start)
            assert squeezed(says) in text[start:end], failing
    assert stage.map.source() == SOURCE
    assert {path: path.read_bytes() for path in odd} == odd
    for text in (screen, stage.log(), "\n".join(stage.syslog.messages)):
        assert found_in(text, SECRETS) == []


def test_payload_has_no_aws_secret(stage: Stage) -> None:
    """What is sent to the managed host holds the SMTP password, and nothing that it came from.

    To look whose passwords are there, it is sent nothing that anybody could log in with.
    """
    tasks = [task(), task(entries=[{"region": "eu-west-1"}]), look()]
    status, screen = stage.play(tasks, ANSIBLE_KEEP_REMOTE_FILES="1")
    assert status == 0, screen
    sent = {}
    for name, count in (("postfix_sasl_passwd", 2), ("postfix_relay_info", 1)):
        payloads = list(stage.cli.folder.rglob(f"AnsiballZ_{name}.py"))
        assert len(payloads) == count
        texts = [part for path in payloads for part in unpacked(path.read_text())]
        assert len(texts) > 10
        sent[name] = "\n".join(texts)
        assert found_in(sent[name], [SECRET_KEY, VAULT_PASSWORD]) == []
    for region in (REGION, "eu-west-1"):
        assert found_in(sent["postfix_sasl_passwd"], [PASSWORD_OF[region]])
    assert "digests" in sent["postfix_relay_info"]
    assert found_in(sent["postfix_relay_info"], SMTP_PASSWORDS) == []
    left = [path for path in stage.cli.folder.rglob("*") if path.is_file()]
    assert found_in("".join(path.read_text(errors="replace") for path in left), [SECRET_KEY]) == []


def unpacked(wrapper: str) -> t.Iterator[str]:
    """The text of a module as it is sent, and of all files in the archives that it holds."""
    yield wrapper
    for encoded in re.findall(r"[A-Za-z0-9+/=\n\\]{400,}", wrapper):
        raw = base64.b64decode(re.sub(r"\\n|[\n\\]", "", encoded))
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for name in archive.namelist():
                yield archive.read(name).decode(errors="replace")


def test_search_finds_what_is_shown(stage: Stage) -> None:
    """That nothing is found above is not the search's fault."""
    shown = FOREIGN_PASSWORDS[0]
    tasks: list[dict[str, t.Any]] = [
        {"ansible.builtin.command": {"argv": ["cat", "{{ path }}"]}},
        {"ansible.builtin.command": {"argv": ["sleep", "2"]}, "environment": {"SHOWN": shown}},
    ]
    with ProcessWatch(str(stage.cli.folder)) as watch:
        status, screen = stage.play(tasks)
    assert status == 0, screen
    assert found_in(screen, [shown])
    assert found_in(stage.log(), [shown])
    assert found_in("\n".join(watch.seen), [shown])
    assert any("Invoked with" in message for message in stage.syslog.messages)


def test_every_python_of_a_managed_host(stage: Stage) -> None:
    """Each Python from 3.7 on that is here and that this ansible-core can manage."""
    core = as_tuple(".".join(ansible.release.__version__.split(".")[:2]))
    oldest = "3.7" if core < (2, 18) else "3.8" if core < (2, 20) else "3.9"
    hosts = {}
    for version in MANAGED_PYTHONS:
        found = interpreter(version) if as_tuple(version) >= as_tuple(oldest) else None
        if found:
            folder = stage.map.directory.with_name(f"python-{version}")
            the_map = ScratchMap(folder, "hash").make(SOURCE)
            hosts[f"python-{version}"] = (found, the_map)
    print(f"ansible-core {ansible.release.__version__}: {', '.join(hosts)}")
    assert hosts
    inventory = {
        name: {
            "ansible_connection": "local",
            "ansible_python_interpreter": found,
            "path": str(the_map.path),
            "config_directory": str(the_map.config_directory),
        }
        for name, (found, the_map) in hosts.items()
    }
    stage.cli.write("inventory.yml", yaml.safe_dump({"all": {"hosts": inventory}}))
    checks = ["result is changed", "again is not changed", f"result.entries_added == ['{KEY}']"]
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": ["vars.yml"],
        "tasks": [
            task(),
            {**task(), "register": "again"},
            {"ansible.builtin.assert": {"that": checks, "quiet": True}},
        ],
    }
    stage.cli.write("pythons.yml", yaml.safe_dump([play], width=1000))
    arguments = ("--vault-password-file", "vault-password", "-i", "inventory.yml", "pythons.yml")
    stage.cli.checked("ansible-playbook", *arguments)
    for _found, the_map in hosts.values():
        assert the_map.look_up(KEY, "[smtp.example.net]:587") == {
            KEY: f"{ACCESS_KEY}:{PASSWORD}",
            "[smtp.example.net]:587": f"them:{FOREIGN_PASSWORDS[0]}",
        }
        assert the_map.names() == the_map.right_names()
        assert the_map.exposed() == []
