# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An entry and its servers; the rest is in test_rotation.py."""

from __future__ import annotations

from ansible_collections.mailops.ses.plugins.module_utils._postfix._map_entry import RequestedEntry
from ansible_collections.mailops.ses.plugins.module_utils._relay._rotation_plan import RotatedEntry
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import (
    SmtpLogin,
    SmtpServer,
)

NEW = "AKIAEXAMPLE000000002"


def test_a_login_at_each_of_the_servers() -> None:
    servers = tuple(SmtpServer(f"{name}.example.com", 465, "wrapper") for name in "ab")
    rotated = RotatedEntry(
        "/m",
        RequestedEntry("[a]:465", NEW, "sesame-2", requested_by="the entry '[a]:465'"),
        servers,
    )
    assert rotated.list_logins() == [
        SmtpLogin(server, NEW, "sesame-2", "the entry '[a]:465'") for server in servers
    ]
    assert RotatedEntry("/m", rotated.entry).list_logins() == []
    assert "sesame" not in repr(rotated)
