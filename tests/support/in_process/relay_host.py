# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with a Postfix in miniature, and the modules that set up its relay, run in this process.

Only what the operating system and AnsibleModule have is replaced, so that these tests know nothing
of how the modules work.
"""

from __future__ import annotations

import itertools
import os
import signal
import typing as t

from ansible.module_utils import basic
from ansible_collections.mailops.ses.plugins.modules import (
    postfix_relay,
    postfix_relay_info,
    postfix_relay_key,
    postfix_sasl_passwd,
)

from ..running.payloads import entries_payload, relay_payload, rotation_payload
from .fake_postfix import FakePostfix, settings_of
from .module_in_process import ModuleInProcess

if t.TYPE_CHECKING:
    from pathlib import Path

    import pytest

WEST, CENTRAL = "eu-west-1", "eu-central-1"
USER, NEW_USER = "AKIAEXAMPLE000000001", "AKIAEXAMPLE000000002"
SECRET, NEW_SECRET = "sesame-1", "sesame-2"
THEIRS = "[other.example.net]:587 them:theirs\n"
MAIN_CF = """\
# by hand
relayhost = [old.example.net]
mydestination = $myhostname
"""
#: What a relay looks like that was set up by hand, and its login.
BY_HAND = """\
relayhost = {server}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:{path}
smtp_sasl_security_options = noanonymous
"""
LOGIN = "by-hand:theirs"
#: The functions by which a run changes names, and all by which it changes files.
NAMING = ("link", "mkdir", "rename", "rmdir", "unlink")
STEPS = (*NAMING, "chmod", "chown", "fchmod", "fchown", "fsync", "open", "utime")


def server(region: str) -> str:
    """The name of a region's server."""
    return f"email-smtp.{region}.amazonaws.com"


def key(region: str) -> str:
    """The lookup key of a region's entry."""
    return f"[{server(region)}]:587"


