# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What an action plugin hands over to its module: one JSON text, the value of a secret option.

It is one secret value, because AnsibleModule looks for each secret value in each string of the
result, which would make 10,000 of them slow. It says its format version and the module that it is
for, so that a module notices if its action plugin did not run, or is not the one of this version.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import sys
import typing as t

__all__ = ["FORMAT_VERSION", "PayloadError", "pack", "unpack"]

#: To be increased with each change of a type that is handed over.
FORMAT_VERSION = 1

_Content = t.TypeVar("_Content")
_Reader = t.Callable[[t.Any], t.Any]

_PLAIN: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "str | None": (str, type(None)),
}
_TUPLE = re.compile(r"tuple\[(\w+), \.\.\.\]")
_DICT = re.compile(r"dict\[str, (\w+)\]")


class PayloadError(Exception):
    """What a module got is not what its action plugin hands over. The message shows no part of it."""


class _Mismatch(Exception):
    """`place` is where in the content, by our names and numbers alone."""

    def __init__(self, problem: str, place: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.place = place


def pack(module: str, content: object) -> str:
    """`content` as the payload for a module.

    `module` is its full name. `content` is a dataclass with fields of type str, int, bool,
    str | None, a dataclass like it, a tuple of them, or a dict of them.
    """
    payload = {"module": module, "version": FORMAT_VERSION, "content": content}
    return json.dumps(payload, default=_fields)


def unpack(module: str, payload: str | None, content: type[_Content]) -> _Content:
    """The content, of this type, that the action plugin of `module` has packed.

    Raises PayloadError if `payload` is anything else.
    """
    # Raised where nothing is being handled: the cause of an error would show the payload.
    problem = None
    try:
        return t.cast("_Content", _reader(t.cast("t.Any", content))(_content(module, payload)))
    except _Mismatch as mismatch:
        place = mismatch.place.lstrip(".") or "the payload"
        problem = f"{place} {mismatch.problem}"
    raise PayloadError(
        f"this module does not run without its action plugin, and that plugin did not make what the"
        f" module got ({problem}). Call the module as {module}. If you do, either another plugin"
        " takes the place of that action plugin, or this is a bug in the collection: please report"
        " it. Nothing was changed"
    )


def _content(module: str, payload: str | None) -> t.Any:
    if not payload:
        raise _Mismatch("is missing")
    try:
        read = json.loads(payload)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or read.keys() != {"module", "version", "content"}:
        raise _Mismatch("is not one of this collection")
    if read["module"] != module:
        raise _Mismatch("is for another module")
    if read["version"] != FORMAT_VERSION:
        raise _Mismatch("has another format version")
    return read["content"]


def _fields(value: t.Any) -> dict[str, t.Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


@functools.lru_cache(maxsize=None)
def _reader(content: type) -> _Reader:
    """What makes an instance of a dataclass of what JSON has in its place."""
    readers = {
        field.name: _reader_of(str(field.type), content) for field in dataclasses.fields(content)
    }

    def read(raw: t.Any) -> t.Any:
        if not isinstance(raw, dict):
            raise _Mismatch("has the wrong type")
        if raw.keys() != readers.keys():
            raise _Mismatch("has missing or unknown fields")
        values = {
            name: _read_part(reader, raw[name], f".{name}") for name, reader in readers.items()
        }
        try:
            return content(**values)
        except ValueError:
            raise _Mismatch("has a malformed value") from None

    return read


def _reader_of(annotation: str, content: type) -> _Reader:
    """What reads a field with this annotation, which names types of the module of `content`."""
    if annotation in _PLAIN:
        return functools.partial(_read_plain, _PLAIN[annotation])
    names = vars(sys.modules[content.__module__])
    for pattern, read in ((_TUPLE, _read_tuple), (_DICT, _read_dict)):
        found = pattern.fullmatch(annotation)
        if found:
            return functools.partial(read, _reader(names[found.group(1)]))
    return _reader(names[annotation])


def _read_plain(types: t.Container[type], raw: t.Any) -> t.Any:
    if type(raw) not in types:
        raise _Mismatch("has the wrong type")
    return raw


def _read_tuple(reader: _Reader, raw: t.Any) -> t.Any:
    if not isinstance(raw, list):
        raise _Mismatch("has the wrong type")
    return tuple(_read_part(reader, item, f"[{number}]") for number, item in enumerate(raw))


def _read_dict(reader: _Reader, raw: t.Any) -> t.Any:
    if not isinstance(raw, dict):
        raise _Mismatch("has the wrong type")
    # The number, because a key may be a secret.
    return {key: _read_part(reader, raw[key], f"[{number}]") for number, key in enumerate(raw)}


def _read_part(reader: _Reader, raw: t.Any, place: str) -> t.Any:
    try:
        return reader(raw)
    except _Mismatch as mismatch:
        raise _Mismatch(mismatch.problem, f"{place}{mismatch.place}") from None
