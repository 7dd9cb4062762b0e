# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What a survey comes to, as the result of a module."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, replace

from .._files._secret_file import (
    SecretFileError,
    is_kept,
)
from .._postfix._programs import (
    Postfix,
    PostfixError,
)
from .._ses._redaction import redact
from ._finding import Finding, find
from ._lookup import (
    Lookups,
    look_up,
)
from ._map_findings import entry_system, find_entry_region
from ._probe import (
    RelayProbe,
    probe_relay,
)
from ._relay_findings import judge_instance
from ._relay_kinds import INSTANCE_UNREADABLE, RELAY_NOT_ACCEPTED, RELAY_NOT_PROVED
from ._survey import (
    list_directories,
    survey,
)

if t.TYPE_CHECKING:
    from .._postfix._destination import Destination
    from .._ses._candidate_digests import Candidates
    from ._facts import (
        Entry,
        InstanceFacts,
        MapFacts,
    )

__all__ = ["Report", "report", "report_on_all"]


@dataclass(frozen=True)
class Report:
    """Instances as a result has them, and what is wrong with each, by configuration directory.

    What is wrong with the whole host has no configuration directory. `unreadable` has the
    configuration directories of the instances that can't be read.
    """

    instances: tuple[dict[str, t.Any], ...]
    findings: tuple[tuple[Finding, str | None], ...]
    unreadable: tuple[str, ...] = ()

    def with_host(self, findings: t.Iterable[Finding]) -> Report:
        """The report with `findings` about the whole host."""
        return replace(self, findings=(*self.findings, *((each, None) for each in findings)))

    def make_result(self) -> dict[str, t.Any]:
        """The result, with the most severe findings first."""
        found = sorted(self.findings, key=lambda pair: pair[0].rank)
        return {
            "instances": list(self.instances),
            "unreadable_instances": list(self.unreadable),
            "findings": [finding.show(directory) for finding, directory in found],
        }


def report(postfix: Postfix, candidates: Candidates, probe_seconds: float | None = None) -> Report:
    """Look at one instance, and have it probe its relay if `probe_seconds` is given.

    Raises PostfixError or SecretFileError if it can't be read.
    """
    facts = survey(postfix, candidates)
    lookups = look_up(facts)
    probed = (
        None
        if probe_seconds is None
        else probe_relay(postfix, facts.directory, probe_seconds, running=facts.is_running)
    )
    found = [*judge_instance(facts, lookups), *_of_probe(facts, probed)]
    return Report(
        (_instance(facts, lookups, probed),), tuple((each, facts.directory) for each in found)
    )


def _of_probe(facts: InstanceFacts, probed: RelayProbe | None) -> t.Iterator[Finding]:
    """What is wrong by the outcome of a probe."""
    if probed and not probed.accepted:
        kind = RELAY_NOT_PROVED if probed.accepted is None else RELAY_NOT_ACCEPTED
        yield find(kind, facts.main_cf, reason=probed.reason)


def report_on_all(
    postfix: Postfix, candidates: Candidates, probe_seconds: float | None = None
) -> Report:
    """Look at all instances. One that can't be read is a finding, and hides none of the others."""
    reports = [
        _report_or_finding(postfix.at(directory), directory, candidates, probe_seconds)
        for directory in list_directories(postfix)
    ]
    return Report(
        tuple(instance for each in reports for instance in each.instances),
        tuple(finding for each in reports for finding in each.findings),
        tuple(directory for each in reports for directory in each.unreadable),
    )


def _report_or_finding(
    postfix: Postfix, directory: str, candidates: Candidates, probe_seconds: float | None
) -> Report:
    try:
        return report(postfix, candidates, probe_seconds)
    except (OSError, PostfixError, SecretFileError) as exc:
        main_cf = os.path.join(directory, "main.cf")
        unreadable = find(INSTANCE_UNREADABLE, main_cf, problem=exc, directory=directory)
        return Report((), ((unreadable, directory),), (directory,))


def _instance(
    facts: InstanceFacts, lookups: Lookups, probed: RelayProbe | None
) -> dict[str, t.Any]:
    entries = [(entry, each.settings) for each in facts.maps for entry in each.entries]
    return {
        "name": facts.name,
        "config_directory": facts.directory,
        "mail_version": facts.mail_version,
        "running": facts.is_running,
        "relayhost": facts.relayhost,
        "tls": facts.client.tls,
        "tls_security_level": redact(facts.client.tls_level),
        "ca_file": redact(facts.client.get("smtp_tls_CAfile")),
        "rotation_pending": any(map(_is_kept, facts.maps)),
        "probe": probed.show() if probed else None,
        "deferred": facts.queue.show() if facts.queue else None,
        "maps": [_map(each) for each in facts.maps],
        "entries": [
            _entry(entry, settings, lookups.servers.get(number, ()))
            for number, (entry, settings) in enumerate(entries)
        ],
    }


def _is_kept(one: MapFacts) -> bool:
    """Whether mailops.ses.postfix_relay_key keeps what the map was before a rotation."""
    return bool(one.path) and is_kept(one.path or "")


def _map(one: MapFacts) -> dict[str, t.Any]:
    return {
        "table": one.name,
        "path": one.path,
        "mode": one.mode,
        "settings": list(one.settings),
        "complete": one.are_entries_known,
    }


def _entry(
    entry: Entry, settings: t.Sequence[str], servers: t.Sequence[Destination]
) -> dict[str, t.Any]:
    return {
        "settings": list(settings),
        "table": entry.table,
        "path": entry.path,
        "line": entry.line,
        "key": entry.key,
        "username": entry.username,
        "version": entry.version,
        "active": entry.is_active,
        "servers": [server.show() for server in servers],
        "system": entry_system(entry, servers),
        "region": find_entry_region(entry, servers),
        "matches": entry.match.show() if entry.match else None,
    }
