# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``mailops.ses.rotate`` says at its end, on many hosts with a real Postfix's programs.

Of each host something else is in the way. Once all of these ended with "It is safe".
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import found_in
from ansible_collections.mailops.ses.tests.support.postfix.scratch_configs import ScratchHosts
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow, pytest.mark.every_minor]

OLD, NEW, THIRD = (
    Account(f"AKIAEXAMPLE00000000{number}", f"secret/access+key/of+the+number/0000000{number}")
    for number in (1, 2, 3)
)
KEY = "[email-smtp.eu-west-1.amazonaws.com]:587"
MAPS = "smtp_sasl_password_maps = hash:{etc}/sasl_passwd\n"
VERDICT = re.compile(r"It is (?:NOT )?safe to deactivate \w+")


def login(account: Account) -> str:
    return f"{account.access_key}:{password_v4(account.secret_key, 'eu-west-1')}"


def source(*accounts: Account) -> dict[str, str]:
    """A password map, by its name."""
    lines = [
        f"{KEY.replace('587', port)} {login(account)}\n"
        for account, port in zip(accounts, ("587", "2587"), strict=False)
    ]
    return {"sasl_passwd": "".join(lines)}


HAS_OLD = "has the old key"
#: type and rest of a map that is not listed -> what is said of it
OPAQUE = {
    "static": (f"static:{login(OLD)}", HAS_OLD),
    "inline": (f"inline:{{ {{ {KEY} = {login(OLD)} }} }}", HAS_OLD),
    "regexp": ("regexp:/etc/postfix/sasl_regexp", "regexp:/etc/postfix/sasl_regexp of"),
    "pcre": ("pcre:/etc/postfix/sasl_pcre", "pcre:/etc/postfix/sasl_pcre of"),
    "mysql": ("mysql:/etc/postfix/mysql.cf", "mysql:/etc/postfix/mysql.cf of"),
    "ldap": ("proxy:ldap:/etc/postfix/ldap.cf", "ldap:/etc/postfix/ldap.cf of"),
    "unionmap": ("unionmap:{hash:{etc}/sasl_passwd, regexp:/etc/postfix/x}", "unionmap: of"),
    "pipemap": ("pipemap:{hash:{etc}/sasl_passwd, regexp:/etc/postfix/x}", "pipemap: of"),
}


