# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Files with an SMTP password that an interrupted or asynchronous task left on this host.

Without pipelining, ansible-core copies a module with its options to
REMOTE_TMP/ansible-tmp-*/AnsiballZ_MODULE.py, owned by the login user. It writes the result of an
asynchronous task to ~/.ansible_async/JOB.

The folders belong to users, and this runs as root. So no link below a home directory is followed,
nothing is changed, names that ansible-core never gives are ignored, and the search has limits.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat
import time
import typing as t

from .._ses._smtp_password import find_password_version
from ._finding import Finding, find
from ._host_kinds import LEFT_OVER_MODULE, LEFT_OVER_RESULT, LEFT_OVER_SEARCH_INCOMPLETE

__all__ = ["Places", "find_left_overs"]

#: The modules of this collection whose options have an SMTP password.
_MODULES = ("postfix_relay", "postfix_relay_key", "postfix_sasl_passwd", "ses_smtp_ping")
_DEFAULT_REMOTE_TMP = "~/.ansible/tmp"
_ASYNC_DIRECTORY = ".ansible_async"

_NETWORK_FILE_SYSTEM = re.compile(
    r"(?:nfs|cifs|smb|autofs|fuse\.|ceph|afs|lustre|gluster|9p|ocfs|gfs).*"
)
_TASK_DIRECTORY = re.compile(r"ansible-tmp-[0-9A-Za-z_.-]{1,100}").fullmatch
#: What people set remote_tmp to in a directory for all: /tmp/.ansible-USER/tmp and the like.
_OTHER_DIRECTORY = re.compile(r"\.?ansible[0-9A-Za-z_.@-]{0,100}").fullmatch
_JOB = re.compile(r"j?[0-9.]{1,40}").fullmatch
_PASSWORD = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{44}(?![A-Za-z0-9+/=])").findall

_Pattern = t.Callable[[str], object]

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_HOMES = 2000
_MOST_ENTRIES = 100_000  # of one directory
_MOST_NAMES = 2000  # of those, with a name that counts
_MOST_FINDINGS = 20
_MOST_BYTES = 1 << 20  # of the result of one job
_SECONDS = 5.0  # for all


class Places(t.NamedTuple):
    """Where to look. Tests have other places."""

    users: str = "/etc/passwd"
    homes: str = "/home"
    for_all: tuple[str, ...] = ("/tmp", "/var/tmp")  # noqa: S108  # only looked at
    processes: str = "/proc"
    mounts: str = "/proc/self/mounts"


def find_left_overs(
    remote_tmp: str = _DEFAULT_REMOTE_TMP, places: Places | None = None
) -> tuple[Finding, ...]:
    """Return a finding for each file. `remote_tmp` is where Ansible has its files by its settings.

    Looks at the home directories of /etc/passwd and in /home that are not on a network file
    system, and at /tmp and /var/tmp. The files of tasks that are running are left out. Only root
    sees those of all users. Raises nothing: what can't be opened has nothing for this user.
    """
    search = _Search(places or Places())
    found = [*itertools.islice(search.find_all(remote_tmp), _MOST_FINDINGS + 1)]
    running = _running_modules(search.places.processes) if found else ""
    findings = [
        finding
        for finding in found[:_MOST_FINDINGS]
        if "/".join(finding.file.split("/")[-2:]) not in running
    ]
    if search.stopped_at or len(found) > _MOST_FINDINGS:
        place = search.stopped_at or found[-1].file
        findings.append(find(LEFT_OVER_SEARCH_INCOMPLETE, place, seconds=_SECONDS))
    return tuple(findings)


