# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of the audit on up to 1,000 hosts, whose answers are made up.

Each step is as long for a host of a large fleet as for one of a small fleet, or the ratio grows.
"""

from __future__ import annotations

import json
import tempfile
import time
import tracemalloc
import typing as t
from pathlib import Path

from ansible_collections.mailops.ses.plugins.filter.postfix_relay_audit import postfix_relay_audit

from .plays import Task, play, row

FLEETS = (125, 250, 500, 1000)
PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
VARIABLES = {
    "_audit_report": "{{ hostvars | mailops.ses.postfix_relay_audit('_mailops_ses_audit') }}",
    "ansible_connection": "local",
}
_HOST = "email-smtp.eu-west-1.amazonaws.com"
_FINDINGS = (
    ("warning", "version_2_password", "Line 1: version 2 password (not bound to a region)"),
    ("critical", "readable_by_others", "This source holds passwords, and mx{number} can read it"),
    ("notice", "table_stale", "The compiled table is older than its source"),
)


def make_answer(number: int) -> dict[str, t.Any]:
    """A result of postfix_relay_info, as a task registers it; every tenth host gives no answer."""
    if number % 10 == 9:
        return {"no_answer": {"state": "unreachable", "reason": f"port {number % 3}: timed out"}}
    path = "/etc/postfix/sasl_passwd"
    where = {"config_directory": "/etc/postfix", "file": path, "key": f"[{_HOST}]:587"}
    entry = {
        "table": f"hash:{path}", "path": path, "line": 1, "key": f"[{_HOST}]:587",
        "username": f"AKIAIOSFODNN7EXAM{number % 7:03}", "version": 2,
        "active": True, "region": "eu-west-1", "matches": None, "system": "iam",
        "servers": [{"host": _HOST, "port": 587, "tls": "starttls"}],
    }  # fmt: skip
    table = {
        "table": f"hash:{path}", "path": path, "mode": "0600", "complete": True,
        "settings": ["smtp_sasl_password_maps"],
    }  # fmt: skip
    instance = {
        "name": "-", "config_directory": "/etc/postfix", "mail_version": "3.7.11", "running": True,
        "relayhost": [f"[{_HOST}]:587"], "tls": "starttls", "tls_security_level": "secure",
        "ca_file": "/etc/ssl/certs/ca-certificates.crt", "rotation_pending": False,
        "probe": {"accepted": True, "reason": "250 Ok"}, "maps": [table], "entries": [entry] * 3,
        "deferred": {
            "messages": 1, "complete": True, "oldest_age": number, "oldest_reason": "timed out",
        },
    }  # fmt: skip
    findings = [
        {**where, "severity": severity, "id": name, "message": message.format(number=number),
         "remedy": f"Run: postmap hash:{path}"}
        for severity, name, message in _FINDINGS[: number % 4]
    ]  # fmt: skip
    return {"root": True, "unreadable_instances": [], "instances": [instance], "findings": findings}


def measure_filter(hosts: int) -> tuple[float, int]:
    """The seconds that the filter takes for so many hosts, and the bytes of memory that it needs."""
    variables = {f"mx{number}": {"found": make_answer(number)} for number in range(hosts)}
    started = time.perf_counter()
    postfix_relay_audit(variables, "found")
    seconds = time.perf_counter() - started
    tracemalloc.start()
    postfix_relay_audit(variables, "found")
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return seconds, peak


def tasks(folder: Path) -> dict[str, Task]:
    """The tasks of the playbook that make the report, by what they make."""

    def template(kind: str) -> Task:
        return {
            "name": kind,
            "run_once": True,
            "delegate_to": "localhost",
            "ansible.builtin.template": {
                "src": str(PLAYBOOKS / "templates" / f"audit.{kind}.j2"),
                "dest": str(folder / f"audit.{kind}"),
            },
        }

    lines = {"msg": "{{ _audit_report.lines }}"}
    return {
        "terminal": {"name": "terminal", "run_once": True, "ansible.builtin.debug": lines},
        "JSON": template("json"),
        "page": template("html"),
    }


def main() -> None:
    """Print the times, with those of a host in proportion to one of the smallest fleet."""
    first: dict[str, float] = {}
    for hosts in FLEETS:
        print(f"{hosts} hosts: seconds for all; ratio of the seconds for one host")
        seconds, peak = measure_filter(hosts)
        first.setdefault("filter", seconds / hosts)
        more = f"   ({peak / 2**20:.1f} MiB)"
        row("filter alone", seconds, seconds / hosts / first["filter"], more)
        with tempfile.TemporaryDirectory(prefix="mailops-ses-bench-") as name:
            folder = Path(name)
            fleet = {
                f"mx{number}": {"_mailops_ses_audit": make_answer(number)}
                for number in range(hosts)
            }
            wanted = tasks(folder)
            run = play(folder, list(wanted.values()), fleet, vars=VARIABLES)
            for what, task in wanted.items():
                took = run.median(task["name"])
                first.setdefault(what, took / hosts)
                row(what, took, took / hosts / first[what])
            page = (folder / "audit.html").stat().st_size
            json.loads((folder / "audit.json").read_text(encoding="utf-8"))
            print(f"  ansible-playbook {run.peak // 1024} MiB, page {page // 1024} KiB")
