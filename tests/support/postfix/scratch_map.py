# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A password map in a folder of its own, seen as Postfix sees it and as other users do."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import typing as t
from pathlib import Path

from ..running.payloads import entries_payload
from .scratch_postfix import program

MODULE = "postfix_sasl_passwd"
SUFFIXES = {"hash": ".db", "btree": ".db", "cdb": ".cdb", "lmdb": ".lmdb", "texthash": ""}


def requested(
    key: str, username: str = "", password: str = "", *, present: bool = True
) -> dict[str, t.Any]:
    """An entry as the action plugin hands it over."""
    return {
        "key": key,
        "username": username,
        "password": password,
        "present": present,
        "requested_by": "the task",
    }


class ScratchMap:
    """The map ``DIRECTORY/sasl_passwd``; ``DIRECTORY/etc`` is made the instance's configuration."""

    def __init__(self, directory: Path, map_type: str) -> None:
        self.directory = directory
        self.map_type = map_type
        self.path = directory / "sasl_passwd"
        self.table = Path(f"{self.path}{SUFFIXES[map_type]}")
        self.config_directory = directory / "etc"

    def make(self, source: bytes | None = None) -> ScratchMap:
        """Make the folder, and with ``source`` the map and its table, with Postfix's own postmap."""
        self.directory.mkdir(mode=0o755)
        self.config_directory.mkdir(mode=0o755)
        main_cf = f"default_database_type = {self.map_type}\nsmtputf8_enable = no\n"
        (self.config_directory / "main.cf").write_text(main_cf, encoding="ascii")
        (self.config_directory / "master.cf").touch()
        # Postfix reads a file that has just changed again and again until it is seconds old.
        os.utime(self.config_directory / "main.cf", (0, 0))
        if source is not None:
            self.path.touch(mode=0o600)
            self.path.write_bytes(source)
            if self.table != self.path:
                command = [program("postmap"), "-c", str(self.config_directory), self.name]
                subprocess.run(command, check=True, capture_output=True)
        return self

    @property
    def name(self) -> str:
        """The map as Postfix's settings name it."""
        return f"{self.map_type}:{self.path}"

    def arguments(self, *entries: dict[str, t.Any], **options: t.Any) -> dict[str, t.Any]:
        """The module's arguments for this map."""
        return {
            "path": str(self.path),
            "config_directory": str(self.config_directory),
            "map_type": self.map_type,
            "password": entries_payload(*entries),
            **options,
        }

    def look_up(self, *keys: str) -> dict[str, str]:
        """What a Postfix process that starts now finds for ``keys``, those that it finds."""
        if not self.table.exists():
            return {}  # without the second that postmap sleeps before it says so
        with tempfile.TemporaryDirectory() as folder:
            name = self.name
            if self.table == self.path:
                # For the same reason; and its time must stay as the module has set it.
                copy = Path(shutil.copyfile(self.path, Path(folder, "copy")))
                os.utime(copy, (0, 0))
                name = f"{self.map_type}:{copy}"
            done = subprocess.run(
                [program("postmap"), "-c", str(self.config_directory), "-q", "-", name],
                input="".join(f"{key}\n" for key in keys),
                capture_output=True,
                text=True,
                check=False,
                timeout=30,
            )
        return dict(
            t.cast("tuple[str, str]", line.split("\t", 1)) for line in done.stdout.splitlines()
        )

    def source(self) -> bytes | None:
        """The source as it is, None if there is none."""
        return self.path.read_bytes() if self.path.exists() else None

    def names(self) -> set[str]:
        """The files of the map: all in its folder but the configuration and the lock."""
        found = {entry.name for entry in os.scandir(self.directory)}
        return found - {"etc", f".{self.path.name}.mailops.lock"}

    def right_names(self) -> set[str]:
        """What names() is when nothing is left over."""
        return {self.path.name, self.table.name}

    def exposed(self) -> list[str]:
        """What others than root could read, or be let into, with its mode; configuration aside."""
        found = []
        for folder, folders, files in os.walk(self.directory):
            if folder == str(self.directory):
                folders.remove("etc")
            for name in [*folders, *files]:
                status = os.lstat(os.path.join(folder, name))
                if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid or status.st_gid:
                    found.append(f"{name} {stat.filemode(status.st_mode)} {status.st_uid}")
        return found

    def identities(self) -> dict[str, tuple[int, int]]:
        """Inode and time of the last change of all files, to see whether any was written."""
        return {
            path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in self.directory.iterdir()
        }
