# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook mailops.ses.audit on real Postfix instances, and its page in a real browser.

The screenshots are left in the folder build of the checkout, or of its copy, to be looked at.
"""

from __future__ import annotations

import json
import os
import re
import typing as t
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.tests.support.browser import Browser
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.postfix.scratch_postfix import ScratchPostfix
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli
from ansible_collections.mailops.ses.tests.support.running.relay_results import (
    relay_result,
    report_lines,
)
from ansible_collections.mailops.ses.tests.support.ses.accounts import password_v2, password_v4
from ansible_collections.mailops.ses.tests.support.ses.certificate_authority import (
    CertificateAuthority,
)

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.browser, pytest.mark.slow]

BUILD = Path(__file__).resolve().parents[2] / "build" / "audit"
PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
WEST, CENTRAL = "eu-west-1", "eu-central-1"
HOST = f"email-smtp.{WEST}.amazonaws.com"
KEY = f"[{HOST}]:587"
OTHER_ID, OTHER_SECRET = "AKIAEXAMPLE000000002", "secret/access+key/of+the+number/00000002"
VERSION_2 = password_v2(SECRET_KEY)
SECRETS = [
    *PASSWORD_OF.values(),
    SECRET_KEY,
    VERSION_2,
    OTHER_SECRET,
    password_v4(OTHER_SECRET, CENTRAL),
]
#: What a key of a map may be.
TAG = "<img/src=x/onerror=console.error(1)>"
#: The same, and more, as a module's answer may have it.
HOSTILE = f"\"'>{TAG}&amp;<b>{{{{ 6 * 7 }}}}"
ACCEPT = """
- finding: table_stale
  hosts: slop*
  reason: <b>recompiled</b> on Monday
  until: 2999-12-31
