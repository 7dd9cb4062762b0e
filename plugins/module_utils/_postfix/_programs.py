# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What a Postfix lookup table is, and making, listing and asking one with Postfix's programs.

Nothing that postmap prints is passed on: its warnings hold whole lines of the map.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import struct
import time
import typing as t
from dataclasses import dataclass

from .._files._safe_path import (
    Directory,
    SafePath,
    SecretFileError,
)
from .._files._secret_file import read_if_there
from .._ses._redaction import (
    is_harmless,
    redact_entry,
)

__all__ = [
    "TABLE_TYPES",
    "Postfix",
    "PostfixError",
    "PostfixSettings",
    "TableType",
    "find_reason",
    "is_older",
    "list_cdb",
]

_NO_BERKELEY_DB = (
    "Berkeley DB comes with Debian's and Ubuntu's postfix and as postfix-bdb on SUSE; RHEL 10 and"
    " Alpine have dropped it: use lmdb there"
)

# A look-up's answers must fit into the pipe that they come through, because run_command() writes
# all of standard input before it reads. A pipe takes 64 KiB.
_ANSWER_BYTES = 32 * 1024

# $0 is the number of bytes, $1 that of seconds. `head` ends the pipe, and with it the program. The
# last line says that the output is complete. Every usual system has timeout(1).
_BOUNDED = """
if command -v timeout >/dev/null 2>&1; then set -- timeout "$@"; else shift; fi
{ "$@"; echo "exit status $?"; } | head -c "$0"
"""
_COMPLETE = b"exit status 0\n"
_STATUS = re.compile(rb"exit status \d+\n\Z")

# Where an instance is whose directory the task does not give: of most systems, and of FreeBSD.
_USUAL_DIRECTORIES = ("/etc/postfix", "/usr/local/etc/postfix")

# A file that a message is about.
_FILE = re.compile(r"(?:^|\s)(/[^\s:,]{1,200})(?:, line (\d{1,6}))?:")
# What a message of Postfix's says, and in which words it is said here. Sources: mail_conf_*.c,
# own_inet_addr.c, inet_addr_local.c, inet_proto.c, mail_params.c, dict.c, readlline.c.
_NAME = r"([a-z][a-z0-9_]{1,60})"
_CAUSES = [
    (re.compile(pattern.replace("NAME", _NAME)), words)
    for pattern, words in (
        (r"(?:config variable|parameter) NAME: host not found", "{0}: host not found"),
        (r"parameter NAME: no local interface found", "{0}: no local interface found"),
        (
            r"could not find any active network interface",
            "this host has no active network interface",
        ),
        (r"bad string length 0 < 1: NAME =", "{0} is empty"),
        (r"bad string length \d+ [<>] \d+: NAME =", "{0} has the wrong length"),
        (r"bad (?:boolean|numerical) configuration: NAME =", "{0} has a bad value"),
        (r"invalid NAME(?: parameter)? value", "{0} has a bad value"),
        (r"parameter NAME: bad ", "{0} has a bad value"),
        (r"parameter NAME: unknown (user|group) name", "{0} names an unknown {1}"),
        (r"parameter NAME: (user|group) \S+ has privileged", "{0} names a privileged {1}"),
        (r"malformed compatibility level", "compatibility_level has a bad value"),
        (r"NAME: missing '}' in", "{0} has an unclosed brace"),
        (r"truncated macro reference", "a value has an unclosed brace or parenthesis"),
        (r"unknown NAME value", "{0} has an unknown value"),
        (r'unreasonable macro call nesting: "NAME"', "the value of {0} contains {0} itself"),
        (r"missing '=' after attribute name", "missing '='"),
        (r"unsupported dictionary type", "unsupported dictionary type"),
    )
]
_ERRNO_TEXTS = frozenset(os.strerror(number) for number in errno.errorcode)


class PostfixError(Exception):
    """What Postfix's programs can't do, in words for the operator; never holds a password."""


