# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is redacted, and what is left for the operator; and that nothing of a secret is."""

from __future__ import annotations

import base64
import hashlib
import string

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import show_entry
from ansible_collections.mailops.ses.plugins.module_utils._ses._redaction import (
    is_harmless,
    redact,
    redact_entry,
    redact_message,
    redact_service_line,
)
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    longest_common_part,
)
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

SERVER = "[smtp.example.net]:587"
PASSWORD = PASSWORD_OF["eu-west-3"]

HARMLESS = [
    "",
    "yes",
    "Yes",
    "DUNNO",
    "encrypt",
    "30s",
    "noanonymous, noplaintext",
    SERVER,
    f"{SERVER}, [email-smtp.us-east-1.amazonaws.com]:2587",
    "[vpce-0abc123def456789a-xyz12345.email-smtp.eu-west-1.vpce.amazonaws.com]:587",
    "smtp.example.net",
    "mailhub",
    "mailhub:25",
    "[192.0.2.1]:25",
    "[2001:db8::1]:25",
    "[IPv6:2001:db8::1]",
    "smtp:[smtp.example.net]:587",
    "error:no mail",
    "smtp-ses:smtp.example.net:submission",
    "hash:/etc/postfix/sasl_passwd",
    "proxy:hash:/etc/postfix/sasl_passwd, lmdb:/srv/x=1/wJalrXUtnFEMI.d/passwd",
    "$default_database_type:${config_directory}/sasl_passwd",
    "${config_directory}/ca.pem",
    "$my_maps",
    "$theirs, hash:/etc/x",
    "mysql:/etc/postfix/logins.cf",
    "ldap:accounts",
    "tcp:localhost:1234",
    "socketmap:unix:/run/map:logins",
    "{ hash:/etc/postfix/one }",
    "unionmap:{hash:/etc/postfix/one, hash:/etc/postfix/two}",
    "/etc/ssl/certs/ca-certificates.crt",
    ACCESS_KEY,
]
VALUES = [
    (f"{ACCESS_KEY}:{PASSWORD}", f"{ACCESS_KEY}:REDACTED"),
    (f"{ACCESS_KEY}:/{PASSWORD}", f"{ACCESS_KEY}:REDACTED"),
    (f"static:{ACCESS_KEY}:{PASSWORD}", "static:REDACTED"),
    ("proxy:static:u:p", "proxy:static:REDACTED"),
    ("{static:{me sesame}}", "{static:REDACTED}"),
    ("static:u:p, hash:/etc/x", "static:REDACTED, hash:/etc/x"),
    ("inline:{ {[smtp.example.net]:587 = u:sesame} }, hash:/x", "inline:REDACTED, hash:/x"),
    ("unionmap:{hash:/x, static:u:p}", "unionmap:{hash:/x, static:REDACTED}"),
    ("hash:sesame", "hash:REDACTED"),
    ("user:sesame", "REDACTED"),
    (f"user:sesame@{SERVER}", f"REDACTED@{SERVER}"),
    (f"user:sesame:{SERVER}", f"REDACTED{SERVER}"),
    (f"{SERVER} user:sesame", f"{SERVER} REDACTED"),
    # Harmless alone, but not here.
    (f"{SERVER} user sesame", f"{SERVER} REDACTED REDACTED"),
    (f"{SERVER}, 123456", f"{SERVER}, REDACTED"),
    ("p+w sesame, hash:/x", "REDACTED REDACTED, hash:/x"),
    ("p+w sesame.example", "REDACTED REDACTED"),
    ("inline:{ unbalanced", "REDACTED"),
    (PASSWORD, "REDACTED"),
    (SECRET_KEY, "REDACTED"),
    ("REDACTEDsesame+", "REDACTED"),
    ("hunter2hunter2", "REDACTED"),
    ("$sesame, u:p", "REDACTED, REDACTED"),
    ('"sesame"', "REDACTED"),
]
#: key, value -> the key and the user name that are shown
ENTRIES: list[tuple[str, str, str, str | None]] = [
    (SERVER, f"{ACCESS_KEY}:{PASSWORD}", SERVER, ACCESS_KEY),
    (SERVER, "them:their own/password+", SERVER, "them"),
    (SERVER, "inp-abc123:sesame", SERVER, "inp-abc123"),
    (SERVER, "me+tag@example.com:sesame", SERVER, "me+tag@example.com"),
    (SERVER, "sesame", SERVER, None),
    ("@example.com", "them:sesame", "@example.com", "them"),
    (".example.com", "them:sesame", ".example.com", "them"),
    ("me@example.com", "them:sesame", "me@example.com", "them"),
    ("smtp.example.net:submission", "them:sesame", "smtp.example.net:submission", "them"),
    ("mailhub", "them:sesame", "mailhub", "them"),
    ("müller.example", "them:sesame", "müller.example", "them"),
    ("email-smtp.eu-west-1.amazonaws.com", "x", "email-smtp.eu-west-1.amazonaws.com", None),
    ("email-smtp.eusc-de-east-1.amazonaws.eu", "x", "email-smtp.eusc-de-east-1.amazonaws.eu", None),
    ("email-smtp.eu-west-1.api.aws:587", "x", "email-smtp.eu-west-1.api.aws:587", None),
    # User name and password are swapped.
    (SERVER, f"{PASSWORD}:{ACCESS_KEY}", SERVER, None),
    (SERVER, f"{SECRET_KEY}:{ACCESS_KEY}", SERVER, None),
    (SERVER, f"swordfish:{ACCESS_KEY}", SERVER, None),
    (SERVER, "swordfish:me@example.com", SERVER, None),
    # The line is reversed.
    (f"{ACCESS_KEY}:{PASSWORD}", SERVER, f"{ACCESS_KEY}:REDACTED", None),
    ("them:swordfish", SERVER, "REDACTED", None),
    ("them:12345", SERVER, "REDACTED", None),
    ("them:their", f"own/password+ {SERVER}", "REDACTED", None),
    ("swordfish", f"them:{SERVER}", "REDACTED", None),
    ("sword.fish", f"{ACCESS_KEY}:{SERVER}", "REDACTED", ACCESS_KEY),
    (PASSWORD, f"{ACCESS_KEY}:x", "REDACTED", ACCESS_KEY),
    (ACCESS_KEY, PASSWORD, ACCESS_KEY, None),
    # It has quotes, or a part too many or too few.
    (f'"{SERVER}"', "them:sesame", "REDACTED", None),
    (f'"{SERVER}"', f"{ACCESS_KEY}:sesame", "REDACTED", ACCESS_KEY),
    (f"{SERVER}:them:sesame", "x", "REDACTED", None),
    ("swordfish", "sesame", "REDACTED", None),
    ("abc", "sesame", "abc", None),
    ("*", "sesame", "*", None),
    (f"{SECRET_KEY}@example.com", "them:sesame", "REDACTED", None),
    (f"[{SECRET_KEY}]", "them:sesame", "REDACTED", None),
]
MESSAGES = [
    ("postfix: fatal: broken", "postfix: fatal: broken"),
    ("fatal: /etc/x, line 3: bad: x = sesame", "fatal: /etc/x, line 3: bad:" + " REDACTED" * 3),
    ("fatal: bad value: my pass phrase 123", "fatal: bad value:" + " REDACTED" * 4),
    (f'missing "=" after "{PASSWORD}" in /etc/x', "missing" + " REDACTED" * 3 + " in /etc/x"),
]


