# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What a server's answer to a login means, and the remedy.

Source: Amazon SES developer guide, "Troubleshooting SMTP" and "SMTP response codes"
(https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html).
"""

from __future__ import annotations

import base64
import re
import typing as t

from .._ses._secret_mistakes import has_iam_form
from .._ses._smtp_password import password_version
from ._client import Reply
from ._outcome import LoginRefused
from ._server import SmtpLogin, SmtpServer

__all__ = ("login_answered", "server_answered", "shown")

_HIDDEN = "***"
_WINDOW = 8  # characters; so many in a row are no coincidence
_LONGEST_ANSWER = 500  # characters
_ACCESS_KEY_ID = re.compile(r"[A-Z0-9]{16,128}")


def server_answered(server: SmtpServer, reply: Reply) -> LoginRefused:
    """The server refuses before it was told a user name."""
    return _answered(server, reply, ())


def login_answered(login: SmtpLogin, reply: Reply) -> LoginRefused:
    """The server refuses this user name and password. The login's diagnosis is in the message."""
    server, username, password = login.server, login.username, login.password
    sent = f"\0{username}\0{password}".encode("utf-8", "replace")
    secrets = [password, base64.b64encode(sent).decode("ascii")]
    # Who mixes them up has the secret here.
    if not _ACCESS_KEY_ID.fullmatch(username):
        secrets.append(username)
    if reply.code != 535:
        return _answered(server, reply, secrets)
    text = reply.text.lower()
    if "not subscribed" in text:
        reason, may_pass = "not_subscribed", False
        meaning = (
            "The AWS account of this access key has not signed up for SES: open SES in that "
            "account's console, in the region of the host, or use a key of the right account"
        )
    elif "signature version 2" in text or password_version(password) == 2:
        reason, may_pass = "version_2", False
        meaning = (
            "The password is one of version 2, which SES has been rejecting since 2021. Derive "
            "one of version 4, with the region: give access_key, secret_key and region"
        )
    else:
        reason = "credentials_invalid"
        mistake = _mistake(username, password)
        may_pass = mistake is None
        meaning = mistake or (
            f"Usual causes: the password is for another region than that of {server.host}; the "
            "access key was deactivated or deleted; the password belongs to another access key, "
            "or was derived from something else than its secret; or the key is new, and SES knows "
            "it only after half a minute (retries helps)"
        )
    if login.diagnosis and reason in ("credentials_invalid", "version_2"):
        meaning = f"{meaning}. {login.diagnosis}"
    answer = shown(reply, secrets)
    return LoginRefused(
        server, reason, f'{server} answered "{answer}". {meaning}', answer, may_pass
    )


def shown(reply: Reply, secrets: t.Iterable[str]) -> str:
    """Return ``reply`` on one line, without words in which a part of a secret may be.

    Parts of its base64 forms count too: a server may echo the command that it refuses.
    """
    windows = {window for secret in secrets for form in _forms(secret) for window in _parts(form)}
    words = [
        _HIDDEN if any(window in word.lower() for window in windows) else word
        for word in reply.text.split()
    ]
    return f"{reply.code} {' '.join(words)}".strip()[:_LONGEST_ANSWER]


def _mistake(username: str, password: str) -> str | None:
    """Tell what makes SES refuse a user name or a password of this shape for ever, if it does."""
    if not _ACCESS_KEY_ID.fullmatch(username):
        return (
            "The user name is no access key ID. The SMTP user name is the ID of the access key "
            "(AKIA...), neither the name of the IAM user nor an e-mail address"
        )
    if username.startswith("ASIA"):
        return (
            "The user name begins with ASIA: temporary credentials can't be used over SMTP. "
            "Create an access key for an IAM user"
        )
    if any(character.isspace() for character in password):
        return "The password contains white space, which no SES password has. Store it without"
    if has_iam_form(password):
        return (
            "The password looks like a secret access key. SES wants the password that is derived "
            "from it: give the secret access key as secret_key, with access_key and region"
        )
    if password_version(password) is None:
        return (
            "The password is none of SES: those have 44 characters and are derived from a secret "
            "access key. Give that as secret_key, with access_key and region"
        )
    return None


def _answered(server: SmtpServer, reply: Reply, secrets: t.Iterable[str]) -> LoginRefused:
    """Explain a reply whose meaning does not depend on user name and password."""
    text = reply.text.lower()
    answer = shown(reply, secrets)
    if "throttling" in text:
        daily = "daily" in text
        remedy = (
            "The account has sent all that it may in 24 hours: wait, or ask AWS for a higher quota"
            if daily
            else "The account sends or logs in faster than it may: slow down, or try again later"
        )
        reason, may_pass = "throttled", not daily
    elif reply.code == 421:
        reason, may_pass = "too_many_connections", True
        remedy = "The server takes no more connections now: close some, or try again later"
    elif reply.code // 100 == 4:
        reason, may_pass = "temporary_failure", True
        remedy = "The failure is the server's and temporary: try again later"
    else:
        reason, may_pass = "answer", False
        remedy = (
            "SES gives no such answer to a login: is this another server, or something between?"
        )
    return LoginRefused(server, reason, f'{server} answered "{answer}". {remedy}', answer, may_pass)


def _forms(secret: str) -> t.Iterator[str]:
    raw = secret.encode("utf-8", "replace")
    yield from secret.lower().split()
    for before in range(3):  # base64 depends on where the secret begins in the text
        yield base64.b64encode(b"\0" * before + raw).decode("ascii").lower()


def _parts(form: str) -> t.Iterator[str]:
    size = min(_WINDOW, len(form))
    return (form[start : start + size] for start in range(len(form) - size + 1))
