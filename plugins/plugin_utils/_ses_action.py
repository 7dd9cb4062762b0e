# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What the actions share: how they begin, and how they hand on to the module of their name."""

from __future__ import annotations

import traceback
import typing as t
from dataclasses import dataclass

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.utils.display import Display

from ..module_utils._payload import pack
from ..module_utils._ses._smtp_password import SesSmtpError
from ._login_places import (
    KEY_PAIR,
    LOGIN,
    Place,
    check_halves,
    read_environment,
    respect_environment_of_task,
)
from ._option_mistakes import find_option_mistakes
from ._pipelining import PipelinedAction
from ._task_options import (
    REPLACED_DEFAULTS,
    Replaces,
    drop_replaced_defaults,
    find_defaults,
    list_own_names,
    use_one_name_each,
)
from ._task_secrets import (
    SHORT,
    Spec,
    TaskSecrets,
    find_secret_in_wrong_option,
    list_secret_values,
    map_names,
)
from ._templating import (
    decrypt,
    decrypt_arguments,
    register_secret,
)

__all__ = ("LoginsAction", "Requested", "SesAction", "list_names")


@dataclass(frozen=True)
class Requested:
    """What a task requests of its module: the ``content`` of the payload, see _payload.py.

    ``passwords`` are those in it, to be registered as secrets.
    """

    content: object
    passwords: t.AbstractSet[str]
    warnings: t.Sequence[str] = ()


def list_names(
    spec: t.Mapping[str, t.Mapping[str, t.Any]], options: t.Iterable[str]
) -> frozenset[str]:
    """Return all names of ``options``, their aliases in ``spec`` included."""
    return frozenset(
        name for option in options for name in [option, *spec[option].get("aliases", [])]
    )


