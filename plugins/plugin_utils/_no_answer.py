# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Why a managed host gave no answer: the real reason in a result that failed. Pure, no Ansible."""

from __future__ import annotations

import re
import typing as t

from ..module_utils._ses._redaction import redact_message
from ._host_answer import read_message

__all__ = ("NoAnswer", "find_reason", "read_no_answer", "show_no_answer")

#: What ansible-core says when the host printed something else than a module's answer.
_NOTHING_SAID = (
    "No start of json char found",
    "MODULE FAILURE",
    "The module failed to execute correctly",
    "The module interpreter",
)
_OF_BECOME = ">>> Standard Error"
# Only this much of what a host printed is looked at.
_READ = 16 * 1024
_TRACEBACK = "Traceback (most recent call last):"
_OF_ANSIBLE = re.compile(r"(?:(?:Task failed|Action failed|mailops\.ses\.\w+): )+")
_OF_SHELL = re.compile(r"(?:/\S+/)?(?:a|ba|da|k|z)?sh: (?:(?:line )?\d+: )?")
# These programs name themselves, and quote no file that has secrets.
_PROGRAM = re.compile(
    r"(?:/\S+/)?(?:sudo|su|doas|dzdo|pfexec|pbrun|env|pyenv|python[\d.]*|(?:a|ba|da|k|z)?sh): "
)


class NoAnswer(t.NamedTuple):
    """That a host gave no answer: ``state`` is unreachable or failed."""

    state: str
    reason: str


def show_no_answer(result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a result that does not fail, for the ``result`` of a task that did.

    It has ``no_answer``, and what ansible-core itself wants to know.
    """
    state = "unreachable" if result.get("unreachable") else "failed"
    kept = {name: result[name] for name in ("ansible_facts", "warnings") if name in result}
    answer = NoAnswer(state, find_reason(result))
    return {**kept, "changed": False, "no_answer": answer._asdict()}


def read_no_answer(result: t.Any) -> NoAnswer | None:
    """Return why the host of a registered ``result`` gave no answer, None if it gave one."""
    if not isinstance(result, dict):
        return None
    shown = result.get("no_answer")
    if isinstance(shown, dict):
        state = "unreachable" if shown.get("state") == "unreachable" else "failed"
        return NoAnswer(state, read_message(shown.get("reason")))
    for state in ("unreachable", "failed"):
        if result.get(state):
            return NoAnswer(state, find_reason(result))
    return None


def find_reason(result: t.Mapping[str, t.Any]) -> str:
    """Return the reason in a result that failed, in one line that can be shown.

    Where ansible-core says only that there was no answer, the reason is what the host printed.
    """
    message = result.get("msg")
    if not isinstance(message, str):
        return read_message(message)
    message = message[:_READ]
    text, of_become, printed = message.partition(_OF_BECOME)
    if of_become and printed.strip():
        return _show_printed(printed, result)
    if any(each in text for each in _NOTHING_SAID):
        for name in ("module_stderr", "module_stdout"):
            printed = result.get(name) or ""
            if isinstance(printed, str) and printed.strip():
                return _show_printed(printed, result)
    return read_message(_OF_ANSIBLE.sub("", text.strip(), count=1))


def _show_printed(printed: str, result: t.Mapping[str, t.Any]) -> str:
    lines = [line.strip() for line in printed[:_READ].splitlines() if line.strip()]
    for line in lines:
        if _PROGRAM.match(line):
            return read_message(_OF_SHELL.sub("", line, count=1))
    status = result.get("rc")
    end = f" (exit status {status})" if isinstance(status, int) else ""
    if _TRACEBACK in lines:
        return f"the module crashed{end}: {read_message(redact_message(lines[-1]))}"
    return f"the host did not run the module{end}: {read_message(redact_message(lines[0]))}"
