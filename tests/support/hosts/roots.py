# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The root file systems of bare Debian hosts, made once and kept.

They are kept in ``$MAILOPS_SES_ROOTS``, or else in /var/cache/mailops-ses, for all checkouts of the
machine: some 220 MB each, and layers over them that offer more packages. A changed recipe makes new
ones beside the old; the directory may be removed whenever no tests run.
"""

from __future__ import annotations

import concurrent.futures
import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

_MAKE_ROOT = Path(__file__).with_name("make_root.sh")
_OFFER_MORE = Path(__file__).with_name("offer_more.sh")
_TIMEOUT = 900.0  # seconds for one root; it takes one minute
_AT_ONCE = 2

# What a server of any kind has. No cron, no init: processes begin with sshd.
_INSTALLED = ("python3", "python3-apt", "openssh-server", "iproute2", "rsyslog", "sudo")
# What the role may want to install, from a repository that is on the host.
_OFFERED = ("postfix", "postfix-lmdb", "postfix-cdb", "libsasl2-modules", "ca-certificates")


@dataclass(frozen=True)
class Release:
    """A release of Debian, and what it comes with."""

    suite: str
    postfix: str
    python: str
    table_type: str


#: Debian 11, 12, 13 and testing.
RELEASES: t.Mapping[str, Release] = {
    release.suite: release
    for release in (
        Release("bullseye", "3.5", "3.9", "hash"),
        Release("bookworm", "3.7", "3.11", "hash"),
        Release("trixie", "3.10", "3.13", "hash"),
        Release("forky", "3.11", "3.14", "cdb"),
    )
}


def cache_directory() -> Path:
    """Where the root file systems are kept."""
    return Path(os.environ.get("MAILOPS_SES_ROOTS") or "/var/cache/mailops-ses").absolute()


@functools.cache
def mirror() -> str:
    """Where this machine's own Debian packages come from. Raises RuntimeError if nowhere."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    listing = ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)"]
    done = subprocess.run(listing, check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        release, _blank, address = line.partition(" ")
        if release == codename:
            return address.rstrip("/")
    raise RuntimeError(f"apt has no source for {codename}, this machine's release of Debian")


def root_file_systems(suites: t.Iterable[str]) -> list[Path]:
    """The root file systems of these suites, in this order; those that are missing are made.

    They are shared and must not be changed. Raises RuntimeError where they can't be made.
    """
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda suite: _root_file_system(RELEASES[suite]), suites))


def offering(suite: str, packages: t.Sequence[str]) -> Path:
    """A layer to put over the root file system of ``suite``: it offers these packages, too.

    Each of them, one or several separated by blanks, may exclude the others. Raises RuntimeError
    where it can't be made.
    """
    arguments = [str(_root_file_system(RELEASES[suite])), suite, mirror(), *packages]
    return _kept(f"{suite}-offering", _OFFER_MORE, arguments)


def _root_file_system(release: Release) -> Path:
    arguments = [release.suite, mirror(), ",".join(_INSTALLED), ",".join(_OFFERED)]
    return _kept(release.suite, _MAKE_ROOT, arguments)


def _kept(name: str, script: Path, arguments: t.Sequence[str]) -> Path:
    """What ``script`` makes of these arguments, made now if it never was."""
    recipe = "\0".join([script.read_text("utf-8"), *arguments]).encode()
    path = cache_directory() / f"{name}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_dir():
            _make(
                name, path, [str(script), str(path.with_suffix(".new")), *arguments], lock.fileno()
            )
    return path


def _make(name: str, path: Path, script: t.Sequence[str], lock: int) -> None:
    """Make it beside ``path`` and rename it: an interrupted one never has the name.

    The script holds the ``lock`` too, which counts when it survives us.
    """
    if shutil.which("mmdebstrap") is None:
        raise RuntimeError("hosts for tests are made with mmdebstrap (Debian: mmdebstrap)")
    new = path.with_suffix(".new")
    if new.exists():
        shutil.rmtree(new)
    log = path.with_suffix(".log")
    # The mounts are gone when the script is, and so are its children, however it ends.
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    # A folder for temporary files that is here is not there in the new root.
    environment = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    with log.open("wb") as output:
        done = subprocess.run(
            [*alone, "/bin/sh", *script],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            check=False,
            timeout=_TIMEOUT,
        )
    if done.returncode != 0:
        last = "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:])
        raise RuntimeError(f"{name} was not made, see {log}:\n{last}")
    new.rename(path)
