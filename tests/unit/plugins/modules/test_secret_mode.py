# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which modes the modules refuse for files with passwords, and that these are those of the audit."""

from __future__ import annotations

import grp
import os
import stat
import typing as t
from types import SimpleNamespace

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailops.ses.plugins.module_utils._files._attributes import (
    FileAttributes,
    SameAttributes,
)
from ansible_collections.mailops.ses.plugins.module_utils._files._safe_path import (
    SecretFileError,
)
from ansible_collections.mailops.ses.plugins.module_utils._files._secret_mode import (
    lets_others_in,
    list_trusted_ids,
    parse_mode,
)
from ansible_collections.mailops.ses.plugins.module_utils._findings._map_facts import open_file

if t.TYPE_CHECKING:
    from pathlib import Path

OWN, OTHER = "root", "nogroup" if os.path.exists("/etc/debian_version") else "nobody"
#: mode; whether it is open with root's group, and with another one
MODES = [
    ("0600", False, False),
    ("600", False, False),
    ("0o600", False, False),
    ("0400", False, False),
    ("0000", False, False),
    ("0200", False, False),
    ("1600", False, False),
    ("4600", False, False),
    ("0610", False, False),
    ("0601", False, False),
    ("0640", False, True),
    ("0660", False, True),
    ("0620", False, True),
    ("0644", True, True),
    ("0604", True, True),
    ("0602", True, True),
    ("0666", True, True),
    ("0777", True, True),
    (0o600, False, False),
    (0o400, False, False),
    (0o640, False, True),
    (0o644, True, True),
    ("u=rw,g=,o=", False, False),
    ("u=rw,go=", False, False),
    ("u=rw,g=r,o=", False, True),
    ("g+r", False, True),
    ("o+r", True, True),
    ("a+r", True, True),
    ("u=rw,go=u", True, True),
]
NOT_OCTAL = [
    600,
    640,
    400,
    440,
    644,
    660,
    700,
    777,
    0,
    0o200,
    0o602,
    0o620,
    0o1600,
    0o604,
    -1,
    10**6,
]
NO_MODE = [
    (True, "must be a string, not bool"),
    (600.0, "must be a string, not float"),
    (None, "must be a string"),
    ("", "neither an octal number nor symbolic"),
    ("384", "neither an octal number nor symbolic"),
    ("rw-------", "bad symbolic permission"),
    ("preserve", "neither an octal number nor symbolic"),
    ("u=q", "bad symbolic permission"),
    ("10600", "is no mode of a file"),
    ("-600", "is no mode of a file"),
]


class Module:
    """What this needs of AnsibleModule."""

    _symbolic_mode_to_octal = AnsibleModule._symbolic_mode_to_octal

    def __init__(self, mode: object, group: object = OWN) -> None:
        self.params = {"mode": mode, "owner": str(os.geteuid()), "group": group}


def refusal(path: Path, mode: object, group: object = OWN) -> str | None:
    attributes = FileAttributes(t.cast("t.Any", Module(mode, group)))
    try:
        attributes.refuse_open_mode([str(path)], lambda: "root")
    except SecretFileError as exc:
        return str(exc)
    return None


@pytest.fixture(name="path")
def fixture_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in a directory that everybody can enter."""
    real = os.stat

    def passable(path: t.Any, **kwargs: t.Any) -> os.stat_result:
        status = real(path, **kwargs)
        if not stat.S_ISDIR(status.st_mode):
            return status
        return os.stat_result([status.st_mode | 0o001, *tuple(status)[1:10]])

    monkeypatch.setattr(os, "stat", passable)
    path = tmp_path / "sasl_passwd"
    path.write_text("k u:p\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(("mode", "open_of_own", "open_of_other"), MODES)
def test_modes(path: Path, mode: object, open_of_own: bool, open_of_other: bool) -> None:
    for group, is_open in (
        (OWN, open_of_own),
        (OTHER, open_of_other),
        ("no such group", open_of_other),
    ):
        said = refusal(path, mode, group)
        assert bool(said) is is_open, (group, said)
        if said:
            assert f"mode is {mode!r}, so that with group {group!r} others" in said
            assert "Write mode: '0600'" in said
            assert "Nothing was changed" in said
    assert bool(refusal(path, mode, str(grp.getgrnam(OTHER).gr_gid))) is open_of_other


@pytest.mark.root
@pytest.mark.parametrize(("mode", "open_of_own", "open_of_other"), MODES)
def test_the_audit_agrees(path: Path, mode: object, open_of_own: bool, open_of_other: bool) -> None:
    for group, is_open in ((OWN, open_of_own), (OTHER, open_of_other)):
        given = parse_mode(mode)
        if isinstance(given, str):
            continue
        os.chown(path, 0, grp.getgrnam(group).gr_gid)
        path.chmod(given)
        assert bool(open_file(str(path), "source", "root")) is is_open


@pytest.mark.parametrize("mode", NOT_OCTAL)
def test_a_number_that_is_no_octal_mode(path: Path, mode: int) -> None:
    said = refusal(path, mode) or ""
    assert f"mode is the number {mode}" in said
    assert "Write it in quotes" in said
    assert "Nothing was changed" in said


@pytest.mark.parametrize(("mode", "says"), NO_MODE)
def test_what_is_no_mode(path: Path, mode: object, says: str) -> None:
    said = refusal(path, mode) or ""
    assert says in said
    assert "Nothing was changed" in said


def test_a_symbolic_mode_depends_on_the_present_file(path: Path) -> None:
    assert refusal(path, "u+r") is None
    path.chmod(0o644)
    assert "u+r" in (refusal(path, "u+r") or "")
    assert refusal(path, "go-r") is None
    path.unlink()
    assert refusal(path, "u+r") is None


def test_a_directory_above_may_keep_others_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "sasl_passwd"
    assert not lets_others_in(0o666, 12345, str(path), {0})
    assert refusal(path, "0644") is None
    tmp_path.chmod(0o710)
    group = tmp_path.stat().st_gid
    assert not lets_others_in(0o666, group + 1, str(path), ())


def test_postfix_is_asked_only_if_that_matters(path: Path) -> None:
    def asked() -> str:
        raise AssertionError

    FileAttributes(t.cast("t.Any", Module("0640"))).refuse_open_mode([str(path)], asked)
    with pytest.raises(AssertionError):
        FileAttributes(t.cast("t.Any", Module("0644"))).refuse_open_mode([str(path)], asked)
    SameAttributes(t.cast("t.Any", Module("0644"))).refuse_open_mode([str(path)], asked)


def test_without_postfixs_own_user_only_root_is_trusted() -> None:
    assert list_trusted_ids("no such user") == ({0}, {0})


def test_a_group_whose_name_looks_like_a_number() -> None:
    """Python calls the digit of an exponent a digit, and int() doesn't."""
    attributes = FileAttributes(t.cast("AnsibleModule", SimpleNamespace(params={"group": "²"})))
    assert attributes._group() is None
