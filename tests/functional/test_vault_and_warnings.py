# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The key comes from ansible-vault or the environment, and warnings come once: the real programs."""

from __future__ import annotations

import base64
import json
import stat
import sys
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli, squeezed

pytestmark = [pytest.mark.every_minor, pytest.mark.slow]

REGION = "eu-west-3"  # its password has a "/" and a "+"
PASSWORD = PASSWORD_OF[REGION]
VERSION_2_WARNING = "without a region this is a version 2 password"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
AD_HOC = ("localhost", "-m", "mailops.ses.ses_smtp_credentials", "-a")

# One inline value a vault ID, and a file whose secret is for another.
VAULTED_PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars_files: [vaulted.yml]
  vars:
    inline_secret: {inline}
    inline_newline: {newline}
    password_region: {region}
  tasks:
    - name: A template with the inline value
      ansible.builtin.copy:
        content: >
          [{{{{ password_region | mailops.ses.ses_smtp_endpoint }}}}]:587
          {{{{ file_access_key }}}}:{{{{ inline_secret | mailops.ses.ses_smtp_password(password_region) }}}}
        dest: inline_sasl_passwd
        mode: '0600'
      diff: false
    - name: A template with the value of a file
      ansible.builtin.template:
        src: sasl_passwd.j2
        dest: sasl_passwd
        mode: '0600'
      diff: false
    - name: The module with the inline value
      mailops.ses.ses_smtp_credentials:
        access_key: "{{{{ file_access_key }}}}"
        secret_key: "{{{{ inline_secret }}}}"
        region: "{{{{ password_region }}}}"
      register: inline_result
    - name: The module with an inline value in its place
      mailops.ses.ses_smtp_credentials:
        access_key: {access_key}
        secret_key: {inline_argument}
        region: {region}
      register: argument_result
    - name: The module with the value of a file
      mailops.ses.ses_smtp_credentials:
        access_key: "{{{{ file_access_key }}}}"
        secret_key: "{{{{ file_secret }}}}"
        region: {region}
      register: file_result
    - name: What was registered, for the test
      ansible.builtin.copy:
        content: "{{{{ (item.password + ' ' + item.url) | b64encode }}}}"
        dest: "result{{{{ number }}}}"
        mode: '0600'
      loop: "{{{{ [inline_result, argument_result, file_result] }}}}"
      loop_control: {{index_var: number, label: result}}
      diff: false
      no_log: true
    - name: A newline in an inline value, filter
      ansible.builtin.debug:
        msg: "{{{{ inline_newline | mailops.ses.ses_smtp_password('{region}') }}}}"
      ignore_errors: true
    - name: A newline in an inline value, module
      mailops.ses.ses_smtp_credentials:
        access_key: "{{{{ file_access_key }}}}"
        secret_key: "{{{{ inline_newline }}}}"
        region: {region}
      ignore_errors: true
    - name: A newline in the value of a file
      mailops.ses.ses_smtp_credentials:
        access_key: "{{{{ file_access_key }}}}"
        secret_key: "{{{{ file_newline }}}}"
        region: {region}
      ignore_errors: true
"""

# Two hosts, and templates in the worker processes (tasks) and in the main one (a play's name).
FILTER_PLAYS = """
- name: Four tasks on two hosts
  hosts: all
  gather_facts: false
  vars:
    arguments: {arguments}
  tasks:
    - ansible.builtin.debug:
        msg: "{{{{ (secret | mailops.ses.ses_smtp_password(**arguments)) is string }}}}"
    - ansible.builtin.assert:
        that: (secret | mailops.ses.ses_smtp_password(**arguments)) is string
    - ansible.builtin.set_fact:
        number: "{{{{ [secret, secret] | map('mailops.ses.ses_smtp_password', **arguments) | length }}}}"
    - ansible.builtin.debug:
        msg: "{{{{ (item ~ secret[1:]) | mailops.ses.ses_smtp_password(**arguments) | length }}}}"
      loop: [a, b, c]
