# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..module_utils._options import POSTFIX_RELAY_KEY, ROTATED_KEY, derive_controller_options
from ..module_utils._payload import pack
from ..module_utils._relay._rotation_plan import RotatedEntries
from ..plugin_utils._requested_rotation import NewKey, find_entries, find_mail_manager_entries
from ..plugin_utils._ses_action import SesAction, list_names


class ActionModule(SesAction):
    """mailops.ses.postfix_relay_key: find the old access key's entries, derive here, write there."""

    module = "mailops.ses.postfix_relay_key"
    spec: t.ClassVar = derive_controller_options(POSTFIX_RELAY_KEY)
    answered_here = list_names(spec, [*ROTATED_KEY, "regions"])

    _supports_diff = True

    def answer(
        self, options: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Return the module's result; it gets the logins with their passwords, never an access key pair."""
        rotated, of_mail_manager = RotatedEntries(), {}
        if options["state"] == "replaced":
            new_key = NewKey(options)
            found = self._found(task_vars)
            if found.get("failed") or found.get("unreachable"):
                return found
            entries = find_entries(found.get("instances"), self.arguments.get("config_directory"))
            rotated = new_key.rotate(entries)
            of_mail_manager = {"mail_manager_entries": find_mail_manager_entries(entries)}
        for each in rotated.entries:
            self.keep_secret(each.entry.password)
        result = self.run_module({"secret_key": pack(self.module, rotated)}, task_vars)
        return {**result, **of_mail_manager}

    def _found(self, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """What the host has, as mailops.ses.postfix_relay_info sees it; no secret goes there."""
        arguments = {
            name: self.arguments[name] for name in ["config_directory"] if name in self.arguments
        }
        found: dict[str, t.Any] = self._execute_module(
            module_name="mailops.ses.postfix_relay_info",
            module_args=arguments,
            task_vars=task_vars,
        )
        return found
