# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What the actions share: how they begin, and how they hand on to the module of their name."""

from __future__ import annotations

import json
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mailops.ses.plugins.module_utils._ses_smtp import SesSmtpError
from ansible_collections.mailops.ses.plugins.plugin_utils._credentials import (
    AWS_ARGUMENT_SPEC,
    SMTP_LOGIN_ARGUMENT_SPEC,
)
from ansible_collections.mailops.ses.plugins.plugin_utils._templating import (
    decrypted_arguments,
    register_secret,
)

__all__ = ("LOGIN_OPTIONS", "Asked", "LoginsAction", "SesAction", "names")

#: The options of a login, to derive or derived already.
LOGIN_OPTIONS = {**AWS_ARGUMENT_SPEC, **SMTP_LOGIN_ARGUMENT_SPEC}


class Asked(t.Protocol):
    """What a task's options come to."""

    @property
    def warnings(self) -> t.Iterable[str]:
        """What to warn of."""

    @property
    def passwords(self) -> t.Iterable[str]:
        """The passwords, to be registered as secrets."""

    @property
    def handed_over(self) -> t.Any:
        """What the module gets, with the passwords: to be made JSON of."""


def names(spec: t.Mapping[str, t.Mapping[str, t.Any]], options: t.Iterable[str]) -> frozenset[str]:
    """Return all names of ``options``, their aliases in ``spec`` included."""
    return frozenset(
        name for option in options for name in [option, *spec[option].get("aliases", [])]
    )


class SesAction(ActionBase):
    """An action whose options are decrypted and validated, and whose mistakes are a failed task.

    A subclass names itself in ``module``, and has in ``spec`` the options of the task and in
    ``answered_here`` all names of those that its module does not get.
    """

    module: t.ClassVar[str]
    spec: t.ClassVar[t.Mapping[str, t.Mapping[str, t.Any]]]
    answered_here: t.ClassVar[frozenset[str]]

    _supports_check_mode = True

    def answer(
        self, options: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Return the result for ``options``, with canonical names. Raises SesSmtpError."""
        raise NotImplementedError

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """Return the task's result."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        self._task.args = decrypted_arguments(self._task.args)
        _dummy, options = self.validate_argument_spec(self.spec)
        try:
            result.update(self.answer(options, task_vars))
        except SesSmtpError as exc:
            # Not raised: up to ansible-core 2.18 that looks like a crash of the plugin.
            result.update(failed=True, msg=f"{self.module}: {exc}")
        return result

    def warn(self, warning: str) -> None:
        """Show a warning, a sentence without its full stop."""
        Display().warning(f"{self.module}: {warning}.")

    def run_module(
        self, arguments: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Run the module with ``arguments`` and the task's options as they are written there."""
        of_the_task = {
            name: value for name, value in self._task.args.items() if name not in self.answered_here
        }
        result: dict[str, t.Any] = self._execute_module(
            module_args={**of_the_task, **arguments},
            task_vars=task_vars,
            wrap_async=self._task.async_val,
        )
        return result


class LoginsAction(SesAction):
    """Derives on the controller; the module gets the logins with their passwords, never a key."""

    _supports_async = True
    _supports_diff = True

    def asked(self, options: t.Mapping[str, t.Any]) -> Asked:
        """Return what ``options``, with canonical names, ask for. Raises SesSmtpError."""
        raise NotImplementedError

    def answer(
        self, options: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Return the module's result."""
        asked = self.asked(options)
        for warning in asked.warnings:
            self.warn(warning)
        for password in asked.passwords:
            register_secret(password)
        # One secret value for all of them, see the module postfix_sasl_passwd.
        return self.run_module({"password": json.dumps(asked.handed_over)}, task_vars)
