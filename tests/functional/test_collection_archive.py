# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The archive that ansible-galaxy builds: what is in it, and that it works where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.every_minor

NEEDED_TO_RUN = {"meta", "playbooks", "plugins", "roles"}
PUBLIC_FOLDERS = {*NEEDED_TO_RUN, "LICENSES", "changelogs", "docs", "tests"}
NEVER = (
    "__pycache__",
    ".pyc",
    ".ansible/",
    ".cache",
    ".nox",
    ".venv",
    ".coverage",
    ".git/",
    "tests/output/",
)
PLAYBOOK = """\
- hosts: localhost
  gather_facts: false
  vars:
    secret: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
    expected: BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9
  tasks:
    - mailops.ses.ses_smtp_credentials:
        access_key: AKIAIOSFODNN7EXAMPLE
        secret_key: "{{ secret }}"
        region: us-east-1
      register: credentials
    - ansible.builtin.assert:
        that:
          - secret | mailops.ses.ses_smtp_password('us-east-1') == expected
          - credentials.password == expected
"""


def run(*command: str, cwd: Path, collections: Path | None = None) -> str:
    """Run a program of ansible-core that sees no collection but those in ``collections``."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["ANSIBLE_COLLECTIONS_PATH"] = str(collections or cwd)
    done = subprocess.run(
        command, cwd=cwd, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, collections_path: Path) -> Path:
    """The archive, built from a copy of the collection that is littered as a checkout may be."""
    folder = tmp_path_factory.mktemp("archive")
    source = folder / "source"
    checkout = collections_path / "ansible_collections" / "mailops" / "ses"
    subprocess.run(["cp", "-R", str(checkout), str(source)], check=True)
    for litter in (
        ".ansible/roles/x",
        ".cache/pytest/README.md",
        ".coverage",
        ".hypothesis/unicode_data/x",
        ".mypy_cache/x.json",
        ".nox/lint/bin/python",
        ".pytest_cache/README.md",
        ".ruff_cache/x",
        ".venv/bin/python",
        "build/unit/x",
        "mailops-ses-0.0.1.tar.gz",
        "plugins/filter/__pycache__/x.cpython-313.pyc",
        "tests/output/x",
    ):
        (source / litter).parent.mkdir(parents=True, exist_ok=True)
        (source / litter).write_text("litter")
    run("ansible-galaxy", "collection", "build", "--output-path", str(folder), cwd=source)
    (built,) = folder.glob("mailops-ses-*.tar.gz")
    return built


def test_it_holds_the_collection_and_no_litter(archive: Path, collections_path: Path) -> None:
    """What git lists is in it, and what tools leave behind is not."""
    with tarfile.open(archive) as stream:
        names = {member.name for member in stream if member.isfile()}
    checkout = collections_path / "ansible_collections" / "mailops" / "ses"
    plugins = {str(path.relative_to(checkout)) for path in checkout.glob("plugins/*/*.py")}
    assert plugins
    assert plugins | {"LICENSE", "README.md", "meta/runtime.yml"} <= names
    assert not [name for name in names if any(part in f"/{name}" for part in NEVER)]
    assert {name.split("/")[0] for name in names if "/" in name} <= PUBLIC_FOLDERS
    with tarfile.open(archive) as stream:
        assert not [member.name for member in stream if _content(stream, member) == b"litter"]


def _content(stream: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | None:
    extracted = stream.extractfile(member)
    return extracted.read(16) if extracted else None


def test_it_works_where_it_is_installed(archive: Path, tmp_path: Path) -> None:
    """In an empty path, without what is not needed to run: documentation, plugins and a playbook."""
    target = tmp_path / "collections"
    install = ("ansible-galaxy", "collection", "install", "--offline", "-p", str(target))
    run(*install, str(archive), cwd=tmp_path)
    listing = json.loads(
        run(
            "ansible-galaxy",
            "collection",
            "list",
            "--format",
            "json",
            cwd=tmp_path,
            collections=target,
        )
    )
    assert "mailops.ses" in listing[str(target / "ansible_collections")]
    for path in (target / "ansible_collections" / "mailops" / "ses").iterdir():
        if path.name not in NEEDED_TO_RUN:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    documented = run(
        "ansible-doc", "-t", "filter", "-l", "mailops.ses", cwd=tmp_path, collections=target
    )
    assert "mailops.ses.ses_smtp_password" in documented
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    said = run("ansible-playbook", "play.yml", cwd=tmp_path, collections=target)
    assert "failed=0" in said
    # A host that can answer nothing, and is reported as such.
    host = "here ansible_connection=local ansible_python_interpreter=/no/such/python\n"
    (tmp_path / "inventory").write_text(host, encoding="ascii")
    files = ("-i", "inventory", "-e", "audit_html=audit.html", "-e", "audit_json=audit.json")
    said = run("ansible-playbook", "mailops.ses.audit", *files, cwd=tmp_path, collections=target)
    assert "1 host, 1 without an answer." in said
    summary = json.loads((tmp_path / "audit.json").read_text())["summary"]
    assert (summary["hosts"], summary["failed"]) == (1, 1)
    assert "</html>" in (tmp_path / "audit.html").read_text()