@pytest.mark.parametrize("value", HARMLESS)
def test_what_an_operator_needs_stays(value: str) -> None:
    assert redact(value) == value
    assert is_harmless(value)


@pytest.mark.parametrize(("value", "redacted"), VALUES)
def test_values_of_settings(value: str, redacted: str) -> None:
    assert redact(value) == redacted
    assert not is_harmless(value)


@pytest.mark.parametrize(("key", "value", "shown_key", "username"), ENTRIES)
def test_entries(key: str, value: str, shown_key: str, username: str | None) -> None:
    assert redact_entry(key, value) == (shown_key, username)


#: A line of master.cf -> what of it is shown.
SERVICES = {
    "ses       unix  -       -       n       -       -       smtp": None,
    "smtp-amavis unix - - n - 2 smtp -o smtp_tls_security_level=none": None,
    "qmgr unix n - n 300 1 qmgr": None,
    "tlsmgr unix - - n 1000? 1 tlsmgr": None,
    "    -o smtp_tls_CAfile=/etc/ssl/certs/ca-certificates.crt": None,
    "  -o { smtp_sasl_security_options = noanonymous, noplaintext }": None,
    "    -o smtp_sasl_security_options=noanonymous,noplaintext": None,
    "    -o smtp_tls_mandatory_protocols=!SSLv2,!SSLv3,!TLSv1,!TLSv1.1": None,
    "    -o smtp_tls_policy_maps=static:secure": None,
    "    -o smtp_sasl_password_maps=hash:/etc/postfix/sasl_passwd": None,
    "    -o smtp_fallback_relay=": None,
    "": None,
    "    -v": "    REDACTED",
    "    -o smtp_sasl_password_maps=static:me:hunter2": "    -o smtp_sasl_password_maps=static:REDACTED",
    "    -o smtp_tls_mandatory_protocols=!SSLv2,hunter+2": "    -o smtp_tls_mandatory_protocols=REDACTED,REDACTED",
    "    -o hunter2+=smtp": "    REDACTED REDACTED",
    "# hunter+2": "REDACTED REDACTED",
    "hunter+2 unix - - n - - smtp": "REDACTED REDACTED REDACTED REDACTED REDACTED REDACTED REDACTED REDACTED",
}  # fmt: skip


