# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Why mail waits, made fit to be shown: what a server or Postfix says, without addresses and secrets."""

from __future__ import annotations

import re

from ._redaction import REDACTED, is_harmless, redact_message

__all__ = ["redact_reply"]

_LONGEST = 300
_MARKS = "(),;:.'\"<>"
_CODE = re.compile(r"[245]\d\d|[245]\.\d{1,3}\.\d{1,3}")
_SERVER = re.compile(
    r"(?:name=)?([\w.-]{1,255}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?:\[[0-9A-Fa-f.:]{2,45}\])?(?::\d{1,5})?"
)
_TYPE = re.compile(r"type=[A-Z]{1,5}")
# What Postfix's SMTP client and SES say: smtp_*.c, the SES developer guide, "Troubleshooting SMTP".
_USUAL_WORDS = """
    a accepted access action address after again all an and any are as at attempt auth authenticate
    authenticating authenticated authentication authorized available bad be because been but by cannot certificate
    check client closed code command concurrent configuration connect connecting connection
    connections could credentials daily data deferred delivery denied deprecated did does domain
    ehlo email end error exceeded expired failed failure following for found from full greeting
    greylisted handshake has have helo host identities identity in initial internal invalid is issue
    issuer it later limit local lookup lost mail many matching maximum mechanism mechanisms
    message messages must mx name network no not of offered on only or out over perform performing
    permitted policy queue quota rate rcpt read receiving recipient refused region rejected relay reply
    require required reset resources route said sasl sender sending sent server service session
    signature size smtp soon space starttls storage subscribed such support supported suspended
    system talk talking temporarily temporary that the then this throttling timed timeout tls to too transport
    trusted try unable unavailable unknown unreachable untrusted use user user's verification
    verified verify version wait was when while with within you your
"""
_WORDS = frozenset(_USUAL_WORDS.split())


def redact_reply(text: str) -> str:
    """The reason in one line of limited length. Words that are not usual in it are replaced."""
    shown: list[str] = []
    for word in text[: 4 * _LONGEST].split():
        bare = word.strip(_MARKS)
        if not bare or _is_usual(bare):
            shown.append(word)
        elif shown[-1:] != [REDACTED]:
            shown.append(REDACTED)
    line = " ".join(shown)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def _is_usual(word: str) -> bool:
    if word.lower() in _WORDS or _CODE.fullmatch(word) or _TYPE.fullmatch(word):
        return True
    server = _SERVER.fullmatch(word)
    if server and re.search("[.:]", server.group(1)):
        return is_harmless(server.group(1))
    return redact_message(word) == word
