# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets in the wrong place of a host's files: no module shows them, whatever it does with them.

The playbook proves it with Ansible's own output; the modules alone run through many more mistakes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.isolation.own_syslog import OwnSyslog
from ansible_collections.mailops.ses.tests.support.postfix.scratch_map import ScratchMap, requested
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import program
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli, squeezed
from ansible_collections.mailops.ses.tests.support.running.module_runner import ModuleServer
from ansible_collections.mailops.ses.tests.support.running.payloads import (
    entries_payload,
    relay_payload,
    rotation_payload,
)

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

REGION = "eu-west-3"
HOST = f"email-smtp.{REGION}.amazonaws.com"
KEY = f"[{HOST}]:587"
OTHER = "[smtp.example.net]:587"
PASSWORD = PASSWORD_OF[REGION]
OF_TASK = PASSWORD_OF["eu-west-1"]
V2_PASSWORD = "An60U4ZD3sd4fg+FvXUjayOipTt8LO4rUUmhpdX6ctDy"
CHOSEN = "Their own/ch0sen+pa55word"
SECRETS = [PASSWORD, OF_TASK, V2_PASSWORD, SECRET_KEY, CHOSEN]

#: What a source holds.
SOURCES = {
    "swapped": f"{KEY} {PASSWORD}:{ACCESS_KEY}\n{OTHER} {SECRET_KEY}:{ACCESS_KEY}\n",
    "swapped, chosen": f"{KEY} {CHOSEN}:{ACCESS_KEY}\n{OTHER}\t{CHOSEN}:them\n",
    "swapped, of the bare host": f"{HOST} {V2_PASSWORD}:{ACCESS_KEY}\n",
    "reversed": f"{ACCESS_KEY}:{PASSWORD} {KEY}\nthem:{CHOSEN} {OTHER}\n",
    "reversed twice": f"{ACCESS_KEY}:{PASSWORD} {KEY}\n{ACCESS_KEY}:{PASSWORD} {OTHER}\n",
    "reversed, user name last": f"{PASSWORD} {ACCESS_KEY}:{KEY}\n{SECRET_KEY} {ACCESS_KEY}\n",
    "continued": f"{KEY}\n {V2_PASSWORD}\n :{ACCESS_KEY}\n{PASSWORD}\n\t{OTHER}\n",
    "quoted": f'"{PASSWORD}":{ACCESS_KEY} {KEY}\n"{ACCESS_KEY} {SECRET_KEY}" {OTHER}\n"{CHOSEN} x\n',
    "a colon instead of white space": f"{KEY}:{ACCESS_KEY}:{PASSWORD} x\n{KEY}:{PASSWORD}\n",
    "as in relayhost": f"{ACCESS_KEY}:{PASSWORD}@{KEY} x\n{CHOSEN}@{OTHER} them:x\n",
}
COMPILED_ONLY = ("swapped", "reversed", "reversed, user name last")
#: What main.cf has beside the map of ours.
MAIN_CFS = {
    "no type": f"smtp_sasl_password_maps = {ACCESS_KEY}:{PASSWORD}\n",
    "no type, a path": f"smtp_sasl_password_maps = MAP, {ACCESS_KEY}:/{PASSWORD}\n",
    "chosen, no type": f"smtp_sasl_password_maps = MAP them:{CHOSEN}\n",
    "static": f"smtp_sasl_password_maps = static:{ACCESS_KEY}:{PASSWORD}\n",
    "inline": f"smtp_sasl_password_maps = inline:{{ {{{KEY} = {ACCESS_KEY}:{PASSWORD}}} }}\n",
    "by a parameter": f"ses_password = {PASSWORD}\nses_maps = static:{ACCESS_KEY}:$ses_password\n"
    "smtp_sasl_password_maps = MAP, $ses_maps\n",
    "relayhost": f"relayhost = {ACCESS_KEY}:{PASSWORD}@{KEY}\n",
    "relayhost, afterwards": f"relayhost = {KEY} {ACCESS_KEY}:{PASSWORD}\n",
    "relayhost, no brackets": f"relayhost = {ACCESS_KEY}:{V2_PASSWORD}\n",
    "transport": f"default_transport = smtp:{ACCESS_KEY}:{PASSWORD}@{KEY}\n",
    "fallback": f"relayhost = {KEY}\nsmtp_fallback_relay = them:{SECRET_KEY}@{OTHER} {CHOSEN}\n"
    f"relay_transport = relay:{V2_PASSWORD}\n",
    "senders": f"sender_dependent_relayhost_maps = static:{ACCESS_KEY}:{PASSWORD}@{KEY}\n"
    f"smtp_tls_policy_maps = static:{SECRET_KEY}\n",
    "a CA file": f"smtp_tls_CAfile = {PASSWORD}\nsmtp_tls_security_level = secure\n"
    f"relayhost = {KEY}\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = MAP\n",
    "other settings": f"smtp_tls_CAfile = {PASSWORD}\nsmtp_tls_security_level = {V2_PASSWORD}\n"
    f"smtp_sasl_security_options = {SECRET_KEY}\nrelayhost = {KEY}\n",
}
MASTER_CFS = {
    "static": f"-o smtp_sasl_password_maps=static:{ACCESS_KEY}:{PASSWORD}",
    "inline": f"-o {{ smtp_sasl_password_maps = inline:{{ {KEY} = {ACCESS_KEY}:{PASSWORD} }} }}",
    "no type": f"-o smtp_sasl_password_maps={ACCESS_KEY}:{PASSWORD}",
    "level": f"-o smtp_tls_security_level={SECRET_KEY}",
    "relayhost": f"-o relayhost={ACCESS_KEY}:{PASSWORD}@{KEY}",
}
SAYS_WHAT_IT_GOT = """\
#!/bin/sh
tr '\\0' ' ' < /proc/$$/cmdline >> {log}
exec {program} "$@"
"""