@pytest.mark.parametrize(("line", "shown_line"), SERVICES.items())
def test_lines_of_master_cf(line: str, shown_line: str | None) -> None:
    assert redact_service_line(line) == (line if shown_line is None else shown_line)


@pytest.mark.parametrize(("line", "redacted"), MESSAGES)
def test_messages(line: str, redacted: str) -> None:
    assert redact_message(line) == redacted


# Every secret, in every arrangement


def _made_up(number: int, prefix: bytes, length: int) -> str:
    """As random as a real one: with all characters alike it would be a plain word."""
    digest = hashlib.sha512(str(number).encode()).digest()
    return base64.b64encode(prefix + digest)[:length].decode()


SECRETS = st.one_of(
    st.sampled_from([SECRET_KEY, *PASSWORD_OF.values()]),
    st.integers(0, 10**6).map(lambda number: _made_up(number, b"\x04", 44)),
    st.integers(0, 10**6).map(lambda number: _made_up(number, b"\x02", 44)),
    st.integers(0, 10**6).map(lambda number: _made_up(number, b"", 40)),
    # A chosen one: what makes it odd comes often enough for no part to be a word. It has no dot,
    # because nobody can tell a password like me@example.com from an address.
    st.lists(
        st.tuples(
            st.text(string.ascii_letters + string.digits, max_size=6),
            st.sampled_from("!#%&'()*+/;<=>?^`|~:,@$\"{}[] "),
        ),
        min_size=3,
        max_size=8,
    )
    .map(lambda parts: "".join(a + b for a, b in parts))
    .filter(lambda password: not set(password).isdisjoint("!#%&'()*+/;<=>?^`|~\"")),
)
USERNAMES = st.sampled_from([ACCESS_KEY, "them", "inp-abc123", "me@example.com", "IAM-user.x"])
BETWEEN = st.sampled_from(
    ["", " ", "\t", ":", '"', "'", ",", ", ", "@", "=", " = ", "{", "}", "\\", "\n ", "static:",
     "inline:{ ", "hash:", "proxy:", "/", "#"]
)  # fmt: skip


@st.composite
def arrangements(draw: st.DrawFn) -> tuple[str, str]:
    """A secret, and a text that has it with a server and a user name in any order."""
    secret = draw(SECRETS)
    parts = [secret, *draw(st.lists(USERNAMES, max_size=1)), *draw(st.lists(st.just(SERVER)))[:1]]
    order = draw(st.permutations(parts))
    return secret, "".join(draw(BETWEEN) + part for part in order) + draw(BETWEEN)


def _assert_nothing_of(secret: str, shown_text: str) -> None:
    # What the secret has in common with the other parts of a line is none of it.
    for part in (SERVER, ACCESS_KEY, "REDACTED", "PASSWORD"):
        assume(len(longest_common_part(part, secret)) < 4)
    assert len(longest_common_part(shown_text, secret)) < 8


@pytest.mark.ends_only
@settings(max_examples=300, deadline=None)
@given(arrangement=arrangements())
@example((SECRET_KEY, f"{SECRET_KEY}@{SERVER}"))
def test_no_part_of_a_secret_is_shown_of_a_value(arrangement: tuple[str, str]) -> None:
    secret, value = arrangement
    for redacted in (redact(value), redact_message(value)):
        _assert_nothing_of(secret, redacted)
    assert redact(redact(value)) == redact(value)


@pytest.mark.ends_only
@settings(max_examples=300, deadline=None)
@given(arrangement=arrangements())
@example((SECRET_KEY, f"{SERVER} {SECRET_KEY}:{ACCESS_KEY}"))
@example((PASSWORD, f"{ACCESS_KEY}:{PASSWORD} {SERVER}"))
def test_no_part_of_a_secret_is_shown_of_a_line(arrangement: tuple[str, str]) -> None:
    secret, line = arrangement
    for split in (" ", "\t", ":", '"'):
        key, _split, value = line.partition(split)
        _assert_nothing_of(secret, show_entry(key.encode(), value.encode()))
        entry = redact_entry(key, value)
        _assert_nothing_of(secret, f"{entry.key} {entry.username}")
