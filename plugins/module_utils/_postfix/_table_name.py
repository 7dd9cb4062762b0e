# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""How a setting of Postfix names a lookup table: TYPE:PATH, perhaps with proxy: before it."""

from __future__ import annotations

import typing as t

__all__ = ["TableName", "parse_table_name"]

_PROXY = "proxy:"


class TableName(t.NamedTuple):
    """A lookup table: `path` is what follows the type, for most types a path.

    Without a colon in the setting there is no type, and `path` is empty. `is_proxied` says that
    proxymap(8) reads the table for Postfix's clients.
    """

    type: str
    path: str
    is_proxied: bool = False

    def __str__(self) -> str:
        """The table itself, which postmap opens without a running Postfix: without proxy:."""
        return f"{self.type}:{self.path}" if self.path else self.type


def parse_table_name(token: str) -> TableName:
    """Take apart one name of a list of tables: see split_tokens() of _main_cf.py."""
    if token.startswith("{") and token.endswith("}"):
        token = token[1:-1].strip()
    is_proxied = token.startswith(_PROXY)
    type_name, _colon, path = token[len(_PROXY) if is_proxied else 0 :].partition(":")
    return TableName(type_name, path, is_proxied)
