# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report on many hosts: order, counts, what is accepted, the verdict, hosts without an answer."""

from __future__ import annotations

import copy
import datetime
import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.plugin_utils import _audit
from ansible_collections.mailops.ses.plugins.plugin_utils._audit import SEVERITIES, Request
from ansible_collections.mailops.ses.plugins.plugin_utils._audit_accept import Acceptance
from ansible_collections.mailops.ses.plugins.plugin_utils._host_answer import FINDING
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY
from ansible_collections.mailops.ses.tests.support.running.relay_results import relay_result

NOW = datetime.datetime(2030, 6, 15, 23, 30, tzinfo=datetime.timezone.utc)
OTHER_KEY = "AKIAEXAMPLE000000002"
FLEET = {
    "mx2": relay_result(("warning", "table_stale"), ("critical", "version_2_password")),
    "mx10": relay_result(("critical", "raw_secret"), username=OTHER_KEY),
    "gone": {"unreachable": True, "changed": False, "msg": "Failed to connect:\n  refused"},
    "bare": {"failed": True, "changed": False, "msg": "There is no Postfix here"},
    "good": relay_result(),
    "mx1": relay_result(("notice", "unused_entry"), ("critical", "other_region")),
}


def audit(results: t.Mapping[str, t.Any], **request: t.Any) -> dict[str, t.Any]:
    return _audit.audit(results, Request(NOW, **request))


def accepted(finding: str, *hosts: str, until: str = "2030-06-15") -> Acceptance:
    return Acceptance(finding, frozenset(hosts), "known", datetime.date.fromisoformat(until))


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
        "accepted": 0,
        "relays_accepted": 0,
        "relays_not_accepted": 0,
        "relays_unknown": 0,
    }


def test_the_form_of_a_report() -> None:
    origin = {"command": "ansible-playbook x", "inventories": ["hosts.yml"]}
    report = audit(FLEET, origin=origin)
    assert {name: report[name] for name in ("version", "created", *origin)} == {
        "version": 1,
        "created": "2030-06-15T23:30:00Z",
        **origin,
    }
    assert audit(FLEET)["command"] is None


#: accepted, fail_on -> what counts against the audit
VERDICTS: list[tuple[list[Acceptance], str, list[str]]] = [
    ([], "none", []),
    ([], "critical", ["3 critical findings", "2 hosts without an answer"]),
    ([], "warning", ["3 critical findings", "2 hosts without an answer", "1 warning"]),
    (
        [accepted("other_region", "mx1"), accepted("failed", "bare")],
        "critical",
        ["2 critical findings", "1 host without an answer"],
    ),
    # The last day counts, and no day after it.
    (
        [accepted("other_region", "mx1", until="2030-06-14"), accepted("unreachable", "gone")],
        "critical",
        ["3 critical findings", "1 host without an answer"],
    ),
    # Of two, the one that lasts longer.
    (
        [
            accepted("other_region", "mx1", until="2030-06-14"),
            accepted("other_region", "mx1", "mx2"),
            accepted("other_region", "mx1", until="2030-01-01"),
        ],
        "critical",
        ["2 critical findings", "2 hosts without an answer"],
    ),
]


@pytest.mark.parametrize(("acceptances", "fail_on", "reasons"), VERDICTS)
def test_the_verdict(acceptances: list[Acceptance], fail_on: str, reasons: list[str]) -> None:
    report = audit(FLEET, accepted=acceptances, fail_on=fail_on)
    assert report["verdict"] == {"fail_on": fail_on, "passed": not reasons, "reasons": reasons}


def test_accepted_findings_are_apart() -> None:
    fleet = {name: FLEET[name] for name in ("mx1", "mx2", "gone")}
    given = [accepted("other_region", "mx1"), accepted("unused_entry", "mx1")]
    report = audit(fleet, accepted=[*given, accepted("table_stale", "mx2", until="2030-01-01")])
    acceptance = {"reason": "known", "until": "2030-06-15", "is_over": False}
    assert [(row["id"], row["acceptance"]) for row in report["accepted"]] == [
        ("other_region", acceptance),
        ("unused_entry", acceptance),
    ]
    over = {"reason": "known", "until": "2030-01-01", "is_over": True}
    assert [(row["id"], row["acceptance"]) for row in report["findings"]] == [
        ("version_2_password", None),
        ("unreachable", None),
        ("table_stale", over),
    ]
    assert [host["host"] for host in report["hosts"]] == ["mx2", "gone", "mx1"]
    assert [host["severity"] for host in report["hosts"]] == ["critical", "unknown", None]
    summary = report["summary"]
    assert [summary[name] for name in ("critical", "notice", "accepted", "without_findings")] == [
        1,
        0,
        2,
        1,
    ]


def test_what_monitoring_needs_of_relays_and_queues() -> None:
    probes = {"mx1": True, "mx2": False, "mx3": None, "mx4": True}
    fleet = {name: relay_result() for name in (*probes, "mx5")}
    for name, outcome in probes.items():
        fleet[name]["instances"][0]["probe"] = {"accepted": outcome, "reason": "said"}
    fleet["mx2"]["instances"][0]["deferred"] = deferred(60, "no")
    fleet["mx3"]["instances"][0]["deferred"] = deferred(3600, "Connection timed out")
    fleet["mx4"]["instances"][0]["deferred"] = None
    report = audit(fleet)
    names = ("relays_accepted", "relays_not_accepted", "relays_unknown")
    assert [report["summary"][name] for name in names] == [2, 1, 1]
    assert report["oldest_deferred"] == {
        "host": "mx3",
        "config_directory": "/etc/postfix",
        "age": 3600,
        "reason": "Connection timed out",
    }
    assert audit({"mx5": fleet["mx5"]})["oldest_deferred"] is None


def deferred(age: int, reason: str) -> dict[str, t.Any]:
    return {"messages": 1, "complete": True, "oldest_age": age, "oldest_reason": reason}


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
            {"no_answer": {"state": "unreachable", "reason": "timed\nout"}},
            "timed out",
            "Make sure Ansible can connect to the host, and audit it again",
        ),
        (
            {"no_answer": {"state": "failed", "reason": "sudo: not found"}},
            "sudo: not found",
            "Correct what the message says, and audit the host again",
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
    # It has what a finding of the module has, the host, and whether it is accepted.
    assert set(finding) == {"host", "acceptance", *FINDING}


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
