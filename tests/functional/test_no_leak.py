# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Neither the secret nor the password is in any output, however much is asked for."""

from __future__ import annotations

import importlib.util
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
from ansible_collections.mailops.ses.tests.support.running.ansible_cli import (
    EVERY_CALLBACK,
    AnsibleCli,
    squeezed,
)
from ansible_collections.mailops.ses.tests.support.running.vaulted import vaulted

pytestmark = pytest.mark.every_minor

REGION = "eu-west-3"  # its password has a "/" and a "+"
PASSWORD = PASSWORD_OF[REGION]
V2_PASSWORD = "An60U4ZD3sd4fg+FvXUjayOipTt8LO4rUUmhpdX6ctDy"
# The halves too: a secret with a newline inside is shown in two pieces.
SECRETS = [SECRET_KEY[:20], SECRET_KEY[20:], *PASSWORD_OF.values(), V2_PASSWORD]
#: ansible-core 2.22 and newer mask what is registered as a secret.
MASKS = importlib.util.find_spec("ansible.module_utils.secrets") is not None

# From ansible-core 2.22 on what is in a vaulted file is masked. The password is in none that a
# run without an error reads, so that it is this collection that has to hide it there.
VAULT_PASSWORD = "the vault password"
VAULTED = {"secret": SECRET_KEY}
VAULTED_MISTAKES = {
    "secret_newline": f"{SECRET_KEY}\n",
    "secret_blank": f" {SECRET_KEY}",
    "secret_broken": f"{SECRET_KEY[:20]}\n{SECRET_KEY[20:]}",
    "secret_quoted": f'"{SECRET_KEY}"',
    "derived": PASSWORD,
    "derived_2": V2_PASSWORD,
    "region_and_secret": f"eu-west-1/{SECRET_KEY}",
}

#: variants of secret_key as an expression; what the error says
WRONG_SECRETS = [
    ("''", "secret_key is empty"),
    ("none", "secret_key"),
    ("secret_newline", "secret_key has white space after it (a newline at the end)"),
    ("secret_blank", "secret_key has white space before it"),
    ("secret_broken", "secret_key has white space inside it (a newline)"),
    ("secret_quoted", "secret_key begins with a quotation mark"),
    ("derived", "secret_key is an SES SMTP password already"),
    ("derived_2", "secret_key is an SES SMTP password already"),
    ("key_id", "secret_key is an access key ID"),
    ("[secret]", "secret_key must be a string, not list"),
    ("{'key': secret}", "secret_key must be a string, not dict"),
    ("1234567890", "secret_key must be a string, not int"),
    ("true", "secret_key must be a string, not bool"),
]
WRONG_REGIONS = [
    ("''", "region is empty"),
    ("'eu-west-3a'", "Did you mean 'eu-west-3'?"),
    ("'EU-WEST-3'", "Did you mean 'eu-west-3'?"),
    ("'email-smtp.eu-west-3.amazonaws.com'", "Did you mean 'eu-west-3'?"),
    ("'eu west 3'", "Did you mean 'eu-west-3'?"),
    ("secret", "region is not a region name"),
    ("secret_newline", "region is not a region name"),
    ("region_and_secret", "region is not a region name"),
    ("derived", "region is not a region name"),
    ("['eu-west-3']", "region must be a string, not list"),
    ("'me-south-1'", "region 'me-south-1' has SES, but no SMTP endpoint"),
]
WRONG_VERSIONS = [
    ("3", "version must be 2 or 4"),
    ("'3'", "version must be 2 or 4"),
    ("secret", "version must be 2 or 4"),
    ("[secret]", "version must be the number 2 or 4, not list"),
]
WRONG_ACCESS_KEYS = [
    ("''", "access_key is empty"),
    ("'ASIAIOSFODNN7EXAMPLE'", "temporary credentials"),
    ("'joe@example.com'", "neither the name of the IAM user nor an e-mail address"),
    ("secret", "access_key is not an access key ID"),
    ("secret_newline", "access_key contains white space"),
    ("[secret]", "access_key must be a string, not list"),
]


def filter_task(secret: str, *arguments: str) -> dict[str, t.Any]:
    call = f"{secret} | mailops.ses.ses_smtp_password({', '.join(arguments)})"
    return {"ansible.builtin.set_fact": {"derived_fact": f"{{{{ {call} }}}}"}}


def module_task(**options: t.Any) -> dict[str, t.Any]:
    arguments = {"access_key": "{{ key_id }}", "secret_key": "{{ secret }}", "region": REGION}
    return {"mailops.ses.ses_smtp_credentials": {**arguments, **options}}


