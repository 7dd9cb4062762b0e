# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mailops.ses.plugins.module_utils._ses_smtp import SesSmtpError
from ansible_collections.mailops.ses.plugins.modules.postfix_relay import ARGUMENT_SPEC
from ansible_collections.mailops.ses.plugins.plugin_utils._asked_relay import asked_relay
from ansible_collections.mailops.ses.plugins.plugin_utils._credentials import (
    AWS_ARGUMENT_SPEC,
    SMTP_LOGIN_ARGUMENT_SPEC,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._templating import (
    decrypted_arguments,
    register_secret,
)

_NAME = "mailops.ses.postfix_relay"
_LOGIN = {**AWS_ARGUMENT_SPEC, **SMTP_LOGIN_ARGUMENT_SPEC}
_SPEC = {
    **ARGUMENT_SPEC,
    **_LOGIN,
    "regions": {"type": "list", "elements": "raw"},
    "senders": {
        **ARGUMENT_SPEC["senders"],
        "options": {**ARGUMENT_SPEC["senders"]["options"], **_LOGIN},
    },
}
# All names of the options that end here; the module gets what they come to.
_ANSWERED_HERE = frozenset(
    name
    for option in [*_LOGIN, "regions", "senders"]
    for name in [option, *_SPEC[option].get("aliases", [])]
)


class ActionModule(ActionBase):
    """mailops.ses.postfix_relay: derive on the controller, set up on the managed host."""

    _supports_async = True
    _supports_check_mode = True
    _supports_diff = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """Return the module's result; it gets the logins with their passwords, never a key."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        self._task.args = decrypted_arguments(self._task.args)
        _dummy, options = self.validate_argument_spec(_SPEC)
        try:
            asked = asked_relay(options)
        except SesSmtpError as exc:
            # Not raised: up to ansible-core 2.18 that looks like a crash of the plugin.
            result.update(failed=True, msg=f"{_NAME}: {exc}")
            return result
        for warning in asked.warnings:
            Display().warning(f"{_NAME}: {warning}.")
        for password in asked.passwords:
            register_secret(password)
        arguments = {
            name: value for name, value in self._task.args.items() if name not in _ANSWERED_HERE
        }
        # One secret value for all of them, see the module.
        arguments["password"] = json.dumps({"logins": asked.logins, "senders": asked.senders})
        result.update(
            self._execute_module(
                module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val
            )
        )
        return result
