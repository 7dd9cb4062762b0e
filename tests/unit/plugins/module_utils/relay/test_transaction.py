# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The transaction itself: the proof, check mode, and master.cf as one more file."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._files._private_directory import (
    make_private_directory,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import PostfixError
from ansible_collections.mailops.ses.plugins.module_utils._relay._decision import Decision
from ansible_collections.mailops.ses.plugins.module_utils._relay._phases import (
    CleanUp,
    ConfigChange,
    Phase,
    RecordPlan,
    TransactionPlan,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._plan import diff
from ansible_collections.mailops.ses.plugins.module_utils._relay._record import (
    MASTER_CF,
    FileState,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._settings import (
    RelayError,
    SettingChange,
)
from ansible_collections.mailops.ses.plugins.module_utils._relay._transaction import Transaction
from ansible_collections.mailops.ses.tests.support.in_process.fake_relay import (
    FakeRelay,
    Work,
    key,
    sender,
    trust_any_file,
)

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.mailops.ses.plugins.module_utils._relay._instance import Instance

WEST, CENTRAL = "eu-west-1", "eu-central-1"
THEIRS = "# by hand\n[other] them:theirs\n"
SERVICE = "ses unix - - n - - smtp\n"


@pytest.fixture(name="relay")
def fixture_relay(tmp_path: Path) -> FakeRelay:
    return FakeRelay.make(tmp_path / "etc", map_source=THEIRS)


@pytest.fixture(autouse=True)
def fixture_ca_file(monkeypatch: pytest.MonkeyPatch) -> None:
    trust_any_file(monkeypatch)


# The proof


def set_up(relay: FakeRelay) -> Work:
    return relay.setup(CENTRAL, senders=(sender("@example.com", WEST),), backup=True)


def take_away(relay: FakeRelay) -> Work:
    return relay.removal(backup=True)


@pytest.mark.parametrize("established", [False, True])
@pytest.mark.parametrize("make", [set_up, take_away])
def test_a_proof_that_fails_rolls_back_all(
    relay: FakeRelay, make: t.Callable[[FakeRelay], Work], established: bool
) -> None:
    if established:
        relay.present(WEST)
    elif make is take_away:
        relay.present(WEST, senders=(sender("@example.com", CENTRAL),))
    before = relay.files()
    relay.postfix.calls.clear()
    work = make(relay)
    seen: list[int] = []

    def prove() -> None:
        seen.append(relay.postfix.calls.count("postfix reload"))
        assert relay.files() != before
        raise RelayError("the message was not accepted")

    with pytest.raises(RelayError, match="the message was not accepted"):
        work.run(prove)
    assert seen == [2]
    assert relay.files() == before
    assert relay.postfix.calls.count("postfix reload") == 3
    assert relay.postfix.calls[-1] == "postfix reload"


def test_a_proof_comes_when_all_is_active_and_before_the_clean_up(relay: FakeRelay) -> None:
    relay.present(WEST)
    found = []

    def prove() -> None:
        entries = {key(WEST), key(CENTRAL)} & set(relay.entries())
        found.append((relay.settings()["relayhost"], entries))

    outcome = relay.setup(CENTRAL).run(prove)
    assert found == [(key(CENTRAL), {key(WEST), key(CENTRAL)})]
    assert outcome.plan.entries_removed == (key(WEST),)
    assert set(relay.entries()) == {"[other]", key(CENTRAL)}


# Check mode


def rehearse(relay: FakeRelay, work: Work, folder: Path) -> list[str]:
    """What is in the files that are made for it."""
    seen: set[str] = set()

    def look(_name: str) -> None:
        seen.update(path.read_text("utf-8") for path in folder.rglob("*") if path.is_file())

    before = relay.files()
    relay.postfix.before = look
    try:
        with make_private_directory(str(folder)) as directory:
            Transaction(work.instance.tools, work.instance).rehearse(work.decision, directory)
    finally:
        relay.postfix.before = lambda _program: None
        assert relay.files() == before
    return sorted(seen)


def test_a_rehearsal_makes_the_new_files_elsewhere(relay: FakeRelay, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    work = relay.setup(WEST, senders=(sender("@example.com", CENTRAL),))
    seen = rehearse(relay, work, folder)
    assert f"@example.com {key(CENTRAL)}\n" in seen
    user = work.plan().transaction.maps[0].expected[b"@example.com"]
    assert user
    assert any(f"{key(WEST)} {user.decode().partition(':')[0]}:PASSWORD\n" in each for each in seen)
    assert any(f"relayhost = {key(WEST)}\n" in each for each in seen)
    assert not any("sesame" in each for each in seen)
    assert not list(folder.iterdir())
    assert "postmap -q" in relay.postfix.calls
    assert "postfix reload" not in relay.postfix.calls


def test_a_rehearsal_fails_where_the_run_would(relay: FakeRelay, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    for program, says in (
        ("postconf -o", "can't read Postfix's settings"),
        ("postmap -q", "entry"),
    ):
        relay.postfix.fails[program] = (1, b"", b"fatal: x\n")
        with pytest.raises(PostfixError, match=says):
            rehearse(relay, relay.setup(WEST), folder)
        relay.postfix.fails.clear()


def test_a_rehearsal_of_master_cf(with_services: FakeRelay, tmp_path: Path) -> None:
    relay = with_services
    relay.present(WEST)
    folder = tmp_path / "temporary"
    folder.mkdir()
    instance = relay.instance()
    seen = rehearse(relay, Work(instance, decide_service(instance)), folder)
    assert any(SERVICE in each for each in seen)


# master.cf, as one more file


@dataclass(frozen=True)
class Empty:
    """A plan of nothing but a transaction."""

    transaction: TransactionPlan
    changed: bool = True


def add_service(relay: FakeRelay, prove: t.Callable[[], None] | None = None) -> None:
    """Add a service to the master.cf of a relay that is set up."""
    instance = relay.instance()
    Transaction(instance.tools, instance, prove).run(decide_service(instance))


def decide_service(instance: Instance) -> Decision[bytes, t.Any]:
    """Plan to add a service to master.cf, and then something to main.cf."""
    record = instance.store.load()
    assert record is not None
    services = instance.master_cf.read() or b""
    during = replace(
        record,
        master_cf=FileState().begin(services, services),
        services={SERVICE.partition(" ")[0]: (SERVICE,)},
    )
    change = SettingChange("message_size_limit", None, "1234")
    settings = ConfigChange("main.cf", (change,))
    plan = TransactionPlan(
        CleanUp("done"),
        phases=(
            Phase(
                "the service",
                (ConfigChange("master.cf", content=services + SERVICE.encode()), settings),
                needs_reload=True,
            ),
        ),
        record=RecordPlan(record, during, during, {MASTER_CF: services}),
    )
    return Decision(
        instance.tools, instance, read=instance.main_cf.read, make_plan=lambda _now: Empty(plan)
    )


@pytest.fixture(name="with_services")
def fixture_with_services(relay: FakeRelay) -> FakeRelay:
    master_cf = relay.directory / "master.cf"
    master_cf.write_text(f"# services\n{master_cf.read_text()}")
    master_cf.chmod(0o640)
    return relay


def test_master_cf_is_a_file_of_the_transaction(with_services: FakeRelay) -> None:
    relay = with_services
    before = relay.contents()
    relay.present(WEST)
    add_service(relay)
    files = relay.files()
    assert files["master.cf"][0] == before["master.cf"] + SERVICE.encode()
    assert oct(files["master.cf"][1] & 0o777) == "0o640"
    assert files[".mailops-ses/master.cf.before"][0] == before["master.cf"]
    assert not relay.setup(WEST).plan().was_interrupted
    plan = relay.removal().plan()
    assert plan.master_cf
    assert plan.master_cf.after == before["master.cf"]
    services = diff(plan, "/etc/postfix/main.cf")[1]
    assert services["before_header"] == "/etc/postfix/master.cf"
    assert (services["before"], services["after"]) == (SERVICE, "")
    relay.absent()
    assert relay.contents() == before
    assert not relay.absent().plan.changed


def test_master_cf_is_rolled_back(with_services: FakeRelay) -> None:
    relay = with_services
    relay.present(WEST)
    before = relay.files()

    def prove() -> None:
        assert SERVICE in (relay.directory / "master.cf").read_text()
        raise RelayError("no")

    with pytest.raises(RelayError, match="no"):
        add_service(relay, prove)
    assert relay.files() == before


def test_a_service_that_somebody_changed_since_stays(with_services: FakeRelay) -> None:
    relay = with_services
    relay.present(WEST)
    add_service(relay)
    master_cf = relay.directory / "master.cf"
    theirs = master_cf.read_text().replace(SERVICE, f"{SERVICE}  -v\n")
    master_cf.write_text(theirs)
    outcome = relay.absent()
    assert "in master.cf was changed by somebody else" in outcome.plan.warnings[0]
    assert master_cf.read_text() == theirs
    assert not relay.record.exists()
