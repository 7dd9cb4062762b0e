# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_relay`` on main.cf files as people have them, on a Postfix that is not running.

Each is tried in check mode and for real, and taken back.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_configs import ScratchHosts
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import program
from ansible_collections.mailops.ses.tests.support.running.module_runner import (
    ModuleServer,
    run_module,
)
from ansible_collections.mailops.ses.tests.support.running.payloads import relay_payload
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

CASES: dict[str, dict[str, t.Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "support" / "postfix" / "cases.yml").read_text("utf-8")
)
REGION, OTHER_REGION = "eu-west-1", "eu-west-3"
PASSWORD = PASSWORD_OF[REGION]
#: The table holds the login, and the source is gone.
TABLE_ALONE = "70-db-only-absent"
#: The real one sleeps for a second before it says so.
NOT_RUNNING = """\
#!/bin/sh
echo "postfix/postfix-script: the Postfix mail system is not running" >&2
exit 1
"""
#: What the run says of those that it refuses.
REFUSED = {
    "02-arch-local-only": "has default_transport = error: outside mail is not deliverable, so",
    "03-transport-star": "in transport_maps ({etc}/main.cf, line 5), has an entry for *, so",
    "04-mandatory-tlsv1": "has smtp_tls_mandatory_protocols = TLSv1, which leaves neither TLS 1.2",
    "06-mech-filter-cram": "has smtp_sasl_mechanism_filter = cram-md5, so",
    "13-client-cert-gone": "has smtp_tls_cert_file = {etc}/tls/cert.pem, and that file does not",
    "14-content-filter": "goes to [127.0.0.9]:2525 (content_filter, {etc}/main.cf, line 5)",
    "15-transport-internal": "goes to [127.80.49.4]:2525 (transport_maps, {etc}/main.cf, line 5)",
    "19-sender-transport-may": "{etc}/master.cf, line 13 has smtp_tls_security_level = may for the",
    "19c-sender-transport-may-mitm": "has smtp_tls_security_level = may for the service out1",
    "19b-sender-transport-noauth": "has smtp_sasl_auth_enable = no for the service out1",
    "37-defer-transports": "has defer_transports = smtp, which contains smtp",
    "85-key-static": "holds passwords itself",
}


class Host:
    """A host's configuration, and the module that is run on it."""

    def __init__(self, etc: Path, server: ModuleServer, ca_file: Path) -> None:
        self.etc = etc
        self.temporary = etc.parent / "temporary"
        self.temporary.mkdir()
        self._programs = etc.parent / "bin"
        self._programs.mkdir()
        self.replace("postfix", NOT_RUNNING)
        self._server = server
        self._ca_file = ca_file

    def replace(self, name: str, script: str) -> None:
        """Have the module find this program instead of Postfix's own."""
        (self._programs / name).write_text(script, "ascii")
        (self._programs / name).chmod(0o755)

    def arguments(
        self, region: str | None, *, check: bool = False, **options: t.Any
    ) -> dict[str, t.Any]:
        """The module's arguments, as the action hands them over."""
        login = {"port": 587, "tls": "starttls", "username": ACCESS_KEY}
        logins = [
            {**login, "host": f"email-smtp.{each}.amazonaws.com", "password": PASSWORD_OF[each]}
            for each in [region]
            if each
        ]
        return {
            "config_directory": str(self.etc),
            "ca_file": str(self._ca_file),
            "password": relay_payload(logins),
            "verify": False,
            "state": "present" if region else "absent",
            "_ansible_check_mode": check,
            "_ansible_tmpdir": str(self.temporary),
            **options,
        }

    def run(self, region: str | None, **options: t.Any) -> dict[str, t.Any]:
        """Run it once: a relay through ``region``, or none."""
        path = f"{self._programs}:{os.environ['PATH']}"
        arguments = self.arguments(region, **options)
        outcome = self._server.run(arguments, environment={"PATH": path})
        result = outcome.result
        # What ansible-core 2.22 and newer tell the controller to mask.
        result.pop("_ansible_new_secrets", None)
        assert found_in(json.dumps(result), [SECRET_KEY, *PASSWORD_OF.values()]) == []
        return result

    def look_up(self, key: str) -> str:
        """What Postfix finds in the password map."""
        table = f"hash:{self.etc}/sasl_passwd"
        command = [program("postmap"), "-c", str(self.etc), "-q", key, table]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return str(done.stdout).rstrip("\n")

    def contents(self) -> dict[str, object]:
        """All files but for the locks; what is in a table."""
        return {
            path.name: path.read_bytes() if path.suffix != ".db" else self._listed(path)
            for path in self.etc.rglob("*")
            if path.is_file() and not path.name.endswith(".lock")
        }

    def _listed(self, table: Path) -> set[str]:
        source = f"hash:{table.with_suffix('')}"
        command = [program("postmap"), "-c", str(self.etc), "-s", source]
        listed = subprocess.run(command, check=True, capture_output=True, text=True)
        return set(listed.stdout.splitlines())


