# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What two killed runs leave is told apart by all that the next run can see, and by nothing else."""

from __future__ import annotations

import hashlib
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.postfix.left_behind import Seen, left_behind


def make(folder: Path, name: str = "0123456789abcdef") -> Path:
    """A folder as a run may leave it; ``name`` is that of a staged file."""
    (folder / "staging").mkdir(parents=True)
    source = folder / "source"
    source.write_text(f"in {folder}")
    (folder / "staging" / name).write_text("staged")
    (folder / "link").symlink_to(source)
    (folder / "record").write_text(hashlib.sha256(source.read_bytes()).hexdigest())
    for path in (source, folder / "source.db"):
        path.touch()
        os.utime(path, (1, 1))
    return folder


def seen_in(folder: Path) -> tuple[str, ...]:
    return left_behind(folder, {str(folder): "FOLDER"})


def test_the_same_but_for_the_place_times_and_random_names(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one"), make(tmp_path / "the other", "fedcba9876543210")
    for path in (other / "source", other / "source.db"):
        os.utime(path, (2, 2))
    assert seen_in(one) == seen_in(other)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "source").write_text("else"),
        lambda folder: (folder / "source").chmod(0o600),
        lambda folder: (folder / "staging").chmod(0o700),
        lambda folder: (folder / "source").unlink(),
        lambda folder: (folder / "empty").touch(),
        lambda folder: (folder / "source").rename(folder / "renamed"),
        lambda folder: os.link(folder / "source", folder / "staging" / "second name"),
        lambda folder: os.utime(folder / "source", (3, 3)),
        lambda folder: (folder / "record").write_text("0" * 64),
        lambda folder: [(folder / "link").unlink(), (folder / "link").symlink_to("elsewhere")],
    ],
)
def test_every_difference_that_counts(tmp_path: Path, change: t.Callable[[Path], object]) -> None:
    folder = make(tmp_path / "folder")
    before = seen_in(folder)
    change(folder)
    assert seen_in(folder) != before


def test_a_thing_is_new_once_of_its_kind() -> None:
    seen = Seen()
    assert [seen.is_new("left", "a"), seen.is_new("left", "a"), seen.is_new("left", "b")] == [
        *(True, False, True)
    ]
    assert seen.is_new("finished", "a")
    assert seen.count("left") == 2
