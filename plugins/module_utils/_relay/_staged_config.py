# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The files of the configuration as they are after each phase of a plan, made beside the old ones."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._files._secret_file import make_backup_name
from ._phases import ConfigChange

if t.TYPE_CHECKING:
    from .._files._safe_path import SafePath
    from .._postfix._config_file import MasterCf
    from .._postfix._main_cf import MainCf
    from ._phases import TransactionPlan

__all__ = ["ConfigFiles", "StagedConfig", "stage_config"]


class ConfigFiles(t.NamedTuple):
    """The files of the configuration that a relay may change."""

    main_cf: MainCf
    master_cf: MasterCf


@dataclass
class StagedConfig:
    """What is to be renamed, by the number of the phase and of the file in it.

    `main_cf` is the last of them, None if it does not change.
    """

    renames: dict[tuple[int, int], list[tuple[str, str]]] = field(default_factory=dict)
    backups: list[str] = field(default_factory=list)
    contents: dict[str, list[bytes | None]] = field(default_factory=dict, repr=False)
    main_cf: SafePath | None = None

    def list_contents(self, name: str) -> list[bytes | None]:
        """What a file will be after each of the phases that change it."""
        return self.contents.get(name, [])


def stage_config(plan: TransactionPlan, files: ConfigFiles) -> StagedConfig:
    """Make the files of each phase, each from the one before.

    Raises PostfixError, and SecretFileError if a backup's name is in use.
    """
    staged = StagedConfig()
    by_name = {file.name: file for file in files}
    services: bytes | None = None
    for number, phase in enumerate(plan.phases):
        for position, change in enumerate(phase.files):
            if not isinstance(change, ConfigChange):
                continue
            file = by_name[change.name]
            contents = staged.contents.setdefault(change.name, [])
            if not contents:
                file.staging.create()
            if file is files.main_cf:
                path = _stage_main_cf(files.main_cf, change, staged.main_cf, services)
                staged.main_cf = path
            else:
                services = change.content or b""
                path = file.stage_content(services)
            contents.append(path.read())
            renames: list[tuple[str, str]] = []
            if change.backup:
                copy = file.staging.write_like(file.read() or b"", file.path)
                renames.append((copy, make_backup_name(file.path)))
                staged.backups.append(renames[0][1])
            staged.renames[number, position] = [*renames, (path, file.path)]
    return staged


def _stage_main_cf(
    main_cf: MainCf, change: ConfigChange, basis: SafePath | None, services: bytes | None
) -> SafePath:
    if change.content is not None:
        return main_cf.stage_content(change.content, services)
    values = {setting.name: setting.after for setting in change.settings}
    return main_cf.stage(values, basis, services)
