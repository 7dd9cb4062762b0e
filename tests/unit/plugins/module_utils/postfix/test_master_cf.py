# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services of master.cf, and the settings of their own."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._expansion import (
    expand,
    list_parameters,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._master_cf import (
    Override,
    parse_services,
    read_overrides,
    read_services,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import (
    Postfix,
    PostfixError,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import FakePostfix

if t.TYPE_CHECKING:
    from pathlib import Path

LEVEL, MAPS = "smtp_tls_security_level", "smtp_sasl_password_maps"
MASTER_CF = f"""\
  # a comment
smtp inet n - y - - smtpd
  -o {LEVEL}=none
smtp      unix  -       -       n       -       -       smtp
# -o {LEVEL}=may
  -o syslog_name=x

  -o {{ {LEVEL} = may }}
relay unix - - n - - smtp -v -o {LEVEL}=encrypt -o {LEVEL}=secure
"""
#: master.cf -> services with their own settings and lines
SERVICES: dict[str, dict[str, dict[str, tuple[str, int]]]] = {
    "": {},
    MASTER_CF: {
        "smtp/inet": {LEVEL: ("none", 3)},
        "smtp/unix": {"syslog_name": ("x", 6), LEVEL: ("may", 8)},
        "relay/unix": {LEVEL: ("secure", 9)},
    },
    # Postfix's daemons take these, and postconf has another name for them.
    f"# a unix - - n - - smtp -o{MAPS}=x:/no\n"
    f"a unix - - n - - smtp -o{MAPS}=x:/y\n"
    "b unix - - n - - smtp -v\n"
    f"    -vo{MAPS}=x:/z -oother=1\n": {
        "a/unix": {MAPS: ("x:/y", 2)},
        "b/unix": {MAPS: ("x:/z", 4), "other": ("1", 4)},
    },
    # The last of equal services counts. Braces may hold white space, and go over lines.
    "a unix - - n - - smtp -o b=1\na unix - - n - - smtp -o { c = {d e}\n  f }\n": {
        "a/unix": {"c": ("{d e} f", 2)}
    },
    # What follows the options is no option; a line without a program is no service.
    "a unix - n n - - pipe user=x -o b=1\nb unix - - n\n": {"a/unix": {}},
    "a unix - - n - - smtp -o b -o\n": {"a/unix": {}},
}


@pytest.fixture(name="fake")
def fixture_fake(tmp_path: Path) -> FakePostfix:
    return FakePostfix(tmp_path, "other = $more\nmore = 1\n", MASTER_CF)


@pytest.fixture(name="postfix")
def fixture_postfix(fake: FakePostfix) -> Postfix:
    return Postfix(fake, str(fake.directory))


@pytest.mark.parametrize(("text", "expected"), SERVICES.items())
def test_services(text: str, expected: dict[str, dict[str, tuple[str, int]]]) -> None:
    services = parse_services(text)
    assert {
        path: {name: (one.value, one.line) for name, one in service.overrides.items()}
        for path, service in services.items()
    } == expected
    assert all(service.path == path for path, service in services.items())


def test_what_a_service_is() -> None:
    service = parse_services(MASTER_CF)["smtp/inet"]
    assert (service.name, service.type, service.line) == ("smtp", "inet", 2)
    assert (service.program, service.chroot) == ("smtpd", "y")


def test_overrides_are_found_with_their_lines(postfix: Postfix, fake: FakePostfix) -> None:
    assert read_overrides(postfix, str(fake.directory), {LEVEL}) == [
        Override("smtp/inet", LEVEL, "none", 3),
        Override("smtp/unix", LEVEL, "may", 8),
        Override("relay/unix", LEVEL, "secure", 9),
    ]
    assert read_overrides(postfix, str(fake.directory), {"relayhost"}) == []
    (fake.directory / "master.cf").unlink()
    assert read_overrides(postfix, str(fake.directory), {LEVEL}) == []
    assert fake.calls == []


def test_parameters_in_settings_of_services(postfix: Postfix, fake: FakePostfix) -> None:
    """In main.cf's, and in those of the same service, as Postfix's daemons expand them."""
    text = f"a unix - - n - - smtp -o {LEVEL}=$other-${{own}}$no -o own=2\n"
    (fake.directory / "master.cf").write_text(text, encoding="ascii")
    (override,) = read_overrides(postfix, str(fake.directory), {LEVEL})
    assert override.value == "1-2"
    assert fake.calls == ["postconf -x"]
    fake.fails["postconf -x"] = (1, b"", b"fatal: x: Permission denied\n")
    with pytest.raises(PostfixError, match="Permission denied"):
        read_services(postfix, str(fake.directory))


VALUES = {"a": "1", "b": "$a", "c": "$c"}
#: a value -> it, expanded
EXPANSIONS = [
    ("x", "x"),
    ("$a${b}$(a)", "111"),
    ("$no", ""),
    ("$$a", "$a"),
    ("${a?{b}}", "${a?{b}}"),
    ("$c", "$c"),
]


@pytest.mark.parametrize(("value", "expected"), EXPANSIONS)
def test_expansion(value: str, expected: str) -> None:
    assert expand(value, VALUES) == expected


def test_parameters() -> None:
    assert list_parameters("$a ${ b } ${c?{$d}} $$") == {"a", "b", "c", "d"}


def test_a_word_that_is_no_option_takes_no_time() -> None:
    """Each "o" may begin a name. Of so many, a search for the name of each would take hours."""
    text = f"a unix - - n - - smtp -{'o' * 1_000_000}\n# relayhost\n"
    assert parse_services(text)["a/unix"].overrides == {}
