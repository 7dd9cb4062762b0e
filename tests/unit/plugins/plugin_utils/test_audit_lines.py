# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report on a terminal: grouped by finding, narrow, with the sums at the end."""

from __future__ import annotations

import datetime
import json
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.plugin_utils import _audit
from ansible_collections.mailops.ses.plugins.plugin_utils._audit import Request
from ansible_collections.mailops.ses.plugins.plugin_utils._audit_accept import Acceptance
from ansible_collections.mailops.ses.plugins.plugin_utils._audit_lines import write_verdict_lines
from ansible_collections.mailops.ses.tests.support.example_key import ACCESS_KEY, MAIL_MANAGER
from ansible_collections.mailops.ses.tests.support.running.relay_results import relay_result

NOW = datetime.datetime(2030, 6, 15, tzinfo=datetime.timezone.utc)
UNTIL = datetime.date(2030, 12, 31)
KEY = "[email-smtp.eu-west-1.amazonaws.com]:587"


def lines_of(results: t.Mapping[str, t.Any], **request: t.Any) -> list[str]:
    lines: list[str] = _audit.audit(results, Request(NOW, **request))["lines"]
    return lines


def columns(line: str) -> int:
    """How wide a line is as Ansible shows it in a list."""
    return len(json.dumps({"msg": [line, ""]}, indent=4, ensure_ascii=False).split("\n")[2])


def test_the_lines() -> None:
    stale = relay_result(("warning", "table_stale"), ("critical", "version_2_password"))
    stale["findings"][0]["remedy"] = (
        "Make sure it is right. Then run: postmap hash:/x. Look; run: ls"
    )
    fleet = {
        "mx1": relay_result(("warning", "table_stale")),
        "mx2": stale,
        "mx3": relay_result(("critical", "raw_secret"), ("critical", "version_2_password")),
        "gone": {"unreachable": True, "msg": "Failed to connect:\n  refused"},
        "bare": {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "sudo: not found\n"},
        "good": relay_result(),
    }
    accepted = [Acceptance("raw_secret", frozenset(["mx3"]), "Replaced on Monday", UNTIL)]
    assert lines_of(fleet, accepted=accepted, fail_on="critical") == [
        "CRITICAL: version_2_password, on 2 hosts",
        "  The message.",
        f"    In: {KEY}",
        "    On: mx2, mx3",
        "    Remedy: The remedy.",
        "",
        "WARNING: table_stale, on 2 hosts",
        "  The message.",
        f"    In: {KEY}",
        "    On: mx1",
        "    Remedy: The remedy.",
        "  The message.",
        f"    In: {KEY}",
        "    On: mx2",
        "    Remedy: Make sure it is right. Then run:",
        "      postmap hash:/x",
        "    Look; run:",
        "      ls",
        "",
        "NO ANSWER: 2 hosts, which may have any finding",
        "  sudo: not found",
        "    On: bare",
        "    Remedy: Correct what the message says, and audit the host again",
        "  Failed to connect: refused",
        "    On: gone",
        "    Remedy: Make sure Ansible can connect to the host, and audit it again",
        "",
        "ACCEPTED, and not counted",
        "  raw_secret (critical), until 2030-12-31: Replaced on Monday",
        "    On: mx3",
        "",
        f"User name {ACCESS_KEY} (access key): 4 hosts (good, mx1, mx2, mx3)",
        "",
        "audit_fail_on=critical: FAILED: 2 critical findings, 2 hosts without an answer",
        "6 hosts, 2 without an answer. 2 critical, 2 warnings, 0 notices, 1 accepted.",
    ]


def test_where_all_is_well() -> None:
    assert lines_of({"good": relay_result()}, fail_on="warning")[-3:] == [
        "",
        "audit_fail_on=warning: passed",
        "1 host, 0 without an answer. 0 critical, 0 warnings, 0 notices, 0 accepted.",
    ]
    assert lines_of({}) == [
        "0 hosts, 0 without an answer. 0 critical, 0 warnings, 0 notices, 0 accepted."
    ]


def test_an_acceptance_that_is_over() -> None:
    over = Acceptance("table_stale", frozenset(["mx"]), "Later", datetime.date(2030, 6, 14))
    lines = lines_of({"mx": relay_result(("warning", "table_stale"))}, accepted=[over])
    assert "    Accepted until 2030-06-14, which is over: Later" in lines
    assert lines[-1].endswith("1 warning, 0 notices, 0 accepted.")


def test_a_finding_without_a_key_is_in_a_file_or_an_instance() -> None:
    result = relay_result(("warning", "table_stale"))
    result["findings"][0]["key"] = None
    assert "    In: /etc/postfix/sasl_passwd" in lines_of({"mx": result})
    result["findings"][0]["file"] = None
    assert "    In: /etc/postfix" in lines_of({"mx": result})
    result["findings"][0]["config_directory"] = None
    assert not any(line.startswith("    In:") for line in lines_of({"mx": result}))


