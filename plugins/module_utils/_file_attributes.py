# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Owner, group, mode and SELinux context of files, as the options of ansible-core have them."""

from __future__ import annotations

import os
import stat
import typing as t

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

__all__ = ["FileAttributes", "SameAttributes"]


class FileAttributes:
    """What the options owner, group, mode, seuser, serole, setype and selevel of a task ask for."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def differ(self, path: str) -> bool:
        """Whether a run would change something about this file. Changes nothing."""
        check_mode = self._module.check_mode
        self._module.check_mode = True
        try:
            return self._set(path, path)
        finally:
            self._module.check_mode = check_mode

    def repair(self, path: str) -> None:
        """Give a file in force what it lacks."""
        self._set(path, path)

    def give(self, staged: str, target: str) -> None:
        """Give a staged file what its target is to have.

        Where the options don't say it, that is the SELinux context of the file that it replaces,
        or the policy's default for the target, as atomic_move() of ansible-core has it.
        """
        module = self._module
        if module.selinux_enabled():
            there = os.path.exists(target)
            known = module.selinux_context(target) if there else None
            context = known or module.selinux_default_context(target)
            module.set_context_if_different(staged, context, False)
        self._set(staged, target)

    def _set(self, path: str, target: str) -> bool:
        arguments = self._module.load_file_common_arguments(self._module.params, path=target)
        arguments["path"] = path
        return bool(self._module.set_fs_attributes_if_different(arguments, False, expand=False))


class SameAttributes(FileAttributes):
    """The files keep what they have; the module has none of those options."""

    def differ(self, path: str) -> bool:
        """Whatever it is, it stays."""
        return False

    def give(self, staged: str, target: str) -> None:
        """Give a staged file what the file has that it replaces; a new one is for us alone."""
        super().give(staged, target)
        if os.path.exists(target):
            status = os.stat(target)
            os.chown(staged, status.st_uid, status.st_gid)
            os.chmod(staged, stat.S_IMODE(status.st_mode))
