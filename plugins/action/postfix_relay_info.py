# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.mailops.ses.plugins.modules.postfix_relay_info import ARGUMENT_SPEC
from ansible_collections.mailops.ses.plugins.plugin_utils._candidates import (
    candidates_for_the_host,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._credentials import AWS_ARGUMENT_SPEC
from ansible_collections.mailops.ses.plugins.plugin_utils._ses_action import SesAction, names

_SPEC = {
    **ARGUMENT_SPEC,
    **AWS_ARGUMENT_SPEC,
    "candidates": {
        **ARGUMENT_SPEC["candidates"],
        "options": {
            name: {**AWS_ARGUMENT_SPEC[name], "required": True}
            for name in ARGUMENT_SPEC["candidates"]["options"]
        },
    },
}


class ActionModule(SesAction):
    """mailops.ses.postfix_relay_info: derive on the controller, compare on the managed host."""

    module = "mailops.ses.postfix_relay_info"
    spec = _SPEC
    answered_here = names(_SPEC, [*AWS_ARGUMENT_SPEC, "candidates"])

    _supports_async = True
    _supports_diff = True

    def answer(
        self, options: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Return the module's result; it gets digests, never a key or a password."""
        return self.run_module({"candidates": candidates_for_the_host(options)}, task_vars)