"""
PHONE, DESKTOP = 375, 1280
ELEMENTS = {
    *("html", "head", "meta", "title", "link", "style", "body", "header", "main", "section"),
    *("h1", "h2", "h3", "p", "ul", "li", "b", "strong", "a", "code", "span", "dl", "dt", "dd"),
    *("table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
    *("nav", "input", "label", "div"),
}


@dataclass(frozen=True)
class Audit:
    """What a run left: the screen, and both files."""

    screen: str
    report: dict[str, t.Any]
    page: Path

    def found(self, host: str) -> set[str]:
        """The findings of a host."""
        return {row["id"] for row in self.report["findings"] if row["host"] == host}

    def table(self) -> list[str]:
        """The lines of the last task, as a user sees them."""
        return report_lines(self.screen)


def make_relay(postfix: ScratchPostfix, ca_file: Path, *lines: str) -> Path:
    """Let it relay through SES as it should, with these lines in its map; returns the map."""
    source = postfix.config_directory / "sasl_passwd"
    source.touch(mode=0o600)
    source.write_text("".join(f"{line}\n" for line in lines))
    postfix.run("postmap", f"hash:{source}")
    postfix.set(
        {
            "relayhost": KEY,
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_password_maps": f"hash:{source}",
            "smtp_sasl_security_options": "noanonymous, noplaintext",
            "smtp_sasl_tls_security_options": "noanonymous",
            "smtp_tls_security_level": "secure",
            "smtp_tls_CAfile": str(ca_file),
        }
    )
    return source


@pytest.fixture(name="audit", scope="module")
def fixture_audit(
    tmp_path_factory: pytest.TempPathFactory, authority: CertificateAuthority
) -> Audit:
    """A run over one good relay, two bad ones, one that can't be reached and one without Postfix."""
    cli = AnsibleCli(tmp_path_factory.mktemp("audit"))
    with ExitStack() as stack:
        good, sloppy, mixed = (stack.enter_context(ScratchPostfix()) for _dummy in range(3))
        make_relay(good, authority.ca_file, f"{KEY} {ACCESS_KEY}:{PASSWORD_OF[WEST]}")
        source = make_relay(sloppy, authority.ca_file, f"{KEY} {ACCESS_KEY}:{VERSION_2}")
        source.chmod(0o644)
        os.utime(f"{source}.db", (0, 0))
        make_relay(
            mixed,
            authority.ca_file,
            f"{KEY} {OTHER_ID}:{password_v4(OTHER_SECRET, CENTRAL)}",
            f"{KEY.replace(WEST, CENTRAL)} {OTHER_ID}:{OTHER_SECRET}",
            f"{TAG} somebody:their own",
        )
        instances = {"good": good, "sloppy": sloppy, "mixed": mixed}
        hosts: dict[str, dict[str, t.Any]] = {
            name: {
                "ansible_connection": "local",
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                "postfix_relay_config_directory": str(postfix.config_directory),
            }
            for name, postfix in instances.items()
        }
        hosts["bare"] = {**hosts["good"], "postfix_relay_config_directory": "/nowhere"}
        hosts["gone"] = {"ansible_host": "127.0.0.1", "ansible_port": 1}
        (cli.folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
        candidates = [
            {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY},
            {"access_key": OTHER_ID, "secret_key": OTHER_SECRET},
        ]
        (cli.folder / "accept.yml").write_text(ACCEPT)
        files = {"audit_json": "a.json", "audit_html": "a.html", "audit_accept": "accept.yml"}
        variables = {"audit_candidates": candidates, **files}
        (cli.folder / "variables.yml").write_text(yaml.safe_dump(variables))
        options = ("-i", "inventory.yml", "-e", "@variables.yml", "--diff")
        screen = cli.checked("ansible-playbook", *options, "mailops.ses.audit")
    for name in ("a.json", "a.html"):
        assert (cli.folder / name).stat().st_mode & 0o777 == 0o600
    report = json.loads((cli.folder / "a.json").read_text())
    return Audit(screen, report, cli.folder / "a.html")


@pytest.fixture(name="browser", scope="module")
def fixture_browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def test_each_mistake_is_found_on_its_host(audit: Audit) -> None:
    assert audit.found("good") == set()
    assert {"version_2_password", "readable_by_others"} <= audit.found("sloppy")
    assert {row["id"] for row in audit.report["accepted"]} == {"table_stale"}
    assert {"other_region", "raw_secret", "unused_entry"} <= audit.found("mixed")
    assert audit.found("gone") == {"unreachable"}
    assert audit.found("bare") == {"failed"}


def test_every_host_is_counted(audit: Audit) -> None:
    summary = audit.report["summary"]
    counts = ("hosts", "audited", "unreachable", "failed", "without_findings")
    assert [summary[name] for name in counts] == [5, 3, 1, 1, 1]
    rated = [row["severity"] for row in audit.report["findings"]]
    for severity in ("critical", "warning", "notice"):
        assert summary[severity] == rated.count(severity)
    assert summary["critical"] > 0
    (line,) = audit.table()[-1:]
    assert line.startswith("5 hosts, 2 without an answer. ")
    assert line.endswith(" 1 accepted.")


def test_who_has_which_key(audit: Audit) -> None:
    """Beside a redacted lookup key, a user name is shown only if it is an access key ID."""
    assert audit.report["usernames"] == [
        {"username": ACCESS_KEY, "system": "iam", "hosts": ["good", "sloppy"]},
        {"username": OTHER_ID, "system": "iam", "hosts": ["mixed"]},
    ]
    assert f"User name {OTHER_ID} (access key): 1 host (mixed)" in audit.table()
    (good,) = (host for host in audit.report["hosts"] if host["host"] == "good")
    (entry,) = good["instances"][0]["entries"]
    assert entry["matches"] == {"access_key": ACCESS_KEY, "region": WEST, "version": 4}


def test_the_screen_has_the_worst_first_and_is_narrow(audit: Audit) -> None:
    titles = [line for line in audit.table() if re.match(r"[A-Z ]+:", line)]
    order = ["CRITICAL", "WARNING", "NOTICE", "NO ANSWER"]
    ranks = [order.index(title.partition(":")[0]) for title in titles]
    assert ranks == sorted(ranks)
    assert "CRITICAL: version_2_password, on 1 host" not in titles
    assert "WARNING: version_2_password, on 1 host" in titles
    assert "NO ANSWER: 2 hosts, which may have any finding" in titles
    for host, reason in (("gone", "Connection refused"), ("bare", "No such file or directory")):
        (message,) = (row["message"] for row in audit.report["findings"] if row["host"] == host)
        assert reason in message
    block = audit.screen[audit.screen.index("[Show what was found]") :].split("\n\n")[0]
    assert max(map(len, block.splitlines())) <= 100


def test_no_host_fails_while_it_is_looked_at(audit: Audit) -> None:
    progress = audit.screen[: audit.screen.index("PLAY [Report]")]
    for name in ("good", "sloppy", "mixed", "bare", "gone"):
        assert f"ok: [{name}]" in progress
    for alarming in ("fatal", "UNREACHABLE", "FAILED", "[ERROR]", "ignoring"):
        assert alarming not in audit.screen


def test_the_report_says_where_it_comes_from(audit: Audit) -> None:
    assert audit.report["version"] == 1
    assert audit.report["inventories"] == ["inventory.yml"]
    command = audit.report["command"]
    assert command.startswith("ansible-playbook --inventory /")
    assert command.endswith("/inventory.yml mailops.ses.audit --extra-vars ...")


def test_there_is_no_secret_in_any_output(audit: Audit) -> None:
    for text in (audit.screen, json.dumps(audit.report), audit.page.read_text()):
        assert found_in(text, [ACCESS_KEY])
        assert found_in(text, SECRETS) == []


def test_the_page_in_a_browser(audit: Audit, browser: Browser) -> None:
    browser.open(audit.page, DESKTOP)
    browser.screenshot(BUILD / "desktop.png")
    rows = [
        {
            title: browser.texts(f"#findings-table tr:not(.title) td[data-title='{title}']")[number]
            for title in ("What is wrong", "Key or file", "Remedy", "Hosts")
        }
        for number in range(len(browser.texts("#findings-table tbody tr:not(.title)")))
    ]
    for row in audit.report["findings"]:
        (shown,) = (
            each
            for each in rows
            if each["What is wrong"] == " ".join(row["message"].split())
            and each["Key or file"] == (row["key"] or row["file"] or row["config_directory"] or "-")
            and row["host"] in each["Hosts"].split(", ")
        )
        assert shown["Remedy"] == row["remedy"]
    assert len(browser.texts("#findings-table .title")) == len(
        {(row["severity"], row["id"]) for row in audit.report["findings"]}
    )
    assert browser.texts("#accepted-table td") == [
        "<b>recompiled</b> on Monday",
        "2999-12-31",
        *(row["message"] for row in audit.report["accepted"]),
        "sloppy",
    ]
    assert browser.texts("header p:nth-of-type(2)") == [audit.report["command"]]
    shown_hosts = {text.split()[0] for text in browser.texts("details > summary")}
    assert shown_hosts == {"good", "sloppy", "mixed", "gone", "bare"}
    # What is no lookup key may be a secret, so that the module redacts it.
    assert TAG not in browser.evaluate("return document.documentElement.innerHTML")
    assert {row["remedy"] for row in audit.report["findings"]} <= {
        text.removeprefix("Remedy: ") for text in browser.texts(".found p:last-child")
    }
    assert browser.overflow() == 0
    assert browser.console() == []
    assert browser.requests() == [audit.page.as_uri()]


def test_the_page_shows_what_is_chosen(audit: Audit, browser: Browser) -> None:
    """Without a script: it is CSS that hides the groups."""
    browser.open(audit.page, DESKTOP)
    severities = ["critical", "unknown", "warning", "notice"]
    found = [row["severity"] for row in audit.report["findings"]]
    for chosen in ["critical", "unknown", "warning", "all"]:
        browser.evaluate("document.querySelector(arguments[0]).click()", f"[for=show-{chosen}]")
        shown = browser.evaluate(
            "return [...document.querySelectorAll('#findings-table .group')]"
            ".filter(group => group.offsetHeight > 0)"
            ".map(group => [...group.classList].find(name => name.startsWith('is-')).slice(3))"
        )
        assert set(shown) == ({*found} if chosen == "all" else {chosen})
        assert shown == sorted(shown, key=severities.index)


def test_the_page_on_a_phone_and_in_the_dark(audit: Audit, browser: Browser) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    browser.open(audit.page, PHONE)
    assert browser.overflow() == 0
    browser.screenshot(BUILD / "phone.png")
    light = browser.evaluate(colour)
    browser.resize(PHONE, dark=True)
    browser.screenshot(BUILD / "phone-dark.png")
    assert browser.evaluate(colour) != light
    assert browser.console() == []
    # The header of the table is gone, each cell has its title instead.
    titles = browser.evaluate(
        "return [...document.querySelectorAll('#findings-table tbody:nth-of-type(1) tr:nth-child(2) td')]"
        ".map(cell => getComputedStyle(cell, '::before').content)"
    )
    assert titles == ['"What is wrong"', '"Key or file"', '"Remedy"', '"Hosts"']


def hostile(value: t.Any) -> t.Any:
    """The same with every text but a severity replaced by one that wants to be HTML and Jinja."""
    if isinstance(value, dict):
        return {name: item if name == "severity" else hostile(item) for name, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


#: As the playbook makes it, for its template.
REPORT = {"_audit_report": "{{ hostvars | mailops.ses.postfix_relay_audit('_mailops_ses_audit') }}"}


@pytest.mark.oldest_too
def test_whatever_a_host_answers_stays_text(tmp_path: Path, browser: Browser) -> None:
    """In every field of the result, and in the host's name."""
    cli = AnsibleCli(tmp_path)
    name = "<b>mx1"
    answer = hostile(relay_result(("critical", "raw_secret"), ("warning", "table_stale")))
    # A module, so that its answer is what a host says and not what a playbook does.
    (tmp_path / "library").mkdir()
    cli.write("library/answer.py", f"#!/usr/bin/python\nprint({json.dumps(answer)!r})\n")
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {name: None}}}))
    play = {
        "hosts": "all",
        "gather_facts": False,
        "connection": "local",
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}", **REPORT},
        "tasks": [
            {"answer": {}, "register": "_mailops_ses_audit"},
            {
                "ansible.builtin.template": {
                    "src": str(PLAYBOOKS / "templates" / "audit.html.j2"),
                    "dest": str(tmp_path / "page.html"),
                    "mode": "0600",
                }
            },
        ],
    }
    cli.write("play.yml", json.dumps([play]))
    cli.checked("ansible-playbook", "-i", "inventory.yml", "play.yml")
    browser.open(tmp_path / "page.html", PHONE)
    elements = browser.evaluate("return [...document.all].map(e => e.localName)")
    assert set(elements) <= ELEMENTS
    # Those that the page has itself: one for each count and for the host's name.
    assert elements.count("b") == 9
    assert HOSTILE in browser.texts("dd")
    assert name in browser.evaluate("return document.querySelector('details summary b').innerText")
    assert browser.overflow() == 0
    assert browser.console() == []
    assert browser.requests() == [(tmp_path / "page.html").as_uri()]


