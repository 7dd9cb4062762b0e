# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..module_utils._options import POSTFIX_SASL_PASSWD, derive_controller_options
from ..plugin_utils._requested_entries import read_entries
from ..plugin_utils._ses_action import (
    LoginsAction,
    Requested,
    list_names,
)
from ..plugin_utils._task_options import (
    LOGIN_REPLACES_KEY,
    REPLACED_DEFAULTS,
    Replaces,
)

_SPEC = derive_controller_options(POSTFIX_SASL_PASSWD)


class ActionModule(LoginsAction):
    """mailops.ses.postfix_sasl_passwd: derive on the controller, write on the managed host."""

    module = "mailops.ses.postfix_sasl_passwd"
    spec = _SPEC
    answered_here = list_names(_SPEC, [*_SPEC["entries"]["options"], "entries"])
    replaced_defaults = (
        Replaces(("key",), ("entries",)),
        Replaces(("entries",), ("key",)),
        LOGIN_REPLACES_KEY,
        *REPLACED_DEFAULTS,
    )

    def read_request(self, options: t.Mapping[str, t.Any]) -> Requested:
        """Return the entries that the task requests. Raises SesSmtpError."""
        return read_entries(options)
