# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``mailops.ses.audit`` on hosts of which some lie: the report on the others is there all the same.

And with --limit, with patterns that match no host, and where nobody can be reached.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.postfix.scratch_configs import ScratchHosts
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli, squeezed
from ansible_collections.mailops.ses.tests.support.running.relay_results import relay_result

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow, pytest.mark.every_minor]

BAD = "The host's answer is not one of postfix_relay_info: "
#: Seconds, for a run that takes about ten on two quiet processors.
LONG = 300.0


def with_findings(count: int, **changes: str) -> str:
    """An answer with so many findings that say this."""
    (finding,) = relay_result(("notice", "unused_entry"))["findings"]
    return json.dumps({**relay_result(), "findings": [{**finding, **changes}] * count})


def with_entries(count: int) -> str:
    answer = relay_result()
    answer["instances"][0]["entries"] *= count
    return json.dumps(answer)


#: what a host prints -> what the report says of it; None if that it is audited
LIARS: dict[str, tuple[str, str | None]] = {
    "findings": (with_findings(11_000), f"{BAD}findings has 11000 items"),
    "entries": (with_entries(11_000), f"{BAD}instances[0].entries has 11000 items"),
    "text": (with_findings(1, message="x" * 1_000_000), f"{BAD}findings[0].message has 1000000"),
    "nested": (
        json.dumps({**relay_result(), "findings": {"a": [[[[]]]]}}),
        f"{BAD}findings is not",
    ),
    "other": (json.dumps({"changed": False, "stat": {}}), f"{BAD}root is missing"),
    "surrogates": (with_findings(1, message="half \ud800 and \udcff"), None),
    "nul": (with_findings(1, key="a\x00b"), None),
    "jinja": (with_findings(1, message="{{ 6 * 7 }} {% raw"), None),
}


@pytest.fixture(name="cli", scope="module")
def fixture_cli(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[AnsibleCli]:
    """Hosts: "mail" has good ones, "liars" these; nobody can connect to "gone" and to localhost."""
    folder = Path(tempfile.mkdtemp(prefix="scratch-hosts-"))
    folder.chmod(0o755)
    try:
        hosts = ScratchHosts(folder)
        for name in ("mx1", "mx2"):
            hosts.add(name)
        for name, (answer, _says) in LIARS.items():
            hosts.add_liar(name, answer)
        for name in ("gone", "localhost"):
            hosts.add_unreachable(name)
        cli = AnsibleCli(tmp_path_factory.mktemp("audit"))
        hosts.write_inventory(
            cli.folder / "inventory.json", mail=["mx1", "mx2"], liars=list(LIARS), away=["gone"]
        )
        yield cli
    finally:
        shutil.rmtree(folder)


def audit(cli: AnsibleCli, name: str, *arguments: str) -> tuple[int, str, dict[str, t.Any] | None]:
    """The exit status, what was printed, and the report, None if there is none."""
    files = [f"--extra-vars=audit_{kind}={name}.{kind}" for kind in ("html", "json")]
    done = cli.run(
        "ansible-playbook", "mailops.ses.audit", "--inventory=inventory.json", *files, *arguments,
        environment={"ANSIBLE_FORKS": "8"},
    )  # fmt: skip
    report, page = (cli.folder / f"{name}.{kind}" for kind in ("json", "html"))
    assert report.exists() == page.exists()
    return done.returncode, done.stdout, json.loads(report.read_text()) if report.exists() else None


def test_a_liar_does_not_end_the_report_on_the_others(cli: AnsibleCli) -> None:
    began = time.monotonic()
    status, screen, report = audit(cli, "liars", "--extra-vars=audit_hosts=mail,liars")
    assert time.monotonic() - began < LONG
    assert status == 0, screen[-5000:]
    assert report is not None
    states = {each["host"]: each["state"] for each in report["hosts"]}
    # The newest ansible-core refuses such an answer itself.
    is_taken = states.pop("surrogates") == "audited"
    assert states == {
        "mx1": "audited",
        "mx2": "audited",
        **{
            name: "failed" if says else "audited"
            for name, (_answer, says) in LIARS.items()
            if name != "surrogates"
        },
    }
    messages = {row["host"]: row["message"] for row in report["findings"]}
    for name, (_answer, says) in LIARS.items():
        assert says is None or messages[name].startswith(says), name
    assert not is_taken or messages["surrogates"].count("\N{REPLACEMENT CHARACTER}") == 2
    assert messages["jinja"] == "{{ 6 * 7 }} {% raw"
    assert f"10 hosts, {5 if is_taken else 6} without an answer." in screen
    assert "{{ 6 * 7 }}" in (cli.folder / "liars.html").read_text("utf-8")


#: arguments -> the hosts of the report, with their state
REPORTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "limited": (["--limit=mail"], {"mx1": "audited", "mx2": "audited"}),
    "one": (["--limit=mx2", "--extra-vars=audit_hosts=mail"], {"mx2": "audited"}),
    "unreachable": (["--limit=away"], {"gone": "unreachable"}),
}


@pytest.mark.parametrize("name", REPORTS)
def test_limit(cli: AnsibleCli, name: str) -> None:
    """Whatever the inventory says of its localhost, and whether anybody answers or not."""
    arguments, expected = REPORTS[name]
    status, screen, report = audit(cli, name, *arguments)
    assert status == 0, screen
    assert report is not None
    assert {each["host"]: each["state"] for each in report["hosts"]} == expected


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--extra-vars=audit_hosts=misspelt"], "whichmatchesnohost"),
        (["--extra-vars=audit_hosts=misspelt", "--limit=mail"], "whichmatchesnohost"),
        (["--extra-vars=audit_hosts=away", "--limit=mail"], "butnonewithin--limit"),
        (["--limit=misspelt"], "leavesuswithnohoststotarget"),
    ],
)
def test_a_pattern_without_hosts_is_an_error(
    cli: AnsibleCli, arguments: list[str], says: str
) -> None:
    status, screen, report = audit(cli, "none", *arguments)
    assert status != 0
    assert says in squeezed(screen)
    assert report is None
