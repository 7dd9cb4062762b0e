# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..module_utils._options import LOGIN_OPTIONS, SES_SMTP_PING, controller_options
from ..module_utils._ses._smtp_password import region_warning
from ..plugin_utils._credentials import smtp_credentials
from ..plugin_utils._login_diagnosis import (
    diagnosis,
    login_and_key,
)
from ..plugin_utils._login_places import Place
from ..plugin_utils._ses_action import (
    SesAction,
    names,
)


class ActionModule(SesAction):
    """mailops.ses.ses_smtp_ping: derive on the controller, log in from the managed host."""

    module = "mailops.ses.ses_smtp_ping"
    spec: t.ClassVar = controller_options(SES_SMTP_PING)
    answered_here = names(LOGIN_OPTIONS, LOGIN_OPTIONS)

    _supports_async = True

    def answer(
        self, options: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Return the module's result; it gets the SMTP password, never the AWS secret."""
        login, key = login_and_key(Place("the task", options))
        credentials = smtp_credentials(login)
        warning = region_warning(credentials.region)
        if warning:
            self.warn(warning)
        self.keep_secret(credentials.password)
        arguments = {
            "username": credentials.username,
            "password": credentials.password,
            "endpoint": credentials.server.host,
            "port": credentials.server.port,
            "tls": credentials.server.tls,
        }
        result = self.run_module(arguments, task_vars)
        more = None
        if result.get("reason") in ("credentials_invalid", "version_2"):
            more = diagnosis(credentials, key)
        if more:
            result["msg"] = f"{result['msg']}. {more}"
            # Since ansible-core 2.19 the module's error is in it too, and is shown first.
            result.pop("exception", None)
        return result
