# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The payload: what is packed is unpacked, and anything else is refused without being shown."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._payload import (
    FORMAT_VERSION,
    PayloadError,
    pack,
    unpack,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import (
    RequestedEntries,
    RequestedEntry,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._rotation_plan import (
    RotatedEntries,
    RotatedEntry,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import (
    RelayLogin,
    RelayLogins,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._candidate_digests import (
    Candidates,
    Match,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import (
    SmtpLogin,
    SmtpServer,
)
from ansible_collections.mailops.ses.tests.support.running.payloads import (
    entries_payload,
    payload,
    ping_payload,
    relay_payload,
    rotation_payload,
)

PASSWORD = "Sesame/+1"
SERVER = SmtpServer("smtp.example", 465, "wrapper")
LOGIN = SmtpLogin(SERVER, "user", PASSWORD, "region a", "It is of another region")
ENTRIES = RequestedEntries(
    (RequestedEntry("ä", "user", PASSWORD), RequestedEntry("b", present=False))
)
RELAY = RelayLogins((RelayLogin(LOGIN),), (RelayLogin(LOGIN, "@example.com"),))
ROTATION = RotatedEntries((RotatedEntry("/m", ENTRIES.entries[0], (SERVER, SERVER)),))
CANDIDATES = Candidates("00ff", {"d1": Match("A", 4, "eu-west-1"), "d2": Match("A", 2, None)})

# the module, what its action plugin hands over, and the same as tests of modules write it
FLAT = {**vars(SERVER), **{name: value for name, value in vars(LOGIN).items() if name != "server"}}
CONTENTS: dict[str, tuple[t.Any, str]] = {
    "postfix_sasl_passwd": (
        ENTRIES,
        entries_payload(
            {"key": "ä", "username": "user", "password": PASSWORD}, {"key": "b", "present": False}
        ),
    ),
    "postfix_relay": (RELAY, relay_payload([FLAT], [{**FLAT, "sender": "@example.com"}])),
    "postfix_relay_key": (
        ROTATION,
        rotation_payload(
            {
                "path": "/m",
                "key": "ä",
                "username": "user",
                "password": PASSWORD,
                "servers": [vars(SERVER)] * 2,
            }
        ),
    ),
    "ses_smtp_ping": (LOGIN, ping_payload(FLAT)),
    "postfix_relay_info": (
        CANDIDATES,
        payload(
            "postfix_relay_info",
            {
                "salt": "00ff",
                "matches": {
                    "d1": {"access_key": "A", "version": 4, "region": "eu-west-1"},
                    "d2": {"access_key": "A", "version": 2, "region": None},
                },
            },
        ),
    ),
}
OTHER = "has the wrong type"
FIELDS = "has missing or unknown fields"
# what is done to the parts of the payload of a login -> where the mismatch is, and what it is
MISMATCHES: list[tuple[t.Callable[[dict[str, t.Any]], t.Any], str]] = [
    (lambda parts: parts.update(module="mailops.ses.sesame"), "the payload is for another module"),
    (lambda parts: parts.update(version="sesame"), "the payload has another format version"),
    (lambda parts: parts.update(version=FORMAT_VERSION + 1), "has another format version"),
    (lambda parts: parts.pop("version"), "the payload is not one of this collection"),
    (lambda parts: parts.update(sesame=1), "the payload is not one of this collection"),
    (lambda parts: parts.update(content="sesame"), f"the payload {OTHER}"),
    (lambda parts: parts["content"].update(sesame=1), f"the payload {FIELDS}"),
    (lambda parts: parts["content"].pop("password"), f"the payload {FIELDS}"),
    (lambda parts: parts["content"].update(username=None), f"username {OTHER}"),
    (lambda parts: parts["content"].update(diagnosis=0), f"diagnosis {OTHER}"),
    (lambda parts: parts["content"].update(server=["sesame"]), f"server {OTHER}"),
    (lambda parts: parts["content"]["server"].pop("tls"), f"server {FIELDS}"),
    (lambda parts: parts["content"]["server"].update(port="587"), f"server.port {OTHER}"),
    (lambda parts: parts["content"]["server"].update(port=True), f"server.port {OTHER}"),
    (lambda parts: parts["content"]["server"].update(port=587.0), f"server.port {OTHER}"),
]
NESTED: list[tuple[str, t.Any, str]] = [
    ("postfix_sasl_passwd", {"entries": {}}, f"entries {OTHER}"),
    ("postfix_sasl_passwd", {"entries": ["sesame"]}, f"entries[0] {OTHER}"),
    ("postfix_relay", {"logins": [], "senders": [{"login": 1, "sender": ""}]}, f"senders[0].login {OTHER}"),
    ("postfix_relay_info", {"salt": "sesame", "matches": {}}, "the payload has a malformed value"),
    ("postfix_relay_info", {"salt": "", "matches": []}, f"matches {OTHER}"),
    ("postfix_relay_info", {"salt": "", "matches": {"sesame": {}}}, f"matches[0] {FIELDS}"),
]  # fmt: skip
FOREIGN = [
    "", "Sesame/+1", '"sesame"', "[]", "{}", '{"entries": []}', "null", "1", "[" * 100_000, "NaN",
    '{"module": "sesame"', "\udcff",
]  # fmt: skip


def refusal(module: str, text: str | None, content: type) -> str:
    with pytest.raises(PayloadError) as raised:
        unpack(f"mailops.ses.{module}", text, content)
    # A traceback would show what was being read.
    assert raised.value.__cause__ is raised.value.__context__ is None
    message = str(raised.value)
    assert "sesame" not in message.lower()
    assert "does not run without its action plugin" in message
    assert f"Call the module as mailops.ses.{module}. " in message
    assert message.endswith("Nothing was changed")
    return message


@pytest.mark.parametrize(("module", "content", "text"), [(m, *c) for m, c in CONTENTS.items()])
def test_what_is_packed_is_unpacked(module: str, content: t.Any, text: str) -> None:
    name = f"mailops.ses.{module}"
    packed = pack(name, content)
    assert json.loads(packed) == json.loads(text)
    for each in (packed, text):
        assert unpack(name, each, type(content)) == content
    empty = type(content)() if module in ("postfix_relay", "postfix_relay_key") else content
    assert unpack(name, pack(name, empty), type(content)) == empty


@pytest.mark.parametrize("module", CONTENTS)
def test_what_another_module_gets(module: str) -> None:
    for other, (_content, text) in CONTENTS.items():
        if other != module:
            said = refusal(module, text, type(CONTENTS[module][0]))
            assert "(the payload is for another module)" in said


@pytest.mark.parametrize(("change", "says"), MISMATCHES)
def test_a_mismatch(change: t.Callable[[dict[str, t.Any]], t.Any], says: str) -> None:
    parts = json.loads(pack("mailops.ses.ses_smtp_ping", LOGIN))
    change(parts)
    message = refusal("ses_smtp_ping", json.dumps(parts), SmtpLogin)
    assert f"{says})" in message
    assert "please report it" in message


@pytest.mark.parametrize(("module", "content", "says"), NESTED)
def test_a_mismatch_further_inside(module: str, content: t.Any, says: str) -> None:
    assert f"({says})" in refusal(module, payload(module, content), type(CONTENTS[module][0]))


@pytest.mark.parametrize("text", FOREIGN, ids=lambda text: text[:20])
def test_what_is_not_from_the_action(text: str) -> None:
    says = "is not one of this collection" if text else "is missing"
    assert f"(the payload {says})" in refusal("postfix_relay", text, RelayLogins)


def test_nothing_from_the_action() -> None:
    assert "(the payload is missing)" in refusal("postfix_relay", None, RelayLogins)


def test_only_what_is_meant_can_be_packed() -> None:
    with pytest.raises(TypeError) as raised:
        pack("mailops.ses.postfix_relay", RelayLogins(logins=t.cast("t.Any", [PASSWORD.encode()])))
    assert PASSWORD not in str(raised.value)


def test_no_login_shows_its_password() -> None:
    assert "Sesame" not in repr([ENTRIES, RELAY, ROTATION, LOGIN])
