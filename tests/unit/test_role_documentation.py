# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's specification and the module's documentation say the same about each shared option.

Where the role's lacks choices or a default, its description ends with them.
"""

from __future__ import annotations

import importlib
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.plugins.doc_fragments import _credentials, _password_map
from ansible_collections.mailops.ses.plugins.modules import postfix_relay

ROOT = Path(
    next(iter(importlib.import_module("ansible_collections.mailops.ses").__path__))
).resolve()
PREFIX = "postfix_relay_"
FIELDS = ("aliases", "choices", "default", "elements", "required", "type")

ONE_NAME = "a variable has one name"
NULL = "ansible-core refuses null, which unsets a variable, where there are choices or a default"
MODULE_DECIDES = "the module's own check says more about a wrong value"

#: What the role's specification lacks, by option and field of the module's, and why.
LACKING: dict[str, dict[str, str]] = {
    "access_key": {"aliases": ONE_NAME},
    "secret_key": {"aliases": ONE_NAME},
    "region": {"aliases": ONE_NAME},
    "version": {"aliases": ONE_NAME, "choices": MODULE_DECIDES},
    "tls": {"choices": NULL},
    "map_type": {"choices": NULL},
    "state": {"choices": NULL, "default": NULL},
    "tls_security_level": {"choices": NULL, "default": NULL},
    "owner": {"default": NULL},
    "group": {"default": NULL},
    "transport": {"default": NULL},
    "accept_findings": {"default": NULL},
    "verify": {"default": NULL},
    "timeout": {"default": NULL},
    "retries": {"default": NULL},
    "delay": {"default": NULL},
    "backup": {"default": NULL},
    "senders.access_key": {"aliases": ONE_NAME},
    "senders.secret_key": {"aliases": ONE_NAME},
    "senders.region": {"aliases": ONE_NAME},
    "senders.version": {"aliases": ONE_NAME, "choices": MODULE_DECIDES},
    "senders.tls": {"choices": NULL},
}

Option = dict[str, t.Any]


def flat(options: dict[str, Option], suboptions: str) -> dict[str, Option]:
    """Options by name, and those of their items by both names."""
    found = dict(options)
    for name, option in options.items():
        for inner, its in option.get(suboptions, {}).items():
            found[f"{name}.{inner}"] = its
    return found


def read_module() -> dict[str, Option]:
    """The module's options, with those of the fragments that it extends."""
    own = yaml.safe_load(postfix_relay.DOCUMENTATION)
    options: dict[str, Option] = {}
    fragments = {
        "mailops.ses._credentials": _credentials.ModuleDocFragment.DOCUMENTATION,
        "mailops.ses._credentials.smtp_login": _credentials.ModuleDocFragment.SMTP_LOGIN,
        "mailops.ses._password_map": _password_map.ModuleDocFragment.DOCUMENTATION,
    }
    for name in own["extends_documentation_fragment"]:
        if name in fragments:
            options.update(yaml.safe_load(fragments.pop(name))["options"])
    assert not fragments
    return flat({**options, **own["options"]}, "suboptions")


def read_role() -> dict[str, Option]:
    """The role's options, without the prefix of their names."""
    path = ROOT / "roles" / "postfix_relay" / "meta" / "argument_specs.yml"
    options = yaml.safe_load(path.read_text("utf-8"))["argument_specs"]["main"]["options"]
    return flat({name[len(PREFIX) :]: option for name, option in options.items()}, "options")


MODULE, ROLE = read_module(), read_role()
# The role says it for a service that it is to start.
del MODULE["start_for_proof"]
TOP = {name for name in MODULE if "." not in name}


def paragraphs(option: Option) -> list[str]:
    """The description, in which an option has the name that it has in the module."""
    text = option["description"]
    return [
        re.sub(rf"\bO\({PREFIX}", "O(", " ".join(each.split()))
        for each in ([text] if isinstance(text, str) else text)
    ]


def shown(value: object) -> str:
    return f"V({str(value).lower() if isinstance(value, bool) else value})"


def expected(name: str) -> list[str]:
    """The description of an option of the role: the module's, and what the fields do not say."""
    option = MODULE[name]
    lines = paragraphs(option)
    lacking = LACKING.get(name, {})
    choices = (
        [shown(choice) for choice in option.get("choices", ())] if "choices" in lacking else []
    )
    # "See O(tls)" is enough in an item.
    if any(choice not in " ".join(lines) for choice in choices) and "." not in name:
        lines.append(f"One of {', '.join(choices[:-1])} and {choices[-1]}.")
    if "default" in lacking:
        lines.append(f"The default is {shown(option['default'])}.")
    return lines


def test_both_have_the_same_options() -> None:
    assert len(TOP) == 33
    assert set(MODULE) <= set(ROLE)
    assert set(LACKING) <= set(MODULE)


@pytest.mark.parametrize("name", MODULE)
def test_the_fields_are_the_same(name: str) -> None:
    differs = {field for field in FIELDS if MODULE[name].get(field) != ROLE[name].get(field)}
    assert differs == set(LACKING.get(name, {}))
    assert not [field for field in differs if field in ROLE[name]]


@pytest.mark.parametrize("name", MODULE)
def test_the_descriptions_are_the_same(name: str) -> None:
    assert paragraphs(ROLE[name]) == expected(name)


def test_a_name_is_the_same_in_both() -> None:
    """What the test takes away is the prefix of a variable, and nothing else."""
    option = {"description": f"O({PREFIX}tls=a) O({PREFIX}senders[].tls) V({PREFIX}x)  E(O)"}
    assert paragraphs(option) == [f"O(tls=a) O(senders[].tls) V({PREFIX}x) E(O)"]
