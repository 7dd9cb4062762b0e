# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the role's specification is wider than the module's, and nowhere else.

Before the role runs, ansible-core validates its variables. It refuses null for one with choices or
a default; up to 2.18 it crashes on an inline vault value in one with no_log. There the module decides.
"""

from __future__ import annotations

import importlib
import typing as t
from pathlib import Path

import yaml
from ansible_collections.mailops.ses.plugins.module_utils._options import (
    POSTFIX_RELAY,
    derive_controller_options,
)

ROOT = Path(
    next(iter(importlib.import_module("ansible_collections.mailops.ses").__path__))
).resolve()
ROLE = ROOT / "roles" / "postfix_relay"
#: What the role's specification lacks, by option of the module.
WIDER = {
    "state": {"choices", "default"},
    "secret_key": {"no_log"},
    "password": {"no_log"},
    "tls": {"choices"},
    "map_type": {"choices"},
    "owner": {"default"},
    "group": {"default"},
    "tls_security_level": {"choices", "default"},
    "transport": {"default"},
    "accept_findings": {"default"},
    "verify": {"default"},
    "timeout": {"default"},
    "retries": {"default"},
    "delay": {"default"},
    "backup": {"default"},
}
#: What it has for the role alone.
OF_THE_ROLE = {
    "packages",
    "service",
    "test_message",
    "test_message_sender",
    "test_message_recipient",
    "test_message_timeout",
}

OPTIONS = derive_controller_options(POSTFIX_RELAY)
# The role says it for a service that it is to start.
del OPTIONS["start_for_proof"]

Spec = dict[str, dict[str, t.Any]]


def role_spec() -> Spec:
    said = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text("utf-8"))
    options: Spec = said["argument_specs"]["main"]["options"]
    return {name.partition("postfix_relay_")[2]: option for name, option in options.items()}


def check_level(role: Spec, module: Spec, wider: t.Mapping[str, set[str]]) -> None:
    for name, option in module.items():
        ours = role[name]
        # The module looks at the type of some by itself.
        assert option["type"] in (ours["type"], "raw"), name
        lacks = {key for key in ("choices", "default") if ours.get(key) != option.get(key)}
        if ours.get("no_log", False) != option.get("no_log", False):
            lacks.add("no_log")
        assert lacks == wider.get(name, set()), name
        if "options" in option:
            check_level(ours["options"], option["options"], wider)


def test_the_table() -> None:
    assert set(role_spec()) == set(OPTIONS) | OF_THE_ROLE
    check_level(role_spec(), OPTIONS, WIDER)


def test_no_variable_of_the_role_alone_refuses_null() -> None:
    for name in OF_THE_ROLE:
        assert not {"choices", "default", "no_log"} & role_spec()[name].keys(), name


def test_each_default_is_described() -> None:
    """The specification has none, so the text has to say it."""
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text("utf-8"))
    spec = role_spec()
    for variable, value in defaults.items():
        name = variable.partition("postfix_relay_")[2]
        if name in OPTIONS:
            assert OPTIONS[name]["default"] == value
        said = spec[name]["description"]
        text = " ".join([said] if isinstance(said, str) else said)
        default = yaml.safe_dump(value).split("\n")[0].strip("'")
        is_said = f"The default is V({default})" in text or f"V({default}), the default" in text
        assert is_said or spec[name].get("default") == value or value == "", name
