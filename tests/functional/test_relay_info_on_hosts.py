# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each finding of ``postfix_relay_info``, by making its mistake on Debian 11, 12, 13 and testing.

Nearly every mistake has an instance of its own, a copy of the relay that the role has set up, so
that one task finds them all; the last two are of the instance that runs.
"""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import TABLE_TYPES
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, SECRET_KEY
from ansible_collections.mailops.ses.tests.support.hosts.host import Host
from ansible_collections.mailops.ses.tests.support.hosts.relay_hosts import (
    REGIONS,
    RelayHosts,
)
from ansible_collections.mailops.ses.tests.support.hosts.roots import RELEASES
from ansible_collections.mailops.ses.tests.support.ses.accounts import (
    Account,
    password_v2,
    password_v4,
)

pytestmark = [pytest.mark.on_hosts, pytest.mark.root, pytest.mark.slow]

FIRST = Account(ACCESS_KEY, SECRET_KEY, ("example.com",))
SECOND = Account(
    "AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002", ("example.com",)
)
SERVERS = [f"email-smtp.{region}.amazonaws.com" for region in REGIONS]
KEYS = [f"[{server}]:587" for server in SERVERS]
PASSWORDS = [password_v4(SECRET_KEY, region) for region in REGIONS]
LINES = [f"{key} {ACCESS_KEY}:{password}" for key, password in zip(KEYS, PASSWORDS, strict=True)]
INFO_TASK = "Look"

#: Puts a copy of the relay in a folder of its own; each mistake is made in one of these.
PREPARE = """
type=$(postconf -h default_database_type)
relay() { rm -rf /etc/mistakes/$1; cp -a /etc/postfix /etc/mistakes/$1; cd /etc/mistakes/$1
          set_ smtp_sasl_password_maps=$type:$PWD/sasl_passwd multi_instance_name=postfix-$1; }
