# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import stat
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._main_cf import (
    MainCf,
    read_settings,
    split_tokens,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import (
    Postfix,
    PostfixError,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import FakePostfix

if t.TYPE_CHECKING:
    from pathlib import Path

# a list in main.cf -> its parts
LISTS: dict[str, tuple[str, ...]] = {
    "": (),
    " , ": (),
    "hash:/a": ("hash:/a",),
    "hash:/a,hash:/b": ("hash:/a", "hash:/b"),
    "hash:/a, \t hash:/b,": ("hash:/a", "hash:/b"),
    "[a]:587 [b]:587": ("[a]:587", "[b]:587"),
    "inline:{ {a = b}, {c=d} }, $x": ("inline:{ {a = b}, {c=d} }", "$x"),
    "{static: a b}": ("{static: a b}",),
}
MAIN_CF = """\
# a comment
relayhost =
    [a]:587,
  # inside
    [b]:587
smtp_sasl_auth_enable=no
# the end"""


@pytest.fixture(name="fake")
def fixture_fake(tmp_path: Path) -> FakePostfix:
    return FakePostfix(tmp_path, MAIN_CF)


@pytest.fixture(name="postfix")
def fixture_postfix(fake: FakePostfix) -> Postfix:
    return Postfix(fake, str(fake.directory))


@pytest.fixture(name="main_cf")
def fixture_main_cf(fake: FakePostfix, postfix: Postfix) -> t.Iterator[MainCf]:
    main_cf = MainCf(postfix, str(fake.directory))
    main_cf.staging.create()
    yield main_cf
    main_cf.staging.remove()
    assert not main_cf.staging.is_there()


@pytest.mark.parametrize(("value", "parts"), LISTS.items())
def test_a_list_in_parts(value: str, parts: tuple[str, ...]) -> None:
    assert split_tokens(value) == parts


def test_settings_are_read_expanded_or_as_they_are(fake: FakePostfix, postfix: Postfix) -> None:
    names = ["relayhost", "smtp_sasl_auth_enable", "smtp_sasl_tls_security_options"]
    assert read_settings(postfix, names) == {
        "relayhost": "[a]:587, [b]:587",
        "smtp_sasl_auth_enable": "no",
        "smtp_sasl_tls_security_options": "noplaintext, noanonymous",
    }
    assert list(read_settings(postfix, names, ["-n"])) == names[:2]
    assert fake.calls == ["postconf -x", "postconf -n"]


def test_an_equals_sign_may_be_in_a_value_and_a_name_may_be_unknown(
    fake: FakePostfix, postfix: Postfix
) -> None:
    fake.fails["postconf -x"] = (0, b"relayhost = a=b\nother = c\n", b"warning: x")
    assert read_settings(postfix, ["relayhost", "nosuch"]) == {"relayhost": "a=b"}


def test_a_postconf_that_fails(fake: FakePostfix, postfix: Postfix, main_cf: MainCf) -> None:
    for option in ("-x", "-e", "-X"):
        fake.fails[f"postconf {option}"] = (1, b"", b"fatal: x: Permission denied\n")
    with pytest.raises(PostfixError, match=r"can't read Postfix's settings: .*Permission denied"):
        read_settings(postfix, ["relayhost"])
    with pytest.raises(PostfixError, match=r"can't edit main\.cf: exit status 1, Permission"):
        main_cf.stage({"relayhost": "x"})
    with pytest.raises(PostfixError, match=r"can't edit main\.cf"):
        main_cf.stage({"relayhost": None})


def test_what_is_staged_differs_in_what_was_said_only(fake: FakePostfix, main_cf: MainCf) -> None:
    fake.main_cf.chmod(0o640)
    changes = {"relayhost": "[c]:465", "new": "1", "smtp_sasl_auth_enable": None}
    staged = main_cf.stage(changes)
    with open(staged, encoding="utf-8") as file:
        assert file.read() == "# a comment\nrelayhost = [c]:465\n# the end\nnew = 1\n"
    assert stat.S_IMODE(os.stat(staged).st_mode) == 0o640
    assert fake.main_cf.read_text("utf-8") == MAIN_CF
    assert staged.startswith(str(fake.directory / ".main.cf.mailops"))
    assert main_cf.read_staged(staged, ["relayhost", "config_directory"]) == {
        "relayhost": "[c]:465",
        "config_directory": str(fake.directory),
    }


def test_only_what_is_needed_is_run(fake: FakePostfix, main_cf: MainCf) -> None:
    main_cf.stage({"relayhost": "x"})
    main_cf.stage({"relayhost": None})
    others = ["postconf -n", "postconf -n"]
    assert fake.calls == ["postconf -e", *others, "postconf -X", *others]


def test_another_setting_that_would_change(fake: FakePostfix, main_cf: MainCf) -> None:
    def append(name: str) -> None:
        if name == "postconf -e":
            (folder,) = (fake.directory / ".main.cf.mailops").iterdir()
            with (folder / "main.cf").open("a", encoding="utf-8") as file:
                file.write("myhostname = x\n")

    fake.before = append
    with pytest.raises(PostfixError, match="would change myhostname too"):
        main_cf.stage({"relayhost": "x"})


def test_a_link_is_followed(fake: FakePostfix, postfix: Postfix, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "main.cf.real"
    fake.main_cf.rename(real)
    fake.main_cf.symlink_to(real)
    main_cf = MainCf(postfix, str(tmp_path))
    assert main_cf.path == str(real)
    assert main_cf.staging.directory == str(tmp_path / "elsewhere" / ".main.cf.real.mailops")
    assert main_cf.read() == MAIN_CF.encode()


def test_a_main_cf_that_is_not_there(fake: FakePostfix, main_cf: MainCf) -> None:
    fake.main_cf.unlink()
    with pytest.raises(PostfixError, match="does not exist"):
        main_cf.read()


def test_extended_attributes_go_along(
    fake: FakePostfix, main_cf: MainCf, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = {}
    monkeypatch.setattr(os, "listxattr", lambda _path: ["user.a", "user.gone"], raising=False)

    def get(_path: str, name: str) -> bytes:
        if name == "user.gone":
            raise OSError(errno.ENODATA, "gone")
        return name.encode()

    monkeypatch.setattr(os, "getxattr", get, raising=False)
    monkeypatch.setattr(
        os, "setxattr", lambda _path, name, value: copied.update({name: value}), raising=False
    )
    main_cf.stage_content(b"")
    assert copied == {"user.a": b"user.a"}


@pytest.mark.parametrize("function", ["listxattr", "getxattr"])
def test_extended_attributes_that_fail(
    main_cf: MainCf, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def fail(*_args: object) -> t.NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "listxattr", lambda _path: ["user.a"], raising=False)
    monkeypatch.setattr(os, function, fail, raising=False)
    number = errno.ENOTSUP
    main_cf.stage_content(b"")
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        main_cf.stage_content(b"")


def test_systems_without_extended_attributes(
    main_cf: MainCf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "listxattr", raising=False)
    assert main_cf.stage_content(b"x")
