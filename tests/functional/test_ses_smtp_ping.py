# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ses_smtp_ping with a real ansible-playbook, against the stand-in for SES; what leaks, and where."""

from __future__ import annotations

import base64
import io
import re
import socket
import typing as t
import zipfile
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli, squeezed
from ansible_collections.mailops.ses.tests.support.running.pings import (
    PYTHONS,
    REGION,
    Pings,
    write_vault,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.protocol import Listener, Mode
from ansible_collections.mailops.ses.tests.support.ses.scripted_server import ScriptedServer, talk
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

pytestmark = [pytest.mark.every_minor, pytest.mark.slow]

PASSWORD = PASSWORD_OF[REGION]
OTHER_PASSWORD = PASSWORD_OF["us-east-1"]
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
RESULT = {"ping", "host", "port", "address", "tls_version", "mechanism", "elapsed", "attempts"}


@pytest.fixture(name="ses")
def fixture_ses(authority: CertificateAuthority) -> t.Iterator[SesStandIn]:
    certificate = authority.issue("localhost", "127.0.0.1")
    listeners = [Listener(REGION, certificate, mode=mode) for mode in Mode]
    with SesStandIn(listeners, [Account(ACCESS_KEY, SECRET_KEY)]) as ses:
        yield ses


@pytest.fixture(name="cli")
def fixture_cli(tmp_path: Path) -> AnsibleCli:
    cli = AnsibleCli(tmp_path / "ansible")
    write_vault(cli)
    return cli


@pytest.fixture(name="pings")
def fixture_pings(cli: AnsibleCli, authority: CertificateAuthority) -> Pings:
    return Pings(cli, authority.ca_file)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("check", [(), ("--check",)], ids=["real", "check mode"])
def test_accepted(pings: Pings, ses: SesStandIn, python: str, check: tuple[str, ...]) -> None:
    given = {"access_key": None, "secret_key": None, "username": ACCESS_KEY, "password": PASSWORD}
    starttls: dict[str, t.Any] = {"port": ses.port(REGION)}
    wrapper: dict[str, t.Any] = {"port": ses.port(REGION, Mode.WRAPPER), "tls": "wrapper"}
    results, _output = pings.run(
        starttls, wrapper, {**starttls, **given}, arguments=(*check, "--diff"), python=python
    )
    for result, options in zip(results, (starttls, wrapper, starttls), strict=True):
        assert set(result) >= RESULT
        assert not {"diff", "reason", "answer", "msg"} & set(result)
        assert (result["changed"], result["ping"], result["attempts"]) == (False, True, 1)
        assert (result["host"], result["port"]) == ("localhost", options["port"])
        assert (result["address"], result["mechanism"]) == ("127.0.0.1", "PLAIN")
        assert result["tls_version"] in ("TLSv1.2", "TLSv1.3")
        assert 0 < result["elapsed"] < 5
    sessions = ses.recorder.wait_for_sessions(3)
    assert [session.commands[-2:] for session in sessions] == [["AUTH PLAIN", "QUIT"]] * 3
    assert ses.messages == []


def test_refused(pings: Pings, ses: SesStandIn) -> None:
    """Every refusal by its reason, as a failure and as data."""
    port = ses.port(REGION)
    given = {"username": ACCESS_KEY, "password": OTHER_PASSWORD, "port": port}
    with socket.socket() as closed, ScriptedServer(talk(b"", stays=True)) as silent:
        closed.bind(("127.0.0.1", 0))
        rows: list[tuple[dict[str, t.Any], str, list[str]]] = [
            (
                {"port": port, "access_key": "AKIAI44QH8DHBEXAMPLE"},
                "credentials_invalid",
                ['"535 Authentication Credentials Invalid"', "derived for region eu-west-1"],
            ),
            (
                given,
                "credentials_invalid",
                ["This is the password for us-east-1; region says eu-west-1"],
            ),
            ({"port": port, "version": 2}, "version_2", ["derived for no region (version 2)"]),
            (
                {**given, "password": SECRET_KEY},
                "credentials_invalid",
                ["The password is the secret access key itself"],
            ),
            (
                {"port": ses.port(REGION, Mode.STRIPPED), "tls": "starttls"},
                "tls_not_offered",
                ["offers no STARTTLS"],
            ),
            ({"port": port, "tls": "wrapper"}, "tls_not_offered", ["tls must be 'starttls'"]),
            ({"port": port, "ca_file": "/nowhere.pem"}, "ca", ["'/nowhere.pem' can't be read"]),
            ({"port": port, "ca_file": None}, "certificate", ["ca-certificates"]),
            ({"port": closed.getsockname()[1]}, "connection_refused", ["refuses the connection"]),
            ({"port": silent.port, "timeout": 0.5}, "timeout", ["was not over after 0.5 s"]),
            ({"endpoint": "no-such-host.invalid"}, "name_resolution", ["can't be resolved"]),
        ]
        tasks = [{**options, "fail": fail} for options, *_rest in rows for fail in (True, False)]
        results, output = pings.run(*tasks)
    for number, result in enumerate(results):
        _options, reason, says = rows[number // 2]
        assert result["failed"] == (number % 2 == 0)
        assert set(result) >= {*RESULT, "reason", "answer", "msg"}
        assert (result["ping"], result["changed"]) == (False, False)
        assert result["reason"] == reason, result["msg"]
        assert not [part for part in says if part not in result["msg"]], result["msg"]
    assert not found_in(output, [SECRET_KEY, PASSWORD, OTHER_PASSWORD])
    # With the secret in the environment instead.
    unset = {"access_key": None, "secret_key": None}
    (result,), _output = pings.run({**given, **unset}, environment=ENVIRONMENT)
    assert "the password for us-east-1; region says eu-west-1" in result["msg"]


def test_what_is_shown_first_is_the_whole_message(
    cli: AnsibleCli, pings: Pings, ses: SesStandIn
) -> None:
    cli.environment["ANSIBLE_STDOUT_CALLBACK"] = "default"
    done = pings.play({"port": ses.port(REGION), "region": "us-east-1"})
    shown = squeezed(done.stdout)
    assert squeezed("535 Authentication Credentials Invalid") in shown
    last = shown.index(squeezed("derived for region us-east-1 and offered to localhost"))
    assert last < (shown.index("fatal:") if "[ERROR]:" in shown else len(shown))


def test_a_man_in_the_middle_gets_nothing(pings: Pings, tmp_path: Path) -> None:
    impostor = CertificateAuthority(tmp_path, "impostor").issue("localhost")
    modes = (Mode.STARTTLS, Mode.WRAPPER)
    with SesStandIn([Listener(REGION, impostor, mode=mode) for mode in modes]) as ses:
        tasks = [{"port": ses.port(REGION, mode), "tls": mode.value} for mode in modes]
        results, _output = pings.run(*tasks)
        sessions = ses.recorder.wait_for_sessions(len(modes))
    assert [result["reason"] for result in results] == ["certificate"] * len(modes)
    for session in sessions:
        assert not session.auth_seen
        seen = session.clear_text.decode("latin-1") + repr(session.commands)
        assert not found_in(seen, [ACCESS_KEY, PASSWORD, SECRET_KEY])


def test_retries_until_ses_knows_the_key(
    pings: Pings, ses: SesStandIn, authority: CertificateAuthority
) -> None:
    ses.accounts.switch_on("key_refused", times=2)
    certificate = authority.issue("localhost", "127.0.0.1")
    with SesStandIn([Listener(REGION, certificate)], [Account(ACCESS_KEY, SECRET_KEY)]) as other:
        other.accounts.switch_on("not_subscribed")
        again = {"retries": 2, "delay": 0.1}
        tasks = [{**again, "port": each.port(REGION)} for each in (ses, other)]
        (known, refused), _output = pings.run(*tasks)
    assert (known["ping"], known["attempts"]) == (True, 3)
    assert (refused["reason"], refused["attempts"]) == ("not_subscribed", 1)


def test_no_leak(cli: AnsibleCli, pings: Pings, ses: SesStandIn) -> None:
    """The secret is nowhere, and the password in the payload alone, which only its user can read."""
    results, output = pings.run(
        {"port": ses.port(REGION)},
        {"port": ses.port(REGION), "region": "us-east-1"},
        {"port": ses.port(REGION), "secret_key": f"{SECRET_KEY}\n"},
        {"port": ses.port(REGION), "username": SECRET_KEY, "password": ACCESS_KEY},
        arguments=("-vvvv", "--diff"),
        environment={
            "ANSIBLE_KEEP_REMOTE_FILES": "1",
            "ANSIBLE_REMOTE_TEMP": str(cli.folder / "remote"),
        },
    )
    assert [result.get("ping") for result in results] == [True, False, None, None]
    assert not found_in(output, [SECRET_KEY, PASSWORD, OTHER_PASSWORD])
    payloads = list(cli.folder.glob("remote/*/AnsiballZ_ses_smtp_ping.py"))
    assert len(payloads) == 2
    texts = [path.read_text(encoding="utf-8") for path in payloads]
    assert sum(PASSWORD in text for text in texts) == 1
    for path, text in zip(payloads, texts, strict=True):
        assert path.parent.stat().st_mode & 0o077 == 0
        assert not found_in(text, [SECRET_KEY])
        (packed,) = re.findall(r"[A-Za-z0-9+/]{4000,}={0,2}", text)
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(packed))) as archive:
            names = archive.namelist()
            assert any(name.endswith("_smtp/_login.py") for name in names)
            for name in names:
                assert not found_in(archive.read(name).decode("utf-8", "replace"), [SECRET_KEY])


