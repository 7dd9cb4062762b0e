# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The verdict of _rotation_verdict.py on a terminal."""

from __future__ import annotations

import typing as t

from ._audit_lines import make_plain

__all__ = ("list_few", "write_rotation_lines")

_NAMED = 5
_AFTER_TROUBLE = {
    "rolled_back": "Rolled back, and seen without the new access key",
    "may_hold_new_key": "May still hold the new access key, so do not delete that one either",
    "not_touched": "Not touched by this run",
}


def list_few(names: t.Sequence[str]) -> str:
    """Return some of ``names``, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _on_host(found: t.Mapping[str, t.Any]) -> str:
    return f"{list_few(found['keys'])} on {found['host']}"


def write_rotation_lines(verdict: t.Mapping[str, t.Any]) -> list[str]:
    """Return counts, the verdict, the blocking hosts, and what was looked at, in this order."""
    new, old = verdict["access_key"], verdict["old_access_key"]
    count = len(verdict["hosts"])
    holding = f"{len(verdict['with_new_key'])} of {count} host{'' if count == 1 else 's'} hold"
    lines = [
        f"{holding} the new access key {new}, {len(verdict['with_old_key'])} the old access key {old}",
        f"It is {'safe' if verdict['safe'] else 'NOT safe'} to deactivate {old}",
    ]
    lines += [f"{each['host']}: {'; '.join(each['reasons'])}" for each in verdict["blocking"]]
    if not verdict["with_new_key"]:
        lines.append("No host was seen to use the new access key")
    for name, title in _AFTER_TROUBLE.items():
        if verdict[name]:
            lines.append(f"{title}: {', '.join(verdict[name])}")
    if verdict["without_login"]:
        lines.append(f"Without any SES login: {', '.join(verdict['without_login'])}")
    lines += [
        f"Other access key {each['username']}: {list_few(each['hosts'])}"
        for each in verdict["other_access_keys"]
    ]
    if verdict["mail_manager"]:
        lines.append(
            "Not touched, because the logins of Mail Manager are not derived from an access key:"
            f" {'; '.join(_on_host(each) for each in verdict['mail_manager'])}"
        )
    read = len(verdict["read"])
    lines.append(
        f"Looked at: Postfix on {read} host{'' if read == 1 else 's'}, with all its instances and"
        " password maps. Not looked at: applications, other mail servers, and other machines that"
        " may use the old access key"
    )
    return [make_plain(line) for line in lines]
