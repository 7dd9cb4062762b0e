# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report on many hosts: order, counts, hosts without an answer, and the terminal's lines."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.plugin_utils._audit import SEVERITIES, audit
from ansible_collections.mailops.ses.plugins.plugin_utils._host_answer import FINDING
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, MAIL_MANAGER
from ansible_collections.mailops.ses.tests.support.running.relay_results import relay_result

OTHER_KEY = "AKIAEXAMPLE000000002"
FLEET = {
    "mx2": relay_result(("warning", "table_stale"), ("critical", "version_2_password")),
    "mx10": relay_result(("critical", "raw_secret"), username=OTHER_KEY),
    "gone": {"unreachable": True, "changed": False, "msg": "Failed to connect:\n  refused"},
    "bare": {"failed": True, "changed": False, "msg": "There is no Postfix here"},
    "good": relay_result(),
    "mx1": relay_result(("notice", "unused_entry"), ("critical", "other_region")),
}


def test_findings_are_sorted_by_severity_and_then_by_host() -> None:
    rows = [(row["severity"], row["host"], row["id"]) for row in audit(FLEET)["findings"]]
    assert rows == [
        ("critical", "mx1", "other_region"),
        ("critical", "mx10", "raw_secret"),
        ("critical", "mx2", "version_2_password"),
        ("unknown", "bare", "failed"),
        ("unknown", "gone", "unreachable"),
        ("warning", "mx2", "table_stale"),
        ("notice", "mx1", "unused_entry"),
    ]


def test_of_a_host_the_module_says_which_finding_is_first() -> None:
    names = ["z", "a", "m"]
    report = audit({"mx": relay_result(*(("warning", name) for name in names))})
    assert [row["id"] for row in report["findings"]] == names


def test_hosts_are_sorted_by_their_worst_finding() -> None:
    report = audit(FLEET)
    found = [(host["host"], host["state"], host["severity"]) for host in report["hosts"]]
    assert found == [
        ("mx1", "audited", "critical"),
        ("mx10", "audited", "critical"),
        ("mx2", "audited", "critical"),
        ("bare", "failed", "unknown"),
        ("gone", "unreachable", "unknown"),
        ("good", "audited", None),
    ]
    assert report["hosts"][0]["instances"] == FLEET["mx1"]["instances"]


def test_the_summary_counts_hosts_and_findings() -> None:
    assert audit(FLEET)["summary"] == {
        "hosts": 6,
        "audited": 4,
        "unreachable": 1,
        "failed": 1,
        "without_findings": 1,
        "critical": 3,
        "warning": 1,
        "notice": 1,
    }


def test_who_has_which_user_name() -> None:
    assert audit(FLEET)["usernames"] == [
        {"username": ACCESS_KEY, "system": "iam", "hosts": ["good", "mx1", "mx2"]},
        {"username": OTHER_KEY, "system": "iam", "hosts": ["mx10"]},
    ]


def test_which_system_a_user_name_is_for() -> None:
    systems: list[tuple[str, str | None]] = [
        ("inp-abc", "mail_manager"),
        ("me", None),
        ("twice", "iam"),
        ("twice", "mail_manager"),
    ]
    fleet = {}
    for number, (username, system) in enumerate(systems):
        fleet[f"mx{number}"] = relay_result(username=username)
        fleet[f"mx{number}"]["instances"][0]["entries"][0]["system"] = system
    report = audit(fleet)
    assert {each["username"]: each["system"] for each in report["usernames"]} == {
        "inp-abc": "mail_manager",
        "me": None,
        "twice": None,
    }
    assert "User name inp-abc (Mail Manager): 1 host (mx0)" in report["lines"]
    assert "User name me: 1 host (mx1)" in report["lines"]


def test_of_user_names_on_as_many_hosts_the_first_comes_first() -> None:
    # The order of the hosts is the other one.
    fleet = {"a": relay_result(username=OTHER_KEY), "b": relay_result(username=ACCESS_KEY)}
    names = sorted([OTHER_KEY, ACCESS_KEY])
    assert [each["username"] for each in audit(fleet)["usernames"]] == names
    fleet = {"a": relay_result(username=ACCESS_KEY), "b": relay_result(username=OTHER_KEY)}
    assert [each["username"] for each in audit(fleet)["usernames"]] == names


