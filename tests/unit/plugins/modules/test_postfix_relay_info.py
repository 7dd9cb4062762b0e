# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module from its arguments to its result, in this process, with Postfix in miniature."""

from __future__ import annotations

import errno
import os
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings._left_overs import (
    Places,
    find_left_overs,
)
from ansible_collections.mailops.ses.plugins.module_utils._payload import pack
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.plugins.modules import postfix_relay_info as plugin
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_survey import (
    CANDIDATE,
    HOST,
    KEY,
    PASSWORD,
    FakeSurvey,
    fake_survey,
)
from ansible_collections.mailops.ses.tests.support.in_process.module_in_process import (
    ModuleInProcess,
)

HANDED_OVER = pack("mailops.ses.postfix_relay_info", CANDIDATE)


class Module:
    """Runs the module on a Postfix in miniature."""

    def __init__(
        self,
        relay: FakeSurvey,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.relay = relay
        self._module = ModuleInProcess(monkeypatch, capsys)
        monkeypatch.setattr(
            plugin, "Postfix", lambda _module, path=None: Postfix(relay.postfix, path)
        )
        self.homes = relay.folder / "homes"
        places = Places(users="no such file", homes=str(self.homes), for_all=())
        monkeypatch.setattr(plugin, "find_left_overs", lambda path: find_left_overs(path, places))

    def run(self, **arguments: t.Any) -> dict[str, t.Any]:
        """Run it in check mode, which is the same as without; returns its result."""
        secrets = [SECRET_KEY, *PASSWORD_OF.values(), "sesame", '"salt"']
        return self._module.run(plugin.main, arguments, secrets, check=True)


@pytest.fixture(name="module")
def fixture_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> t.Iterator[Module]:
    with fake_survey(monkeypatch) as relay:
        yield Module(relay, monkeypatch, capsys)


def test_a_right_relay(module: Module) -> None:
    path = f"{module.relay.folder}/sasl_passwd"
    result = module.run(secret_key=HANDED_OVER)
    assert result["changed"] is False
    assert result["findings"] == []
    assert result["unreadable_instances"] == []
    assert result["root"] is (os.geteuid() == 0)
    assert result["invocation"] == {
        "module_args": {
            "config_directory": None,
            "probe": False,
            "probe_timeout": 30.0,
            "report_failure": False,
        }
    }
    assert result["instances"] == [
        {
            "name": "-",
            "config_directory": str(module.relay.folder),
            "mail_version": "3.7.11",
            "running": True,
            "relayhost": [KEY],
            "tls": "starttls",
            "tls_security_level": "secure",
            "ca_file": f"{module.relay.folder}/ca.pem",
            "rotation_pending": False,
            "probe": None,
            "deferred": {
                "messages": 0,
                "complete": True,
                "oldest_age": None,
                "oldest_reason": None,
            },
            "maps": [
                {
                    "table": f"hash:{path}",
                    "path": path,
                    "mode": "0600",
                    "settings": ["smtp_sasl_password_maps"],
                    "complete": True,
                }
            ],
            "entries": [
                {
                    "settings": ["smtp_sasl_password_maps"],
                    "table": f"hash:{path}",
                    "path": path,
                    "line": 1,
                    "key": KEY,
                    "username": ACCESS_KEY,
                    "version": 4,
                    "active": True,
                    "servers": [{"host": HOST, "port": 587, "tls": "starttls"}],
                    "system": "iam",
                    "region": "eu-west-1",
                    "matches": {"access_key": ACCESS_KEY, "region": "eu-west-1", "version": 4},
                }
            ],
        }
    ]
    (instance,) = module.run(config_directory=str(module.relay.folder))["instances"]
    assert instance["entries"][0]["matches"] is None


def test_a_rotation_that_is_not_finished(module: Module) -> None:
    (module.relay.folder / ".sasl_passwd.mailops.former").touch(mode=0o600)
    result = module.run()
    assert result["instances"][0]["rotation_pending"] is True
    assert result["findings"] == []


def test_what_is_wrong_most_severe_first(module: Module) -> None:
    module.relay.set(smtp_tls_security_level="encrypt")
    module.relay.map(f"{KEY} {ACCESS_KEY}:{SECRET_KEY}\n[{HOST}]:2587 {ACCESS_KEY}:{PASSWORD}\n")
    found = module.run()["findings"]
    assert [each["severity"] for each in found] == ["critical", "warning", "notice"]
    assert [each["id"] for each in found] == [
        "raw_secret",
        "tls_not_verified",
        "unused_entry",
    ]
    assert set(found[0]) == {
        "id",
        "severity",
        "config_directory",
        "file",
        "key",
        "message",
        "remedy",
    }


def test_a_file_that_an_interrupted_task_left_is_about_the_whole_host(module: Module) -> None:
    folder = module.homes / "deploy" / ".ansible" / "tmp" / "ansible-tmp-1795729857.28-111-914975"
    folder.mkdir(parents=True)
    (folder / "AnsiballZ_postfix_relay.py").write_text(PASSWORD)
    for arguments in ({}, {"config_directory": str(module.relay.folder)}):
        (finding,) = module.run(**arguments)["findings"]
        assert (finding["id"], finding["severity"]) == ("left_over_module", "critical")
        assert (finding["config_directory"], finding["key"]) == (None, None)
        assert finding["file"] == str(folder / "AnsiballZ_postfix_relay.py")
        assert f"rm -r {folder}" in finding["remedy"]


def test_a_broken_instance_does_not_hide_the_others(module: Module) -> None:
    module.relay.set(multi_instance_directories="{folder}/no-such")
    result = module.run()
    assert [each["config_directory"] for each in result["instances"]] == [str(module.relay.folder)]
    assert result["unreadable_instances"] == [f"{module.relay.folder}/no-such"]
    (finding,) = result["findings"]
    assert (finding["id"], finding["config_directory"]) == (
        "instance_unreadable",
        f"{module.relay.folder}/no-such",
    )
    assert "No such file or directory" in finding["message"]
    assert "No such file" in module.run(config_directory=finding["config_directory"])["msg"]


def test_a_master_cf_that_is_no_file(module: Module) -> None:
    (module.relay.folder / "master.cf").unlink()
    (module.relay.folder / "master.cf").mkdir()
    (finding,) = module.run()["findings"]
    assert finding["id"] == "instance_unreadable"
    result = module.run(config_directory=str(module.relay.folder))
    assert "master.cf is not a regular file" in result["msg"]


def test_a_host_without_postfix(module: Module) -> None:
    module.relay.postfix.missing = True
    result = module.run()
    assert result["failed"] is True
    assert "Is Postfix installed?" in result["msg"]


def test_it_needs_its_action_plugin(module: Module) -> None:
    key = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    for arguments in ({"candidates": [key]}, key, {"access_key": ACCESS_KEY}):
        result = module.run(**arguments)
        assert "does not run without its action plugin" in result["msg"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EIO, "", "/etc/x"), f"/etc/x: {os.strerror(errno.EIO)}"),
        (OSError("odd"), "Postfix: OSError"),
    ],
)
def test_errors_of_the_system(
    module: Module, monkeypatch: pytest.MonkeyPatch, error: OSError, says: str
) -> None:
    def fail(*_arguments: object) -> t.NoReturn:
        raise error

    monkeypatch.setattr(plugin, "report_on_all", fail)
    assert module.run()["msg"] == says
