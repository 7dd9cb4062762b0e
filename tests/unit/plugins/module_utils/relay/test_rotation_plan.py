# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the action hands over; the rest is in test_key_rotation.py."""

from __future__ import annotations

import json

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._relay._rotation_plan import (
    EntryLogin,
    handed_over,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import RelayError

NEW = "AKIAEXAMPLE000000002"


def test_what_the_action_hands_over() -> None:
    server = {"host": "a.example.com", "port": 465, "tls": "wrapper"}
    entry = {"path": "/m", "key": "[a]:465", "username": NEW, "password": "sesame-2"}
    (login,) = handed_over(json.dumps({"entries": [{**entry, "servers": [server]}]}))
    assert login == EntryLogin("/m", "[a]:465", NEW, "sesame-2", [server])
    assert "sesame" not in repr(login)
    (at,) = login.at_servers()
    assert (at.host, at.port, at.tls, at.username, at.password) == (
        "a.example.com",
        465,
        "wrapper",
        NEW,
        "sesame-2",
    )
    assert at.asked_by == "the entry '[a]:465'"


@pytest.mark.parametrize("said", [None, "", "sesame", "[]", "{}", '{"entries": [1]}'])
def test_what_is_not_from_the_action(said: str | None) -> None:
    with pytest.raises(RelayError, match=r"call it as mailops\.ses\.postfix_relay_key") as raised:
        handed_over(said)
    assert "sesame" not in str(raised.value)