@dataclass(frozen=True)
class TableType:
    """A type of lookup table. `suffix` is empty where the source itself is the table."""

    name: str
    suffix: str
    package: str = ""


# DATABASE_README; dbm and sdbm, which make two files for each table, are left out.
TABLE_TYPES = {
    table_type.name: table_type
    for table_type in (
        TableType("hash", ".db", _NO_BERKELEY_DB),
        TableType("btree", ".db", _NO_BERKELEY_DB),
        TableType("lmdb", ".lmdb", "on most systems the package postfix-lmdb brings it"),
        TableType("cdb", ".cdb", "on most systems the package postfix-cdb brings it"),
        TableType("texthash", "", "it has been a part of Postfix since 2.8"),
    )
}


@dataclass(frozen=True)
class PostfixSettings:
    """What matters here of an instance's main.cf. `utf8` is `smtputf8_enable`."""

    default_type: str
    config_directory: str
    utf8: bool


if t.TYPE_CHECKING:

    class Programs(t.Protocol):
        """What this needs of AnsibleModule."""

        def get_bin_path(self, arg: str) -> str | None:
            """Where a program is, None if it is nowhere."""

        def run_command(self, args: list[str], **kwargs: t.Any) -> tuple[int, bytes, bytes]:
            """Exit status, standard output and standard error."""


