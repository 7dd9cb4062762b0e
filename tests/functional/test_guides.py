# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every playbook and command in the guides is run as it stands, and what they list is complete.

What is not part of this collection is stood in for: AWS's script, a filter that somebody wrote,
and the lookups of other collections, which answer in the form that their documentation has.
"""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailops.ses.plugins.module_utils._ses._regions import (
    COMPARED_ON,
    FIPS_REGIONS,
    REGIONS_WITHOUT_SMTP,
    SMTP_REGIONS,
    SMTP_UNKNOWN_REGIONS,
)
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    PASSWORD_OF,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.examples import guides
from ansible_collections.mailops.ses.tests.support.examples.sandbox import Sandbox
from ansible_collections.mailops.ses.tests.support.examples.table_delivery import (
    WRITES_MAP,
    check_mail_arrives,
    write_outdated_map,
)
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import COLLECTIONS_PATH
from ansible_collections.mailops.ses.tests.support.ses.stand_in import SesStandIn

pytestmark = [pytest.mark.root, pytest.mark.postfix, pytest.mark.slow]

#: Guides whose playbooks need more than a sandbox, and the file beside this one that runs them.
RUN_ELSEWHERE = {
    "guide_mail_servers": "test_mail_servers.py",
    "guide_rotation": "test_rotation_guide.py",
    "guide_trying": "test_stand_in_guide.py",
}
PLAYBOOKS = [example for example in guides.playbooks() if example[0] not in RUN_ELSEWHERE]
KEY = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
#: As a program on AWS's page is called: secret and region.
SCRIPT = """
from ansible_collections.mailops.ses.tests.support.ses.accounts import password_v4
import sys
print(password_v4(*sys.argv[1:]))
"""
FILTER = """
from ansible_collections.mailops.ses.tests.support.ses.accounts import password_v4
class FilterModule:
    def filters(self):
        return {"ses_smtp_password": lambda secret, region: password_v4(str(secret), region)}
"""
TEMPLATE = (
    "[email-smtp.eu-west-1.amazonaws.com]:587 {{ ses_access_key_id }}:"
    "{{ ses_secret_access_key | mailops.ses.ses_smtp_password('eu-west-1') }}\n"
)
LOOKUP = """
from ansible.plugins.lookup import LookupBase
ANSWERS = {answers!r}
class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        assert set(kwargs) == {options!r}
        return [ANSWERS[term] for term in terms]
"""
#: Name, options that the guide gives, and what there is.
LOOKUPS: list[tuple[str, set[str], dict[str, object]]] = [
    ("community.hashi_vault.vault_kv2_get", {"url"}, {"mail/ses": {"secret": KEY}}),
    ("amazon.aws.secretsmanager_secret", {"region"}, {"mail-ses": json.dumps(KEY)}),
    (
        "amazon.aws.ssm_parameter",
        {"region"},
        {f"/mail/ses/{name}": value for name, value in KEY.items()},
    ),
]
#: The machine that runs the tests has the packages, and its own Postfix stays stopped.
ON_THIS_MACHINE = {"postfix_relay_packages": [], "postfix_relay_service": False}


def line(region: str) -> str:
    return f"[email-smtp.{region}.amazonaws.com]:587 {ACCESS_KEY}:{PASSWORD_OF[region]}"


@pytest.fixture(name="place")
def fixture_place(sandbox: Sandbox) -> Sandbox:
    """A sandbox with all that the guides' examples expect to find."""
    (sandbox.directory / "smtp_credentials_generate.py").write_text(SCRIPT)
    (sandbox.directory / "sasl_passwd.j2").write_text(TEMPLATE)
    (sandbox.directory / "filter_plugins").mkdir()
    (sandbox.directory / "filter_plugins" / "own.py").write_text(FILTER)
    for name, options, answers in LOOKUPS:
        *collection, plugin = name.split(".")
        folder = Path(sandbox.directory, "ansible_collections", *collection, "plugins", "lookup")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{plugin}.py").write_text(LOOKUP.format(answers=answers, options=options))
    collections = f"{sandbox.directory}:{COLLECTIONS_PATH}"
    sandbox.environment |= {"ANSIBLE_COLLECTIONS_PATH": collections, "PYTHONPATH": collections}
    # A second for each play, and no example uses facts.
    sandbox.environment["ANSIBLE_GATHERING"] = "explicit"
    (sandbox.directory / "machine.json").write_text(json.dumps(ON_THIS_MACHINE))
    return sandbox


