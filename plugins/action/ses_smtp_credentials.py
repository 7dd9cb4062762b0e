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
from ansible_collections.mailops.ses.plugins.plugin_utils._credentials import (
    AWS_ARGUMENT_SPEC,
    smtp_credentials,
    with_environment,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._templating import (
    decrypted_arguments,
    register_secret,
)


class ActionModule(ActionBase):
    """mailops.ses.ses_smtp_credentials: an IAM access key as SES SMTP credentials."""

    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """Return the credentials, hidden from every output unless the task says reveal."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        self._task.args = decrypted_arguments(self._task.args)
        _validation, options = self.validate_argument_spec(
            {**AWS_ARGUMENT_SPEC, "reveal": {"type": "bool", "default": False}}
        )
        options = with_environment(options)
        try:
            credentials = smtp_credentials(options)
        except SesSmtpError as exc:
            # Not raised: up to ansible-core 2.18 that looks like a crash of the plugin.
            result.update(failed=True, msg=f"mailops.ses.ses_smtp_credentials: {exc}")
            return result
        warning = region_warning(credentials.region)
        if warning:
            Display().warning(f"mailops.ses.ses_smtp_credentials: {warning}.")
        if not options["reveal"]:
            result["_ansible_no_log"] = True
            # Up to ansible-core 2.18 the result alone does not hide what a loop gathers from it.
            self._task.no_log = True
            register_secret(credentials.password)
            register_secret(credentials.quoted_password)
        result.update(
            changed=False,
            username=credentials.username,
            password=credentials.password,
            host=credentials.server.host,
            port=credentials.server.port,
            relayhost=credentials.server.relayhost,
            region=credentials.region,
            version=credentials.version,
            tls=credentials.server.tls,
            url=credentials.url,
        )
        return result
