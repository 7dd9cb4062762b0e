# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What is wrong with a relay, and the remedy: pure, from the facts of a survey."""

from __future__ import annotations

import itertools
import typing as t

from .._postfix._lookup_table import State
from .._postfix._main_cf import tokens
from .._postfix._tls import CHECKED_LEVELS
from .._ses._redaction import redact
from .._smtp._server import PORTS_OF_TLS
from ._facts import host_of
from ._finding import Finding, by_severity
from ._map_findings import map_findings

if t.TYPE_CHECKING:
    from ._facts import (
        DeferredMail,
        Destination,
        Entry,
        InstanceFacts,
    )
    from ._lookup import Lookups

__all__ = ["findings"]

_NO_TLS = ("none", "may")


def findings(facts: InstanceFacts, lookups: Lookups) -> list[Finding]:
    """What is wrong with an instance, most severe first."""
    entries = tuple(entry for each in facts.maps for entry in each.entries)
    relayed = _relayed(facts, lookups)
    found = itertools.chain(
        map_findings(facts, lookups, entries),
        _other_tables(facts),
        _no_entries(facts, lookups, entries),
        *(_of_destination(facts, each) for each in relayed),
        _of_client(facts, relayed),
        _deferred(facts),
    )
    return by_severity(found)


def _relayed(facts: InstanceFacts, lookups: Lookups) -> tuple[Destination, ...]:
    """The destinations that Postfix logs in to, or that are SES's."""
    with_login = {each for found in lookups.servers.values() for each in found}
    return tuple(
        dict.fromkeys(
            use.destination
            for use in facts.uses
            if use.destination.region or use.destination in with_login
        )
    )


def _no_entries(
    facts: InstanceFacts, lookups: Lookups, entries: t.Sequence[Entry]
) -> t.Iterator[Finding]:
    """Destinations without a login. Only SES's need one for sure, and what looks like a mistake."""
    of_host: dict[str, str] = {}
    for entry in entries:
        if entry.in_force:
            of_host.setdefault((host_of(entry.key) or "").lower(), entry.key)
    for destination in dict.fromkeys(use.destination for use in lookups.without):
        near = of_host.get(destination.host)
        if not destination.client.is_on("smtp_sasl_auth_enable"):
            continue
        maps = facts.maps_of(destination.client)
        if any(each.state is not State.READ for each in maps):
            continue  # it may be there, and if it can't be, that is another finding
        if not (destination.region or near):
            continue
        host, text = destination.shown_host, destination.shown_text
        message = f"Postfix finds no login for {text}, and sends the mail without one"
        if near:
            message += f". There is one for {near!r}, but it looks for {host!r} and then {text!r}"
        yield Finding(
            "no_entry",
            "critical",
            maps[0].path or facts.main_cf if maps else facts.main_cf,
            message,
            f"Add the entry {text!r}: mailops.ses.postfix_relay does, or"
            " mailops.ses.postfix_sasl_passwd",
            key=text,
        )


def _of_destination(facts: InstanceFacts, destination: Destination) -> t.Iterator[Finding]:
    client, text = destination.client, destination.shown_text
    level = facts.tls_policies.get(destination.text, client.tls_level)
    if level is not None and level not in CHECKED_LEVELS:
        unsafe = level in _NO_TLS
        where = (
            "smtp_tls_policy_maps"
            if destination.text in facts.tls_policies
            else "smtp_tls_security_level"
        )
        yield Finding(
            "tls_not_verified",
            "critical" if unsafe else "warning",
            facts.main_cf,
            f"{where} is {redact(level)!r} for {text}, which checks no certificate: whoever redirects the"
            " connection gets the password"
            + (", and TLS itself can be left out" if unsafe else ""),
            "Set smtp_tls_security_level = secure and smtp_tls_CAfile: mailops.ses.postfix_relay"
            " does both",
            key=text,
        )
    usual = next((tls for tls, ports in PORTS_OF_TLS.items() if destination.port in ports), None)
    if usual and usual != client.tls:
        begins = "TLS from the first byte" if usual == "wrapper" else "STARTTLS"
        wanted = "yes" if usual == "wrapper" else "no"
        yield Finding(
            "wrappermode",
            "critical",
            facts.main_cf,
            f"port {destination.port} of {destination.shown_host} takes {begins}, but"
            f" smtp_tls_wrappermode is not {wanted}, so that no mail is delivered",
            f"Set smtp_tls_wrappermode = {wanted}, or take another port: 587 is for STARTTLS, 465"
            " for TLS from the first byte",
            key=text,
        )
    if destination.region:
        yield from _login_is_off(facts, destination, level)


