# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.mailops.ses.plugins.module_utils._ses_smtp import SesSmtpError
from ansible_collections.mailops.ses.plugins.modules.postfix_relay_key import (
    ARGUMENT_SPEC,
    KEY_OPTIONS,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._asked_rotation import (
    NewKey,
    NewLogin,
    entries_of,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._credentials import AWS_ARGUMENT_SPEC
from ansible_collections.mailops.ses.plugins.plugin_utils._handing_over import names
from ansible_collections.mailops.ses.plugins.plugin_utils._templating import (
    decrypted_arguments,
    register_secret,
)

_NAME = "mailops.ses.postfix_relay_key"
_SPEC = {**ARGUMENT_SPEC, **{name: AWS_ARGUMENT_SPEC[name] for name in KEY_OPTIONS}}
# All names of the options that end here; the module gets what they come to.
_ANSWERED_HERE = names(KEY_OPTIONS, KEY_OPTIONS)


class ActionModule(ActionBase):
    """mailops.ses.postfix_relay_key: find the old key's entries, derive here, write there."""

    _supports_check_mode = True
    _supports_diff = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """Return the module's result; it gets the logins with their passwords, never a key."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        self._task.args = decrypted_arguments(self._task.args)
        _dummy, options = self.validate_argument_spec(_SPEC)
        logins: list[NewLogin] = []
        if options["state"] == "replaced":
            try:
                key = NewKey(options)
                found = self._found(task_vars)
                if found.get("failed") or found.get("unreachable"):
                    result.update(found)
                    return result
                entries = entries_of(found["instances"], self._task.args.get("config_directory"))
                logins = key.logins(entries)
            except SesSmtpError as exc:
                # Not raised: up to ansible-core 2.18 that looks like a crash of the plugin.
                result.update(failed=True, msg=f"{_NAME}: {exc}")
                return result
        for login in logins:
            register_secret(login["password"])
        arguments = {
            name: value for name, value in self._task.args.items() if name not in _ANSWERED_HERE
        }
        # One secret value for all of them, and one that is nowhere else, as "[]" would be.
        arguments["secret_key"] = json.dumps({"entries": logins})
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result

    def _found(self, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """What the host has, as mailops.ses.postfix_relay_info sees it; no secret goes there."""
        arguments = {
            name: self._task.args[name] for name in ["config_directory"] if name in self._task.args
        }
        found: dict[str, t.Any] = self._execute_module(
            module_name="mailops.ses.postfix_relay_info",
            module_args=arguments,
            task_vars=task_vars,
        )
        return found
