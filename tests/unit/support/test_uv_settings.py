# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What uv is told of pip's settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.tooling.uv_settings import (
    list_pip_files,
    read_pip_settings,
    translate,
)

LIKE_PIP = translate({})
FILE = """
[global]
timeout = 7
extra-index-url =
    file:///one
    file:///two
[install]
timeout = 8
"""


@pytest.fixture(name="file")
def fixture_file(tmp_path: Path) -> Path:
    """A file of settings."""
    path = tmp_path / "pip.conf"
    path.write_text(FILE)
    return path


def test_a_command_s_settings_win_over_those_of_all_and_a_variable_over_both(file: Path) -> None:
    missing = file.with_name("missing")
    assert read_pip_settings({}, [missing, file])["timeout"] == "8"
    variables = {"PIP_TIMEOUT": "9", "PIP_INDEX_URL": "file:///x", "PIP_PRE": "", "OTHER": "x"}
    settings = read_pip_settings(variables, [file])
    assert settings == {
        "timeout": "9",
        "extra-index-url": "\nfile:///one\nfile:///two",
        "index-url": "file:///x",
    }


def test_pip_s_files_are_known(file: Path) -> None:
    """The one that a variable names is the last, and there is a name that means none."""
    everybody, *_some, last = list_pip_files({"PIP_CONFIG_FILE": str(file)})
    assert everybody.is_absolute()
    assert last == file
    assert Path("/x/pip/pip.conf") in list_pip_files({"XDG_CONFIG_HOME": "/x"})
    assert list_pip_files({"PIP_CONFIG_FILE": os.devnull}) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("extra-index-url", "\nfile:///one\nfile:///two", {"UV_INDEX": "file:///one file:///two"}),
        ("find-links", "/one  /two", {"UV_FIND_LINKS": "/one,/two"}),
        (
            "index-url",
            "https://u:p@x.example/simple",
            {"UV_DEFAULT_INDEX": "https://u:p@x.example/simple"},
        ),
        ("cert", "/with a blank/ca.pem", {"SSL_CERT_FILE": "/with a blank/ca.pem"}),
        ("pre", "true", {"UV_PRERELEASE": "allow"}),
        ("pre", "no", {}),
        ("quiet", "2", {}),
        ("no-index", "0", {}),
    ],
)
def test_what_uv_has_a_word_for(name: str, value: str, said: dict[str, str]) -> None:
    assert LIKE_PIP is not None
    assert translate({name: value}) == {**LIKE_PIP, **said}


@pytest.mark.parametrize(
    ("name", "value"),
    [("no-index", "1"), ("keyring-provider", "import"), ("find-links", "/a,b"), ("new", "x")],
)
def test_pip_installs_with_what_uv_has_no_word_for(name: str, value: str) -> None:
    assert translate({name: value}) is None
