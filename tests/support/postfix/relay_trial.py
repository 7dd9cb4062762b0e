# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_relay`` on a Postfix that runs, killed at a point and run again, and what there is then."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import time
import typing as t
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..running.module_runner import ModuleServer
from ..running.payloads import relay_payload
from ..ses.accounts import Account, password_v4
from .kill_points import ONE_IN, Killer, KillPoint, NotReachedError, choose
from .left_behind import Seen, left_behind
from .scratch_postfix import SAME_ORDER, Delivery, ScratchPostfix, program

WEST, CENTRAL = "eu-west-1", "eu-central-1"
ACCOUNTS = {
    WEST: Account(
        "AKIAEXAMPLE000000001", "secret/access+key/of+the+number/00000001", ("example.com",)
    ),
    CENTRAL: Account(
        "AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002", ("example.com",)
    ),
}
PASSWORDS = {
    region: password_v4(account.secret_key, region) for region, account in ACCOUNTS.items()
}
FOREIGN = {"[smtp.example.net]:587": "them:their own/password+"}
FOREIGN_MAP = "".join(f"# by hand\n{key} {value}\n" for key, value in FOREIGN.items())

ATTEMPTS = 3
TIMEOUT = 120.0  # seconds, for what takes up to 3
#: Calls that change nothing on the disk, besides those that kill_points knows.
HARMLESS = frozenset({"close", "fcntl", "flistxattr", "flock"})
#: What a run can't do without; if strace does not show them, the points are not all.
CALLS = {"fchmod", "fsync", "linkat", "mkdirat", "openat", "renameat", "unlinkat", "write"}
RELOADED = "reload -- version"
ROUTING = (b"relayhost", b"default_transport", b"relay_transport")

PROGRAMS = ("postconf", "postfix", "postmap")
# Stands in for a program of Postfix's: KILL_AT is the number of a call and before or after.
# $PPID is the module.
STAND_IN = """\
#!/bin/sh
read -r number <{own}/count
number=$((number + 1))
echo $number >{own}/count
echo {name} >>{own}/called
if [ "$KILL_AT" = "$number before" ]; then kill -KILL $PPID; exit 1; fi
{path} "$@"
status=$?
case " $* " in *" reload "*) echo reload >>{own}/reloads ;; esac
if [ "$KILL_AT" = "$number after" ]; then kill -KILL $PPID; fi
exit $status
"""


def key(region: str) -> str:
    """The map's key for a region, which is also how relayhost has it."""
    return f"[email-smtp.{region}.amazonaws.com]:587"


LOGINS = {
    key(region): f"{account.access_key}:{PASSWORDS[region]}" for region, account in ACCOUNTS.items()
}


@dataclass(frozen=True)
class Scenario:
    """The regions of the relay before and after a run, None for no relay; and its SMTP client."""

    before: str | None
    after: str | None
    transport: str = "smtp"


@dataclass(frozen=True)
class ProgramPoint:
    """Before or after the module's call, by number, of one of Postfix's programs."""

    program: str
    number: int
    when: str


Point = KillPoint | ProgramPoint


@dataclass(frozen=True)
class State:
    """What Postfix has: main.cf, the logins that it finds, and how often it was told."""

    #: Its lines, sorted: postconf adds settings in no order. And those of master.cf.
    main_cf: tuple[bytes, ...]
    found: frozenset[str]
    reloads: int


