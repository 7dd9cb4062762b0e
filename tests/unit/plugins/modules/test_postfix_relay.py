# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module from its arguments to its result, in this process, with Postfix in miniature."""

from __future__ import annotations

import errno
import os
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings import _probe
from ansible_collections.mailops.ses.plugins.module_utils._findings._probe import RelayProbe
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.plugins.modules import postfix_relay as plugin
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
from ansible_collections.mailops.ses.tests.support.running.payloads import relay_payload

if t.TYPE_CHECKING:
    from pathlib import Path

WEST, CENTRAL = "eu-west-1", "eu-central-1"
SECRET = "sesame-1"


class Module:
    """Runs the module on a Postfix in miniature."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.relay = FakeRelay.make(folder / "etc")
        self.tried: list[tuple[list[str], float, str | None, dict[str, float]]] = []
        self._module = ModuleInProcess(monkeypatch, capsys)
        self.warnings = self._module.warnings
        patch = monkeypatch.setattr
        trust_any_file(monkeypatch)
        patch(plugin, "Postfix", lambda _module, path: Postfix(self.relay.postfix, path))
        patch(plugin, "FileAttributes", lambda _module: self.relay.attributes)
        patch(plugin, "try_logins", self._try_logins)

    def _try_logins(
        self, logins: t.Iterable[t.Any], timeout: float, ca_file: str | None, **again: float
    ) -> None:
        self.tried.append(([login.server.host for login in logins], timeout, ca_file, again))

    def run(self, *regions: str, check: bool = False, **said: t.Any) -> dict[str, t.Any]:
        """Run it with the logins of some regions; returns its result."""
        logins = [
            {"host": host(region), "port": 587, "tls": "starttls", "username": USER}
            for region in regions
        ]
        arguments = {
            "config_directory": str(self.relay.directory),
            "password": relay_payload({**one, "password": SECRET} for one in logins),
            "ca_file": str(self.relay.ca_file),
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
    predicted = module.run(WEST, check=True)
    assert module.relay.files() == before
    done = module.run(WEST)
    names = ("changed", "reloaded", "settings", "relayhost", "path", "table", "diff")
    keys = ("entries_added", "entries_changed", "entries_removed")
    assert {name: predicted[name] for name in (*names, *keys)} == {
        name: done[name] for name in (*names, *keys)
    }
    assert (done["changed"], done["reloaded"]) == (True, True)
    assert done["entries_added"] == [key(WEST)]
    assert done["settings"]["relayhost"] == {"before": "[old.example.net]", "after": key(WEST)}
    assert "backup_files" not in done
    again = module.run(WEST)
    assert (again["changed"], again["settings"], again["diff"]) == (False, {}, [])
    assert "password" not in again["invocation"]["module_args"]
    assert again["invocation"]["module_args"]["state"] == "present"


def test_only_the_first_set_up_can_be_rolled_back_by_absent(module: Module) -> None:
    found = [
        module.run(*regions, **said)["first_set_up"]
        for regions, said in (
            ([WEST], {"check": True}),
            ([WEST], {}),
            ([WEST], {}),
            ([CENTRAL], {}),
            ([CENTRAL], {"state": "absent"}),
            ([CENTRAL], {"state": "absent"}),
            ([CENTRAL], {}),
        )
    ]
    assert found == [True, True, False, False, False, False, True]


def test_check_mode_rehearses_with_postfix(module: Module, tmp_path: Path) -> None:
    """In the temporary directory, where nothing is left, and without a password."""

    def look(_name: str) -> None:
        seen.update(path.read_text("utf-8") for path in temporary.rglob("*") if path.is_file())

    seen: set[str] = set()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    module.relay.postfix.before = look
    module.run(WEST, check=True, _ansible_tmpdir=str(temporary))
    assert any(f"relayhost = {key(WEST)}\n" in text for text in seen)
    assert f"{key(WEST)} {USER}:PASSWORD\n" in seen
    assert not any(SECRET in text for text in seen)
    assert [*temporary.iterdir()] == []

    module.run(WEST, _ansible_tmpdir=str(temporary))
    module.relay.postfix.fails["postconf -e"] = (1, b"", b"postconf: fatal: no")
    refused = module.run(state="absent", check=True, _ansible_tmpdir=str(temporary))
    assert "postconf can't edit main.cf" in refused["msg"]
    assert [*temporary.iterdir()] == []


def test_check_mode_knows_a_stopped_postfix(module: Module) -> None:
    module.relay.postfix.running = False
    assert module.run(WEST, check=True)["reloaded"] is False


def test_logins_are_tried_unless_the_task_says_no(module: Module) -> None:
    module.run(WEST, CENTRAL, check=True, timeout=3, retries=6, delay=0.5)
    module.run(WEST, verify=False)
    module.run(WEST)
    ca_file = str(module.relay.ca_file)
    assert module.tried == [
        ([host(WEST), host(CENTRAL)], 3.0, ca_file, {"retries": 6, "delay": 0.5}),
        ([host(WEST)], 10.0, ca_file, {"retries": 0, "delay": 5.0}),
    ]


def test_backups_and_the_way_back(module: Module) -> None:
    (backup,) = module.run(WEST, backup=True)["backup_files"]
    assert backup.startswith(f"{module.relay.directory}/main.cf.")
    assert module.run(WEST, backup=True)["backup_files"] == []
    away = module.run(state="absent")
    assert (away["changed"], away["entries_removed"]) == (True, [key(WEST)])
    assert away["relayhost"] == "[old.example.net]"
    assert module.run(state="absent")["changed"] is False


def test_passwords_in_main_cf_are_not_shown(module: Module) -> None:
    main_cf = module.relay.postfix.main_cf
    module.run(WEST)
    main_cf.write_text(
        main_cf.read_text().replace("_maps = ", f"_maps = static:me:{SECRET} "), encoding="utf-8"
    )
    assert "holds passwords itself" in module.run(state="absent")["msg"]
    assert "passwords in main.cf itself" in module.run(WEST)["msg"]


@pytest.mark.parametrize("check", [False, True])
def test_a_warning_about_the_new_main_cf_is_shown_in_the_first_run(
    module: Module, check: bool
) -> None:
    main_cf = module.relay.directory / "main.cf"
    text = "smtp_tls_wrappermode = yes\nsmtp_sasl_auth_soft_bounce = $smtp_tls_wrappermode\n"
    main_cf.write_text(main_cf.read_text("utf-8") + text, "utf-8")
    assert module.run(WEST, check=check)["changed"]
    (warning,) = module.warnings
    assert "smtp_sasl_auth_soft_bounce = no" in warning


class TestAStoppedPostfix:
    """It runs for its proof, and is stopped before anything is rolled back."""

    @pytest.fixture(autouse=True)
    def fixture_stopped(self, module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
        module.relay.postfix.running = False
        self.answer = RelayProbe(True, "250 OK")
        self.asked: list[bool] = []
        #: What main.cf had when Postfix was started or stopped.
        self.steps: list[tuple[str, str]] = []

        def note(call: str) -> None:
            if call in ("postfix start", "postfix stop"):
                self.steps.append((call, module.relay.postfix.main_cf.read_text("utf-8")))

        module.relay.postfix.before = note
        monkeypatch.setattr(_probe, "probe_relay", self._probe)

    def _probe(self, *_arguments: object, running: bool) -> RelayProbe:
        self.asked.append(running)
        return self.answer if running else RelayProbe(None, "Postfix is not running")

    def test_it_is_left_alone_without_the_option(self, module: Module) -> None:
        assert module.run(WEST)["proof"][0]["reason"] == "Postfix is not running"
        assert (self.asked, self.steps) == ([False], [])

    @pytest.mark.parametrize("said", [{"check": True}, {"verify": False}])
    def test_it_is_left_alone_where_it_is_not_asked(
        self, module: Module, said: dict[str, t.Any]
    ) -> None:
        module.run(WEST, start_for_proof=True, **said)
        assert (self.asked, self.steps) == ([], [])

    def test_it_runs_for_the_proof_alone(self, module: Module) -> None:
        for changed in (True, False):
            result = module.run(WEST, start_for_proof=True)
            assert result["changed"] is changed
            assert result["proof"][0]["shown_by"] == "postfix"
            assert not module.relay.postfix.running
        assert self.asked == [True, True]

    def test_the_previous_relay_is_back_when_it_is_refused(self, module: Module) -> None:
        module.run(WEST, start_for_proof=True)
        before = module.relay.contents()
        self.answer = RelayProbe(False, "SASL authentication failed")
        message = module.run(CENTRAL, start_for_proof=True)["msg"]
        assert "SASL authentication failed" in message
        assert message.endswith("Everything was rolled back, and Postfix is stopped again")
        assert module.relay.contents() == before
        assert not module.relay.postfix.running
        call, main_cf = self.steps[-1]
        assert call == "postfix stop"
        assert host(CENTRAL) in main_cf

    def test_it_may_not_start(self, module: Module) -> None:
        before = module.relay.contents()
        module.relay.postfix.fails["postfix start"] = (1, b"", b"postfix: fatal: no")
        message = module.run(WEST, start_for_proof=True)["msg"]
        assert (
            "Postfix can't be started for its proof: postfix: fatal: no. Look at its log" in message
        )
        assert module.relay.contents() == before
        assert self.asked == []

    def test_one_that_runs_goes_on(self, module: Module) -> None:
        module.relay.postfix.running = True
        module.run(WEST, start_for_proof=True)
        assert (self.asked, module.relay.postfix.running) == ([True], True)


def test_warnings_are_the_modules(module: Module) -> None:
    (module.relay.directory / "sasl_passwd.lmdb").touch()
    module.run(WEST)
    assert "sasl_passwd.lmdb is a table of another type" in module.warnings[0]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"password": SECRET}, "does not run without its action plugin"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"retries": -1}, "retries and delay at least 0"),
        ({"path": "sasl_passwd"}, "is not absolute"),
        ({"config_directory": "/no/such"}, "No such file or directory"),
    ],
)
def test_errors(module: Module, said: dict[str, t.Any], says: str) -> None:
    result = module.run(WEST, **said)
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
    assert module.run(WEST)["msg"] == says
