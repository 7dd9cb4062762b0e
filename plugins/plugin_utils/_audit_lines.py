# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The report of _audit.py on a terminal: what is wrong, where, what to do, and the sums.

Ansible shows a list as JSON: 9 columns are before each line, and 2 after it.
"""

from __future__ import annotations

import re
import typing as t

from ..module_utils._postfix._destination import parse_host
from ..module_utils._ses._mail_manager import (
    IAM,
    MAIL_MANAGER,
    MAIL_MANAGER_ACCEPTS,
    is_mail_manager_host,
)
from ._audit_groups import Rows, group_by
from ._audit_verdict import count

__all__ = ("make_plain", "write_audit_lines", "write_verdict_lines")

_WIDTH = 100 - 11
#: Of a finding. All are in the files.
_NAMED_HOSTS = 30
_SHOWN_CASES = 10
_NAMED_WITH_KEY = 5
_SHOWN_DEFERRED = 5
_SYSTEMS = {IAM: "access key", MAIL_MANAGER: "Mail Manager"}
#: What a remedy says is to be run: a command ends with its sentence.
_COMMAND = re.compile(r"[Rr]un: (?P<command>.+?)(?=[.;] |[.;]?$)")


def write_audit_lines(report: t.Mapping[str, t.Any]) -> list[str]:
    """Return the lines, the sum last: there it is seen after thousands of findings too."""
    groups = report["groups"]
    sections = [
        *_findings([group for group in groups if group["severity"] != "unknown"]),
        _without_answer([group for group in groups if group["severity"] == "unknown"]),
        _accepted(report["accepted_groups"]),
        _probes(report["hosts"]),
        _deferred(report["hosts"]),
        _usernames(report["usernames"]),
    ]
    found = [line for section in sections if section for line in [*section, ""]]
    return [*found, *write_verdict_lines(report)]


def write_verdict_lines(report: t.Mapping[str, t.Any]) -> list[str]:
    """Return what audit_fail_on says of the report, and last the line with the sums."""
    verdict = report["verdict"]
    lines = []
    if verdict["fail_on"] != "none":
        words = "passed" if verdict["passed"] else f"FAILED: {', '.join(verdict['reasons'])}"
        lines = _fold(f"audit_fail_on={verdict['fail_on']}: {words}")
    return [*lines, _sum(report["summary"])]


def make_plain(text: str) -> str:
    """Return ``text`` in one line, without what a terminal would take as a command."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in " ".join(text.split())
    )


def _findings(groups: Rows) -> t.Iterator[list[str]]:
    for group in groups:
        title = f"{group['severity'].upper()}: {group['id']}, on {count(group['hosts'], 'host')}"
        yield [*_fold(title), *_cases(group["cases"])]


def _without_answer(groups: Rows) -> list[str]:
    hosts = sum(group["hosts"] for group in groups)
    cases = [case for group in groups for case in group["cases"]]
    title = f"NO ANSWER: {count(hosts, 'host')}, which may have any finding"
    return [*_fold(title), *_cases(cases)] if groups else []


def _cases(cases: Rows) -> list[str]:
    lines: list[str] = []
    for case in cases[:_SHOWN_CASES]:
        lines += _fold(case["message"], 2)
        if case["where"]:
            lines += _fold(f"In: {case['where']}", 4)
        lines += _fold(f"On: {_names(case['hosts'], _NAMED_HOSTS)}", 4)
        if case["acceptance"]:
            until, reason = case["acceptance"]["until"], case["acceptance"]["reason"]
            lines += _fold(f"Accepted until {until}, which is over: {reason}", 4)
        lines += _remedy(case["remedy"])
    more = cases[_SHOWN_CASES:]
    if more:
        hosts = count(len({name for case in more for name in case["hosts"]}), "host")
        lines += _fold(f"And {len(more)} more on {hosts}: audit_html and audit_json have all", 2)
    return lines


def _accepted(groups: Rows) -> list[str]:
    lines: list[str] = []
    for group in groups:
        for case in group["cases"]:
            until, reason = case["acceptance"]["until"], case["acceptance"]["reason"]
            lines += _fold(f"{group['id']} ({group['severity']}), until {until}: {reason}", 2)
            lines += _fold(f"On: {_names(case['hosts'], _NAMED_HOSTS)}", 4)
    return ["ACCEPTED, and not counted", *lines] if lines else []


