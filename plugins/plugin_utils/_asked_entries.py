# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The entries of a password map that a task asks for, each with its key and its login."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.mailops.ses.plugins.module_utils._secret_shapes import is_raw_secret
from ansible_collections.mailops.ses.plugins.module_utils._ses_smtp import (
    SesSmtpError,
    region_warning,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._credentials import (
    AWS_ARGUMENT_SPEC,
    SMTP_LOGIN_ARGUMENT_SPEC,
    smtp_login,
    smtp_server,
    with_environment,
)

__all__ = ("AskedEntries", "AskedEntry", "asked_entries", "inherited")

_ENTRY_OPTIONS = (*AWS_ARGUMENT_SPEC, *SMTP_LOGIN_ARGUMENT_SPEC, "key", "state")
_KEY_PAIR = ("access_key", "secret_key")
_LOGIN = ("username", "password")
_AMAZON = re.compile(r"\.(?:amazonaws\.com|api\.aws)\b", re.IGNORECASE)


class AskedEntry(t.TypedDict):
    """One entry, as the module takes it: the fields of module_utils/_map_entry.py's Wanted."""

    key: str
    username: str
    password: str
    present: bool
    asked_by: str


@dataclass(frozen=True)
class AskedEntries:
    """All entries of a task, and what to warn of."""

    entries: list[AskedEntry]
    warnings: list[str]

    @property
    def passwords(self) -> set[str]:
        """The passwords, to be registered as secrets."""
        return {entry["password"] for entry in self.entries if entry["password"]}

    @property
    def handed_over(self) -> dict[str, list[AskedEntry]]:
        """What the module gets.

        Not the bare list: of none, "[]" would be a secret, and hidden wherever it occurs.
        """
        return {"entries": self.entries}


def asked_entries(options: t.Mapping[str, t.Any]) -> AskedEntries:
    """Return the entries that ``options``, a task's with canonical names, ask for.

    An entry of the option entries has from the task's own options what it does not say.

    :raises SesSmtpError: if an option is missing, wrong, or contradicts another; the message says
        in which entry.
    """
    own = {name: options[name] for name in _ENTRY_OPTIONS if options.get(name) is not None}
    if options["exclusive"] and options["state"] == "absent":
        raise SesSmtpError(
            "exclusive removes what is not asked for, and with state 'absent' nothing is. Use"
            " exclusive with an empty list of entries to remove them all"
        )
    if options["entries"] is None:
        asked = [("the task", own)]
    elif "key" in own:
        raise SesSmtpError("key is for a single entry. Move it into the entries")
    else:
        asked = [
            (f"entries[{number}]", inherited(own, entry))
            for number, entry in enumerate(options["entries"])
        ]
    entries = []
    warnings: dict[str, None] = {}
    for place, said in asked:
        try:
            entry, about = _entry(said, place)
        except SesSmtpError as exc:
            if options["entries"] is None:
                raise
            raise SesSmtpError(f"{place}: {exc}") from None
        entries.append(entry)
        warnings.update(dict.fromkeys(about))
    return AskedEntries(entries, list(warnings))


def inherited(own: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what ``entry`` says, and of ``own``, the task's options, what goes with it."""
    said = {name: value for name, value in entry.items() if value is not None}
    unwanted: tuple[str, ...] = ()
    # Either kind of login is said by the entry or comes from the task, never one half of each.
    if any(name in said for name in _LOGIN):
        unwanted = _KEY_PAIR
    elif any(name in said for name in _KEY_PAIR):
        unwanted = _LOGIN
    return {**{name: own[name] for name in own if name not in unwanted}, **said}


def _entry(said: t.Mapping[str, t.Any], place: str) -> tuple[AskedEntry, list[str]]:
    """Return an entry and what to warn of."""
    options = with_environment(said)
    present = options["state"] == "present"
    key = options.get("key")
    if key is None:
        key = smtp_server(options).relayhost
    username, password = smtp_login(options) if present else ("", "")
    entry = AskedEntry(
        key=str(key), username=username, password=password, present=present, asked_by=place
    )
    if not present:
        return entry, []
    if "password" in said:
        return entry, _raw_secret_warning(said, entry)
    unknown = region_warning(options["region"])
    return entry, [unknown] if unknown else []


def _raw_secret_warning(said: t.Mapping[str, t.Any], entry: AskedEntry) -> list[str]:
    """Warn of an AWS secret as the password, the commonest cause of SES's answer 535."""
    to_amazon = "region" in said or _AMAZON.search(f"{said.get('endpoint')} {entry['key']}")
    if not (to_amazon and is_raw_secret(entry["password"])):
        return []
    warning = (
        f"{entry['asked_by']}: the password for {entry['key']} looks like an AWS secret access"
        " key, which SES refuses. Give it as secret_key, with access_key and region, to have the"
        " SMTP password derived from it"
    )
    return [warning]
