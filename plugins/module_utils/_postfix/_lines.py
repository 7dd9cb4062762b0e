# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The lines of main.cf and master.cf, as Postfix joins them. Source: readlline.c."""

from __future__ import annotations

import re
import typing as t

__all__ = ["find_setting_lines", "split_logical_lines"]

_SETTING = re.compile(r"(\w[\w-]*)\s*=")


def split_logical_lines(content: str) -> t.Iterator[tuple[str, int]]:
    """Each line with those that continue it, and its number. Comments are empty, but count."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(content.split("\n"), 1):
        kept = "" if line.lstrip().startswith("#") else line
        if kept.strip() and not kept[0].isspace():
            if parts:
                yield "".join(parts), first
            parts, first = [], number
        if first:
            parts.append(f"{kept}\n")
    if parts:
        yield "".join(parts), first


def find_setting_lines(content: str) -> dict[str, int]:
    """The numbers of the lines with main.cf's settings, by name. Of equal names the last counts."""
    found = {}
    for text, number in split_logical_lines(content):
        match = _SETTING.match(text)
        if match:
            found[match.group(1)] = number
    return found
