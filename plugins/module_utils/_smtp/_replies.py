# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""All answers of SES in one table, and where to find one of them."""

from __future__ import annotations

import re
import typing as t

from ._known_reply import KnownReply
from ._message_replies import MESSAGE_REPLIES
from ._session_replies import SESSION_REPLIES

__all__ = (
    "REPLIES",
    "UNKNOWN_REPLY",
    "Explanation",
    "explain_postfix",
    "explain_reply",
    "may_postfix_succeed_later",
)

#: The first that matches is meant.
REPLIES: tuple[KnownReply, ...] = (*SESSION_REPLIES, *MESSAGE_REPLIES)
#: The reason of an answer in no list.
UNKNOWN_REPLY = "unknown_answer"

_LONGEST = 2000  # characters; what is beyond them, no answer of SES has
_UNKNOWN = "This answer is unknown: it is in no list of SES's answers"
_QUOTED_BY_POSTFIX = re.compile(
    r" (?:said|refused to talk to me|refused to start TLS): ([2-5]\d\d[ -].*?)"
    r"(?: \(in reply to [\w ]+ command\))?$"
)

# Of connections and names: see smtp_connect.c, smtp_trouble.c and smtp_addr.c.
_CONNECTION = re.compile(
    r"connect to |lost connection |conversation with .* timed out|.*\btry again", re.IGNORECASE
)


class Explanation(t.NamedTuple):
    """What an answer means. ``text`` is sentences without the last full stop, the remedy included."""

    reason: str
    text: str
    may_pass: bool


def explain_reply(reply: str, redact: t.Callable[[str], str] = lambda part: part) -> Explanation:
    """Explain a server's reply, "CODE TEXT" on one line.

    Parts of the reply are in the text as ``redact`` returns them.
    """
    for known in REPLIES:
        found = re.match(known.pattern, reply[:_LONGEST], re.IGNORECASE)
        if found:
            parts = {
                name: _shown(name, redact(part)) for name, part in found.groupdict("it").items()
            }
            text = f"{known.meaning}. {known.remedy}".format_map(parts)
            return Explanation(known.reason, text, known.may_pass)
    may_pass = reply[:1] == "4"
    remedy = (
        "Its code means that it is temporary: try again later"
        if may_pass
        else "Look for it in AWS's documentation, or ask AWS Support"
    )
    return Explanation(UNKNOWN_REPLY, f"{_UNKNOWN}. {remedy}", may_pass)


def explain_postfix(words: str) -> str | None:
    """Explain SES's answer in ``words`` of Postfix, from its log or a probe.

    None if they quote no answer, or one in no list.
    """
    found = _QUOTED_BY_POSTFIX.search(words[:_LONGEST])
    if not found:
        return None
    explanation = explain_reply(found.group(1))
    return None if explanation.reason == UNKNOWN_REPLY else explanation.text


def may_postfix_succeed_later(words: str) -> bool:
    """Whether the same can succeed later, by ``words`` of Postfix about a failure.

    For SES's answers it is what holds for our own login; of other failures, only those of a
    connection pass.
    """
    found = _QUOTED_BY_POSTFIX.search(words[:_LONGEST])
    return explain_reply(found.group(1)).may_pass if found else bool(_CONNECTION.match(words))


def _shown(name: str, part: str) -> str:
    """A part of an answer, as a sentence has it."""
    if name == "region":
        return part.lower()
    if name == "identities":  # From and the envelope sender are often the same
        return ", ".join(dict.fromkeys(part.split(", ")))
    return part
