# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The order in which a relay comes in force, so that no mail ever reaches SES without a login.

Postfix's processes read main.cf when they start, one after the other. If the one that finds the
next hop has read the new main.cf and the client the old one, mail goes to SES without a login, and
bounces. So what the client needs comes first, then the routing, and what the client does not need
any more goes last, each with a reload. What is in between, mail waits for, at worst.
"""

from __future__ import annotations

import typing as t

from .._files._secret_file import in_force
from ._settings import ROUTING

if t.TYPE_CHECKING:
    import contextlib

    from .._files._safe_path import SafePath
    from .._postfix._main_cf import MainCf
    from ._instance import Instance
    from ._settings import SettingChange

__all__ = ["Steps", "in_steps", "put_in_force_in_steps", "stage_main_cf"]

Renames = t.Sequence[t.Tuple[str, str]]  # for Python 3.7


class Steps(t.NamedTuple):
    """The changes of main.cf: before the routing, the routing itself, and after it."""

    before: t.Sequence[SettingChange]
    routing: t.Sequence[SettingChange]
    after: t.Sequence[SettingChange]


def in_steps(changes: t.Sequence[SettingChange], needed: t.Container[str]) -> Steps:
    """Sort changes; `needed` has the names of the settings that the client is to have."""
    client = [change for change in changes if change.name not in ROUTING]
    return Steps(
        before=[change for change in client if change.name in needed],
        routing=[change for change in changes if change.name in ROUTING],
        after=[change for change in client if change.name not in needed],
    )


def stage_main_cf(main_cf: MainCf, steps: Steps) -> list[SafePath | None]:
    """Make main.cf as it is after each step, from the one before; None for a step without changes.

    Raises PostfixError.
    """
    paths: list[SafePath | None] = []
    basis: SafePath | None = None
    for changes in steps:
        if changes:
            basis = main_cf.stage({change.name: change.after for change in changes}, basis)
        paths.append(basis if changes else None)
    return paths


def put_in_force_in_steps(
    stack: contextlib.ExitStack,
    instance: Instance,
    steps: t.Sequence[Renames],
    *,
    pending: bool,
    reload: bool,
) -> None:
    """Rename the staged files of each step.

    `reload` says to do so after each step, `pending` that a killed run did not. All files are put
    back if `stack` ends with an exception.
    """
    for files in [[], *steps] if pending or not steps else steps:
        stack.enter_context(in_force(files))
        if reload:
            instance.reload()
