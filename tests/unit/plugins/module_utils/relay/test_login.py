# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._relay._login import try_logins
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import RelayError
from ansible_collections.mailops.ses.plugins.module_utils._smtp import _login as smtp_login
from ansible_collections.mailops.ses.plugins.module_utils._smtp._login import (
    LoginOutcome,
    LoginRefused,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import (
    SmtpLogin,
    SmtpServer,
)

A, B = (SmtpServer(f"{name}.example.com", 587, "starttls") for name in "ab")
LOGIN = SmtpLogin(A, "user", "sesame", "region a")
OTHER = SmtpLogin(B, "user", "sesame", "region b")
#: The same login once more.
OF_SENDER = replace(LOGIN, requested_by="senders[0]")


def test_each_server_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[t.Any, ...]] = []

    def log_in(*args: t.Any, **kwargs: t.Any) -> LoginOutcome:
        tried.append((*args, kwargs))
        return LoginOutcome(True, "a", 587)

    monkeypatch.setattr(smtp_login, "log_in", log_in)
    try_logins([LOGIN, OTHER, OF_SENDER], 3, "/ca.pem")
    options = {"timeout": 3, "ca_file": "/ca.pem"}
    assert tried == [(LOGIN, options), (OTHER, options)]


def test_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> t.NoReturn:
        raise LoginRefused(A, "timeout", "No")

    monkeypatch.setattr(smtp_login, "log_in", refuse)
    with pytest.raises(RelayError) as raised:
        try_logins([LOGIN], 3, None)
    assert str(raised.value) == "region a: No. Nothing was changed"


def test_a_key_that_ses_does_not_know_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []

    def log_in(*args: object, **_kwargs: object) -> LoginOutcome:
        tried.append(args)
        if len(tried) < 3:
            raise LoginRefused(A, "credentials_invalid", "No", may_pass=True)
        return LoginOutcome(True, "a", 587)

    monkeypatch.setattr(smtp_login, "log_in", log_in)
    try_logins([LOGIN], 3, None, retries=2, delay=0)
    assert len(tried) == 3
    tried.clear()
    with pytest.raises(RelayError, match="Nothing was changed"):
        try_logins([LOGIN], 3, None, retries=1)
