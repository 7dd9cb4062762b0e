# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exit status of ``mailops.ses.audit``, accepted findings, and the programs of its guide.

The guide's cron job and its check for a monitoring system run as they are written there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.tests.support.examples import guides
from ansible_collections.mailops.ses.tests.support.postfix.scratch_configs import ScratchHosts
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import AnsibleCli, squeezed
from ansible_collections.mailops.ses.tests.support.running.relay_results import relay_result

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

#: Nobody can connect to gone, and on worst a module finds something critical.
ACCEPT = """
- finding: unreachable
  hosts: gone
  reason: A disk is being replaced
  until: {gone}
- finding: raw_secret
  hosts: wor*
  reason: Tomorrow
  until: {worst}
"""
ALWAYS, OVER = "2999-12-31", "2020-02-29"


@pytest.fixture(name="cli", scope="module")
def fixture_cli(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[AnsibleCli]:
    """Hosts: good, worst, gone; in the folder that the guide calls /etc/ansible."""
    folder = Path(tempfile.mkdtemp(prefix="scratch-hosts-"))
    folder.chmod(0o755)
    try:
        hosts = ScratchHosts(folder)
        hosts.add_liar("good", json.dumps(relay_result()))
        hosts.add_liar("worst", json.dumps(relay_result(("critical", "raw_secret"))))
        hosts.add_unreachable("gone")
        cli = AnsibleCli(tmp_path_factory.mktemp("monitoring"))
        hosts.write_inventory(cli.folder / "inventory")
        yield cli
    finally:
        shutil.rmtree(folder)


def audit(cli: AnsibleCli, *variables: str) -> tuple[int, str]:
    """The exit status, and what was printed."""
    extra = [f"--extra-vars={variable}" for variable in variables]
    done = cli.run("ansible-playbook", "--inventory=inventory", "mailops.ses.audit", *extra)
    return done.returncode, done.stdout


def accept(cli: AnsibleCli, **until: str) -> str:
    """Write the file of accepted findings; returns the variable that names it."""
    (cli.folder / "accepted.yml").write_text(ACCEPT.format(**until), encoding="utf-8")
    return "audit_accept=accepted.yml"


@pytest.mark.every_minor
def test_the_exit_status(cli: AnsibleCli) -> None:
    """Whether the run fails or not, the sums are the last line of the report."""
    status, screen = audit(cli, "audit_fail_on=critical", accept(cli, gone=ALWAYS, worst=OVER))
    assert status == 2, screen
    assert '"audit_fail_on=critical: FAILED: 1 critical finding"' in screen
    assert "    Accepted until 2020-02-29, which is over: Tomorrow" in screen
    last = screen[: screen.index("PLAY RECAP")].rstrip().splitlines()[-3:]
    assert last == [
        '        "3 hosts, 1 without an answer. 1 critical, 0 warnings, 0 notices, 1 accepted."',
        "    ]",
        "}",
    ]
    status, screen = audit(cli, "audit_fail_on=critical", accept(cli, gone=ALWAYS, worst=ALWAYS))
    assert status == 0, screen
    assert '"audit_fail_on=critical: passed"' in screen
    assert "0 critical, 0 warnings, 0 notices, 2 accepted." in screen
    status, screen = audit(cli)
    assert status == 0, screen
    assert "audit_fail_on" not in screen[screen.index('"msg": [') :]


@pytest.mark.every_minor
@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("audit_fail_on=error", "audit_fail_on) must be critical, warning or none"),
        ("audit_accept=bad.yml", "entry 1 has the unknown finding 'typo'"),
        ("audit_accept=missing.yml", "missing.yml"),
    ],
)
def test_a_mistake_is_found_before_any_host_is_looked_at(
    cli: AnsibleCli, variable: str, says: str
) -> None:
    (cli.folder / "bad.yml").write_text("- {finding: typo, hosts: all, reason: x, until: x}\n")
    status, screen = audit(cli, variable)
    assert status == 2, screen
    assert squeezed(says) in squeezed(screen)
    assert "Look at what Postfix has" not in screen


def test_the_cron_job_and_the_check_of_the_guide(cli: AnsibleCli) -> None:
    (job,) = guides.blocks("guide_audit", "shell")
    (check,) = guides.blocks("guide_audit", "python")
    assert "cd /etc/ansible" in job
    cli.write("job", job.replace("/etc/ansible", str(cli.folder)))
    cli.write("check", check)
    environment = {
        **cli.environment,
        "ANSIBLE_BECOME_METHOD": "su",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    def run(*command: str) -> tuple[int, str]:
        done = subprocess.run(
            command, cwd="/", env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False, timeout=600,
        )  # fmt: skip
        return done.returncode, done.stdout

    def checked() -> tuple[int, str]:
        return run(sys.executable, str(cli.folder / "check"), str(cli.folder / "audit.json"))

    assert checked()[0] == 3
    accept(cli, gone=ALWAYS, worst=ALWAYS)
    assert run("sh", str(cli.folder / "job")) == (0, "")
    assert checked() == (0, "OK: 3 hosts\n")

    accept(cli, gone=ALWAYS, worst=OVER)
    status, printed = run("sh", str(cli.folder / "job"))
    assert status == 1
    assert "CRITICAL: raw_secret, on 1 host" in printed
    assert checked() == (2, "CRITICAL: 1 critical finding\n")

    report = json.loads((cli.folder / "audit.json").read_text())
    report["summary"]["relays_not_accepted"] = 2
    report["oldest_deferred"] = {"host": "mx1", "age": 7200, "reason": "Connection timed out"}
    (cli.folder / "audit.json").write_text(json.dumps(report))
    said = "2 relays that SES does not accept, mail waits on mx1: Connection timed out"
    assert checked() == (2, f"CRITICAL: 1 critical finding, {said}\n")
    (cli.folder / "audit.json").write_text(
        json.dumps({**report, "created": "2020-01-01T00:00:00Z"})
    )
    assert checked() == (3, "UNKNOWN: the report is of 2020-01-01T00:00:00Z\n")
    (cli.folder / "audit.json").write_text(json.dumps({**report, "version": 2}))
    assert checked() == (3, "UNKNOWN: the report has a version that this check does not know\n")


def test_the_example_of_accepted_findings_is_one(cli: AnsibleCli) -> None:
    blocks = guides.blocks("guide_audit", "yaml")
    (example,) = (block for block in blocks if "finding:" in block)
    hosts: dict[str, dict[str, str]] = {"web1": {}, "mx2.example.com": {}}
    (cli.folder / "others.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (cli.folder / "example.yml").write_text(example)
    expression = (
        "{'web1': {'x': {'failed': true}}}"
        " | mailops.ses.postfix_relay_audit('x', lookup('file', 'example.yml'), groups)"
    )
    cli.write("play.yml", json.dumps([{"hosts": "web1", "gather_facts": False, "tasks": [
        {"ansible.builtin.debug": {"msg": f"{{{{ ({expression}).summary.hosts }}}}"}},
    ]}]))  # fmt: skip
    assert '"msg": "1"' in cli.checked(
        "ansible-playbook", "--inventory=others.json", "play.yml"
    ).replace('"msg": 1', '"msg": "1"')
