# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A callback that tells everything it is told, as JSON: the worst that a log shipper can do."""

from __future__ import annotations

import json
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: json_lines
type: stdout
short_description: Every event with its whole result, a line of JSON each
description: For the tests of mailops.ses.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """One line of JSON for each event."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "json_lines"

    def _tell(self, event: str, result: t.Any) -> None:
        # The public names came with ansible-core 2.20.
        task = getattr(result, "task", None) or result._task
        told = {
            "event": event,
            "host": (getattr(result, "host", None) or result._host).get_name(),
            "task": task.get_name(),
            "action": task.action,
            "result": getattr(result, "result", None) or result._result,
        }
        self._write(json.dumps(told, default=str))

    def _write(self, line: str) -> None:
        self._display.display(line)

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """It went well."""
        self._tell("ok", result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """It failed."""
        self._tell("failed", result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """There was no connection."""
        self._tell("unreachable", result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        """It did not run."""
        self._tell("skipped", result)

    def v2_runner_item_on_ok(self, result: t.Any) -> None:
        """It went well for an item of a loop."""
        self._tell("item ok", result)

    def v2_runner_item_on_failed(self, result: t.Any) -> None:
        """It failed for an item of a loop."""
        self._tell("item failed", result)

    def v2_on_file_diff(self, result: t.Any) -> None:
        """There is a diff, or may be one."""
        self._tell("diff", result)