class Host:
    """A Postfix that does not run, with whatever a case puts into its files; a context manager.

    Unlike pytest's, its folder can be entered by everybody, so that modes of files matter.
    """

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="redaction-")
        folder = Path(self._temporary.name)
        folder.chmod(0o755)
        self.map = ScratchMap(folder / "map", "hash").make()
        self.etc = self.map.config_directory
        self._plain = (self.etc / "main.cf").read_text()
        self.programs = folder / "programs.log"
        self.own = folder / "own"
        self.own.mkdir()
        for name in ("postmap", "postconf", "postfix"):
            script = SAYS_WHAT_IT_GOT.format(log=self.programs, program=program(name))
            (self.own / name).write_text(script)
            (self.own / name).chmod(0o755)
        self.path = f"{self.own}:/usr/sbin:/usr/bin:/sbin:/bin"
        authority = folder / "ca.pem"
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", authority)
        self.ca_file = str(authority)

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._temporary.cleanup()

    def put(
        self, source: str = "", main_cf: str = "", service: str = "", keep: bool = True
    ) -> None:
        """Have these in its files; without ``keep``, the map's table only."""
        for path in self.map.directory.iterdir():
            if path.is_dir() and path != self.etc:
                shutil.rmtree(path)
            elif path.is_file():
                path.unlink()
        shutil.rmtree(self.etc / ".mailops-ses", ignore_errors=True)
        self.map.path.touch(mode=0o600)
        self.map.path.write_text(source)
        os.utime(self.map.path, (1, 1))
        compile_it = [program("postmap"), "-c", str(self.etc), self.map.name]
        # Of most lines it warns.
        subprocess.run(compile_it, check=False, capture_output=True)
        if not keep:
            self.map.path.unlink()
        main_cf = main_cf or f"smtp_sasl_password_maps = MAP\nrelayhost = {KEY}\n"
        self.write_main_cf(main_cf)
        services = ("smtp unix - - n - - smtp", "rewrite unix - - n - - trivial-rewrite")
        lines = [f"{line}\n  {service}\n" for line in services if service]
        (self.etc / "master.cf").write_text("".join(lines))

    def write_main_cf(self, more: str) -> None:
        """Have this at the end of main.cf."""
        (self.etc / "main.cf").write_text(self._plain)
        self.add_to_main_cf(more.replace("MAP", self.map.name))

    def add_to_main_cf(self, line: str) -> None:
        """Have this at the end of main.cf, as if somebody had edited it."""
        path = self.etc / "main.cf"
        path.write_text(path.read_text() + line)
        os.utime(path, (0, 0))