class Hosts:
    """The hosts, and what each is expected to be blamed for; None if for nothing."""

    def __init__(self, folder: Path, cli: AnsibleCli) -> None:
        self._scratch = ScratchHosts(folder)
        self._cli = cli
        self.expected: dict[str, str | None] = {}
        for name in ("good", "empty", "other_kinds"):
            self.expected[name] = None
        self._scratch.add("good", MAPS, maps=source(NEW))
        self._scratch.add("empty")
        self._scratch.add("other_kinds", MAPS, maps={"sasl_passwd": "mail.example.com me:sesame\n"})
        self._block(
            "third",
            "neither the old nor the new key: " + THIRD.access_key,
            MAPS,
            maps=source(THIRD),
        )
        self._block("old", HAS_OLD, MAPS, maps=source(NEW, OLD))
        self._block("nobody", "was not read as root", MAPS, maps=source(OLD), as_nobody=True)
        self._second()
        self._services()
        for name, (value, says) in OPAQUE.items():
            self._block(name, says, f"smtp_sasl_password_maps = {value}\n", maps=source(NEW))
        pending = self._block("pending", "a rotation that is not finished", MAPS, maps=source(NEW))
        (pending / ".sasl_passwd.mailops.former").touch(mode=0o600)
        stale = self._block("stale", "where it is not active", MAPS, maps=source(THIRD))
        (stale / "sasl_passwd").write_text(source(NEW)["sasl_passwd"])
        (stale / "sasl_passwd.db").unlink()
        self.expected["liar"] = "its answer is not one of postfix_relay_info"
        self._scratch.add_liar("liar", json.dumps({"changed": False, "instances": [{"name": 3}]}))
        self.expected["gone"] = "can't be reached"
        self._scratch.add_unreachable("gone")
        self.inventory = cli.folder / "inventory.json"
        self._scratch.write_inventory(
            self.inventory,
            safe=["good", "empty", "other_kinds"],
            wrong=["empty", "other_kinds"],
        )

    def _block(self, name: str, says: str, *arguments: t.Any, **more: t.Any) -> Path:
        self.expected[name] = says
        return self._scratch.add(name, *arguments, **more)

    def _second(self) -> None:
        """Hosts with a second instance."""
        lines = f"{MAPS}multi_instance_directories = {{etc}}-2\n"
        for name, says in (
            ("broken", "has Postfix instances that can't be read: "),
            ("missing", "has Postfix instances that can't be read: "),
            ("limited", HAS_OLD),
        ):
            etc = self._scratch.etc(name)
            self._block(
                name, says, lines, maps=source(NEW), postfix_relay_config_directory=str(etc)
            )
            if name != "missing":
                second = Path(f"{etc}-2")
                self._scratch.configure(second, MAPS, maps=source(OLD))
                if name == "broken":
                    with (second / "main.cf").open("a") as file:
                        file.write("a line without an equals sign\n")
        unknown = self._scratch.etc("unknown").parent / "elsewhere"
        self._scratch.configure(unknown, MAPS, maps=source(OLD))
        self._block("unknown", HAS_OLD, postfix_relay_config_directory=str(unknown))

    def _services(self) -> None:
        """Hosts where another setting than main.cf's smtp_sasl_password_maps has the old key."""
        other = {"other": source(OLD)["sasl_passwd"], **source(NEW)}
        for name, line in {
            "service": "ses unix - - n - - smtp -o smtp_sasl_password_maps=hash:{etc}/other\n",
            "service_braces": "ses unix - - n - - smtp\n  -o { smtp_sasl_password_maps = hash:{etc}/other }\n",
            "service_joined": "ses unix - - n - - smtp -osmtp_sasl_password_maps=hash:{etc}/other\n",
            "service_static": f"ses unix - - n - - smtp -o smtp_sasl_password_maps=static:{login(OLD)}\n",
            "service_lmtp": "ses unix - - n - - lmtp -o lmtp_sasl_password_maps=hash:{etc}/other\n",
            "service_indirect": "ses unix - - n - - smtp -o smtp_sasl_password_maps=$ours\n",
        }.items():
            main_cf = f"{MAPS}ours = hash:{{etc}}/other\n"
            self._block(name, HAS_OLD, main_cf, line, maps=other)
        lmtp = f"{MAPS}lmtp_sasl_password_maps = hash:{{etc}}/other\n"
        self._block("lmtp", HAS_OLD, lmtp, maps=other)

    def rotate(self, *arguments: str, hosts: str = "all", old: str = OLD.access_key) -> Said:
        """Run the playbook; it ends with a non-zero exit status exactly if it is not safe."""
        variables = {
            "rotate_hosts": hosts,
            "rotate_access_key": NEW.access_key,
            "rotate_secret_key": NEW.secret_key,
            "rotate_old_access_key": old,
        }
        done = self._cli.run(
            "ansible-playbook", "mailops.ses.rotate", f"--inventory={self.inventory}",
            f"--extra-vars={json.dumps(variables)}", *arguments,
            environment={"ANSIBLE_PIPELINING": "1", "ANSIBLE_FORKS": "8"},
        )  # fmt: skip
        secrets = [NEW.secret_key, *(login(each).partition(":")[2] for each in (OLD, NEW, THIRD))]
        assert found_in(done.stdout, secrets) == []
        return Said(done.returncode, done.stdout)


class Said:
    """What a run said."""

    def __init__(self, status: int, output: str) -> None:
        self.status = status
        self.output = output
        blocks = re.findall(r'^    "msg": (\[\n.*?^    \])', output, re.MULTILINE | re.DOTALL)
        self.lines: list[str] = json.loads(blocks[-1]) if blocks else []

    @property
    def reasons(self) -> dict[str, str]:
        """Why a host is in the way, by its name."""
        pairs = (line.partition(": ") for line in self.lines[2:])
        return {name: why for name, colon, why in pairs if colon and " " not in name}

    def line(self, start: str) -> str:
        """The rest of a line that begins like this."""
        (found,) = (each[len(start) :] for each in self.lines if each.startswith(start))
        return found


