# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with a Postfix instance and a password map, and postfix_sasl_passwd run in this process."""

from __future__ import annotations

import os
import stat
import subprocess
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.modules import postfix_sasl_passwd

from ..running.payloads import entries_payload
from .module_in_process import ModuleInProcess

if t.TYPE_CHECKING:
    from pathlib import Path

KEY = "[smtp.example]:587"
OTHER = "[other.example]:587"
SECRET = "Sesame/+1"
TYPES = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb", "texthash": ""}
COMPILED = [name for name, suffix in TYPES.items() if suffix]
NOTHING: dict[str, t.Any] = {
    "changed": False,
    "entries_added": [],
    "entries_changed": [],
    "entries_removed": [],
    "compiled": False,
    "reload_needed": False,
}


def present(key: str = KEY, password: str = SECRET, **also: t.Any) -> dict[str, t.Any]:
    return {"key": key, "username": "user", "password": password, "present": True, **also}


def absent(key: str = KEY) -> dict[str, t.Any]:
    return {"key": key, "present": False}


class Host:
    """A Postfix instance with a map, and the module."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.source = folder / "sasl_passwd"
        self._module = ModuleInProcess(monkeypatch, capsys)
        self.warnings = self._module.warnings
        main_cf = folder / "main.cf"
        main_cf.write_text("compatibility_level = 3.6\ndefault_database_type = hash\n")
        os.utime(main_cf, (0, 0))  # Postfix waits for a file that has just been written

    def run(
        self, *entries: dict[str, t.Any], check: bool = False, **options: t.Any
    ) -> dict[str, t.Any]:
        """The module's result; no password is in any of its output."""
        options = {"config_directory": str(self.folder), **options}
        options.setdefault("password", entries_payload(*entries))
        self.warnings.clear()
        return self._module.run(postfix_sasl_passwd.main, options, [SECRET], check=check, diff=True)

    def failure(self, *entries: dict[str, t.Any], **options: t.Any) -> str:
        before = self.everything()
        result = self.run(*entries, **options)
        assert result["failed"]
        assert self.everything() == before
        return str(result["msg"])

    def look_up(self, key: str, table_type: str) -> str | None:
        run = ["postmap", "-c", str(self.folder), "-q", key, f"{table_type}:{self.source}"]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        return done.stdout.rstrip("\n") or None

    def table(self, table_type: str) -> Path:
        return self.source.with_name(self.source.name + TYPES[table_type])

    def everything(self) -> dict[str, tuple[t.Any, ...]]:
        """All that a run could change, except the lock."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if not path.name.endswith(".lock"):
                status = path.lstat()
                content = path.read_bytes() if path.is_file() else None
                found[str(path)] = (
                    status.st_ino,
                    status.st_mode,
                    status.st_uid,
                    status.st_mtime_ns,
                    content,
                )
        return found


def picked(result: dict[str, t.Any]) -> dict[str, t.Any]:
    return {name: result[name] for name in NOTHING}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)
