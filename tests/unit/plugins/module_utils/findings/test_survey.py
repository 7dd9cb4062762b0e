# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a survey reads besides maps: the instances, who runs; and what it never does."""

from __future__ import annotations

import os
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._findings._survey import (
    list_directories,
    survey,
)
from ansible_collections.mailops.ses.plugins.module_utils._postfix._programs import (
    Postfix,
    PostfixError,
)
from ansible_collections.mailops.ses.plugins.module_utils._ses._candidate_digests import Candidates
from ansible_collections.mailops.ses.tests.support.in_process.fake_survey import (
    FakeSurvey,
    fake_survey,
)


@pytest.fixture(name="relay")
def fixture_relay(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeSurvey]:
    with fake_survey(monkeypatch) as relay:
        yield relay


@pytest.mark.parametrize("running", [True, False])
def test_the_instance(relay: FakeSurvey, running: bool) -> None:
    relay.set(multi_instance_name="postfix-out", relayhost="[a.example]:587 b.example")
    relay.postfix.running = running
    facts = relay.facts()
    assert (facts.name, facts.is_running) == ("postfix-out", running)
    assert facts.relayhost == ("[a.example]:587", "b.example")
    assert facts.directory == str(relay.folder)
    relay.set()
    assert relay.facts().name == "-"


def test_it_only_reads(relay: FakeSurvey) -> None:
    def state() -> dict[str, tuple[int, int]]:
        status = {path: os.stat(str(path)) for path in relay.folder.rglob("*")}
        return {str(path): (each.st_ino, each.st_mtime_ns) for path, each in status.items()}

    before = state()
    relay.facts()
    assert state() == before
    programs = {call.split()[0] for call in relay.postfix.calls if call != "postmap hash:"}
    assert programs <= {"master", "postconf", "postmap", "postqueue"}
    # In the survey, that is: to make the map is the test's.
    assert [call for call in relay.postfix.calls if call.startswith("postmap -")] == ["postmap -s"]


def test_instances(relay: FakeSurvey) -> None:
    postfix = Postfix(relay.postfix)
    assert list_directories(postfix) == [str(relay.folder)]
    relay.set(multi_instance_directories="/etc/postfix-a,\n /etc/postfix-b")
    directories = [str(relay.folder), "/etc/postfix-a", "/etc/postfix-b"]
    assert list_directories(postfix) == directories
    relay.postfix.fails["postconf -x"] = (
        1,
        b"",
        b"postconf: fatal: open /etc/postfix/main.cf: Permission denied",
    )
    with pytest.raises(PostfixError, match=r"main\.cf: Permission denied"):
        list_directories(postfix)
    relay.postfix.missing = True
    with pytest.raises(PostfixError, match="Is Postfix installed"):
        list_directories(postfix)


def test_an_instance_that_is_none(relay: FakeSurvey) -> None:
    (relay.folder / "main.cf").unlink()
    with pytest.raises(PostfixError, match="No such file or directory"):
        relay.facts()
    relay.postfix.fails["postconf -x"] = (0, b"", b"")
    with pytest.raises(PostfixError, match="does not know config_directory"):
        survey(Postfix(relay.postfix, str(relay.folder)), Candidates())