@pytest.fixture(name="hosts", scope="module")
def fixture_hosts(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Hosts]:
    # Not below pytest's directory, which only root may enter.
    folder = Path(tempfile.mkdtemp(prefix="scratch-hosts-"))
    folder.chmod(0o755)
    try:
        yield Hosts(folder, AnsibleCli(tmp_path_factory.mktemp("verdict")))
    finally:
        shutil.rmtree(folder)


def test_each_host_is_blamed_for_its_own_reason(hosts: Hosts) -> None:
    """Of all of them, though --tags leaves out the rotation itself."""
    said = hosts.rotate("--tags=nothing")
    assert said.status != 0
    assert said.lines[1] == f"It is NOT safe to deactivate {OLD.access_key}"
    expected = {name: says for name, says in hosts.expected.items() if says}
    assert set(said.reasons) == set(expected)
    for name, says in expected.items():
        assert says in said.reasons[name], name
    assert said.line("Without any SES login: ") == "empty, other_kinds"
    assert "Not looked at: applications" in said.lines[-1]


def test_it_is_safe_where_nothing_is_in_the_way(hosts: Hosts) -> None:
    said = hosts.rotate(hosts="safe")
    assert said.status == 0, said.output
    assert said.lines[:2] == [
        f"1 of 3 hosts hold the new access key {NEW.access_key}, 0 the old access key {OLD.access_key}",
        f"It is safe to deactivate {OLD.access_key}",
    ]
    assert said.lines[-1].startswith("Looked at: Postfix on 3 hosts")


def test_the_wrong_group(hosts: Hosts) -> None:
    said = hosts.rotate(hosts="wrong")
    assert said.status != 0
    assert "No host was seen to use the new access key" in said.lines
    assert said.reasons == {}


def test_hosts_that_limit_leaves_out(hosts: Hosts) -> None:
    said = hosts.rotate("--limit=good", hosts="safe")
    assert said.status != 0
    assert set(said.reasons) == {"empty", "other_kinds"}
    assert all("left out by --limit" in why for why in said.reasons.values())


@pytest.mark.parametrize(
    ("pattern", "limit"), [("misspelt", None), ("misspelt", "good"), ("wrong", "good")]
)
def test_a_pattern_without_hosts(hosts: Hosts, pattern: str, limit: str | None) -> None:
    said = hosts.rotate(*([f"--limit={limit}"] if limit else []), hosts=pattern)
    assert said.status != 0
    assert f"rotate_hosts is '{pattern}', which matches" in said.output
    assert not VERDICT.search(said.output)


@pytest.mark.parametrize("sender", [None, "root@host"])
def test_a_test_message_needs_a_sender(hosts: Hosts, sender: str | None) -> None:
    variables = {"rotate_test_message": True, "rotate_test_sender": sender or ""}
    said = hosts.rotate(f"--extra-vars={json.dumps(variables)}", hosts="good:third")
    assert said.status != 0
    assert "rotate_test_message needs rotate_test_sender" in said.output
    assert f"(given: '{sender or ''}')" in said.output
    assert not VERDICT.search(said.output)


def test_a_rotation_that_fails(hosts: Hosts) -> None:
    """Of two batches: nothing of the first can be replaced, and the second never comes."""
    said = hosts.rotate(
        "--limit=good:lmtp:third",
        "--extra-vars={'rotate_serial': [2, '100%']}",
        hosts="good:lmtp:third",
    )
    assert said.status != 0
    assert "names as a table that can be made" in said.reasons["lmtp"]
    assert said.line("Not touched by this run: ") == "third"
    assert (
        said.line("May still hold the new access key, so do not delete that one either: ") == "lmtp"
    )
