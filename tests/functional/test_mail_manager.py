# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A relay through Mail Manager, AWS's second SMTP system: set up, used, audited, and left alone."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    MAIL_MANAGER,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.isolation.hosts_file import loopback_address
from ansible_collections.mailops.ses.tests.support.postfix.relay_runner import RelayRunner, files
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import ScratchPostfix
from ansible_collections.mailops.ses.tests.support.ses.account_book import AccountBook
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, IngressEndpoint
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.protocol import Listener, System
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

HOST, USERNAME, PASSWORD = (MAIL_MANAGER[name] for name in ("endpoint", "username", "password"))
SERVER = f"[{HOST}]:587"
LOGIN: dict[str, t.Any] = {**MAIL_MANAGER}
ACCEPTS = "Mail Manager accepts a message before its rules are applied. A rule may still drop it"


@pytest.fixture(name="manager")
def fixture_manager(authority: CertificateAuthority) -> t.Iterator[SesStandIn]:
    """An ingress endpoint that accepts the login that was chosen for it, and no other."""
    listener = Listener(
        "eu-west-1", authority.issue(HOST), loopback_address(), 587, system=System.MAIL_MANAGER
    )
    accounts = AccountBook(ingress_endpoints=[IngressEndpoint(USERNAME, (PASSWORD,))])
    with SesStandIn([listener], accounts) as manager:
        yield manager


@pytest.fixture(name="postfix")
def fixture_postfix(manager: SesStandIn) -> t.Iterator[ScratchPostfix]:
    with ScratchPostfix({HOST: manager.listeners[0].address}) as postfix:
        yield postfix


@pytest.fixture(name="relay")
def fixture_relay(
    tmp_path: Path, postfix: ScratchPostfix, authority: CertificateAuthority
) -> RelayRunner:
    return RelayRunner(tmp_path, postfix, authority.ca_file)


def test_a_relay(postfix: ScratchPostfix, manager: SesStandIn, relay: RelayRunner) -> None:
    task = relay.task(**LOGIN)
    predicted, done, again = relay.run_all({**task, "check_mode": True}, task, task)
    assert predicted["changed"]
    assert not done["failed"], done
    assert not again["changed"]
    (proof,) = done["proof"]
    assert (proof["server"], proof["shown_by"]) == (SERVER, "postfix")
    assert proof["reason"].startswith("250 ")
    assert proof["reason"].endswith(f". {ACCEPTS}")
    assert (postfix.config_directory / "sasl_passwd").read_text() == (
        f"{SERVER} {USERNAME}:{PASSWORD}\n"
    )
    assert not found_in(relay.output, [PASSWORD])
    postfix.send("hello")
    (message,) = manager.recorder.wait_for_messages(1)
    assert message.username == USERNAME
    shown = relay.audit(audit_probe=True)
    where = f"On: mx1 ({postfix.config_directory})"
    assert f"Accepted by Mail Manager. {ACCEPTS} {where}" in shown
    assert f"User name {USERNAME} (Mail Manager): 1 host (mx1)" in shown
    assert "0 critical, 0 warnings" in shown


def test_a_login_that_is_refused(postfix: ScratchPostfix, relay: RelayRunner) -> None:
    there = files(postfix)
    ran = relay.run(**{**LOGIN, "password": "another-one"})
    assert ran["failed"]
    assert f'{HOST} port 587 answered "535' in ran["msg"]
    assert "Mail Manager rejects this login. Usual causes" in ran["msg"]
    assert ran["msg"].endswith("Nothing was changed")
    assert ran.files == there


def test_an_access_key_is_refused_before_the_host_is_asked(
    postfix: ScratchPostfix, manager: SesStandIn, relay: RelayRunner
) -> None:
    there = files(postfix)
    derived, wrapped = relay.run_all(
        relay.task(key=Account(ACCESS_KEY, SECRET_KEY), endpoint=HOST),
        relay.task(**LOGIN, port=465),
    )
    assert "whose password is chosen when it is created" in derived["msg"]
    assert "does not support TLS from the first byte" in wrapped["msg"]
    for ran in (derived, wrapped):
        assert ran["failed"]
        assert ran.files == there
    assert manager.sessions == []


def test_a_rotation_leaves_it_alone(
    postfix: ScratchPostfix, manager: SesStandIn, relay: RelayRunner
) -> None:
    rotation = {
        "mailops.ses.postfix_relay_key": {
            "config_directory": str(postfix.config_directory),
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "old_access_key": "AKIAEXAMPLE000000002",
        },
        "register": "found",
    }
    done, rotated = relay.run_all(relay.task(**LOGIN), rotation)
    assert not done["failed"], done
    assert rotated["mail_manager_entries"] == [SERVER]
    assert not rotated["changed"]
    assert rotated.files == done.files


def test_the_role(postfix: ScratchPostfix, manager: SesStandIn, relay: RelayRunner) -> None:
    relay.role(
        ["chroot", "distribution", "pkg_mgr", "python", "service_mgr"],
        **LOGIN,
        packages=[],
        service=False,
        test_message=True,
        test_message_sender="sender@example.com",
    )
    (message,) = manager.recorder.wait_for_messages(1)
    assert message.username == USERNAME
    assert ACCEPTS in relay.output
    assert f"{SERVER} {USERNAME}:{PASSWORD}\n" == (
        (postfix.config_directory / "sasl_passwd").read_text()
    )
