# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail arrives with the credentials that ``postfix_sasl_passwd`` wrote, also while they change.

A real ansible-playbook, a vault, a real Postfix, and the stand-in for SES, which knows the
passwords from botocore.
"""

from __future__ import annotations

import collections
import email
import json
import shutil
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.postfix.scratch_map import MODULE, requested
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import (
    ScratchPostfix,
    table_types,
)
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli
from ansible_collections.mailops.ses.tests.support.running.module_runner import ModuleServer
from ansible_collections.mailops.ses.tests.support.running.payloads import entries_payload
from ansible_collections.mailops.ses.tests.support.running.vaulted import vaulted
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

REGION = "eu-west-1"
ENDPOINT = f"email-smtp.{REGION}.amazonaws.com"
KEY = f"[{ENDPOINT}]:587"
# Where there is no Postfix, conftest.py has these tests left out; collecting must not fail there.
TYPES = table_types() if shutil.which("postconf", path="/usr/sbin:/usr/bin:/sbin:/bin") else []

ROTATIONS = 10
MESSAGES_PER_ROTATION = 15
ROTATION_TIMEOUT = 240.0  # seconds for all rotations of a table type; alone they take about 5

VAULT_PASSWORD = "for a test\n"
PLAYBOOK = """
    - name: Rotate the access key
      hosts: localhost
      gather_facts: false
      vars_files: [vault.yml]
      vars:
        ansible_connection: local
        ansible_python_interpreter: "{{ ansible_playbook_python }}"
      tasks:
        - name: One key after the other
          ansible.builtin.include_tasks: rotate.yml
          loop: "{{ accounts }}"
          loop_control:
            index_var: number
"""

# Not a looped module task: what that has done is only reported when its loop is over.
TASKS = """
    - name: Rotate to number {{ number }}
      mailops.ses.postfix_sasl_passwd:
        access_key: "{{ item.access_key }}"
        secret_key: "{{ item.secret_key }}"
        region: "{{ region }}"
        config_directory: "{{ config_directory }}"
        map_type: "{{ map_type }}"
      register: written

    - name: The result says where the map is and what it needs
      ansible.builtin.assert:
        quiet: true
        that:
          - written.table == map_type ~ ':' ~ config_directory ~ '/sasl_passwd'
          - written.reload_needed == (map_type == 'texthash')
