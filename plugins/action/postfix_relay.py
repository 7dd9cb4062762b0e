# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..module_utils._options import LOGIN_OPTIONS, POSTFIX_RELAY, derive_controller_options
from ..plugin_utils._requested_relay import read_relay
from ..plugin_utils._ses_action import (
    LoginsAction,
    Requested,
    list_names,
)
from ..plugin_utils._task_options import (
    REPLACED_DEFAULTS,
    Replaces,
)

_SPEC = derive_controller_options(POSTFIX_RELAY)


class ActionModule(LoginsAction):
    """mailops.ses.postfix_relay: derive on the controller, set up on the managed host."""

    module = "mailops.ses.postfix_relay"
    spec = _SPEC
    answered_here = list_names(_SPEC, [*LOGIN_OPTIONS, "regions", "senders"])
    replaced_defaults = (
        Replaces(("region",), ("regions",)),
        Replaces(("regions",), ("region",)),
        Replaces(("regions",), ("endpoint",), lambda options: len(options["regions"]) > 1),
        *REPLACED_DEFAULTS,
    )

    def read_request(self, options: t.Mapping[str, t.Any]) -> Requested:
        """Return the servers and logins that the task requests. Raises SesSmtpError."""
        return read_relay(options)
