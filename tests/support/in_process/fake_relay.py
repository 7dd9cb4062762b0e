# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A relay on a Postfix in miniature, for unit tests: see fake_postfix.py. Runs on Python 3.7."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import Postfix
from ansible_collections.mailops.ses.plugins.module_utils._postfix._tls import check_ca_file
from ansible_collections.mailops.ses.plugins.module_utils._relay import _setup as _relay_setup
from ansible_collections.mailops.ses.plugins.module_utils._relay._instance import Instance
from ansible_collections.mailops.ses.plugins.module_utils._relay._plan import (
    RelayPlan,
    RelayRequest,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._removal import decide_removal
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import RelayLogin
from ansible_collections.mailops.ses.plugins.module_utils._relay._setup import (
    complete_request,
    decide_setup,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._transaction import (
    Outcome,
    Transaction,
)
from ansible_collections.mailops.ses.plugins.module_utils._smtp._server import (
    SmtpLogin,
    SmtpServer,
)

if t.TYPE_CHECKING:
    from ansible_collections.mailops.ses.plugins.module_utils._relay._decision import Decision

from .fake_postfix import FakeAttributes, FakePostfix, settings_of

USER = "AKIAIOSFODNN7EXAMPLE"
MAIN_CF = """\
# by hand
relayhost =
    [old.example.net]
    # not any more
smtp_sasl_security_options = noanonymous
mydestination = $myhostname
# the end
"""


def trust_any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CA file of these relays do; the tests of the checks have real certificates."""

    def check(path: str, thoroughly: bool) -> None:
        check_ca_file(path, thoroughly=False)

    monkeypatch.setattr(_relay_setup, "check_ca_file", check)


def host(region: str) -> str:
    """The name of a region's server."""
    return f"email-smtp.{region}.amazonaws.com"


def key(region: str) -> str:
    """The key of a region's entry."""
    return f"[{host(region)}]:587"


def login(region: str, password: str = "sesame-1") -> RelayLogin:
    """A region's login."""
    return RelayLogin(SmtpLogin(SmtpServer(host(region), 587, "starttls"), USER, password))


def sender(address: str, region: str, password: str = "sesame-s") -> RelayLogin:
    """A sender's login."""
    return RelayLogin(login(region, password).login, address)


class Work(t.NamedTuple):
    """What the module does in a run."""

    instance: Instance
    decision: Decision[t.Any, RelayPlan]
    ca_file: str | None = None

    def plan(self) -> RelayPlan:
        """What it would do."""
        return self.decision.plan

    def run(self, prove: t.Callable[[], None] | None = None) -> Outcome[RelayPlan]:
        """Do it."""
        if not self.plan().changed:
            return Outcome(self.plan())
        return Transaction(self.instance.tools, self.instance, prove).run(self.decision)


@dataclass
class FakeRelay:
    """The instance in ``postfix.directory``, with a CA file; ``absent`` and ``present`` are runs."""

    postfix: FakePostfix
    attributes: FakeAttributes

    @classmethod
    def make(cls, folder: Path, main_cf: str = MAIN_CF, map_source: str | None = None) -> FakeRelay:
        """Make one, with a password map if there is a source."""
        folder.mkdir(exist_ok=True)
        relay = cls(FakePostfix(folder, main_cf), FakeAttributes())
        relay.ca_file.write_text("-----BEGIN CERTIFICATE-----\n", encoding="ascii")
        if map_source is not None:
            relay.map.write_text(map_source, encoding="utf-8")
            relay.postfix.run_command(["postmap", f"hash:{relay.map}"])
            relay.postfix.calls.clear()
        return relay

    @property
    def directory(self) -> Path:
        """The configuration directory."""
        return self.postfix.directory

    @property
    def ca_file(self) -> Path:
        """What is to be trusted."""
        return self.directory.parent / "ca.pem"

    @property
    def map(self) -> Path:
        """The password map's source."""
        return self.directory / "sasl_passwd"

    @property
    def record(self) -> Path:
        """The directory of the record."""
        return self.directory / ".mailops-ses"

    def settings(self) -> dict[str, str]:
        """What main.cf says."""
        return settings_of(self.postfix.main_cf.read_text("utf-8"))

    def entries(self, name: str = "sasl_passwd") -> dict[str, str]:
        """What a table has, of those that are compiled; empty if there is none."""
        table = self.directory / f"{name}.db"
        if not table.exists():
            return {}
        lines = table.read_text("utf-8").splitlines()
        return dict(line.split(" ", 1) for line in lines if line and line[0] not in "#\t ")

    def setup(self, *regions: str, **options: t.Any) -> Work:
        """The work of a run with state present; of ``options``, ``password`` is for the regions."""
        password = options.pop("password", "sesame-1")
        logins = tuple(login(region, password) for region in regions)
        request = complete_request(
            RelayRequest(logins=logins, **{"ca_file": str(self.ca_file), **options})
        )
        instance = self.instance()
        return Work(instance, decide_setup(request, instance), request.ca_file)

    def removal(self, **options: t.Any) -> Work:
        """The work of a run with state absent."""
        instance = self.instance()
        return Work(instance, decide_removal(RelayRequest(**options), instance))

    def present(self, *regions: str, **options: t.Any) -> Outcome[RelayPlan]:
        """A run with state present."""
        return self.setup(*regions, **options).run()

    def absent(self, **options: t.Any) -> Outcome[RelayPlan]:
        """A run with state absent."""
        return self.removal(**options).run()

    def instance(self) -> Instance:
        """The instance as a module sees it."""
        postfix = Postfix(self.postfix, str(self.directory))
        return Instance(postfix, t.cast("t.Any", self.attributes))

    def files(self) -> dict[str, tuple[bytes, int, int]]:
        """Content, mode and inode of each file but the locks."""
        found = {}
        for folder, _folders, names in os.walk(self.directory):
            for name in names:
                path = Path(folder, name)
                if not name.endswith(".lock"):
                    status = path.stat()
                    where = str(path.relative_to(self.directory))
                    found[where] = (path.read_bytes(), status.st_mode, status.st_ino)
        return found

    def contents(self) -> dict[str, bytes]:
        """The content of each file but the locks."""
        return {name: content for name, (content, _mode, _inode) in self.files().items()}