#: Clicks on the link with this text in the table of findings; returns where its target then is.
FOLLOW = """
const link = [...document.querySelectorAll('#findings-table a')]
    .find(each => each.innerText == arguments[0]);
link.click();
const box = document.querySelector(link.getAttribute('href'));
const summary = box.closest('details').querySelector('summary');
return [box.closest('details').open, summary.innerText.split(' ')[0].trim(),
    summary.getBoundingClientRect().top, innerHeight];
"""
#: Scrolls a row of the findings to the top; returns the tops of the bar and of the table's header.
SCROLL = """
document.querySelectorAll('#findings-table tbody')[1].scrollIntoView();
return ['nav', '#findings-table thead th'].map(
    each => document.querySelector(each).getBoundingClientRect().top);
"""


def test_the_page_of_200_hosts(tmp_path: Path, browser: Browser) -> None:
    """What is above is still there while one scrolls, and a link opens the box of its host."""
    cli = AnsibleCli(tmp_path)
    kinds = [("critical", "raw_secret"), ("warning", "table_stale"), ("notice", "unused_entry")]
    answers = {
        f"mx{number:03}.example.com": relay_result(*kinds[: number % 4]) for number in range(200)
    }
    for number, answer in enumerate(answers.values()):
        for finding in answer["findings"]:
            finding["message"] = f"{finding['id']} number {number % 10}"
    hosts = {name: {"_mailops_ses_audit": answer} for name, answer in answers.items()}
    (tmp_path / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    template = {
        "src": str(PLAYBOOKS / "templates" / "audit.html.j2"),
        "dest": str(tmp_path / "page.html"),
        "mode": "0600",
    }
    play = {
        "hosts": "all",
        "gather_facts": False,
        "connection": "local",
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}", **REPORT},
        "tasks": [{"ansible.builtin.template": template, "run_once": True}],
    }
    cli.write("play.yml", json.dumps([play]))
    cli.checked("ansible-playbook", "-i", "inventory.json", "play.yml")
    for width in (DESKTOP, PHONE):
        browser.open(tmp_path / "page.html", width)
        browser.screenshot(BUILD / f"200-hosts-{width}.png", whole=False)
        assert browser.overflow() == 0
        place_of_bar, header = browser.evaluate(SCROLL)
        assert place_of_bar == 0
        # On a phone each cell has its title instead.
        assert width == PHONE or header == pytest.approx(48, abs=2)
        browser.screenshot(BUILD / f"200-hosts-{width}-scrolled.png", whole=False)
        assert browser.evaluate("return document.querySelectorAll('details[open]').length") == 0
        is_open, name, top, height = browser.evaluate(FOLLOW, "mx151.example.com")
        assert (is_open, name) == (True, "mx151.example.com")
        assert 48 <= top < height / 2
        browser.screenshot(BUILD / f"200-hosts-{width}-box.png", whole=False)
        assert browser.console() == []


@pytest.mark.oldest_too
def test_a_run_without_any_host_that_answers_reports_all_the_same(tmp_path: Path) -> None:
    cli = AnsibleCli(tmp_path)
    cli.write("inventory", "gone ansible_host=127.0.0.1 ansible_port=1\n")
    screen = cli.checked("ansible-playbook", "-i", "inventory", "mailops.ses.audit")
    assert "1 host, 1 without an answer. 0 critical, 0 warnings, 0 notices, 0 accepted." in screen
