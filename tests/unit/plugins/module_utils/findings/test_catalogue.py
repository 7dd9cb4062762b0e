# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogue of findings: its form, and that a survey produces every kind of it."""

from __future__ import annotations

import ast
import os
import pwd
import re
import sys
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings import _catalogue, _report
from ansible_collections.mailops.ses.plugins.module_utils._findings._catalogue import KINDS
from ansible_collections.mailops.ses.plugins.module_utils._findings._finding import (
    SEVERITIES,
    Finding,
    Kind,
    find,
)
from ansible_collections.mailops.ses.plugins.module_utils._findings._left_overs import (
    Places,
    find_left_overs,
)
from ansible_collections.mailops.ses.plugins.module_utils._findings._probe import RelayProbe
from ansible_collections.mailops.ses.plugins.module_utils._findings._report import report_on_all
from ansible_collections.mailops.ses.plugins.module_utils._postfix import _lookup_table
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.tests.support.example_key import (
    ACCESS_KEY,
    MAIL_MANAGER,
    PASSWORD_OF,
    SECRET_KEY,
)
from ansible_collections.mailops.ses.tests.support.in_process.fake_postfix import MASTER_CF
from ansible_collections.mailops.ses.tests.support.in_process.fake_survey import (
    CANDIDATE,
    HOST,
    KEY,
    LINE,
    PASSWORD,
    VERSION_2,
    FakeSurvey,
    fake_survey,
)

TASK = "ansible-tmp-1795729857.282384-111-91497589706289"
OTHER_KEY = "AKIAEXAMPLE000000002"
REFUSED = f"SASL authentication failed; server {HOST}[192.0.2.1] said: 535 Credentials Invalid"


