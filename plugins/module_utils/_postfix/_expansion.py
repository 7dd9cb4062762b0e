# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Parameters in the values of settings, like $name: replaced as Postfix does it."""

from __future__ import annotations

import re
import typing as t

from ._main_cf import read_settings

if t.TYPE_CHECKING:
    from ._programs import Postfix

__all__ = ["expand", "expand_all", "list_parameters"]

Key = t.TypeVar("Key")

_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{\s*(\w+)\s*\}|\(\s*(\w+)\s*\))")
_NAMES = re.compile(r"\$[{(]?\s{0,20}(\w+)")
# Deep enough for every main.cf, and an end for one whose parameters contain themselves.
_DEPTH = 20


def list_parameters(value: str) -> set[str]:
    """The names of the parameters in a value."""
    return set(_NAMES.findall(value))


def expand(value: str, values: t.Mapping[str, str], depth: int = _DEPTH) -> str:
    """Replace $name, ${name} and $(name); an unknown name by nothing. Conditions stay.

    Source: mac_expand(3).
    """

    def replaced(match: t.Match[str]) -> str:
        names = [name for name in match.groups() if name]
        if not names:
            return "$"
        return expand(values.get(names[0], ""), values, depth - 1)

    return _REFERENCE.sub(replaced, value) if depth else value


def expand_all(
    postfix: Postfix, texts: t.Mapping[Key, tuple[str, t.Mapping[str, str]]]
) -> dict[Key, str]:
    """Expand values of services: each with the settings that its service has of its own.

    Asks postconf once, for all parameters of main.cf in them. Raises PostfixError.
    """
    names: set[str] = set()
    for value, own in texts.values():
        for each in (value, *own.values()):
            names |= list_parameters(each)
    known = read_settings(postfix, sorted(names))
    return {key: expand(value, {**known, **own}) for key, (value, own) in texts.items()}