@pytest.fixture(scope="module", name="server")
def fixture_server() -> t.Iterator[ModuleServer]:
    with ModuleServer("postfix_relay") as server:
        yield server


@pytest.fixture(name="host")
def fixture_host(
    tmp_path: Path, server: ModuleServer, authority: CertificateAuthority
) -> t.Callable[..., Host]:
    def make(
        main_cf: str = "", master_cf: str = "", files: t.Mapping[str, str] | None = None
    ) -> Host:
        etc = tmp_path / "etc"
        maps = {name: text.replace("PASSWORD", PASSWORD) for name, text in (files or {}).items()}
        main_cf = main_cf.replace("ETC", "{etc}").replace("PASSWORD", PASSWORD)
        ScratchHosts(tmp_path).configure(etc, main_cf, master_cf, maps)
        return Host(etc, server, authority.ca_file)

    return make


PREDICTED = ("changed", "settings", "relayhost", "path", "table", "diff")
KEYS = ("entries_added", "entries_changed", "entries_removed")


@pytest.mark.parametrize("name", CASES)
def test_check_mode_and_the_run_agree(host: t.Callable[..., Host], name: str) -> None:
    case = CASES[name]
    there = host(case.get("main_cf", ""), case.get("master_cf", ""), case.get("files"))
    if name == TABLE_ALONE:
        (there.etc / "sasl_passwd").unlink()
    before = there.contents()
    predicted = there.run(REGION, check=True)
    assert there.contents() == before
    done = there.run(REGION)
    assert predicted.get("msg") == done.get("msg")
    assert ("failed" in done) is (name in REFUSED), done
    if name in REFUSED:
        assert REFUSED[name].format(etc=there.etc) in done["msg"], done["msg"]
        assert there.contents() == before
        return
    assert {each: predicted[each] for each in (*PREDICTED, *KEYS)} == {
        each: done[each] for each in (*PREDICTED, *KEYS)
    }
    assert done["changed"]
    assert not there.run(REGION)["changed"]
    # What is not ours stays.
    lines = (there.etc / "main.cf").read_text("utf-8").splitlines()
    for line in case.get("main_cf", "").replace("ETC", str(there.etc)).splitlines():
        assert line in lines or line.partition("=")[0].strip() in done["settings"]

    predicted = there.run(None, check=True)
    done = there.run(None)
    assert "failed" not in done, done
    assert predicted["settings"] == done["settings"]
    assert there.contents() == before


def test_a_refused_login_that_bounces_mail_is_a_warning(host: t.Callable[..., Host]) -> None:
    there = host(CASES["63-bounce-noauth"]["main_cf"])
    for _run in range(2):
        (warning,) = there.run(REGION)["warnings"]
        assert f"{there.etc}/main.cf, line 5 has smtp_sasl_auth_soft_bounce = no" in str(warning)
        assert "mail is returned to its sender" in str(warning)


#: What an error says to do -> the same for a shell.
REMEDIES = (
    (re.compile(r"run (postconf -c \S+ -P?X [\w./-]+)\."), r"\1"),
    (
        re.compile(r"delete the line of \* in (\S+), and run (postmap \S+)\."),
        r"sed -i '/^\*/d' \1; \2",
    ),
)
OWN_CLIENT = "Run mailops.ses.postfix_relay with transport=ses"


