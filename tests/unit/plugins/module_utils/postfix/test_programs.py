# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import (
    TABLE_TYPES,
    Postfix,
    PostfixError,
    list_cdb,
)

HASH, TEXTHASH = TABLE_TYPES["hash"], TABLE_TYPES["texthash"]
NO_SPACE = b"postmap: fatal: close database /x/y.db: No space left on device\n"
SKIPPED = (
    b"postmap: warning: /x, line 7: unbalanced '\"' in 'a\"b user:sesame' -- ignoring this line\n"
)

# exit status and standard error of a program -> what the message says of them
REASONS: dict[str, tuple[int, bytes, str]] = {
    "an error of the system": (1, NO_SPACE, "exit status 1, No space left on device"),
    "a line of the map": (1, SKIPPED + NO_SPACE, "exit status 1, No space left on device"),
    "a fatal line": (1, b"postmap: fatal: /x, line 3: bad sesame\n", "exit status 1, line 3"),
    "an unknown type": (
        1,
        b"postmap: fatal: unsupported dictionary type: foo\n",
        "unsupported dictionary type",
    ),
    "a wrong address": (
        1,
        b"postconf: fatal: config variable inet_interfaces: host not found: sesame\n",
        "exit status 1, inet_interfaces: host not found",
    ),
    "an address of another host": (
        1,
        b"postmap: fatal: parameter inet_interfaces: no local interface found for sesame\n",
        "exit status 1, inet_interfaces: no local interface found",
    ),
    "no network": (
        1,
        b"postmap: fatal: could not find any active network interfaces\n",
        "exit status 1, this host has no active network interface",
    ),
    "an empty name": (
        1,
        b"postmap: fatal: bad string length 0 < 1: myhostname = \n",
        "exit status 1, myhostname is empty",
    ),
    "a missing file": (
        1,
        b"postmap: fatal: /etc/mailname: cannot open file: No such file or directory\n",
        "exit status 1, /etc/mailname: No such file or directory",
    ),
    "a file's line": (
        1,
        b"postconf: fatal: /etc/postfix/main.cf, line 2: missing '=' after attribute name: \"sesame\"\n",
        "exit status 1, /etc/postfix/main.cf, line 2: missing '='",
    ),
    "a copy's line": (
        1,
        b"postconf: fatal: /proc/self/fd/9/main.cf, line 2: missing '=' after attribute name: \"x\"\n",
        "exit status 1, main.cf, line 2: missing '='",
    ),
    "a bad value": (
        1,
        b"postmap: fatal: bad boolean configuration: smtp_sasl_auth_enable = sesame\n",
        "exit status 1, smtp_sasl_auth_enable has a bad value",
    ),
    "an unknown value": (
        1,
        b'postconf: fatal: unknown inet_protocols value "sesame" in "sesame"\n',
        "exit status 1, inet_protocols has an unknown value",
    ),
    "an unknown user": (
        1,
        b"postmap: fatal: file /etc/postfix/main.cf: parameter mail_owner: unknown user name value: x\n",
        "exit status 1, /etc/postfix/main.cf: mail_owner names an unknown user",
    ),
    "an unknown group": (
        1,
        b"postmap: fatal: file /etc/postfix/main.cf: parameter setgid_group: unknown group name: x\n",
        "exit status 1, /etc/postfix/main.cf: setgid_group names an unknown group",
    ),
    "a privileged user": (
        1,
        b"postmap: fatal: file /etc/postfix/main.cf: parameter default_privs: user x has privileged user ID\n",
        "exit status 1, /etc/postfix/main.cf: default_privs names a privileged user",
    ),
    "a compatibility level": (
        1,
        b'postmap: fatal: malformed compatibility level syntax: "sesame"\n',
        "exit status 1, compatibility_level has a bad value",
    ),
    "a list that does not end": (
        1,
        b"postmap: fatal: import_environment: missing '}' in \"{sesame\"\n",
        "exit status 1, import_environment has an unclosed brace",
    ),
    "a reference that does not end": (
        1,
        b'postconf: warning: truncated macro reference: "${sesame"\n',
        "exit status 1, a value has an unclosed brace or parenthesis",
    ),
    "a value that contains itself": (
        1,
        b'postconf: warning: unreasonable macro call nesting: "smtp_helo_name"\n',
        "exit status 1, the value of smtp_helo_name contains smtp_helo_name itself",
    ),
    "a path that may be a secret": (
        1,
        b"postmap: fatal: open database /sesame/x.db: Permission denied\n",
        "exit status 1, Permission denied",
    ),
    "nothing": (75, b"", "exit status 75"),
    "a signal": (-7, b"sesame", "ended by signal 7"),
}


