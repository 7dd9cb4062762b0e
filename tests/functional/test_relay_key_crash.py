# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_relay_key`` killed before its own calls that change something on the host.

Before each that changes a name, and before one in six of the others, see ``kill_points.choose``.

What happens within a postmap is test_password_map_crash.py's.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import shutil
import stat
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import MASTER_CF
from ansible_collections.mailops.ses.tests.support.isolation.memory_disk import memory_disk
from ansible_collections.mailops.ses.tests.support.postfix.kill_points import (
    Killer,
    KillPoint,
    NotReachedError,
    choose,
)
from ansible_collections.mailops.ses.tests.support.postfix.relay_trial import (
    CALLS,
    FOREIGN,
    FOREIGN_MAP,
    HARMLESS,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import program
from ansible_collections.mailops.ses.tests.support.running.module_runner import ModuleServer
from ansible_collections.mailops.ses.tests.support.running.payloads import (
    relay_payload,
    rotation_payload,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

REGIONS = ("eu-west-1", "eu-central-1")
OLD = Account("AKIAEXAMPLE000000001", "secret/access+key/of+the+number/00000001")
NEW = Account("AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002")
WORKERS = 2
ATTEMPTS = 4
#: Of all in a run with two entries; it renames six files.
LEAST_POINTS = 30


def host(region: str) -> str:
    return f"email-smtp.{region}.amazonaws.com"


def key(region: str) -> str:
    return f"[{host(region)}]:587"


def logins(account: Account) -> dict[str, str]:
    """What the map answers with an account's key."""
    return {
        key(region): f"{account.access_key}:{password_v4(account.secret_key, region)}"
        for region in REGIONS
    }


class Trial:
    """A relay that gets another key, or its former one again, to be killed again and again."""

    def __init__(self, folder: Path, server: ModuleServer, ca_file: Path, state: str) -> None:
        folder.mkdir()
        self._config = folder / "etc"
        self._before, self._after = folder / "before", folder / "after"
        self._state = state
        self._make(ca_file)
        old = folder / "old"
        shutil.copytree(self._config, old)
        checked(server.run(self._arguments("replaced")).result)
        new = folder / "new"
        shutil.copytree(self._config, new)
        self._before, self._after = (old, new) if state == "replaced" else (new, old)
        self._own = folder / "own"
        self._server = server

    def _make(self, ca_file: Path) -> None:
        """A relay of postfix_relay's, with the old key, in a map that somebody else has begun."""
        self._config.mkdir(mode=0o755)
        main_cf = "compatibility_level = 3.6\ndefault_database_type = hash\nsmtputf8_enable = no\n"
        (self._config / "main.cf").write_text(main_cf)
        (self._config / "master.cf").write_text(MASTER_CF)
        os.utime(self._config / "main.cf", (0, 0))
        self._source.touch(mode=0o600)
        self._source.write_text(FOREIGN_MAP)
        servers = [
            {
                "host": host(region),
                "port": 587,
                "tls": "starttls",
                "username": OLD.access_key,
                "password": password_v4(OLD.secret_key, region),
            }
            for region in REGIONS
        ]
        with ModuleServer("postfix_relay") as relay:
            arguments = {
                "config_directory": str(self._config),
                "ca_file": str(ca_file),
                "password": relay_payload(servers),
                "verify": False,
            }
            checked(relay.run(arguments).result)

    @property
    def _source(self) -> Path:
        return self._config / "sasl_passwd"

    def _arguments(self, state: str) -> dict[str, t.Any]:
        """As the action hands them over, which looks for the old key in the source."""
        source = self._source.read_text()
        entries = [
            {
                "path": str(self._source),
                "key": key(region),
                "username": NEW.access_key,
                "password": password_v4(NEW.secret_key, region),
                "servers": [],
            }
            for region in REGIONS
            if f"{key(region)} {OLD.access_key}:" in source
        ]
        return {
            "config_directory": str(self._config),
            "secret_key": rotation_payload(*(entries if state == "replaced" else ())),
            "old_access_key": OLD.access_key,
            "verify": False,
            "state": state,
        }

    def reset(self) -> Killer:
        """Bring back what there was before the first run; returns what runs and kills it."""
        if self._config.exists():
            shutil.rmtree(self._config)
        shutil.copytree(self._before, self._config)
        arguments = self._arguments(self._state)
        return Killer(self._server, self._config, self._own, arguments)

    def points(self) -> list[KillPoint]:
        """Where a run can be killed."""
        points = [
            point
            for point in self.reset().points_of("module")
            if not point.is_idle and point.syscall not in HARMLESS
        ]
        assert {point.syscall for point in points} >= CALLS
        return points

    def check(self, point: KillPoint) -> None:
        """Kill a run there, look at what it leaves, and run it again."""
        self._kill(point)
        found = self.look_up()
        for region in REGIONS:
            assert found[key(region)] in (logins(OLD)[key(region)], logins(NEW)[key(region)])
        assert {each: found[each] for each in FOREIGN} == FOREIGN
        assert self.exposed() == []
        again = self._server.run(self._arguments(self._state)).result
        assert not again.get("failed"), again
        wanted = NEW if self._state == "replaced" else OLD
        assert self.look_up() == {**FOREIGN, **logins(wanted)}
        assert again["pending"] is (self._state == "replaced")
        assert contents(self._config) == contents(self._after)
        assert self.exposed() == []
        identities = self._identities()
        again = self._server.run(self._arguments(self._state)).result
        assert (again["changed"], self._identities()) == (False, identities)

    def _kill(self, point: KillPoint) -> None:
        for _dummy in range(ATTEMPTS - 1):
            with contextlib.suppress(NotReachedError):
                self.reset().kill(point)
                return
        self.reset().kill(point)

    def look_up(self) -> dict[str, str]:
        """What Postfix finds in the map."""
        done = subprocess.run(
            [program("postmap"), "-c", str(self._config), "-q", "-", f"hash:{self._source}"],
            input="".join(f"{each}\n" for each in (*FOREIGN, *map(key, REGIONS))),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return dict(
            t.cast("tuple[str, str]", line.split("\t", 1)) for line in done.stdout.splitlines()
        )

    def exposed(self) -> list[str]:
        """The files with a login in them that others could read."""
        texts = [login.encode() for login in (*logins(OLD).values(), *logins(NEW).values())]
        return [
            str(path)
            for path in self._config.rglob("*")
            if path.is_file()
            and any(text in path.read_bytes() for text in texts)
            and stat.S_IMODE(path.stat().st_mode) & 0o077
            and stat.S_IMODE(path.parent.stat().st_mode) & 0o077
        ]

    def _identities(self) -> dict[str, tuple[int, int]]:
        files = [path for path in self._config.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def checked(result: dict[str, t.Any]) -> None:
    assert result.get("changed"), result


def contents(folder: Path) -> dict[str, object]:
    """All that there is but locks; of a table, which has a number of its own, its length."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.endswith(".lock"):
            name = str(path.relative_to(folder))
            content = path.read_bytes()
            found[name] = len(content) if path.suffix == ".db" else content
            if name == ".mailops-ses/relay.json":
                found[name] = json.loads(content)
    return found


@pytest.mark.parametrize("state", ["replaced", "restored"])
def test_killed_anywhere(tmp_path: Path, authority: CertificateAuthority, state: str) -> None:
    """The old login or the new one under each key; and then what was wanted."""
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(memory_disk(tmp_path / "disk"))
        trials = [
            Trial(
                disk / f"worker-{number}",
                stack.enter_context(ModuleServer("postfix_relay_key")),
                authority.ca_file,
                state,
            )
            for number in range(WORKERS)
        ]
        found = trials[0].points()
        points = choose(found)

        def work(number: int) -> None:
            for point in points[number::WORKERS]:
                print(f"killed at {point}")
                trials[number].check(point)

        with concurrent.futures.ThreadPoolExecutor(WORKERS) as executor:
            running = [executor.submit(work, number) for number in range(WORKERS)]
        for each in running:
            each.result()
    print(f"{state}: {len(points)} kill points of {len(found)}, {time.monotonic() - started:.0f} s")
    assert len(found) >= LEAST_POINTS
