# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A forgotten become: the modules in this process, as the user nobody, with the real Postfix."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.modules import (
    postfix_relay,
    postfix_relay_info,
    postfix_relay_key,
    postfix_sasl_passwd,
)
from ansible_collections.mailops.ses.tests.support.in_process.module_in_process import (
    ModuleInProcess,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import program
from ansible_collections.mailops.ses.tests.support.running.payloads import (
    entries_payload,
    relay_payload,
    rotation_payload,
)

pytestmark = [pytest.mark.postfix, pytest.mark.root]

NOBODY = 65534
SECRET = "sesame-1"
KEY = "[email-smtp.eu-west-1.amazonaws.com]:587"
REMEDY = "run the task as root (become: true): "


@pytest.fixture(name="etc")
def fixture_etc() -> t.Iterator[Path]:
    """An instance of root's, in a directory that anybody can enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "main.cf").write_text(f"smtp_sasl_password_maps = hash:{folder}/sasl_passwd\n")
    (folder / "master.cf").write_text("smtp unix - - n - - smtp\n")
    (folder / "sasl_passwd").touch(mode=0o600)
    (folder / "sasl_passwd").write_text(f"{KEY} AKIAIOSFODNN7EXAMPLE:{SECRET}\n")
    (folder / ".mailops-ses").mkdir(mode=0o700)
    then = time.time() - 10  # Postfix waits for a file that was changed just now
    os.utime(folder / "main.cf", (then, then))
    subprocess.run([program("postmap"), "-c", folder, f"hash:{folder}/sasl_passwd"], check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(name="run")
def fixture_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], etc: Path
) -> t.Callable[..., dict[str, t.Any]]:
    module = ModuleInProcess(monkeypatch, capsys)

    def run(plugin: t.Any, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
        given = {"config_directory": str(etc), "_ansible_tmpdir": "/no/such", **arguments}
        groups = os.getgroups()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, 0)
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            return module.run(plugin.main, given, [SECRET], check=check)
        finally:
            os.setresuid(0, 0, 0)
            os.setresgid(0, 0, 0)
            os.setgroups(groups)

    return run


def arguments_of(plugin: t.Any) -> dict[str, t.Any]:
    """What the action hands over."""
    login = {"username": "AKIAIOSFODNN7EXAMPLE", "password": SECRET}
    server = {**login, "host": KEY[1:-5], "port": 587, "tls": "starttls"}
    if plugin is postfix_relay_key:
        return {"secret_key": rotation_payload()}
    if plugin is postfix_sasl_passwd:
        return {"password": entries_payload({**login, "key": KEY})}
    return {"password": relay_payload([server])}


MODULES = [postfix_relay, postfix_relay_key, postfix_sasl_passwd]


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("plugin", MODULES, ids=lambda each: each.__name__.rpartition(".")[2])
def test_the_error_begins_with_the_remedy(
    run: t.Callable[..., dict[str, t.Any]], etc: Path, plugin: t.Any, check: bool
) -> None:
    said = f"{REMEDY}the user nobody can't write to {etc}. Nothing was changed"
    assert run(plugin, check, **arguments_of(plugin))["msg"] == said
    (etc / "main.cf").chmod(0o600)
    assert run(plugin, check, **arguments_of(plugin))["msg"].startswith(REMEDY)


@pytest.mark.parametrize("check", [True, False])
def test_only_root_can_give_files(
    run: t.Callable[..., dict[str, t.Any]], etc: Path, check: bool
) -> None:
    """A user that owns the configuration, as with become_user."""
    for path in (etc, *etc.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    given = arguments_of(postfix_sasl_passwd)
    result = run(postfix_sasl_passwd, check, **given)
    said = (
        f"{REMEDY}the user nobody can't make root the owner of a file. Without root, set owner to"
    )
    assert result["msg"].startswith(said)
    result = run(postfix_sasl_passwd, check, **given, owner="nobody")
    assert "can't make root the group of a file" in result["msg"]
    result = run(postfix_sasl_passwd, check, **given, owner="nobody", group=str(NOBODY))
    assert not result.get("failed"), result


def test_what_is_found_unreadable_later(run: t.Callable[..., dict[str, t.Any]], etc: Path) -> None:
    (etc / "main.cf").chmod(0o600)
    os.chown(etc, NOBODY, NOBODY)
    result = run(postfix_relay, True, **arguments_of(postfix_relay))
    assert result["msg"].startswith(f"{REMEDY}postconf can't read Postfix's settings")


def test_passwords_that_were_not_read_are_critical(
    run: t.Callable[..., dict[str, t.Any]], etc: Path
) -> None:
    found = run(postfix_relay_info)["findings"]
    (finding,) = [each for each in found if each["id"] == "map_not_read"]
    assert finding["severity"] == "critical"
    assert finding["remedy"] == "Run the task as root: set become: true"
    (etc / "main.cf").write_text("smtp_sasl_password_maps = regexp:/no/such\n")
    os.utime(etc / "main.cf", (0, 0))
    found = run(postfix_relay_info)["findings"]
    assert [each["severity"] for each in found if each["id"] == "map_not_read"] == ["warning"]
