# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_relay_info`` on a real Postfix: it says which login Postfix then uses, and changes nothing."""

from __future__ import annotations

import os
import shutil
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._payload import pack
from ansible_collections.mailops.ses.plugins.plugin_utils._candidates import (
    find_candidates,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_map import SUFFIXES
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import (
    ScratchPostfix,
    table_types,
)
from ansible_collections.mailops.ses.tests.support.running.module_runner import run_module
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

WEST, CENTRAL = "eu-west-1", "eu-central-1"
HOST = f"email-smtp.{WEST}.amazonaws.com"
KEY = f"[{HOST}]:587"
# Where there is no Postfix, conftest.py has these tests left out; collecting must not fail there.
TYPES = table_types() if shutil.which("postconf", path="/usr/sbin:/usr/bin:/sbin:/bin") else []
ACCOUNTS = [
    Account(
        f"AKIAEXAMPLE00000000{number}",
        f"secret/access+key/of+the+number/0000000{number}",
        ("example.com", "example.org"),
    )
    for number in range(1, 5)
]
FIRST, SECOND, THIRD, FOURTH = ACCOUNTS


def login(account: Account, region: str = WEST) -> str:
    """An account's entry, without the key."""
    return f"{account.access_key}:{password_v4(account.secret_key, region)}"


class Relay:
    """A scratch Postfix that relays through SES with maps that a test writes."""

    def __init__(self, postfix: ScratchPostfix, ca_file: Path) -> None:
        self.postfix = postfix
        self.settings = {
            "relayhost": KEY,
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_tls_security_options": "noanonymous",
            "smtp_tls_security_level": "secure",
            "smtp_tls_CAfile": str(ca_file),
        }

    def path(self, name: str) -> Path:
        """A map's source."""
        return self.postfix.config_directory / name

    def map(self, name: str, *lines: str, map_type: str = "hash") -> str:
        """Write a map for root alone and make its table; returns its name for Postfix."""
        path = self.path(name)
        path.touch(mode=0o600)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        if SUFFIXES[map_type]:
            self.postfix.run("postmap", f"{map_type}:{path}")
        else:
            os.utime(path, (1, 1))  # Postfix waits for a texthash that was changed just now
        return f"{map_type}:{path}"

    def set(self, **more: str) -> None:
        """Have these settings in force."""
        self.postfix.set({**self.settings, **more})

    def look(self) -> dict[str, t.Any]:
        """Run the module, which must change no file of the instance; returns its result."""
        keys = [{"access_key": one.access_key, "secret_key": one.secret_key} for one in ACCOUNTS]
        options = {"access_key": None, "secret_key": None, "candidates": keys}
        arguments = {
            "config_directory": str(self.postfix.config_directory),
            "secret_key": pack("mailops.ses.postfix_relay_info", find_candidates(options)),
        }
        before = self._files()
        result = run_module("postfix_relay_info", arguments).result
        assert self._files() == before
        return result

    def _files(self) -> dict[str, tuple[int, int]]:
        status = {path: path.lstat() for path in self.postfix.config_directory.rglob("*")}
        return {str(path): (each.st_ino, each.st_mtime_ns) for path, each in status.items()}


@pytest.fixture(name="relay")
def fixture_relay(
    postfix: ScratchPostfix, regional_ses: SesStandIn, authority: CertificateAuthority
) -> Relay:
    for account in ACCOUNTS:
        regional_ses.accounts.add(account)
    return Relay(postfix, authority.ca_file)


def test_the_entries_it_names_are_those_that_postfix_logs_in_with(
    relay: Relay, regional_ses: SesStandIn
) -> None:
    """With a bare name that beats the bracketed one, in the second of two maps, and senders."""
    one = relay.map("one", f"{KEY} {login(FIRST)}", f"@example.org {login(SECOND, CENTRAL)}")
    two = relay.map(
        "two", f"{HOST} {login(THIRD)}", f"me@example.org {login(FOURTH)}", f"{KEY} {login(FIRST)}"
    )
    senders = relay.map(
        "senders", f"@example.org [email-smtp.{CENTRAL}.amazonaws.com]:587", f"me@example.org {KEY}"
    )
    relay.set(
        smtp_sasl_password_maps=f"{one}, {two}",
        sender_dependent_relayhost_maps=senders,
        smtp_sender_dependent_authentication="yes",
    )
    result = relay.look()
    (instance,) = result["instances"]
    said = {
        (server["host"], entry["matches"]["access_key"])
        for entry in instance["entries"]
        for server in entry["servers"]
    }
    by_sender = {
        "me@example.com": (WEST, THIRD),
        "you@example.org": (CENTRAL, SECOND),
        "me@example.org": (WEST, FOURTH),
    }
    for number, (sender, (region, account)) in enumerate(by_sender.items(), 1):
        relay.postfix.send("hello", sender=sender)
        message = regional_ses.recorder.wait_for_messages(number)[-1]
        assert (message.region, message.username) == (region, account.access_key)
        assert (f"email-smtp.{region}.amazonaws.com", account.access_key) in said
    assert len(said) == len(by_sender)
    assert {(each["id"], each["key"]) for each in result["findings"]} == {("unused_entry", KEY)}


@pytest.mark.parametrize("map_type", TYPES)
def test_every_type_of_table(relay: Relay, map_type: str) -> None:
    other = "[smtp.example.net]:587 them:sesame"
    name = relay.map("sasl_passwd", "# by hand", f"{KEY} {login(FIRST)}", other, map_type=map_type)
    relay.set(smtp_sasl_password_maps=name)
    result = relay.look()
    assert result["findings"] == []
    (instance,) = result["instances"]
    assert instance["running"] is True
    assert [(entry["line"], entry["key"], entry["table"]) for entry in instance["entries"]] == [
        (2, KEY, name),
        (3, "[smtp.example.net]:587", name),
    ]
    source = relay.path("sasl_passwd")
    source.write_text(f"{KEY} {login(SECOND)}\n", encoding="ascii")
    now = relay.look()
    has_table = bool(SUFFIXES[map_type])
    assert [each["id"] for each in now["findings"]] == (["table_stale"] if has_table else [])
    (used,) = [entry for entry in now["instances"][0]["entries"] if entry["servers"]]
    # A process of Postfix that starts now reads a texthash as it is.
    assert used["matches"]["access_key"] == (FIRST if has_table else SECOND).access_key


def test_a_stopped_postfix_and_one_without_a_relay(postfix: ScratchPostfix) -> None:
    postfix.stop()
    arguments = {"config_directory": str(postfix.config_directory)}
    deadline = time.monotonic() + 30
    while True:
        result = run_module("postfix_relay_info", arguments).result
        (instance,) = result["instances"]
        # A child that the master has just made holds its lock for a moment longer.
        if not instance["running"] or time.monotonic() > deadline:
            break
    assert result["findings"] == []
    assert (instance["running"], instance["relayhost"], instance["maps"]) == (False, [], [])


def test_a_table_that_proxymap_may_not_read(relay: Relay) -> None:
    name = relay.map("sasl_passwd", f"{KEY} {login(FIRST)}")
    relay.set(smtp_sasl_password_maps=f"proxy:{name}")
    assert [each["id"] for each in relay.look()["findings"]] == ["table_closed"]
    relay.postfix.send("hello")
    assert relay.postfix.wait_for_delivery("deferred", 30).status == "deferred"
    # The log says so a moment before the message is in the queue of deferred mail.
    assert comes_true(lambda: bool(relay.look()["instances"][0]["deferred"]["messages"]))
    deferred = relay.look()["instances"][0]["deferred"]
    assert (deferred["messages"], deferred["complete"]) == (1, True)
    assert 0 <= deferred["oldest_age"] < 600
    assert deferred["oldest_reason"].startswith("local data error while talking to email-smtp.")
    shutil.chown(relay.path("sasl_passwd.db"), group="postfix")
    relay.path("sasl_passwd.db").chmod(0o640)
    assert relay.look()["findings"] == []
    relay.postfix.reload()
    relay.postfix.wait_until_empty(30, flush=True)


def test_the_first_table_and_the_client_of_default_transport_count(
    relay: Relay, regional_ses: SesStandIn
) -> None:
    """Two tables with the same key, and a client of its own: what it reports is what Postfix does."""
    central = f"[email-smtp.{CENTRAL}.amazonaws.com]:587"
    passwords = relay.map(
        "sasl_passwd", f"{KEY} {login(FIRST)}", f"{central} {login(SECOND, CENTRAL)}"
    )
    first = relay.map("first", f"@example.org {central}")
    last = relay.map("last", f"@example.org {KEY}")
    safe = relay.map("safe", f"{central} secure")
    unsafe = relay.map("unsafe", f"{central} may")
    master_cf = relay.path("master.cf")
    service = "out unix - - n - - smtp\n -o smtp_tls_security_level=encrypt\n"
    master_cf.write_text(f"{master_cf.read_text(encoding='utf-8')}{service}", encoding="utf-8")
    relay.set(
        default_transport="out",
        smtp_sasl_password_maps=passwords,
        sender_dependent_relayhost_maps=f"{first}, {last}",
        smtp_tls_policy_maps=f"{safe}, {unsafe}",
    )
    result = relay.look()
    (instance,) = result["instances"]
    used = {
        entry["key"]: [server["host"] for server in entry["servers"]]
        for entry in instance["entries"]
    }
    assert used == {KEY: [HOST], central: [f"email-smtp.{CENTRAL}.amazonaws.com"]}
    relay.postfix.send("hello", sender="me@example.org")
    (message,) = regional_ses.recorder.wait_for_messages(1)
    assert (message.region, message.username) == (CENTRAL, SECOND.access_key)
    # The policy that counts is the first one; what has none goes by the client's own level.
    assert [(each["id"], each["severity"], each["key"]) for each in result["findings"]] == [
        ("tls_not_verified", "warning", KEY)
    ]
    assert instance["tls_security_level"] == "encrypt"