@pytest.mark.parametrize(
    ("result", "message", "remedy"),
    [
        (
            {"unreachable": True, "msg": "timed out"},
            "timed out",
            "Make sure Ansible can connect to the host, and audit it again",
        ),
        (
            {"failed": True, "msg": "no Postfix"},
            "no Postfix",
            "Correct what the message says, and audit the host again",
        ),
        (
            relay_result(("severe", "table_stale")),
            (
                "The host's answer is not one of postfix_relay_info:"
                " the severity of a finding is none"
            ),
            (
                "Run mailops.ses.postfix_relay_info on this host alone, and correct what makes its"
                " result differ"
            ),
        ),
    ],
)
def test_a_host_without_an_answer_says_what_to_do(result: t.Any, message: str, remedy: str) -> None:
    report = audit({"a": result})
    (finding,) = report["findings"]
    assert finding["severity"] == "unknown"
    assert (finding["message"], finding["remedy"]) == (message, remedy)
    # It is about no file and no instance.
    assert [finding[name] for name in ("file", "config_directory", "key")] == [None] * 3
    # It has what a finding of the module has, and the host.
    assert set(finding) == {"host", *FINDING}


def test_the_lines() -> None:
    assert audit({name: FLEET[name] for name in ("mx2", "gone", "good")})["lines"] == [
        "SEVERITY  HOST  FINDING             KEY OR FILE                               MESSAGE",
        "critical  mx2   version_2_password  [email-smtp.eu-west-1.amazonaws.com]:587  The message.",
        (
            "unknown   gone  unreachable         -                                         "
            "Failed to connect: refused"
        ),
        "warning   mx2   table_stale         [email-smtp.eu-west-1.amazonaws.com]:587  The message.",
        "",
        f"User name {ACCESS_KEY} (access key): 2 hosts (good, mx2)",
        "",
        (
            "3 hosts: 2 audited, of which 1 without findings, 1 unreachable, 0 failed. "
            "Findings: 1 critical, 1 warning, 0 notices."
        ),
    ]


def test_what_probes_found() -> None:
    answers = {
        "mx1": (True, "250 OK"),
        "mx2": (False, "535 no\n"),
        "mx3": (None, "it is not running"),
    }
    results = {name: relay_result() for name in (*answers, "mx4")}
    for name, (accepted, reason) in answers.items():
        results[name]["instances"][0]["probe"] = {"accepted": accepted, "reason": reason}
    assert [line for line in audit(results)["lines"] if line.startswith("Relay of")] == [
        "Relay of mx1, /etc/postfix: accepted by SES now",
        "Relay of mx2, /etc/postfix: not accepted: 535 no",
        "Relay of mx3, /etc/postfix: not known: it is not running",
    ]


def test_what_a_probe_of_mail_manager_shows() -> None:
    result = relay_result()
    result["instances"][0]["relayhost"] = [f"[{MAIL_MANAGER['endpoint']}]:587"]
    result["instances"][0]["probe"] = {"accepted": True, "reason": "250 OK"}
    (line,) = (line for line in audit({"mx": result})["lines"] if line.startswith("Relay of"))
    assert line == (
        "Relay of mx, /etc/postfix: accepted by Mail Manager now. Mail Manager accepts a message"
        " before its rules are applied. A rule may still drop it"
    )


def test_the_lines_where_all_is_well() -> None:
    assert audit({"good": relay_result()})["lines"][1:] == [
        "",
        (
            "1 host: 1 audited, of which 1 without findings, 0 unreachable, 0 failed. "
            "Findings: 0 critical, 0 warnings, 0 notices."
        ),
    ]
    assert audit({})["lines"] == [
        (
            "0 hosts: 0 audited, of which 0 without findings, 0 unreachable, 0 failed. "
            "Findings: 0 critical, 0 warnings, 0 notices."
        )
    ]


def test_a_finding_without_a_key_is_about_a_file_or_an_instance() -> None:
    result = relay_result(("warning", "table_stale"))
    result["findings"][0]["key"] = None
    assert "  /etc/postfix/sasl_passwd  The message." in audit({"mx": result})["lines"][1]
    result["findings"][0]["file"] = None
    assert "  /etc/postfix  The message." in audit({"mx": result})["lines"][1]


