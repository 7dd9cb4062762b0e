# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stdout callback that prints a JSON line for each result: task, host, seconds and whether it changed."""

from __future__ import annotations

import json
import time
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_times
type: stdout
short_description: Times of tasks
description: Prints a JSON line for each result.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is untyped
    """One line a result, from the moment that the task was handed to the host's worker."""

    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "task_times"

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[tuple[str, str], float] = {}

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        self._started[host.get_name(), task._uuid] = time.perf_counter()

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._report(result, "ok")

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._report(result, "failed")

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._report(result, "skipped")

    def _report(self, result: t.Any, status: str) -> None:
        host, task = result._host.get_name(), result._task
        seconds = time.perf_counter() - self._started[host, task._uuid]
        returned = result._result
        line = {
            "task": task.get_name().strip(),
            "host": host,
            "seconds": seconds,
            "status": status,
            "changed": bool(returned.get("changed")),
            "msg": str(returned.get("msg", "")),
        }
        if status == "failed":
            # What there is of a module that has died.
            line |= {name: returned.get(name) for name in ("rc", "module_stdout", "module_stderr")}
        print(json.dumps(line), flush=True)
