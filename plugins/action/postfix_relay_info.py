# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.mailops.ses.plugins.module_utils._ses_smtp import SesSmtpError
from ansible_collections.mailops.ses.plugins.modules.postfix_relay_info import ARGUMENT_SPEC
from ansible_collections.mailops.ses.plugins.plugin_utils._candidates import (
    candidates_for_the_host,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._credentials import AWS_ARGUMENT_SPEC
from ansible_collections.mailops.ses.plugins.plugin_utils._handing_over import names
from ansible_collections.mailops.ses.plugins.plugin_utils._templating import decrypted_arguments

_NAME = "mailops.ses.postfix_relay_info"
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
# All names of the options that end here; the module gets what they come to.
_ANSWERED_HERE = names(_SPEC, [*AWS_ARGUMENT_SPEC, "candidates"])


class ActionModule(ActionBase):
    """mailops.ses.postfix_relay_info: derive on the controller, compare on the managed host."""

    _supports_async = True
    _supports_check_mode = True
    _supports_diff = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """Return the module's result; it gets digests, never a key or a password."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        self._task.args = decrypted_arguments(self._task.args)
        _dummy, options = self.validate_argument_spec(_SPEC)
        try:
            candidates = candidates_for_the_host(options)
        except SesSmtpError as exc:
            # Not raised: up to ansible-core 2.18 that looks like a crash of the plugin.
            result.update(failed=True, msg=f"{_NAME}: {exc}")
            return result
        arguments = {
            name: value for name, value in self._task.args.items() if name not in _ANSWERED_HERE
        }
        arguments["candidates"] = candidates
        result.update(
            self._execute_module(
                module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val
            )
        )
        return result
