# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A relay that is set up right, on a Postfix in miniature, for a survey. Runs on Python 3.7."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.mailops.ses.plugins.module_utils._findings import _survey as _relay_survey
from ansible_collections.mailops.ses.plugins.module_utils._findings._lookup import look_up
from ansible_collections.mailops.ses.plugins.module_utils._findings._relay_findings import (
    judge_instance,
)
from ansible_collections.mailops.ses.plugins.module_utils._findings._survey import survey
from ansible_collections.mailops.ses.plugins.module_utils._postfix._own_client import (
    FIXED,
    OwnClient,
    place_service,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.plugins.module_utils._ses._candidate_digests import (
    Candidates,
    Match,
    digest_candidates,
)

from ..example_key import ACCESS_KEY, PASSWORD_OF, SECRET_KEY
from .fake_postfix import FakePostfix

if t.TYPE_CHECKING:
    import pytest
    from ansible_collections.mailops.ses.plugins.module_utils._findings._facts import (
        Entry,
        InstanceFacts,
    )
    from ansible_collections.mailops.ses.plugins.module_utils._findings._finding import Finding
    from ansible_collections.mailops.ses.plugins.module_utils._postfix._destination import (
        Destination,
    )

Found = t.Dict[str, str]  # noqa: UP006  # Python 3.7

HOST = "email-smtp.eu-west-1.amazonaws.com"
KEY = f"[{HOST}]:587"
PASSWORD = PASSWORD_OF["eu-west-1"]
LINE = f"{KEY} {ACCESS_KEY}:{PASSWORD}\n"
VERSION_2 = "An60U4ZD3sd4fg+FvXUjayOipTt8LO4rUUmhpdX6ctDy"
#: The passwords of the example key, as the controller hands them over.
CANDIDATE = digest_candidates(
    b"salt",
    [
        *((password, Match(ACCESS_KEY, 4, region)) for region, password in PASSWORD_OF.items()),
        (VERSION_2, Match(ACCESS_KEY, 2, None)),
    ],
)
NOBODY = Candidates()
_MAIN_CF = {
    "relayhost": KEY,
    "smtp_sasl_password_maps": "hash:{folder}/sasl_passwd",
    "smtp_sasl_auth_enable": "yes",
    "smtp_sasl_security_options": "noanonymous, noplaintext",
    "smtp_sasl_tls_security_options": "noanonymous",
    "smtp_tls_security_level": "secure",
    "smtp_tls_CAfile": "{folder}/ca.pem",
}


class FakeSurvey:
    """A host with the instance in ``folder``, which everybody may enter, and its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n", encoding="ascii")
        (folder / "sasl2").mkdir()
        (folder / "sasl2" / "libplain.so.2").touch()
        self.postfix = FakePostfix(folder)
        self.set()
        self.map(LINE)

    def set(self, **settings: str) -> None:
        """Have main.cf as it is right, but for these; an empty value leaves a setting out."""
        values = {**_MAIN_CF, **settings}
        lines = [
            f"{name} = {value.format(folder=self.folder)}\n"
            for name, value in values.items()
            if value
        ]
        (self.folder / "main.cf").write_text("".join(lines), encoding="utf-8")

    def map(self, source: str, name: str = "sasl_passwd", mode: int = 0o600) -> Path:
        """Write a map for nobody else to read, and make its table."""
        path = self.folder / name
        path.write_text(source, encoding="utf-8")
        self.postfix.run_command(["postmap", f"hash:{path}"])
        for each in (path, Path(f"{path}.db")):
            each.chmod(mode)
            os.utime(str(each), (1, 1))
        return path

    def add_own_client(self, name: str) -> None:
        """Add an SMTP client for SES alone to master.cf."""
        maps = f"hash:{self.folder}/sasl_passwd"
        settings = {"smtp_tls_security_level": "secure", "smtp_sasl_password_maps": maps, **FIXED}
        path = self.folder / "master.cf"
        path.write_bytes(place_service(path.read_bytes(), OwnClient(name, settings)))

    def facts(self, candidates: Candidates = NOBODY) -> InstanceFacts:
        """What a survey finds out."""
        return survey(Postfix(self.postfix, str(self.folder)), candidates)

    def findings(self, candidates: Candidates = NOBODY) -> list[Finding]:
        """What is wrong."""
        facts = self.facts(candidates)
        return judge_instance(facts, look_up(facts))

    def used(self) -> dict[str, list[str]]:
        """The destinations that each entry is used for."""
        facts = self.facts()
        servers = look_up(facts).servers
        entries: list[Entry] = [entry for each in facts.maps for entry in each.entries]
        return {
            f"{entry.table.rpartition('/')[2]} {entry.key}": _texts(servers.get(number, ()))
            for number, entry in enumerate(entries)
        }


def _texts(destinations: t.Iterable[Destination]) -> list[str]:
    return [destination.text for destination in destinations]


@contextlib.contextmanager
def fake_survey(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeSurvey]:
    """Such a host, with a SASL of its own; pytest's own folders are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="fake-survey-"))
    try:
        folder.chmod(0o755)
        monkeypatch.setattr(_relay_survey, "_SASL_DIRECTORIES", (f"{folder}/sasl2*",))
        yield FakeSurvey(folder)
    finally:
        shutil.rmtree(str(folder))


def found(relay: FakeSurvey, candidates: Candidates = NOBODY) -> Found:
    """The findings' ids with their severities; none may show a password."""
    findings = relay.findings(candidates)
    ranks = [finding.rank for finding in findings]
    assert ranks == sorted(ranks)
    for finding in findings:
        shown = str(finding.show("/etc/postfix"))
        for secret in (*PASSWORD_OF.values(), VERSION_2, SECRET_KEY, "sesame"):
            assert secret not in shown
        assert finding.message
        assert finding.remedy
    return {finding.id: finding.severity for finding in findings}
