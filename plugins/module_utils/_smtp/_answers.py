# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""A server's refusal, in words for the operator: its answer without secrets, its meaning, the remedy."""

from __future__ import annotations

import base64
import typing as t

from .._ses._mail_manager import is_mail_manager_host
from .._ses._smtp_password import find_password_version
from ._client import Reply
from ._login_mistakes import explain_rejection, has_access_key
from ._outcome import LoginRefused
from ._replies import UNKNOWN_REPLY, explain_reply
from ._server import SmtpLogin, SmtpServer

__all__ = ("login_answered", "message_answered", "server_answered", "shown")

_HIDDEN = "***"
_WINDOW = 8  # characters; so many in a row are no coincidence
_LONGEST_ANSWER = 600  # characters; SES's longest has 521
_LOGIN_REJECTED = 535  # RFC 4954, whatever the text


def server_answered(server: SmtpServer, reply: Reply, to: str = "") -> LoginRefused:
    """The server refuses before it was told a user name; ``to`` is the command it answers."""
    return _answered(server, reply, (), to)


def login_answered(login: SmtpLogin, reply: Reply) -> LoginRefused:
    """The server refuses this user name and password. The login's diagnosis is in the message."""
    secrets = _secrets_of(login)
    if reply.code != _LOGIN_REJECTED:
        return _answered(login.server, reply, secrets)
    if is_mail_manager_host(login.server.host):
        # How it words a refusal is not known, so that its code decides.
        text, may_pass = explain_rejection(login)
        answer = shown(reply, secrets)
        said = f'{login.server} answered "{answer}". {text}'
        return LoginRefused(login.server, "credentials_invalid", said, answer, may_pass)
    reason = explain_reply(_one_line(reply)).reason
    if reason == "not_subscribed":
        return _answered(login.server, reply, secrets)
    if reason == "version_2" or find_password_version(login.password) == 2:
        of_version_2 = explain_reply("535 Signature Version 2")
        texts, may_pass = [of_version_2.text, login.diagnosis], False
        reason = of_version_2.reason
    else:
        text, may_pass = explain_rejection(login)
        texts = [text]
        if reason == UNKNOWN_REPLY:
            texts = ["This text is in no list of SES's answers; its code rejects the login", text]
        reason = "credentials_invalid"
    answer = shown(reply, secrets)
    words = [f'{login.server} answered "{answer}"', *filter(None, texts)]
    return LoginRefused(login.server, reason, ". ".join(words), answer, may_pass)


def message_answered(login: SmtpLogin, reply: Reply, to: str) -> LoginRefused:
    """The server refuses a message after the login; ``to`` is the command it answers."""
    return _answered(login.server, reply, _secrets_of(login), to)


def _secrets_of(login: SmtpLogin) -> list[str]:
    """Return what no text may show of a login: a server may echo it."""
    username, password = login.username, login.password
    sent = f"\0{username}\0{password}".encode("utf-8", "replace")
    secrets = [password, base64.b64encode(sent).decode("ascii")]
    # Who mixes them up has the secret here.
    if not has_access_key(username):
        secrets.append(username)
    return secrets


def shown(reply: Reply, secrets: t.Iterable[str]) -> str:
    """Return ``reply`` on one line, without words in which a part of a secret may be.

    Parts of its base64 forms count too: a server may echo the command that it refuses.
    """
    return _redacted(_one_line(reply), secrets)[:_LONGEST_ANSWER]


def _answered(
    server: SmtpServer, reply: Reply, secrets: t.Sequence[str], to: str = ""
) -> LoginRefused:
    """Explain a reply whose meaning does not depend on user name and password."""
    answer = shown(reply, secrets)
    found = explain_reply(_one_line(reply), lambda part: _redacted(part, secrets))
    said = f'{server} answered "{answer}"' + (f" to {to}" if to else "")
    return LoginRefused(server, found.reason, f"{said}. {found.text}", answer, found.may_pass)


def _one_line(reply: Reply) -> str:
    return f"{reply.code} {' '.join(reply.text.split())}".strip()


def _redacted(text: str, secrets: t.Iterable[str]) -> str:
    windows = {window for secret in secrets for form in _forms(secret) for window in _parts(form)}
    return " ".join(
        _HIDDEN if any(window in word.lower() for window in windows) else word
        for word in text.split(" ")
    )


def _forms(secret: str) -> t.Iterator[str]:
    raw = secret.encode("utf-8", "replace")
    yield from secret.lower().split()
    for before in range(3):  # base64 depends on where the secret begins in the text
        yield base64.b64encode(b"\0" * before + raw).decode("ascii").lower()


def _parts(form: str) -> t.Iterator[str]:
    size = min(_WINDOW, len(form))
    return (form[start : start + size] for start in range(len(form) - size + 1))
