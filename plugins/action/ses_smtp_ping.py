# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mailops.ses.plugins.module_utils._ses_smtp import (
    SesSmtpError,
    region_warning,
)
from ansible_collections.mailops.ses.plugins.modules.ses_smtp_ping import PING_OPTIONS
from ansible_collections.mailops.ses.plugins.plugin_utils._credentials import (
    AWS_ARGUMENT_SPEC,
    SMTP_LOGIN_ARGUMENT_SPEC,
    smtp_credentials,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._login_diagnosis import (
    check_not_swapped,
    diagnosis,
    login_and_key,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._templating import (
    decrypted_arguments,
    register_secret,
)

_NAME = "mailops.ses.ses_smtp_ping"


class ActionModule(ActionBase):
    """mailops.ses.ses_smtp_ping: derive on the controller, log in from the managed host."""

    _supports_async = True
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """Return the module's result; it gets the SMTP password, never the AWS secret."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        self._task.args = decrypted_arguments(self._task.args)
        _dummy, options = self.validate_argument_spec(
            {**AWS_ARGUMENT_SPEC, **SMTP_LOGIN_ARGUMENT_SPEC, **PING_OPTIONS}
        )
        login, key = login_and_key(options)
        try:
            credentials = smtp_credentials(login)
            check_not_swapped(credentials.username)
        except SesSmtpError as exc:
            # Not raised: up to ansible-core 2.18 that looks like a crash of the plugin.
            result.update(failed=True, msg=f"{_NAME}: {exc}")
            return result
        warning = region_warning(credentials.region)
        if warning:
            Display().warning(f"{_NAME}: {warning}.")
        register_secret(credentials.password)
        # As the task has them: a "~" in a path is of the managed host.
        arguments = {name: value for name, value in self._task.args.items() if name in PING_OPTIONS}
        arguments.update(
            username=credentials.username,
            password=credentials.password,
            endpoint=credentials.server.host,
            port=credentials.server.port,
            tls=credentials.server.tls,
        )
        result.update(
            self._execute_module(
                module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val
            )
        )
        more = None
        if result.get("reason") in ("credentials_invalid", "version_2"):
            more = diagnosis(credentials, key)
        if more:
            result["msg"] = f"{result['msg']}. {more}"
            # Since ansible-core 2.19 the module's error is in it too, and is shown first.
            result.pop("exception", None)
        return result