def files_of(playbook: str) -> dict[str, str]:
    """What a playbook has to write below /etc, and a line that has to be in it."""
    wanted = {}
    if re.search(r"ses\.postfix_(relay|sasl_passwd)\b|/etc/postfix/sasl_passwd", playbook):
        region = "eu-west-3" if "region: eu-west-3" in playbook else "eu-west-1"
        wanted["postfix/sasl_passwd"] = line(region)
    if "/etc/smtp-password" in playbook:
        wanted["smtp-password"] = PASSWORD_OF["eu-west-1"]
    return wanted


def check_main_cf(place: Sandbox, _output: str) -> None:
    """It is as the guide shows it."""
    shown, _of_own_client = guides.blocks("guide_relay", "text")
    lines = (place.etc / "postfix" / "main.cf").read_text().splitlines()
    assert set(shown.splitlines()) <= set(lines)


def check_own_client(place: Sandbox, _output: str) -> None:
    """The routing is as the guide shows it, and the client's settings are in master.cf."""
    _of_shared_client, shown = guides.blocks("guide_relay", "text")
    lines = (place.etc / "postfix" / "main.cf").read_text().splitlines()
    assert set(shown.splitlines()) <= set(lines)
    assert not [line for line in lines if line.startswith("smtp_sasl_")]
    services = (place.etc / "postfix" / "master.cf").read_text()
    assert re.search(
        r"^ses .* smtp\n    -o smtp_tls_security_level=secure$", services, re.MULTILINE
    )


def check_diagnosis(_place: Sandbox, output: str) -> None:
    """The message ends as the guide says."""
    (said,) = re.findall(r"ends in \*(.*?)\*", guides.text("guide_answers"), re.DOTALL)
    assert f'{" ".join(said.split())}"' in output
    assert "535 Authentication Credentials Invalid" in output


def check_message(_place: Sandbox, output: str) -> None:
    """SES accepts the sender of the guide."""
    assert re.search(r"SES accepts it as [0-9a-f-]{20,}", output)


def check_ports(_place: Sandbox, output: str) -> None:
    """All work here."""
    assert "[587,2587,465,2465]" in "".join(output.split())


#: What a playbook shows or does besides, by guide and number.
MORE = {
    ("guide_relay", 1): check_main_cf,
    ("guide_relay", 2): check_own_client,
    ("guide_answers", 0): check_diagnosis,
    ("guide_answers", 1): check_message,
    ("guide_answers", 2): check_ports,
}


@pytest.mark.parametrize(("guide", "number", "playbook"), PLAYBOOKS)
def test_a_playbook_of_a_guide(
    place: Sandbox, ses: SesStandIn, *, guide: str, number: int, playbook: str
) -> None:
    if not re.search("access_key|password:", playbook) or "builtin.env" in playbook:
        place.environment |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    region = "eu-west-3" if "region: eu-west-3" in playbook else "eu-west-1"
    writes_map = WRITES_MAP.search(playbook)
    if writes_map:
        write_outdated_map(place, region)
    (place.directory / "playbook.yml").write_text(playbook)
    output = place.run("ansible-playbook -e @machine.json playbook.yml")
    assert "failed=0" in output
    # So that nothing passed without SES.
    assert bool(ses.sessions) is bool(re.search(r"postfix_relay\b|ses_smtp_ping:", playbook))
    for path, content in files_of(playbook).items():
        assert content in (place.etc / path).read_text().splitlines()
        assert stat.S_IMODE((place.etc / path).stat().st_mode) == 0o600
    if writes_map:
        check_mail_arrives(place, ses, region)
    if (guide, number) in MORE:
        MORE[guide, number](place, output)


