# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ..module_utils._options import AWS_OPTIONS, POSTFIX_RELAY_INFO, derive_controller_options
from ..module_utils._payload import pack
from ..module_utils._ses._smtp_password import SesSmtpError
from ..plugin_utils._candidates import find_candidates
from ..plugin_utils._no_answer import show_no_answer
from ..plugin_utils._ses_action import SesAction, list_names

_SPEC = derive_controller_options(POSTFIX_RELAY_INFO)


class ActionModule(SesAction):
    """mailops.ses.postfix_relay_info: derive on the controller, compare on the managed host."""

    module = "mailops.ses.postfix_relay_info"
    spec = _SPEC
    answered_here = list_names(_SPEC, [*AWS_OPTIONS, "candidates", "report_failure"])

    _supports_async = True
    _supports_diff = True

    def answer(
        self, options: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Return the module's result; it gets digests, never a secret key or a password."""
        payload = {"secret_key": pack(self.module, find_candidates(options))}
        if not options["report_failure"]:
            return self.run_module(payload, task_vars)
        try:
            result = self.run_module(payload, task_vars)
        except AnsibleConnectionFailure as exc:
            result = {"unreachable": True, "msg": self._secrets.redact(str(exc))}
        except (AnsibleError, SesSmtpError) as exc:
            result = {"failed": True, "msg": self._secrets.redact(str(exc))}
        has_failed = result.get("failed") or result.get("unreachable")
        return show_no_answer(result) if has_failed else result