def error_tasks() -> t.Iterator[tuple[dict[str, t.Any], str]]:
    """Yield a task for every error of the filter and the module, and what the error says."""
    for wrong, says in WRONG_SECRETS:
        yield filter_task(f"({wrong})", f"'{REGION}'"), says
        # None is an option that is not given; a number's type is lost without native Jinja.
        if wrong not in ("none", "1234567890", "true"):
            yield module_task(secret_key=f"{{{{ {wrong} }}}}"), says
    for wrong, says in WRONG_REGIONS:
        yield filter_task("secret", wrong), says
        yield module_task(region=f"{{{{ {wrong} }}}}"), says
    for wrong, says in WRONG_VERSIONS:
        yield filter_task("secret", f"'{REGION}'", wrong), says
        yield module_task(version=f"{{{{ {wrong} }}}}"), says
    for wrong, says in WRONG_ACCESS_KEYS:
        yield module_task(access_key=f"{{{{ {wrong} }}}}"), says
    for wrong, says in (
        ("secret_newline", "secret_key has white space after it (a newline at the end)"),
        ("[secret]", "secret_key must be a string, not list"),
        ("derived", "secret_key is an SES SMTP password already"),
    ):
        call = f"{{{{ derived | mailops.ses.ses_smtp_password_info({wrong}) }}}}"
        yield {"ansible.builtin.set_fact": {"told": call}}, says
    yield filter_task("secret", "version=4"), "version 4 needs a region"
    yield module_task(region=None), "version 4 needs a region"
    yield module_task(secret_key=None), "secret_key is missing"
    yield module_task(access_key=None), "access_key is missing"
    yield module_task(fips=True), "no FIPS endpoint for SMTP in region 'eu-west-3'"
    yield module_task(port=465, tls="starttls"), "port 465 of SES is for tls 'wrapper'"
    yield module_task(port=70000), "port must be between 1 and 65535"
    yield module_task(endpoint="smtp://h"), "endpoint must be a plain host name"
    yield module_task(region="{{ secret }}", version=2, endpoint="h"), "region is not a region name"
    yield module_task(tls="ssl"), "value of tls must be one of"
    yield module_task(secret="{{ secret }}"), "Unsupported parameters"


SUCCESS_TASKS: list[dict[str, t.Any]] = [
    {
        "ansible.builtin.copy": {
            "content": "{{ key_id }}:{{ secret | mailops.ses.ses_smtp_password('eu-west-3') }}",
            "dest": "sasl_passwd",
            "mode": "0600",
        },
        "diff": False,
    },
    {
        "ansible.builtin.template": {"src": "template.j2", "dest": "templated", "mode": "0600"},
        "diff": False,
    },
    {**filter_task("secret", f"'{REGION}'"), "no_log": True},
    {
        "ansible.builtin.assert": {
            "that": ["secret | mailops.ses.ses_smtp_password(version=2) | length == 44"]
        }
    },
    {
        "ansible.builtin.set_fact": {
            "told": "{{ secret | mailops.ses.ses_smtp_password('eu-west-3')"
            " | mailops.ses.ses_smtp_password_info(secret) }}"
        }
    },
    {**module_task(), "register": "credentials"},
    {**module_task(region="{{ item }}"), "loop": list(PASSWORD_OF), "register": "several"},
    module_task(version=2, tls="wrapper"),
    {
        **module_task(),
        "register": "tried",
        "until": "tried.attempts == 2",
        "retries": 2,
        "delay": 0,
    },
    {**module_task(port=2587), "check_mode": True},
    {"ansible.builtin.debug": {"msg": "{{ credentials.relayhost }} {{ credentials.username }}"}},
    {
        "ansible.builtin.assert": {
            "that": [
                "credentials.password == derived_fact",
                f"told.region == '{REGION}'",
                "credentials.url is search('%2F.*%2B')",
                "several.results | map(attribute='password') | unique | length == 4",
                "several.results | map(attribute='version') | list == [4, 4, 4, 4]",
            ],
            "quiet": True,
        }
    },
]


@pytest.fixture(name="cli")
def fixture_cli(tmp_path: Path) -> AnsibleCli:
    cli = AnsibleCli(tmp_path)
    (tmp_path / "logs").mkdir()
    cli.write("vault-password", VAULT_PASSWORD)
    cli.write("template.j2", "{{ secret | mailops.ses.ses_smtp_password('eu-west-3') }}")
    cli.write("vars.yml", vaulted(yaml.safe_dump(VAULTED), VAULT_PASSWORD))
    cli.write("mistakes.yml", vaulted(yaml.safe_dump(VAULTED_MISTAKES), VAULT_PASSWORD))
    return cli