def _login_is_off(
    facts: InstanceFacts, destination: Destination, level: str | None
) -> t.Iterator[Finding]:
    client, text = destination.client, destination.shown_text
    if not client.is_on("smtp_sasl_auth_enable"):
        yield Finding(
            "auth_disabled",
            "critical",
            facts.main_cf,
            f"smtp_sasl_auth_enable is not yes, so that Postfix does not log in to {text}, and SES"
            " refuses the mail",
            "Set smtp_sasl_auth_enable = yes: mailops.ses.postfix_relay does",
            key=text,
        )
        return
    verified = "verified_" if level in CHECKED_LEVELS else ""
    name = f"smtp_sasl_tls_{verified}security_options"
    if "noplaintext" in tokens(client.says(name)):
        yield Finding(
            "sasl_noplaintext",
            "critical",
            facts.main_cf,
            f"{name} has noplaintext, which leaves no mechanism to log in to {text} with",
            "Set smtp_sasl_tls_security_options = noanonymous: inside TLS that is safe",
            key=text,
        )


def _of_client(facts: InstanceFacts, relayed: t.Sequence[Destination]) -> t.Iterator[Finding]:
    if relayed and facts.ca_problem:
        yield Finding(
            "no_ca_file",
            "critical",
            facts.main_cf,
            f"no certificate can be verified: {facts.ca_problem}",
            "Install ca-certificates and set smtp_tls_CAfile to the system's CA certificates",
        )
    logs_in = [each for each in relayed if each.client.is_on("smtp_sasl_auth_enable")]
    cyrus = [each for each in logs_in if each.client.says("smtp_sasl_type") == "cyrus"]
    if cyrus and facts.sasl_directories and not facts.sasl_can_log_in:
        yield Finding(
            "sasl_mechanism_missing",
            "critical",
            facts.sasl_directories[0],
            "Cyrus SASL has neither the mechanism PLAIN nor LOGIN here, and SES has no others",
            "Install libsasl2-modules (Debian, Ubuntu), cyrus-sasl-plain (Red Hat, SUSE) or"
            " cyrus-sasl (Alpine)",
        )


def _other_tables(facts: InstanceFacts) -> t.Iterator[Finding]:
    """Tables that say where mail goes, and that Postfix can't use."""
    for setting, name, state in facts.other_tables:
        if state is State.NO_TYPE:
            yield Finding(
                "table_type_missing",
                "critical",
                facts.main_cf,
                f"this Postfix has no tables of the type of {name}, in {setting}",
                "Take a type that it has (postconf -m), or install the package with this one",
            )
        elif not state.usable:
            yield Finding(
                "table_missing",
                "critical",
                facts.main_cf,
                f"the table of {name}, in {setting}, is {state.value}",
                f"Make it: postmap {name}",
            )


def _deferred(facts: InstanceFacts) -> t.Iterator[Finding]:
    mail = facts.deferred
    if mail is None:
        return
    count = f"at least {mail.count}" if mail.more else str(mail.count)
    yield Finding(
        "deferred_535",
        "critical",
        facts.main_cf,
        f"{count} message{'s' if mail.count > 1 or mail.more else ''} in the queue, the oldest for"
        f" {_duration(mail)}, because {', '.join(mail.servers)} refused the login (535)",
        "Put the login right (mailops.ses.ses_smtp_ping tells what is wrong), then: postqueue -f",
    )


def _duration(mail: DeferredMail) -> str:
    minutes = int(mail.oldest // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
