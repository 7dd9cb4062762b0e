# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a module can be killed: each system call by which it, or a postmap of its, touches a folder.

strace(1) counts the calls of each name in each process, and kills before the Nth of them is done.
"""

from __future__ import annotations

import collections
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ..running.module_runner import ModuleServer, Outcome
from .scratch_postfix import SAME_ORDER, program

_CALL = re.compile(r"(?:\d+ +)?(\w+)\(")
# How often a module reads what a program prints depends on chance, so reads can't be counted. They
# change nothing: a kill before one is a kill before the next call that is not one.
_IDLE = frozenset(
    [
        "access",
        "fstat",
        "fstatfs",
        "getdents64",
        "ioctl",
        "lseek",
        "lstat",
        "mmap",
        "newfstatat",
        "pread64",
        "readlink",
        "stat",
        "statfs",
        "statx",
    ]
)
_UNCOUNTABLE = "read"
# They change what there is under a name, each at once and for everybody.
_NAMING = frozenset(
    f"{name}{end}"
    for name in ("link", "mkdir", "rename", "rmdir", "symlink", "unlink")
    for end in ("", "at", "at2")
)
#: Between two calls that change names, there is only more or less of a file that nobody reads yet.
ONE_IN = 6
_TRACED = "trace=%file,%desc"
# Stands in for postmap on the module's search path, so that strace follows one of its processes
# alone. $PPID is the module.
_POSTMAP = """\
#!/bin/sh
does=compile
case " $* " in *" -q "*) does=verify ;; *" -s "*) does=list ;; esac
[ "$does" = "$TRACED" ] || exec {postmap} "$@"
if [ -n "$WITH_MODULE" ]; then
    strace -qq -y -o {log} $STRACE {postmap} "$@"
    kill -KILL $PPID
else
    exec strace -qq -y -o {log} $STRACE {postmap} "$@"
fi
"""


class NotReachedError(Exception):
    """A run was killed elsewhere, or not at all."""


@dataclass(frozen=True)
class KillPoint:
    """Before a call: ``process`` is module, or what a postmap does: compile, verify or list.

    ``with_module``: a postmap and the module that waits for it die, as when the machine does.
    """

    process: str
    with_module: bool
    syscall: str
    ordinal: int
    call: str

    @property
    def is_idle(self) -> bool:
        """Whether the call changes nothing that outlives the process."""
        return self.syscall in _IDLE or (self.syscall == "openat" and "O_CREAT" not in self.call)


def choose(points: t.Sequence[KillPoint], one_in: int = ONE_IN) -> list[KillPoint]:
    """The points before each call that changes names, the last one, and one in ``one_in`` of the others.

    All but the first kind by process and by who dies, so that each has its share.
    """
    # A kill closes files itself, and how many there are to close depends on chance.
    countable = [point for point in points if point.syscall != "close"]
    last = {(point.process, point.with_module): point for point in countable}
    others: dict[tuple[str, bool], int] = collections.Counter()
    chosen = []
    for point in countable:
        kind = point.process, point.with_module
        if point.syscall in _NAMING or point is last[kind]:
            chosen.append(point)
        else:
            others[kind] += 1
            # The two ways to die take turns.
            if others[kind] % one_in == 1 + point.with_module * (one_in // 2):
                chosen.append(point)
    return chosen


@dataclass(frozen=True)
class Killer:
    """Runs a module that works on files in ``directory``; ``own`` is a folder for its own use.

    Programs in ``own`` stand in for those of their name.
    """

    server: ModuleServer
    directory: Path
    own: Path
    arguments: t.Mapping[str, t.Any]
    umask: int = 0
    _environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.own.mkdir(exist_ok=True)
        postmap = self.own / "postmap"
        postmap.write_text(
            _POSTMAP.format(postmap=program("postmap"), log=self.own / "postmap.log")
        )
        postmap.chmod(0o755)
        self._environment["PATH"] = f"{self.own}:/usr/sbin:/usr/bin:/sbin:/bin"
        self._environment.update(SAME_ORDER)

    def run(self) -> Outcome:
        """Run it to its end."""
        return self.server.run(
            self.arguments, umask=self.umask, environment=dict(self._environment)
        )

    def points_of(self, process: str) -> list[KillPoint]:
        """Run it, and return where ``process`` can be killed. It is the run's only one, or none."""
        if process == "module":
            done = self._traced("-e", _TRACED)
        else:
            done = self._with_postmap(process, f"-e {_TRACED}", False)
        if done.status != 0:
            raise AssertionError(done)
        ways = [False] if process == "module" else [False, True]
        return [
            KillPoint(process, way, name, ordinal, call)
            for name, ordinal, call in self._calls(process)
            for way in ways
        ]

    def kill(self, point: KillPoint) -> Outcome:
        """Run it and kill it there.

        Raises NotReachedError if chance would have it that a call of that name was made more
        often before, or less.
        """
        inject = f"inject={point.syscall}:signal=KILL:when={point.ordinal}"
        if point.process == "module":
            outcome = self._traced("-e", f"trace={point.syscall}", "-e", inject)
        else:
            options = f"-e trace={point.syscall} -e {inject}"
            outcome = self._with_postmap(point.process, options, point.with_module)
        *calls, end = self._log(point.process).read_text().splitlines()
        if "killed by SIGKILL" not in end or not self._concerns(calls[-1]):
            raise NotReachedError(f"{point}: {calls[-1:]} {end} {outcome}")
        if (point.process == "module" or point.with_module) and outcome.status != -9:
            raise AssertionError(f"{point}: the module is not dead: {outcome}")
        return outcome

    def chronicle(self) -> list[str]:
        """Run it, and return all calls of the module and its children that touch the folder."""
        done = self._traced("-f", "-e", _TRACED)
        if done.status != 0:
            raise AssertionError(done)
        return [call for _name, _ordinal, call in self._calls("module")]

    def _traced(self, *options: str) -> Outcome:
        log = ("-y", "-o", str(self._log("module")))
        return self.server.run(
            self.arguments,
            umask=self.umask,
            environment=dict(self._environment),
            strace=[*log, *options],
        )

    def _with_postmap(self, does: str, options: str, with_module: bool) -> Outcome:
        self._log(does).write_text("")
        variables = {"TRACED": does, "STRACE": options, "WITH_MODULE": "yes" if with_module else ""}
        return self.server.run(
            self.arguments, umask=self.umask, environment={**self._environment, **variables}
        )

    def _log(self, process: str) -> Path:
        return self.own / ("module.log" if process == "module" else "postmap.log")

    def _calls(self, process: str) -> t.Iterator[tuple[str, int, str]]:
        """Name, number among the calls of that name, and text, of those that touch the folder."""
        counts: dict[str, int] = collections.Counter()
        for line in self._log(process).read_text().splitlines():
            match = _CALL.match(line)
            if match and match.group(1) != _UNCOUNTABLE:
                counts[match.group(1)] += 1
                # Without what it returns, which a call before which the process is killed has not.
                if self._concerns(line.rpartition(" = ")[0] or line):
                    yield match.group(1), counts[match.group(1)], line

    def _concerns(self, call: str) -> bool:
        folder = re.escape(str(self.directory))
        # The module and its programs reach files there through a directory's descriptor, too.
        there = rf'[<"]{folder}(?!/etc[/">])[/">]|"/proc/self/fd/\d+/'
        return re.search(there, call) is not None
