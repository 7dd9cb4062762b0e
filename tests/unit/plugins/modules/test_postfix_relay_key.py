# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module from its arguments to its result, in this process, with Postfix in miniature."""

from __future__ import annotations

import errno
import os
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import RelayError
from ansible_collections.mailops.ses.plugins.modules import postfix_relay_key as plugin
from ansible_collections.mailops.ses.tests.support.in_process.fake_relay import (
    USER,
    FakeRelay,
    host,
    key,
    trust_any_file,
)
from ansible_collections.mailops.ses.tests.support.in_process.module_in_process import (
    ModuleInProcess,
)
from ansible_collections.mailops.ses.tests.support.running.payloads import rotation_payload

if t.TYPE_CHECKING:
    from pathlib import Path

WEST = "eu-west-1"
NEW, SECRET = "AKIAEXAMPLE000000002", "sesame-2"


class Module:
    """Runs the module on a relay in miniature."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        trust_any_file(monkeypatch)
        self.relay = FakeRelay.make(folder / "etc")
        self.relay.present(WEST)
        self.tried: list[tuple[t.Any, ...]] = []
        self._module = ModuleInProcess(monkeypatch, capsys)
        self.warnings = self._module.warnings
        patch = monkeypatch.setattr
        patch(plugin, "Postfix", lambda _module, path: Postfix(self.relay.postfix, path))
        patch(plugin, "SameAttributes", lambda _module: self.relay.attributes)
        patch(plugin, "try_logins", self._try_logins)

    def _try_logins(
        self, logins: t.Iterable[t.Any], timeout: float, ca_file: str | None, **more: t.Any
    ) -> None:
        self.tried.append(([login.server.host for login in logins], timeout, ca_file, more))

    def run(self, *keys: str, check: bool = False, **said: t.Any) -> dict[str, t.Any]:
        """Run it for the entries with these keys; returns its result."""
        server = {"host": host(WEST), "port": 587, "tls": "starttls"}
        path = str(self.relay.map)
        login = {"path": path, "username": NEW, "password": SECRET, "servers": [server]}
        arguments = {
            "config_directory": str(self.relay.directory),
            "secret_key": rotation_payload(*({**login, "key": each} for each in keys)),
            "old_access_key": USER,
            **said,
        }
        return self._module.run(plugin.main, arguments, [SECRET], check=check)


@pytest.fixture(name="module")
def fixture_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Module:
    return Module(tmp_path, monkeypatch, capsys)


def test_check_mode_says_what_a_run_does(module: Module) -> None:
    before = module.relay.files()
    names = ("changed", "entries_changed", "maps", "pending", "reloaded", "diff")
    predicted = module.run(key(WEST), check=True)
    assert module.relay.files() == before
    done = module.run(key(WEST))
    assert {name: predicted[name] for name in names} == {name: done[name] for name in names}
    assert [done[name] for name in names[:5]] == [
        True,
        [key(WEST)],
        [f"hash:{module.relay.map}"],
        True,
        False,
    ]
    assert "secret_key" not in done["invocation"]["module_args"]
    assert done["invocation"]["module_args"]["state"] == "replaced"
    again = module.run(key(WEST))
    assert [again[name] for name in names] == [False, [], [], True, False, []]
    confirmed = module.run(state="confirmed")
    assert (confirmed["changed"], confirmed["pending"]) == (True, False)
    assert module.run(state="restored")["changed"] is False


def test_check_mode_knows_whether_postfix_runs(tmp_path: Path, module: Module) -> None:
    module.relay = FakeRelay.make(tmp_path / "texthash")
    module.relay.present(WEST, map_type="texthash")
    assert module.run(key(WEST), check=True)["reloaded"] is True
    module.relay.postfix.running = False
    assert module.run(key(WEST), check=True)["reloaded"] is False
    assert module.run(key(WEST))["reloaded"] is False


def test_logins_are_tried_where_something_changes(module: Module) -> None:
    ca_file = str(module.relay.ca_file)
    module.run(key(WEST), check=True, timeout=3, retries=1, delay=0.5)
    module.run(key(WEST), check=True, ca_file="/other.pem")
    module.run(key(WEST), verify=False)
    module.run(key(WEST))
    module.run()
    assert module.tried == [
        ([host(WEST)], 3.0, ca_file, {"retries": 1, "delay": 0.5}),
        ([host(WEST)], 10.0, "/other.pem", {"retries": 6, "delay": 5.0}),
    ]


def test_a_refused_login_changes_nothing(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_more: object) -> t.NoReturn:
        raise RelayError("no. Nothing was changed")

    monkeypatch.setattr(plugin, "try_logins", refuse)
    before = module.relay.files()
    assert module.run(key(WEST))["msg"] == "no. Nothing was changed"
    assert module.relay.files() == before


def test_a_ca_file_that_may_be_a_password_is_not_shown(module: Module) -> None:
    main_cf = module.relay.postfix.main_cf
    path = str(module.relay.ca_file)
    main_cf.write_text(main_cf.read_text("utf-8").replace(path, f"them:{SECRET}"), "utf-8")
    failed = module.run(key(WEST))
    assert "smtp_tls_CAfile in main.cf is 'REDACTED'" in failed["msg"]
    assert "Nothing was changed" in failed["msg"]
    assert module.tried == []


def test_warnings_are_the_modules(module: Module) -> None:
    module.run(key(WEST), "[gone]:587")
    assert "the entry '[gone]:587' of" in module.warnings[0]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"secret_key": SECRET}, "does not run without its action plugin"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"retries": -1}, "retries and delay at least 0"),
        ({"config_directory": "/no/such"}, "No such file or directory"),
    ],
)
def test_errors(module: Module, said: dict[str, t.Any], says: str) -> None:
    result = module.run(key(WEST), **said)
    assert result["failed"] is True
    assert says in result["msg"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EROFS, "", "/etc/x"), f"/etc/x: {os.strerror(errno.EROFS)}"),
        (OSError("odd"), "Postfix: OSError"),
    ],
)
def test_errors_of_the_system(
    module: Module, monkeypatch: pytest.MonkeyPatch, error: OSError, says: str
) -> None:
    def fail(_module: object) -> t.NoReturn:
        raise error

    monkeypatch.setattr(plugin, "run", fail)
    assert module.run(key(WEST))["msg"] == says
