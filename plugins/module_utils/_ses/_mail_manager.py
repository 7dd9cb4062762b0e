# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Mail Manager, the second SMTP system of Amazon SES: its hosts, user names and ports.

Its logins are chosen, not derived from an access key. Pure functions.

Source: Amazon SES developer guide, "Ingress endpoints" and "Obtaining Amazon SES SMTP credentials"
(https://docs.aws.amazon.com/ses/latest/dg/eb-ingress.html).
"""

from __future__ import annotations

import re

from ._regions import DOMAINS

__all__ = (
    "IAM",
    "MAIL_MANAGER",
    "MAIL_MANAGER_ACCEPTS",
    "MAIL_MANAGER_PORTS",
    "MAIL_MANAGER_WITHOUT_WRAPPER",
    "explain_not_derived",
    "find_mail_manager_mistake",
    "is_ingress_endpoint",
    "is_mail_manager_host",
)

#: The names of the two systems in results.
IAM, MAIL_MANAGER = "iam", "mail_manager"
#: All of them for STARTTLS, the usual one first.
MAIL_MANAGER_PORTS = (587, 25)
#: What an answer of 250 means there, to follow "accepted".
MAIL_MANAGER_ACCEPTS = (
    "Mail Manager accepts a message before its rules are applied. A rule may still drop it"
)
MAIL_MANAGER_WITHOUT_WRAPPER = (
    "Mail Manager does not support TLS from the first byte (ports 465 and 2465, tls 'wrapper')"
)

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_DOMAIN = "|".join(map(re.escape, DOMAINS))
_HOST = re.compile(
    rf"(?:{_LABEL}\.)+mail-manager-smtp\.(?:{_LABEL}\.)?(?:{_DOMAIN})\.?", re.IGNORECASE
)
_INGRESS_ENDPOINT = re.compile(r"inp-[A-Za-z0-9]+")
# What the API accepts for a password that is chosen.
_PASSWORD = re.compile(r"[A-Za-z0-9!@#$%^&*()_+\-=\[\]{}|.,?]{8,64}")


def is_mail_manager_host(host: str) -> bool:
    """Return whether ``host`` is the name of a Mail Manager ingress endpoint."""
    return _HOST.fullmatch(host) is not None


def is_ingress_endpoint(username: str) -> bool:
    """Return whether a user name has the form of an ingress endpoint's ID."""
    return _INGRESS_ENDPOINT.fullmatch(username) is not None


def explain_not_derived(what: str) -> str:
    """Return why there is no password to derive for ``what``, and what to do."""
    return (
        f"{what} is an ingress endpoint of Mail Manager, whose password is chosen when it is"
        " created, and is not derived from an access key. Give username (the ID of the ingress"
        " endpoint, inp-...) and password instead of access_key and secret_key"
    )


def find_mail_manager_mistake(username: str, password: str) -> str | None:
    """Tell what makes Mail Manager refuse a login of this shape for ever, None if nothing does."""
    if not _INGRESS_ENDPOINT.fullmatch(username):
        return (
            "The user name is not the ID of an ingress endpoint (inp-...), which is the user name"
            " for Mail Manager. An access key ID is for SES's other SMTP system"
        )
    if any(character.isspace() for character in password):
        return "The password contains white space, which no password of Mail Manager has"
    if not _PASSWORD.fullmatch(password):
        return (
            "Mail Manager has passwords of 8 to 64 letters, digits and !@#$%^&*()_+-=[]{}|.,? only,"
            " and this is none"
        )
    return None