class Postfix:
    """The programs of one Postfix instance."""

    def __init__(self, programs: Programs, config_directory: str | Directory | None = None) -> None:
        self._programs = programs
        self.config_directory = config_directory if isinstance(config_directory, str) else None
        # Keeps its descriptor open, which the programs inherit.
        self._directory = None if isinstance(config_directory, str) else config_directory
        path = self._directory.anchor() if self._directory else config_directory
        self._instance = ["-c", str(path)] if path else []
        self._looked = self._directory is not None
        self._types: frozenset[str] | None = None

    def at(self, config_directory: str | Directory) -> Postfix:
        """The same programs for another configuration directory."""
        return Postfix(self._programs, config_directory)

    def read_settings(self) -> PostfixSettings:
        """Read what matters of main.cf, in one call, because most runs do nothing else."""
        names = ["default_database_type", "config_directory", "smtputf8_enable"]
        code, out, err = self.run("postconf", "-hx", *names)
        values = os.fsdecode(out).split("\n")
        if code or len(values) < len(names):
            raise PostfixError(f"postconf can't read Postfix's settings: {find_reason(code, err)}")
        return PostfixSettings(values[0], values[1], values[2] == "yes")

    def list_types(self) -> frozenset[str]:
        """The types of lookup tables that this Postfix has. Asks once."""
        if self._types is None:
            code, out, err = self.run("postconf", "-m")
            if code:
                raise PostfixError(f"postconf can't list the table types: {find_reason(code, err)}")
            self._types = frozenset(out.decode(errors="replace").split())
        return self._types

    def check_type(self, table_type: TableType) -> None:
        """Raise PostfixError if this Postfix does not have the type."""
        types = self.list_types()
        if table_type.name not in types:
            known = [name for name in TABLE_TYPES if name in types]
            raise PostfixError(
                f"this Postfix has no lookup tables of type {table_type.name}, it has"
                f" {', '.join(known) or 'none that can be used here'} (postconf -m)."
                f" For {table_type.name}: {table_type.package}"
            )

    def list_table(self, table_type: TableType, path: str) -> set[bytes] | None:
        """The lines (key, tab, value) of the table of the map `path`; None if it can't be read."""
        if table_type.name == "cdb":
            # Postfix can't list this type.
            try:
                table = path + table_type.suffix
                if isinstance(path, SafePath):
                    table = path.get_beside(path.name + table_type.suffix)
                return list_cdb(read_if_there(table) or b"")
            except (OSError, ValueError, SecretFileError):
                return None
        code, out, _err = self.run(
            "postmap", "-s", _table(table_type, path), pass_fds=_inherited(path)
        )
        if code:
            return None
        lines = set(out.split(b"\n"))
        lines.discard(b"")
        return lines

    def compile(self, table_type: TableType, path: str) -> str:
        """Make the table of the map `path`; returns the table's path."""
        code, _out, err = self.run("postmap", _table(table_type, path), pass_fds=_inherited(path))
        if code:
            raise PostfixError(
                f"postmap can't make a table of type {table_type.name} in"
                f" {os.path.dirname(path)}: {find_reason(code, err)}"
            )
        if isinstance(path, SafePath):
            return path.get_beside(path.name + table_type.suffix)
        return path + table_type.suffix

    def verify(
        self, table_type: TableType, path: str, expected: t.Mapping[bytes, bytes | None]
    ) -> None:
        """Look up keys in the table of the map `path`, as Postfix will.

        `expected` has the value for each key, None for what must not be found. The keys go
        through standard input, for postmap to take as they are. Raises PostfixError, because
        postmap's exit status is 0 for lines that it skips.
        """
        if not table_type.suffix:
            # dict_thash.c reads a file again and again until its last change is seconds ago.
            _touch(path, (0, 0))
        for batch in _batches(expected):
            data = b"".join(key + b"\n" for key in batch)
            code, out, err = self.run(
                "postmap",
                "-q",
                "-",
                _table(table_type, path),
                data=data,
                binary_data=True,
                pass_fds=_inherited(path),
            )
            found = dict(line.split(b"\t", 1) for line in out.split(b"\n") if b"\t" in line)
            for key in batch:
                value = expected[key]
                if found.get(key) != value:
                    what = "does not have" if value is not None else "still has"
                    why = f"made in {os.path.dirname(path)} without an error; is the disk full?"
                    if b"fatal" in err:
                        why = find_reason(code, err)
                    raise PostfixError(
                        f"the new table {what} the entry"
                        f" {redact_entry(_text(key), _text(value)).key!r} as it should ({why});"
                        " the active table stays"
                    )
        if not table_type.suffix:
            _touch(path, None)

    def run(self, program: str, *args: str, **kwargs: t.Any) -> tuple[int, bytes, bytes]:
        """Run one of the programs for this instance; returns exit status, output and errors.

        Raises PostfixError if it can't be run.
        """
        return self._run(self._command(program, *args), **kwargs)

    def run_helper(self, path: str, *args: str) -> tuple[int, bytes, bytes]:
        """Run a program of the distribution's, which is told nothing about the instance."""
        return self._run([path, *args])

    def run_bounded(self, most: int, seconds: int, program: str, *args: str) -> tuple[bytes, bool]:
        """Run one of the programs for a limited time; returns the beginning of its output.

        The program is ended after so many seconds, or when it has written so many bytes. The second
        value says that the program ended by itself, without an error, and that this is all it wrote.
        """
        command = self._command(program, *args)
        bounds = [str(most), str(seconds)]
        code, out, _err = self._run(["/bin/sh", "-c", _BOUNDED, *bounds, *command])
        return _STATUS.sub(b"", out), code == 0 and out.endswith(_COMPLETE)

    def _command(self, program: str, *args: str) -> list[str]:
        path = self._programs.get_bin_path(program)
        if path is None:
            raise PostfixError(f"Postfix's program {program} was not found. Is Postfix installed?")
        if not self._looked:
            for directory in self._instance[1:] or _USUAL_DIRECTORIES:
                _refuse_what_never_ends(directory)
            self._looked = True
        return [path, *self._instance, *args]

    def _run(
        self, command: list[str], pass_fds: t.Sequence[int] = (), **kwargs: t.Any
    ) -> tuple[int, bytes, bytes]:
        inherited = [*pass_fds, *([self._directory.descriptor] if self._directory else [])]
        if inherited:
            kwargs["pass_fds"] = inherited
        try:
            return self._programs.run_command(
                command,
                encoding=None,
                expand_user_and_vars=False,
                handle_exceptions=False,
                **kwargs,
            )
        except OSError as exc:
            raise PostfixError(f"{command[0]} can't be run: {_strerror(exc)}") from None


