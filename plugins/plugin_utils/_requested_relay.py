# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The servers that a task requests mail to be relayed through, each with its login."""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from ..module_utils._options import LOGIN_OPTIONS
from ..module_utils._relay._settings import RelayLogin, RelayLogins
from ..module_utils._ses._smtp_password import SesSmtpError
from ._credentials import find_credentials
from ._login_diagnosis import diagnose, find_login_and_key_pair
from ._login_places import (
    Place,
    check_one_secret_each,
)
from ._option_warnings import option_warnings
from ._ses_action import Requested

if t.TYPE_CHECKING:
    from ..module_utils._smtp._server import SmtpLogin

__all__ = ("read_relay",)

_SENDER = re.compile(r"[^\s@]*@[^\s@]+")


def read_relay(options: t.Mapping[str, t.Any]) -> Requested:
    """Return the servers and logins that ``options``, a task's with canonical names, request.

    A sender has from the task's own options what it does not say.

    :raises SesSmtpError: if an option is missing, wrong, or contradicts another; the message says
        in which sender.
    """
    if options["state"] == "absent":
        return Requested(RelayLogins(), frozenset())
    own = _given(options)
    regions = _regions(options, own)
    logins = []
    senders = []
    pairs = [Place("the task", own)]
    warnings: dict[str, None] = {}
    for region in regions:
        of_region = pairs[0]
        if region is not None:
            of_region = Place(f"region {region}", {**own, "region": region})
        login, pair, about = _login(of_region)
        logins.append(RelayLogin(login))
        pairs.append(pair)
        warnings.update(dict.fromkeys(about))
    seen: dict[str, int] = {}
    first = own if regions[0] is None else {**own, "region": regions[0]}
    for number, entry in enumerate(options["senders"] or ()):
        place = f"senders[{number}]"
        sender = _sender(entry, place, seen)
        seen[sender.lower()] = number
        given = _given(entry)
        try:
            login, pair, about = _login(
                Place(place, given), Place("the task", _for_sender(first, given))
            )
        except SesSmtpError as exc:
            raise SesSmtpError(f"{place}: {exc}") from None
        senders.append(RelayLogin(login, sender))
        pairs.append(pair)
        warnings.update(dict.fromkeys(about))
    check_one_secret_each(pairs)
    content = RelayLogins(tuple(logins), tuple(senders))
    passwords = {each.login.password for each in (*logins, *senders)}
    return Requested(content, passwords, list(warnings))


def _given(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {name: options[name] for name in LOGIN_OPTIONS if options.get(name) is not None}


def _regions(
    options: t.Mapping[str, t.Any], own: t.Mapping[str, t.Any]
) -> t.Sequence[t.Any | None]:
    """The regions of ``regions``; one None, for what the other options say, without it."""
    if options["regions"] is None:
        return [None]
    regions: list[t.Any] = options["regions"]
    if "region" in own:
        raise SesSmtpError("region and regions exclude each other. Move region into regions")
    if not regions:
        raise SesSmtpError("regions is empty. Give at least one")
    repeated = {str(region) for region in regions if regions.count(region) > 1}
    if repeated:
        raise SesSmtpError(f"regions has {', '.join(sorted(repeated))} more than once")
    if len(regions) > 1:
        if "endpoint" in own:
            raise SesSmtpError("endpoint names one host, so it goes with one region")
        if "password" in own:
            raise SesSmtpError(
                "password is for one region. For several, give access_key and secret_key, from"
                " which each region's is derived"
            )
    return regions


def _sender(entry: t.Mapping[str, t.Any], place: str, seen: t.Mapping[str, int]) -> str:
    sender = str(entry["sender"])
    if not _SENDER.fullmatch(sender):
        raise SesSmtpError(f"{place}: sender must be an address or '@' and a domain")
    if sender.lower() in seen:
        raise SesSmtpError(f"{place} and senders[{seen[sender.lower()]}] are for one sender")
    return sender


def _for_sender(own: t.Mapping[str, t.Any], said: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The task's options that go with what a sender says of its server."""
    unwanted = set()
    if "endpoint" in said:
        unwanted |= {"fips", "dualstack"}
    elif {"region", "fips", "dualstack"} & said.keys():
        # The task's host is one in the task's region.
        unwanted.add("endpoint")
    if "port" in said or "tls" in said:
        unwanted |= {"port", "tls"}
    return {name: own[name] for name in own if name not in unwanted}


def _login(*places: Place) -> tuple[SmtpLogin, Place, list[str]]:
    """Return the login of the nearest of ``places``, the pair it is of, and what to warn of."""
    options, key_pair = find_login_and_key_pair(*places)
    credentials = find_credentials(options, places[0].name)
    server = credentials.login.server
    warnings = option_warnings(credentials.region, server.host, server.port)
    login = replace(credentials.login, diagnosis=diagnose(credentials, key_pair))
    return login, Place(places[0].name, options), warnings