class Trial:
    """A host with one mistake."""

    def __init__(self, relay: FakeSurvey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.relay = relay
        self.monkeypatch = monkeypatch
        self.home = tmp_path / "home"
        (self.home / "deploy").mkdir(parents=True)
        self.probe_seconds: float | None = None
        self.places = Places(str(tmp_path / "passwd"), str(self.home), (), str(tmp_path), "")

    def findings(self) -> list[Finding]:
        """What is wrong on this host, with the passwords of the example key as candidates."""
        postfix = Postfix(self.relay.postfix, str(self.relay.folder))
        found = report_on_all(postfix, CANDIDATE, self.probe_seconds).findings
        return [*(each for each, _directory in found), *find_left_overs("", self.places)]

    def leave(self, path: str, text: str) -> None:
        """Leave a file in the home directory of a user."""
        file = self.home / "deploy" / path
        file.parent.mkdir(parents=True)
        file.write_text(text)


Mistake = t.Callable[[Trial], object]


def settings(**values: str) -> Mistake:
    return lambda trial: trial.relay.set(**values)


def source(text: str) -> Mistake:
    return lambda trial: trial.relay.map(text)


def not_compiled(text: str) -> Mistake:
    def make(trial: Trial) -> None:
        trial.relay.set(smtp_sasl_password_maps="texthash:{folder}/sasl_passwd")
        trial.relay.map(text)

    return make


def policy(level: str) -> Mistake:
    def make(trial: Trial) -> None:
        trial.relay.set(smtp_tls_policy_maps="hash:{folder}/policy")
        trial.relay.map(f"{KEY} {level}\n", "policy")

    return make


def entry(setting: str, line: str) -> Mistake:
    def make(trial: Trial) -> None:
        trial.relay.set(**{setting: "hash:{folder}/other"})
        trial.relay.map(f"{line}\n", "other", 0o644)

    return make


def services(text: str) -> Mistake:
    return lambda trial: (trial.relay.folder / "master.cf").write_text(text, encoding="ascii")


def own_client(setting: str, line: str) -> Mistake:
    """An entry in a table beside a client for SES alone."""

    def make(trial: Trial) -> None:
        main_cf = {"default_transport": "ses", "smtp_sasl_auth_enable": "no"}
        trial.relay.set(**main_cf, **{setting: "hash:{folder}/other"})
        trial.relay.map(f"{line}\n", "other", 0o644)
        trial.relay.add_own_client("ses")

    return make


def own(setting: str) -> Mistake:
    return services(f"{MASTER_CF}smtp unix - - n - - smtp -o {setting}\n")


def own_beside(setting: str) -> Mistake:
    """main.cf turns it on, and the service off."""

    def make(trial: Trial) -> None:
        trial.relay.set(**{setting: "yes"})
        own(f"{setting}=no")(trial)

    return make


def wrapped_elsewhere(trial: Trial) -> None:
    trial.relay.set(
        relayhost=f"[{HOST}]:465",
        smtp_tls_wrappermode="yes",
        transport_maps="hash:{folder}/other",
    )
    trial.relay.map("a.example smtp:[127.0.0.9]:2525\n", "other", 0o644)


def partly_elsewhere(trial: Trial) -> None:
    trial.relay.set(default_transport="relay:[127.0.0.9]", transport_maps="hash:{folder}/other")
    trial.relay.map(f"a.example smtp:{KEY}\n", "other", 0o644)


def remove(*names: str) -> Mistake:
    def make(trial: Trial) -> None:
        for name in names:
            (trial.relay.folder / name).unlink()

    return make


def break_table(trial: Trial) -> None:
    trial.relay.postfix.fails["postmap -s"] = (1, b"", b"postmap: fatal: not a table")


def break_table_without_source(trial: Trial) -> None:
    remove("sasl_passwd")(trial)
    break_table(trial)


def close_to_proxymap(trial: Trial) -> None:
    owner = pwd.struct_passwd(("postfix", "", 12345, 12346, "", "/", "/bin/false"))
    trial.monkeypatch.setattr(pwd, "getpwnam", lambda _name: owner)
    trial.relay.set(smtp_sasl_password_maps="proxy:hash:{folder}/sasl_passwd")


def deny(trial: Trial) -> None:
    def denied(path: str) -> t.NoReturn:
        raise PermissionError(13, "Permission denied", path)

    trial.monkeypatch.setattr(_lookup_table, "read_if_there", denied)
    trial.monkeypatch.setattr(os, "access", lambda _path, _mode: False)


def change_source(text: str) -> Mistake:
    return lambda trial: (trial.relay.folder / "sasl_passwd").write_text(text, encoding="ascii")


def open_to_all(name: str) -> Mistake:
    return lambda trial: (trial.relay.folder / name).chmod(0o644)


def put_into_main_cf(trial: Trial) -> None:
    trial.relay.set(smtp_sasl_password_maps="static:user:sesame")
    open_to_all("main.cf")(trial)


def defer(trial: Trial) -> None:
    trial.monkeypatch.setattr(time, "time", lambda: 1_000_060.0)
    trial.relay.postfix.queue = (
        b'{"arrival_time": 1000000, "recipients": [{"delay_reason": "%b"}]}\n' % REFUSED.encode()
    )


def probe(accepted: bool | None) -> Mistake:
    def make(trial: Trial) -> None:
        trial.probe_seconds = 1.0
        outcome = RelayProbe(accepted, "Connection refused")
        trial.monkeypatch.setattr(_report, "probe_relay", lambda *_args, **_options: outcome)

    return make


def interrupt(trial: Trial) -> None:
    trial.leave(f".ansible/tmp/{TASK}/AnsiballZ_postfix_relay.py", "")


def run_too_long(trial: Trial) -> None:
    for number in range(21):
        trial.leave(f".ansible/tmp/{TASK}{number}/AnsiballZ_postfix_relay.py", "")


def break_instance(trial: Trial) -> None:
    trial.relay.set(multi_instance_directories="/no/such/instance")


#: kind -> how to make a host that has it
MISTAKES: dict[str, Mistake] = {
    "VERSION_2_PASSWORD": source(f"{KEY} {ACCESS_KEY}:{VERSION_2}\n"),
    "RAW_SECRET": source(f"{KEY} {ACCESS_KEY}:{SECRET_KEY}\n"),
    "USERNAME_NOT_ACCESS_KEY": source(f"{KEY} joe@example.com:{PASSWORD}\n"),
    "USERNAME_NOT_INGRESS_ENDPOINT": source(
        f"{LINE}[{MAIL_MANAGER['endpoint']}]:587 {ACCESS_KEY}:{PASSWORD}\n"
    ),
    "OTHER_REGION": source(f"{KEY} {ACCESS_KEY}:{PASSWORD_OF['us-east-1']}\n"),
    "USERNAME_OF_OTHER_KEY": source(f"{KEY} {OTHER_KEY}:{PASSWORD}\n"),
    "SHADOWED_ENTRY": source(f"{LINE}{HOST} {OTHER_KEY}:{PASSWORD}\n"),
    "UNUSED_SENDER": source(f"{LINE}@example.org {ACCESS_KEY}:{PASSWORD}\n"),
    "UNUSED_ENTRY": settings(relayhost=""),
    "NO_ENTRY": settings(smtp_sasl_password_maps=""),
    "NO_ENTRY_BUT_A_SIMILAR_ONE": source(f"[{HOST}] {ACCESS_KEY}:{PASSWORD}\n"),
    "IGNORED_LINE": source(f"{LINE}[smtp.example.net]:587\n"),
    "IGNORED_LINE_NOT_COMPILED": not_compiled(f"{LINE}[smtp.example.net]:587\n"),
    "REPEATED_KEY": source(LINE + LINE),
    "REPEATED_KEY_NOT_COMPILED": not_compiled(LINE + LINE),
    "TABLE_TYPE_MISSING": settings(smtp_sasl_password_maps="dbm:{folder}/sasl_passwd"),
    "TABLE_MISSING": remove("sasl_passwd.db"),
    "SOURCE_AND_TABLE_MISSING": remove("sasl_passwd", "sasl_passwd.db"),
    "TABLE_DAMAGED": break_table,
    "TABLE_DAMAGED_SOURCE_MISSING": break_table_without_source,
    "TABLE_CLOSED": close_to_proxymap,
    "MAP_NOT_LISTED": settings(smtp_sasl_password_maps="proxy:ldap:sesame"),
    "MAP_DENIED": deny,
    "STALE_TABLE": change_source(f"{LINE}[smtp.example.net]:587 them:sesame\n"),
    "TABLE_OLDER": change_source(f"{LINE}# newer\n"),
    "SOURCE_MISSING": remove("sasl_passwd"),
    "LOGIN_WITHOUT_SOURCE": remove("sasl_passwd"),
    "OPEN_FILE": open_to_all("sasl_passwd.db"),
    "OPEN_MAIN_CF": put_into_main_cf,
    "TLS_OPTIONAL": settings(smtp_tls_security_level="may"),
    "TLS_OPTIONAL_BY_POLICY": policy("may"),
    "TLS_NOT_VERIFIED": settings(smtp_tls_security_level="encrypt"),
    "TLS_NOT_VERIFIED_BY_POLICY": policy("encrypt"),
    "WRAPPERMODE_OFF": settings(relayhost=f"[{HOST}]:465"),
    "WRAPPERMODE_ON": settings(smtp_tls_wrappermode="yes"),
    "MAIL_MANAGER_PORT": settings(relayhost=f"[{MAIL_MANAGER['endpoint']}]:465"),
    "AUTH_DISABLED": settings(smtp_sasl_auth_enable="no"),
    "SASL_NOPLAINTEXT": settings(smtp_sasl_tls_verified_security_options="noplaintext"),
    "NO_CA_FILE": settings(smtp_tls_CAfile="/no/such.pem"),
    "SASL_MECHANISM_MISSING": remove("sasl2/libplain.so.2"),
    "DEFERRED_535": defer,
    "INSTANCE_UNREADABLE": break_instance,
    "RELAY_NOT_ACCEPTED": probe(False),
    "RELAY_NOT_PROVED": probe(None),
    "ROUTE_BY_RELAYHOST": settings(relayhost="[smtp.example.net]:587"),
    "ROUTE_ELSEWHERE": settings(default_transport="error: no mail"),
    "ROUTE_ELSEWHERE_BY_ENTRY": entry("transport_maps", "* smtp:[127.0.0.9]:2525"),
    "ROUTE_PARTLY_ELSEWHERE": partly_elsewhere,
    "ROUTE_FAILS": settings(mydestination="hash:/no/such"),
    "ROUTES_UNKNOWN": settings(transport_maps="ldap:/etc/postfix/transport"),
    "TRANSPORT_DEFERRED": settings(defer_transports="smtp, relay"),
    "SERVICE_MISSING": services(MASTER_CF.replace("tlsmgr unix", "#")),
    "SERVICE_DISABLED": settings(master_service_disable="smtp.unix"),
    "SERVICE_UNKNOWN": settings(default_transport="ses"),
    "TLS_NOT_VERIFIED_BY_SERVICE": own("smtp_tls_security_level=encrypt"),
    "TLS_OPTIONAL_BY_SERVICE": own("smtp_tls_security_level=may"),
    "TLS_NOT_VERIFIED_BY_HEADER": settings(tls_required_enable="yes"),
    "TLS_NOT_VERIFIED_PER_SITE": entry("smtp_tls_per_site", f"{HOST} NONE"),
    "TLS_UNKNOWN": settings(smtp_tls_policy_maps="ldap:/etc/postfix/policy"),
    "PROTOCOLS": settings(smtp_tls_mandatory_protocols="TLSv1"),
    "CIPHERS": settings(smtp_tls_mandatory_ciphers="null"),
    "CERTIFICATE_MATCH": settings(smtp_tls_secure_cert_match="dot-nexthop"),
    "CERTIFICATE_MATCH_BY_POLICY": entry(
        "smtp_tls_policy_maps", f"{KEY} secure match=mail.example.com"
    ),
    "CLIENT_CHAIN_MISSING": settings(smtp_tls_chain_files="/no/such.pem"),
    "SASL_TYPE": settings(smtp_sasl_type="dovecot"),
    "CLIENT_FILE_MISSING": settings(smtp_tls_cert_file="/no/such.pem"),
    "MECHANISM_FILTER": settings(smtp_sasl_mechanism_filter="cram-md5"),
    "EHLO_DISABLED": settings(smtp_never_send_ehlo="yes"),
    "EHLO_DISABLED_BY_ADDRESS": entry("smtp_discard_ehlo_keyword_address_maps", "192.0.2.1 auth"),
    "ADDRESS_FAMILY": settings(inet_protocols="ipv6"),
    "BIND_ADDRESS_INVALID": settings(smtp_bind_address="eth0"),
    "BIND_ADDRESS_LOOPBACK": settings(smtp_bind_address="127.0.0.1"),
    "BIND_ADDRESS_MISSING": own("smtp_bind_address=192.0.2.1 -o smtp_bind_address_enforce=yes"),
    "TIMEOUT_SHORT": settings(smtp_connect_timeout="1s"),
    "AUTH_DISABLED_BY_SERVICE": own("smtp_sasl_auth_enable=no"),
    "SENDER_LOGINS_OFF": own_beside("smtp_sender_dependent_authentication"),
    "AUTH_SOFT_BOUNCE_OFF": settings(smtp_sasl_auth_soft_bounce="no"),
    "OTHER_FLOW": entry("transport_maps", "a.example smtp:[127.0.0.9]:2525"),
    "OTHER_FLOW_WRAPPERMODE": wrapped_elsewhere,
    "OTHER_FLOW_OF_OWN_CLIENT": own_client("transport_maps", "a.example :[127.0.0.9]:2525"),
    "OTHER_CLIENT": own_client("sender_dependent_default_transport_maps", "@a.example smtp:"),
    "NOT_RUNNING": lambda trial: setattr(trial.relay.postfix, "running", False),
    "LEFT_OVER_MODULE": interrupt,
    "LEFT_OVER_RESULT": lambda trial: trial.leave(".ansible_async/j1.1", PASSWORD),
    "LEFT_OVER_SEARCH_INCOMPLETE": run_too_long,
}
#: Those that no host reports: the controller makes them, see plugin_utils/test_audit.py.
OF_THE_CONTROLLER = {"UNREACHABLE", "FAILED", "MALFORMED_ANSWER"}
#: Those that only a set-up can find, which knows its password map and CA file: see test_route_findings.py.
OF_A_SET_UP = {"OTHER_CA_FILE", "OTHER_PASSWORD_MAPS"}


def shape(template: str) -> str:
    """A pattern for what a template becomes with values."""
    parts = re.split(r"\{[^{}]*\}", template)
    return ".+".join(map(re.escape, parts))


@pytest.fixture(name="trial")
def fixture_trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> t.Iterator[Trial]:
    with fake_survey(monkeypatch) as relay:
        yield Trial(relay, tmp_path, monkeypatch)


def test_there_is_a_mistake_for_every_kind() -> None:
    assert {*MISTAKES, *OF_THE_CONTROLLER, *OF_A_SET_UP} == set(KINDS)


def test_without_a_mistake_there_is_no_finding(trial: Trial) -> None:
    assert trial.findings() == []


@pytest.mark.parametrize("name", MISTAKES)
def test_every_kind_is_found(trial: Trial, name: str) -> None:
    kind = KINDS[name]
    MISTAKES[name](trial)
    found = [
        each
        for each in trial.findings()
        if re.fullmatch(shape(kind.message), each.message)
        and re.fullmatch(shape(kind.remedy), each.remedy)
    ]
    assert {(each.id, each.severity, each.blocks) for each in found} == {
        (kind.id, kind.severity, kind.blocks)
    }


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.mild_severity])
def test_a_kind_is_milder_while_postfix_does_not_log_in(trial: Trial, name: str) -> None:
    MISTAKES[name](trial)
    main_cf = trial.relay.folder / "main.cf"
    main_cf.write_text(main_cf.read_text() + "smtp_sasl_auth_enable = no\n")
    found = [each for each in trial.findings() if each.id == KINDS[name].id]
    assert [(each.severity, each.blocks) for each in found] == [("notice", False)]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_form_of_a_kind(kind: Kind) -> None:
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", kind.id)
    assert set(kind.severities) <= set(SEVERITIES)
    assert kind.meaning.endswith(".")
    for text in (kind.message, kind.remedy):
        assert not text.endswith(".")
        assert "  " not in text
    # The parts say for themselves what they are, and nothing formats them but quotes and numbers.
    assert re.findall(r"\{(?![a-z_]+(?:!r|:g)?\})", kind.message + kind.remedy) == []


