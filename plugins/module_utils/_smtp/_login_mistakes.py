# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Why SES rejects a user name and a password, as far as their shape and the controller tell."""

from __future__ import annotations

import re
import typing as t

from .._ses._mail_manager import find_mail_manager_mistake, is_mail_manager_host
from .._ses._secret_mistakes import has_iam_form
from .._ses._smtp_password import find_password_version

if t.TYPE_CHECKING:
    from ._server import SmtpLogin

__all__ = ("explain_rejection", "has_access_key", "usual_causes")

# AWS's documentation of ingress endpoints; no transcript of such a refusal is known.
_USUAL_CAUSES_AT_MAIL_MANAGER = (
    "Mail Manager rejects this login. Usual causes: the password is not the one that was chosen for"
    " this ingress endpoint, or it was changed there and the previous one has expired; the user name"
    " is the ID of another ingress endpoint than the one that has this host; or the ingress endpoint"
    " is deactivated or deleted, or is not of the type that accepts logins. Look at it in the SES"
    " console, under Mail Manager"
)
_ACCESS_KEY_ID = re.compile(r"[A-Z0-9]{16,128}")


def explain_rejection(login: SmtpLogin) -> tuple[str, bool]:
    """Tell the causes of the answer 535 to a login, and whether the same login may pass later.

    The login's diagnosis, where it has one, rules causes out: then the usual ones are not named.
    """
    if is_mail_manager_host(login.server.host):
        mistake = find_mail_manager_mistake(login.username, login.password)
        return (mistake or _USUAL_CAUSES_AT_MAIL_MANAGER), mistake is None
    mistake = _mistake(login.username, login.password)
    if mistake is None:
        return login.diagnosis or usual_causes(login.server.host), True
    return ". ".join(filter(None, [mistake, login.diagnosis])), False


def usual_causes(host: str) -> str:
    """Return what makes SES at ``host`` reject a login in which nothing looks wrong."""
    return (
        f"Usual causes: the password is for another region than that of {host}; the access key was"
        " deactivated or deleted; the password belongs to another access key, or was derived from"
        " something else than its secret; or the key is new, and SES knows it only after half a"
        " minute (retries helps)"
    )


def has_access_key(username: str) -> bool:
    """Return whether a user name has the form of an access key ID."""
    return _ACCESS_KEY_ID.fullmatch(username) is not None


def _mistake(username: str, password: str) -> str | None:
    """Tell what makes SES refuse a user name or a password of this shape for ever, if it does."""
    if not has_access_key(username):
        return (
            "The user name is not an access key ID. The SMTP user name is the ID of the access key "
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
            "The password looks like a secret access key. SES expects the password that is derived "
            "from it: give the secret access key as secret_key, with access_key and region"
        )
    if find_password_version(password) is None:
        return (
            "The password is not an SMTP password of SES, which has 44 characters and is derived from "
            "a secret access key. Give that as secret_key, with access_key and region"
        )
    return None
