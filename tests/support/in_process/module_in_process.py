# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs modules in this process, from their arguments to their result."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common.parameters import PASS_VARS

from ..example_key import found_in


class ModuleInProcess:
    """What a managed host's Python does with a module; ``warnings`` has what all runs warned of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.warnings: list[str] = []
        self._patch = monkeypatch.setattr
        self._capsys = capsys

    def run(
        self,
        main: t.Callable[[], None],
        arguments: t.Mapping[str, t.Any],
        secrets: t.Iterable[str],
        *,
        check: bool = False,
        diff: bool = False,
    ) -> dict[str, t.Any]:
        """Run a module's ``main``; returns its result. None of ``secrets`` is in what it says."""
        given = {**arguments, "_ansible_check_mode": check, "_ansible_diff": diff}
        if "inject_invocation" in PASS_VARS:  # older ones always put the invocation in
            given["_ansible_inject_invocation"] = True
        payload = json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode()
        self._patch(basic, "_ANSIBLE_ARGS", payload)
        # From ansible-core 2.19 on, the way in which results are serialised.
        self._patch(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        # In a process that has loaded parts of the controller, they would not get into the result.
        self._patch(basic.AnsibleModule, "warn", lambda _self, text: self.warnings.append(text))
        with pytest.raises(SystemExit):
            main()
        out, err = self._capsys.readouterr()
        result: dict[str, t.Any] = json.loads(out)
        result.pop("_ansible_new_secrets", None)
        assert not found_in(json.dumps(result) + err, secrets)
        # Or ansible-core refuses it, after all was done (2.19 and later).
        json.dumps([result, self.warnings], ensure_ascii=False).encode("utf-8")
        return result
