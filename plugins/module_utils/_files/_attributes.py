# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Owner, group, mode and SELinux context of files, as the options of ansible-core have them."""

from __future__ import annotations

import contextlib
import grp
import os
import stat
import typing as t

from ._rights import check_can_give
from ._safe_path import SecretFileError
from ._safe_walk import resolve_path
from ._secret_mode import (
    lets_others_in,
    list_trusted_ids,
    parse_mode,
)

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

    def refuse_open_mode(self, paths: t.Iterable[str], mail_owner: t.Callable[[], str]) -> None:
        """Raise SecretFileError if these files with passwords would be open to others.

        `paths` are real ones, of files that may not be there yet; `mail_owner` gives Postfix's own
        user. What postfix_relay_info calls open is refused, and owners that only root can give.
        Changes nothing.
        """
        check_can_give(str(self._module.params["owner"]), str(self._module.params["group"]))
        group = self._group()
        for path in paths:
            modes = [mode for mode in self._modes(path) if lets_others_in(mode, group, path, {0})]
            # Only now: most modes let nobody in, and to ask Postfix takes time.
            groups = list_trusted_ids(mail_owner())[1] if modes else ()
            if any(lets_others_in(mode, group, path, groups) for mode in modes):
                given = self._module.params
                raise SecretFileError(
                    f"mode is {given['mode']!r}, so that with group {given['group']!r} others than"
                    f" root and Postfix could read or change the passwords in {path}. Write mode:"
                    " '0600', or mode: '0640' with group: postfix. Nothing was changed"
                )

    def repair(self, path: str, second: str | None = None) -> None:
        """Give an active file what it lacks; `second` is another name of the same file."""
        self._set(second or path, path)

    def give(self, staged: str, target: str) -> None:
        """Give a staged file what its target is to have.

        Where the options don't say it, that is the SELinux context of the file that it replaces,
        or the policy's default for the target, as atomic_move() of ansible-core has it.
        """
        module = self._module
        if module.selinux_enabled():
            there = resolve_path(target).stat() is not None
            known = module.selinux_context(_anchor(target)) if there else None
            context = known or module.selinux_default_context(target)
            module.set_context_if_different(_anchor(staged), context, False)
        self._set(staged, target)

    def _group(self) -> int | None:
        """The ID of the group that the task gives; None if there is none of this name."""
        name = str(self._module.params["group"])
        try:
            return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
        except KeyError:
            return None

    def _modes(self, path: str) -> t.Iterator[int]:
        """The modes that a file may get: a symbolic one depends on that of the file now."""
        given = parse_mode(self._module.params["mode"])
        if isinstance(given, int):
            yield given
            return
        now = [0o600]  # of what we have made ourselves
        found = resolve_path(path).stat()
        if found:
            now.append(stat.S_IMODE(found.st_mode))
        for mode in now:
            status = os.stat_result([stat.S_IFREG | mode, *[0] * 9])
            try:
                # The same that set_mode_if_different() calls.
                yield self._module._symbolic_mode_to_octal(status, given)
            except ValueError as exc:
                raise SecretFileError(
                    f"mode: {exc}. Write mode: '0600'. Nothing was changed"
                ) from None

    def _set(self, path: str, target: str) -> bool:
        arguments = self._module.load_file_common_arguments(self._module.params, path=target)
        # Through the directory's descriptor: ansible-core works with paths.
        arguments["path"] = _anchor(path)
        with self._errors_name(path):
            return bool(self._module.set_fs_attributes_if_different(arguments, False, expand=False))

    @contextlib.contextmanager
    def _errors_name(self, path: str) -> t.Iterator[None]:
        """Have ansible-core's errors name a file by its real path."""
        fail = self._module.fail_json

        def fail_with_path(*args: t.Any, **result: t.Any) -> None:
            fail(*args, **{**result, "path": str(path)})

        vars(self._module)["fail_json"] = fail_with_path
        try:
            yield
        finally:
            del vars(self._module)["fail_json"]


class SameAttributes(FileAttributes):
    """The files keep what they have; the module has none of those options."""

    def differ(self, path: str) -> bool:
        """Whatever it is, it stays."""
        return False

    def refuse_open_mode(self, paths: t.Iterable[str], mail_owner: t.Callable[[], str]) -> None:
        """No mode is given."""

    def give(self, staged: str, target: str) -> None:
        """Give a staged file what the file has that it replaces; a new one is for us alone."""
        super().give(staged, target)
        status = resolve_path(target).stat()
        if status:
            descriptor = resolve_path(staged).open(os.O_RDONLY)
            try:
                os.fchown(descriptor, status.st_uid, status.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
            finally:
                os.close(descriptor)


def _anchor(path: str) -> str:
    return resolve_path(path).anchored
