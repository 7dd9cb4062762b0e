# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What is wrong with a task's options, in ansible-core's words but without the options' values.

ansible-core decides whether they are wrong. Its messages quote values, which may be secrets that
were given to the wrong option, so they are not shown.
"""

from __future__ import annotations

import difflib
import re
import typing as t

from ansible.module_utils.common.parameters import DEFAULT_TYPE_VALIDATORS

from ..module_utils._ses._redaction import REDACTED
from ..module_utils._ses._smtp_password import type_name
from ._task_secrets import (
    Spec,
    map_names,
)

__all__ = ("find_option_mistakes",)

#: A name that somebody may have written, not a secret that became one.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}")


_PROFILE = frozenset({"aws_profile", "profile"})


def find_option_mistakes(module: str, spec: Spec, given: t.Mapping[t.Any, t.Any]) -> list[str]:
    """Return a sentence, without its full stop, about each mistake in ``given``."""
    return list(_mistakes(module, spec, given, ""))


def _mistakes(
    module: str, spec: Spec, given: t.Mapping[t.Any, t.Any], place: str
) -> t.Iterator[str]:
    names = map_names(spec)
    unknown = [f"{place}{_show(name, names)}" for name in given if name not in names]
    if unknown:
        valid = ", ".join(_with_aliases(name, option) for name, option in sorted(spec.items()))
        yield (
            f"Unsupported parameters for ({module}) module: {', '.join(unknown)}."
            f" Supported parameters include: {valid}"
        )
        if _PROFILE & set(given):
            yield (
                "Profiles of AWS's tools are not read. Give access_key and secret_key, for example by"
                " a lookup"
            )
    canonical = {names[name]: value for name, value in given.items() if name in names}
    missing = [
        f"{place}{name}"
        for name, option in spec.items()
        if option.get("required") and name not in canonical
    ]
    if missing:
        yield f"missing required arguments: {', '.join(missing)}"
    for name, value in canonical.items():
        if value is not None or spec[name].get("required"):
            yield from _mistakes_of_value(module, spec[name], value, f"{place}{name}")


def _mistakes_of_value(
    module: str, option: t.Mapping[str, t.Any], value: t.Any, name: str
) -> t.Iterator[str]:
    expected = option.get("type", "str")
    try:
        converted = _convert(value, expected)
    except (TypeError, ValueError):
        yield (
            f"argument '{name}' is of type {type_name(value)} and we were unable to convert to"
            f" {expected}"
        )
        return
    if "choices" in option and converted not in option["choices"]:
        yield f"value of {name} must be one of: {', '.join(map(str, option['choices']))}"
    if "elements" in option:
        element = {**option, "type": option["elements"]}
        del element["elements"]
        for number, item in enumerate(converted):
            yield from _mistakes_of_value(module, element, item, f"{name}[{number}]")
    elif "options" in option:
        yield from _mistakes(module, option["options"], converted, f"{name}.")


def _convert(value: t.Any, expected: str) -> t.Any:
    converted = DEFAULT_TYPE_VALIDATORS[expected](value)
    if expected == "dict" and not isinstance(converted, dict):
        raise TypeError("up to ansible-core 2.18 a set is taken for a dict")
    return converted


def _show(name: t.Any, names: t.Mapping[str, str]) -> str:
    """Return an unknown option's name, and the known one that may be meant."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return REDACTED
    similar = [] if name in _PROFILE else difflib.get_close_matches(name, names, n=1)
    return f"{name} (did you mean {similar[0]}?)" if similar else name


def _with_aliases(name: str, option: t.Mapping[str, t.Any]) -> str:
    aliases = ", ".join(option.get("aliases", []))
    return f"{name} ({aliases})" if aliases else name
