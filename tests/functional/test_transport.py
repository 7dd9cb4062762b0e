# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An SMTP client for Amazon SES alone, beside other mail, on a running Postfix.

More set-ups with it are in tests/support/postfix/set_ups/own_client.yml.
"""

from __future__ import annotations

import re
import shlex
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._services import resolve
from ansible_collections.mailops.ses.tests.support.postfix.set_up_cases import Flow, SetUp
from ansible_collections.mailops.ses.tests.support.postfix.set_up_host import (
    OTHER_REGION,
    SetUpHost,
)
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

SES = "[email-smtp.eu-west-1.amazonaws.com]:587"
ALL = Flow(("internet",), ("ses",))
INTERNAL = Flow(("other",), ("other",), "@internal.example")
BESIDE = SetUp("transport_maps = inline:{internal.example=smtp:[other.example]:2525}\n")


@pytest.fixture(scope="module", name="host")
def fixture_host(
    tmp_path_factory: pytest.TempPathFactory, authority: CertificateAuthority
) -> t.Iterator[SetUpHost]:
    with SetUpHost(tmp_path_factory.mktemp("transport"), authority) as host:
        yield host


def set_up(host: SetUpHost, *arguments: t.Any, **options: t.Any) -> dict[str, t.Any]:
    result: dict[str, t.Any] = host.set_up(*arguments, **options)
    assert "failed" not in result, result
    return result


def assert_delivered(host: SetUpHost, *flows: Flow, when: str = "after") -> None:
    assert {flow: tuple(host.deliver(flow)) for flow in flows} == {
        flow: getattr(flow, when) for flow in flows
    }


def test_port_465_works_beside_other_mail(host: SetUpHost) -> None:
    host.configure(BESIDE)
    before = host.contents()
    refused = host.set_up(port=465)
    assert "transport=ses" in refused["msg"]
    assert host.contents() == before
    result = set_up(host, port=465, transport="ses")
    assert result["proof"][0]["shown_by"] == "postfix"
    assert_delivered(host, ALL, INTERNAL)
    assert set_up(host, transport="ses")["changed"]
    assert_delivered(host, ALL, INTERNAL)
    set_up(host, None)
    assert host.contents() == before


def test_a_relay_changes_its_client_and_back(host: SetUpHost) -> None:
    """What only the previous one needs is restored, and mail arrives with each."""
    host.configure(SetUp("smtp_sasl_security_options = noanonymous\nsmtp_tls_loglevel = 1\n"))
    before = host.contents()
    set_up(host)
    shared = host.contents()
    assert_delivered(host, ALL)
    predicted = set_up(host, transport="ses", check=True)
    done = set_up(host, transport="ses")
    assert predicted["settings"] == done["settings"]
    assert predicted["diff"] == done["diff"]
    assert done["settings"]["smtp_tls_security_level"]["after"] is None
    assert_delivered(host, ALL)
    assert not set_up(host, transport="ses")["changed"]
    set_up(host)
    assert host.contents()["master.cf"] == shared["master.cf"] == before["master.cf"]
    assert_delivered(host, ALL)
    assert not set_up(host)["changed"]
    set_up(host, None)
    assert host.contents() == before


def test_a_rate_delay_paces_the_mail_to_ses(host: SetUpHost) -> None:
    host.configure(SetUp("ses_destination_rate_delay = 1s\n"))
    set_up(host, transport="ses")
    started = time.monotonic()
    for _each in range(3):
        assert_delivered(host, ALL)
    assert time.monotonic() - started >= 2
    assert host.postfix.run("postconf", "-h", "smtp_destination_rate_delay").strip() != "1s"
    set_up(host, None)


def test_postfix_routes_as_the_model_says(host: SetUpHost) -> None:
    host.configure(SetUp(f"relay_domains = relayed.example\n{BESIDE.main_cf}"))
    set_up(host, transport="ses", senders=["@example.com"])
    queue = str(host.postfix.directory / "queue")
    routes = {
        pair: tuple(resolve(queue, *pair)[:2])
        for pair in (
            ("a@sender.example", "b@example.net"),
            ("a@example.com", "b@example.net"),
            ("", "b@relayed.example"),
            ("a@example.com", "b@internal.example"),
        )
    }
    assert list(routes.values()) == [("ses", SES)] * 3 + [("smtp", "[other.example]:2525")]
    set_up(host, OTHER_REGION, transport="ses")
    assert resolve(queue, "a@example.com", "b@example.net").nexthop != SES
    set_up(host, None)


def test_a_service_that_somebody_has_weakened(host: SetUpHost) -> None:
    """It is found, its remedy helps when it is followed, and the next run repairs it, too."""
    host.configure(BESIDE)
    set_up(host, transport="ses")
    good = host.contents()
    weak = "ses/unix/smtp_tls_policy_maps=static:may"
    for name in (weak, "ses/unix/smtp_sasl_auth_enable=no"):
        host.postfix.run("postconf", "-P", name)
        host.reload()
        (finding,) = [each for each in host.info() if each["severity"] == "critical"]
        command = re.search(r"run (postconf .*? -P \S+) in its place", finding["remedy"])
        assert command, finding
        host.postfix.run(*shlex.split(command.group(1)))
        host.reload()
        assert not [each for each in host.info() if each["severity"] == "critical"]
        assert_delivered(host, ALL)
    # The level alone is not enough.
    host.postfix.run("postconf", "-P", "ses/unix/smtp_tls_security_level=may")
    host.reload()
    assert not host.deliver_to_thief(ALL)[1]
    host.postfix.run("postconf", "-P", weak)
    assert set_up(host, transport="ses")["changed"]
    assert host.contents()["master.cf"] == good["master.cf"]


def test_a_backup_of_master_cf(host: SetUpHost) -> None:
    host.configure(BESIDE)
    before = (host.etc / "master.cf").read_bytes()
    result = set_up(host, transport="ses", backup=True)
    (copy,) = [path for path in result["backup_files"] if "/master.cf." in path]
    assert Path(copy).read_bytes() == before
