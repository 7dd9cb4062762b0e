# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release must have, shown on a copy of what there is."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.tooling import release_check

CHAPTER = '<a id="v1-2-3"></a>\n## v1\\.2\\.3\n'


def collection(folder: Path, version: str, releases: t.Iterable[str], *fragments: str) -> Path:
    """A collection of nothing but what carries its version."""
    (folder / "changelogs" / "fragments").mkdir(parents=True)
    (folder / "galaxy.yml").write_text(f"version: {version}\n")
    text = json.dumps({"releases": {key: {} for key in releases}})
    (folder / "changelogs" / "changelog.yaml").write_text(text)
    (folder / "CHANGELOG.md").write_text(CHAPTER)
    for name in (".keep", *fragments):
        (folder / "changelogs" / "fragments" / name).write_text("---\n")
    return folder


@pytest.mark.parametrize(
    ("version", "releases", "fragments", "tags", "problem"),
    [
        ("1.2.3", [], [], [], ""),
        ("1.10.0", ["1.2.3", "1.9.0"], ["x.yml"], [], ""),
        ("1.2.3", ["1.2.3", "1.2.2"], [], [], ""),
        ("1.2.3", ["1.2.3"], [], ["1.2.3"], ""),
        ("1.2.3", ["1.2.3"], [], ["seen", "v1.2.3"], ""),
        ("1.2", [], [], [], "version 1.2 is not of the form"),
        ("1.9.0", ["1.10.0"], [], [], "1.9.0 is older than the changelog's 1.10.0"),
        ("1.2.3", ["1.2.3"], ["x.yml"], [], "x.yml would be in no release"),
        ("1.2.3", ["1.2.3"], [], ["1.2.4"], "the tag is 1.2.4"),
        ("1.2.3", ["1.2.2"], [], ["1.2.3"], "no release 1.2.3"),
        ("1.2.2", ["1.2.2"], [], [], "no chapter v1.2.2"),
    ],
)
def test_version_changelog_and_tag(  # noqa: PLR0917
    tmp_path: Path,
    version: str,
    releases: list[str],
    fragments: list[str],
    tags: list[str],
    problem: str,
) -> None:
    root = collection(tmp_path / "c", version, releases, *fragments)
    found = release_check.version_problems(root, tags)
    assert len(found) == bool(problem), found
    assert problem in "".join(found)


def archive(path: Path, members: dict[str, bytes], mtime: int, mode: int = 0o644) -> Path:
    """An archive as ansible-galaxy builds it."""
    with gzip.GzipFile(path, "wb", mtime=mtime) as raw, tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(content), mtime, mode
            tar.addfile(info, io.BytesIO(content))
    return path


def members(*names: str, checksum: str = "1") -> dict[str, bytes]:
    files = {"files": [{"name": name} for name in names]}
    manifest = {"file_manifest_file": {"chksum_sha256": checksum}}
    json_files = {"FILES.json": files, "MANIFEST.json": manifest}
    written = {name: json.dumps(content).encode() for name, content in json_files.items()}
    return {**written, **{name: name.encode() for name in names}}


def test_time_and_order_make_no_difference(tmp_path: Path) -> None:
    one = archive(tmp_path / "1.tar.gz", members("a", "b"), 1)
    other = archive(tmp_path / "2.tar.gz", members("b", "a", checksum="2"), 2)
    assert one.read_bytes() != other.read_bytes()
    assert release_check.differences(one, other) == []


def test_content_mode_and_names_make_one(tmp_path: Path) -> None:
    one = archive(tmp_path / "1.tar.gz", members("a", "b"), 1)
    changed = archive(tmp_path / "2.tar.gz", {**members("a", "b"), "b": b"B"}, 1)
    assert release_check.differences(one, changed) == ["b"]
    executable = archive(tmp_path / "3.tar.gz", members("a", "b"), 1, mode=0o755)
    assert release_check.differences(one, executable) == ["FILES.json", "MANIFEST.json", "a", "b"]
    fewer = archive(tmp_path / "4.tar.gz", members("a"), 1)
    assert release_check.differences(one, fewer) == ["FILES.json", "b"]
    assert release_check.differences(fewer, one) == ["FILES.json", "b"]
