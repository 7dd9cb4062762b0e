# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service of master.cf for Amazon SES alone."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._master_cf import (
    parse_services,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._own_client import (
    OwnClient,
    find_service_lines,
    is_own_client,
    is_satisfied,
    list_client_settings,
    place_service,
    remove_service,
)

CNAME = "smtp_cname_overrides_servername"
REQUIRED = "tls_required_enable"
CLIENT = OwnClient("ses", {"smtp_tls_security_level": "secure", "smtp_tls_CAfile": "/etc/ca"})
LINES = """\
ses       unix   -       -       n       -       -       smtp
    -o smtp_tls_security_level=secure
    -o smtp_tls_CAfile=/etc/ca
"""
SMTP = "smtp unix - - {} - - smtp\n"


@pytest.mark.parametrize("chroot", ["-", "n", "y"])
def test_a_new_service_comes_last_and_runs_where_smtp_does(chroot: str) -> None:
    before = "# services\n" + SMTP.format(chroot)
    after = place_service(before.encode(), CLIENT).decode()
    assert after == before + LINES.replace("- n -", f"- {chroot} -").replace(
        "       n       ", f"       {chroot}       "
    )
    assert place_service(after.encode(), CLIENT).decode() == after
    assert remove_service(after.encode(), CLIENT.path).decode() == before


#: What master.cf has -> what it has with the service
PLACED = {
    "nothing": ("", LINES),
    "no last newline": (SMTP.format("n").strip(), SMTP.format("n") + LINES),
    "a comment last": ("# the end", "# the end\n" + LINES),
    "the service": (LINES, LINES),
    "another order and form": (
        "ses unix y - n - 5 smtp -o {smtp_tls_CAfile = /etc/ca}\n -osmtp_tls_security_level=secure\n",
        "ses unix y - n - 5 smtp -o {smtp_tls_CAfile = /etc/ca}\n -osmtp_tls_security_level=secure\n",
    ),
    "more of its own": (f"{LINES}  -o syslog_name=x\n", f"{LINES}  -o syslog_name=x\n"),
    "another value": (LINES.replace("secure", "may"), LINES),
    "a value twice": (f"{LINES}  -o smtp_tls_security_level=may\n", LINES),
    "a value that is gone": (LINES.replace("    -o smtp_tls_CAfile=/etc/ca\n", ""), LINES),
    "what else it has stays": (
        "ses unix - - y - 2 smtp -v\n -o syslog_name=x -o { smtp_helo_name = a b }\nrest unix - - n - - x\n",
        LINES.replace("       n       -       -", "       y       -       2")
        + "    -v\n    -o syslog_name=x\n    -o { smtp_helo_name = a b }\nrest unix - - n - - x\n",
    ),
    "another program": (f"ses unix - n y - - pipe\n argv=/bin/true\n\n# {SMTP}", LINES.replace(" n ", " y ") + f"\n# {SMTP}"),
    "a public socket": (LINES.replace("unix   -", "unix   n", 1), LINES),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), PLACED.values(), ids=PLACED)
def test_a_service_is_placed(before: str, after: str) -> None:
    placed = place_service(before.encode(), CLIENT)
    assert placed.decode() == after
    assert is_satisfied(placed, CLIENT)
    assert is_satisfied(before.encode(), CLIENT) is (before == after)
    assert place_service(placed, CLIENT) == placed


def test_only_its_own_lines_go() -> None:
    content = f"# before\n{LINES}\n# after\n{SMTP.format('n')}".encode()
    assert find_service_lines(content, CLIENT.path) == LINES
    assert (
        remove_service(content, CLIENT.path).decode() == f"# before\n\n# after\n{SMTP.format('n')}"
    )
    assert find_service_lines(b"", CLIENT.path) is None
    assert remove_service(b"", CLIENT.path) == b""


#: How a relay is -> what its service has
SETTINGS: dict[str, tuple[dict[str, t.Any], dict[str, str | None]]] = {
    "usual": ({}, {"smtp_tls_CAfile": "/etc/ca", "smtp_tls_wrappermode": "no", "smtp_tls_policy_maps": "static:secure"}),
    "without verification": ({"tls_level": "encrypt", "ca_file": None}, {"smtp_tls_CAfile": "", "smtp_tls_policy_maps": "static:encrypt"}),
    "a level": ({"tls_level": "encrypt"}, {"smtp_tls_security_level": "encrypt"}),
    "TLS at once": ({"wrappermode": True}, {"smtp_tls_wrappermode": "yes"}),
    "no senders": ({}, {"smtp_sender_dependent_authentication": "no"}),
    "senders": ({"has_senders": True}, {"smtp_sender_dependent_authentication": "yes"}),
    "an obsolete setting": ({"values": {CNAME: "yes"}}, {CNAME: "no"}),
    "its default": ({"values": {CNAME: "no"}}, {CNAME: None}),
    "not known to this Postfix": ({}, {CNAME: None, REQUIRED: None}),
    "known since 3.10": ({"values": {REQUIRED: "yes"}}, {REQUIRED: "no"}),
}  # fmt: skip


@pytest.mark.parametrize(("options", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_its_settings(options: dict[str, t.Any], expected: dict[str, str | None]) -> None:
    usual = {
        "values": {},
        "table": "hash:/p",
        "tls_level": "secure",
        "ca_file": "/etc/ca",
        "wrappermode": False,
    }
    settings = list_client_settings(**{**usual, "has_senders": False, **options})
    assert {name: settings.get(name) for name in expected} == expected
    assert settings["smtp_sasl_password_maps"] == "hash:/p"
    assert not any(" " in value for value in settings.values())
    services = parse_services(place_service(b"", OwnClient("x", settings)).decode())
    assert is_own_client(services["x/unix"])
    assert {name: one.value for name, one in services["x/unix"].overrides.items()} == settings


def test_what_is_no_own_client() -> None:
    services = parse_services(f"{LINES}{SMTP.format('n')}pipe unix - n n - - pipe\n")
    assert not any(map(is_own_client, [None, *services.values()]))
