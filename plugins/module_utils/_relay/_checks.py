# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Whether mail will be relayed as the settings say: what postfix check does not look at.

postfix check passes an unknown TLS level and a map that is missing; nothing in Postfix says that
another setting, another map or a line of master.cf beats what was requested. What one of these does
to mail and its logins is judged in _findings/, for the audit as well; here is what stops a set-up.
"""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import replace

from .._findings._route_findings import Relay, find_unverified, judge_set_up
from .._postfix._asking import ask_tables
from .._postfix._configuration import ROUTING_SETTINGS, read_configuration
from .._postfix._destination import CLIENT_SETTINGS
from .._postfix._flows import find_flows
from .._postfix._lookup_table import State, Table
from .._postfix._map_entry import fold
from .._postfix._master_cf import read_services
from .._postfix._programs import (
    TABLE_TYPES,
    Postfix,
    find_reason,
)
from .._postfix._table_name import TableName, parse_table_name
from .._ses._redaction import is_harmless, redact
from ._settings import (
    MAPS,
    RelayError,
    RelayLogin,
    RelayLogins,
)

__all__ = [
    "ALSO_READ",
    "RouteCheck",
    "check_accepted",
    "check_maps",
    "check_routes",
    "check_version",
]

#: Settings that decide whether ours have an effect.
ALSO_READ = ("mail_version", *ROUTING_SETTINGS, *CLIENT_SETTINGS)

# Findings with which a login would go out over unverified TLS.
_NEVER_ACCEPTED = frozenset({"tls_not_verified"})
_WAY_OUT = "To set up the relay in spite of this, add {} to accept_findings"


class RouteCheck(t.NamedTuple):
    """What a check has found: the IDs of findings that were accepted, and what to warn of.

    `unverified` has those servers of the relay, in lower case, whose certificate a client of Postfix's
    does not verify.
    """

    accepted: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unverified: frozenset[str] = frozenset()


def check_version(values: t.Mapping[str, str], servers: int) -> None:
    """Raise RelayError if this Postfix does not know relayhost as a list."""
    version = values.get("mail_version", "")
    if servers > 1 and _older_than_3_5(version):
        raise RelayError(
            f"this is Postfix {version}, and relayhost can be a list only since 3.5. Give one"
            " region"
        )


def check_routes(
    postfix: Postfix,
    directory: str,
    before: t.Mapping[str, str],
    after: t.Mapping[str, str],
    logins: RelayLogins,
    *,
    tls_level: str,
    table: str,
    sender_table: str,
    master_cf: bytes | None = None,
    accept: t.Collection[str] = (),
    is_final: bool = True,
) -> RouteCheck:
    """Raise RelayError if mail would not reach the relay, or other mail would stop to arrive.

    `before` and `after` are the effective settings, `table` is the password map with the logins and
    `sender_table` that with the senders' servers. `master_cf` is its new content, if that changes.
    `accept` has the IDs of findings that do not matter. Where the settings are not final, nothing is raised.
    """
    services = None if master_cf is None else read_services(postfix, directory, master_cf)
    previous = read_configuration(postfix, directory, before, after, services)
    changed = previous.with_settings(after, services)
    senders = {login.sender.lower(): login.destination for login in logins.senders}
    if senders:
        own = {fold(os.fsencode(key), changed.utf8): value for key, value in senders.items()}
        there = changed.tables.get(sender_table)
        values = {**(there.values if there else {}), **_encode(own)}
        name = TableName(*sender_table.partition(":")[::2])
        routes = Table(sender_table, name.type, name.path, State.READ, values=values)
        changed = replace(changed, tables={**changed.tables, sender_table: routes})
    changed, flows = find_flows(changed, ask_tables(postfix), senders)
    relay = Relay(
        frozenset(login.destination.lower() for login in logins.logins),
        level=tls_level,
        senders={sender: server.lower() for sender, server in senders.items()},
        table=table,
    )
    found = judge_set_up(changed, flows, relay, previous)
    accepted = [each for each in found if each.blocks and each.id in accept]
    for finding in found:
        if is_final and finding.blocks and finding not in accepted:
            way_out = "" if finding.id in _NEVER_ACCEPTED else f". {_WAY_OUT.format(finding.id)}"
            raise RelayError(f"{finding.message}. {finding.remedy}{way_out}. Nothing was changed")
    return RouteCheck(
        tuple(dict.fromkeys(each.id for each in accepted)),
        tuple(
            f"{each.message}. {each.remedy}"
            for each in found
            if not each.blocks or each in accepted
        ),
        frozenset(find_unverified(changed, flows, relay)),
    )


def check_accepted(names: t.Collection[str]) -> None:
    """Raise RelayError if a task accepts what is no finding, or one that nobody may accept."""
    if not names:
        return
    from .._findings._catalogue import KINDS  # noqa: PLC0415  # most tasks accept none

    known = {kind.id for kind in KINDS.values() if kind.blocks}
    for name in names:
        if name in _NEVER_ACCEPTED:
            raise RelayError(
                f"accept_findings has {name}, which can't be accepted: whoever redirects the"
                " connection would get the password. Remove it from accept_findings. Nothing was"
                " changed"
            )
        if name not in known:
            raise RelayError(
                f"accept_findings has {redact(name)}, which is no finding that blocks a relay. Give"
                f" one of {', '.join(sorted(known - _NEVER_ACCEPTED))}. Nothing was changed"
            )


def _encode(values: t.Mapping[bytes, str]) -> dict[bytes, bytes]:
    return {key: value.encode() for key, value in values.items()}


def check_maps(
    postfix: Postfix, maps: t.Sequence[str], table: str, logins: t.Sequence[RelayLogin]
) -> None:
    """Raise RelayError unless Postfix's client will find our logins with these maps.

    `maps` are the tables in smtp_sasl_password_maps, expanded; `table` is ours among them, which
    has the logins and was checked by itself. Postfix asks all maps for a key, one after the
    other, before it goes on to the next key (maps_find(), smtp_sasl_glue.c).
    """
    if all(_is(table, name) for name in maps):
        return
    keys = list(dict.fromkeys(key for login in logins for key in login.keys))
    found = {name: set() if _is(table, name) else _look_up(postfix, name, keys) for name in maps}
    for login in logins:
        for key in login.keys:
            for name in maps:
                if _is(table, name) and key == login.key:
                    break
                if key in found[name]:
                    raise RelayError(
                        f"{redact(name)}, in {MAPS}, has an entry for {key!r}, which Postfix finds before"
                        f" the one for {login.key!r} in {table}: the requested credentials would"
                        f" never be used. {_way_out(parse_table_name(name))}"
                    )


def _is(table: str, name: str) -> bool:
    """Whether a name in a list of tables is that of our table."""
    return str(parse_table_name(name)) == table


def _way_out(table: TableName) -> str:
    """What to do about a table with an entry that is found before ours."""
    if table.type in TABLE_TYPES:
        return f"Set path to {table.path}, so that the relay's login takes the place of that entry"
    return "Remove that entry"


def _look_up(postfix: Postfix, name: str, keys: t.Sequence[str]) -> set[str]:
    """Those of the keys that a password map has, as Postfix's daemons see it."""
    if any(word in name for word in ("inline:", "static:")):
        # As an argument of postmap it would show the passwords in it.
        raise RelayError(
            f"{MAPS} has passwords in main.cf itself (inline: or static:), which can't be"
            " checked: an entry for the server's name there would beat ours. Move them into a table"
        )
    if not is_harmless(name):
        # As an argument of postmap it would show what may be a password.
        raise RelayError(
            f"{redact(name)}, in {MAPS}, is not a lookup table, like"
            " hash:/etc/postfix/sasl_passwd. What is redacted may be a password, which anybody can"
            f" read in main.cf. Move it into a lookup table, and take it out of {MAPS}"
        )
    data = os.fsencode("".join(f"{key}\n" for key in keys))
    table = str(parse_table_name(name))
    code, out, err = postfix.run("postmap", "-q", "-", table, data=data, binary_data=True)
    if b"fatal:" in err or b"error:" in err:
        raise RelayError(
            f"{redact(table)}, in {MAPS}, can't be read: {find_reason(code, err)}. Postfix would defer the"
            f" mail. Make the table, or take it out of {MAPS}"
        )
    lines = (line.partition("\t") for line in out.decode(errors="replace").split("\n"))
    return {key for key, tab, _value in lines if tab}


def _older_than_3_5(version: str) -> bool:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers.group(1)), int(numbers.group(2))) < (3, 5)
