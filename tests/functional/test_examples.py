# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every example in the README and in the plugins' documentation is run as it stands.

What the examples write to /etc goes to a folder of the test's, see ``own_etc``.
"""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.examples.sandbox import Sandbox
from ansible_collections.mailops.ses.tests.support.examples.table_delivery import (
    check_mail_arrives,
    write_outdated_map,
)
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli, squeezed
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

CHECKOUT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(
    (kind, path.stem)
    for kind, folder in (("filter", "filter"), ("module", "modules"))
    for path in (CHECKOUT / "plugins" / folder).glob("*.py")
    if path.stem != "__init__"
)
#: Plugins whose examples are run together, in a play each: none finds what another has written.
TOGETHER = [
    [plugin for plugin in PLUGINS if plugin[1].startswith("ses_smtp_") and plugin[0] == "filter"],
    [("module", "postfix_relay_info"), ("filter", "postfix_relay_audit")],
]
RUNS_OF_PLUGINS = [
    *TOGETHER,
    *([plugin] for plugin in PLUGINS if not any(plugin in plugins for plugins in TOGETHER)),
]
#: What has to be there before the examples of a plugin can do anything.
BEFORE: dict[str, list[dict[str, t.Any]]] = {
    "postfix_relay_key": [
        {
            "name": "Relay with the old key",
            "mailops.ses.postfix_relay": {
                "access_key": "AKIAEXAMPLE000000002",
                "secret_key": "secret/access+key/of+the+number/00000002",
                "region": "eu-west-1",
                "verify": False,
            },
        }
    ],
    "postfix_relay_rotation": [
        {
            "name": "Relay with the new access key",
            "mailops.ses.postfix_relay": {
                "access_key": ACCESS_KEY,
                "secret_key": SECRET_KEY,
                "region": "eu-west-1",
                "verify": False,
            },
            # All hosts of the sandbox are this machine.
            "run_once": True,
        }
    ],
}
#: Where the examples of a plugin run, if not on the mail servers alone.
HOSTS = {"postfix_relay_rotation": "all"}
HOST = "email-smtp.eu-west-1.amazonaws.com"
LINE = f"[{HOST}]:587 {ACCESS_KEY}:{PASSWORD_OF['eu-west-1']}\n"

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]


def readme_blocks(language: str) -> list[str]:
    """The fenced blocks of a language in the README."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$",
        (CHECKOUT / "README.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )


PLAYBOOKS = [block for block in readme_blocks("yaml") if block.startswith("- name:")]
COMMANDS = [
    line.removeprefix("$ ")
    for block in readme_blocks("console")
    for line in block.splitlines()
    if line.startswith("$ ")
]
#: Runs of the first playbook, with what they print.
RUNS = [block for block in readme_blocks("console") if block.startswith("$ ansible-playbook ")]


def test_the_readme_has_the_examples_that_are_looked_for() -> None:
    assert len(PLAYBOOKS) == 4
    assert len(RUNS) == 3
    assert sum(command.startswith(("make ", "ansible")) for command in COMMANDS) == 5 + len(RUNS)


def test_the_relay_of_the_readme_and_what_it_prints(sandbox: Sandbox, ses: SesStandIn) -> None:
    """A first run, a second one, and one with a key that SES refuses."""
    (sandbox.directory / "relay.yml").write_text(PLAYBOOKS[0])
    for text, status in zip(RUNS, (0, 0, 2), strict=True):
        if status:
            vault = {"ses_access_key_id": ACCESS_KEY, "ses_secret_access_key": SECRET_KEY[::-1]}
            (sandbox.directory / "vault.yml").write_text(json.dumps(vault))
        command, _newline, said = text.partition("\n")
        printed = squeezed(sandbox.run(f"{command.removeprefix('$ ')} 2>&1", status))
        for part in filter(None, map(squeezed, said.split("..."))):
            before, found, printed = printed.partition(part)
            assert found, f"{part} is not in {before}"
        assert (sandbox.etc / "postfix" / "sasl_passwd").read_text() == LINE
        relayhost = sandbox.run("postconf -h relayhost").strip()
        assert relayhost == f"[{HOST}]:587"
    assert [len(session.auth_attempts) for session in ses.sessions] == [1, 1, 1]


def test_the_password_file_of_the_readme(sandbox: Sandbox, ses: SesStandIn) -> None:
    write_outdated_map(sandbox, "eu-west-1")
    without_facts(sandbox).play(PLAYBOOKS[2])
    source = sandbox.etc / "postfix" / "sasl_passwd"
    assert source.read_text() == LINE
    assert source.stat().st_mode & 0o777 == 0o600
    check_mail_arrives(sandbox, ses, "eu-west-1")


def test_the_application_of_the_readme(sandbox: Sandbox) -> None:
    without_facts(sandbox).play(PLAYBOOKS[3])
    file = sandbox.etc / "app.env"
    url = f"smtp://{ACCESS_KEY}:{PASSWORD_OF['eu-west-1']}@{HOST}:587"
    assert file.read_text() == f"SMTP_URL={url}\n"
    assert file.stat().st_mode & 0o777 == 0o600


def without_facts(sandbox: Sandbox) -> Sandbox:
    """Have its plays gather none, for they take a second, and no example uses them."""
    sandbox.environment["ANSIBLE_GATHERING"] = "explicit"
    return sandbox


def test_the_map_alone_has_its_table_and_is_quiet_the_second_time(
    sandbox: Sandbox, ses: SesStandIn
) -> None:
    write_outdated_map(sandbox, "eu-west-1")
    without_facts(sandbox).play(PLAYBOOKS[1])
    source = sandbox.etc / "postfix" / "sasl_passwd"
    assert source.read_text() == LINE
    assert source.stat().st_mode & 0o777 == 0o600
    found = sandbox.run(
        "postmap -q '[email-smtp.eu-west-1.amazonaws.com]:587' /etc/postfix/sasl_passwd"
    )
    assert found == LINE.split(" ", 1)[1]
    assert "changed=0 " in sandbox.play(PLAYBOOKS[1])
    check_mail_arrives(sandbox, ses, "eu-west-1")


def test_the_ad_hoc_command_of_the_readme(sandbox: Sandbox) -> None:
    commands = [
        command for command in COMMANDS if command.startswith(("export ", "ansible localhost"))
    ]
    assert len(commands) == 3
    assert PASSWORD_OF["eu-west-1"] in sandbox.run("\n".join(commands))


def test_the_inline_vault_value_of_the_readme(sandbox: Sandbox) -> None:
    (command,) = re.findall(r"`(printf [^`]*)`", (CHECKOUT / "README.md").read_text())
    inline = sandbox.run(f"SECRET='{SECRET_KEY}'; {command.replace(chr(10), ' ')}")
    (block,) = (block for block in readme_blocks("yaml") if not block.startswith("- name:"))
    assert inline.splitlines()[0] == block.splitlines()[0]
    (sandbox.directory / "inline.yml").write_text(inline)
    output = sandbox.run(
        "ansible localhost -e @inline.yml -m ansible.builtin.copy -a "
        '"dest=out mode=0600 content={{ ses_secret_access_key | '
        "mailops.ses.ses_smtp_password('eu-west-1') }}\""
    )
    assert "CHANGED" in output
    assert (sandbox.directory / "out").read_text() == PASSWORD_OF["eu-west-1"]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, t.Any]]]:
    """The tasks of every plugin's examples, by its name, as ansible-doc tells them."""
    found: dict[str, list[dict[str, t.Any]]] = {}
    cli = AnsibleCli(tmp_path_factory.mktemp("documentation"))
    for kind in ("filter", "module"):
        names = [f"mailops.ses.{name}" for each, name in PLUGINS if each == kind]
        told = json.loads(cli.checked("ansible-doc", "--json", "-t", kind, *names))
        found |= {name: yaml.safe_load(told[name]["examples"]) for name in names}
    return found