"""


def account(number: int) -> Account:
    """The access key of a number, of the form that AWS gives them."""
    access_key = f"AKIAEXAMPLE{number:09d}"
    return Account(access_key, f"secret/access+key/of+the+number/{number:08d}", ("example.com",))


class Rotator(t.Protocol):
    """Has the module write the entry for one key after the other into the map of a scratch Postfix."""

    def rotate(self, *accounts: Account) -> t.Iterator[int]:
        """Write the entry for each account in turn; yields its position when that is done."""


class ModuleRotator:
    """Runs the module alone, at the pace of a playbook."""

    PAUSE = 0.3  # seconds

    def __init__(self, postfix: ScratchPostfix, map_type: str) -> None:
        self._config_directory = postfix.config_directory
        self._map_type = map_type

    def rotate(self, *accounts: Account) -> t.Iterator[int]:
        """Write the entry for each account in turn; yields its position when that is done."""
        path = self._config_directory / "sasl_passwd"
        with ModuleServer(MODULE) as module:
            for number, each in enumerate(accounts):
                entry = requested(KEY, each.access_key, password_v4(each.secret_key, REGION))
                arguments = {
                    "config_directory": str(self._config_directory),
                    "map_type": self._map_type,
                    "path": str(path),
                    "password": entries_payload(entry),
                }
                written = module.run(arguments).result
                assert written["changed"], written
                assert written["table"] == f"{self._map_type}:{path}"
                assert written["reload_needed"] == (self._map_type == "texthash")
                yield number
                # Postfix sleeps for 2 s before it reads a texthash table that was changed a moment
                # ago: wait for mail to flow again.
                waits = self._map_type == "texthash" and number % 5 == 4
                time.sleep(3 if waits else self.PAUSE)


class PlaybookRotator:
    """Runs a playbook, with a vault."""

    def __init__(self, folder: Path, postfix: ScratchPostfix, map_type: str) -> None:
        self._cli = AnsibleCli(folder)
        self._cli.write("playbook.yml", PLAYBOOK)
        self._cli.write("rotate.yml", TASKS)
        self._cli.write("vault-password", VAULT_PASSWORD)
        variables = {
            "config_directory": str(postfix.config_directory),
            "map_type": map_type,
            "region": REGION,
        }
        self._arguments = ["--vault-password-file", "vault-password"]
        self._variables = ["--extra-vars", json.dumps(variables)]

    def rotate(self, *accounts: Account) -> t.Iterator[int]:
        """Write the entry for each account in turn; yields its position when that is done.

        Not its access key: ansible-core 2.22 shows nothing that comes from a vault.

        Fails with what Ansible said if not all were written.
        """
        keys = [
            {"access_key": account.access_key, "secret_key": account.secret_key}
            for account in accounts
        ]
        content = json.dumps({"accounts": keys})
        self._cli.write("vault.yml", vaulted(content, VAULT_PASSWORD))
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "playbook.yml"]
        process = subprocess.Popen(
            [*command, *self._arguments, *self._variables],
            cwd=self._cli.folder,
            env=self._cli.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # So that reading its output ends, whatever it does.
        watchdog = threading.Timer(ROTATION_TIMEOUT, process.kill)
        watchdog.start()
        output = []
        number = -1
        try:
            with process:
                assert process.stdout is not None
                for line in process.stdout:
                    output.append(line)
                    if line.startswith("TASK [Rotate to number "):
                        number = int(line[len("TASK [Rotate to number ") :].split("]")[0])
                    elif line.startswith("changed: [localhost]"):
                        yield number
        finally:
            watchdog.cancel()
        assert process.returncode == 0, "".join(output)


def rotator_of(folder: Path, postfix: ScratchPostfix, map_type: str) -> Rotator:
    """That a playbook does the same as the module alone, one type is enough to show."""
    if map_type == TYPES[0]:
        return PlaybookRotator(folder, postfix, map_type)
    return ModuleRotator(postfix, map_type)


class Traffic(threading.Thread):
    """Hands in messages while keys rotate: a fixed number for each, spread over its time."""

    def __init__(self, postfix: ScratchPostfix) -> None:
        super().__init__(name="traffic")
        self._postfix = postfix
        self._rotations = 0
        self._pause = 0.02  # seconds; a first guess
        self._since = time.monotonic()
        self.sent: list[str] = []
        self.stopped = False

    def rotated(self) -> None:
        """A rotation is over: on with the messages of the next one, in the pace of the last."""
        now = time.monotonic()
        # Handing in takes about a fifth of the time.
        self._pause = (now - self._since) / MESSAGES_PER_ROTATION * 0.8
        self._since = now
        self._rotations += 1

    def run(self) -> None:
        while len(self.sent) < ROTATIONS * MESSAGES_PER_ROTATION and not self.stopped:
            if len(self.sent) < (self._rotations + 1) * MESSAGES_PER_ROTATION:
                subject = f"message {len(self.sent)}"
                self._postfix.send(subject)
                self.sent.append(subject)
            time.sleep(self._pause)


@pytest.fixture(name="relaying")
def fixture_relaying(
    request: pytest.FixtureRequest, postfix: ScratchPostfix, authority: CertificateAuthority
) -> str:
    """Let the scratch Postfix relay through SES, with a map of a type; returns the type."""
    map_type = str(request.param)
    postfix.set(
        {
            "relayhost": KEY,
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_password_maps": f"{map_type}:{postfix.config_directory}/sasl_passwd",
            "smtp_sasl_security_options": "noanonymous, noplaintext",
            "smtp_sasl_tls_security_options": "noanonymous",
            "smtp_tls_security_level": "secure",
            "smtp_tls_CAfile": str(authority.ca_file),
            # Every message logs in anew, so every message depends on the map as it is then.
            "smtp_connection_cache_on_demand": "no",
        }
    )
    return map_type


def test_every_table_type_is_tested() -> None:
    """The list of this file is what Postfix itself says, and not too short by a mistake."""
    assert table_types() == TYPES
    assert "texthash" in TYPES
    assert len(TYPES) > 1


@pytest.mark.parametrize(
    "relaying",
    # One type is enough to see that a minor of ansible-core can do it.
    [*(pytest.param(name, marks=pytest.mark.every_minor) for name in TYPES[:1]), *TYPES[1:]],
    indirect=True,
)
def test_delivered(
    tmp_path: Path, postfix: ScratchPostfix, regional_ses: SesStandIn, relaying: str
) -> None:
    """A key that SES refuses defers the mail; the next key delivers it, in verified TLS."""
    old, new = account(1), account(2)
    rotator = rotator_of(tmp_path, postfix, relaying)
    regional_ses.accounts.add(new)

    assert list(rotator.rotate(old)) == [0]
    postfix.send("hello")
    deferred = postfix.wait_for_delivery("deferred", 60)
    assert "535 Authentication Credentials Invalid" in deferred.text
    assert not regional_ses.messages

    assert list(rotator.rotate(new)) == [0]
    if relaying == "texthash":
        postfix.reload()
    # On a busy machine Postfix may look at the mail before it has forgotten the refusal, and then
    # not again for a minute, unless it is told to.
    postfix.wait_until_empty(90, flush=True)
    (message,) = regional_ses.recorder.wait_for_messages(1)
    assert (message.username, message.region) == (new.access_key, REGION)
    assert message.tls_version == "TLSv1.3"
    assert message.recipients == ("recipient@example.net",)
    assert email.message_from_bytes(message.data)["Subject"] == "hello"
    assert comes_true(lambda: postfix.deliveries()[-1].status == "sent"), postfix.log()
    verified = f"Verified TLS connection established to {ENDPOINT}["
    assert comes_true(lambda: verified in postfix.log()), postfix.log()
    for session in regional_ses.recorder.wait_for_sessions(2):
        assert session.tls_version is not None
        assert b"AUTH" not in session.clear_text
        assert {attempt.username for attempt in session.auth_attempts} <= {
            old.access_key,
            new.access_key,
        }


@pytest.mark.parametrize("relaying", TYPES, indirect=True)
def test_rotation_while_mail_flows(
    tmp_path: Path, postfix: ScratchPostfix, regional_ses: SesStandIn, relaying: str
) -> None:
    """150 messages during ten rotations: each arrives exactly once, none bounces, none is left."""
    accounts = [account(number) for number in range(ROTATIONS + 1)]
    rotator = rotator_of(tmp_path, postfix, relaying)
    # As in IAM, the next key is there before the rotation, and the old one until after it.
    for each in accounts:
        regional_ses.accounts.add(each)
    rotated = rotator.rotate(*accounts)
    assert next(rotated) == 0
    # smtp(8) has found no map so far.
    postfix.reload()

    traffic = Traffic(postfix)
    traffic.start()
    try:
        for number, old in enumerate(accounts[:-1], 1):
            assert next(rotated) == number
            if relaying == "texthash":
                postfix.reload()
            regional_ses.accounts.remove(old.access_key)
            traffic.rotated()
        assert list(rotated) == []
    finally:
        if sys.exc_info()[0] is not None:
            traffic.stopped = True
        traffic.join(120)
    sent = traffic.sent
    assert len(sent) == ROTATIONS * MESSAGES_PER_ROTATION

    # A message that was on its way with the old key, and is then refused, is tried again a minute or
    # more later ("skipped, still being delivered" during a reload) if it is not flushed.
    postfix.wait_until_empty(120, flush=True)
    messages = regional_ses.recorder.wait_for_messages(len(sent))
    subjects = [email.message_from_bytes(message.data)["Subject"] for message in messages]
    assert collections.Counter(subjects) == collections.Counter(sent)

    def statuses() -> collections.Counter[str]:
        return collections.Counter(delivery.status for delivery in postfix.deliveries())

    assert comes_true(lambda: statuses()["sent"] == len(sent)), statuses()
    assert set(statuses()) <= {"sent", "deferred"}
    # Mail flowed all the time: it went out with nearly every key, with texthash at each pause.
    used = {message.username for message in messages}
    print(f"{relaying}: {dict(statuses())}, with {len(used)} keys")
    assert len(used) >= (ROTATIONS // 5 if relaying == "texthash" else ROTATIONS * 0.8)

    left = {path.name: path.read_bytes() for path in postfix.config_directory.iterdir()}
    for name, content in left.items():
        for each in accounts[:-1]:
            assert password_v4(each.secret_key, REGION).encode() not in content, name
