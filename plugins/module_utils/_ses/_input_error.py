# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What the functions of this package raise for an input, and how its message names a type."""

from __future__ import annotations

import typing as t

__all__ = ("SesSmtpError", "type_name")


class SesSmtpError(ValueError):
    """An input that can't lead to a working SMTP login. The message never holds a secret."""


def type_name(value: t.Any) -> str:
    """Return the name of the type of ``value`` for an error, as people know it.

    From ansible-core 2.19 on values are of private subclasses, like _AnsibleLazyTemplateList.
    """
    if value is None:
        return "nothing (null)"
    known = (bool, int, float, str, bytes, list, tuple, dict)
    return next((kind for kind in known if isinstance(value, kind)), type(value)).__name__