class Scripted:
    """Programs that answer what a test says; remembers what they were given."""

    def __init__(
        self, code: int = 0, out: bytes = b"", err: bytes = b"", missing: bool = False
    ) -> None:
        self.answer = (code, out, err)
        self.missing = missing
        self.calls: list[tuple[list[str], t.Any]] = []

    def get_bin_path(self, arg: str) -> str | None:
        return None if self.missing else f"/usr/sbin/{arg}"

    def run_command(self, args: list[str], **kwargs: t.Any) -> tuple[int, bytes, bytes]:
        self.calls.append((args, kwargs.get("data")))
        return self.answer


class Real:
    """The programs of this machine."""

    def get_bin_path(self, arg: str) -> str | None:
        return shutil.which(arg, path=f"{os.environ['PATH']}:/usr/sbin")

    def run_command(self, args: list[str], **kwargs: t.Any) -> tuple[int, bytes, bytes]:
        assert kwargs["encoding"] is None
        done = subprocess.run(args, input=kwargs.get("data"), capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def instance(tmp_path: Path) -> str:
    """The configuration directory of a Postfix of the test's own."""
    main_cf = tmp_path / "main.cf"
    main_cf.write_text(
        "compatibility_level = 3.6\ndefault_database_type = btree\nsmtputf8_enable = no\n"
    )
    os.utime(main_cf, (0, 0))  # Postfix waits for a file that has just been written
    return str(tmp_path)


def test_settings_are_read_in_one_call() -> None:
    programs = Scripted(out=b"lmdb\n/etc/postfix-out\nyes\n")
    settings = Postfix(programs, "/etc/postfix-out").read_settings()
    assert (settings.default_type, settings.config_directory, settings.utf8) == (
        "lmdb",
        "/etc/postfix-out",
        True,
    )
    names = ["default_database_type", "config_directory", "smtputf8_enable"]
    assert programs.calls == [
        (["/usr/sbin/postconf", "-c", "/etc/postfix-out", "-hx", *names], None)
    ]


@pytest.mark.postfix
def test_settings_of_a_real_instance(instance: str) -> None:
    settings = Postfix(Real(), instance).read_settings()
    assert (settings.default_type, settings.config_directory, settings.utf8) == (
        "btree",
        instance,
        False,
    )


@pytest.mark.postfix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("inet_interfaces = 999.1.2.3", "inet_interfaces: host not found"),
        ("myhostname =", "myhostname is empty"),
        ("myorigin = /etc/no-mailname", "/etc/no-mailname: No such file or directory"),
        ("relayhost", "main.cf, line 4: missing '='"),
    ],
)
def test_a_real_postfix_and_a_wrong_main_cf(instance: str, line: str, says: str) -> None:
    main_cf = Path(instance, "main.cf")
    main_cf.write_text(f"{main_cf.read_text()}{line}\n")
    os.utime(main_cf, (0, 0))
    source = Path(instance, "map")
    source.write_text("key value\n")
    postfix = Postfix(Real(), instance)
    with pytest.raises(PostfixError) as error:
        postfix.compile(HASH, str(source))
    assert says in str(error.value)


@pytest.mark.parametrize(("code", "err", "reason"), REASONS.values(), ids=REASONS)
def test_messages_hold_harmless_parts_only(code: int, err: bytes, reason: str) -> None:
    postfix = Postfix(Scripted(code, err=err))
    for action in (
        postfix.read_settings,
        lambda: postfix.check_type(HASH),
        lambda: postfix.compile(HASH, "/x"),
    ):
        with pytest.raises(PostfixError) as error:
            action()
        assert reason in str(error.value)
        assert "sesame" not in str(error.value)


def test_a_program_that_is_missing() -> None:
    with pytest.raises(PostfixError, match=r"postconf was not found\. Is Postfix installed\?"):
        Postfix(Scripted(missing=True)).read_settings()


def test_a_program_that_can_not_be_run() -> None:
    programs = Scripted()

    def fail(args: list[str], **kwargs: t.Any) -> tuple[int, bytes, bytes]:
        raise PermissionError(errno.EACCES, "sesame")

    programs.run_command = fail  # type: ignore[method-assign]
    with pytest.raises(PostfixError, match="/usr/sbin/postconf can't be run: Permission denied"):
        Postfix(programs).read_settings()


def test_a_type_is_asked_for_once() -> None:
    programs = Scripted(out=b"btree\nhash\n")
    postfix = Postfix(programs)
    postfix.check_type(HASH)
    postfix.check_type(HASH)
    assert len(programs.calls) == 1


@pytest.mark.parametrize(
    ("name", "out", "parts"),
    [
        (
            "hash",
            b"cdb\nlmdb\npcre\n",
            ["of type hash", "it has lmdb, cdb (postconf -m)", "RHEL 10", "lmdb"],
        ),
        ("lmdb", b"btree\nhash\nunix\n", ["it has hash, btree", "postfix-lmdb"]),
        ("cdb", b"unix\n", ["none that can be used here", "postfix-cdb"]),
    ],
)
def test_a_type_that_this_postfix_lacks(name: str, out: bytes, parts: list[str]) -> None:
    with pytest.raises(PostfixError) as error:
        Postfix(Scripted(out=out)).check_type(TABLE_TYPES[name])
    for part in parts:
        assert part in str(error.value)


