# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.plugins.module_utils._relay import _checks as checks
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import (
    RelayError,
    RelayLogin,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import SmtpLogin, SmtpServer
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import FakePostfix

HOST = "email-smtp.eu-west-1.amazonaws.com"
DESTINATION = f"[{HOST}]:587"
SERVER = SmtpServer(HOST, 587, "starttls")
LOGIN = RelayLogin(SmtpLogin(SERVER, "user", "sesame"))
SENDER = RelayLogin(SmtpLogin(SERVER, "other", "sesame"), "me@example.com")

# the version, how many servers -> what the error says, None if nothing
VERSIONS: list[tuple[dict[str, str], int, str | None]] = [
    ({}, 2, None),
    ({"mail_version": "3.4.23"}, 2, "this is Postfix 3.4.23, and relayhost can be a list"),
    ({"mail_version": "2.11.0-RC1"}, 2, "this is Postfix 2.11.0-RC1"),
    ({"mail_version": "3.4.23"}, 1, None),
    ({"mail_version": "3.5.25"}, 2, None),
    ({"mail_version": "3.11-20260101"}, 2, None),
    ({"mail_version": "unknown"}, 2, None),
]
# a line of another map, and of which login the key is asked for -> what the error says
SHADOWS: dict[str, tuple[str, RelayLogin, str | None]] = {
    "another host": ("[h]:587 them:x", LOGIN, None),
    "the bare host": (f"{HOST} them:x", LOGIN, f"has an entry for '{HOST}'"),
    "the destination": (f"{DESTINATION} them:x", LOGIN, "has an entry for"),
    "the sender": ("ME@example.com them:x", SENDER, "has an entry for 'me@example.com'"),
    "the sender's host": (f"{HOST} them:x", SENDER, None),
}


@pytest.fixture(name="fake")
def fixture_fake(tmp_path: Path) -> FakePostfix:
    return FakePostfix(tmp_path)


def other_map(fake: FakePostfix, content: str, kind: str = "hash", name: str = "other") -> str:
    """Make a table; return its name."""
    path = fake.directory / name
    path.write_text(content + "\n", encoding="utf-8")
    fake.run_command(["/usr/sbin/postmap", f"{kind}:{path}"])
    fake.calls.clear()
    return f"{kind}:{path}"


@pytest.mark.parametrize(("values", "servers", "says"), VERSIONS)
def test_a_list_of_servers_needs_postfix_3_5(
    values: dict[str, str], servers: int, says: str | None
) -> None:
    if says is None:
        checks.check_version(values, servers)
        return
    with pytest.raises(RelayError, match=says):
        checks.check_version(values, servers)


@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("case", SHADOWS)
def test_entries_of_other_maps(fake: FakePostfix, case: str, first: str) -> None:
    line, login, says = SHADOWS[case]
    theirs = other_map(fake, line)
    maps = ["hash:/ours", theirs] if first == "ours" else [theirs, "hash:/ours"]
    if first == "ours" and line.split()[0].lower() == login.key.lower():
        says = None
    if says is None:
        checks.check_maps(Postfix(fake), maps, "hash:/ours", [login])
        return
    with pytest.raises(RelayError, match=says) as raised:
        checks.check_maps(Postfix(fake), maps, "hash:/ours", [login])
    assert "them" not in str(raised.value)


def test_our_map_alone_needs_no_look(fake: FakePostfix) -> None:
    for name in ("hash:/ours", "proxy:hash:/ours", "{hash:/ours}"):
        checks.check_maps(Postfix(fake), [name], "hash:/ours", [LOGIN])
    assert fake.calls == []


def test_maps_that_can_not_be_read(fake: FakePostfix) -> None:
    for name, why in (
        ("hash:/nowhere", "hash:/nowhere, in smtp_sasl_password_maps, .*No such file"),
        ("proxy:hash:/nowhere", "hash:/nowhere, in .*No such file"),
        ("mysql:/x", "unsupported dictionary type"),
    ):
        with pytest.raises(RelayError, match=why):
            checks.check_maps(Postfix(fake), ["hash:/ours", name], "hash:/ours", [LOGIN])


@pytest.mark.parametrize("name", ["static:me:sesame", "{static:{me sesame}}", "inline:{a=b:c}"])
def test_maps_with_passwords_in_main_cf(fake: FakePostfix, name: str) -> None:
    with pytest.raises(RelayError, match=r"passwords in main\.cf itself") as raised:
        checks.check_maps(Postfix(fake), ["hash:/ours", name], "hash:/ours", [LOGIN])
    assert "sesame" not in str(raised.value)
    assert fake.calls == []