- name: Another play
  hosts: all
  gather_facts: false
  vars:
    arguments: {arguments}
  tasks:
    - ansible.builtin.debug:
        msg: "{{{{ secret | mailops.ses.ses_smtp_password(**arguments) | length }}}}"
"""
#: Whichever plugins of the collection see it, and on however many hosts.
OTHER_WARNINGS = """
- name: A secret of another form, and a region that the module does not know
  hosts: all
  gather_facts: false
  vars:
    other: some+secret+key
  tasks:
    - ansible.builtin.debug:
        msg: "{{ (other | mailops.ses.ses_smtp_password('eu-west-1')) is string }}"
    - mailops.ses.ses_smtp_credentials:
        access_key: AKIAIOSFODNN7EXAMPLE
        secret_key: "{{ other }}"
        region: eu-west-1
    - ansible.builtin.debug:
        msg: "{{ ('' | mailops.ses.ses_smtp_password_info('another+secret+key')).matches }}"
    - mailops.ses.ses_smtp_credentials:
        region: eu-wset-2
    - mailops.ses.ses_smtp_credentials:
        region: eu-wset-2
        tls: wrapper
"""
HOSTS = "".join(f"host{number} ansible_connection=local\n" for number in range(2))


def indented(vaulted: str, spaces: int) -> str:
    """Return what ``ansible-vault encrypt_string`` printed, to stand after a YAML key."""
    first, *rest = vaulted.strip().splitlines()
    return "\n".join([first, *(" " * spaces + line.strip() for line in rest)])


@pytest.fixture(name="cli")
def fixture_cli(tmp_path: Path) -> AnsibleCli:
    return AnsibleCli(tmp_path)


@pytest.fixture(name="vaulted")
def fixture_vaulted(cli: AnsibleCli) -> tuple[str, ...]:
    """Files and inline values under two vault IDs; returns the arguments that open them."""
    cli.write("dev-password", "the vault password of dev")
    cli.write("prod-password", "the vault password of prod")
    identities = ("--vault-id", "dev@dev-password", "--vault-id", "prod@prod-password")
    cli.write(
        "vaulted.yml",
        f"""
        file_access_key: {ACCESS_KEY}
        file_secret: {SECRET_KEY}
        file_newline: |
          {SECRET_KEY}
        """,
    )
    cli.checked(
        "ansible-vault", "encrypt", *identities, "--encrypt-vault-id", "prod", "vaulted.yml"
    )
    encrypt = ("ansible-vault", "encrypt_string", *identities, "--encrypt-vault-id", "dev")
    # As `echo SECRET | ansible-vault encrypt_string` does it, the usual way to a newline.
    newline = cli.checked(*encrypt, "--stdin-name", "x", stdin=f"{SECRET_KEY}\n")
    inline = cli.checked(*encrypt, "--stdin-name", "x", stdin=SECRET_KEY)
    values = {name: text[text.index("!vault") :] for name, text in [("n", newline), ("i", inline)]}
    cli.write(
        "sasl_passwd.j2",
        "{{ ['[h]:587 ', file_access_key, ':'] | join }}"
        "{{ file_secret | mailops.ses.ses_smtp_password(region=password_region) }}\n",
    )
    (cli.folder / "play.yml").write_text(
        VAULTED_PLAYBOOK.format(
            inline=indented(values["i"], 6),
            inline_argument=indented(values["i"], 10),
            newline=indented(values["n"], 6),
            access_key=ACCESS_KEY,
            region=REGION,
        ),
        encoding="utf-8",
    )
    return identities


def test_vault(cli: AnsibleCli, vaulted: tuple[str, ...]) -> None:
    done = cli.run("ansible-playbook", *vaulted, "play.yml", "-v")
    assert done.returncode == 0, done.stdout
    assert "failed=0" in done.stdout
    assert "ignored=3" in done.stdout
    for name, start in (
        ("inline_sasl_passwd", f"[email-smtp.{REGION}.amazonaws.com]:587 "),
        ("sasl_passwd", "[h]:587 "),
    ):
        file = cli.folder / name
        assert file.read_text() == f"{start}{ACCESS_KEY}:{PASSWORD}\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    url = f"smtp://{ACCESS_KEY}:BDDdpSTzbzUY3SJq%2Fn4Oq7heDuCWbOtogMi5S3AR673%2B"
    for number in range(3):
        registered = base64.b64decode((cli.folder / f"result{number}").read_text()).decode()
        assert registered == f"{PASSWORD} {url}@email-smtp.{REGION}.amazonaws.com:587"
    output = squeezed(done.stdout)
    error = squeezed("secret_key has white space after it (a newline at the end). Store it without")
    for name in ("A newline in an inline value, filter", "A newline in an inline value, module",
                 "A newline in the value of a file"):  # fmt: skip
        task = output[output.index(squeezed(f"TASK [{name}]")) :].split("TASK[", 2)[1]
        assert error in task
        assert "...ignoring" in task
    assert squeezed("mailops.ses.ses_smtp_password: secret_key has white space") in output
    assert squeezed("mailops.ses.ses_smtp_credentials: secret_key has white space") in output
    assert found_in(done.stdout, [SECRET_KEY, PASSWORD]) == []


def test_ad_hoc_with_the_environment_of_the_controller(cli: AnsibleCli) -> None:
    done = cli.run("ansible", *AD_HOC, f"region={REGION} reveal=true", environment=ENVIRONMENT)
    assert done.returncode == 0, done.stdout
    assert "SUCCESS" in done.stdout
    assert f'"password": "{PASSWORD}"' in done.stdout
    assert f'"username": "{ACCESS_KEY}"' in done.stdout
    assert f'"relayhost": "[email-smtp.{REGION}.amazonaws.com]:587"' in done.stdout


def test_ad_hoc_without_reveal(cli: AnsibleCli) -> None:
    environment = {**ENVIRONMENT, "AWS_REGION": REGION}
    done = cli.run("ansible", *AD_HOC, "tls=wrapper", "-vvvv", environment=environment)
    assert done.returncode == 0, done.stdout
    assert "SUCCESS" in done.stdout
    assert found_in(done.stdout, [SECRET_KEY, PASSWORD]) == []


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"AWS_ACCESS_KEY_ID": ACCESS_KEY}, "set AWS_SECRET_ACCESS_KEY in the environment"),
        ({"AWS_SECRET_ACCESS_KEY": SECRET_KEY}, "set AWS_ACCESS_KEY_ID in the environment"),
        ({**ENVIRONMENT, "AWS_SECRET_ACCESS_KEY": ""}, "secret_key is empty"),
    ],
    ids=["no secret", "no ID", "empty secret"],
)
def test_ad_hoc_with_a_variable_unset(
    cli: AnsibleCli, environment: dict[str, str], says: str
) -> None:
    done = cli.run("ansible", *AD_HOC, f"region={REGION} reveal=true", environment=environment)
    assert done.returncode != 0
    assert "FAILED" in done.stdout
    assert squeezed(says) in squeezed(done.stdout)
    assert found_in(done.stdout, [SECRET_KEY, PASSWORD]) == []


def test_environment_of_the_task_is_not_the_controllers(cli: AnsibleCli) -> None:
    cli.write(
        "play.yml",
        """
        - hosts: localhost
          gather_facts: false
          tasks:
            - mailops.ses.ses_smtp_credentials:
                region: eu-west-3
              environment:
                AWS_SECRET_ACCESS_KEY: "{{ 'not' ~ 'this' }}"
        """,
    )
    done = cli.run("ansible-playbook", "play.yml", environment={"AWS_ACCESS_KEY_ID": ACCESS_KEY})
    assert done.returncode != 0
    assert squeezed("secret_key is missing") in squeezed(done.stdout)


def test_environment_of_the_task_stays_here(cli: AnsibleCli) -> None:
    """It names another key than the controller's: an error, or nothing that a host gets to see."""
    seen = cli.folder / "seen"
    python = cli.write("python", f'#!/bin/sh\nenv >>{seen}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    key = {"access_key": ACCESS_KEY, "secret_key": "{{ secret }}", "region": REGION}
    server = {"endpoint": "localhost", "port": 1, "timeout": 1}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"ansible_connection": "local", "ansible_python_interpreter": str(python)},
        "environment": {"AWS_SECRET_ACCESS_KEY": "{{ other }}", "AWS_PROFILE": "mail"},
        "tasks": [
            {"ansible.builtin.shell": f"mv {seen} {seen}-by-others"},
            {
                "mailops.ses.ses_smtp_ping": {**key, **server},
                "environment": {"KEPT": "by our modules"},
                "ignore_errors": True,
            },
            {"mailops.ses.ses_smtp_ping": server, "ignore_errors": True},
            {"mailops.ses.ses_smtp_credentials": {"region": REGION, "profile": "mail"}},
        ],
    }
    cli.write("play.yml", json.dumps([play]))
    other = "secret/access+key/of+the+number/00000002"
    extra = ("-e", f"secret={SECRET_KEY} other={other}")
    done = cli.run("ansible-playbook", *extra, "play.yml", environment=ENVIRONMENT)
    assert found_in(done.stdout, [SECRET_KEY, other]) == []
    assert f"AWS_SECRET_ACCESS_KEY={other}\n" in Path(f"{seen}-by-others").read_text()
    # The connection is local, so that it has the controller's environment.
    assert other not in seen.read_text()
    assert "AWS_PROFILE" not in seen.read_text()
    assert "KEPT=by our modules\n" in seen.read_text()
    output = squeezed(done.stdout)
    assert squeezed("localhost port 1 (127.0.0.1) refuses the connection") in output
    assert (
        squeezed("AWS_PROFILE, AWS_SECRET_ACCESS_KEY in the environment of the task or play")
        in output
    )
    assert squeezed("Profiles of AWS's tools are not read. Give access_key") in output


