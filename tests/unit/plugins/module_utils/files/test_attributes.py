# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._files._attributes import SameAttributes

if t.TYPE_CHECKING:
    from pathlib import Path


class Module:
    """What this needs of AnsibleModule; its options say nothing about files."""

    params: t.ClassVar[dict[str, t.Any]] = {"path": None}
    check_mode = False

    def fail_json(self) -> None:
        raise AssertionError

    def selinux_enabled(self) -> bool:
        return False

    def load_file_common_arguments(self, params: dict[str, t.Any], path: str) -> dict[str, t.Any]:
        assert params == self.params
        return {"path": path, "mode": None}

    def set_fs_attributes_if_different(
        self, arguments: dict[str, t.Any], changed: bool, expand: bool
    ) -> bool:
        assert arguments["mode"] is None
        assert not expand
        return changed


def test_a_new_file_gets_what_the_old_one_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _file, *owner: owners.append(owner))
    attributes = SameAttributes(t.cast("t.Any", Module()))
    staged, target = tmp_path / "staged", tmp_path / "target"
    staged.touch(0o600)
    attributes.give(str(staged), str(target))
    assert (stat.S_IMODE(staged.stat().st_mode), owners) == (0o600, [])
    target.touch()
    target.chmod(0o640)
    assert not attributes.differ(str(target))
    attributes.repair(str(target))
    attributes.give(str(staged), str(target))
    assert stat.S_IMODE(staged.stat().st_mode) == 0o640
    assert owners == [(os.getuid(), os.stat(target).st_gid)]