@pytest.mark.parametrize("name", sorted(set(REFUSED) - {"85-key-static"}))
def test_a_remedy_that_is_followed_literally_works(host: t.Callable[..., Host], name: str) -> None:
    case = CASES[name]
    there = host(case.get("main_cf", ""), case.get("master_cf", ""), case.get("files"))
    done = there.run(REGION)
    options: dict[str, t.Any] = {}
    for _step in range(4):
        if "failed" not in done:
            break
        if OWN_CLIENT in done["msg"]:
            options = {"transport": "ses"}
            done = there.run(REGION, **options)
            continue
        commands = [
            match.expand(command)
            for pattern, command in REMEDIES
            for match in [pattern.search(done["msg"])]
            if match
        ]
        assert commands, done["msg"]
        command = commands[0]
        path = f"{Path(program('postconf')).parent}:{os.environ['PATH']}"
        subprocess.run(
            ["sh", "-c", command], check=True, cwd=there.etc, env={**os.environ, "PATH": path}
        )
        then = time.time() - 10  # Postfix waits for a file that was changed just now
        os.utime(there.etc / "main.cf", (then, then))
        done = there.run(REGION, **options)
    assert done.get("changed") is True, done
    assert not there.run(REGION, **options)["changed"]


def test_parameters_that_only_master_cf_makes_known(host: t.Callable[..., Host]) -> None:
    """Set up with one, and with another that somebody adds: another region, and back again."""
    there = host(
        "own_level = may\n",
        "mailman unix - n n - - pipe\n  user=nobody argv=/bin/true\n"
        "other unix - - n - - smtp\n  -o smtp_tls_security_level=$own_level\n",
    )
    assert "failed" not in there.run(REGION)
    main_cf = there.etc / "main.cf"
    added = "mailman_destination_recipient_limit = 1\n"
    main_cf.write_text(main_cf.read_text("utf-8") + added, "utf-8")
    then = time.time() - 10  # Postfix waits for a file that was changed just now
    os.utime(main_cf, (then, then))
    other = there.run(OTHER_REGION)
    assert other.get("relayhost") == f"[email-smtp.{OTHER_REGION}.amazonaws.com]:587", other
    assert added in main_cf.read_text("utf-8")
    assert "failed" not in there.run(None)
    assert main_cf.read_text("utf-8").endswith(f"own_level = may\n{added}")


def test_parameters_that_nothing_uses_any_more(host: t.Callable[..., Host]) -> None:
    """One's own, whose name was in the value of a setting; their lines stay."""
    case = CASES["29-variables"]
    there = host(
        f"level = may\nsmtp_tls_security_level = ${{level}}\n{case['main_cf']}".replace(
            "smtp_tls_security_level = encrypt\n", ""
        ),
        files=case["files"],
    )
    before = there.contents()
    predicted = there.run(OTHER_REGION, check=True)
    done = there.run(OTHER_REGION)
    assert "failed" not in done, done
    assert {each: predicted[each] for each in PREDICTED} == {each: done[each] for each in PREDICTED}
    main_cf = there.etc / "main.cf"
    text = main_cf.read_text("utf-8")
    assert "\nlevel = may\n" in text
    assert "\naws_region = eu-west-1\n" in text
    # Or the whole file comes back, without being edited.
    main_cf.write_text(f"{text}mynetworks_style = host\n", "utf-8")
    then = time.time() - 10
    os.utime(main_cf, (then, then))
    assert "failed" not in there.run(None)
    assert [main_cf.read_bytes().replace(b"mynetworks_style = host\n", b"")] == [before["main.cf"]]


