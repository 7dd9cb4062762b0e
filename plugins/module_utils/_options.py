# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The options of every module, shared by the module and its action plugin.

An action plugin validates a task with derive_controller_options() of a module's options, answers some of
them on the controller, and hands the others on. The module declares them all, because its
documentation has them.
"""

from __future__ import annotations

import typing as t

from ._postfix._programs import TABLE_TYPES

__all__ = [
    "AWS_OPTIONS",
    "LOGIN_OPTIONS",
    "POSTFIX_RELAY",
    "POSTFIX_RELAY_INFO",
    "POSTFIX_RELAY_KEY",
    "POSTFIX_SASL_PASSWD",
    "ROTATED_KEY",
    "SES_SMTP_CREDENTIALS",
    "SES_SMTP_PING",
    "Options",
    "derive_controller_options",
]

Options = t.Dict[str, t.Dict[str, t.Any]]  # for Python 3.7

#: An IAM key, and the endpoint that the password derived from it is for.
AWS_OPTIONS: Options = {
    "access_key": {
        "type": "str",
        "no_log": False,  # a user name
        "aliases": ["aws_access_key_id", "aws_access_key"],
    },
    "secret_key": {
        "type": "str",
        "no_log": True,
        "aliases": ["aws_secret_access_key", "aws_secret_key"],
    },
    "region": {"type": "str", "aliases": ["aws_region"]},
    "version": {"type": "int", "choices": [2, 4], "aliases": ["ses_smtp_version"]},
    "endpoint": {"type": "str"},
    "port": {"type": "int"},
    "tls": {"type": "str", "choices": ["starttls", "wrapper"]},
    "fips": {"type": "bool"},
    "dualstack": {"type": "bool"},
}
#: The same, or a password that is derived already.
LOGIN_OPTIONS: Options = {
    **AWS_OPTIONS,
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
}
#: What the derivation checks itself: Ansible would turn a list or a number into a str.
_NOT_CONVERTED = ("access_key", "secret_key", "region", "regions", "version", "password")

_CONNECTION: Options = {
    "timeout": {"type": "float", "default": 10},
    "retries": {"type": "int", "default": 0},
    "delay": {"type": "float", "default": 5},
    "ca_file": {"type": "path"},
}
# Of the modules that write a password map.
_MAP: Options = {
    "config_directory": {"type": "path"},
    "path": {"type": "path"},
    "map_type": {"type": "str", "choices": sorted(TABLE_TYPES)},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "raw", "default": "0600"},
    "seuser": {"type": "str"},
    "serole": {"type": "str"},
    "setype": {"type": "str"},
    "selevel": {"type": "str"},
    "backup": {"type": "bool", "default": False},
}
_STATES = ["absent", "present"]

SES_SMTP_CREDENTIALS: Options = {**LOGIN_OPTIONS, "reveal": {"type": "bool", "default": False}}

SES_SMTP_PING: Options = {
    **LOGIN_OPTIONS,
    **_CONNECTION,
    "ca_path": {"type": "path"},
    "sender": {"type": "str"},
    "recipient": {"type": "str"},
    "headers": {"type": "dict"},
    "fail": {"type": "bool", "default": True},
}

_ENTRY: Options = {**LOGIN_OPTIONS, "key": {"type": "str", "no_log": False}}
POSTFIX_SASL_PASSWD: Options = {
    **_ENTRY,
    **_MAP,
    "entries": {
        "type": "list",
        "elements": "dict",
        "options": {**_ENTRY, "state": {"type": "str", "choices": _STATES}},
    },
    "state": {"type": "str", "choices": _STATES, "default": "present"},
    "exclusive": {"type": "bool", "default": False},
}

POSTFIX_RELAY: Options = {
    **LOGIN_OPTIONS,
    **_MAP,
    **_CONNECTION,
    "regions": {"type": "list", "elements": "str"},
    "senders": {
        "type": "list",
        "elements": "dict",
        "options": {**LOGIN_OPTIONS, "sender": {"type": "str", "required": True}},
    },
    "tls_security_level": {"type": "str", "choices": ["encrypt", "secure"], "default": "secure"},
    "transport": {"type": "str", "default": "smtp"},
    "accept_findings": {"type": "list", "elements": "str", "default": []},
    "verify": {"type": "bool", "default": True},
    "start_for_proof": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": _STATES, "default": "present"},
}

#: The new key of a rotation.
ROTATED_KEY: Options = {name: AWS_OPTIONS[name] for name in ("access_key", "secret_key", "region")}
POSTFIX_RELAY_KEY: Options = {
    **ROTATED_KEY,
    **_CONNECTION,
    "old_access_key": {"type": "str", "no_log": False},
    "regions": {"type": "list", "elements": "str"},
    "config_directory": {"type": "path"},
    "state": {
        "type": "str",
        "choices": ["confirmed", "replaced", "restored"],
        "default": "replaced",
    },
    "verify": {"type": "bool", "default": True},
    # SES may refuse a key made seconds ago.
    "retries": {"type": "int", "default": 6},
}

POSTFIX_RELAY_INFO: Options = {
    **AWS_OPTIONS,
    "candidates": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            name: {**AWS_OPTIONS[name], "required": True} for name in ("access_key", "secret_key")
        },
    },
    "config_directory": {"type": "path"},
    "probe": {"type": "bool", "default": False},
    "probe_timeout": {"type": "float", "default": 30},
    "report_failure": {"type": "bool", "default": False},
}


def derive_controller_options(options: Options) -> Options:
    """The options of a module by which its action plugin validates a task."""
    return {name: _of_controller(name, option) for name, option in options.items()}


def _of_controller(name: str, option: dict[str, t.Any]) -> dict[str, t.Any]:
    if "options" in option:
        return {**option, "options": derive_controller_options(option["options"])}
    if name not in _NOT_CONVERTED:
        return option
    raw = {word: value for word, value in option.items() if word != "choices"}
    return {**raw, "elements" if "elements" in option else "type": "raw"}
