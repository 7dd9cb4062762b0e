# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What postfix_relay_info found on many hosts, as one report. Pure functions, no Ansible."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass, field

from ..module_utils._findings._finding import SEVERITIES, Kind, find
from ..module_utils._findings._host_kinds import FAILED, MALFORMED_ANSWER, UNREACHABLE
from ._audit_accept import Acceptance, Acceptances
from ._audit_groups import group_findings
from ._audit_lines import write_audit_lines
from ._audit_verdict import FAIL_ON, judge
from ._host_answer import (
    INFO,
    AnswerError,
    check_answer,
)
from ._no_answer import read_no_answer

__all__ = ("FAIL_ON", "FORM_VERSION", "SEVERITIES", "Request", "audit")

#: Of the report's form. It becomes larger when something in it is renamed or removed.
FORM_VERSION = 1
_STATES = ("audited", "unreachable", "failed")
_KINDS = {"unreachable": UNREACHABLE, "failed": FAILED}
_PROBES = {True: "relays_accepted", False: "relays_not_accepted", None: "relays_unknown"}


@dataclass(frozen=True)
class Request:
    """What a report is to be: when it is made, what is accepted, what fails it, who makes it."""

    now: datetime.datetime
    accepted: t.Sequence[Acceptance] = ()
    fail_on: str = "none"
    origin: t.Mapping[str, t.Any] = field(default_factory=dict)


def audit(results: t.Mapping[str, t.Any], request: Request) -> dict[str, t.Any]:
    """Return the report on ``results``, a registered result of postfix_relay_info for each host.

    The filter postfix_relay_audit documents what it returns.
    """
    acceptances = Acceptances(request.accepted, request.now.date())
    # By host first, so that those of a host stay in the module's order.
    by_host = [_host(str(name), results[name], acceptances) for name in sorted(results)]
    rows = sorted((row for host in by_host for row in host.pop("findings")), key=_rank)
    findings = [row for row in rows if not _is_accepted(row)]
    accepted = [row for row in rows if _is_accepted(row)]
    hosts = sorted(by_host, key=_rank)
    summary = _summary(hosts, findings, accepted)
    report = {
        "version": FORM_VERSION,
        "created": request.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": request.origin.get("command"),
        "inventories": list(request.origin.get("inventories", ())),
        "summary": summary,
        "verdict": judge(findings, request.fail_on),
        "oldest_deferred": _oldest_deferred(by_host),
        "findings": findings,
        "accepted": accepted,
        "usernames": _usernames(by_host),
        "hosts": hosts,
    }
    groups = {
        "groups": group_findings(findings),
        "accepted_groups": group_findings(accepted),
    }
    return {**report, **groups, "lines": write_audit_lines({**report, **groups})}


def _rank(rated: t.Mapping[str, t.Any]) -> int:
    severity = rated["severity"]
    return len(SEVERITIES) if severity is None else SEVERITIES.index(severity)


def _is_accepted(row: t.Mapping[str, t.Any]) -> bool:
    acceptance = row["acceptance"]
    return acceptance is not None and not acceptance["is_over"]


def _host(name: str, result: t.Any, acceptances: Acceptances) -> dict[str, t.Any]:
    state, instances, rows = _read(result)
    findings = sorted(
        ({"host": name, **row, "acceptance": acceptances.look_up(row["id"], name)} for row in rows),
        key=_rank,
    )
    counted = [row for row in findings if not _is_accepted(row)]
    return {
        "host": name,
        "state": state,
        "severity": counted[0]["severity"] if counted else None,
        "instances": instances,
        "findings": findings,
    }


def _read(result: t.Any) -> tuple[str, list[dict[str, t.Any]], list[dict[str, t.Any]]]:
    """Return the state of a host, its instances and its findings."""
    no_answer = read_no_answer(result)
    if no_answer:
        return _without_answer(_KINDS[no_answer.state], no_answer.reason)
    try:
        answer = check_answer(INFO, result)
        unknown = {row["severity"] for row in answer["findings"]}.difference(SEVERITIES)
        if unknown:
            raise AnswerError("the severity of a finding is none")
    except AnswerError as exc:
        return _without_answer(MALFORMED_ANSWER, str(exc))
    return "audited", answer["instances"], answer["findings"]


def _without_answer(
    kind: Kind, problem: str
) -> tuple[str, list[dict[str, t.Any]], list[dict[str, t.Any]]]:
    return kind.id, [], [find(kind, "", problem=problem).show(None)]


def _summary(
    hosts: list[dict[str, t.Any]],
    findings: list[dict[str, t.Any]],
    accepted: list[dict[str, t.Any]],
) -> dict[str, int]:
    def having(rated: list[dict[str, t.Any]], name: str, value: t.Any) -> int:
        return sum(one[name] == value for one in rated)

    probes = [instance["probe"] for host in hosts for instance in host["instances"]]
    probed = [probe["accepted"] for probe in probes if probe]
    return {
        "hosts": len(hosts),
        **{state: having(hosts, "state", state) for state in _STATES},
        "without_findings": sum(
            host["state"] == "audited" and host["severity"] is None for host in hosts
        ),
        **{
            severity: having(findings, "severity", severity)
            for severity in SEVERITIES
            if severity != "unknown"
        },
        "accepted": len(accepted),
        **{name: probed.count(value) for value, name in _PROBES.items()},
    }


def _oldest_deferred(hosts: list[dict[str, t.Any]]) -> dict[str, t.Any] | None:
    """Which instance has the mail that waits longest, None if none waits."""
    waiting = [
        {
            "host": host["host"],
            "config_directory": instance["config_directory"],
            "age": instance["deferred"]["oldest_age"],
            "reason": instance["deferred"]["oldest_reason"],
        }
        for host in hosts
        for instance in host["instances"]
        if instance["deferred"] and instance["deferred"]["oldest_age"] is not None
    ]
    return max(waiting, key=lambda each: each["age"], default=None)


def _usernames(hosts: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Who has an entry with which user name, the one that most hosts have first.

    Each with the SMTP system of SES that it is for, None if for none, or for both of them.
    """
    found: dict[str, list[str]] = {}
    systems: dict[str, set[str | None]] = {}
    for host in hosts:
        entries = [entry for each in host["instances"] for entry in each["entries"]]
        for username in {entry["username"] for entry in entries if entry["username"]}:
            found.setdefault(username, []).append(host["host"])
        for entry in entries:
            systems.setdefault(entry["username"], set()).add(entry["system"])
    return [
        {
            "username": username,
            "system": _only(systems[username]),
            "hosts": names,
        }
        for username, names in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _only(systems: set[str | None]) -> str | None:
    """Return the one system of ``systems``, None if there are several."""
    return next(iter(systems)) if len(systems) == 1 else None