RELAY_LOGIN = {"host": HOST, "port": 587, "tls": "starttls", "username": ACCESS_KEY}


class Modules:
    """All modules that read a Postfix, each in a process of its own."""

    def __init__(self, host: Host, servers: dict[str, ModuleServer]) -> None:
        self.host = host
        self._servers = servers
        self.said: list[str] = []

    def run(self, name: str, arguments: dict[str, t.Any], **how: bool) -> dict[str, t.Any]:
        """Run a module with a diff, and look whether what it says has any secret in it."""
        given = {
            "config_directory": str(self.host.etc),
            **arguments,
            "_ansible_diff": True,
            "_ansible_verbosity": 4,
            **{f"_ansible_{option}": value for option, value in how.items()},
        }
        outcome = self._servers[name].run(given, environment={"PATH": self.host.path})
        assert "Traceback" not in outcome.output, outcome.output
        assert pieces_in(outcome.output) == [], (name, arguments, outcome.output)
        self.said.append(outcome.output)
        return outcome.result

    def every_run(self) -> None:
        """Whatever can be done with a host, each for real in the end."""
        entries = entries_payload(requested(KEY, ACCESS_KEY, OF_TASK))
        of_map = {"path": str(self.host.map.path), "map_type": "hash", "password": entries}
        logins = relay_payload([{**RELAY_LOGIN, "password": OF_TASK}])
        relay = {
            "path": str(self.host.map.path),
            "map_type": "hash",
            "password": logins,
            "ca_file": self.host.ca_file,
            "verify": False,
        }
        old = {"path": str(self.host.map.path), "key": KEY, "username": "AKIAEXAMPLE000000002"}
        rotated = rotation_payload({**old, "password": OF_TASK})
        key = {"secret_key": rotated, "old_access_key": ACCESS_KEY, "verify": False}
        nothing = {"secret_key": rotation_payload()}
        gone = {**relay, "password": relay_payload(), "state": "absent"}

        self.run("postfix_relay_info", {"candidates": []})
        self.run("postfix_relay_key", key)
        self.run("postfix_relay_key", {**nothing, "state": "restored"})
        self.run("postfix_sasl_passwd", {**of_map, "exclusive": True}, check_mode=True)
        self.run("postfix_relay", relay)
        # So that absent edits main.cf, rather than to bring back the whole file.
        self.host.add_to_main_cf("# by hand\n")
        self.run("postfix_relay", gone)
        self.run("postfix_sasl_passwd", of_map)


def pieces_in(text: str) -> list[str]:
    """Each secret of which eight characters in a row are in a text, and in any case."""
    lower = text.lower()
    return [
        secret
        for secret in SECRETS
        if any(secret[at : at + 8].lower() in lower for at in range(len(secret) - 7))
    ]


@pytest.fixture(name="modules", scope="module")
def fixture_modules() -> t.Iterator[Modules]:
    names = ("postfix_sasl_passwd", "postfix_relay", "postfix_relay_info", "postfix_relay_key")
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(ModuleServer(name)) for name in names}
        yield Modules(stack.enter_context(Host()), servers)


def _assert_nothing_of_the_files(modules: Modules) -> None:
    """No secret was an argument of a program either, and something was there to be redacted."""
    assert pieces_in(modules.host.programs.read_text()) == []
    assert any("REDACTED" in said or "PASSWORD" in said for said in modules.said)
    modules.said.clear()


@pytest.mark.parametrize("case", [*SOURCES, *(f"{case} (compiled only)" for case in COMPILED_ONLY)])
def test_maps(modules: Modules, case: str) -> None:
    name, compiled_only, _rest = case.partition(" (compiled only")
    modules.host.put(SOURCES[name], keep=not compiled_only)
    modules.every_run()
    _assert_nothing_of_the_files(modules)