@dataclass
class Trial:
    """One scenario on a Postfix of its own, killed again and again."""

    postfix: ScratchPostfix
    server: ModuleServer
    ca_file: Path
    folder: Path
    scenario: Scenario
    seen: Seen
    #: The senders of all messages, each of which has its own.
    sent: list[str] = field(default_factory=list)
    tried: set[State] = field(default_factory=set)

    @property
    def allowed(self) -> set[str]:
        """How an attempt to deliver may end: with a relay before and after, well."""
        return {"sent", "deferred"} if None in self._regions else {"sent"}

    @property
    def _regions(self) -> tuple[str | None, str | None]:
        return self.scenario.before, self.scenario.after

    def prepare(self) -> None:
        """Make the two states between which runs are killed."""
        self.folder.mkdir()
        self._before = self.folder / "before"
        self._own = self.folder / "own"
        self._counted = self.folder / "counted"
        config = self.postfix.config_directory
        source = config / "sasl_passwd"
        source.touch(mode=0o600)
        source.write_text(FOREIGN_MAP)
        self.postfix.run("postmap", str(source))
        self.table = f"{self.postfix.get('default_database_type')}:{source}"
        # Without a relay of ours, mail waits for a server that does not answer.
        self.postfix.set({"smtp_sasl_password_maps": self.table, "relayhost": "[127.0.0.1]:1"})
        if self.scenario.before:
            self._checked(self.arguments(self.scenario.before))
        shutil.copytree(config, self._before)
        wanted = self.arguments(self.scenario.after)
        self.killer = Killer(self.server, config, self._own, wanted, umask=0o022)
        # It stands in for what is not killed here.
        (self._own / "postmap").unlink()
        self._counted.mkdir()
        # All of them only where their calls are counted: each costs a shell.
        for folder, names in ((self._own, ["postfix"]), (self._counted, PROGRAMS)):
            for name in names:
                script = folder / name
                script.write_text(STAND_IN.format(own=self._own, name=name, path=program(name)))
                script.chmod(0o755)
        self.reset()
        self._old = self.state()
        result = self.killer.run().result
        assert result.get("changed"), result
        self._new, self._names = self.state(), self.names()
        assert self._new.reloads == 2  # for the client, and for the routing
        assert self._old.main_cf != self._new.main_cf

    def arguments(self, region: str | None) -> dict[str, t.Any]:
        """The module's arguments, as the action plugin hands them over."""
        logins = []
        if region:
            host = f"email-smtp.{region}.amazonaws.com"
            login = {"username": ACCOUNTS[region].access_key, "password": PASSWORDS[region]}
            logins = [{"host": host, "port": 587, "tls": "starttls", **login}]
        return {
            "config_directory": str(self.postfix.config_directory),
            "ca_file": str(self.ca_file),
            "password": relay_payload(logins),
            # SES is not to be seen from where this test is, and not what this is about.
            "verify": False,
            "transport": self.scenario.transport,
            "state": "present" if region else "absent",
        }

    def reset(self) -> None:
        """Bring back what there was before the first run, and have it in force."""
        config = self.postfix.config_directory
        for path in config.iterdir():
            if not path.is_dir() and not (self._before / path.name).exists():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
        # Postfix may be reading some of them, so that they are there at any moment.
        for path in sorted(self._before.rglob("*")):
            target = config / path.relative_to(self._before)
            if path.is_dir():
                target.mkdir(stat.S_IMODE(path.stat().st_mode))
            else:
                shutil.copy2(path, self._own / "restored")
                shutil.move(self._own / "restored", target)
        then = time.time() - 10  # see ScratchPostfix
        os.utime(config / "main.cf", (then, then))
        before, managers = self._reloads(), self._processes("qmgr")
        assert self.postfix.pid is not None, self.postfix.log()[-3000:]
        os.kill(self.postfix.pid, signal.SIGHUP)
        deadline = time.monotonic() + TIMEOUT
        # master(8) says so before it does so.
        while self._reloads() == before or managers & self._processes("qmgr"):
            assert time.monotonic() < deadline, self.postfix.log()[-3000:]
            time.sleep(0.01)
        (self._own / "count").write_text("0\n")
        (self._own / "called").write_text("")
        (self._own / "reloads").write_text("")

    def points(self) -> list[Point]:
        """Where a run can be killed."""
        self.reset()
        calls = [
            point
            for point in self.killer.points_of("module")
            if not point.is_idle and point.syscall not in HARMLESS
        ]
        assert {point.syscall for point in calls} >= CALLS - (
            {"linkat"} if self.scenario.before is None else set()
        )
        self.reset()
        self._run_with("")
        programs = (self._own / "called").read_text().split()
        assert programs.count("postfix") == 4  # status and reload, twice
        around = [
            ProgramPoint(name, number, when)
            for number, name in enumerate(programs, 1)
            for when in ("before", "after")
            # After the others there is what there was before the next call.
            if when == "before" or name == "postfix"
        ]
        # What the scenarios have in common, one with many points shows.
        one_in = ONE_IN if self.scenario.transport == "smtp" else 8 * ONE_IN
        return [*choose(calls, one_in), *around]

    def check(self, point: Point) -> None:
        """Kill a run there, look at what it leaves, send mail, and run it again.

        What another kill has left, nobody looks at again; nor at what runs have made of it.
        """
        pid = self.postfix.pid
        self.kill(point)
        if self.seen.is_new("left", (self.files(), self._times_told())):
            self._check_left_behind(point)
        assert self.postfix.pid == pid

    def _check_left_behind(self, point: Point) -> None:
        left = self.state()
        assert left.main_cf in (self._old.main_cf, self._between, self._new.main_cf)
        self._check_logins(left)
        assert self.exposed() == []
        if self.seen.is_new("state", left):
            self.tried.add(left)
            self._try_mail(point, left)

        again = self.killer.run().result
        assert not again.get("failed"), again
        if left.main_cf == self._new.main_cf and left.reloads < self._new.reloads:
            assert again["reloaded"]
        now = self.state()
        assert (now.main_cf, now.found) == (self._new.main_cf, self._new.found)
        assert self.names() == self._names
        assert self.exposed() == []
        if self.seen.is_new("finished", self.files()):
            identities = self._identities()
            again = self.killer.run().result
            assert (again["changed"], again["reloaded"]) == (False, False)
            assert self._identities() == identities
        self._clear_queue()

    def files(self) -> tuple[str, ...]:
        """All that a run can find; the same for all trials."""
        aliases = {
            str(self.postfix.directory): "DIRECTORY",
            str(self.ca_file): "CA_FILE",
            self.postfix.address: "ADDRESS",
        }
        return left_behind(self.postfix.config_directory, aliases)

    def check_mixture(self, point: ProgramPoint, ended: str) -> None:
        """Kill a run there, end processes, and send mail through those that read main.cf now."""
        self.kill(point, with_mail=True)
        self.end(ended)
        assert self.deliver().status in self.allowed
        assert not self.killer.run().result.get("failed")
        self._clear_queue()

    def state(self) -> State:
        """What Postfix has now; the same for all trials."""
        config = self.postfix.config_directory
        lines = (config / "master.cf").read_bytes().split(b"\n")
        services = b"".join(b"\nmaster.cf: " + line for line in lines)
        main_cf = (config / "main.cf").read_bytes() + services
        main_cf = main_cf.replace(bytes(self.postfix.directory), b"DIRECTORY")
        logins = {f"{name}\t{login}": name for name, login in {**LOGINS, **FOREIGN}.items()}
        names = "".join(f"{name}\n" for name in logins.values())
        answers = ""
        with suppress(RuntimeError):  # which says that there is none
            answers = self.postfix.run("postmap", "-q", "-", self.table, text=names)
        found = frozenset(logins[line] for line in answers.splitlines() if line in logins)
        return State(tuple(sorted(main_cf.split(b"\n"))), found, self._times_told())

    def _times_told(self) -> int:
        return (self._own / "reloads").read_text().count("reload")

    @property
    def _between(self) -> tuple[bytes, ...]:
        """What the client needs for SES, and the routing that does not go there."""
        new, old = self._new.main_cf, self._old.main_cf
        client, routing = (new, old) if self.scenario.after else (old, new)
        return tuple(
            sorted(
                [line for line in client if not line.startswith(ROUTING)]
                + [line for line in routing if line.startswith(ROUTING)]
            )
        )

    def described(self, state: State) -> str:
        """A state in words that are the same for all trials."""
        names = {self._between: "half", self._old.main_cf: "old", self._new.main_cf: "new"}
        return (
            f"{names[state.main_cf]} main.cf, reloads: {state.reloads}, finds {sorted(state.found)}"
        )

    def _check_logins(self, left: State) -> None:
        """What running processes have read, and what new ones read: both need their login."""
        assert left.found >= set(FOREIGN)
        on_disk = self._routed(left.main_cf)
        if left.reloads == 0:
            in_memory = self.scenario.before
        elif left.reloads < self._new.reloads:
            in_memory = self._routed(self._between)
        else:
            in_memory = self.scenario.after
        for region in {on_disk, in_memory} - {None}:
            assert key(str(region)) in left.found

    def _routed(self, main_cf: tuple[bytes, ...]) -> str | None:
        """The region that mail goes through with such a main.cf."""
        if main_cf == self._new.main_cf:
            return self.scenario.after
        # Between the two, mail goes where it goes without SES, or nothing in main.cf differs.
        return self.scenario.before if main_cf == self._old.main_cf else None

    def _try_mail(self, point: Point, left: State) -> None:
        """In each state that there can be, a message on a Postfix with processes from before."""
        self.kill(point, with_mail=True)
        again = self.state()
        assert (again.main_cf, again.found) == (left.main_cf, left.found)
        delivery = self.deliver()
        assert delivery.status in self.allowed, (self.described(left), delivery)

    def deliver(self) -> Delivery:
        """Hand in a message; returns how the first attempt to deliver it has ended."""
        sender = f"{self.folder.name}-{len(self.sent)}@example.com"
        self.postfix.send("hello", sender=sender)
        self.sent.append(sender)
        deadline = time.monotonic() + TIMEOUT
        while True:
            queue_id = re.search(rf"(\w+): from=<{re.escape(sender)}>", self.postfix.log())
            for delivery in self.postfix.deliveries():
                if queue_id and delivery.queue_id == queue_id.group(1):
                    return delivery
            assert time.monotonic() < deadline, self.postfix.log()[-3000:]
            time.sleep(0.05)

    def _clear_queue(self) -> None:
        """Leave no mail for the next reset(), which is not in force for all processes at once."""
        if self.scenario.after:
            # What qmgr(8) has skipped at a reload, because it was still being delivered, it does
            # not look at again for a minute or more, unless it is told to.
            self.postfix.wait_until_empty(TIMEOUT, flush=True)
        else:
            # It would wait for a server that never answers.
            self.postfix.run("postsuper", "-d", "ALL")

    def end(self, name: str) -> None:
        """End the processes of a name, and wait until they have ended.

        master(8) takes a process that ends before its first work for a broken one, and starts no
        other for `service_throttle_time`.
        """
        for pid in self._processes(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            while Path(f"/proc/{pid}").exists():
                time.sleep(0.01)

    def _processes(self, name: str) -> set[int]:
        """The process ids of master(8)'s children of this name."""
        children = Path(f"/proc/{self.postfix.pid}/task/{self.postfix.pid}/children")
        found = set()
        for pid in children.read_text().split():
            with suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    found.add(int(pid))
        return found

    def kill(self, point: Point, with_mail: bool = False) -> None:
        """Kill a run there. ``with_mail``: on a Postfix that has just delivered some."""
        for attempt in range(1, ATTEMPTS + 1):
            self.reset()
            if with_mail:
                self.deliver()
            if isinstance(point, ProgramPoint):
                assert self._run_with(f"{point.number} {point.when}") == -signal.SIGKILL
                return
            try:
                self.killer.kill(point)
            except NotReachedError:
                if attempt == ATTEMPTS:
                    raise
                self._clear_queue()
            else:
                return

    def _run_with(self, kill_at: str) -> int:
        path = f"{self._counted}:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = {"PATH": path, "KILL_AT": kill_at, **SAME_ORDER}
        return self.server.run(self.killer.arguments, environment=environment).status

    def _checked(self, arguments: t.Mapping[str, t.Any]) -> None:
        result = self.server.run(arguments, environment=SAME_ORDER).result
        assert result.get("changed"), result

    def _reloads(self) -> int:
        return self.postfix.log().count(RELOADED)

    def names(self) -> set[str]:
        """All that there is in the configuration directory, by path."""
        config = self.postfix.config_directory
        return {str(path.relative_to(config)) for path in config.rglob("*")}

    def exposed(self) -> list[Path]:
        """The files with a password in them that others than root could read."""
        return [
            path
            for path in self.postfix.config_directory.rglob("*")
            if path.is_file()
            and any(password.encode() in path.read_bytes() for password in PASSWORDS.values())
            and stat.S_IMODE(path.stat().st_mode) & 0o077
            and stat.S_IMODE(path.parent.stat().st_mode) & 0o077
        ]

    def _identities(self) -> dict[str, tuple[int, int]]:
        """Inode and time of the last change of all files, to see whether any was written."""
        files = [path for path in self.postfix.config_directory.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}
