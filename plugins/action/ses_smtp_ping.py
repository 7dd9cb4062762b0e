# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..module_utils._options import LOGIN_OPTIONS, SES_SMTP_PING, derive_controller_options
from ..module_utils._payload import pack
from ..plugin_utils._credentials import find_credentials
from ..plugin_utils._login_diagnosis import diagnose, find_login_and_key_pair
from ..plugin_utils._login_places import Place
from ..plugin_utils._option_warnings import option_warnings
from ..plugin_utils._ses_action import (
    SesAction,
    list_names,
)


class ActionModule(SesAction):
    """mailops.ses.ses_smtp_ping: derive on the controller, log in from the managed host."""

    module = "mailops.ses.ses_smtp_ping"
    spec: t.ClassVar = derive_controller_options(SES_SMTP_PING)
    answered_here = list_names(LOGIN_OPTIONS, LOGIN_OPTIONS)

    _supports_async = True

    def answer(
        self, options: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Return the module's result; it gets the SMTP password, never the AWS secret."""
        given, key_pair = find_login_and_key_pair(Place("the task", options))
        credentials = find_credentials(given)
        server = credentials.login.server
        for warning in option_warnings(credentials.region, server.host, server.port):
            self.warn(warning)
        self.keep_secret(credentials.login.password)
        login = replace(credentials.login, diagnosis=diagnose(credentials, key_pair))
        return self.run_module({"password": pack(self.module, login)}, task_vars)