@pytest.mark.parametrize("case", MAIN_CFS)
def test_main_cf(modules: Modules, case: str) -> None:
    modules.host.put(f"{OTHER} them:x\n", main_cf=MAIN_CFS[case])
    modules.every_run()
    _assert_nothing_of_the_files(modules)


@pytest.mark.parametrize("case", MASTER_CFS)
def test_master_cf(modules: Modules, case: str) -> None:
    modules.host.put(f"{OTHER} them:x\n", service=MASTER_CFS[case])
    modules.every_run()
    _assert_nothing_of_the_files(modules)


# Modes

# Which of them are open: with the group postfix, and with users.
MODES = {
    "0600": (False, False),
    "0640": (False, True),
    "0602": (True, True),
    "u=rw,go=r": (True, True),
    "g+r": (False, True),
}


@pytest.mark.parametrize("group", ["postfix", "users"])
def test_a_mode_is_refused_if_and_only_if_the_audit_calls_it_open(
    modules: Modules, group: str
) -> None:
    source = modules.host.map.path
    entries = entries_payload(requested(OTHER, "u", "p"))
    options = {"path": str(source), "map_type": "hash", "password": entries, "group": group}
    for mode, is_open in MODES.items():
        modules.host.put(f"{KEY} them:x\n")
        before = modules.host.map.identities()
        done = modules.run("postfix_sasl_passwd", {**options, "mode": mode})
        refused = bool(done.get("failed"))
        if refused:
            for says in (repr(mode), "mode: '0600'", "Nothing was changed"):
                assert says in done["msg"]
            planned = modules.run("postfix_sasl_passwd", {**options, "mode": mode}, check_mode=True)
            assert (planned.get("msg"), before) == (done["msg"], modules.host.map.identities())
            # What would have come of it.
            shutil.chown(source, group=group)
            subprocess.run(["chmod", mode, source], check=True)
        looked = modules.run("postfix_relay_info", {"candidates": []})
        found = {each["file"] for each in looked["findings"] if each["id"] == "readable_by_others"}
        assert refused == (str(source) in found), (mode, found, done)
        assert refused == is_open[group == "users"], mode


def test_a_number_is_refused_unless_it_is_an_octal_mode(modules: Modules) -> None:
    entries = entries_payload(requested(OTHER, "u", "p"))
    options = {"path": str(modules.host.map.path), "map_type": "hash", "password": entries}
    for mode, fine in {0o600: True, 0o400: True, 600: False, 400: False}.items():
        modules.host.put(f"{KEY} them:x\n")
        before = modules.host.map.identities()
        done = modules.run("postfix_sasl_passwd", {**options, "mode": mode})
        if fine:
            assert modules.host.map.path.stat().st_mode & 0o7777 == mode, done
        else:
            assert f"mode is the number {mode}" in done["msg"]
            assert modules.host.map.identities() == before


# With Ansible itself

