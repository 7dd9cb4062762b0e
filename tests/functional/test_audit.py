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
from ansible_collections.mailops.ses.tests.support.running.relay_results import relay_result
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
PHONE, DESKTOP = 375, 1280
ELEMENTS = {
    *("html", "head", "meta", "title", "link", "style", "body", "header", "main", "section"),
    *("h1", "h2", "h3", "p", "ul", "li", "b", "strong", "a", "code", "span", "dl", "dt", "dd"),
    *("table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
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
        (block,) = re.findall(
            r'^    "msg": \[\n(.*?)^    \]', self.screen, re.MULTILINE | re.DOTALL
        )
        lines: list[str] = json.loads(f"[{block}]")
        return lines


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
        variables = {"audit_candidates": candidates, "audit_json": "a.json", "audit_html": "a.html"}
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
    assert {"version_2_password", "table_stale", "readable_by_others"} <= audit.found("sloppy")
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
    assert line.startswith(
        "5 hosts: 3 audited, of which 1 without findings, 1 unreachable, 1 failed."
    )


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


def test_the_table_is_sorted_and_aligned(audit: Audit) -> None:
    title, *rest = audit.table()
    rows = rest[: rest.index("")]
    order = ["critical", "unknown", "warning", "notice"]
    sorted_by = [(order.index(row.split()[0]), row.split()[1]) for row in rows]
    assert sorted_by == sorted(sorted_by)
    assert len(rows) == len(audit.report["findings"])
    for name, field in (("HOST", "host"), ("FINDING", "id")):
        start = title.index(name)
        column = [row[start:].split()[0] for row in rows]
        assert column == [finding[field] for finding in audit.report["findings"]]


def test_each_host_is_shown_as_it_comes(audit: Audit) -> None:
    progress = audit.screen[: audit.screen.index("PLAY [Report]")]
    for said in ("ok: [good]", "ok: [sloppy]", "ok: [mixed]", "fatal: [bare]", "fatal: [gone]"):
        assert said in progress


def test_there_is_no_secret_in_any_output(audit: Audit) -> None:
    for text in (audit.screen, json.dumps(audit.report), audit.page.read_text()):
        assert found_in(text, [ACCESS_KEY])
        assert found_in(text, SECRETS) == []


def test_the_page_in_a_browser(audit: Audit, browser: Browser) -> None:
    browser.open(audit.page, DESKTOP)
    browser.screenshot(BUILD / "desktop.png")
    rows = [
        tuple(browser.texts(f"#findings-table tbody tr:nth-child({number}) td"))
        for number in range(1, len(audit.report["findings"]) + 1)
    ]
    assert rows == [
        (
            row["severity"],
            row["host"],
            row["id"],
            row["key"] or row["file"] or row["config_directory"] or "-",
            " ".join(row["message"].split()),
        )
        for row in audit.report["findings"]
    ]
    shown = {text.split()[0] for text in browser.texts("details > summary")}
    assert shown == {"good", "sloppy", "mixed", "gone", "bare"}
    # What is no lookup key may be a secret, so that the module redacts it.
    assert TAG not in browser.evaluate("return document.documentElement.innerHTML")
    assert {row["remedy"] for row in audit.report["findings"]} <= {
        text.removeprefix("Remedy: ") for text in browser.texts(".found p:last-child")
    }
    assert browser.overflow() == 0
    assert browser.console() == []
    assert browser.requests() == [audit.page.as_uri()]


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
        "return [...document.querySelectorAll('#findings-table tr:nth-child(1) td')]"
        ".map(cell => getComputedStyle(cell, '::before').content)"
    )
    assert titles == ['"Severity"', '"Host"', '"Finding"', '"Key or file"', '"Message"']


def hostile(value: t.Any) -> t.Any:
    """The same with every text but a severity replaced by one that wants to be HTML and Jinja."""
    if isinstance(value, dict):
        return {name: item if name == "severity" else hostile(item) for name, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


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
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
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
    assert elements.count("b") == 8
    assert HOSTILE in browser.texts("dd")
    assert name in browser.evaluate("return document.querySelector('details summary b').innerText")
    assert browser.overflow() == 0
    assert browser.console() == []
    assert browser.requests() == [(tmp_path / "page.html").as_uri()]


@pytest.mark.oldest_too
def test_a_run_without_any_host_that_answers_reports_all_the_same(tmp_path: Path) -> None:
    cli = AnsibleCli(tmp_path)
    cli.write("inventory", "gone ansible_host=127.0.0.1 ansible_port=1\n")
    screen = cli.checked("ansible-playbook", "-i", "inventory", "mailops.ses.audit")
    assert "1 host: 0 audited, of which 0 without findings, 1 unreachable, 0 failed." in screen
