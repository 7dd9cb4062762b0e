# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What is wrong with a relay, and the remedy: pure, from the facts of a survey."""

from __future__ import annotations

import itertools
import typing as t

from .._postfix._destination import parse_host
from .._postfix._lookup_table import State
from ._client_findings import find_client_mistakes
from ._entry_kinds import NO_ENTRY, NO_ENTRY_BUT_A_SIMILAR_ONE
from ._finding import Finding, find, sort_by_severity
from ._map_findings import find_map_mistakes
from ._relay_kinds import (
    DEFERRED_535,
    NO_CA_FILE,
    SASL_MECHANISM_MISSING,
)
from ._route_findings import judge_routes
from ._route_kinds import NOT_RUNNING
from ._table_kinds import UNUSABLE

if t.TYPE_CHECKING:
    from .._postfix._destination import Destination
    from ._facts import (
        DeferredMail,
        Entry,
        InstanceFacts,
    )
    from ._lookup import Lookups

__all__ = ["judge_instance"]


def judge_instance(facts: InstanceFacts, lookups: Lookups) -> list[Finding]:
    """What is wrong with an instance, most severe first."""
    entries = tuple(entry for each in facts.maps for entry in each.entries)
    relayed = _list_relays(facts, lookups)
    found = itertools.chain(
        find_map_mistakes(facts, lookups, entries),
        _other_tables(facts),
        _no_entries(facts, lookups, entries),
        *(find_client_mistakes(facts.configuration, each) for each in relayed),
        _of_client(facts, relayed),
        judge_routes(facts.configuration, facts.flows, _has_login(entries)),
        _not_running(facts, relayed),
        _deferred(facts),
    )
    return sort_by_severity(found)


def _has_login(entries: t.Iterable[Entry]) -> bool:
    """Whether Postfix would find a login for an SES endpoint."""
    return any(entry.is_active and entry.is_for_ses for entry in entries)


def _not_running(facts: InstanceFacts, relayed: t.Sequence[Destination]) -> t.Iterator[Finding]:
    if relayed and not facts.is_running:
        yield find(NOT_RUNNING, facts.main_cf, directory=facts.directory)


def _list_relays(facts: InstanceFacts, lookups: Lookups) -> tuple[Destination, ...]:
    """The destinations that Postfix logs in to, or that are SES's."""
    with_login = {each for found in lookups.servers.values() for each in found}
    return tuple(
        dict.fromkeys(
            use.destination
            for use in facts.uses
            if use.destination.is_ses or use.destination in with_login
        )
    )


def _no_entries(
    facts: InstanceFacts, lookups: Lookups, entries: t.Sequence[Entry]
) -> t.Iterator[Finding]:
    """Destinations without a login. Only SES's need one for sure, and what looks like a mistake."""
    of_host: dict[str, str] = {}
    for entry in entries:
        if entry.is_active:
            of_host.setdefault((parse_host(entry.key) or "").lower(), entry.key)
    for destination in dict.fromkeys(use.destination for use in lookups.without):
        near = of_host.get(destination.host)
        if not destination.client.is_on("smtp_sasl_auth_enable"):
            continue
        maps = facts.list_maps(destination.client)
        if any(each.state is not State.READ for each in maps):
            continue  # it may be there, and if it can't be, that is another finding
        if not (destination.is_ses or near):
            continue
        file = maps[0].path or facts.main_cf if maps else facts.main_cf
        if near:
            host = destination.shown_host
            yield find(
                NO_ENTRY_BUT_A_SIMILAR_ONE, file, destination.shown_text, similar=near, host=host
            )
        else:
            yield find(NO_ENTRY, file, destination.shown_text)


def _of_client(facts: InstanceFacts, relayed: t.Sequence[Destination]) -> t.Iterator[Finding]:
    if relayed and facts.ca_problem:
        yield find(NO_CA_FILE, facts.main_cf, problem=facts.ca_problem)
    logs_in = [each for each in relayed if each.client.is_on("smtp_sasl_auth_enable")]
    cyrus = [each for each in logs_in if each.client.get("smtp_sasl_type") == "cyrus"]
    if cyrus and facts.sasl_directories and not facts.can_sasl_log_in:
        yield find(SASL_MECHANISM_MISSING, facts.sasl_directories[0])


def _other_tables(facts: InstanceFacts) -> t.Iterator[Finding]:
    """Tables that say where mail goes, and that Postfix can't use."""
    for setting, name, state in facts.other_tables:
        if state in UNUSABLE:
            yield find(UNUSABLE[state], facts.main_cf, table=name, setting=setting)


def _deferred(facts: InstanceFacts) -> t.Iterator[Finding]:
    mail = facts.deferred
    if mail is None:
        return
    messages = f"{mail.count} message{'s' if mail.count > 1 or mail.has_more else ''}"
    yield find(
        DEFERRED_535,
        facts.main_cf,
        messages=f"at least {messages}" if mail.has_more else messages,
        age=_duration(mail),
        servers=", ".join(mail.servers),
        directory=facts.directory,
    )


def _duration(mail: DeferredMail) -> str:
    minutes = int(mail.oldest // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