set_() { postconf -c . -e "$@"; touch -d '1 minute ago' main.cf; }
map() { cat >sasl_passwd; postmap -c . $type:$PWD/sasl_passwd; }
mkdir -p /etc/mistakes
"""
#: Names them all to Postfix. It waits before it reads a main.cf that was changed a moment ago.
FINISH = """
cd /etc/postfix
set_ multi_instance_directories="$(ls -d /etc/mistakes/* | xargs)"
"""


class Mistake(t.NamedTuple):
    """What is done in the copy, and the findings: each its id, and the file or key it is about."""

    script: str
    found: list[tuple[str, str]]


def with_map(*lines: str) -> str:
    """A script that has the map hold these lines."""
    return "map <<'END'\n" + "".join(f"{line}\n" for line in lines) + "END\n"


MISTAKES: dict[str, Mistake] = {
    "right": Mistake("", []),
    "version_2": Mistake(
        with_map(f"{KEYS[0]} {ACCESS_KEY}:{password_v2(SECRET_KEY)}", LINES[1]),
        [("version_2_password", KEYS[0])],
    ),
    "other_region": Mistake(
        with_map(f"{KEYS[0]} {ACCESS_KEY}:{PASSWORDS[1]}", LINES[1]), [("other_region", KEYS[0])]
    ),
    "unused_entry": Mistake(f"set_ relayhost={KEYS[0]}", [("unused_entry", KEYS[1])]),
    "shadowed": Mistake(
        with_map(f"{SERVERS[0]} AKIAEXAMPLE000000002:{PASSWORDS[0]}", *LINES),
        [("unused_entry", KEYS[0]), ("username_of_other_key", SERVERS[0])],
    ),
    "no_entry": Mistake(with_map(LINES[1]), [("no_entry", KEYS[0])]),
    "no_port_in_the_key": Mistake(
        with_map(LINES[0].replace(":587", "", 1), LINES[1]),
        [("no_entry", KEYS[0]), ("unused_entry", f"[{SERVERS[0]}]")],
    ),
    "table_missing": Mistake("rm sasl_passwd.*db", [("table_missing", "{table}")]),
    "table_stale": Mistake("echo 'x y:z' >>sasl_passwd", [("table_stale", "{table}")]),
    "table_older": Mistake("touch sasl_passwd", [("table_stale", "{table}")]),
    "table_damaged": Mistake(
        "echo no table >$(ls sasl_passwd.*db)", [("table_damaged", "{table}")]
    ),
    "table_type_missing": Mistake(
        "set_ smtp_sasl_password_maps=dbm:$PWD/sasl_passwd", [("table_type_missing", "main.cf")]
    ),
    "source_missing": Mistake(
        "rm sasl_passwd",
        [*(("login_without_source", key) for key in KEYS), ("source_missing", "sasl_passwd")],
    ),
    "source_readable": Mistake("chmod 644 sasl_passwd", [("readable_by_others", "sasl_passwd")]),
    "table_readable": Mistake("chmod 644 sasl_passwd.*db", [("readable_by_others", "{table}")]),
    "copy_readable": Mistake(
        "install -m 644 sasl_passwd sasl_passwd.orig", [("readable_by_others", "sasl_passwd.orig")]
    ),
    "group_can_read": Mistake(
        "chgrp mail sasl_passwd; chmod 640 sasl_passwd", [("readable_by_others", "sasl_passwd")]
    ),
    "group_of_postfix": Mistake("chgrp postfix sasl_passwd; chmod 640 sasl_passwd", []),
    "in_main_cf": Mistake(
        "set_ smtp_sasl_password_maps=static:them:sesame",
        [
            ("map_not_read", "main.cf"),
            ("readable_by_others", "main.cf"),
            # Whatever the server, this map has an entry for it.
            ("username_not_access_key", "*"),
        ],
    ),
    "raw_secret": Mistake(
        with_map(f"{KEYS[0]} {ACCESS_KEY}:{SECRET_KEY}", LINES[1]), [("raw_secret", KEYS[0])]
    ),
    "username": Mistake(
        with_map(f"{KEYS[0]} joe@example.com:{PASSWORDS[0]}", LINES[1]),
        [("username_not_access_key", KEYS[0])],
    ),
    "other_keys_username": Mistake(
        with_map(f"{KEYS[0]} {SECOND.access_key}:{PASSWORDS[0]}", LINES[1]),
        [("username_of_other_key", KEYS[0])],
    ),
    "lines": Mistake(
        with_map(*LINES, LINES[1], "[smtp.example.net]:587"),
        [("line_ignored", "sasl_passwd"), ("repeated_key", KEYS[1])],
    ),
    "tls_not_verified": Mistake(
        "set_ smtp_tls_security_level=encrypt", [("tls_not_verified", key) for key in KEYS]
    ),
    "wrappermode": Mistake(
        f"set_ relayhost=[{SERVERS[0]}]:465\n" + with_map(LINES[0].replace(":587", ":465", 1)),
        [("wrappermode", f"[{SERVERS[0]}]:465")],
    ),
    "no_ca_file": Mistake("set_ smtp_tls_CAfile=/no/such.pem", [("no_ca_file", "main.cf")]),
    "auth_disabled": Mistake(
        "set_ smtp_sasl_auth_enable=no", [("auth_disabled", key) for key in KEYS]
    ),
    "sasl_noplaintext": Mistake(
        "set_ smtp_sasl_tls_security_options=noplaintext,noanonymous",
        [("sasl_noplaintext", key) for key in KEYS],
    ),
    "instance_unreadable": Mistake("rm main.cf", [("instance_unreadable", "main.cf")]),
}


class Result(t.NamedTuple):
    """What the module says about a host."""

    instances: dict[str, dict[str, t.Any]]
    findings: list[dict[str, t.Any]]

    def of(self, directory: str) -> list[tuple[str, str]]:
        """The findings of an instance: the id, and the key or the file's name."""
        return sorted(
            (each["id"], each["key"] or each["file"].rpartition("/")[2])
            for each in self.findings
            if each["config_directory"] == directory
        )


