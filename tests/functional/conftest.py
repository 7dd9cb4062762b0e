# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of real mail: a stand-in for SES under its real names and ports, and a Postfix."""

from __future__ import annotations

import shutil
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, SECRET_KEY
from ansible_collections.mailops.ses.tests.support.examples.sandbox import Sandbox
from ansible_collections.mailops.ses.tests.support.isolation.hosts_file import (
    loopback_address,
    write_hosts,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import ScratchPostfix
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account
from ansible_collections.mailops.ses.tests.support.ses.behaviour import Behaviour
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.protocol import Listener, Mode
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

SES_REGIONS = ("eu-west-1", "eu-central-1")
#: Of the examples.
ACCOUNT = Account(ACCESS_KEY, SECRET_KEY, ("example.com",), configuration_sets=("shop",))


@pytest.fixture(name="authority", scope="session")
def fixture_authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """The authority that clients in these tests trust."""
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(name="regional_ses")
def fixture_regional_ses(
    request: pytest.FixtureRequest, authority: CertificateAuthority
) -> t.Iterator[SesStandIn]:
    """SES in two regions, each on an address of its own with ports 587 and 465; no accounts yet.

    Needs root for the ports.
    """
    behaviour = Behaviour.of(request.node.nodeid)
    listeners = []
    for region in SES_REGIONS:
        address = loopback_address()
        certificate = authority.issue_for_region(region)
        for port, mode in ((587, Mode.STARTTLS), (465, Mode.WRAPPER)):
            listener = Listener(region, certificate, address, port, mode, behaviour=behaviour)
            listeners.append(listener)
    with SesStandIn(listeners) as ses:
        yield ses


@pytest.fixture(name="postfix")
def fixture_postfix(regional_ses: SesStandIn) -> t.Iterator[ScratchPostfix]:
    """A running Postfix that finds the endpoints of ``regional_ses`` by name.

    It does not relay through them yet: that is main.cf's to say, see ``ScratchPostfix.set``.
    """
    hosts = {
        f"email-smtp.{listener.region}.amazonaws.com": listener.address
        for listener in regional_ses.listeners
    }
    with ScratchPostfix(hosts) as postfix:
        yield postfix


@pytest.fixture(name="sandbox")
def fixture_sandbox(tmp_path: Path) -> Sandbox:
    """For examples; needs root."""
    return Sandbox(tmp_path)


@pytest.fixture(name="ses")
def fixture_ses(
    request: pytest.FixtureRequest, sandbox: Sandbox, authority: CertificateAuthority
) -> t.Iterator[SesStandIn]:
    """SES in two regions, on all its ports; the sandbox finds it, and trusts it."""
    behaviour = Behaviour.of(request.node.nodeid)
    listeners, hosts = [], {}
    for region in ("eu-west-1", "eu-west-3"):
        address = hosts[f"email-smtp.{region}.amazonaws.com"] = loopback_address()
        certificate = authority.issue_for_region(region)
        for port in (587, 2587, 465, 2465):
            mode = Mode.WRAPPER if port in (465, 2465) else Mode.STARTTLS
            listener = Listener(region, certificate, address, port, mode, behaviour=behaviour)
            listeners.append(listener)
    sandbox.etc.mkdir(exist_ok=True)
    write_hosts(sandbox.etc / "hosts", hosts)
    sandbox.environment["SSL_CERT_FILE"] = str(authority.ca_file)
    ca_file = sandbox.etc / "ssl" / "certs" / "ca-certificates.crt"
    ca_file.parent.mkdir(parents=True)
    shutil.copy(authority.ca_file, ca_file)
    with SesStandIn(listeners, [ACCOUNT]) as stand_in:
        yield stand_in
