# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What a secret looks like, to tell of one in the wrong place without showing it."""

from __future__ import annotations

import re

from ._smtp_password import find_password_version

__all__ = ["is_access_key", "looks_secret"]

# A secret access key or an SMTP password, with quotes, white space or other things around it.
_LONG_RUN = re.compile(r"[A-Za-z0-9/+]{40,}")
_ACCESS_KEY = re.compile(r"A[KS]IA[A-Z0-9]{12,124}")
# Other servers may have a hexadecimal number or capital letters for a user name.
_NAME = re.compile(r"[0-9a-fA-F]+|[A-Z0-9]+")


def is_access_key(password: str) -> bool:
    """Whether a password has the form of an access key ID, which is a user name."""
    return _ACCESS_KEY.fullmatch(password.strip()) is not None


def looks_secret(username: str) -> bool:
    """Whether a user name, which is shown, has a secret access key or an SMTP password in it."""
    if find_password_version(username):
        return True
    return any(_NAME.fullmatch(run) is None for run in _LONG_RUN.findall(username))