def play(
    cli: AnsibleCli, tasks: list[dict[str, t.Any]], *more_vars: str, **environment: str
) -> tuple[int, str, str]:
    """Run ``tasks``, as loud as can be; return the exit status, the screen and all logs."""
    plays = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"key_id": ACCESS_KEY},
            "vars_files": ["vars.yml", *more_vars],
            "tasks": tasks,
        }
    ]
    (cli.folder / "play.yml").write_text(yaml.safe_dump(plays, width=1000), encoding="utf-8")
    done = cli.run(
        "ansible-playbook",
        *("-vvvv", "--diff", "--vault-password-file", "vault-password", "play.yml"),
        environment={"ANSIBLE_LOG_PATH": "logs/ansible.log", **environment},
    )
    logs = [path.read_text() for path in (cli.folder / "logs").rglob("*") if path.is_file()]
    assert (cli.folder / "logs" / "ansible.log").stat().st_size > 1000
    return done.returncode, done.stdout, "\n".join(logs)


def events(cli: AnsibleCli) -> str:
    """What a callback was told that tells all."""
    return (cli.folder / EVERY_CALLBACK["JSON_FILE"]).read_text(encoding="utf-8")


def test_no_leak_when_all_goes_well(cli: AnsibleCli) -> None:
    status, screen, logs = play(cli, SUCCESS_TASKS, **EVERY_CALLBACK)
    assert status == 0, screen
    assert (cli.folder / "sasl_passwd").read_text() == f"{ACCESS_KEY}:{PASSWORD}"
    assert (cli.folder / "templated").read_text() == PASSWORD
    for text in (screen, events(cli)):
        assert f"[email-smtp.{REGION}.amazonaws.com]:587 {ACCESS_KEY}" in text
    assert found_in(screen, SECRETS) == []
    assert found_in(logs, SECRETS) == []


def test_no_leak_with_every_error(cli: AnsibleCli) -> None:
    tasks = []
    for number, (task, _says) in enumerate(error_tasks()):
        tasks.append({**task, "name": f"Error {number}.", "ignore_errors": True})
    status, screen, logs = play(cli, tasks, "mistakes.yml", **EVERY_CALLBACK)
    assert status == 0, screen
    shown, told = squeezed(screen), squeezed(events(cli).replace(r"\"", '"'))
    for number, (_task, says) in enumerate(error_tasks()):
        for text in (shown, told):
            start = text.index(f"Error{number}.")
            end = text.find(f"Error{number + 1}.", start)
            assert squeezed(says) in text[start:end], tasks[number]
    assert found_in(screen, SECRETS) == []
    assert found_in(logs, SECRETS) == []


def test_what_shows_the_password_by_its_users_choice(cli: AnsibleCli) -> None:
    """Also the proof that the search finds what is there: all of it is masked, or none."""
    tasks = [
        {**module_task(), "register": "credentials"},
        {"ansible.builtin.debug": {"msg": "Debug {{ credentials.password }} end"}},
        {"ansible.builtin.debug": {"msg": "Debug {{ credentials.url }} end"}},
        {
            "ansible.builtin.copy": {
                "content": "{{ secret | mailops.ses.ses_smtp_password('eu-west-1') }}\n",
                "dest": "sasl_passwd",
                "mode": "0600",
            }
        },
        {"ansible.builtin.debug": {"msg": "Debug {{ credentials | length }} end"}},
    ]
    status, screen, logs = play(cli, tasks)
    assert status == 0, screen
    assert (cli.folder / "sasl_passwd").read_text() == PASSWORD_OF["eu-west-1"] + "\n"
    for text in (screen, logs):
        assert "sasl_passwd" in text
        assert (found_in(text, [PASSWORD]) == []) is MASKS
        assert (found_in(text, [PASSWORD_OF["eu-west-1"]]) == []) is MASKS
        assert ("BDDdpSTzbzUY3SJq%2F" not in text) is MASKS
        assert ("Debug $REDACTED$ end" in text) is MASKS
        assert found_in(text, [SECRET_KEY]) == []


def test_search_finds_what_is_revealed(cli: AnsibleCli) -> None:
    reveal = [module_task(reveal=True), module_task(reveal=True, region="eu-west-1", tls="wrapper")]
    status, screen, logs = play(cli, reveal, **EVERY_CALLBACK)
    assert status == 0, screen
    for text in (screen, logs, events(cli)):
        assert PASSWORD in found_in(text, [PASSWORD])
        assert "BDDdpSTzbzUY3SJq%2Fn4Oq7heDuCWbOtogMi5S3AR673%2B" in found_in(text, [PASSWORD])
        assert found_in(text, [PASSWORD_OF["eu-west-1"]])
        assert found_in(text, [SECRET_KEY]) == []