MODULE = "mailops.ses.postfix_sasl_passwd"
SWAPPED = {"username": "{{ smtp_password }}", "password": ACCESS_KEY}
TASKS: list[tuple[dict[str, t.Any], str]] = [
    ({MODULE: {"key": KEY, **SWAPPED}}, "username looks like a secret"),
    ({MODULE: {"key": KEY, "username": "{{ raw }}", "password": "x"}}, "username looks like"),
    (
        {MODULE: {"key": KEY, "username": "{{ chosen }}", "password": ACCESS_KEY}},
        "password is an access key ID",
    ),
    ({MODULE: {"key": "{{ smtp_password }}", "username": "u", "password": "x"}}, "in results and logs"),
    (
        {MODULE: {"entries": [{"key": OTHER, "username": "u", "password": "x"}, SWAPPED]}},
        "entries[1]: ",
    ),
    (
        {MODULE: {"region": REGION, "access_key": "{{ raw }}", "secret_key": ACCESS_KEY}},
        "secret_key is an access key ID",
    ),
    ({"mailops.ses.postfix_relay": {"region": REGION, **SWAPPED}}, "username looks like a secret"),
    ({"mailops.ses.ses_smtp_ping": {"region": REGION, **SWAPPED}}, "username looks like a secret"),
    (
        {"mailops.ses.postfix_relay_key": {
            "access_key": "{{ raw }}", "secret_key": ACCESS_KEY,
            "old_access_key": "AKIAEXAMPLE000000002",
        }},
        "secret_key is an access key ID",
    ),
    (
        {
            "mailops.ses.postfix_relay": {
                "region": REGION, "username": ACCESS_KEY, "password": "{{ good }}",
                "verify": False, "ca_file": "{{ ca_file }}",
            },
            "check_mode": True,
        },
        "is not a lookup table, like",
    ),
    ({MODULE: {"entries": [], "exclusive": True, "path": "{{ path }}"}, "check_mode": True}, "{{"),
    ({MODULE: {"key": OTHER, "username": "u", "password": "x", "path": "{{ path }}", "mode": "0644"}},
     "mode is '0644'"),
    ({MODULE: {"key": OTHER, "username": "u", "password": "x", "path": "{{ path }}", "mode": 600}},
     "mode is the number 600"),
    ({MODULE: {"key": OTHER, "username": "u", "password": "x", "path": "{{ path }}", "mode": 0o600}},
     "occurs more than once"),
    ({MODULE: {"region": REGION, "username": ACCESS_KEY, "password": "{{ good }}", "exclusive": True,
               "path": "{{ path }}"}}, "NEW_PASSWORD"),
    ({"mailops.ses.postfix_relay_info": {}, "register": "found"}, "instances"),
    ({"ansible.builtin.debug": {"var": "found"}}, "instances"),
]  # fmt: skip


@pytest.fixture(name="host")
def fixture_host() -> t.Iterator[Host]:
    with Host() as host:
        yield host


@pytest.mark.every_minor
def test_a_playbook_shows_no_secret_of_a_mistake(host: Host, tmp_path: Path) -> None:
    """Swapped options, an open mode, and wrong files, with all that Ansible can say of them."""
    lines = [SOURCES["swapped"], *[f"{ACCESS_KEY}:{PASSWORD} {KEY}\n"] * 2]
    relay = f"smtp_sasl_password_maps = MAP {ACCESS_KEY}:{PASSWORD}\nrelayhost = {KEY} u:{CHOSEN}\n"
    host.put("".join(lines), main_cf=relay, service=MASTER_CFS["relayhost"])
    before = host.map.source()
    tasks = []
    for number, (task, _says) in enumerate(TASKS):
        (name,) = (name for name in task if name.startswith("mailops.") or "debug" in name)
        options = task[name]
        if name.startswith("mailops.ses.postfix"):
            options = {**options, "config_directory": str(host.etc)}
        tasks.append({**task, name: options, "name": f"Mistake {number}.", "ignore_errors": True})
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "path": str(host.map.path),
            "ca_file": host.ca_file,
            "smtp_password": PASSWORD,
            "good": OF_TASK,
            "raw": SECRET_KEY,
            "chosen": CHOSEN,
        },
        "tasks": tasks,
    }
    with OwnSyslog(tmp_path / "syslog") as syslog:
        cli = AnsibleCli(tmp_path / "controller", syslog.prefix)
        cli.write("play.yml", yaml.safe_dump([play], width=1000))
        done = cli.run(
            "ansible-playbook",
            *("-vvvv", "--diff", "play.yml"),
            environment={"ANSIBLE_LOG_PATH": "ansible.log"},
        )
    assert done.returncode == 0, done.stdout
    shown = squeezed(done.stdout)
    for number, (_task, says) in enumerate(TASKS):
        start = shown.index(f"Mistake{number}.")
        end = shown.find(f"Mistake{number + 1}.", start)
        assert squeezed(says.replace("{{", "")) in shown[start:end], (number, done.stdout)
    assert "REDACTED" in shown
    log = (cli.folder / "ansible.log").read_text()
    for text in (done.stdout, log, "\n".join(syslog.messages)):
        assert found_in(text, SECRETS) == []
    assert f"{ACCESS_KEY}:{PASSWORD}".encode() in (before or b"")
    assert host.map.look_up(KEY) == {KEY: f"{ACCESS_KEY}:{OF_TASK}"}
    assert host.map.source() == f"{KEY} {ACCESS_KEY}:{OF_TASK}\n".encode()
