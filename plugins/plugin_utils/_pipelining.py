# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Pipelining for modules that get a password, even where Ansible is not set to use it.

Without pipelining, ansible-core writes the module with its options to a file of the login user on
the managed host, and to one on the controller. An interrupted run leaves them there.
"""

from __future__ import annotations

import contextlib
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils._ses._smtp_password import SesSmtpError

__all__ = ("VARIABLE", "PipelinedAction")

#: The variable with which a host whose sudo needs a terminal turns this off.
VARIABLE = "mailops_ses_pipelining"

#: Gets digests of passwords only.
_MODULE_WITHOUT_SECRETS = "mailops.ses.postfix_relay_info"

#: What sudo and some versions of su print without a terminal.
_NO_TERMINAL = ("must have a tty", "must be run from a terminal")


class PipelinedAction(ActionBase):
    """An action that sends its module through the connection's standard input if that is possible."""

    module: t.ClassVar[str]
    _pipelined = False

    def warn(self, warning: str) -> None:
        """Show a warning, a sentence without its full stop."""
        raise NotImplementedError

    def _is_pipelining_enabled(self, module_style: str, wrap_async: bool = False) -> bool:
        if self._pipelined and module_style == "new" and not wrap_async:
            return True
        enabled: bool = super()._is_pipelining_enabled(module_style, wrap_async)
        return enabled

    def _execute_module(self, **kwargs: t.Any) -> dict[str, t.Any]:
        """Run a module as ActionBase does. Raises SesSmtpError if sudo or su wants a terminal."""
        is_wanted = self._is_pipelining_wanted(kwargs.get("task_vars") or {})
        obstacle = self._obstacle()
        has_secrets = (kwargs.get("module_name") or self.module) != _MODULE_WITHOUT_SECRETS
        if is_wanted and has_secrets and (obstacle or kwargs.get("wrap_async")):
            reason = obstacle or "an asynchronous task can't be pipelined"
            self.warn(
                f"{reason}, so the options of this task, with any SMTP password, are in a file in"
                " the remote_tmp directory of the login user. Check that the file is gone when the"
                " task has ended"
            )
        self._pipelined = is_wanted and not obstacle
        try:
            with self._pipelining_option():
                result: dict[str, t.Any] = super()._execute_module(**kwargs)
        except AnsibleError as exc:
            if self._pipelined and _asks_for_terminal(str(exc)):
                raise SesSmtpError(_terminal_error()) from None
            raise
        if self._pipelined and result.get("failed") and _asks_for_terminal(_printed(result)):
            raise SesSmtpError(_terminal_error())
        return result

    def _is_pipelining_wanted(self, task_vars: t.Mapping[str, t.Any]) -> bool:
        if self._task.delegate_to:
            task_vars = task_vars.get("ansible_delegated_vars", {}).get(
                self._task.delegate_to, task_vars
            )
        value = self._templar.template(task_vars.get(VARIABLE, True))
        try:
            return bool(boolean(value))
        except TypeError:
            raise SesSmtpError(
                f"the variable {VARIABLE} must be true or false. Nothing was changed"
            ) from None

    def _obstacle(self) -> str | None:
        """Return why a module can't be pipelined, None if it can."""
        if C.DEFAULT_KEEP_REMOTE_FILES:
            return "Ansible is told to keep remote files (ANSIBLE_KEEP_REMOTE_FILES)"
        if not self._connection.has_pipelining:
            return f"the connection {self._connection.transport} does not support pipelining"
        become = self._connection.become
        if become and not _can_be_pipelined(become):
            return f"the become method {become.name} does not support pipelining"
        return None

    @contextlib.contextmanager
    def _pipelining_option(self) -> t.Iterator[None]:
        """Tell the connection, too: the plugin local gives a terminal to become without it."""
        connection = self._connection
        if not (self._pipelined and connection.has_option("pipelining")):
            yield
            return
        previous = connection.get_option("pipelining")
        connection.set_option("pipelining", True)
        try:
            yield
        finally:
            connection.set_option("pipelining", previous)


def _can_be_pipelined(become: t.Any) -> bool:
    # ansible-core does not pipeline through su. Tests here show that it works.
    if become.name == "su":
        return True
    # BecomeBase has no attribute pipelining up to ansible-core 2.18.
    return getattr(become, "pipelining", True) and not getattr(become, "require_tty", False)


def _printed(result: t.Mapping[str, t.Any]) -> str:
    return " ".join(str(result.get(name, "")) for name in ("msg", "module_stderr", "module_stdout"))


def _asks_for_terminal(text: str) -> bool:
    return any(phrase in text for phrase in _NO_TERMINAL)


def _terminal_error() -> str:
    return (
        "sudo or su on the managed host needs a terminal (sudoers has requiretty), and this task"
        " uses pipelining, which has none. It keeps the SMTP password out of files of the login"
        " user. In sudoers, add 'Defaults:USER !requiretty' for the login user. Or set the variable"
        f" {VARIABLE} to false for this host: then an interrupted run can leave the password in"
        " the login user's home directory. Nothing was changed"
    )
