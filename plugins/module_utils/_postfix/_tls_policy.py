# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Which TLS a client of Postfix's demands of a server: of main.cf, master.cf and TLS policies. Pure.

Source: smtp_tls_policy.c.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ._main_cf import split_tokens
from ._search import LookupKey, Question, UnansweredError, UnusableTableError, search
from ._tls import OPTIONAL_LEVELS, list_policy_keys, parse_policy_level

if t.TYPE_CHECKING:
    from ._configuration import Configuration
    from ._destination import Client, Destination

__all__ = [
    "LEVEL",
    "PER_SITE",
    "POLICIES",
    "TLS_REQUIRED",
    "Tls",
    "find_tls",
    "list_tls_questions",
]

LEVEL = "smtp_tls_security_level"
POLICIES = "smtp_tls_policy_maps"
PER_SITE = "smtp_tls_per_site"
#: Whether the header TLS-Required: no turns off the level for a message (since Postfix 3.10).
TLS_REQUIRED = "tls_required_enable"
# From the least to the most that a table in smtp_tls_per_site can demand.
_OF_SITES = {"none": "none", "may": "may", "must_nopeermatch": "encrypt", "must": "verify"}


@dataclass(frozen=True)
class Tls:
    """What a client demands of a server. `by` is the setting that decides the level.

    `level` is None if a table that can't be listed was not asked, or can't be used: `table` is that
    one then. `match` has the names that a certificate is to have one of, or what stands for them.
    """

    level: str | None
    by: str
    protocols: str = ""
    match: tuple[str, ...] = ()
    table: str = ""


def find_tls(configuration: Configuration, client: Client, destination: Destination) -> Tls:
    """What a client demands of a server."""
    tables = POLICIES if client.get(POLICIES) else PER_SITE
    try:
        policy = _policy(configuration, client, destination)
    except UnansweredError as exc:
        return Tls(None, tables, table=exc.questions[0].table)
    except UnusableTableError as exc:
        return Tls(None, tables, table=exc.table)
    level, by, attributes = policy or (client.tls_level, LEVEL, {})
    prefix = "" if level == "may" else "mandatory_"
    protocols = attributes.get("protocols", client.get(f"smtp_tls_{prefix}protocols"))
    match = attributes.get("match", "").replace(":", " ")
    kind = "verify" if level == "verify" else "secure"
    match = match or client.get(f"smtp_tls_{kind}_cert_match").replace(":", " ")
    return Tls(level, by, protocols, split_tokens(match))


def list_tls_questions(
    configuration: Configuration, client: Client, destination: Destination
) -> tuple[Question, ...]:
    """What tables that can't be listed have to be asked for find_tls()."""
    try:
        _policy(configuration, client, destination)
    except UnansweredError as exc:
        return exc.questions
    except UnusableTableError:
        pass
    return ()


def _policy(
    configuration: Configuration, client: Client, destination: Destination
) -> tuple[str, str, dict[str, str]] | None:
    """Level, setting and attributes of a policy for a server, None if there is none."""
    value = client.get(POLICIES)
    if value:
        for key in list_policy_keys(destination.text):
            hit = search(configuration, value, [LookupKey(key)])
            if hit:
                words = (word.partition("=") for word in split_tokens(hit.value)[1:])
                attributes = {name.lower(): its for name, _equals, its in words}
                return parse_policy_level(hit.value), POLICIES, attributes
        return None
    value = client.get(PER_SITE)
    if not value:
        return None
    keys = dict.fromkeys((destination.text, destination.host))
    hits = [search(configuration, value, [LookupKey(key)]) for key in keys]
    levels = [_OF_SITES.get(hit.value.lower(), "") for hit in hits if hit]
    if not levels:
        return None
    level = max(levels, key=lambda each: ("may", "none", "encrypt", "verify").index(each or "may"))
    if level == "may" and client.tls_level not in OPTIONAL_LEVELS:
        return None
    return level, PER_SITE, {}