def test_every_block_of_a_playbook_is_one() -> None:
    """What is in another language would not be run."""
    assert len(PLAYBOOKS) >= 17
    assert set(MORE) <= {(guide, number) for guide, number, _playbook in PLAYBOOKS}
    for guide, _number, playbook in PLAYBOOKS:
        assert all({"name", "hosts"} <= set(play) for play in yaml.safe_load(playbook)), guide
    elsewhere = {
        path.stem for path in guides.FOLDER.glob("*.rst") if guides.blocks(path.stem, "yaml")
    }
    # An image's definition, which is built in a test of its own, variables of the role, and the
    # accepted findings of an audit.
    assert elsewhere == {"guide_audit", "guide_automation_platform", "guide_relay"}
    assert all(Path(__file__).with_name(test).is_file() for test in RUN_ELSEWHERE.values())


def test_variables_for_the_role_are_variables_of_the_role() -> None:
    """What they do, test_test_message.py shows on a host."""
    role = guides.FOLDER.parents[2] / "roles" / "postfix_relay" / "meta" / "argument_specs.yml"
    options = yaml.safe_load(role.read_text())["argument_specs"]["main"]["options"]
    (block,) = guides.blocks("guide_relay", "yaml")
    variables = yaml.safe_load(block)
    assert variables
    assert set(variables) <= set(options)


def test_ten_lines_are_ten() -> None:
    assert len(guides.blocks("guide_relay", "yaml+jinja")[0].splitlines()) == 10


def test_the_commands_for_vaults(place: Sandbox) -> None:
    encrypt, encrypt_string, encrypt_for_prod, play = guides.commands("guide_secrets")
    plain = json.dumps({"ses_access_key_id": ACCESS_KEY, "ses_secret_access_key": SECRET_KEY})
    (place.directory / "vault.yml").write_text(plain)
    place.run(encrypt)
    assert (place.directory / "vault.yml").read_text().startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    place.environment["SECRET"] = SECRET_KEY
    assert place.run(encrypt_string).startswith("ses_secret_access_key: !vault |\n")
    for name in ("dev", "prod"):
        (place.directory / f"{name}.password").write_text(f"of {name}")
    (place.directory / "prod.yml").write_text(plain)
    del place.environment["ANSIBLE_VAULT_PASSWORD_FILE"]
    place.run(encrypt_for_prod)
    assert (place.directory / "prod.yml").read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")
    playbook = guides.blocks("guide_secrets", "yaml+jinja")[0].replace("vault.yml", "prod.yml")
    (place.directory / "playbook.yml").write_text(playbook)
    place.run(play)
    assert (place.etc / "postfix" / "sasl_passwd").read_text() == line("eu-west-1") + "\n"


@pytest.mark.parametrize(
    ("number", "regions"),
    list(enumerate([SMTP_REGIONS, FIPS_REGIONS, REGIONS_WITHOUT_SMTP, SMTP_UNKNOWN_REGIONS])),
)
def test_the_regions_are_those_of_the_collection(number: int, regions: tuple[str, ...]) -> None:
    section = guides.text("guide_credentials").split("The regions\n---", 1)[1]
    lists = re.findall(r"(?:^    [a-z0-9-]+[^:]*?\.\n)", section, re.MULTILINE)
    assert re.findall(r"[a-z]+(?:-[a-z]+)+-\d", lists[number]) == sorted(regions)
    assert f"on {COMPARED_ON}:" in section


@pytest.mark.parametrize("behind_vpc_endpoint", [False, True])
def test_the_policy_is_what_its_playbook_writes(place: Sandbox, behind_vpc_endpoint: bool) -> None:
    """Its grammar is checked in tests/facts."""
    (shown,) = guides.blocks("guide_credentials", "json")
    (playbook,) = [
        block for block in guides.blocks("guide_credentials", "yaml+jinja") if "policy" in block
    ]
    if behind_vpc_endpoint:
        playbook = playbook.replace("behind_vpc_endpoint: false", "behind_vpc_endpoint: true")
        shown = shown.replace("aws:SourceIp", "aws:VpcSourceIp")
    (place.directory / "playbook.yml").write_text(playbook)
    place.run("ansible-playbook playbook.yml")
    assert json.loads((place.directory / "ses-policy.json").read_text()) == json.loads(shown)