class RelayHost:
    """The instance in ``folder``/etc; ``postfix`` is what a test may look at and set.

    ``lock`` is the file that a running master(8) locks.
    """

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.directory = folder / "etc"
        self.directory.mkdir(mode=0o755)
        self.lock = folder / "queue" / "pid" / "master.pid"
        self.lock.parent.mkdir(parents=True)
        self.lock.touch()
        queue = f"queue_directory = {folder / 'queue'}\n"
        self.postfix = FakePostfix(self.directory, MAIN_CF + queue)
        self.map = self.directory / "sasl_passwd"
        self.record = self.directory / ".mailops-ses"
        self._module = ModuleInProcess(monkeypatch, capsys)
        self.warnings = self._module.warnings
        self._patch = monkeypatch
        monkeypatch.setattr(basic.AnsibleModule, "run_command", self._run_command)
        monkeypatch.setattr(basic.AnsibleModule, "get_bin_path", self._get_bin_path)

    def _run_command(
        self, args: list[str], check_rc: bool = False, **kwargs: t.Any
    ) -> tuple[int, bytes, bytes]:
        assert not check_rc
        return self.postfix.run_command(args, **kwargs)

    def _get_bin_path(self, arg: str, *_args: t.Any, **_kwargs: t.Any) -> str | None:
        return self.postfix.get_bin_path(arg) if "post" in arg else None  # none of SELinux

    def write_map(self, source: str) -> None:
        """Make the password map, with its table."""
        self.map.touch(mode=0o600)
        self.map.write_text(source, encoding="utf-8")
        self.postfix.run_command(["postmap", f"hash:{self.map}"])
        self.map.with_name("sasl_passwd.db").chmod(0o600)

    def set_up_by_hand(self, *, source: bool = False) -> dict[str, bytes]:
        """Make a relay whose login is in the compiled table alone, unless it is in the source too.

        Returns the contents of all files.
        """
        text = BY_HAND.format(server=key(WEST), path=self.map)
        self.postfix.main_cf.write_text(text, encoding="utf-8")
        self.write_map(f"{key(WEST)} {LOGIN}\n")
        if not source:
            self.map.unlink()
        return self.contents()

    def present(self, *regions: str, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        """Run ``postfix_relay`` with the logins of some regions; returns its result."""
        senders = options.pop("senders", ())
        login = {"port": 587, "tls": "starttls", "username": USER, "password": SECRET}
        handed_over = relay_payload(
            [{"host": server(region), **login} for region in regions],
            [{"host": server(WEST), "sender": each, **login} for each in senders],
        )
        arguments = {
            "password": handed_over,
            "tls_security_level": "encrypt",
            "verify": False,
            **options,
        }
        return self._run(postfix_relay.main, arguments, check=check)

    def absent(self, *, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        """Run ``postfix_relay`` with ``state=absent``; returns its result."""
        arguments = {"password": relay_payload(), **options}
        return self._run(postfix_relay.main, {"state": "absent", **arguments}, check=check)

    def rotate(self, state: str = "replaced", *keys: str) -> dict[str, t.Any]:
        """Run ``postfix_relay_key``, with these entries of the map; returns its result."""
        login = {"path": str(self.map), "username": NEW_USER, "password": NEW_SECRET}
        arguments = {
            "secret_key": rotation_payload(*({**login, "key": each} for each in keys)),
            "old_access_key": USER,
            "verify": False,
            "state": state,
        }
        return self._run(postfix_relay_key.main, arguments, check=False)

    def set_entry(self, lookup_key: str, **options: t.Any) -> dict[str, t.Any]:
        """Run ``postfix_sasl_passwd`` for an entry with the login; returns its result."""
        entry = {"key": lookup_key, "username": USER, "password": SECRET}
        arguments = {"password": entries_payload(entry), **options}
        return self._run(postfix_sasl_passwd.main, arguments, check=False)

    def findings(self) -> list[dict[str, t.Any]]:
        """Run ``postfix_relay_info``; returns its findings."""
        found: list[dict[str, t.Any]] = self._run(postfix_relay_info.main, {}, check=False)[
            "findings"
        ]
        return found

    def _run(
        self, main: t.Callable[[], None], arguments: dict[str, t.Any], *, check: bool
    ) -> dict[str, t.Any]:
        self.warnings.clear()
        arguments = {"config_directory": str(self.directory), **arguments}
        return self._module.run(main, arguments, [SECRET, NEW_SECRET], check=check)

    def settings(self) -> dict[str, str]:
        """What main.cf says."""
        return settings_of(self.postfix.main_cf.read_text("utf-8"))

    def entries(self) -> dict[str, str]:
        """What Postfix finds in the password map, empty if it has no table."""
        table = self.map.with_name("sasl_passwd.db")
        lines = table.read_text("utf-8").splitlines() if table.exists() else []
        return dict(line.split(" ", 1) for line in lines if line)

    def contents(self) -> dict[str, bytes]:
        """The content of each file but the locks, and the folders."""
        return {
            str(path.relative_to(self.directory)): b"" if path.is_dir() else path.read_bytes()
            for path in self.directory.rglob("*")
            if not path.name.endswith(".lock")
        }

    def reset(self, contents: t.Mapping[str, bytes]) -> None:
        """Bring all files back to these contents."""
        for path in sorted(self.directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        for name in sorted(contents):
            path = self.directory / name
            if any(other.startswith(f"{name}/") for other in contents):
                path.mkdir(mode=0o700)
            else:
                path.touch(mode=0o600)
                path.write_bytes(contents[name])

    def at_steps(
        self,
        step: t.Callable[[int, str], None],
        names: t.Container[str] = STEPS,
        *,
        after: bool = False,
    ) -> None:
        """Have ``step`` called before, or after, each of these steps, with its number and its name.

        Until the test ends, or ``at_ease`` is called.
        """
        numbers = itertools.count()

        def wrap(name: str, function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
            def wrapped(*args: t.Any, **kwargs: t.Any) -> t.Any:
                if name not in names or (name == "open" and not args[1] & os.O_CREAT):
                    return function(*args, **kwargs)
                if after:
                    result = function(*args, **kwargs)
                    step(next(numbers), name)
                    return result
                step(next(numbers), name)
                return function(*args, **kwargs)

            return wrapped

        for name in STEPS:
            self._patch.setattr(os, name, wrap(name, _REAL[name]))

    def at_ease(self) -> None:
        """Undo ``at_steps``."""
        for name in STEPS:
            self._patch.setattr(os, name, _REAL[name])


_REAL = {name: getattr(os, name) for name in STEPS}


def set_up(host: RelayHost) -> t.Any:
    """A relay through the first region."""
    return host.present(WEST)


def set_up_with_sender(host: RelayHost) -> t.Any:
    """The same, with a sender whose mail has a server of its own."""
    return host.present(WEST, senders=["@example.com"])


def change(host: RelayHost) -> t.Any:
    """A relay through the other region, without senders."""
    return host.present(CENTRAL)


def rotate(host: RelayHost) -> t.Any:
    """Another key for the first region."""
    return host.rotate("replaced", key(WEST))


def confirm(host: RelayHost) -> t.Any:
    """The rotation is over."""
    return host.rotate("confirmed")


def restore(host: RelayHost) -> t.Any:
    """The rotation is taken back."""
    return host.rotate("restored")


def remove(host: RelayHost) -> t.Any:
    """The relay is taken back."""
    return host.absent()


def killed(host: RelayHost, run: t.Callable[[RelayHost], t.Any], number: int) -> bool:
    """Run in a process that ends before a step of those that make, name or remove a file.

    The other steps leave the same files. Returns whether there is a step of this number.
    """

    def end(reached: int, _step: str) -> None:
        if reached == number:
            os._exit(99)

    pid = os.fork()
    if not pid:
        host.at_steps(end, ("open", *NAMING))
        try:
            run(host)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 99


def interrupt() -> None:
    """What Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)
