# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What postfix_relay_info found on many hosts, as one report. Pure functions, no Ansible."""

from __future__ import annotations

import typing as t

from ansible_collections.mailops.ses.plugins.plugin_utils._audit_lines import audit_lines

__all__ = ("SEVERITIES", "audit")

#: The most severe first. Of what a host without an answer has nobody knows: it may be the worst.
SEVERITIES = ("critical", "unknown", "warning", "notice")


class _Maybe(t.NamedTuple):
    """A form that may be null instead."""

    form: t.Any


# The part of the module's result that a report has. A host is a stranger: what it sends may be
# of any form, and must not end the report on the others.
_TEXT = _Maybe(str)
_FINDING = {
    "severity": str,
    "id": str,
    "config_directory": _TEXT,
    "file": _TEXT,
    "key": _TEXT,
    "message": str,
    "cure": str,
}
_ENTRY = {
    "table": _TEXT,
    "path": _TEXT,
    "line": _Maybe(int),
    "key": str,
    "username": _TEXT,
    "version": _Maybe(int),
    "in_force": bool,
    "region": _TEXT,
    "servers": [{"host": str, "port": int, "tls": _TEXT}],
    "matches": _Maybe({"access_key": str, "region": _TEXT, "version": int}),
}
_INSTANCE = {
    "name": str,
    "config_directory": str,
    "mail_version": _TEXT,
    "running": _Maybe(bool),
    "relayhost": [str],
    "tls": _TEXT,
    "tls_security_level": _TEXT,
    "ca_file": _TEXT,
    "maps": [{"table": str, "path": _TEXT, "mode": _TEXT}],
    "entries": [_ENTRY],
}
_RESULT = {"instances": [_INSTANCE], "findings": [_FINDING]}


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
    return {**report, "lines": audit_lines(report)}


def _rank(rated: t.Mapping[str, t.Any]) -> int:
    severity = rated["severity"]
    return len(SEVERITIES) if severity is None else SEVERITIES.index(severity)


def _host(name: str, result: t.Any) -> dict[str, t.Any]:
    for state in ("unreachable", "failed"):
        if isinstance(result, dict) and result.get(state):
            return _without_answer(name, state, " ".join(str(result.get("msg", "")).split()))
    try:
        answer = _of_form(_RESULT, result)
        findings = sorted(({"host": name, **row} for row in answer["findings"]), key=_rank)
    except (KeyError, TypeError, ValueError):
        return _without_answer(name, "failed", "What it answers is not from postfix_relay_info.")
    return {
        "host": name,
        "state": "audited",
        "severity": findings[0]["severity"] if findings else None,
        "instances": answer["instances"],
        "findings": findings,
    }


def _without_answer(name: str, state: str, message: str) -> dict[str, t.Any]:
    finding = dict.fromkeys(_FINDING)
    said = {"severity": "unknown", "id": state, "message": message}
    cure = "See to it that Ansible reaches the host, and audit it again."
    if state == "failed":
        cure = "See to what the message says, and audit the host again."
    return {
        "host": name,
        "state": state,
        "severity": "unknown",
        "instances": [],
        "findings": [{"host": name, **finding, **said, "cure": cure}],
    }


def _of_form(form: t.Any, value: t.Any) -> t.Any:
    """Return what ``form`` names of ``value``.

    :raises KeyError: if something is missing.
    :raises TypeError: if something is of another type.
    """
    if isinstance(form, _Maybe):
        return None if value is None else _of_form(form.form, value)
    kind: t.Any = form if isinstance(form, type) else type(form)
    if not isinstance(value, kind):
        raise TypeError(f"not {kind.__name__}")
    if isinstance(form, dict):
        return {name: _of_form(part, value[name]) for name, part in form.items()}
    if isinstance(form, list):
        return [_of_form(form[0], item) for item in value]
    return value


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
    """Who has an entry with which user name, the one that most hosts have first."""
    found: dict[str, dict[str, bool]] = {}
    for host in hosts:
        for instance in host["instances"]:
            for entry in instance["entries"]:
                if entry["username"]:
                    found.setdefault(entry["username"], {})[host["host"]] = True
    return [
        {"username": username, "hosts": list(names)}
        for username, names in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
