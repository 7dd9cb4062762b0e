# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The catalogue's findings about lookup tables: sources, compiled tables, and who can read them."""

from __future__ import annotations

from dataclasses import replace

from .._postfix._lookup_table import State
from ._finding import Kind

__all__ = [
    "LOGIN_WITHOUT_SOURCE",
    "MAP_DENIED",
    "MAP_NOT_LISTED",
    "OPEN_FILE",
    "OPEN_MAIN_CF",
    "SOURCE_AND_TABLE_MISSING",
    "SOURCE_MISSING",
    "STALE_TABLE",
    "TABLE_CLOSED",
    "TABLE_DAMAGED",
    "TABLE_DAMAGED_SOURCE_MISSING",
    "TABLE_MISSING",
    "TABLE_OLDER",
    "TABLE_TYPE_MISSING",
    "UNUSABLE",
]

_DEFERS = "Postfix defers all mail that needs this table"
_UNLESS_OFF = " For a password map, it is a notice while smtp_sasl_auth_enable is not yes."
_CREATE_SOURCE = (
    "Create {source} with mailops.ses.postfix_relay or mailops.ses.postfix_sasl_passwd, or remove"
    " {table} from {setting}"
)

TABLE_TYPE_MISSING = Kind(
    "table_type_missing",
    "critical",
    f"This Postfix does not support the type of a lookup table. It defers the mail.{_UNLESS_OFF}",
    f"{{setting}} names {{table}}, but this Postfix has no such table type. {_DEFERS}",
    "Run: postconf -m. In {setting}, replace the table by one of a type that this lists, or install"
    " the package of Postfix for its type",
    mild_severity="notice",
    blocks=True,
)
TABLE_MISSING = Kind(
    "table_missing",
    "critical",
    f"A lookup table is not compiled. Postfix defers the mail.{_UNLESS_OFF}",
    f"{{setting}} names {{table}}, whose compiled table is missing. {_DEFERS}",
    "Run: postmap {table}. If it has no source, create that first, or remove the table from"
    " {setting}",
    mild_severity="notice",
    blocks=True,
)
SOURCE_AND_TABLE_MISSING = Kind(
    "table_missing",
    "critical",
    "A password map has neither a source nor a compiled table. Postfix defers the mail."
    f"{_UNLESS_OFF}",
    f"{{setting}} names {{table}}, but there is no such file. {_DEFERS}",
    _CREATE_SOURCE,
    mild_severity="notice",
    blocks=True,
)
TABLE_DAMAGED = Kind(
    "table_damaged",
    "critical",
    f"Postfix can't read a compiled table. It defers the mail.{_UNLESS_OFF}",
    f"{{setting}} names {{table}}, whose compiled table is damaged. {_DEFERS}",
    "Run: postmap {table}",
    mild_severity="notice",
    blocks=True,
)
TABLE_DAMAGED_SOURCE_MISSING = replace(
    TABLE_DAMAGED,
    meaning=f"The same, and the source is missing.{_UNLESS_OFF}",
    message=f"{{setting}} names {{table}}, which has a damaged compiled table and no source. {_DEFERS}",
    remedy=_CREATE_SOURCE,
)
TABLE_CLOSED = Kind(
    "table_closed",
    "critical",
    "proxymap, which reads a password map for Postfix, may not read the compiled table. Postfix"
    f" defers the mail.{_UNLESS_OFF}",
    "proxymap may not read the compiled table of {table}, because it runs as Postfix's own user."
    f" {_DEFERS}",
    "In {setting}, replace proxy:{table} by {table}, so that root reads the compiled table. Then"
    " run: postfix reload",
    mild_severity="notice",
    blocks=True,
)
MAP_NOT_LISTED = Kind(
    "map_not_read",
    "warning",
    "The entries of a password map can't be listed, so they were not checked. An access key that"
    " is not found may be there.",
    "The entries of {table} in {setting} can't be listed, so they were not checked",
    "Check these entries by hand: the user name is an access key ID, and the password was derived"
    " for the region of the server",
)
MAP_DENIED = Kind(
    "map_not_read",
    "critical",
    "This user may not read a password map, so its entries were not checked.",
    "This user may not read {table}, so its entries were not checked",
    "Run the task as root: set become: true",
)
STALE_TABLE = Kind(
    "table_stale",
    "warning",
    "A compiled table has other entries than its source. Postfix uses those of the compiled table.",
    "The compiled table of {table} has other entries than its source. Postfix uses those of the"
    " compiled table",
    "Make sure that the source is right. Then run: postmap {table}",
)
TABLE_OLDER = Kind(
    "table_stale",
    "notice",
    "A compiled table is older than its source, but has the same entries.",
    "The compiled table of {table} is older than its source, but has the same entries",
    "Run: postmap {table}",
)
SOURCE_MISSING = Kind(
    "source_missing",
    "notice",
    "The source of a compiled table is missing, so nobody can edit the entries.",
    "The source is missing. The entries of {table} are in the compiled table only",
    "Write the source again, as root. Run: (umask 077 && postmap -s {table} >{file})",
)
LOGIN_WITHOUT_SOURCE = Kind(
    "login_without_source",
    "warning",
    "A login is in a compiled table only, and its source is missing. Whoever writes a new source and runs"
    " postmap loses it.",
    "The source is missing, so {table} alone has the login of {key}. The next postmap without it in the"
    " source loses it",
    "Write the source again, as root. Run: (umask 077 && postmap -s {table} >{file})",
)
OPEN_FILE = Kind(
    "readable_by_others",
    "critical",
    "Users other than root and Postfix can read or change a source, a compiled table, or a copy of"
    " either.",
    "This {what} holds passwords, and users other than root can read or change it ({status})",
    "Run: chown root:root {file} && chmod 0600 {file}. If it is a copy, remove it. If people other"
    " than the administrators can log in to this host, replace the access keys in this file",
)
OPEN_MAIN_CF = Kind(
    "readable_by_others",
    "critical",
    "Users other than root and Postfix can read passwords in main.cf itself.",
    "main.cf holds passwords, and users other than root can read or change it ({status})",
    "Replace the access keys of these passwords. Remove the passwords from main.cf, and set up the"
    " relay with mailops.ses.postfix_relay, which keeps them in a file for root alone",
)

#: Of a table that Postfix can't use, by its state.
UNUSABLE = {
    State.NO_TYPE: TABLE_TYPE_MISSING,
    State.MISSING: TABLE_MISSING,
    State.DAMAGED: TABLE_DAMAGED,
}