def test_defaults_beside_a_login_and_the_module_without_its_action(
    cli: AnsibleCli, ses: SesStandIn, authority: CertificateAuthority, tmp_path: Path
) -> None:
    """A login is not in the way of a key in module_defaults.

    The module refuses to run without its action: another action plugin, or ansible-core's own,
    would send it the secret.
    """
    for folder in ("actions", "library"):
        (tmp_path / folder).mkdir()
    (tmp_path / "library" / "bypass.py").touch()  # an action plugin needs a module of its name
    (tmp_path / "actions" / "bypass.py").write_text(
        "from ansible.plugins.action import ActionBase\n"
        "class ActionModule(ActionBase):\n"
        "    def run(self, tmp=None, task_vars=None):\n"
        "        return self._execute_module('mailops.ses.ses_smtp_ping', self._task.args,\n"
        "                                    task_vars=task_vars)\n"
    )
    cli.environment["ANSIBLE_ACTION_PLUGINS"] = str(tmp_path / "actions")
    cli.environment["ANSIBLE_LIBRARY"] = str(tmp_path / "library")
    cli.write(
        "both.yml",
        f"""
        - hosts: localhost
          connection: local
          gather_facts: false
          vars_files: [vaulted.yml]
          module_defaults:
            group/mailops.ses.ses:
              access_key: "{{{{ key_id }}}}"
              secret_key: "{{{{ secret }}}}"
              region: {REGION}
          tasks:
            - mailops.ses.ses_smtp_ping:
                username: {ACCESS_KEY}
                password: {PASSWORD}
                endpoint: localhost
                port: {ses.port(REGION)}
                ca_file: {authority.ca_file}
            - bypass:
                access_key: "{{{{ key_id }}}}"
                secret_key: "{{{{ secret }}}}"
                region: eu-west-1
        """,
    )
    done = cli.run("ansible-playbook", "--vault-password-file=vault-password", "both.yml")
    assert '"ping": true' in done.stdout
    assert done.returncode == 2
    assert squeezed("does not run without its action plugin") in squeezed(done.stdout)