def _probes(hosts: Rows) -> list[str]:
    """Return what each Postfix found out about its relay, if it was asked."""
    probed = [
        {
            "host": f"{host['host']} ({instance['config_directory']})",
            "outcome": _outcome(instance),
        }
        for host in sorted(hosts, key=lambda each: t.cast("str", each["host"]))
        for instance in host["instances"]
        if instance["probe"]
    ]
    lines = ["RELAYS, probed for this report"] if probed else []
    for (outcome,), of_case in group_by(probed, lambda each: (each["outcome"],)):
        lines += _fold(outcome, 2)
        lines += _fold(f"On: {_names([row['host'] for row in of_case], _NAMED_HOSTS)}", 4)
    return lines


def _outcome(instance: t.Mapping[str, t.Any]) -> str:
    probe = instance["probe"]
    if not probe["accepted"]:
        return f"{'Not known' if probe['accepted'] is None else 'Not accepted'}: {probe['reason']}"
    if any(is_mail_manager_host(parse_host(each) or "") for each in instance["relayhost"]):
        return f"Accepted by Mail Manager. {MAIL_MANAGER_ACCEPTS}"
    return "Accepted by SES"


def _deferred(hosts: Rows) -> list[str]:
    waiting = [
        (-instance["deferred"]["oldest_age"], host["host"], instance)
        for host in hosts
        for instance in host["instances"]
        if instance["deferred"] and instance["deferred"]["oldest_age"] is not None
    ]
    lines = ["DEFERRED MAIL, the oldest of each queue"] if waiting else []
    for age, host, instance in sorted(waiting, key=lambda each: each[:2])[:_SHOWN_DEFERRED]:
        place = f"{host} ({instance['config_directory']})"
        reason = instance["deferred"]["oldest_reason"] or "no reason is known"
        lines += _fold(f"{place}, waits {_duration(-age)}: {reason}", 2)
    if len(waiting) > _SHOWN_DEFERRED:
        lines.append(f"  And {count(len(waiting) - _SHOWN_DEFERRED, 'queue')} more")
    return lines


def _usernames(usernames: Rows) -> list[str]:
    lines: list[str] = []
    for one in usernames:
        names = _names(one["hosts"], _NAMED_WITH_KEY)
        system = f" ({_SYSTEMS[one['system']]})" if one["system"] in _SYSTEMS else ""
        hosts = count(len(one["hosts"]), "host")
        lines += _fold(f"User name {one['username']}{system}: {hosts} ({names})")
    return lines


def _sum(summary: t.Mapping[str, int]) -> str:
    silent = summary["unreachable"] + summary["failed"]
    return (
        f"{count(summary['hosts'], 'host')}, {silent} without an answer. "
        f"{summary['critical']} critical, {count(summary['warning'], 'warning')}, "
        f"{count(summary['notice'], 'notice')}, {summary['accepted']} accepted."
    )


def _names(names: t.Sequence[str], most: int) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _remedy(text: str) -> list[str]:
    """Return a remedy, with the commands in it on lines of their own."""
    lines: list[str] = []
    done, before = 0, "Remedy: "
    for match in _COMMAND.finditer(text):
        words = text[done : match.start("command")].lstrip(" .;")
        lines += _fold(f"{before}{words}", 4)
        lines += _fold(match["command"], 6)
        done, before = match.end(), ""
    rest = text[done:].lstrip(" .;")
    return lines + (_fold(f"{before}{rest}", 4) if rest else [])


def _duration(seconds: int) -> str:
    minutes = seconds // 60
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _fold(text: str, indent: int = 0) -> list[str]:
    """Return ``text`` in lines of the width that is left, the later ones 2 more to the right."""
    lines: list[str] = []
    line, room, later = " " * indent, _WIDTH - indent, indent + 2
    is_empty = True
    for word in _breakable(make_plain(text), (_WIDTH - later) // 2):
        needed = _columns(word) + (not is_empty)
        if needed > room:
            lines.append(line)
            line, room = " " * later, _WIDTH - later
            is_empty, needed = True, _columns(word)
        line += word if is_empty else f" {word}"
        room -= needed
        is_empty = False
    return [*lines, line]


def _breakable(text: str, most: int) -> t.Iterator[str]:
    """Return the words of ``text``, those longer than a line in pieces: JSON can double a word."""
    for word in text.split(" "):
        if _columns(word) <= 2 * most:
            yield word
        else:
            yield from (word[start : start + most] for start in range(0, len(word), most))


def _columns(word: str) -> int:
    """Return how wide JSON makes a word."""
    return len(word) + word.count('"') + word.count("\\")