class _Search:
    """One search; `stopped_at` is the first directory that was not searched to its end."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.stopped_at = ""
        self._deadline = time.monotonic() + _SECONDS

    def find_all(self, remote_tmp: str) -> t.Iterator[Finding]:
        for name, home in self._homes():
            for each in dict.fromkeys([_DEFAULT_REMOTE_TMP, remote_tmp or _DEFAULT_REMOTE_TMP]):
                yield from self._modules(*_expand(each, name, home))
            yield from self._jobs(home)
        for directory in self.places.for_all:
            yield from self._modules(directory, "")
            for name in self._names(directory, "", _OTHER_DIRECTORY):
                yield from self._modules(directory, name)
                yield from self._modules(directory, os.path.join(name, "tmp"))

    def _homes(self) -> t.Iterator[tuple[str, str]]:
        """Yield names of users with their home directories, each directory once."""
        homes: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError), open(self.places.users, "rb") as users:
            for line in users.read(_MOST_BYTES).splitlines():
                fields = os.fsdecode(line).split(":")
                if len(fields) == 7 and fields[5].startswith("/"):
                    homes.setdefault(os.path.normpath(fields[5]), fields[0])
        # Users of a directory service, which could take minutes to list them.
        remote = _network_mounts(self.places.mounts)
        if not _is_below(self.places.homes, remote):
            for name in self._names(self.places.homes, "", bool):
                homes.setdefault(os.path.join(self.places.homes, name), name)
        for home, name in itertools.islice(homes.items(), _MOST_HOMES):
            if not _is_below(home, remote):
                yield name, home
        self._limit(len(homes) <= _MOST_HOMES, self.places.homes, "")

    def _modules(self, trusted: str, below: str) -> t.Iterator[Finding]:
        for task in self._names(trusted, below, _TASK_DIRECTORY):
            with _directory(trusted, os.path.join(below, task)) as descriptor:
                for module in _MODULES if descriptor is not None else ():
                    name = f"AnsiballZ_{module}.py"
                    if _is_file(name, descriptor):
                        folder = os.path.join(trusted, below, task)
                        path = os.path.join(folder, name)
                        yield find(LEFT_OVER_MODULE, path, module=module, path=folder)

    def _jobs(self, home: str) -> t.Iterator[Finding]:
        for job in self._names(home, _ASYNC_DIRECTORY, _JOB):
            with _directory(home, _ASYNC_DIRECTORY) as descriptor:
                is_secret = descriptor is not None and _has_password(job, descriptor)
            if is_secret:
                path = os.path.join(home, _ASYNC_DIRECTORY, job)
                yield find(LEFT_OVER_RESULT, path, path=path)

    def _names(self, trusted: str, below: str, is_match: _Pattern) -> t.Iterator[str]:
        """Yield names in a directory until time is up, none if it can't be opened."""
        names: list[str] = []
        with _directory(trusted, below) as descriptor:
            if descriptor is not None:
                with contextlib.suppress(OSError), os.scandir(descriptor) as entries:
                    some = itertools.islice(entries, _MOST_ENTRIES)
                    names = [entry.name for entry in some if is_match(entry.name)]
        self._limit(len(names) <= _MOST_NAMES, trusted, below)
        for name in sorted(names[:_MOST_NAMES]):
            if not self._limit(time.monotonic() < self._deadline, trusted, below):
                return
            yield name

    def _limit(self, is_kept: bool, *place: str) -> bool:
        if not is_kept and not self.stopped_at:
            self.stopped_at = os.path.join(*place).rstrip("/")
        return is_kept


def _expand(remote_tmp: str, user: str, home: str) -> tuple[str, str]:
    """Return `remote_tmp` of a user as a directory to trust, and what is below it."""
    if remote_tmp.startswith("~/"):
        return home, remote_tmp[2:]
    for name, value in (("USER", user), ("LOGNAME", user), ("HOME", home)):
        remote_tmp = remote_tmp.replace(f"${{{name}}}", value).replace(f"${name}", value)
    if remote_tmp.startswith(f"{home}/"):
        return home, remote_tmp[len(home) + 1 :]
    return "/", remote_tmp.lstrip("/")


@contextlib.contextmanager
def _directory(trusted: str, below: str) -> t.Iterator[int | None]:
    """Open a directory `below` one that root has made, without following links; None if it fails."""
    opened: list[int] = []
    descriptor = None
    with contextlib.suppress(OSError, ValueError):
        opened.append(os.open(trusted, (_FLAGS & ~os.O_NOFOLLOW) | os.O_DIRECTORY))
        for part in filter(None, below.split("/")):
            if part in (".", ".."):
                raise ValueError(part)
            opened.append(os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=opened[-1]))
        descriptor = opened[-1]
    try:
        yield descriptor
    finally:
        for each in opened:
            os.close(each)


def _is_file(name: str, directory: int | None) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _has_password(name: str, directory: int) -> bool:
    if not _is_file(name, directory):  # a device may do something when it is opened
        return False
    try:
        descriptor = os.open(name, _FLAGS, dir_fd=directory)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    return any(map(find_password_version, _PASSWORD(text)))


def _is_below(path: str, mounts: t.Iterable[str]) -> bool:
    return any(f"{path}/".startswith(f"{mount}/") for mount in mounts)


def _network_mounts(mounts: str) -> list[str]:
    """Return the mount points that may hang when somebody looks at them."""
    with contextlib.suppress(OSError), open(mounts, "rb") as file:
        fields = [os.fsdecode(line).split(" ") for line in file.read().splitlines()]
        return [
            each[1] for each in fields if len(each) > 2 and _NETWORK_FILE_SYSTEM.fullmatch(each[2])
        ]
    return []


def _running_modules(processes: str) -> str:
    """Return the arguments of all processes that run a module from a file."""
    found: list[str] = []
    try:
        entries = os.listdir(processes)
    except OSError:  # not mounted in a chroot: what is found may be of a running task
        return ""
    for entry in entries:
        with contextlib.suppress(OSError):
            if entry.isdigit():
                with open(os.path.join(processes, entry, "cmdline"), "rb") as file:
                    found.append(file.read(_MOST_BYTES).decode("utf-8", "replace"))
    return "\n".join(each for each in found if "AnsiballZ_" in each)
