# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of SES's SMTP systems a login is for."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import smtp_system
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, MAIL_MANAGER

SES = "email-smtp.eu-west-1.amazonaws.com"
MANAGER, INGRESS = MAIL_MANAGER["endpoint"], MAIL_MANAGER["username"]


@pytest.mark.parametrize(
    ("hosts", "username", "version", "system"),
    [
        ([SES], None, None, "iam"),
        ([SES], INGRESS, None, "iam"),
        ([MANAGER], None, None, "mail_manager"),
        ([MANAGER], ACCESS_KEY, 4, "mail_manager"),
        (["other.example", MANAGER], None, None, "mail_manager"),
        (["other.example"], INGRESS, None, "mail_manager"),
        (["other.example"], INGRESS, 4, "mail_manager"),
        (["other.example"], ACCESS_KEY, None, "iam"),
        (["other.example"], None, 2, "iam"),
        (["other.example"], "joe", None, None),
        (["other.example"], None, None, None),
        ([], None, None, None),
    ],
)
def test_system(
    hosts: list[str], username: str | None, version: int | None, system: str | None
) -> None:
    assert smtp_system(hosts, username, version) == system