def test_of_many_hosts_some_are_named() -> None:
    (line,) = (
        line
        for line in audit({f"mx{number}": relay_result() for number in range(8)})["lines"]
        if line.startswith("User name")
    )
    assert (
        line == f"User name {ACCESS_KEY} (access key): 8 hosts (mx0, mx1, mx2, mx3, mx4 and 3 more)"
    )


def test_a_long_cell_moves_no_other_row() -> None:
    result = relay_result(("critical", "raw_secret"), ("critical", "raw_secret"))
    result["findings"][0]["key"] = "k" * 300
    lines = audit({"mx": result})["lines"]
    assert lines[1].endswith(f"  {'k' * 300}  The message.")
    assert len(lines[2]) < 120


def test_a_terminal_takes_nothing_for_a_command() -> None:
    result = relay_result(("critical", "raw_secret"), username="\x1b]0;title\x07")
    result["findings"][0]["key"] = "\x1b[2J\r\nnext\u202e line\udcff"
    lines = audit({"mx": result})["lines"]
    assert all(line.isprintable() for line in lines)
    assert "�[2J next� line�  The message." in lines[1]
    assert "User name �]0;title� (access key): 1 host (mx)" in lines


def without(result: dict[str, t.Any], *path: str | int) -> dict[str, t.Any]:
    """The result with what is at ``path`` missing."""
    result = copy.deepcopy(result)
    inner: t.Any = result
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return result


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        None,
        {"skipped": True},
        {"instances": [], "findings": 3},
        {"instances": [], "findings": ["text"]},
        {"instances": "text", "findings": []},
        relay_result(("catastrophic", "raw_secret")),
        without(relay_result(), "instances", 0, "entries", 0, "key"),
        without(relay_result(), "root"),
        {**relay_result(), "instances": [relay_result()["instances"][0]] * 101},
        {
            **relay_result(),
            "findings": relay_result(("notice", "unused_entry"))["findings"] * 100_000,
        },
        relay_result(username="x" * 10_000_000),
        without(relay_result(("notice", "unused_entry")), "findings", 0, "remedy"),
        json.loads(json.dumps(relay_result()).replace("587,", '"587",')),
    ],
)
def test_a_host_that_answers_anything_else_has_failed(answer: t.Any) -> None:
    report = audit({"liar": answer, "good": relay_result()})
    assert report["summary"]["failed"] == 1
    (row,) = report["findings"]
    assert (row["host"], row["id"]) == ("liar", "failed")
    assert row["message"].startswith("The host's answer is not one of postfix_relay_info: ")


def test_no_value_may_be_what_only_some_have() -> None:
    """Null where there is nothing to say, and a report that JSON takes."""
    result = relay_result(("notice", "unused_entry"))
    result["instances"][0].update(running=None, ca_file=None, mail_version=None)
    result["instances"][0]["entries"][0].update(username=None, matches=None, version=None)
    report = audit({"mx": result})
    assert json.loads(json.dumps(report)) == report
    assert report["hosts"][0]["instances"] == result["instances"]
    assert report["usernames"] == []


def test_only_what_is_known_is_passed_on() -> None:
    result = relay_result()
    result["instances"][0]["entries"][0]["password"] = "secret"
    assert "secret" not in json.dumps(audit({"mx": result}))


def test_the_severities_of_findings_are_those_of_the_module() -> None:
    assert [name for name in SEVERITIES if name != "unknown"] == ["critical", "warning", "notice"]


def test_what_can_not_be_written_is_replaced() -> None:
    """Half characters and NUL, which up to ansible-core 2.18 end the writing of a file."""
    result = relay_result(("critical", "raw_secret"), username="a\ud800b\x00c")
    result["findings"][0]["message"] = "\udcff"
    failed = {"failed": True, "msg": "\udcff\x00 " + "x" * 5_000_000}
    report = audit({"mx": result, "bare": failed, "odd": {"failed": True, "msg": [[]]}})
    json.dumps(report, ensure_ascii=False).encode("utf-8")
    assert (
        report["usernames"][0]["username"]
        == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    )
    messages = [row["message"] for row in report["findings"]]
    assert messages[0] == "\N{REPLACEMENT CHARACTER}"
    assert len(messages[1]) < 1100
    assert messages[2] == "(no message)"
