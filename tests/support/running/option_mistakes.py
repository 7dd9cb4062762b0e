# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every mistake that a task can make with a module's options, generated from their specification.

A new option is covered as soon as an action accepts it.
"""

from __future__ import annotations

import importlib
import typing as t
from dataclasses import dataclass

from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY

__all__ = ["MODULES", "Mistake", "action_of", "derivable", "mistakes"]

MODULES = (
    "postfix_relay",
    "postfix_relay_info",
    "postfix_relay_key",
    "postfix_sasl_passwd",
    "ses_smtp_credentials",
    "ses_smtp_ping",
)
_OLD_KEY = {"old_access_key": "AKIAEXAMPLE000000002"}


@dataclass(frozen=True)
class Mistake:
    """A task's options, and what a useful message has: None if the module may accept them."""

    title: str
    options: dict[t.Any, t.Any]
    says: str | None


def action_of(module: str) -> t.Any:
    """Return the action plugin of ``module``."""
    name = f"ansible_collections.mailops.ses.plugins.action.{module}"
    return importlib.import_module(name).ActionModule


def derivable(module: str, secret: str) -> dict[str, t.Any]:
    """Return options of ``module`` without a mistake, to derive from ``secret``."""
    options = {"access_key": ACCESS_KEY, "secret_key": secret, "region": "eu-west-3"}
    return {**options, **(_OLD_KEY if module == "postfix_relay_key" else {})}


def mistakes(module: str, good: t.Mapping[str, t.Any], secret: str) -> t.Iterator[Mistake]:
    """Yield every mistake with the options of ``module``; ``good`` are the other options.

    ``secret`` is what must not be shown. It is given as each option that is not for it.
    """
    spec = action_of(module).spec
    yield from _with_level(spec, lambda own: {**good, **own}, secret, "")
    for name, option in spec.items():
        if "options" in option:
            required = {
                each: good.get(each, "a@example.com")
                for each, about in option["options"].items()
                if about.get("required")
            }
            of_entry = _as_entry(good, name, required)
            yield from _with_level(option["options"], of_entry, secret, f"{name}.")
            for each in required:
                entry = {other: value for other, value in required.items() if other != each}
                yield Mistake(f"{name} lacks {each}", {**good, name: [entry]}, each)


def _as_entry(
    good: t.Mapping[str, t.Any], name: str, required: t.Mapping[str, t.Any]
) -> t.Callable[[dict[t.Any, t.Any]], dict[t.Any, t.Any]]:
    return lambda own: {**good, name: [{**required, **own}]}


def _with_level(
    spec: t.Mapping[str, t.Mapping[str, t.Any]],
    task: t.Callable[[dict[t.Any, t.Any]], dict[t.Any, t.Any]],
    secret: str,
    place: str,
) -> t.Iterator[Mistake]:
    known = {name for option in spec for name in [option, *spec[option].get("aliases", [])]}
    for name in sorted(known):
        misspelt = name[:-2] + name[-1] + name[-2] + "x"
        yield Mistake(f"{place}{name} misspelt", task({misspelt: secret}), misspelt)
    yield Mistake(f"{place}secret as a name", task({secret: "x"}), "Unsupported parameters")
    yield Mistake(f"{place}number as a name", task({1: secret}), "Unsupported parameters")
    for option, about in spec.items():
        for name in [option, *about.get("aliases", [])]:
            for value in _wrong_values(about, secret):
                yield Mistake(f"{place}{name}: {value!r}", task({name: value}), None)
        if "choices" in about:
            choices = "must be one of: " + ", ".join(map(str, about["choices"]))
            yield Mistake(f"{place}{option}: a choice", task({option: "none of them"}), choices)
        if about.get("type") in ("bool", "float", "int"):
            says = f"{option}' is of type str and we were unable to convert to {about['type']}"
            yield Mistake(f"{place}{option}: a type", task({option: "no such"}), says)


def _wrong_values(about: t.Mapping[str, t.Any], secret: str) -> list[t.Any]:
    nested = [[secret], {"x": secret}, {secret: "x"}, [[secret]], [{secret: 1}], [None, secret]]
    if about.get("no_log"):
        return [*nested, f" {secret}", f'"{secret}"', f"x{secret}\n"]
    return [
        *nested,
        secret,
        f"{secret}\n",
        f"x/{secret}",
        f"x={secret}",
        f"{{'x': {secret!r}}}",
        f"{{{secret!r}}}",
    ]
