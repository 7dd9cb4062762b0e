# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._relay._login import handed_over, log_in
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import (
    RelayError,
    RelayLogin,
    SenderLogin,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp import _login as smtp_login
from ansible_collections.mailops.ses.plugins.module_utils._smtp._login import Login, LoginRefused
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpServer

LOGIN: dict[str, t.Any] = {
    "host": "a.example.com",
    "port": 587,
    "tls": "starttls",
    "username": "user",
    "password": "sesame",
    "asked_by": "region a",
    "diagnosis": "It is of another region",
}
OTHER: dict[str, t.Any] = {
    **LOGIN,
    "host": "b.example.com",
    "asked_by": "region b",
    "diagnosis": None,
}
SENDER: dict[str, t.Any] = {**LOGIN, "asked_by": "senders[0]", "sender": "@example.com"}

# reason of a refusal, whose login -> what is said after the server's answer
REFUSED: list[tuple[str, dict[str, t.Any], str]] = [
    ("credentials_invalid", LOGIN, "region a: No. It is of another region. Nothing was changed"),
    ("version_2", LOGIN, "region a: No. It is of another region. Nothing was changed"),
    ("timeout", LOGIN, "region a: No. Nothing was changed"),
    ("credentials_invalid", OTHER, "region b: No. Nothing was changed"),
]


def test_what_the_action_hands_over() -> None:
    said = json.dumps({"logins": [LOGIN, OTHER], "senders": [SENDER]})
    assert handed_over(said) == (
        (RelayLogin(**LOGIN), RelayLogin(**OTHER)),
        (SenderLogin(**SENDER),),
    )


@pytest.mark.parametrize("said", [None, "", "sesame", "[]", '{"logins": []}', '{"logins": [1]}'])
def test_what_is_not_from_the_action(said: str | None) -> None:
    with pytest.raises(RelayError, match="does not run without its action plugin") as raised:
        handed_over(said)
    assert "sesame" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_each_server_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[t.Any, ...]] = []

    def login(*args: t.Any, **kwargs: t.Any) -> Login:
        tried.append((*args, kwargs))
        return Login(True, "a", 587)

    monkeypatch.setattr(smtp_login, "login", login)
    log_in([RelayLogin(**LOGIN), RelayLogin(**OTHER), SenderLogin(**SENDER)], 3, "/ca.pem")
    assert tried == [
        (
            SmtpServer(host, 587, "starttls"),
            "user",
            "sesame",
            {"timeout": 3, "ca_file": "/ca.pem"},
        )
        for host in ("a.example.com", "b.example.com")
    ]


@pytest.mark.parametrize(("reason", "login", "says"), REFUSED)
def test_a_refusal(
    monkeypatch: pytest.MonkeyPatch, reason: str, login: dict[str, t.Any], says: str
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> t.NoReturn:
        raise LoginRefused(SmtpServer("a", 587, "starttls"), reason, "No")

    monkeypatch.setattr(smtp_login, "login", refuse)
    with pytest.raises(RelayError) as raised:
        log_in([RelayLogin(**login)], 3, None)
    assert str(raised.value) == says


def test_a_key_that_ses_does_not_know_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []

    def login(*args: object, **_kwargs: object) -> Login:
        tried.append(args)
        if len(tried) < 3:
            server = SmtpServer("a", 587, "starttls")
            raise LoginRefused(server, "credentials_invalid", "No", may_pass=True)
        return Login(True, "a", 587)

    monkeypatch.setattr(smtp_login, "login", login)
    log_in([RelayLogin(**LOGIN)], 3, None, retries=2, delay=0)
    assert len(tried) == 3
    tried.clear()
    with pytest.raises(RelayError, match="Nothing was changed"):
        log_in([RelayLogin(**LOGIN)], 3, None, retries=1)