@pytest.mark.parametrize(
    "plugins",
    RUNS_OF_PLUGINS,
    ids=["-".join(name for _kind, name in run) for run in RUNS_OF_PLUGINS],
)
def test_the_examples_of_plugins(
    sandbox: Sandbox,
    ses: SesStandIn,
    *,
    examples: dict[str, list[dict[str, t.Any]]],
    plugins: list[tuple[str, str]],
) -> None:
    plays: list[dict[str, t.Any]] = [
        {
            "name": f"The examples of {name}",
            "hosts": HOSTS.get(name, "mail"),
            "gather_facts": False,
            "vars_files": ["vault.yml"],
            "tasks": [*BEFORE.get(name, []), *examples[f"mailops.ses.{name}"]],
        }
        for _kind, name in plugins
    ]
    # One example takes the key from the environment.
    sandbox.environment |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    writes_map = ("filter", "ses_smtp_password") in plugins
    if writes_map:
        write_outdated_map(sandbox, "eu-west-1")
    output = sandbox.play(yaml.safe_dump(plays))
    assert f"ok={sum(len(play['tasks']) for play in plays)} " in output
    # With a login each, and two ports more in a loop: so that nothing passed without SES.
    sessions = {"ses_smtp_ping": 8, "postfix_relay": 6, "postfix_relay_key": 1}
    assert len(ses.sessions) == sum(sessions.get(name, 0) for _kind, name in plugins)
    senders = ["orders@example.com"] if ("module", "ses_smtp_ping") in plugins else []
    assert [message.mail_from for message in ses.messages] == senders
    if writes_map:
        check_mail_arrives(sandbox, ses, "eu-west-1")
