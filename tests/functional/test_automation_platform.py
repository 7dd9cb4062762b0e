# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible Automation Platform and AWX do: build an image, and run jobs with ansible-runner."""

from __future__ import annotations

import json
import stat
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
    found_in,
)
from ansible_collections.mailops.ses.tests.support.examples import guides
from ansible_collections.mailops.ses.tests.support.examples.sandbox import Sandbox
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import (
    COLLECTIONS_PATH,
    AnsibleCli,
)
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

GUIDE = "guide_automation_platform"
PASSWORD = PASSWORD_OF["eu-west-1"]
LOUD = "-vvvv --diff"


def test_the_definition_of_the_guide_becomes_a_build_context(tmp_path: Path) -> None:
    (definition,) = guides.blocks(GUIDE, "yaml")
    cli = AnsibleCli(tmp_path)
    cli.write("execution-environment.yml", definition)
    said = cli.checked("ansible-builder", "create")
    assert "Complete!" in said
    wanted = yaml.safe_load((tmp_path / "context" / "_build" / "requirements.yml").read_text())
    assert wanted == {"collections": ["mailops.ses"]}
    (recipe,) = (tmp_path / "context").glob("*file")  # Containerfile or Dockerfile
    assert 'ARG EE_BASE_IMAGE="registry.example.com/python:3.13"' in recipe.read_text()
    assert 'ARG ANSIBLE_INSTALL_REFS="ansible-core>=2.16 ansible-runner"' in recipe.read_text()


def test_the_collection_adds_nothing_to_an_execution_environment(tmp_path: Path) -> None:
    said = AnsibleCli(tmp_path).checked("ansible-builder", "introspect", COLLECTIONS_PATH)
    assert yaml.safe_load(said) == {"python": [], "system": []}
    root = COLLECTIONS_PATH / "ansible_collections" / "mailops" / "ses"
    declared = yaml.safe_load((root / "meta" / "execution-environment.yml").read_text())
    assert declared["dependencies"] == {}


class Job:
    """A private data directory of ansible-runner, and what a run left there."""

    def __init__(self, sandbox: Sandbox, playbooks: t.Iterable[str], arguments: str) -> None:
        self._sandbox = sandbox
        self._folder = sandbox.directory / "job"
        plays = [play for playbook in playbooks for play in yaml.safe_load(playbook)]
        vault = (sandbox.directory / "vault.yml").read_text()
        for name, content in {
            "env/cmdline": arguments,
            "inventory/hosts": (sandbox.directory / "hosts").read_text(),
            "project/play.yml": yaml.safe_dump(plays, sort_keys=False),
            "project/vault.yml": vault,
        }.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def run(self, environment: dict[str, str]) -> dict[str, str]:
        """Run it; what is in the artifacts' files, by their names."""
        (self._folder / "env" / "envvars").write_text(json.dumps(environment))
        self._sandbox.environment["ANSIBLE_COLLECTIONS_PATH"] = str(COLLECTIONS_PATH)
        self._sandbox.run("ansible-runner run job -p play.yml --ident 1")
        folder = self._folder / "artifacts" / "1"
        assert stat.S_IMODE((folder / "command").stat().st_mode) == 0o600
        kept = {
            str(path.relative_to(folder)): path.read_text()
            for path in folder.rglob("*")
            if path.is_file()
        }
        assert kept["status"] == "successful"
        # So that the search is of something.
        events = [json.loads(text) for name, text in kept.items() if name.startswith("job_events")]
        assert [event["event"] for event in events].count("runner_on_ok") >= 2
        assert "ses_smtp_password" in kept["stdout"] or "smtp_sasl_password_maps" in kept["stdout"]
        return kept


@pytest.fixture(name="job_of")
def fixture_job_of(sandbox: Sandbox, ses: SesStandIn) -> t.Iterator[t.Callable[..., Job]]:
    """Makes jobs from playbooks; they log in to SES."""
    yield lambda playbooks, arguments: Job(sandbox, playbooks, arguments)
    assert ses.sessions
    assert (sandbox.etc / "smtp-password").read_text().strip() == PASSWORD
    assert PASSWORD in (sandbox.etc / "postfix" / "sasl_passwd").read_text()


@pytest.mark.root
@pytest.mark.postfix
@pytest.mark.slow
def test_of_a_key_in_the_environment_only_the_runner_itself_keeps_the_secret(
    job_of: t.Callable[..., Job],
) -> None:
    """As the guide's table has it; if the runner stops doing it, the table has to change."""
    job = job_of(guides.blocks(GUIDE, "yaml+jinja"), LOUD)
    kept = job.run({"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY})
    assert {name for name, text in kept.items() if found_in(text, [PASSWORD])} == set()
    # The sandbox's host is the controller itself, whose facts include the environment.
    facts = "fact_cache/s1_mail1"
    assert {name for name, text in kept.items() if found_in(text, [SECRET_KEY])} == {
        "command",
        facts,
    }


@pytest.mark.root
@pytest.mark.postfix
@pytest.mark.slow
def test_of_a_vaulted_key_nothing_is_kept(sandbox: Sandbox, job_of: t.Callable[..., Job]) -> None:
    playbooks = [
        guides.blocks("guide_relay", "yaml+jinja")[1],
        guides.blocks("guide_coming_from", "yaml+jinja")[1],
    ]
    vault_password = sandbox.directory / "vault-password"
    job = job_of(playbooks, f"{LOUD} --vault-password-file {vault_password}")
    kept = job.run({})
    assert {name for name, text in kept.items() if found_in(text, [PASSWORD, SECRET_KEY])} == set()