@pytest.mark.postfix
@pytest.mark.parametrize("name", [name for name in TABLE_TYPES if TABLE_TYPES[name].suffix])
def test_a_real_table(tmp_path: Path, instance: str, name: str) -> None:
    postfix = Postfix(Real(), instance)
    table_type = TABLE_TYPES[name]
    postfix.check_type(table_type)
    entries = {
        f"[host{number}.example]:587": f"user:{number:044}".encode() for number in range(700)
    }
    path = tmp_path / "map"
    path.write_bytes(b"".join(f"{key} ".encode() + value + b"\n" for key, value in entries.items()))
    assert postfix.list_table(table_type, str(path)) is None
    assert postfix.compile(table_type, str(path)) == f"{path}{table_type.suffix}"
    assert postfix.list_table(table_type, str(path)) == {
        key.encode() + b"\t" + value for key, value in entries.items()
    }
    expected: dict[bytes, bytes | None] = {
        key.upper().encode(): value for key, value in entries.items()
    }
    postfix.verify(table_type, str(path), {**expected, b"[other.example]:587": None})
    with pytest.raises(PostfixError, match="still has the entry"):
        postfix.verify(table_type, str(path), {b"[host7.example]:587": None})
    with pytest.raises(PostfixError, match=r"does not have the entry '.other") as error:
        postfix.verify(table_type, str(path), {b"[other.example]:587": b"user:sesame"})
    assert "sesame" not in str(error.value)


@pytest.mark.slow
@pytest.mark.postfix
@pytest.mark.parametrize("name", [name for name in TABLE_TYPES if TABLE_TYPES[name].suffix])
@pytest.mark.parametrize("damage", [b"", b"\0" * 4096, b"a table" * 999])
def test_a_damaged_table_can_not_be_listed(
    tmp_path: Path, instance: str, name: str, damage: bytes
) -> None:
    path = tmp_path / "map"
    path.with_suffix(TABLE_TYPES[name].suffix).write_bytes(damage)
    assert Postfix(Real(), instance).list_table(TABLE_TYPES[name], str(path)) is None


@pytest.mark.postfix
def test_a_table_of_the_other_type_with_this_suffix_can_not_be_listed(
    tmp_path: Path, instance: str
) -> None:
    postfix = Postfix(Real(), instance)
    path = tmp_path / "map"
    path.write_bytes(b"a b\n")
    postfix.compile(TABLE_TYPES["btree"], str(path))
    assert postfix.list_table(HASH, str(path)) is None


@pytest.mark.postfix
def test_texthash_is_looked_up_at_once_and_is_new_afterwards(tmp_path: Path, instance: str) -> None:
    path = tmp_path / "map"
    path.write_bytes(b"a b:c\n")
    before = path.stat().st_mtime
    Postfix(Real(), instance).verify(TEXTHASH, str(path), {b"A": b"b:c", b"b": None})
    assert path.stat().st_mtime >= before


def test_keys_go_through_standard_input_in_batches_that_fit_into_a_pipe() -> None:
    programs = Scripted()
    expected: dict[bytes, bytes | None] = {b"k%05d" % number: None for number in range(20_000)}
    Postfix(programs).verify(HASH, "/x/map", expected)
    assert b"".join(data for _args, data in programs.calls) == b"".join(
        key + b"\n" for key in expected
    )
    assert {tuple(args) for args, _data in programs.calls} == {
        ("/usr/sbin/postmap", "-q", "-", "hash:/x/map")
    }
    assert all(len(data) <= 64 * 1024 for _args, data in programs.calls)


def test_why_a_look_up_failed_is_said() -> None:
    err = b"postmap: fatal: table hash:/x/map: query error: Input/output error\n"
    with pytest.raises(
        PostfixError, match=r"\(exit status 1, Input/output error\); the active table stays"
    ):
        Postfix(Scripted(1, err=err)).verify(HASH, "/x/map", {b"a": b"b:sesame"})


def cdb(records: bytes, end: int | None = None, slots: int = 0) -> bytes:
    position = 2048 + len(records) if end is None else end
    return struct.pack("<2I", position, slots) * 256 + records


CDB: dict[str, bytes] = {
    "empty": b"",
    "short": b"\0" * 2047,
    "a record beyond the end": cdb(struct.pack("<2I", 9, 9) + b"ab"),
    "half a record": cdb(b"\1\0\0"),
    "something after the end": cdb(b"") + b"\0",
    "hash tables that are missing": cdb(b"", slots=1),
}


@pytest.mark.parametrize("table", CDB.values(), ids=CDB)
def test_what_is_no_cdb_file(table: bytes) -> None:
    with pytest.raises(ValueError, match="cdb"):
        list_cdb(table)


def test_an_empty_cdb_file() -> None:
    assert list_cdb(cdb(b"")) == set()
