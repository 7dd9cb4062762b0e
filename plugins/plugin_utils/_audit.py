# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What postfix_relay_info found on many hosts, as one report. Pure functions, no Ansible."""

from __future__ import annotations

import typing as t

from ..module_utils._findings._finding import SEVERITIES, Kind, find
from ..module_utils._findings._host_kinds import FAILED, MALFORMED_ANSWER, UNREACHABLE
from ._audit_lines import write_audit_lines
from ._host_answer import (
    INFO,
    AnswerError,
    check_answer,
    read_message,
)

__all__ = ("SEVERITIES", "audit")


def audit(results: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the report on ``results``, a registered result of postfix_relay_info for each host.

    The filter postfix_relay_audit documents what it returns.
    """
    hosts = sorted(
        (_host(str(name), result) for name, result in results.items()),
        key=lambda host: (_rank(host), host["host"]),
    )
    # Before the first one by host, so that those of a host stay in the module's order.
    by_host = sorted(hosts, key=lambda host: host["host"])
    findings = sorted((row for host in by_host for row in host.pop("findings")), key=_rank)
    report = {
        "summary": _summary(hosts, findings),
        "findings": findings,
        "usernames": _usernames(by_host),
        "hosts": hosts,
    }
    return {**report, "lines": write_audit_lines(report)}


def _rank(rated: t.Mapping[str, t.Any]) -> int:
    severity = rated["severity"]
    return len(SEVERITIES) if severity is None else SEVERITIES.index(severity)


def _host(name: str, result: t.Any) -> dict[str, t.Any]:
    for kind in (UNREACHABLE, FAILED):
        if isinstance(result, dict) and result.get(kind.id):
            return _without_answer(name, kind, read_message(result.get("msg")))
    try:
        answer = check_answer(INFO, result)
        unknown = {row["severity"] for row in answer["findings"]}.difference(SEVERITIES)
        if unknown:
            raise AnswerError("the severity of a finding is none")
    except AnswerError as exc:
        return _without_answer(name, MALFORMED_ANSWER, str(exc))
    findings = sorted(({"host": name, **row} for row in answer["findings"]), key=_rank)
    return {
        "host": name,
        "state": "audited",
        "severity": findings[0]["severity"] if findings else None,
        "instances": answer["instances"],
        "findings": findings,
    }


def _without_answer(name: str, kind: Kind, problem: str) -> dict[str, t.Any]:
    return {
        "host": name,
        "state": kind.id,
        "severity": kind.severity,
        "instances": [],
        "findings": [{"host": name, **find(kind, "", problem=problem).show(None)}],
    }


def _summary(hosts: list[dict[str, t.Any]], findings: list[dict[str, t.Any]]) -> dict[str, int]:
    def having(rated: list[dict[str, t.Any]], name: str, value: t.Any) -> int:
        return sum(one[name] == value for one in rated)

    return {
        "hosts": len(hosts),
        **{state: having(hosts, "state", state) for state in ("audited", "unreachable", "failed")},
        "without_findings": having(hosts, "severity", None),
        **{
            severity: having(findings, "severity", severity)
            for severity in SEVERITIES
            if severity != "unknown"
        },
    }


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
