# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Asking lookup tables that can't be listed, as Postfix's daemons do."""

from __future__ import annotations

import os
import typing as t

from .._ses._redaction import is_harmless
from ._table_name import parse_table_name

if t.TYPE_CHECKING:
    from ._programs import Postfix
    from ._routing import Ask

__all__ = ["ask_tables"]

# So that the answers fit into a pipe: see _programs.py.
_KEYS = 50


def ask_tables(postfix: Postfix) -> Ask:
    """A function that asks a table for keys: the values by key, None if it can't be asked."""

    def ask(table: str, keys: t.Sequence[str]) -> dict[str, str] | None:
        name = str(parse_table_name(table))
        # As an argument of postmap it would show what may be a password.
        if not is_harmless(name) or any("\n" in key for key in keys):
            return None
        found: dict[str, str] = {}
        for start in range(0, len(keys), _KEYS):
            data = os.fsencode("".join(f"{key}\n" for key in keys[start : start + _KEYS]))
            _code, out, err = postfix.run("postmap", "-q", "-", name, data=data, binary_data=True)
            if b"fatal:" in err or b"error:" in err:
                return None
            lines = (line.partition("\t") for line in out.decode(errors="replace").split("\n"))
            found.update({key: value for key, tab, value in lines if tab})
        return found

    return ask
