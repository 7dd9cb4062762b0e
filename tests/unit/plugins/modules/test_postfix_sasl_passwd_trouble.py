# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module where something goes wrong: others at work, failing programs, wrong options."""

from __future__ import annotations

import os
import shutil
import typing as t

import pytest
from ansible.module_utils import basic
from ansible_collections.mailops.ses.plugins.module_utils._files._secret_file import hold_lock
from ansible_collections.mailops.ses.plugins.module_utils._relay import _transaction
from ansible_collections.mailops.ses.tests.support.in_process.map_host import (
    COMPILED,
    KEY,
    NOTHING,
    OTHER,
    SECRET,
    Host,
    absent,
    picked,
    present,
)

if t.TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.postfix, pytest.mark.root]


@pytest.fixture
def host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Host:
    return Host(tmp_path, monkeypatch, capsys)


def test_somebody_else_finished_it_meanwhile(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hold_lock
    first = True

    def after_another_run(path: str, seconds: float) -> t.Any:
        nonlocal first
        if first:
            first = False
            host.run(present())
        return real(path, seconds)

    monkeypatch.setattr(_transaction, "hold_lock", after_another_run)
    assert picked(host.run(present())) == NOTHING


def test_somebody_else_added_an_entry_meanwhile(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hold_lock

    def after_an_edit(path: str, seconds: float) -> t.Any:
        host.source.write_text(f"{OTHER} a:b\n")
        return real(path, seconds)

    monkeypatch.setattr(_transaction, "hold_lock", after_an_edit)
    assert host.run(present())["entries_added"] == [KEY]
    assert host.look_up(OTHER, "hash") == "a:b"
    assert host.look_up(KEY, "hash") == f"user:{SECRET}"


def test_a_lock_that_is_held_too_long(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transaction, "_LOCK_SECONDS", 0.1)
    with hold_lock(str(host.source), 0):
        assert "has held the lock" in host.failure(present())


def test_a_source_that_was_removed(host: Host) -> None:
    host.run(present(), present(OTHER))
    host.source.unlink()
    message = host.failure(present())
    assert "would be lost: [other.example]:587" in message
    assert f"postmap -s hash:{host.source}" in message
    assert OTHER in host.failure(absent())
    assert picked(host.run(absent("x.example"))) == NOTHING
    result = host.run(present(), exclusive=True)
    assert (result["entries_added"], result["compiled"]) == ([KEY], True)
    assert host.look_up(OTHER, "hash") is None


def test_a_source_that_was_removed_with_ours_alone_in_the_table(host: Host) -> None:
    host.run(present())
    host.source.unlink()
    assert picked(host.run(absent())) == {**NOTHING, "changed": True, "compiled": True}
    assert host.look_up(KEY, "hash") is None
    assert host.source.read_bytes() == b""


@pytest.mark.parametrize("table_type", COMPILED)
def test_a_program_that_fails_leaves_all_as_it_was(
    host: Host,
    table_type: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host.run(present(), map_type=table_type)
    programs = tmp_path_factory.mktemp("bin")
    real = shutil.which("postconf")
    assert real is not None
    (programs / "postconf").symlink_to(real)
    for script, says in [
        (
            "echo 'postmap: fatal: x: No space left on device' >&2; exit 1",
            "No space left on device",
        ),
        (f"echo 'postmap: warning: line 1: {SECRET}' >&2; exit 1", "exit status 1"),
        ("kill -9 $$", "signal 9"),
        ("exit 0", ""),
    ]:
        (programs / "postmap").write_text(f"#!/bin/sh\n{script}\n")
        (programs / "postmap").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        assert says in host.failure(present(password="x"), map_type=table_type)
    assert not (host.folder / ".sasl_passwd.mailops").exists()


@pytest.mark.parametrize("table_type", COMPILED)
def test_a_program_that_stores_nothing_with_exit_status_0_is_found_out(
    host: Host,
    table_type: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host.run(present(), present("other.example", "other"), map_type=table_type)
    programs = tmp_path_factory.mktemp("bin")
    (programs / "postmap").write_text(f"""#!/bin/sh
for last; do :; done
case " $* " in *" -q "*|*" -s "*) ;; *) : > "${{last#*:}}" ;; esac
exec {shutil.which("postmap")} "$@"
""")
    (programs / "postmap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    message = host.failure(present(password="x"), map_type=table_type)
    assert "the new table does not have the entry '[smtp.example]:587'" in message
    # What is to be gone is not in an empty table either.
    message = host.failure(absent(), map_type=table_type)
    assert "the new table does not have the entry 'other.example'" in message
    assert host.look_up(KEY, table_type) == f"user:{SECRET}"
    assert host.look_up("other.example", table_type) == "user:other"


REFUSED: dict[str, tuple[dict[str, t.Any], list[str]]] = {
    "a relative path": ({"path": "sasl_passwd"}, ["sasl_passwd is not absolute"]),
    "a table": (
        {"path": "/etc/postfix/sasl_passwd.db"},
        ["is the name of a table", "like /etc/postfix/sasl_passwd"],
    ),
    "no directory": ({"path": "/nowhere/sasl_passwd"}, ["directory /nowhere does not exist"]),
    "a directory": ({"path": "/usr"}, ["/usr is not a regular file"]),
    "no instance": ({"config_directory": "/nowhere"}, ["postconf", "No such file or directory"]),
    "no action": ({"password": SECRET}, ["does not run without its action plugin"]),
    "nothing from the action": ({"password": None}, ["does not run without its action plugin"]),
}


@pytest.mark.parametrize(("options", "parts"), REFUSED.values(), ids=REFUSED)
def test_refused(host: Host, options: dict[str, t.Any], parts: list[str]) -> None:
    message = host.failure(present(), **options)
    for part in parts:
        assert part in message


def test_a_default_type_that_can_not_be_made(host: Host) -> None:
    main_cf = host.folder / "main.cf"
    main_cf.write_text("compatibility_level = 3.6\ndefault_database_type = dbm\n")
    os.utime(main_cf, (0, 0))
    assert "default_database_type is dbm" in host.failure(present())


def test_a_type_that_this_postfix_lacks(
    host: Host, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path_factory.mktemp("bin")
    real = shutil.which("postconf")
    (programs / "postconf").write_text(
        f'#!/bin/sh\ncase " $* " in *" -m "*) echo lmdb;; *) exec {real} "$@";; esac\n'
    )
    (programs / "postconf").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    assert "no lookup tables of type hash, it has lmdb" in host.failure(present())
    assert "no lookup tables of type hash" in host.failure(present(), check=True)


def test_a_table_that_is_no_file(host: Host) -> None:
    host.source.write_text("a b\n")
    host.table("hash").mkdir()
    assert "sasl_passwd.db is not a regular file" in host.failure(present())


def test_something_in_the_way_of_the_staging_directory(host: Host) -> None:
    (host.folder / ".sasl_passwd.mailops").touch()
    assert "is in the way" in host.failure(present())


def test_an_error_of_the_system_names_the_file(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, SECRET)

    host.run(present())
    monkeypatch.setattr(os, "fsync", full)
    message = host.failure(present(password="x"))
    assert "No space left on device" in message
    assert f"{host.folder}/.sasl_passwd.mailops/" in message


def test_many_entries(host: Host) -> None:
    entries = [
        present(f"[host{number}.example]:587", f"{SECRET}{number}") for number in range(3000)
    ]
    result = host.run(*entries)
    assert len(result["entries_added"]) == 3000
    assert host.look_up("[host2999.example]:587", "hash") == f"user:{SECRET}2999"
    assert picked(host.run(*entries)) == NOTHING


def test_selinux_context_of_what_is_replaced_and_of_what_is_new(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, list[str]]] = []
    module = basic.AnsibleModule
    monkeypatch.setattr(module, "selinux_enabled", lambda _self: True)
    monkeypatch.setattr(
        module, "selinux_context", lambda _self, path: ["of", os.path.basename(path)]
    )
    monkeypatch.setattr(
        module,
        "selinux_default_context",
        lambda _self, path, mode=0: ["new", os.path.basename(path)],
    )

    def give(
        _self: t.Any, path: str, context: list[str], changed: bool, diff: t.Any = None
    ) -> bool:
        if ".sasl_passwd.mailops" in os.path.realpath(path):
            given.append((os.path.basename(path)[16:], context))
        return changed

    monkeypatch.setattr(module, "set_context_if_different", give)
    host.source.write_text("a b\n")
    host.run(present(), setype="postfix_etc_t")
    assert given == [
        ("", ["of", "sasl_passwd"]),
        ("", [None, None, "postfix_etc_t"]),
        (".db", ["new", "sasl_passwd.db"]),
        (".db", [None, None, "postfix_etc_t"]),
    ]
