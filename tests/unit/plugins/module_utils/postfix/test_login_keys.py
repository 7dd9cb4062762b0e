# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Postfix's client looks up for a login, in its order."""

from __future__ import annotations

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._login_keys import (
    find_bare_host,
    list_login_keys,
)

HOST, SERVER = "h.example", "[h.example]:587"
KEYS: list[tuple[tuple[str, str, str | None], tuple[str, ...]]] = [
    ((HOST, SERVER, None), (HOST, SERVER)),
    ((HOST, HOST, None), (HOST,)),
    ((HOST, SERVER, "me@x.example"), ("me@x.example", "@x.example", HOST, SERVER)),
    ((HOST, SERVER, "@x.example"), ("@x.example", HOST, SERVER)),
]


@pytest.mark.parametrize(("server", "expected"), KEYS)
def test_the_order(server: tuple[str, str, str | None], expected: tuple[str, ...]) -> None:
    assert list_login_keys(*server) == expected


def test_the_host_that_is_looked_up_first() -> None:
    """Folded as Postfix folds it: with smtputf8_enable all of Unicode, without it ASCII."""
    assert find_bare_host("[H.Example]:587", utf8=True) == b"h.example"
    assert find_bare_host("[Ä]", utf8=True) == "ä".encode()
    assert find_bare_host("[Ä]", utf8=False) == "Ä".encode()
    assert find_bare_host("h.example", utf8=True) is None
