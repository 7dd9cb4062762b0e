# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Removing the relay of an instance: what is read and planned for it."""

from __future__ import annotations

import functools
import typing as t

from ._decision import Decision
from ._removal_plan import plan_removal
from ._snapshot import RelaySnapshot, read_for_removal

if t.TYPE_CHECKING:
    from ._instance import Instance
    from ._plan import RelayPlan, RelayRequest

__all__ = ["decide_removal"]


def decide_removal(request: RelayRequest, instance: Instance) -> Decision[RelaySnapshot, RelayPlan]:
    """Plan a removal. Writes nothing, and takes no lock."""
    return Decision(
        instance.tools,
        instance,
        read=functools.partial(read_for_removal, instance, request),
        make_plan=functools.partial(plan_removal, request),
    )
