# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Results of postfix_relay_info, made up, and what the audit shows of results."""

from __future__ import annotations

import copy
import json
import re
import typing as t

from ..example_key import ACCESS_KEY

_HOST = "email-smtp.eu-west-1.amazonaws.com"
_FINDING = {
    "config_directory": "/etc/postfix",
    "file": "/etc/postfix/sasl_passwd",
    "key": f"[{_HOST}]:587",
    "message": "The message.",
    "remedy": "The remedy.",
}
_INSTANCE = {
    "name": "-",
    "config_directory": "/etc/postfix",
    "mail_version": "3.7.11",
    "running": True,
    "relayhost": [f"[{_HOST}]:587"],
    "tls": "starttls",
    "tls_security_level": "secure",
    "ca_file": "/etc/ssl/certs/ca-certificates.crt",
    "rotation_pending": False,
    "probe": None,
    "deferred": {"messages": 0, "complete": True, "oldest_age": None, "oldest_reason": None},
    "maps": [
        {
            "table": "hash:/etc/postfix/sasl_passwd",
            "path": "/etc/postfix/sasl_passwd",
            "mode": "0600",
            "settings": ["smtp_sasl_password_maps"],
            "complete": True,
        }
    ],
    "entries": [
        {
            "table": "hash:/etc/postfix/sasl_passwd",
            "path": "/etc/postfix/sasl_passwd",
            "line": 1,
            "key": f"[{_HOST}]:587",
            "username": ACCESS_KEY,
            "version": 4,
            "active": True,
            "system": "iam",
            "region": "eu-west-1",
            "servers": [{"host": _HOST, "port": 587, "tls": "starttls"}],
            "matches": {"access_key": ACCESS_KEY, "region": "eu-west-1", "version": 4},
        }
    ],
}


def relay_result(*findings: tuple[str, str], username: str = ACCESS_KEY) -> dict[str, t.Any]:
    """A host's result with one instance that has one entry; each finding is (severity, id)."""
    instance: dict[str, t.Any] = copy.deepcopy(_INSTANCE)
    instance["entries"][0]["username"] = username
    return {
        "changed": False,
        "failed": False,
        "root": True,
        "unreadable_instances": [],
        "instances": [instance],
        "findings": [{"severity": severity, "id": name, **_FINDING} for severity, name in findings],
    }


def report_lines(screen: str) -> list[str]:
    """The lines of the audit's report, of what ansible-playbook printed."""
    (block,) = re.findall(r'^    "msg": \[\n(.*?)^    \]', screen, re.MULTILINE | re.DOTALL)
    lines: list[str] = json.loads(f"[{block}]")
    return lines
