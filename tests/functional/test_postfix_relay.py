# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``postfix_relay`` on a real Postfix, from a real ansible-playbook to the message that arrives.

The instance is a scratch one; SES is the stand-in, under its real names and ports.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.example_key import found_in
from ansible_collections.mailops.ses.tests.support.isolation.hosts_file import (
    loopback_address,
)
from ansible_collections.mailops.ses.tests.support.postfix.relay_runner import (
    RelayRunner,
    contents,
    destination,
    files,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import (
    ScratchPostfix,
    table_types,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import Account, password_v4
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn
from ansible_collections.mailops.ses.tests.support.waiting import comes_true

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

WEST, CENTRAL = "eu-west-1", "eu-central-1"
# Where there is no Postfix, conftest.py has these tests left out; collecting must not fail there.
TYPES = table_types() if shutil.which("postconf", path="/usr/sbin:/usr/bin:/sbin:/bin") else []
FIRST = Account(
    "AKIAEXAMPLE000000001",
    "secret/access+key/of+the+number/00000001",
    ("example.com", "example.org"),
)
SECOND = Account(
    "AKIAEXAMPLE000000002",
    "secret/access+key/of+the+number/00000002",
    ("example.com", "example.org"),
)
RELOADED = "reload -- version"


@pytest.fixture(name="relay")
def fixture_relay(
    tmp_path: Path,
    postfix: ScratchPostfix,
    regional_ses: SesStandIn,
    authority: CertificateAuthority,
) -> RelayRunner:
    regional_ses.accounts.add(FIRST)
    regional_ses.accounts.add(SECOND)
    return RelayRunner(tmp_path, postfix, authority.ca_file)


@pytest.mark.parametrize("map_type", TYPES)
def test_from_nothing_to_delivered_mail_and_back(
    postfix: ScratchPostfix, regional_ses: SesStandIn, relay: RelayRunner, map_type: str
) -> None:
    postfix.set({"default_database_type": map_type})
    before, nothing = contents(postfix), files(postfix)

    first = relay.task(key=FIRST, region=WEST)
    predicted, done, again = relay.run_all({**first, "check_mode": True}, first, first)
    assert predicted.files == nothing
    assert not done["failed"], done
    assert done["changed"]
    assert done["reloaded"]
    for name in ("changed", "reloaded", "settings", "relayhost", "entries_added", "table", "diff"):
        assert predicted[name] == done[name]
    assert done["entries_added"] == [destination(WEST)]
    assert done["settings"]["relayhost"] == {"before": None, "after": destination(WEST)}
    secrets = [FIRST.secret_key, password_v4(FIRST.secret_key, WEST)]
    assert found_in(json.dumps(done.result), secrets) == []
    assert (again["changed"], again["reloaded"]) == (False, False)
    assert again.files == done.files != nothing

    postfix.send("hello")
    (message,) = regional_ses.recorder.wait_for_messages(1)
    assert (message.username, message.region) == (FIRST.access_key, WEST)
    assert message.tls_version == "TLSv1.3"
    verified = f"Verified TLS connection established to {destination(WEST)[1:-5]}["
    assert comes_true(lambda: verified in postfix.log()), postfix.log()

    # Of postfix.set(), for the client, and for the routing: on a busy machine master(8) may take two
    # for one.
    comes_true(lambda: postfix.log().count(RELOADED) == 3)
    reloads = postfix.log().count(RELOADED)
    assert reloads in (2, 3)
    rotated = relay.run(key=SECOND, region=WEST)
    assert (rotated["changed"], rotated["reloaded"]) == (True, map_type == "texthash")
    assert rotated["entries_changed"] == [destination(WEST)]
    reloads += map_type == "texthash"
    assert comes_true(lambda: postfix.log().count(RELOADED) == reloads)
    postfix.send("again")
    assert regional_ses.recorder.wait_for_messages(2)[1].username == SECOND.access_key
    assert postfix.log().count(RELOADED) == reloads

    away, gone = relay.run_all(relay.task(state="absent"), relay.task(state="absent"))
    assert (away["changed"], away["reloaded"], away["relayhost"]) == (True, True, "")
    assert contents(postfix) == before
    assert not gone["changed"]
    assert gone.files == away.files


def test_a_key_that_ses_refuses_or_a_wrong_ca_file_changes_nothing(
    tmp_path: Path, postfix: ScratchPostfix, regional_ses: SesStandIn, relay: RelayRunner
) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    ca_files = {empty: "has no certificate", tmp_path / "no.pem": "can't be read"}
    before = files(postfix)
    wrong = Account(FIRST.access_key, SECOND.secret_key)
    *without_ca_file, refused, done, later = relay.run_all(
        *(relay.task(key=FIRST, region=WEST, ca_file=str(path)) for path in ca_files),
        relay.task(key=wrong, regions=[CENTRAL, WEST]),
        relay.task(key=FIRST, region=WEST),
        relay.task(key=wrong, region=WEST),
    )
    for each, says in zip(without_ca_file, ca_files.values(), strict=True):
        assert says in each["msg"]
        assert each.files == before
    assert "535 Authentication Credentials Invalid" in refused["msg"]
    assert f"region {CENTRAL}: " in refused["msg"]
    assert refused.files == before
    assert not done["failed"]
    assert later["failed"]
    assert later.files == done.files
    assert found_in(relay.output, [password_v4(wrong.secret_key, WEST), wrong.secret_key]) == []
    postfix.send("still")
    (message,) = regional_ses.recorder.wait_for_messages(1)
    assert message.username == FIRST.access_key


def test_each_sender_has_an_account_of_its_own(
    postfix: ScratchPostfix, regional_ses: SesStandIn, relay: RelayRunner
) -> None:
    second = {"access_key": SECOND.access_key, "secret_key": SECOND.secret_key}
    senders = [{"sender": "@example.org", "region": CENTRAL, **second}]
    task = relay.task(key=FIRST, region=WEST, senders=senders)
    done, again = relay.run_all(task, task)
    assert not done["failed"]
    assert not again["changed"]
    postfix.send("first", sender="me@example.com")
    postfix.send("second", sender="me@example.org")
    messages = regional_ses.recorder.wait_for_messages(2)
    assert {(message.mail_from, message.username, message.region) for message in messages} == {
        ("me@example.com", FIRST.access_key, WEST),
        ("me@example.org", SECOND.access_key, CENTRAL),
    }
    gone = relay.run(key=FIRST, region=WEST)
    assert gone["entries_removed"] == ["@example.org"]
    assert postfix.get("sender_dependent_relayhost_maps") == ""
    postfix.send("third", sender="me@example.org")
    assert regional_ses.recorder.wait_for_messages(3)[2].username == FIRST.access_key


@pytest.mark.oldest_too
def test_the_role_gathers_the_facts_that_the_play_has_not(
    regional_ses: SesStandIn, relay: RelayRunner
) -> None:
    """Some are there, as with a gather_subset or an old cache of facts."""
    relay.role(
        ["service_mgr"],
        FIRST,
        region=WEST,
        packages=[],
        service=False,
        test_message=True,
        test_message_sender="sender@example.com",
    )
    (message,) = regional_ses.recorder.wait_for_messages(1)
    assert message.username == FIRST.access_key
    said = relay.output.rpartition('"msg": "')[2].partition('"')[0]
    assert said.startswith("The message left the queue.\\n")
    assert "noise" not in said


def test_tls_from_the_first_byte(
    postfix: ScratchPostfix, regional_ses: SesStandIn, relay: RelayRunner
) -> None:
    done = relay.run(key=FIRST, region=WEST, port=465)
    assert done["settings"]["smtp_tls_wrappermode"]["after"] == "yes"
    postfix.send("hello")
    (message,) = regional_ses.recorder.wait_for_messages(1)
    assert message.username == FIRST.access_key
    usual, mixed = relay.run_all(
        relay.task(key=FIRST, region=WEST),
        relay.task(key=FIRST, region=WEST, senders=[{"sender": "@a.example", "port": 465}]),
    )
    assert usual["entries_removed"] == [destination(WEST, 465)]
    assert postfix.get("smtp_tls_wrappermode") == "no"
    assert "begins with STARTTLS" in mixed["msg"]


def test_the_second_region_when_the_first_is_down(
    tmp_path: Path, regional_ses: SesStandIn, authority: CertificateAuthority
) -> None:
    """The password is of the region that takes the mail."""
    regional_ses.accounts.add(FIRST)
    of_region = {listener.region: listener.address for listener in regional_ses.listeners}
    hosts = {
        f"email-smtp.{WEST}.amazonaws.com": loopback_address(),  # where nothing listens
        f"email-smtp.{CENTRAL}.amazonaws.com": of_region[CENTRAL],
    }
    with ScratchPostfix(hosts) as postfix:
        relay = RelayRunner(tmp_path, postfix, authority.ca_file)
        down, unverified = relay.run_all(
            *(relay.task(key=FIRST, regions=[WEST, CENTRAL], verify=each) for each in (True, False))
        )
        assert f"region {WEST}: " in down["msg"]
        assert "refuses the connection" in down["msg"]
        assert not unverified["failed"]
        postfix.send("hello")
        (message,) = regional_ses.recorder.wait_for_messages(1)
    assert (message.region, message.username) == (CENTRAL, FIRST.access_key)


def test_main_cf_keeps_all_that_is_not_ours(
    tmp_path: Path, postfix: ScratchPostfix, relay: RelayRunner
) -> None:
    """Comments, order, a last line without its end, mode, owner, and the link to it."""
    main_cf = postfix.config_directory / "main.cf"
    theirs = postfix.config_directory / "theirs"
    theirs.write_text("[other.example.net] them:theirs\n", encoding="ascii")
    postfix.run("postmap", f"hash:{theirs}")
    real = tmp_path / "real.cf"
    text = main_cf.read_text("utf-8") + (
        "# by hand\nrelayhost =\n   [old.example.net]\n   # not any more\n"
        "smtp_sasl_password_maps = $theirs\ntheirs = hash:$config_directory/theirs\n# the end"
    )
    real.write_text(text, encoding="utf-8")
    real.chmod(0o640)
    os.chown(real, 0, 4)
    main_cf.unlink()
    main_cf.symlink_to(real)

    task = relay.task(key=FIRST, region=WEST)
    done, again = relay.run_all(task, task)
    assert not done["failed"], done
    assert not again["changed"]
    maps = f"hash:{postfix.config_directory}/sasl_passwd, $theirs"
    assert done["settings"]["smtp_sasl_password_maps"] == {"before": "$theirs", "after": maps}
    assert postfix.get("smtp_sasl_password_maps") == maps
    assert main_cf.is_symlink()
    status = real.stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o640, 0, 4)
    kept = [
        line
        for line in text.splitlines()
        if not line.startswith(("relayhost", "   [", "smtp_sasl"))
    ]
    lines = real.read_text("utf-8").splitlines()
    assert [line for line in lines if line in kept] == kept

    relay.run(state="absent")
    assert real.read_text("utf-8") == text
    assert main_cf.is_symlink()


def test_what_postfix_check_does_not_find(
    tmp_path: Path, postfix: ScratchPostfix, relay: RelayRunner
) -> None:
    """Each is refused before anything is in force, and in check mode."""
    config = postfix.config_directory
    main_cf = (config / "main.cf").read_text("utf-8")
    master_cf = (config / "master.cf").read_text("utf-8")
    shadow = config / "shadow"
    shadow.write_text(f"{destination(WEST)[1:-5]} them:theirs\n", encoding="ascii")
    policy = config / "policy"
    policy.write_text(f"{destination(WEST)} may\n", encoding="ascii")
    smtp = "smtp unix - - n - - smtp\n"
    mistakes = (
        ("smtp_sasl_password_maps = hash:/nowhere", "", "hash:/nowhere"),
        (f"smtp_sasl_password_maps = texthash:{shadow}", "", "has an entry for"),
        (f"smtp_tls_policy_maps = texthash:{policy}", "", "has the level may"),
        ("default_transport = smtp:[x]", "", "has default_transport = smtp:[x], so"),
        (
            "",
            " -o { smtp_tls_security_level = may }\n",
            "smtp_tls_security_level = may for the service smtp",
        ),
    )
    task = relay.task(key=FIRST, region=WEST, verify=False)
    tasks = []
    for number, (setting, override, _says) in enumerate(mistakes):
        folder = tmp_path / f"mistake-{number}"
        folder.mkdir()
        (folder / "main.cf").write_text(f"{main_cf}{setting}\n", encoding="utf-8")
        (folder / "master.cf").write_text(master_cf.replace(smtp, smtp + override), "utf-8")
        make = relay.pipe(f"cp {folder}/* {config} && touch -d '10 seconds ago' {config}/main.cf")
        tasks += [make, {**task, "check_mode": True}, task]
    ran = relay.run_all(*tasks)
    for (_setting, _override, says), copied, *runs in zip(
        mistakes, ran[::3], ran[1::3], ran[2::3], strict=True
    ):
        for refused in runs:
            assert refused["failed"], says
            assert says in refused["msg"]
            assert "theirs" not in refused["msg"]
            assert refused.files == copied.files
    override = mistakes[-1][1]
    line = 1 + (config / "master.cf").read_text("utf-8").splitlines().index(override.rstrip("\n"))
    assert f"master.cf, line {line} has " in ran[-1]["msg"]


def test_a_stopped_postfix_is_not_started_and_backups_are_for_root_alone(
    postfix: ScratchPostfix, relay: RelayRunner
) -> None:
    main_cf = (postfix.config_directory / "main.cf").read_bytes()
    postfix.stop()
    done = relay.run(key=FIRST, region=WEST, backup=True)
    assert (done["changed"], done["reloaded"]) == (True, False)
    assert postfix.pid is None
    (backup,) = done["backup_files"]
    assert Path(backup).read_bytes() == main_cf
    assert Path(backup).stat().st_mode & 0o777 == 0o600