def run_plays(cli: AnsibleCli, *plays: str) -> str:
    """Run them at once, on all hosts; what is on the screen, without white space."""
    cli.write("hosts", HOSTS)
    (cli.folder / "play.yml").write_text("".join(plays), encoding="utf-8")
    extra = ("-i", "hosts", "-e", f"secret={SECRET_KEY}")
    output: str = cli.checked("ansible-playbook", *extra, "play.yml", environment=ENVIRONMENT)
    assert output.count("failed=0") == 2
    return squeezed(output)


def count(text: str, *, of: str) -> int:
    return text.count(squeezed(of))


def test_each_warning_comes_once(cli: AnsibleCli) -> None:
    """However often there is a reason for it; each of them has another."""
    of_filter = [FILTER_PLAYS.format(arguments=each) for each in ("{}", "{region: eu-wset-1}")]
    output = run_plays(cli, *of_filter, OTHER_WARNINGS)
    assert count(output, of=VERSION_2_WARNING) == 1
    assert count(output, of="Give a region for version 4, or say version=2") == 1
    other_form = "mailops.ses: secret_key does not look like the secret access key of"
    for warning in (
        "mailops.ses.ses_smtp_password: without a region",
        "mailops.ses.ses_smtp_password: region 'eu-wset-1'",
        "mailops.ses.ses_smtp_credentials: region 'eu-wset-2'",
        other_form,
    ):
        assert count(output, of=f"[WARNING]: {warning}") == 1, warning
    assert count(output, of="[WARNING]: mailops.ses") == 4
    assert "some+secret+key" not in output


def test_no_warning_if_version_or_region_is_said(cli: AnsibleCli) -> None:
    arguments = ("{version: 2}", "{region: eu-west-1}")
    output = run_plays(cli, *(FILTER_PLAYS.format(arguments=each) for each in arguments))
    assert "WARNING" not in output
    assert "version2" not in output