@pytest.mark.parametrize(
    "source",
    [
        "HOST ACCESS_KEY:PASSWORD\n",
        "HOST them:theirs\n[HOST]:587 me:mine\n",
        "[other.example]:587 them:theirs\nEmail-SMTP.eu-west-1.amazonaws.com them:theirs\n",
        "# twice\nHOST one:first\nhost.example one:first\nHOST two:second\n",
    ],
)
def test_an_entry_for_the_bare_name_is_taken_over(host: t.Callable[..., Host], source: str) -> None:
    """It has the relay's login in the same transaction, and its own one without the relay."""
    server, other = (f"email-smtp.{each}.amazonaws.com" for each in (REGION, OTHER_REGION))
    source = source.replace("HOST", server).replace("ACCESS_KEY", ACCESS_KEY)
    there = host(files={"sasl_passwd": source})
    before, old = there.contents(), there.look_up(server)
    predicted = there.run(REGION, check=True)
    done = there.run(REGION)
    assert "failed" not in done, done
    assert [predicted[each] for each in KEYS] == [done[each] for each in KEYS]
    login = f"{ACCESS_KEY}:{PASSWORD}"
    assert [there.look_up(key) for key in (server, f"[{server}]:587")] == [login, login]
    assert not there.run(REGION)["changed"]

    assert "failed" not in there.run(OTHER_REGION)
    assert there.look_up(f"[{other}]:587") == f"{ACCESS_KEY}:{PASSWORD_OF[OTHER_REGION]}"
    assert there.look_up(server) == old

    assert "failed" not in there.run(None)
    assert there.contents() == before


#: By what the error says: settings that nobody can tell the effect of before they are changed.
UNFORESEEN = {
    "smtp_sasl_tls_verified_security_options contains noplaintext": (
        "smtp_sasl_security_options = noanonymous\n"
        "smtp_sasl_tls_verified_security_options = $smtp_sasl_security_options\n"
    ),
    # With a program that fails.
    "postmap can't make a table of type hash": "",
}


@pytest.mark.parametrize("says", UNFORESEEN)
def test_check_mode_finds_what_only_postfix_can_tell(
    host: t.Callable[..., Host], says: str
) -> None:
    there = host(UNFORESEEN[says])
    if says.startswith("postmap"):
        there.replace("postmap", "#!/bin/sh\nexit 1\n")
    before = there.contents()
    for check in (True, False):
        assert says in there.run(REGION, check=check)["msg"]
        assert there.contents() == before
        assert [*there.temporary.iterdir()] == []


def mounted(path: Path) -> list[str]:
    """A command that has another command see ``path`` as a mount point."""
    script = 'mount --bind "$0" "$0" && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(path)]


@pytest.mark.parametrize("name", ["main.cf", "sasl_passwd", "sasl_passwd.db"])
def test_a_file_that_is_a_mount_point(host: t.Callable[..., Host], name: str) -> None:
    """As in a container; in check mode, too. What is right already is no error."""
    there = host(files={"sasl_passwd": "[other.example]:587 them:theirs\n"})
    path = there.etc / name
    before = there.contents()
    for check in (True, False):
        arguments = there.arguments(REGION, check=check)
        outcome = run_module("postfix_relay", arguments, prefix=mounted(path))
        assert outcome.result["msg"].startswith(f"{path} is a mount point of its own")
        assert there.contents() == before
    there.run(REGION)
    outcome = run_module("postfix_relay", there.arguments(REGION), prefix=mounted(path))
    assert outcome.result.get("changed") is False, outcome.result


def test_a_file_system_that_is_read_only(host: t.Callable[..., Host]) -> None:
    """To set up and to take back; in check mode, too. What is right already is no error."""
    there = host()
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    read_only = [*mounted(there.etc)[:-2], script, str(there.etc)]
    says = f"{there.etc} is on a file system that is mounted read-only"
    for region in (REGION, None):
        before = there.contents()
        for check in (True, False):
            arguments = there.arguments(region, check=check)
            outcome = run_module("postfix_relay", arguments, prefix=read_only)
            assert outcome.result["msg"].startswith(says)
            assert there.contents() == before
        there.run(REGION)
    outcome = run_module("postfix_relay", there.arguments(REGION), prefix=read_only)
    assert outcome.result.get("changed") is False, outcome.result


def test_an_entry_for_the_bare_name_in_the_table_alone(host: t.Callable[..., Host]) -> None:
    server = f"email-smtp.{REGION}.amazonaws.com"
    there = host(files={"sasl_passwd": f"{server} them:theirs\n"})
    (there.etc / "sasl_passwd").unlink()
    before = there.contents()
    for check in (True, False):
        done = there.run(REGION, check=check)
        assert "failed" not in done, done
    login = f"{ACCESS_KEY}:{PASSWORD}"
    assert [there.look_up(key) for key in (server, f"[{server}]:587")] == [login, login]
    assert "failed" not in there.run(None)
    assert there.contents() == before
