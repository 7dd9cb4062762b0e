# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail Manager: what its hosts, user names and passwords look like, and that nothing is derived for it."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._ses._mail_manager import (
    find_mail_manager_mistake,
    is_ingress_endpoint,
    is_mail_manager_host,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import (
    SesSmtpError,
    derive_password,
)
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    MAIL_MANAGER,
    PASSWORD_OF,
    SECRET_KEY,
)

HOSTS = [
    "abcdefgh.ijklmnop.mail-manager-smtp.amazonaws.com",
    "abcdefgh.fips.ijklmnop.mail-manager-smtp.amazonaws.com",
    "abcdefgh.eu-west-1.mail-manager-smtp.amazonaws.com",
    "a.mail-manager-smtp.eu-west-1.amazonaws.com",
    "a.b.mail-manager-smtp.amazonaws.eu",
    "A.B.MAIL-MANAGER-SMTP.AMAZONAWS.COM",
    "a.b.mail-manager-smtp.api.aws",
]
OTHER_HOSTS = [
    "email-smtp.eu-west-1.amazonaws.com",
    "mail-manager-smtp.amazonaws.com",
    "a.b.mail-manager-smtp.amazonaws.com.example.org",
    "a.b.mail-manager-smtp.example.org",
    "a.bmail-manager-smtp.amazonaws.com",
    "a.b.mail-manager-smtp.amazonaws.com.cn",
    "",
]
# user name, password -> what is wrong
MISTAKES = {
    "an access key ID": ((ACCESS_KEY, "Sesame123"), "not the ID of an ingress endpoint"),
    "a name": (("joe", "Sesame123"), "not the ID of an ingress endpoint"),
    "white space": (("inp-abc", "Sesame123 "), "white space"),
    "too short": (("inp-abc", "Sesame1"), "8 to 64"),
    "too long": (("inp-abc", "a" * 65), "8 to 64"),
    "another character": (("inp-abc", "Sesame/123"), "8 to 64"),
}


@pytest.mark.parametrize("host", HOSTS)
def test_host(host: str) -> None:
    assert is_mail_manager_host(host)
    for region in ("eu-west-1", None):
        with pytest.raises(SesSmtpError) as caught:
            derive_password(SECRET_KEY, region, endpoint=host)
        assert str(caught.value) == (
            f"endpoint '{host}' is an ingress endpoint of Mail Manager, whose password is chosen "
            "when it is created, and is not derived from an access key. Give username (the ID of "
            "the ingress endpoint, inp-...) and password instead of access_key and secret_key"
        )


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_other_host(host: str) -> None:
    assert not is_mail_manager_host(host)
    assert derive_password(SECRET_KEY, "eu-west-3", endpoint=host) == PASSWORD_OF["eu-west-3"]


@pytest.mark.parametrize(
    ("username", "is_one"),
    [
        ("inp-abc123", True),
        ("inp-ABC", True),
        ("inp-", False),
        ("inp-a-b", False),
        ("xinp-abc", False),
        ("inp-abc\n", False),
        (ACCESS_KEY, False),
    ],
)
def test_ingress_endpoint(username: str, is_one: bool) -> None:
    assert is_ingress_endpoint(username) is is_one


@pytest.mark.parametrize(("login", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_login_that_can_not_be_one(login: tuple[str, str], says: str) -> None:
    mistake = find_mail_manager_mistake(*login)
    assert mistake is not None
    assert says in mistake
    assert login[1] not in mistake


@pytest.mark.parametrize(
    "password", ["a" * 8, "a" * 64, MAIL_MANAGER["password"], "!@#$%^&*()_+-=[]{}|.,?"]
)
def test_a_login_that_may_be_one(password: str) -> None:
    assert find_mail_manager_mistake(MAIL_MANAGER["username"], password) is None
