# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import (
    RelayLogin,
    RelayLogins,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import SesSmtpError
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer
from ansible_collections.mailops.ses.plugins.plugin_utils._requested_relay import read_relay
from ansible_collections.mailops.ses.plugins.plugin_utils._ses_action import Requested
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
)

KEY = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
SMTP = {"username": "user", "password": "sesame"}
WEST, CENTRAL, EAST = "eu-west-1", "eu-central-1", "us-east-1"

# a task's options, of a sender -> host, port, TLS, user name and password of the sender
SENDERS: list[tuple[dict[str, t.Any], dict[str, t.Any], tuple[t.Any, ...]]] = [
    ({}, {}, (WEST, 587, "starttls", ACCESS_KEY, PASSWORD_OF[WEST])),
    ({}, {"region": EAST}, (EAST, 587, "starttls", ACCESS_KEY, PASSWORD_OF[EAST])),
    ({"tls": "wrapper"}, {}, (WEST, 465, "wrapper", ACCESS_KEY, PASSWORD_OF[WEST])),
    ({"port": 2587}, {}, (WEST, 2587, "starttls", ACCESS_KEY, PASSWORD_OF[WEST])),
    ({"port": 2587}, {"tls": "wrapper"}, (WEST, 465, "wrapper", ACCESS_KEY, PASSWORD_OF[WEST])),
    ({"tls": "wrapper"}, {"port": 25}, (WEST, 25, "starttls", ACCESS_KEY, PASSWORD_OF[WEST])),
    ({}, SMTP, (WEST, 587, "starttls", "user", "sesame")),
    (
        {"region": None, "regions": [EAST, WEST]},
        {},
        (EAST, 587, "starttls", ACCESS_KEY, PASSWORD_OF[EAST]),
    ),
    (
        {"endpoint": "mail.example.com"},
        {"region": EAST},
        (EAST, 587, "starttls", ACCESS_KEY, PASSWORD_OF[EAST]),
    ),
    (
        {"endpoint": "mail.example.com"},
        {"dualstack": False},
        (WEST, 587, "starttls", ACCESS_KEY, PASSWORD_OF[WEST]),
    ),
    (
        {"dualstack": True},
        {"endpoint": "mail.example.com"},
        ("mail.example.com", 587, "starttls", ACCESS_KEY, PASSWORD_OF[WEST]),
    ),
    (
        {"endpoint": "mail.example.com"},
        {},
        ("mail.example.com", 587, "starttls", ACCESS_KEY, PASSWORD_OF[WEST]),
    ),
]
# options -> what the error says
REFUSED: list[tuple[dict[str, t.Any], str]] = [
    ({"regions": [EAST]}, "region and regions exclude each other"),
    ({"region": None, "regions": []}, "regions is empty"),
    ({"region": None, "regions": [EAST, WEST, EAST]}, "regions has us-east-1 more than once"),
    (
        {"region": None, "regions": [EAST, WEST], "endpoint": "mail.example.com"},
        "endpoint names one host",
    ),
    (
        {"region": None, "regions": [EAST, WEST], "access_key": None, "secret_key": None, **SMTP},
        "password is for one region",
    ),
    ({"region": None, "regions": ["eu-wset"]}, "region"),
    ({"region": None}, "version 4 needs a region"),
    ({"secret_key": None}, "secret_key is missing"),
    ({"access_key": None, "secret_key": None, **SMTP, "username": SECRET_KEY}, "swapped"),
    ({"senders": [{"sender": "example.com"}]}, r"senders\[0\]: sender must be an address"),
    ({"senders": [{"sender": "a b@example.com"}]}, r"senders\[0\]: sender must be an address"),
    (
        {"senders": [{"sender": "@A.example"}, {"sender": "@a.example"}]},
        r"senders\[1\] and senders\[0\] are for one sender",
    ),
    ({"senders": [{"sender": "@a.example", "port": 0}]}, r"senders\[0\]: port must be between"),
]


@pytest.fixture(autouse=True)
def fixture_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def options(**said: t.Any) -> dict[str, t.Any]:
    """A task's options, with all names."""
    return {"state": "present", "regions": None, "senders": None, "region": WEST, **KEY, **said}


def place(name: str) -> str:
    """The host of a region; any other host as it is."""
    return name if "." in name else f"email-smtp.{name}.amazonaws.com"


def relay_of(requested: Requested) -> RelayLogins:
    assert isinstance(requested.content, RelayLogins)
    return requested.content


def logins_of(requested: Requested) -> list[SmtpLogin]:
    return [each.login for each in relay_of(requested).logins]


def test_one_region() -> None:
    requested = read_relay(options())
    (login,) = logins_of(requested)
    assert "derived for region eu-west-1" in str(login.diagnosis)
    server = SmtpServer(place(WEST), 587, "starttls")
    assert replace(login, diagnosis=None) == SmtpLogin(server, ACCESS_KEY, PASSWORD_OF[WEST])
    assert (relay_of(requested).senders, list(requested.warnings)) == ((), [])


def test_each_region_has_its_own_password() -> None:
    requested = read_relay(options(region=None, regions=[WEST, EAST], port=2587))
    assert [
        (login.server.host, login.server.port, login.password, login.requested_by)
        for login in logins_of(requested)
    ] == [(place(name), 2587, PASSWORD_OF[name], f"region {name}") for name in (WEST, EAST)]
    assert requested.passwords == {PASSWORD_OF[WEST], PASSWORD_OF[EAST]}


def test_regions_leave_the_environments_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", EAST)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    (login,) = logins_of(read_relay(options(region=None, regions=[WEST], secret_key=None)))
    assert login.password == PASSWORD_OF[WEST]
    (login,) = logins_of(read_relay(options(region=None)))
    assert login.server.host == place(EAST)


@pytest.mark.parametrize(("own", "said", "login"), SENDERS)
def test_what_a_sender_has_of_its_own(
    own: dict[str, t.Any], said: dict[str, t.Any], login: tuple[t.Any, ...]
) -> None:
    requested = read_relay(options(**own, senders=[{"sender": "@example.com", **said}]))
    (sender,) = relay_of(requested).senders
    host, port, tls, username, password = login
    server = SmtpServer(place(host), port, tls)
    expected = SmtpLogin(server, username, password, requested_by="senders[0]")
    found = replace(sender, login=replace(sender.login, diagnosis=None))
    assert found == RelayLogin(expected, "@example.com")
    assert expected.password in requested.passwords


@pytest.mark.parametrize(("said", "says"), REFUSED)
def test_known_mistakes(said: dict[str, t.Any], says: str) -> None:
    with pytest.raises(SesSmtpError, match=says) as raised:
        read_relay(options(**said))
    assert SECRET_KEY not in str(raised.value)


def test_regions_that_nobody_knows_get_one_warning_each() -> None:
    requested = read_relay(
        options(
            region=None,
            regions=["eu-wset-1", WEST],
            senders=[{"sender": "@a.example"}, {"sender": "@b.example", "region": "eu-xxst-1"}],
        )
    )
    assert [warning.partition(" is not")[0] for warning in requested.warnings] == [
        "region 'eu-wset-1'",
        "region 'eu-xxst-1'",
    ]


def test_nothing_is_requested_of_a_relay_that_goes() -> None:
    requested = read_relay(options(state="absent", access_key=None, region=None))
    assert (relay_of(requested), list(requested.warnings)) == (RelayLogins(), [])
