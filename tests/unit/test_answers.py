# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation lists the table of SES's answers, and knows every reason."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import yaml
from ansible_collections.mailops.ses.plugins.module_utils._smtp import _known_reply
from ansible_collections.mailops.ses.plugins.module_utils._smtp._outcome import REASONS
from ansible_collections.mailops.ses.plugins.module_utils._smtp._replies import REPLIES
from ansible_collections.mailops.ses.plugins.modules import ses_smtp_ping
from ansible_collections.mailops.ses.tests.support.replies_of_ses import ROWS
from ansible_collections.mailops.ses.tests.tooling import answers_section, findings_section

SCRIPT = Path(__file__).parents[2] / "roles/postfix_relay/files/send_test_message.py"
GUIDE = answers_section.GUIDE.read_text(encoding="utf-8")
SECTION = GUIDE.partition(answers_section.BEGIN)[2].partition(answers_section.END)[0]


def test_the_guide_lists_the_table() -> None:
    """To write it again: make answers."""
    section = answers_section.write_section(REPLIES, _known_reply.log_line)
    assert (
        findings_section.replace_section(GUIDE, section, answers_section.BEGIN, answers_section.END)
        == GUIDE
    )


def test_the_guide_has_each_reason_once() -> None:
    terms = re.findall(r"^:ansval:`(\w+)`$", SECTION, re.MULTILINE)
    assert terms == sorted({known.reason for known in REPLIES})


def test_the_guide_has_postfix_line_for_each_reply() -> None:
    lines = " ".join(SECTION.split())
    for row in ROWS:
        assert f" {' '.join(row.reply.split())}" in lines
    assert lines.count("``dsn=") == len(ROWS)
    # A refused login waits in the queue, and a refused message does not.
    assert "status=deferred (SASL authentication failed; server HOST[ADDRESS] said: 535" in lines
    assert "status=bounced (host HOST[ADDRESS] said: 554 Message rejected" in lines


def test_every_source_is_told() -> None:
    sources = {example.source for known in REPLIES for example in known.examples}
    assert sources == set(answers_section.SOURCES)


def test_every_reason_is_explained() -> None:
    """In the guide, and in the documentation of the module."""
    assert set(re.findall(r":ansval:`(\w+)`", GUIDE)) == set(REASONS)
    returned = yaml.safe_load(ses_smtp_ping.RETURN)["reason"]["description"]
    named = re.findall(r"\bV\((\w+)\)", " ".join(returned))
    assert sorted(named) == sorted(REASONS)


def test_the_test_message_of_the_role_knows_these_answers() -> None:
    """Its program is sent to a host alone, so it can't use the table."""
    spec = importlib.util.spec_from_file_location("send_test_message", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    reasons = [{row.reason for row in ROWS if words in row.reply} for words in program.REMEDIES]
    assert reasons == [{"identity_not_verified"}, {"permission_missing"}]
