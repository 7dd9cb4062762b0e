# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..module_utils._options import SES_SMTP_CREDENTIALS, derive_controller_options
from ..plugin_utils._credentials import find_credentials
from ..plugin_utils._login_places import (
    Place,
    with_environment,
)
from ..plugin_utils._option_warnings import option_warnings
from ..plugin_utils._ses_action import SesAction
from ..plugin_utils._task_options import LOGIN_REPLACES_KEY, REPLACED_DEFAULTS


class ActionModule(SesAction):
    """mailops.ses.ses_smtp_credentials: an IAM access key, or a ready-made login, as SMTP credentials."""

    module = "mailops.ses.ses_smtp_credentials"
    spec: t.ClassVar = derive_controller_options(SES_SMTP_CREDENTIALS)
    replaced_defaults = (LOGIN_REPLACES_KEY, *REPLACED_DEFAULTS)

    _requires_connection = False

    def answer(
        self, options: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Return the credentials, hidden from every output unless the task says reveal."""
        credentials = find_credentials(with_environment(Place("the task", options)))
        server = credentials.login.server
        for warning in option_warnings(credentials.region, server.host, server.port):
            self.warn(warning)
        login = credentials.login
        result = {
            "changed": False,
            "username": login.username,
            "password": login.password,
            "host": login.server.host,
            "port": login.server.port,
            "relayhost": login.server.relayhost,
            "region": credentials.region,
            "system": credentials.system,
            "version": credentials.version,
            "tls": login.server.tls,
            "url": credentials.url,
        }
        if not options["reveal"]:
            result["_ansible_no_log"] = True
            # Up to ansible-core 2.18 the result alone does not hide what a loop gathers from it.
            self._task.no_log = True
            self.keep_secret(login.password)
            self.keep_secret(credentials.quoted_password)
        return result