@pytest.fixture(scope="module")
def relays(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[RelayHosts]:
    """Hosts that the role has made relays."""
    directory = tmp_path_factory.mktemp("relays")
    with RelayHosts(directory, list(RELEASES), [FIRST, SECOND]) as relays:
        play = relays.role({**relays.key_of(FIRST), "regions": list(REGIONS)})
        assert play.status == 0, play.output
        yield relays


def look(relays: RelayHosts) -> dict[Host, Result]:
    """What the module says about each host, while nothing changes there."""
    candidates = [relays.key_of(account) for account in (SECOND, FIRST)]
    tasks = [{"name": INFO_TASK, "mailops.ses.postfix_relay_info": {"candidates": candidates}}]
    before = relays.files("/etc/postfix", "/etc/mistakes")
    play = relays.play({"tasks": tasks}, "-vvvv", "--diff")
    assert play.status == 0, play.output
    assert relays.files("/etc/postfix", "/etc/mistakes") == before
    found = {}
    for host in relays.hosts:
        result = play.result(host, INFO_TASK)
        assert result["changed"] is False
        instances = {each["config_directory"]: each for each in result["instances"]}
        found[host] = Result(instances, result["findings"])
    return found


def test_a_right_relay_has_no_findings(relays: RelayHosts) -> None:
    for host, result in look(relays).items():
        assert result.findings == []
        (instance,) = result.instances.values()
        table_type = host.release.table_type
        assert (instance["name"], instance["config_directory"]) == ("-", "/etc/postfix")
        assert (instance["running"], instance["relayhost"]) == (True, KEYS)
        assert (instance["tls"], instance["tls_security_level"]) == ("starttls", "secure")
        assert instance["mail_version"].startswith(host.release.postfix)
        assert instance["maps"] == [
            {
                "table": f"{table_type}:/etc/postfix/sasl_passwd",
                "path": "/etc/postfix/sasl_passwd",
                "mode": "0600",
                "settings": ["smtp_sasl_password_maps"],
                "complete": True,
            }
        ]
        for entry, key, server, region in zip(
            instance["entries"], KEYS, SERVERS, REGIONS, strict=True
        ):
            assert (entry["key"], entry["username"], entry["version"]) == (key, ACCESS_KEY, 4)
            assert entry["servers"] == [{"host": server, "port": 587, "tls": "starttls"}]
            assert entry["matches"] == {"access_key": ACCESS_KEY, "region": region, "version": 4}


def test_every_mistake_is_found_and_nothing_else(relays: RelayHosts) -> None:
    parts = [f"relay {name}\n{mistake.script}\n" for name, mistake in MISTAKES.items()]
    script = "".join([PREPARE, *parts, FINISH])
    for host in relays.hosts:
        host.run("sh", "-eu", text=script)
    results = look(relays)
    for host in relays.hosts:
        host.run("rm", "-r", "/etc/mistakes")
        host.run("postconf", "-X", "multi_instance_directories")
    wrong = {}
    for host, result in results.items():
        table = f"sasl_passwd{TABLE_TYPES[host.release.table_type].suffix}"
        for name, mistake in MISTAKES.items():
            directory = f"/etc/mistakes/{name}"
            expected = sorted((each, about.format(table=table)) for each, about in mistake.found)
            if result.of(directory) != expected:
                wrong[host.name, name] = result.of(directory)
            elif name != "instance_unreadable":
                assert result.instances[directory]["name"] == f"postfix-{name}"
        assert result.of("/etc/postfix") == []
    assert wrong == {}


def probe(relays: RelayHosts) -> dict[str, dict[str, t.Any]]:
    """What a probe of each host's Postfix finds, by the host's name; no message is sent."""
    options = {"config_directory": "/etc/postfix", "probe": True}
    tasks = [{"name": INFO_TASK, "mailops.ses.postfix_relay_info": options}]
    sent = len(relays.ses.messages)
    play = relays.play({"tasks": tasks})
    assert play.status == 0, play.output
    assert len(relays.ses.messages) == sent
    results = {host.name: play.result(host, INFO_TASK)["instances"] for host in relays.hosts}
    return {name: instance["probe"] for name, (instance,) in results.items()}


def test_a_probe(relays: RelayHosts) -> None:
    """A refused login, with mail that waits for it, so that Postfix suspends delivery; then accepted."""
    relays.ses.configure([SECOND])
    for number in range(3):
        relays.send_from_all(f"refused {number}")
    relays.wait_for_queues(lambda queue: str(queue).count("said: 535") == 3)
    for found in probe(relays).values():
        assert found["accepted"] is False
        assert found["reason"].startswith("SASL authentication failed")
        assert "535 Authentication Credentials Invalid" in found["reason"]
    relays.ses.configure([FIRST, SECOND])
    for found in probe(relays).values():
        assert (found["accepted"], found["transport"]) == (True, "smtp"), found
        assert found["nexthop"] == ", ".join(KEYS)
        assert found["reason"].startswith("250 ")
    for host in relays.hosts:
        host.run("postqueue", "-f")
    relays.wait_for_queues(lambda queue: not queue)


def test_what_only_a_running_relay_shows(relays: RelayHosts) -> None:
    """A key that was deactivated, with mail that waits for it; and SASL's plugins, not installed."""
    relays.ses.configure([SECOND])
    relays.send_from_all("refused")
    relays.wait_for_queues(
        lambda queue: any("said: 535" in str(message["recipients"]) for message in queue)
    )
    for host in relays.hosts:
        host.run("sh", "-euc", "mkdir /root/sasl; mv /usr/lib/*/sasl2/lib[lp]*.so* /root/sasl")
    for result in look(relays).values():
        assert [each["id"] for each in result.findings] == [
            "sasl_mechanism_missing",
            "deferred_535",
        ]
        message = result.findings[1]["message"]
        assert message.startswith(
            "1 message in the queue, the oldest for 0 min, because email-smtp."
        )
