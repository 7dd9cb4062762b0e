# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The entries of a host that have an old access key, each with the login of the new one."""

from __future__ import annotations

import typing as t

from ..module_utils._postfix._map_entry import RequestedEntry
from ..module_utils._relay._rotation_plan import RotatedEntries, RotatedEntry
from ..module_utils._ses._mail_manager import MAIL_MANAGER
from ..module_utils._ses._redaction import REDACTED
from ..module_utils._ses._regions import SMTP_REGIONS, check_region
from ..module_utils._ses._smtp_password import SesSmtpError, check_access_key
from ..module_utils._smtp._server import SmtpServer
from ._credentials import find_username_and_password
from ._host_answer import (
    LOGINS,
    AnswerError,
    check_answer,
)
from ._login_places import (
    KEY_PAIR,
    Place,
    with_environment,
)

__all__ = ("NewKey", "find_entries", "find_mail_manager_entries")


class NewKey:
    """The new access key of a task, and which one it replaces."""

    def __init__(self, options: t.Mapping[str, t.Any]) -> None:
        """Check what can be checked without the host.

        :raises SesSmtpError: if an option is missing or wrong.
        """
        # A region from the environment would be a guess: entries say theirs.
        self._region = options.get("region")
        self._regions = options.get("regions")
        try:
            for region in self._regions or ():
                check_region(region)
        except SesSmtpError as exc:
            raise SesSmtpError(f"regions: {exc}") from None
        pair = {name: options.get(name) for name in KEY_PAIR}
        self._key_pair = with_environment(Place("the task", pair))
        self.old_access_key = options.get("old_access_key")
        if self.old_access_key is None:
            raise SesSmtpError(
                "old_access_key is missing. Give the access key ID that is to be replaced"
            )
        try:
            check_access_key(self.old_access_key)
        except SesSmtpError as exc:
            raise SesSmtpError(f"old_{exc}") from None
        # The region plays no part in whether the access key can be one.
        username, _password = find_username_and_password(
            {**self._key_pair, "region": self._region or "us-east-1"}
        )
        if username == self.old_access_key:
            raise SesSmtpError(
                "access_key and old_access_key are the same. access_key is the new one"
            )

    def rotate(self, entries: t.Iterable[t.Mapping[str, t.Any]]) -> RotatedEntries:
        """Return those of a host's ``entries`` that have the old access key, with their new logins.

        ``entries`` are of mailops.ses.postfix_relay_info.

        :raises SesSmtpError: if the region of one can't be told or is outside of the limit; the
            message says of which.
        """
        old = [entry for entry in entries if entry["username"] == self.old_access_key]
        regions = {entry["region"] for entry in old}
        if len(regions) > len(SMTP_REGIONS):
            raise SesSmtpError(
                f"the host has entries for {len(regions)} regions, and SES has"
                f" {len(SMTP_REGIONS)} with an SMTP endpoint. Look at its password maps. No"
                " password was sent to the host"
            )
        return RotatedEntries(tuple(self._rotate(entry) for entry in old))

    def _rotate(self, entry: t.Mapping[str, t.Any]) -> RotatedEntry:
        if entry["system"] == MAIL_MANAGER:
            raise SesSmtpError(
                f"the entry {entry['key']!r} of {entry['path'] or entry['table']} is for Mail Manager,"
                " which refuses an access key: its logins are not derived from one. Write the login"
                " of the ingress endpoint there, or remove the entry. Nothing was changed"
            )
        if not entry["path"]:
            raise SesSmtpError(
                f"the entry {entry['key']!r} is in {entry['table']}, which has no file. Change it"
                " by hand, or move it to a password map"
            )
        if REDACTED in entry["key"]:
            raise SesSmtpError(
                f"line {entry['line']} of {entry['path']} has its parts in another order: what"
                f" stands in the place of the lookup key may be a password ({entry['key']!r})."
                " Write that line again (lookup key, white space, access key ID, colon, SMTP"
                " password), or remove it. Nothing was changed"
            )
        region = entry["region"] or self._region
        if region is None:
            raise SesSmtpError(
                f"the region of the entry {entry['key']!r} of {entry['path']} can't be told, so"
                " its password can't be derived. Give region, or remove the entry"
            )
        if self._regions is not None and region not in self._regions:
            raise SesSmtpError(
                f"the entry {entry['key']!r} of {entry['path']} is for the region {region!r}, which"
                f" is not in regions ({', '.join(self._regions)}). Add it to regions if this host is"
                " to get the new key's password for it, or remove the entry. No password was sent to"
                " the host"
            )
        # An endpoint makes a region acceptable in which this collection knows none.
        options = {**self._key_pair, "region": region, "endpoint": entry["key"]}
        username, password = find_username_and_password(options)
        requested_by = f"the entry {entry['key']!r}"
        return RotatedEntry(
            path=entry["path"],
            entry=RequestedEntry(entry["key"], username, password, requested_by=requested_by),
            servers=tuple(
                SmtpServer(each["host"], each["port"], each["tls"]) for each in entry["servers"]
            ),
        )


def find_entries(instances: t.Any, config_directory: str | None) -> list[t.Mapping[str, t.Any]]:
    """Return the entries of the instance that a task is about.

    ``instances`` are those of postfix_relay_info.

    Without a directory that is the default one, which postmulti names "-".

    :raises SesSmtpError: if it is not among ``instances``, or these are malformed or too many.
    """
    try:
        known = check_answer(LOGINS, instances)
    except AnswerError as exc:
        raise SesSmtpError(
            f"the host's answer is not one of postfix_relay_info: {exc}. No password was sent to the"
            " host"
        ) from None
    for instance in known:
        if config_directory is not None or instance["name"] == "-":
            return list(instance["entries"])
    raise SesSmtpError(
        "the host's default instance of Postfix was not found, or can't be read. Give the"
        " config_directory of the one that is meant"
    )


def find_mail_manager_entries(entries: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the lookup keys of those of a host's ``entries`` that are for Mail Manager."""
    return sorted({entry["key"] for entry in entries if entry["system"] == MAIL_MANAGER})
