# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""main.cf of a Postfix instance, read and edited through postconf.

postconf -e works on a copy: on main.cf itself it would reset its mode and owner, replace a symbolic
link by a file, and make every setting active before anybody has looked at the whole.
"""

from __future__ import annotations

import os
import re
import typing as t

from .._files._secret_file import read_if_there
from .._ses._redaction import is_harmless
from ._config_file import ConfigFile
from ._programs import (
    Postfix,
    PostfixError,
    find_reason,
)

if t.TYPE_CHECKING:
    from .._files._safe_path import SafePath
    from .._files._safe_walk import Places

__all__ = ["MainCf", "read_settings", "split_tokens"]

# What postconf says of them, instead of printing them.
_UNUSED = re.compile("unused parameter: (.*)")


def split_tokens(value: str) -> tuple[str, ...]:
    """The parts of a list: separated by commas and white space, except inside braces.

    Source: mystrtokq(3) with CHARS_COMMA_SP and CHARS_BRACE, as maps_create() calls it.
    """
    parts: list[str] = []
    part = ""
    depth = 0
    for character in value:
        if depth == 0 and (character == "," or character.isspace()):
            parts.append(part)
            part = ""
            continue
        depth += {"{": 1, "}": -1}.get(character, 0)
        part += character
    return tuple(part for part in [*parts, part] if part)


def read_settings(
    postfix: Postfix, names: t.Sequence[str], options: t.Sequence[str] = ("-x",)
) -> dict[str, str]:
    """The values of settings, each on one line, by name; what postconf does not know is left out.

    Without names, all settings that the options select. With the option -x they are the effective
    ones with all parameters expanded, with -n those that main.cf has, as it has them. Raises
    PostfixError.
    """
    code, out, err = postfix.run("postconf", *options, *names)
    if code:
        raise PostfixError(f"postconf can't read Postfix's settings: {find_reason(code, err)}")
    lines = os.fsdecode(out).split("\n")
    if not names:
        # Those of main.cf that no other setting and no service uses, or not any more.
        lines += _UNUSED.findall(os.fsdecode(err))
    pairs = (line.partition("=") for line in lines)
    found = {name.strip(): value.strip() for name, equals, value in pairs if equals}
    return {name: found[name] for name in names if name in found} if names else found


class MainCf(ConfigFile):
    """The main.cf of the instance in `directory`."""

    def __init__(self, postfix: Postfix, directory: str, places: Places | None = None) -> None:
        super().__init__(directory, "main.cf", places)
        self._postfix = postfix

    def read(self) -> bytes:
        """Its content. Raises PostfixError if it is not there."""
        content = self.path.read()
        if content is None:
            raise PostfixError(f"{self.path} does not exist. Is Postfix installed?")
        return content

    def read_explicit(self, names: t.Sequence[str]) -> dict[str, str]:
        """The values that main.cf itself has, without expanding anything; without names, all."""
        return read_settings(self._postfix, names, ["-n"])

    def stage(
        self,
        changes: t.Mapping[str, str | None],
        basis: SafePath | None = None,
        services: bytes | None = None,
    ) -> SafePath:
        """Make its successor in the staging directory; returns the path.

        `changes` has the new values, None for what is to go. Everything else stays as it is, byte
        for byte, in main.cf or in `basis`, the path of a staged one. `services` is the master.cf
        that it is to go with, if that changes. Raises PostfixError.
        """
        content = self.read() if basis is None else basis.read() or b""
        if content and not content.endswith(b"\n"):
            # postconf would add a new setting to the last line.
            content += b"\n"
        path = self.stage_content(content, services)
        postfix = self._postfix.at(path.directory)
        settings, stand_ins = _arguments(changes)
        gone = [name for name, value in changes.items() if value is None]
        for option, arguments in (("-e", settings), ("-X", gone)):
            code, _out, err = (
                postfix.run("postconf", option, *arguments) if arguments else (0, b"", b"")
            )
            if code:
                raise PostfixError(f"postconf can't edit main.cf: {find_reason(code, err)}")
        if stand_ins:
            content = path.read() or b""
            for stand_in, value in stand_ins.items():
                content = content.replace(stand_in.encode(), os.fsencode(value))
            path = self.stage_content(content, services)
            postfix = self._postfix.at(path.directory)
        self._give_attributes(path)
        before = self._postfix if basis is None else self._postfix.at(basis.directory)
        unexpected = _other_changes(before, postfix, changes)
        if unexpected:
            self.path.refuse_changed()
            raise PostfixError(
                f"editing main.cf would change {', '.join(unexpected)} too. Look at the lines before"
                " and after"
            )
        return path

    def stage_content(self, content: bytes, services: bytes | None = None) -> SafePath:
        """Make a file with these bytes its successor in the staging directory; returns the path."""
        folder = self.staging.make_folder()
        path = self.staging.write(content, folder.get_path("main.cf"))
        self._give_attributes(path)
        # postconf knows parameters of services, and those that master.cf alone uses, only with it.
        if services is None:
            services = read_if_there(os.path.join(self.directory, "master.cf"))
        if services is not None:
            self.staging.write(services, folder.get_path("master.cf"))
        return path

    def read_staged(self, staged: SafePath, names: t.Sequence[str]) -> dict[str, str]:
        """The effective values, expanded, once the staged file is active."""
        postfix = self._postfix.at(staged.directory)
        return read_settings(postfix, names, ["-o", f"config_directory={self.directory}", "-x"])


def _arguments(changes: t.Mapping[str, str | None]) -> tuple[list[str], dict[str, str]]:
    """The settings as arguments of postconf, and the values by what stands in for them there.

    Everybody on a host can see the arguments of a program, so a password must not be in one.
    """
    arguments = []
    stand_ins = {}
    for name, value in changes.items():
        if value is None:
            continue
        argument = value
        if not is_harmless(value):
            argument = os.urandom(16).hex()
            stand_ins[argument] = value
        arguments.append(f"{name}={argument}")
    return arguments, stand_ins


def _other_changes(before: Postfix, after: Postfix, changes: t.Collection[str]) -> list[str]:
    """The settings that have changed and were not to change."""
    now, then = (read_settings(postfix, [], ["-n"]) for postfix in (before, after))
    # Always there, and different, with the option -c.
    expected = {*changes, "config_directory"}
    return sorted(name for name in {*now, *then} - expected if now.get(name) != then.get(name))