def is_older(table: os.stat_result, source: os.stat_result) -> bool:
    """Whether a table is older than its source.

    A time that is still to come tells nothing, and no new table would be newer: the clock was set
    back, or the source comes from another machine.
    """
    return table.st_mtime_ns < source.st_mtime_ns <= time.time_ns()


def list_cdb(table: bytes) -> set[bytes]:
    """The lines (key, tab, value) of a cdb file, as `postmap -s` lists other types.

    The format is D. J. Bernstein's: 256 pairs of position and slots, the records, the hash
    tables. Raises ValueError if this is not such a file.
    """
    try:
        pointers = struct.unpack_from("<512I", table)
        end = min(pointers[::2])
        lines = set()
        position = 2048
        while position < end:
            key_length, value_length = struct.unpack_from("<2I", table, position)
            start = position + 8
            position = start + key_length + value_length
            key = table[start : start + key_length]
            value = table[start + key_length : position]
            lines.add(key.rstrip(b"\0") + b"\t" + value.rstrip(b"\0"))
    except struct.error:
        raise ValueError("not a cdb file") from None
    slots_end = max(start + 8 * slots for start, slots in zip(pointers[::2], pointers[1::2]))
    if position != end or slots_end != len(table):
        raise ValueError("a damaged cdb file")
    return lines


def _refuse_what_never_ends(directory: str) -> None:
    """Raise PostfixError if Postfix's programs would wait for a FIFO, or read a device for ever."""
    for name in ("main.cf", "master.cf"):
        path = os.path.join(directory, name)
        with contextlib.suppress(OSError):  # which the programs report
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise PostfixError(
                    f"{path} is not a regular file, so that Postfix's programs would wait for it, or"
                    " read it for ever. Look at it and replace it by a file of root's. Nothing was"
                    " changed"
                )


def _table(table_type: TableType, path: str) -> str:
    """The table of a map, as an argument of postmap."""
    return f"{table_type.name}:{path.anchored if isinstance(path, SafePath) else path}"


def _inherited(path: str) -> list[int]:
    return path.descriptors if isinstance(path, SafePath) else []


def _touch(path: str, times: tuple[int, int] | None) -> None:
    if isinstance(path, SafePath):
        os.utime(path.name, times, dir_fd=path.directory.descriptor)
    else:
        os.utime(path, times)


def _batches(expected: t.Mapping[bytes, bytes | None]) -> t.Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for key, value in expected.items():
        answer = len(key) + len(value or b"") + 2
        if batch and size + answer > _ANSWER_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(key)
        size += answer
    if batch:
        yield batch


def find_reason(code: int, err: bytes) -> str:
    """Why a program failed, from the parts of its messages that can't hold a password."""
    if code < 0:
        return f"it was ended by signal {-code}"
    parts = [_cause(line) for line in err.decode(errors="replace").splitlines()]
    return ", ".join([f"exit status {code}", *dict.fromkeys(filter(None, parts))])


def _cause(line: str) -> str:
    """What a line says of a file, a parameter and an error; nothing else of it, which may be secret."""
    last = line.rpartition(": ")[2]
    what = [last] if last in _ERRNO_TEXTS else []
    fatal, separator, text = line.partition("fatal: ")
    for pattern, words in _CAUSES:
        match = pattern.search(text if separator else fatal)
        if match and not what:
            what = [words.format(*match.groups())]
    file = _FILE.search(text)
    if file:
        name, number = file.groups()
        # A copy that is being made.
        name = os.path.basename(name) if name.startswith("/proc/") else name
        where = [name] if name == "main.cf" or is_harmless(name) else []
        where += [f"line {number}"] if number else []
        what = [", ".join(where), *what]
    return ": ".join(filter(None, what))


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="backslashreplace")


def _strerror(exc: OSError) -> str:
    return os.strerror(exc.errno) if exc.errno else type(exc).__name__
