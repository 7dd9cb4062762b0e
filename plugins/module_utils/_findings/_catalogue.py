# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The catalogue of findings: every kind that there is.

Only here and in the files named *_kinds.py are IDs, severities, messages and remedies written.
The functions that find something name a kind, a file, a key and values; see find().
"""

from __future__ import annotations

from . import (
    _connection_kinds,
    _entry_kinds,
    _host_kinds,
    _relay_kinds,
    _route_kinds,
    _table_kinds,
)
from ._finding import Kind

__all__ = ["KINDS"]

#: Every kind by the name of its constant.
KINDS = {
    name: kind
    for module in (
        _connection_kinds,
        _entry_kinds,
        _host_kinds,
        _relay_kinds,
        _route_kinds,
        _table_kinds,
    )
    for name, kind in vars(module).items()
    if isinstance(kind, Kind)
}
