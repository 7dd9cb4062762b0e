# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of real mail: a stand-in for SES under its real names and ports, and a Postfix."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.tests.support.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.hosts_file import loopback_address
from ansible_collections.mailops.ses.tests.support.scratch_postfix import ScratchPostfix
from ansible_collections.mailops.ses.tests.support.ses_protocol import Listener, Mode
from ansible_collections.mailops.ses.tests.support.ses_stand_in import SesStandIn

SES_REGIONS = ("eu-west-1", "eu-central-1")


@pytest.fixture(name="authority", scope="session")
def fixture_authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """The authority that clients in these tests trust."""
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(name="regional_ses")
def fixture_regional_ses(authority: CertificateAuthority) -> t.Iterator[SesStandIn]:
    """SES in two regions, each on an address of its own with ports 587 and 465; no accounts yet.

    Needs root for the ports.
    """
    listeners = []
    for region in SES_REGIONS:
        address = loopback_address()
        certificate = authority.issue_for_region(region)
        listeners.append(Listener(region, certificate, address, 587))
        listeners.append(Listener(region, certificate, address, 465, Mode.WRAPPER))
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
