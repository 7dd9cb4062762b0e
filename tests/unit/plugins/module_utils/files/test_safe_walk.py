# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which directories and names are warned of or refused, and how errors name them."""

from __future__ import annotations

import os
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._files import _secret_file
from ansible_collections.mailops.ses.plugins.module_utils._files._safe_walk import Places
from ansible_collections.mailops.ses.plugins.module_utils._files._secret_file import (
    SecretFileError,
    hold_lock,
)

if t.TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("mode", "is_warned_of"), [(0o775, True), (0o1775, False), (0o755, False)])
def test_a_group_that_can_exchange_files(tmp_path: Path, mode: int, is_warned_of: bool) -> None:
    """Where the directory is sticky, as /nix/store is, its group can't."""
    tmp_path.chmod(mode)
    warnings: list[str] = []
    Places(warnings.append).find(f"{tmp_path}/sasl_passwd")
    assert [str(tmp_path) in each for each in warnings] == [True] * is_warned_of


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_a_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(SecretFileError, match="no file's name can have"):
        Places().find(f"{tmp_path}/{name}")


def test_an_error_has_the_whole_path(tmp_path: Path) -> None:
    path = f"{tmp_path}/{'a' * 300}"
    with pytest.raises(OSError, match="too long") as caught:
        Places().find(path).stat()
    assert caught.value.filename == path


def test_a_lock_that_is_exchanged_for_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just before it is opened. The other file keeps its mode."""
    shared, other = tmp_path / "shared", tmp_path / "other"
    shared.mkdir()
    shared.chmod(0o775)
    other.touch()
    other.chmod(0o644)
    check = _secret_file.check_lock

    def check_and_exchange(path: str) -> None:
        check(path)
        os.link(other, shared / ".map.mailops.lock")

    monkeypatch.setattr(_secret_file, "check_lock", check_and_exchange)
    place = Places().find(f"{shared}/map")
    with pytest.raises(SecretFileError, match="is in the way"), hold_lock(place, 1):
        pass
    assert other.stat().st_mode & 0o777 == 0o644