def test_what_probes_found_and_what_waits() -> None:
    answers = {
        "mx1": (True, "250 OK"),
        "mx2": (False, "535 no\n"),
        "mx3": (None, "Postfix is not running"),
        "mx5": (True, "250 Ok"),
    }
    results = {name: relay_result() for name in (*answers, "mx4")}
    for number, (name, (accepted, reason)) in enumerate(answers.items()):
        instance = results[name]["instances"][0]
        instance["probe"] = {"accepted": accepted, "reason": reason}
        instance["deferred"].update(oldest_age=number * 100_000, oldest_reason=None)
    lines = lines_of(results)
    start = lines.index("RELAYS, probed for this report")
    assert lines[start : lines.index("", start)] == [
        "RELAYS, probed for this report",
        "  Accepted by SES",
        "    On: mx1 (/etc/postfix), mx5 (/etc/postfix)",
        "  Not accepted: 535 no",
        "    On: mx2 (/etc/postfix)",
        "  Not known: Postfix is not running",
        "    On: mx3 (/etc/postfix)",
    ]
    start = lines.index("DEFERRED MAIL, the oldest of each queue")
    assert lines[start + 1 : lines.index("", start)] == [
        "  mx5 (/etc/postfix), waits 3 d 11 h: no reason is known",
        "  mx3 (/etc/postfix), waits 2 d 7 h: no reason is known",
        "  mx2 (/etc/postfix), waits 1 d 3 h: no reason is known",
        "  mx1 (/etc/postfix), waits 0 min: no reason is known",
    ]


def test_what_a_probe_of_mail_manager_shows() -> None:
    result = relay_result()
    result["instances"][0]["relayhost"] = [f"[{MAIL_MANAGER['endpoint']}]:587"]
    result["instances"][0]["probe"] = {"accepted": True, "reason": "250 OK"}
    lines = lines_of({"mx": result})
    start = lines.index("RELAYS, probed for this report")
    assert " ".join(" ".join(lines[start + 1 : lines.index("", start)]).split()) == (
        "Accepted by Mail Manager. Mail Manager accepts a message before its rules are applied. A rule"
        " may still drop it On: mx (/etc/postfix)"
    )


def test_of_many_hosts_queues_and_cases_some_are_shown() -> None:
    results = {f"mx{number:03}": relay_result(("notice", "unused_entry")) for number in range(40)}
    for number, result in enumerate(results.values()):
        result["instances"][0]["deferred"].update(oldest_age=3600 * 3, oldest_reason="no")
        result["findings"].append({**result["findings"][0], "message": f"Number {number}"})
    lines = lines_of(results)
    users = " ".join(line.strip() for line in lines[lines.index("  And 35 queues more") + 2 :])
    named = "mx000, mx001, mx002, mx003, mx004 and 35 more"
    assert users.startswith(f"User name {ACCESS_KEY} (access key): 40 hosts ({named})")
    assert sum(line.endswith("mx029 and 10 more") for line in lines) == 1
    assert "  And 35 queues more" in lines
    assert sum(line.startswith("  Number") for line in lines) == 9
    assert "  And 31 more on 31 hosts: audit_html and audit_json have all" in lines
    assert "NOTICE: unused_entry, on 40 hosts" in lines
    assert lines[-1].startswith("40 hosts, 0 without an answer.")


@pytest.mark.parametrize(
    "text", ["k" * 300, '"' * 500, "\\ " * 200, "word " * 100, "\x1b" * 99, "ü" * 200, "", " "]
)
def test_no_line_is_wider_than_100_columns(text: str) -> None:
    result = relay_result(("critical", "raw_secret"), username=text or "x")
    result["findings"][0].update(key=text, message=text, remedy=f"{text}. Run: {text}; {text}")
    result["instances"][0]["probe"] = {"accepted": False, "reason": text}
    result["instances"][0]["deferred"].update(oldest_age=1, oldest_reason=text)
    lines = lines_of({"mx" + "x" * 200: result, "gone": {"failed": True, "msg": text}})
    assert max(map(columns, lines)) <= 100
    assert all(line.isprintable() for line in lines)
    shown = "".join("".join(line.split()) for line in lines)
    assert "".join(text.replace("\x1b", "\N{REPLACEMENT CHARACTER}").split()) in shown


def test_the_sums_of_a_large_fleet_are_one_line() -> None:
    summary = {
        "hosts": 1000, "unreachable": 100, "failed": 20, "critical": 1000, "warning": 1000,
        "notice": 10, "accepted": 10,
    }  # fmt: skip
    (line,) = write_verdict_lines({"verdict": {"fail_on": "none"}, "summary": summary})
    assert columns(line) <= 100


def test_a_terminal_takes_nothing_for_a_command() -> None:
    result = relay_result(("critical", "raw_secret"), username="\x1b]0;title\x07")
    result["findings"][0]["key"] = "\x1b[2J\r\nnext\u202e line\udcff"
    lines = lines_of({"mx": result})
    assert all(line.isprintable() for line in lines)
    assert "    In: �[2J next� line�" in lines
    assert "User name �]0;title� (access key): 1 host (mx)" in lines
