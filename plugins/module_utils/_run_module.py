# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What Postfix's modules have around their work: errors in words for the operator."""

from __future__ import annotations

import os
import typing as t

from ._files._rights import with_remedy
from ._files._secret_file import SecretFileError
from ._payload import PayloadError
from ._postfix._map_entry import PasswordMapError
from ._postfix._programs import PostfixError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

__all__ = ["run_module"]


def run_module(
    module: AnsibleModule,
    run: t.Callable[[AnsibleModule], dict[str, t.Any]],
    answered: t.Container[str],
) -> None:
    """Exit with the result of `run`, or with the reason why there is none.

    `answered` has the options that were answered on the controller: what the module has in their
    place is not reported.
    """
    invocation = {
        "module_args": {
            name: value for name, value in module.params.items() if name not in answered
        }
    }
    warn = module.warn
    # For a part of the run, this is the only way to say something.
    vars(module)["warn"] = lambda message: warn(_printable(message))
    try:
        result = run(module)
    except (PasswordMapError, PayloadError, PostfixError, SecretFileError) as exc:
        module.fail_json(msg=_printable(with_remedy(str(exc))), invocation=invocation)
    except OSError as exc:
        reason = os.strerror(exc.errno) if exc.errno else exc.__class__.__name__
        message = with_remedy(f"{exc.filename or 'Postfix'}: {reason}")
        module.fail_json(msg=_printable(message), invocation=invocation)
    module.exit_json(invocation=invocation, **_printable(result))


def _printable(value: t.Any) -> t.Any:
    """A result without bytes that are not UTF-8, which ansible-core refuses: they may be in main.cf."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {_printable(name): _printable(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(each) for each in value]
    return value
