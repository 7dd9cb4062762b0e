# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a module is pipelined, what is warned of, and a sudo that needs a terminal."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.mailops.ses.plugins.module_utils._ses._smtp_password import SesSmtpError
from ansible_collections.mailops.ses.plugins.plugin_utils._pipelining import PipelinedAction

NEEDS_TERMINAL = "sudo: sorry, you must have a tty to run sudo"


class Connection:
    """A connection with the option ``pipelining``, unless ``has_option`` is false."""

    transport = "ssh"

    def __init__(
        self, has_pipelining: bool = True, become: object = None, has_option: bool = True
    ) -> None:
        self.has_pipelining = has_pipelining
        self.become = become
        self.options: dict[str, object] = {"pipelining": False} if has_option else {}

    def has_option(self, name: str) -> bool:
        return name in self.options

    def get_option(self, name: str) -> object:
        return self.options[name]

    def set_option(self, name: str, value: object) -> None:
        self.options[name] = value


class Action(PipelinedAction):
    """An action whose modules do not run."""

    module = "mailops.ses.ses_smtp_ping"

    def __init__(self, connection: Connection, delegate_to: str | None = None) -> None:
        self._connection = connection
        self._task = types.SimpleNamespace(delegate_to=delegate_to)
        self._templar = types.SimpleNamespace(template=lambda value: value)
        self.warnings: list[str] = []

    def warn(self, warning: str) -> None:
        self.warnings.append(warning)

    def run(self, tmp: str | None = None, task_vars: t.Any = None, **kwargs: t.Any) -> t.Any:
        assert tmp is None
        return self._execute_module(task_vars=task_vars, **kwargs)


class Core:
    """ansible-core's part: what the action and its connection answered when the module ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.result: dict[str, t.Any] = {"changed": True}
        self.error: Exception | None = None
        self.pipelined: list[bool] = []
        self.option: object = None
        core = self

        def execute(action: Action, **_kwargs: t.Any) -> dict[str, t.Any]:
            core.pipelined = [
                action._is_pipelining_enabled(style, wrap_async)
                for style, wrap_async in [("new", False), ("new", True), ("binary", False)]
            ]
            core.option = action._connection.options.get("pipelining")
            if core.error is not None:
                raise core.error
            return core.result

        monkeypatch.setattr(ActionBase, "_execute_module", execute)
        monkeypatch.setattr(ActionBase, "_is_pipelining_enabled", lambda *_arguments: False)


@pytest.fixture(name="core")
def fixture_core(monkeypatch: pytest.MonkeyPatch) -> Core:
    return Core(monkeypatch)


def become(name: str, **attributes: object) -> types.SimpleNamespace:
    return types.SimpleNamespace(name=name, **attributes)


@pytest.mark.parametrize(
    "method",
    [
        None,
        become("sudo", require_tty=False),  # ansible-core 2.18
        become("sudo", require_tty=False, pipelining=True),
        become("su", require_tty=False, pipelining=False),
    ],
)
def test_pipelined(core: Core, method: object) -> None:
    connection = Connection(become=method)
    action = Action(connection)
    assert action.run(task_vars=None) == {"changed": True}
    assert core.pipelined == [True, False, False]
    assert core.option is True
    assert connection.options == {"pipelining": False}, "as before"
    assert action.warnings == []


def test_a_connection_without_the_option(core: Core) -> None:
    Action(Connection(has_option=False)).run()
    assert core.pipelined[0] is True


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        (Connection(has_pipelining=False), "the connection ssh does not support pipelining"),
        (Connection(become=become("machinectl", require_tty=True)), "the become method machinectl"),
        (Connection(become=become("runas", pipelining=False)), "the become method runas"),
    ],
)
def test_what_can_not_be_pipelined(core: Core, connection: Connection, reason: str) -> None:
    action = Action(connection)
    action.run()
    assert core.pipelined[0] is False
    assert core.option is False
    (warning,) = action.warnings
    assert reason in warning
    assert "in a file" in warning
    Action(connection).run(module_name="mailops.ses.postfix_relay_info")
    assert len(action.warnings) == 1, "it has no secret"


def test_somebody_wants_the_files(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(C, "DEFAULT_KEEP_REMOTE_FILES", True)
    action = Action(Connection())
    action.run()
    assert core.pipelined[0] is False
    assert "ANSIBLE_KEEP_REMOTE_FILES" in action.warnings[0]


def test_asynchronous(core: Core) -> None:
    action = Action(Connection())
    action.run(wrap_async=30)
    assert core.pipelined[1] is False
    assert "an asynchronous task can't be pipelined" in action.warnings[0]


@pytest.mark.parametrize(
    ("delegate_to", "variables", "is_pipelined"),
    [
        (None, {"mailops_ses_pipelining": False}, False),
        (None, {"mailops_ses_pipelining": "no"}, False),
        (None, {"mailops_ses_pipelining": "true"}, True),
        (None, {"ansible_pipelining": False}, True),
        ("other", {"ansible_delegated_vars": {"other": {"mailops_ses_pipelining": False}}}, False),
        ("other", {"mailops_ses_pipelining": False, "ansible_delegated_vars": {"other": {}}}, True),
        ("other", {"mailops_ses_pipelining": False}, False),
    ],
)
def test_the_way_out(
    core: Core, delegate_to: str | None, variables: dict[str, t.Any], is_pipelined: bool
) -> None:
    action = Action(Connection(), delegate_to)
    action.run(task_vars=variables)
    assert core.pipelined[0] is is_pipelined
    assert action.warnings == []


def test_a_way_out_that_is_none() -> None:
    with pytest.raises(SesSmtpError, match="mailops_ses_pipelining must be true or false"):
        Action(Connection()).run(task_vars={"mailops_ses_pipelining": "maybe"})


@pytest.mark.parametrize(
    "result",
    [
        {"failed": True, "msg": "MODULE FAILURE", "module_stderr": f"{NEEDS_TERMINAL}\n"},
        {"failed": True, "msg": "x", "module_stdout": "su: must be run from a terminal"},
        AnsibleError(f"Premature end of stream waiting for become success.\n{NEEDS_TERMINAL}"),
    ],
)
def test_it_needs_a_terminal(core: Core, result: dict[str, t.Any] | Exception) -> None:
    if isinstance(result, Exception):
        core.error = result
    else:
        core.result = result
    connection = Connection()
    with pytest.raises(SesSmtpError, match="set the variable mailops_ses_pipelining to false"):
        Action(connection).run()
    assert connection.options == {"pipelining": False}
    without = {"mailops_ses_pipelining": False}
    if isinstance(result, Exception):
        with pytest.raises(AnsibleError, match="Premature end"):
            Action(Connection()).run(task_vars=without)
    else:
        assert Action(Connection()).run(task_vars=without) == result


def test_other_failures_stay(core: Core) -> None:
    core.result = {"failed": True, "msg": "no such relay"}
    assert Action(Connection()).run() == core.result
    core.error = AnsibleError("Incorrect sudo password")
    with pytest.raises(AnsibleError, match="Incorrect sudo password"):
        Action(Connection()).run()
