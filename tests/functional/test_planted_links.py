# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What another user plants in a directory that root works in leads root nowhere.

The modules run as root, with real Postfix programs. Whatever is planted, the file that it leads to
keeps its owner, mode and content.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import MASTER_CF
from ansible_collections.mailops.ses.tests.support.postfix.scratch_map import requested
from ansible_collections.mailops.ses.tests.support.running.module_runner import (
    ModuleServer,
    Outcome,
)
from ansible_collections.mailops.ses.tests.support.running.payloads import (
    entries_payload,
    relay_payload,
    rotation_payload,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

NOBODY = 65534
REGION = "eu-west-1"
HOST = f"email-smtp.{REGION}.amazonaws.com"
KEY = f"[{HOST}]:587"
OLD = Account("AKIAEXAMPLE000000001", "secret/access+key/of+the+number/00000001")
NEW = Account("AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002")
PASSWORD = password_v4(OLD.secret_key, REGION)
PRECIOUS = "precious: of root alone\n"
LIST = "system.posix_acl_default"

Plant = t.Callable[[Path, Path], None]


def link_to_file(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "precious")


def link_to_directory(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def link_to_nothing(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "made by root")


def link_to_fifo(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "fifo")


def link_to_device(path: Path, outside: Path) -> None:
    path.symlink_to("/dev/zero")


def hard_link(path: Path, outside: Path) -> None:
    os.link(outside / "precious", path)


def fifo(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def directory(path: Path, outside: Path) -> None:
    path.mkdir()
    (path / "somebody's").touch()


def a_socket(path: Path, outside: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


def foreign_file(path: Path, outside: Path) -> None:
    path.write_text(f"{KEY} {OLD.access_key}:planted\n")


KINDS: tuple[Plant, ...] = (
    link_to_directory,
    link_to_nothing,
    link_to_fifo,
    link_to_device,
    hard_link,
    fifo,
    directory,
    a_socket,
    foreign_file,
)
# name -> the runs that touch it, and so refuse it
MAP_RUNS = {"map present", "relay present", "key replaced"}
NAMES: dict[str, set[str]] = {
    "sasl_passwd": MAP_RUNS,
    "sasl_passwd.db": MAP_RUNS,
    "sasl_passwd.cdb": MAP_RUNS,
    "sasl_passwd.lmdb": MAP_RUNS,
    ".sasl_passwd.mailops": MAP_RUNS,
    ".sasl_passwd.mailops.lock": MAP_RUNS,
    ".sasl_passwd.mailops.former": {"key replaced"},
    "ses_sender_relayhost": {"relay present"},
    "ses_sender_relayhost.db": {"relay present"},
    "main.cf": {"relay present", "key replaced"},
    ".main.cf.mailops": {"relay present"},
    ".main.cf.mailops.lock": {"relay present", "key replaced"},
    ".mailops-ses": {"relay present", "key replaced"},
}
CASES = [
    (name, plant)
    for number, name in enumerate(NAMES)
    for plant in (
        link_to_file,
        KINDS[number * 2 % len(KINDS)],
        KINDS[(number * 2 + 1) % len(KINDS)],
    )
]


class Scene:
    """A relay in ``etc``, beside ``outside`` with what nobody may change; made anew by ``reset``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.etc = folder / "etc"
        self.outside = folder / "outside"
        self.outside.mkdir(0o700)
        (self.outside / "precious").write_text(PRECIOUS)
        (self.outside / "precious").chmod(0o604)
        os.mkfifo(self.outside / "fifo")
        self.etc.mkdir(0o755)
        (self.etc / "main.cf").write_text(
            "compatibility_level = 3.6\ndefault_database_type = hash\nsmtputf8_enable = no\n"
        )
        (self.etc / "master.cf").write_text(MASTER_CF)
        os.utime(self.etc / "main.cf", (0, 0))
        self._saved = folder / "saved"
        self._servers = contextlib.ExitStack()
        self._running: dict[str, ModuleServer] = {}

    def save(self) -> None:
        """Make what there is the state that reset() brings back."""
        shutil.copytree(self.etc, self._saved)
        self.precious = self.seen(self.outside)

    def reset(self, mode: int = 0o755) -> None:
        if self.etc.is_symlink():
            self.etc.unlink()
        shutil.rmtree(self.etc, ignore_errors=True)
        shutil.copytree(self._saved, self.etc)
        self.etc.chmod(mode)

    def close(self) -> None:
        self._servers.close()

    def run(self, what: str, *, check: bool = False, **options: t.Any) -> Outcome:
        """Run a module by a name of RUNS."""
        module, arguments = self._arguments(what)
        if module not in self._running:
            self._running[module] = self._servers.enter_context(ModuleServer(module))
        return self._running[module].run(
            {**arguments, "_ansible_check_mode": check, **options}, umask=0o022
        )

    def _arguments(self, what: str) -> tuple[str, dict[str, t.Any]]:
        common: dict[str, t.Any] = {"config_directory": str(self.etc)}
        which, _space, state = what.partition(" ")
        if which == "map":
            entry = requested("[other.example]:587", "me", PASSWORD)
            if state == "absent":
                entry = requested(KEY, present=False)
            return "postfix_sasl_passwd", {
                **common,
                "map_type": "hash",
                "password": entries_payload(entry),
            }
        if which == "relay":
            login = {"host": HOST, "port": 587, "tls": "starttls", "username": OLD.access_key}
            sender = {**login, "password": PASSWORD, "sender": "@example.com"}
            logins = [{**login, "password": PASSWORD}]
            given = {"logins": logins, "senders": [sender]} if state == "present" else {}
            return "postfix_relay", {
                **common,
                "tls_security_level": "encrypt",
                "password": relay_payload(**given),
                "verify": False,
                "state": state,
            }
        if which == "info":
            return "postfix_relay_info", common
        entry = {
            "path": str(self.etc / "sasl_passwd"),
            "key": KEY,
            "username": NEW.access_key,
            "password": password_v4(NEW.secret_key, REGION),
            "servers": [],
        }
        return "postfix_relay_key", {
            **common,
            "secret_key": rotation_payload(entry),
            "old_access_key": OLD.access_key,
            "verify": False,
            "state": "replaced",
        }

    def seen(self, folder: Path) -> dict[str, tuple[t.Any, ...]]:
        """Owner, mode and content of all that is below a folder."""
        found: dict[str, tuple[t.Any, ...]] = {}
        for path in [folder, *sorted(folder.rglob("*"))]:
            status = path.lstat()
            content: t.Any = None
            if stat.S_ISREG(status.st_mode):
                content = path.read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            # Without the lock, which is no content.
            if not path.name.endswith(".lock") or content:
                found[str(path)] = (status.st_uid, status.st_gid, status.st_mode, content)
        return found


@pytest.fixture(name="scene", scope="module")
def fixture_scene() -> t.Iterator[Scene]:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    folder.chmod(0o755)
    scene = Scene(folder)
    try:
        assert scene.run("relay present").result["changed"]
        scene.save()
        yield scene
    finally:
        scene.close()
        shutil.rmtree(folder)


def put(scene: Scene, name: str, plant: Plant) -> Path:
    """Plant something there, as another user would, but for hard links."""
    path = scene.etc / name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    plant(path, scene.outside)
    if plant is not hard_link:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return path


@pytest.mark.parametrize(("name", "plant"), CASES, ids=[f"{n}-{p.__name__}" for n, p in CASES])
def test_what_is_planted_leads_nowhere(scene: Scene, name: str, plant: Plant) -> None:
    """In a directory like /tmp: everybody can make names in it, but not change those of others."""
    for what in sorted(NAMES[name]):
        scene.reset(0o1777)
        path = put(scene, name, plant)
        before = scene.seen(scene.etc)
        for check in (True, False):
            done = scene.run(what, check=check).result
            assert done.get("failed"), (what, done)
            assert str(path) in done["msg"], done["msg"]
            assert "Nothing was changed" in done["msg"]
            assert scene.seen(scene.etc) == before, what
            assert scene.seen(scene.outside) == scene.precious, what
    # The survey reads what Postfix reads; it neither waits nor changes anything, nor shows a file.
    for what in ("map absent", "relay absent", "info "):
        if what != "map absent" or "map present" in NAMES[name]:
            scene.reset(0o1777)
            put(scene, name, plant)
            outcome = scene.run(what)
            assert outcome.result
            assert "of root alone" not in outcome.output
            assert scene.seen(scene.outside) == scene.precious, what


def everybody_s(scene: Scene) -> str:
    scene.etc.chmod(0o777)
    return f"chmod o-w {scene.etc}"


def another_user_s(scene: Scene) -> str:
    os.chown(scene.etc, NOBODY, NOBODY)
    return f"chown root {scene.etc}"


def a_sticky_one_of_another_user(scene: Scene) -> str:
    os.chown(scene.etc, NOBODY, NOBODY)
    scene.etc.chmod(0o1777)
    return f"chown root {scene.etc}"


def two_levels_up(scene: Scene) -> str:
    scene.folder.chmod(0o777)
    return f"chmod o-w {scene.folder}"


def by_another_users_link(scene: Scene) -> str:
    scene.etc.rename(scene.folder / "real")
    scene.etc.symlink_to(scene.folder / "real")
    os.chown(scene.etc, NOBODY, NOBODY, follow_symlinks=False)
    return f"chown --no-dereference root {scene.etc}"


UNSAFE = [
    everybody_s,
    another_user_s,
    a_sticky_one_of_another_user,
    two_levels_up,
    by_another_users_link,
]


@pytest.mark.parametrize("make", UNSAFE)
def test_directories_of_others_are_refused(scene: Scene, make: t.Callable[[Scene], str]) -> None:
    try:
        scene.reset()
        remedy = make(scene)
        before = scene.seen(scene.folder)
        for what in ("map present", "relay present", "key replaced"):
            for check in (True, False):
                done = scene.run(what, check=check).result
                assert done.get("failed"), what
                assert remedy in done["msg"], done["msg"]
                assert "owner" in done["msg"]
                assert "mode" in done["msg"]
                assert "Nothing was changed" in done["msg"]
                assert scene.seen(scene.folder) == before
        # What is safe to remove goes. By a link of another user's, nothing is.
        done = scene.run("relay absent").result
        if make is by_another_users_link:
            assert remedy in done["msg"]
        else:
            assert done["changed"]
            assert remedy in str(done["warnings"])
            assert not (scene.etc / ".mailops-ses").exists()
            assert not (scene.etc / "sasl_passwd").exists()
            assert "relayhost" not in (scene.etc / "main.cf").read_text()
        assert scene.seen(scene.outside) == scene.precious
    finally:
        scene.folder.chmod(0o755)
        shutil.rmtree(scene.folder / "real", ignore_errors=True)


def test_absent_removes_a_planted_link_and_not_its_target(scene: Scene) -> None:
    for name in ("sasl_passwd", "sasl_passwd.db", "sasl_passwd.cdb", "ses_sender_relayhost"):
        scene.reset(0o1777)
        put(scene, name, link_to_file)
        done = scene.run("relay absent").result
        assert done["changed"], done
        assert not os.path.lexists(scene.etc / name), name
        assert "relayhost" not in (scene.etc / "main.cf").read_text()
        assert not (scene.etc / ".mailops-ses").exists()
        assert scene.seen(scene.outside) == scene.precious


def test_a_group_is_warned_of_and_root_s_own_links_are_followed(scene: Scene) -> None:
    scene.reset(0o775)
    done = scene.run("map present").result
    assert done["changed"]
    assert f"chmod g-w {scene.etc}" in str(done["warnings"])

    # As people keep configuration elsewhere: the directory, main.cf, the source and its table.
    scene.reset()
    real = scene.folder / "srv"
    real.mkdir()
    try:
        for name in ("main.cf", "sasl_passwd", "sasl_passwd.db"):
            (scene.etc / name).rename(real / name)
            (scene.etc / name).symlink_to(real / name)
        scene.etc.rename(scene.folder / "real")
        scene.etc.symlink_to("real")
        for what in ("map present", "key replaced", "relay present", "map absent"):
            done = scene.run(what).result
            assert not done.get("failed"), done
            assert not done.get("warnings"), done
            assert done["changed"], what
            for name in ("main.cf", "sasl_passwd", "sasl_passwd.db"):
                assert (scene.etc / name).is_symlink()
                assert stat.S_ISREG((real / name).lstat().st_mode)
        done = scene.run("relay absent").result
        assert done["changed"], done
        assert "relayhost" not in (real / "main.cf").read_text()
    finally:
        shutil.rmtree(real)
        shutil.rmtree(scene.folder / "real", ignore_errors=True)


SWAPPED = (
    *("sasl_passwd", "sasl_passwd.db", "main.cf", ".sasl_passwd.mailops", ".main.cf.mailops"),
    *(".sasl_passwd.mailops.lock", ".mailops-ses"),
)


def exchange_names(etc: Path, outside: Path, parent: int) -> None:
    """Put a link in the place of one name after the other for a moment, until the test ends."""
    number = 0
    while os.getppid() == parent:
        path = etc / SWAPPED[number % len(SWAPPED)]
        number += 1
        aside = etc / f"aside-{number}"
        with contextlib.suppress(OSError):
            path.rename(aside)
            path.symlink_to(outside if number % 2 else outside / "precious")
            path.unlink()
            aside.rename(path)


@contextlib.contextmanager
def attacker(scene: Scene) -> t.Iterator[None]:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            exchange_names(scene.etc, scene.outside, parent)
        os._exit(0)
    try:
        yield
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "the attacker has given up"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_to_exchange_names_during_a_run_gains_nothing(scene: Scene) -> None:
    """By a member of the directory's group, of which there is only a warning."""
    scene.reset(0o770)
    os.chown(scene.etc, 0, NOBODY)
    scene.outside.chmod(0o755)
    try:
        precious = scene.seen(scene.outside)
        with attacker(scene):
            for _round in range(4):
                for what in ("map present", "map absent", "relay present", "relay absent"):
                    scene.run(what)
                    assert scene.seen(scene.outside) == precious
    finally:
        scene.outside.chmod(0o700)


def default_list(user: int) -> bytes:
    """A default access control list that lets one more user read and write; acl(5)."""
    entries = [(1, 7, -1), (2, 7, user), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
    return b"\x02\0\0\0" + b"".join(
        tag.to_bytes(2, "little")
        + bits.to_bytes(2, "little")
        + (who & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, bits, who in entries
    )


def test_an_inherited_access_list_is_removed(scene: Scene) -> None:
    """The owner sets modes 0640 and 0600: with a list, the group's bits are those of all in it."""
    scene.reset()
    scene.etc.joinpath(".mailops-ses", "relay.json").unlink()
    for path in (*scene.etc.glob("*sasl*"), *scene.etc.glob("ses_*"), *scene.etc.glob(".*.lock")):
        path.unlink(missing_ok=True)
    shutil.rmtree(scene.etc / ".mailops-ses")
    (scene.etc / "main.cf").write_text("compatibility_level = 3.6\ndefault_database_type = hash\n")
    os.utime(scene.etc / "main.cf", (0, 0))
    os.setxattr(scene.etc, LIST, default_list(NOBODY))
    done = scene.run("relay present", backup=True, mode="0640").result
    assert done["changed"], done
    assert scene.run("map present", backup=True, mode="0640").result["changed"]
    assert scene.run("key replaced").result["changed"]
    found = [path for path in scene.etc.rglob("*") if path.name not in ("main.cf", "master.cf")]
    assert len(found) >= 9
    assert {".mailops-ses", "sasl_passwd", "sasl_passwd.db", ".sasl_passwd.mailops.former"} <= {
        path.name for path in found
    }
    for path in found:
        names = [name for name in os.listxattr(path) if "posix_acl" in name]
        assert not names, path