class SesAction(PipelinedAction):
    """An action whose options are decrypted and validated, and whose mistakes are a failed task.

    A subclass names itself in ``module``, and has in ``spec`` the options of the task and in
    ``answered_here`` all names of those that its module does not get. ``replaced_defaults`` tells
    which defaults, of ``answered_here``, a task's own options replace.
    """

    module: t.ClassVar[str]
    spec: t.ClassVar[Spec]
    answered_here: t.ClassVar[frozenset[str]]
    replaced_defaults: t.ClassVar[t.Sequence[Replaces]] = REPLACED_DEFAULTS

    _supports_check_mode = True

    def answer(
        self, options: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Return the result for ``options``, with canonical names. Raises SesSmtpError."""
        raise NotImplementedError

    def run(
        self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None
    ) -> dict[str, t.Any]:
        """Return the task's result.

        A mistake is a failed result and no exception: ansible-core 2.19 and newer show the
        arguments of a task in an error, and up to 2.18 one looks like a crash of the plugin.
        """
        self._secrets = TaskSecrets()
        self._result: dict[str, t.Any] = {}
        try:
            self._result = super().run(tmp, task_vars)
            # The task keeps its own arguments. They know their line in the playbook.
            self.arguments = decrypt_arguments(self._task.args)
            self._note_secrets()
            own = list_own_names(self._task)
            self.arguments = use_one_name_each(self.spec, self.arguments, own)
            options = self._without_defaults(self._options(), own)
            with respect_environment_of_task(self._environment()):
                self._result.update(self.answer(options, task_vars))
        except AnsibleConnectionFailure as exc:
            raise AnsibleConnectionFailure(self._secrets.redact(str(exc))) from None
        except (AnsibleError, SesSmtpError) as exc:
            return self._failed(str(exc))
        except Exception as exc:  # a bug: its text and its traceback may quote a secret, too
            failed = self._failed(f"unexpected {type(exc).__name__}: {exc}. Please report this bug")
            return {**failed, "exception": self._secrets.redact(traceback.format_exc())}
        return self._result

    def _environment(self) -> dict[str, t.Any]:
        """Return the ``environment`` of the task, its blocks and its play."""
        found: dict[str, t.Any] = {}
        for each in self._task.environment or ():
            variables = self._templar.template(each)
            found.update(variables if isinstance(variables, dict) else {})
        return found

    def _compute_environment_string(self, raw_environment_out: t.Any = None) -> str:
        """Return what precedes a command on the managed host, without variables for AWS's tools.

        No module here reads them, and they may hold a secret key.
        """
        variables: dict[str, t.Any] = {}
        super()._compute_environment_string(variables)
        kept = {name: value for name, value in variables.items() if not name.startswith("AWS_")}
        if isinstance(raw_environment_out, dict):
            raw_environment_out.clear()
            raw_environment_out.update(kept)
        return str(self._connection._shell.env_prefix(**kept))

    def _note_secrets(self) -> None:
        """Take note of all secrets that the task can have, so that no message shows them."""
        known = self._secrets.add_options(self.spec, self.arguments)
        of_environment = read_environment().options["secret_key"] or ""
        for secret in {*known, of_environment}:
            if len(secret) >= SHORT:  # ansible-core 2.22 would mask a single letter everywhere
                self.keep_secret(secret)

    def _options(self) -> dict[str, t.Any]:
        """Return the task's options by their canonical names. Raises SesSmtpError."""
        try:
            validation = ArgumentSpecValidator(self.spec).validate(self.arguments)
        except (AttributeError, TypeError, ValueError):  # it crashes for names that are no text
            validation = None
        if validation is None or validation.error_messages:
            mistakes = find_option_mistakes(self.module, self.spec, self.arguments)
            # Without one, ansible-core has found something that find_option_mistakes() doesn't know.
            raise SesSmtpError(". ".join([*(mistakes or ["wrong options"]), "Nothing was changed"]))
        misplaced = find_secret_in_wrong_option(self.spec, self._secrets, self.arguments)
        if misplaced:
            raise SesSmtpError(
                f"{misplaced.removeprefix('[0].')} has a secret for its value, and is shown in results and logs. Give"
                " a secret access key as secret_key, and an SMTP password as password. Nothing was"
                " changed"
            )
        return {**self.arguments, **validation.validated_parameters}

    def _without_defaults(
        self, options: dict[str, t.Any], own: frozenset[str] | None
    ) -> dict[str, t.Any]:
        """Return ``options`` without the defaults that those of the task, ``own``, replace.

        :raises SesSmtpError: if the task gives half of a login, and module_defaults have another.
        """
        if own is None:
            return options
        names = map_names(self.spec)
        ours = {names[name] for name in own if name in names}
        options = drop_replaced_defaults(options, ours, self.replaced_defaults)
        if options.get("state") != "absent":
            for pair in (KEY_PAIR, LOGIN):
                self._check_halves(pair, {name: options.get(name) for name in pair}, ours)
        return options

    def _check_halves(
        self, pair: t.Sequence[str], options: t.Mapping[str, t.Any], own: t.Container[str]
    ) -> None:
        """Check that the task gives no half of a login whose other half is of another default."""
        given = [name for name in pair if options[name] is not None]
        ours = [name for name in given if name in own]
        if len(given) != len(pair) or len(ours) != 1:
            return
        half = ours[0]
        defaults = {name: options[name] for name in pair if name != half}
        names = map_names(self.spec)
        # Only now: a template may ask a store of secrets.
        for name, value in find_defaults(self._task, self.module).items():
            if names.get(name) == half:
                defaults[half] = decrypt(self._templar.template(value))
        check_halves(Place("the task", {half: options[half]}), Place("module_defaults", defaults))

    def _failed(self, message: str) -> dict[str, t.Any]:
        text = self._secrets.redact(f"{self.module}: {message}")
        return {**self._result, "failed": True, "msg": text}

    def keep_secret(self, secret: str) -> None:
        """Let neither ansible-core, where it can mask, nor an error of this action show it."""
        register_secret(secret)
        self._secrets.add(secret)

    def warn(self, warning: str) -> None:
        """Show a warning, a sentence without its full stop."""
        Display().warning(self._secrets.redact(f"{self.module}: {warning}."))

    def run_module(
        self, arguments: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Run the module with ``arguments`` and the task's options as they are written there."""
        of_the_task = {
            name: value for name, value in self.arguments.items() if name not in self.answered_here
        }
        # ansible-core 2.22 writes into the file of an asynchronous task what it does not know yet.
        for secret in list_secret_values(self.spec, arguments):
            self.keep_secret(secret)
        result: dict[str, t.Any] = self._execute_module(
            module_args={**of_the_task, **arguments},
            task_vars=task_vars,
            wrap_async=self._task.async_val,
        )
        return self._without_secrets(result) if result.get("failed") else result

    def _without_secrets(self, result: dict[str, t.Any]) -> dict[str, t.Any]:
        redacted = dict(zip(result, self._secrets.redact(list(result.values())), strict=True))
        if redacted != result:
            # Since ansible-core 2.19 the module's error is in it too, and is shown first.
            redacted.pop("exception", None)
            return redacted
        return result


class LoginsAction(SesAction):
    """Derives on the controller; the module gets the logins with their passwords, never a key."""

    _supports_async = True
    _supports_diff = True

    def read_request(self, options: t.Mapping[str, t.Any]) -> Requested:
        """Return what ``options``, with canonical names, request. Raises SesSmtpError."""
        raise NotImplementedError

    def answer(
        self, options: t.Mapping[str, t.Any], task_vars: dict[str, t.Any] | None
    ) -> dict[str, t.Any]:
        """Return the module's result."""
        requested = self.read_request(options)
        for warning in requested.warnings:
            self.warn(warning)
        for password in requested.passwords:
            self.keep_secret(password)
        return self.run_module({"password": pack(self.module, requested.content)}, task_vars)
