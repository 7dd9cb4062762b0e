# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is this commit fit for a release? Version, changelog and tag agree, and the archive is reproducible.

``make release-check`` runs it as a program in a staged copy, with the tags of the commit as
arguments, if it has any. It builds the collection twice, from two copies, and compares the archives.
With ``--rehearse`` instead, and antsibull-changelog on the path, it shows that the changelog of a
release renders.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import typing as t
from pathlib import Path

import yaml
from ansible_collections.mailops.ses.tests.tooling import staging

_SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)\Z")
#: What stands in a manifest for the checksum of FILES.json, which varies with the order in that file.
_ANY = "any"


def version_problems(root: Path, tags: t.Sequence[str] = ()) -> list[str]:
    """What is wrong with the version, whose one place is galaxy.yml.

    Between releases it is the coming one, which no changelog has yet. From the commit on that is
    to be the release, the changelog's newest release has it and no fragment is left; its tag is the
    version, with or without a ``v``.
    """
    version = str(_read(root / "galaxy.yml")["version"])
    if not _as_numbers(version):
        return [f"galaxy.yml: version {version} is not of the form X.Y.Z"]
    released = _read(root / "changelogs" / "changelog.yaml")["releases"] or {}
    newest = max(released, key=_as_numbers, default=None)
    problems = []
    if newest and _as_numbers(version) < _as_numbers(newest):
        problems.append(f"galaxy.yml: version {version} is older than the changelog's {newest}")
    if version == newest or tags:
        problems += _unreleased_parts(root, version, newest)
    if tags and not {version, f"v{version}"} & set(tags):
        problems.append(f"the tag is {' and '.join(tags)}, the version in galaxy.yml {version}")
    return problems


def _unreleased_parts(root: Path, version: str, newest: str | None) -> t.Iterator[str]:
    if newest != version:
        yield f"changelogs/changelog.yaml has no release {version}: run antsibull-changelog release"
    fragments = sorted(path.name for path in (root / "changelogs" / "fragments").glob("[!.]*"))
    if fragments:
        yield f"changelogs/fragments: {', '.join(fragments)} would be in no release"
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8") if changelog.is_file() else ""
    if f"## v{version}" not in text.replace("\\", ""):
        yield f"CHANGELOG.md has no chapter v{version}: run antsibull-changelog generate"


def _read(path: Path) -> dict[str, t.Any]:
    content: dict[str, t.Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _as_numbers(version: str) -> tuple[int, ...]:
    match = _SEMANTIC.match(version)
    return tuple(map(int, match.groups())) if match else ()


def contents(archive: Path) -> dict[str, t.Any]:
    """What is in an archive, by name, without what the way it is built forces to vary.

    ansible-galaxy writes the time of the build (gzip's header, the two JSON files) and the time
    stamps of the files, and takes files in the order in which the file system lists them. So the
    order in FILES.json, and its checksum in MANIFEST.json, may differ between two machines.
    """
    found: dict[str, t.Any] = {}
    with tarfile.open(archive) as stream:
        for member in stream:
            raw = stream.extractfile(member) if member.isfile() else None
            content: t.Any = raw.read() if raw else member.linkname
            if member.name == "FILES.json":
                content = json.loads(content)
                content["files"].sort(key=lambda entry: entry["name"])
            elif member.name == "MANIFEST.json":
                content = json.loads(content)
                content["file_manifest_file"]["chksum_sha256"] = _ANY
            owner = (member.uid, member.gid, member.uname, member.gname)
            found[member.name] = (member.type, oct(member.mode), owner, content)
    return found


def differences(one: Path, other: Path) -> list[str]:
    """The names of what differs between two archives."""
    ours, theirs = contents(one), contents(other)
    return sorted(
        name for name in {*ours, *theirs} if name not in ours or ours[name] != theirs.get(name)
    )


def build(checkout: Path, folder: Path) -> Path:
    """Build the collection from a fresh copy of ``checkout`` below ``folder``."""
    root = staging.stage(folder, checkout)
    command = ["ansible-galaxy", "collection", "build", "--output-path", str(folder)]
    subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE)
    (built,) = folder.glob("*.tar.gz")
    return built


def rehearse(root: Path) -> list[str]:
    """Make the changelog of this version in a copy; what would be wrong with a release then."""
    with tempfile.TemporaryDirectory() as folder:
        copy = staging.stage(Path(folder), root)
        version = str(_read(copy / "galaxy.yml")["version"])
        released = _read(copy / "changelogs" / "changelog.yaml")["releases"] or {}
        command = ["antsibull-changelog", "generate" if version in released else "release"]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": folder}
        subprocess.run(command, cwd=copy, check=True, env=environment)
        notes = (copy / "CHANGELOG.md").read_text(encoding="utf-8")
        sys.stdout.write(f"CHANGELOG.md of {version}: {len(notes.splitlines())} lines\n")
        return version_problems(copy, [version])


def main(root: Path, tags: t.Sequence[str]) -> int:
    """Check, and say what is wrong; the exit status."""
    if tags == ["--rehearse"]:
        found = rehearse(root)
        sys.stdout.write("".join(f"{said}\n" for said in found))
        return 1 if found else 0
    problems = version_problems(root, tags)
    with tempfile.TemporaryDirectory() as folder:
        archives = [build(root, Path(folder, name)) for name in ("one", "other")]
        number = len(contents(archives[0]))
        problems += [f"{name} differs between two builds" for name in differences(*archives)]
        name = archives[0].name
    state = f"tagged {' and '.join(tags)}" if tags else "not tagged"
    said = problems or [f"{name}: two builds have the same {number} members; {state}"]
    sys.stdout.write("\n".join(said) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path.cwd(), sys.argv[1:]))
