# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The warning of a secret that does not look like one, the same from every plugin."""

from __future__ import annotations

from ansible.utils.display import Display

from ..module_utils._ses._secret_mistakes import warn_of_form

__all__ = ("warn_of_secret_key",)


def warn_of_secret_key(secret_key: str) -> None:
    """Show the warning, if there is one, of a ``secret_key`` that a password was derived from.

    Ansible shows equal warnings once in a run, so this one names neither plugin nor task.
    """
    warning = warn_of_form(secret_key)
    if warning:
        Display().warning(f"mailops.ses: {warning}.")
