# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The entries of a password map that a task requests, each with its lookup key and its login."""

from __future__ import annotations

import re
import typing as t

from ..module_utils._options import LOGIN_OPTIONS
from ..module_utils._postfix._destination import parse_host
from ..module_utils._postfix._map_entry import RequestedEntries, RequestedEntry
from ..module_utils._ses._mail_manager import is_mail_manager_host
from ..module_utils._ses._regions import DOMAINS
from ..module_utils._ses._secret_mistakes import has_iam_form
from ..module_utils._ses._smtp_password import SesSmtpError
from ._credentials import find_server, find_username_and_password
from ._login_places import (
    KEY_PAIR,
    LOGIN,
    Place,
    check_one_secret_each,
    merge,
    with_environment,
)
from ._option_warnings import option_warnings
from ._ses_action import Requested
from ._smtp_systems import check_derivable, check_mail_manager_port, check_username_of_system

__all__ = ("read_entries",)

_ENTRY_OPTIONS = (*LOGIN_OPTIONS, "key", "state")
_WITH_PORT = re.compile(r"\[?([^\[\]:@]+)\]?:([0-9]{1,5})")
_AMAZON = re.compile(rf"\.(?:{'|'.join(map(re.escape, DOMAINS))})\b", re.IGNORECASE)


def read_entries(options: t.Mapping[str, t.Any]) -> Requested:
    """Return the entries that ``options``, a task's with canonical names, request.

    An entry of the option entries has from the task's own options what it does not say.

    :raises SesSmtpError: if an option is missing, wrong, or contradicts another; the message says
        in which entry.
    """
    own = Place("the task", {name: options.get(name) for name in _ENTRY_OPTIONS})
    if options["exclusive"] and options["state"] == "absent":
        raise SesSmtpError(
            "exclusive=true needs state=present: it removes every entry that is not listed. To remove"
            " all entries, give an empty list of entries"
        )
    if options["entries"] is None:
        places_of_each: list[tuple[Place, ...]] = [(own,)]
    elif own.options["key"] is not None:
        raise SesSmtpError("key is for a single entry. Move it into the entries")
    else:
        places_of_each = [
            (Place(f"entries[{number}]", entry), own)
            for number, entry in enumerate(options["entries"])
        ]
    entries = []
    pairs = [own]
    warnings: dict[str, None] = {}
    for places in places_of_each:
        try:
            entry, pair, about = _entry(*places)
        except SesSmtpError as exc:
            if options["entries"] is None:
                raise
            raise SesSmtpError(f"{places[0].name}: {exc}") from None
        entries.append(entry)
        pairs.append(pair)
        warnings.update(dict.fromkeys(about))
    check_one_secret_each(pairs)
    passwords = {entry.password for entry in entries if entry.present}
    return Requested(RequestedEntries(tuple(entries)), passwords, list(warnings))


def _entry(*places: Place) -> tuple[RequestedEntry, Place, list[str]]:
    """Return the entry of the nearest of ``places``, its key pair, and what to warn of."""
    place = places[0].name
    present = merge(*places)["state"] == "present"
    if not present:
        places = tuple(_without_login(each) for each in places)
    options = with_environment(*places)
    key = options.get("key")
    if key is None:
        key = find_server(options).relayhost
    host, port = _host_and_port(str(key))
    username, password = _login_for(host, port, options) if present else ("", "")
    entry = RequestedEntry(str(key), username, password, present, requested_by=place)
    if not present:
        return entry, Place(place, {}), []
    region = None if "password" in options else options.get("region")
    warnings = option_warnings(region, host, port)
    if "password" in options:
        warnings += _raw_secret_warning(merge(*places), entry)
    return entry, Place(place, options), warnings


def _login_for(
    host: str | None, port: int | None, options: t.Mapping[str, t.Any]
) -> tuple[str, str]:
    """The login that ``options`` request for the host and the port of a lookup key."""
    if host is not None:
        if not options.keys() & LOGIN:
            check_derivable(host, "the host")
        check_mail_manager_port(host, port, place="the host")
    username, password = find_username_and_password(options)
    if host is not None:
        check_username_of_system(username, host, "the host")
    return username, password


def _host_and_port(key: str) -> tuple[str | None, int | None]:
    """The host and the port that a lookup key names, as far as it does."""
    found = _WITH_PORT.fullmatch(key)
    return (found.group(1), int(found.group(2))) if found else (parse_host(key), None)


def _without_login(place: Place) -> Place:
    options = {name: place.options[name] for name in place.options if name not in KEY_PAIR + LOGIN}
    return Place(place.name, options)


def _raw_secret_warning(given: t.Mapping[str, t.Any], entry: RequestedEntry) -> list[str]:
    """Warn of an AWS secret as the password, the commonest cause of SES's answer 535."""
    to_amazon = "region" in given or _AMAZON.search(f"{given.get('endpoint')} {entry.key}")
    if is_mail_manager_host(_host_and_port(entry.key)[0] or ""):
        return []  # a password of any form may be the one that was chosen
    if not (to_amazon and has_iam_form(entry.password)):
        return []
    warning = (
        f"{entry.requested_by}: the password for {entry.key} looks like an AWS secret access"
        " key, which SES refuses. Give it as secret_key, with access_key and region, to have the"
        " SMTP password derived from it"
    )
    return [warning]
