# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""master.cf of a Postfix instance: its services, and the settings that each has of its own.

It is read without postconf, which takes `-oNAME=VALUE` apart at the next "o" in it. Postfix's daemons
read their options with getopt(3), so for them it is the same as `-o NAME=VALUE`.
"""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field, replace

from .._files._secret_file import read_if_there
from ._expansion import expand_all
from ._lines import split_logical_lines

if t.TYPE_CHECKING:
    from ._programs import Postfix

__all__ = ["Override", "Service", "parse_services", "read_overrides", "read_services", "split_line"]

_FIELDS = 8
# After an option without a value, like -v, too.
_OPTION = re.compile(r"-[A-Za-z]{0,20}?o(.*)", re.DOTALL)


@dataclass(frozen=True)
class Override:
    """A parameter that master.cf sets for one service; `line` counts from 1.

    `is_joined` says that it is in the form -oNAME=VALUE.
    """

    service: str
    name: str
    value: str
    line: int
    is_joined: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Service:
    """A line of master.cf: `program` is the daemon, `chroot` the letter in that column.

    `overrides` has the service's own settings by name. Of equal names the last one counts.
    """

    name: str
    type: str
    line: int
    program: str
    chroot: str = "-"
    overrides: t.Mapping[str, Override] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Its name for postconf -P and -M."""
        return f"{self.name}/{self.type}"


class _Word(t.NamedTuple):
    text: str
    line: int


def read_services(
    postfix: Postfix, directory: str, content: bytes | None = None
) -> dict[str, Service]:
    """The services of the instance in `directory`, by name/type, with all parameters expanded.

    `content` is that of another master.cf. Asks postconf only if a service has a parameter in a
    setting of its own. Raises PostfixError.
    """
    if content is None:
        content = read_if_there(os.path.join(directory, "master.cf")) or b""
    services = parse_services(os.fsdecode(content))
    values = {
        (path, name): override.value
        for path, service in services.items()
        for name, override in service.overrides.items()
        if "$" in override.value
    }
    if not values:
        return services
    own = {
        path: {name: one.value for name, one in service.overrides.items()}
        for path, service in services.items()
    }
    expanded = expand_all(postfix, {key: (value, own[key[0]]) for key, value in values.items()})
    for (path, name), value in expanded.items():
        service = services[path]
        changed = replace(service.overrides[name], value=value)
        services[path] = replace(service, overrides={**service.overrides, name: changed})
    return services


def read_overrides(postfix: Postfix, directory: str, names: t.Collection[str]) -> list[Override]:
    """Where master.cf sets one of these parameters for a service, expanded. Raises PostfixError."""
    return [
        override
        for service in read_services(postfix, directory).values()
        for name, override in service.overrides.items()
        if name in names
    ]


def parse_services(content: str) -> dict[str, Service]:
    """The services in the text of master.cf, by name/type. Of equal ones the last counts.

    Source: master_ent.c, readlline.c. A line that is no service is left out: master(8) would not
    start with it.
    """
    services = {}
    for text, first in split_logical_lines(content):
        words = list(_words(text, first))
        if len(words) < _FIELDS:
            continue
        name, type_name, chroot, program = (words[number].text for number in (0, 1, 4, 7))
        path = f"{name}/{type_name}"
        own = {each.name: each for each in _overrides(path, words[_FIELDS:])}
        services[path] = Service(name, type_name, first, program, chroot, own)
    return services


def split_line(text: str) -> list[str]:
    """The words of a logical line of master.cf, without the braces around one. Comments are none."""
    return [
        word.text for logical, first in split_logical_lines(text) for word in _words(logical, first)
    ]


def _words(text: str, first: int) -> t.Iterator[_Word]:
    """The words of a logical line. Braces around one hold it together, and are left out."""
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        start = position
        if text[start] == "{":
            position = _after_brace(text, start)
            word = text[start + 1 : position].rstrip()[:-1].strip()
        else:
            while position < len(text) and not text[position].isspace():
                position += 1
            word = text[start:position]
        yield _Word(word, first + text.count("\n", 0, start))


def _after_brace(text: str, start: int) -> int:
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
    return len(text)


def _overrides(path: str, words: t.Sequence[_Word]) -> t.Iterator[Override]:
    """The options -o among a daemon's arguments. The first that is no option ends them."""
    rest = iter(words)
    for word in rest:
        if not word.text.startswith("-"):
            return
        match = _OPTION.match(word.text)
        if not match:
            continue
        setting = _Word(match.group(1), word.line) if match.group(1) else next(rest, word)
        name, equals, value = setting.text.partition("=")
        if equals:
            is_joined = bool(match.group(1))
            yield Override(path, name.strip(), " ".join(value.split()), setting.line, is_joined)