def calls(path: Path) -> set[str]:
    """The names of the functions and classes that a file calls."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    functions = [node.func for node in nodes if isinstance(node, ast.Call)]
    return {function.id for function in functions if isinstance(function, ast.Name)}


def test_nothing_but_the_catalogue_has_kinds() -> None:
    folder = Path(_catalogue.__file__).parent
    # What is for the controller alone is written for its Pythons.
    tree = folder.parents[1] if sys.version_info >= (3, 10) else folder.parent
    files = sorted(tree.rglob("*.py"))
    assert len(files) > 50
    assert {path.name for path in files if "Finding" in calls(path)} == {"_finding.py"}
    assert {path.name for path in files if "Kind" in calls(path)} == {
        f"{name}.py" for name in vars(_catalogue) if name.endswith("_kinds")
    }


def test_kinds_with_one_id_differ() -> None:
    """Who reads the documentation finds each of them by its severity or its meaning."""
    meanings = [(kind.id, kind.severity, kind.meaning) for kind in KINDS.values()]
    assert len(set(meanings)) == len(meanings)


EXAMPLE = Kind("example", "critical", "An example.", "{key} of {file}: {why}", "Remove {key}")


def test_a_finding_has_the_values_of_its_templates() -> None:
    finding = find(EXAMPLE, "/file", "server", why="{key}")
    assert finding == Finding(
        "example", "critical", "/file", "server of /file: {key}", "Remove server", "server"
    )


@pytest.mark.parametrize(
    ("key", "values", "says"),
    [
        ("server", {}, r"missing \['why'\], superfluous \[\]"),
        (None, {"why": ""}, r"missing \['key'\]"),
        ("server", {"why": "", "who": ""}, r"missing \[\], superfluous \['who'\]"),
    ],
)
def test_a_value_that_is_missing_or_superfluous_is_a_bug(
    key: str | None, values: dict[str, t.Any], says: str
) -> None:
    with pytest.raises(TypeError, match=f"example: .*{says}"):
        find(EXAMPLE, "/file", key, **values)


def test_only_some_kinds_have_a_mild_severity() -> None:
    with pytest.raises(TypeError, match="example has no mild severity"):
        find(EXAMPLE, "/file", "server", is_mild=True, why="")
