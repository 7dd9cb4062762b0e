# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Values that come out of templates and go back into them, alike on every ansible-core."""

from __future__ import annotations

import typing as t

from ansible.module_utils.common.text.converters import to_text
from jinja2 import Undefined

try:
    from ansible.module_utils.secrets import register_secret
except ImportError:  # ansible-core 2.21 and older mask nothing by themselves

    def register_secret(value: str, /) -> str:
        """Return ``value``: this ansible-core has no register of secrets."""
        return value


__all__ = ("decrypt", "decrypt_arguments", "find_undefined", "register_secret")


def decrypt(value: t.Any) -> t.Any:
    """Return ``value``, as a str if it is an inline ``!vault`` value.

    Up to ansible-core 2.18 such a value reaches filters and actions as an object that is not a
    str and decrypts itself when it is turned into text; from 2.19 on it is a str.
    """
    return to_text(value) if getattr(value, "__ENCRYPTED__", False) else value


def decrypt_arguments(arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a task's ``arguments`` with every inline ``!vault`` value in them as a str.

    Up to ansible-core 2.18 the check of arguments fails for one that is to be kept out of logs.
    """
    return {name: _decrypt_throughout(value) for name, value in arguments.items()}


def _decrypt_throughout(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: _decrypt_throughout(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decrypt_throughout(item) for item in value]
    return decrypt(value)


def find_undefined(*values: t.Any) -> Undefined | None:
    """Return the first of ``values`` that is undefined, None if all are defined.

    Up to ansible-core 2.18 a filter is called with undefined values and is to hand them on, so
    that ``| default`` works after it; from 2.19 on they never reach it.
    """
    return next((value for value in values if isinstance(value, Undefined)), None)
