# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An action that hands logins over, run without its module."""

from __future__ import annotations

import json
import types
import typing as t

import pytest
from ansible.module_utils.common import warnings
from ansible.utils.display import Display
from ansible_collections.mailops.ses.plugins.plugin_utils import _ses_action

_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION")


class ActionTrial:
    """The action with what it hands on, warns of and registers as a secret.

    ``arguments`` are the task's own, after the run.
    """

    def __init__(
        self, action: type[_ses_action.SesAction], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._action = action
        self.module = action.module
        #: What the module returns, and what running it raises instead.
        self.returns: dict[str, t.Any] = {"changed": True}
        self.raises: Exception | None = None
        self.handed_on: dict[str, t.Any] = {}
        self.arguments: object = None
        self.warnings: list[str] = []
        self.registered: list[str] = []
        self.templated: list[object] = []
        for name in _VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(Display, "warning", lambda _self, msg: self.warnings.append(msg))
        monkeypatch.setattr(_ses_action, "register_secret", self.registered.append)
        # What the check of options warns of would stay in this process, for the tests after this one.
        empty = type(warnings._global_warnings)()
        monkeypatch.setattr(warnings, "_global_warnings", empty)

    def run(
        self,
        arguments: dict[str, t.Any],
        defaults: dict[str, t.Any] | None = None,
        data: dict[str, t.Any] | None = None,
        environment: list[dict[str, str]] | None = None,
    ) -> dict[str, t.Any]:
        """Run it with module_defaults of its action group; the module is not run.

        ``data`` is the task as it is written, if not as ``arguments`` say.
        """
        task = types.SimpleNamespace(
            args={**defaults, **arguments} if defaults else arguments,
            async_val=0, action=self._action.module, diff=False,
            check_mode=False, no_log=False, delegate_to=None, environment=environment,
            module_defaults=[{"group/mailops.ses.ses": defaults}] if defaults else [],
            get_ds=lambda: data or {self.module: arguments},
            _parent=types.SimpleNamespace(
                _play=types.SimpleNamespace(_action_groups={self.module: ["mailops.ses.ses"]})
            ),
        )  # fmt: skip
        connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir="not used"))
        self.templated.clear()
        templar = types.SimpleNamespace(template=self._template)
        action = self._action(task, connection, None, None, templar, None)
        action._load_name = task.action

        def execute(**kwargs: t.Any) -> dict[str, t.Any]:
            self.handed_on = kwargs
            if self.raises is not None:
                raise self.raises
            return dict(self.returns)

        action._execute_module = execute  # type: ignore[method-assign]
        result: dict[str, t.Any] = action.run(task_vars={})
        self.arguments = task.args
        return result

    def _template(self, value: object) -> object:
        self.templated.append(value)
        return value

    @property
    def handed_over(self) -> t.Any:
        """What the module got with the passwords in it."""
        payload = json.loads(self.handed_on["module_args"]["password"])
        assert payload == {"module": self.module, "version": 1, "content": payload["content"]}
        return payload["content"]
