# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Where a report comes from: the inventory, and the command, without any value that may be secret."""

from __future__ import annotations

import os
import shlex
import typing as t

__all__ = ("describe_origin",)

#: What ansible-core calls them, and how they are written. Whatever is not here is not shown.
_SWITCHES = {
    "become": "--become",
    "become_ask_pass": "--ask-become-pass",
    "ask_pass": "--ask-pass",
    "ask_vault_pass": "--ask-vault-pass",
    "check": "--check",
}
_WITH_VALUES = {"inventory": "--inventory", "subset": "--limit"}
#: Only the command ansible-playbook has this one.
_OF_PLAYBOOK = "start_at_task"


def describe_origin(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the ``command`` and the names of the ``inventories``, from the command's ``options``.

    ``options`` are ansible-core's own (context.CLIARGS). Of extra variables it shows that there are
    some, and neither names nor values. The command is null if it was not ansible-playbook.
    """
    inventories = [str(each) for each in options.get("inventory") or ()]
    return {
        "command": _command(options) if _OF_PLAYBOOK in options else None,
        "inventories": [_name(each) for each in inventories],
    }


def _name(inventory: str) -> str:
    """The name of a file or a folder; a list of hosts stays."""
    return inventory if "," in inventory else os.path.basename(inventory.rstrip("/")) or inventory


def _command(options: t.Mapping[str, t.Any]) -> str:
    words = ["ansible-playbook"]
    words += [switch for name, switch in _SWITCHES.items() if options.get(name)]
    for name, switch in _WITH_VALUES.items():
        values = options.get(name) or ()
        for value in [values] if isinstance(values, str) else values:
            words += [switch, shlex.quote(str(value))]
    words += [shlex.quote(str(playbook)) for playbook in options.get("args") or ()]
    if options.get("extra_vars"):
        words.append("--extra-vars ...")
    return " ".join(words)
