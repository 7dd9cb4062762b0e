# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands and the playbook of the guide to the stand-in for SES, against the program that they start."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.examples import guides
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

GUIDE = "guide_trying"
COLLECTION = guides.FOLDER.parents[2]


@pytest.fixture(name="cli")
def fixture_cli(tmp_path: Path) -> AnsibleCli:
    """Ansible in a folder that has what the page uses of a checkout."""
    cli = AnsibleCli(tmp_path / "checkout")
    (cli.folder / "tests").symlink_to(COLLECTION / "tests")
    return cli


@pytest.fixture(name="stand_in")
def fixture_stand_in(cli: AnsibleCli) -> t.Iterator[Path]:
    """What the stand-in prints, started as the page says."""
    start = guides.commands(GUIDE)[2]
    program, *arguments = shlex.split(start)
    assert program == ".venv/bin/python"
    printed = cli.folder / "printed"
    with printed.open("wb") as output:
        process = subprocess.Popen([sys.executable, *arguments], cwd=cli.folder, stdout=output)
    try:
        assert comes_true(lambda: "Ctrl-C" in printed.read_text("utf-8"))
        yield printed
    finally:
        process.terminate()
        process.wait()


def test_the_page(cli: AnsibleCli, stand_in: Path) -> None:
    """All its commands, what they say, and what the stand-in prints of them."""
    venv, install, _start, play, send = guides.commands(GUIDE)
    assert venv == "python3 -m venv .venv"
    pinned = "".join(path.read_text() for path in (COLLECTION / "tests/requirements").glob("*.txt"))
    packages = install.removeprefix(".venv/bin/pip install ").split()
    assert all(re.search(rf"^{name}==", pinned, re.MULTILINE) for name in packages)

    (playbook,) = guides.blocks(GUIDE, "yaml+jinja")
    cli.write("try.yml", playbook)
    assert "failed=0" in cli.checked(*shlex.split(play))
    wrong = playbook.replace("EXAMPLEKEY", "EXAMPLEKEy")
    cli.write("try.yml", wrong)
    refused = cli.run(*shlex.split(play))
    assert refused.returncode != 0
    assert "535 Authentication Credentials Invalid" in refused.stdout

    message, rejection = guides.blocks(GUIDE, "text")
    cli.write("message.txt", message)
    curl = ["curl", "--verbose", *shlex.split(send)[1:]]
    subprocess.run(curl, cwd=cli.folder, check=True)
    curl[curl.index("sender@example.com")] = "sender@example.net"
    assert subprocess.run(curl, cwd=cli.folder, check=False).returncode != 0
    assert comes_true(lambda: stand_in.read_text("utf-8").count("\nSession ") == 4)
    said = stand_in.read_text("utf-8")
    assert "identities  example.com" in said
    assert "< 250 Ok 0102" in said
    assert f"< {rejection.strip()}" in said


def test_every_option_is_on_the_page() -> None:
    command = [sys.executable, "-m", "tests.support.ses", "--help"]
    done = subprocess.run(command, cwd=COLLECTION, capture_output=True, text=True, check=True)
    options = set(re.findall(r"--[a-z-]+", done.stdout)) - {"--help"}
    assert options == {
        option for option in re.findall(r"--[a-z-]+", guides.text(GUIDE)) if option in options
    }
