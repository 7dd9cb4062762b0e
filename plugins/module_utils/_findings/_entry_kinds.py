# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The catalogue's findings about entries of password maps."""

from __future__ import annotations

from dataclasses import replace

from ._finding import Kind

__all__ = [
    "ANY_REGION",
    "IGNORED_LINE",
    "IGNORED_LINE_NOT_COMPILED",
    "NO_ENTRY",
    "NO_ENTRY_BUT_A_SIMILAR_ONE",
    "OTHER_REGION",
    "RAW_SECRET",
    "REPEATED_KEY",
    "REPEATED_KEY_NOT_COMPILED",
    "SHADOWED_ENTRY",
    "UNUSED_ENTRY",
    "UNUSED_SENDER",
    "USERNAME_NOT_ACCESS_KEY",
    "USERNAME_NOT_INGRESS_ENDPOINT",
    "USERNAME_OF_OTHER_KEY",
    "VERSION_2_PASSWORD",
    "name_entry",
]

#: In place of a region that nothing on the host tells.
ANY_REGION = "the region of the server"

_DERIVE = (
    "run mailops.ses.postfix_relay or mailops.ses.postfix_sasl_passwd with access_key, secret_key"
    " and region"
)
_DERIVE_AGAIN = f"To derive the password again for {{region}}, {_DERIVE}"
_REMOVE = "mailops.ses.postfix_sasl_passwd with state=absent"
_COMPILE = "Then run: postmap {table}"
_RELOAD = "Then run: postfix reload"
_NOT_COMPILED = "The same, in a source that is not compiled, which has the type texthash."
_ADD = (
    "Add an entry with the lookup key {key}: run mailops.ses.postfix_relay or"
    " mailops.ses.postfix_sasl_passwd"
)

VERSION_2_PASSWORD = Kind(
    "version_2_password",
    "warning",
    "An SMTP password has version 2, which is not bound to a region. SES increasingly rejects"
    " these.",
    "{entry}: version 2 password (not bound to a region); SES increasingly rejects these",
    _DERIVE_AGAIN,
)
RAW_SECRET = Kind(
    "raw_secret",
    "critical",
    "A secret access key is stored as the password. SES rejects it, and it must not be on a"
    " managed host.",
    "{entry}: the password has the form of a secret access key. SES rejects it as an SMTP password,"
    " and it must not be on this host",
    "Create a new access key, because everyone who could read this file knows this one. With the"
    f" new one, {_DERIVE} ({{region}}). Then delete the old one",
)
USERNAME_NOT_ACCESS_KEY = Kind(
    "username_not_access_key",
    "critical",
    "The user name of an entry for SES is not the access key ID of an IAM user. SES rejects it.",
    "{entry}: {problem}",
    f"To replace user name and password, {_DERIVE}",
)
USERNAME_NOT_INGRESS_ENDPOINT = Kind(
    "username_not_ingress_endpoint",
    "critical",
    "The user name of an entry for Mail Manager is an access key ID. Mail Manager rejects it,"
    " because its logins are chosen for an ingress endpoint.",
    "{entry}: the user name {username} is an access key ID. Mail Manager rejects it",
    "Run mailops.ses.postfix_relay or mailops.ses.postfix_sasl_passwd with username (the ID of the"
    " ingress endpoint, inp-...), password and endpoint. If the access key was to be used, give"
    " region instead of endpoint",
)
OTHER_REGION = Kind(
    "other_region",
    "critical",
    "An SMTP password was derived for another region than the server's. SES rejects it. Found only"
    " with the option candidates.",
    "{entry}: the password is that of {access_key} for {derived_for}, and is rejected in {region}",
    _DERIVE_AGAIN,
)
USERNAME_OF_OTHER_KEY = Kind(
    "username_of_other_key",
    "critical",
    "The user name is another access key ID than the one that the password belongs to. SES rejects"
    " it. Found only with the option candidates.",
    "{entry}: the user name is {username}, but the password belongs to {access_key}. SES rejects"
    " this login",
    _DERIVE_AGAIN,
)
SHADOWED_ENTRY = Kind(
    "unused_entry",
    "warning",
    "Postfix never uses an entry, because it finds another one with a different login first.",
    "{entry}: never used, because Postfix finds the entry {first!r} before it",
    f"Find out which of the two logins is right, and remove the other entry ({_REMOVE})",
)
UNUSED_SENDER = Kind(
    "unused_entry",
    "notice",
    "Postfix never uses the entry for a sender, because smtp_sender_dependent_authentication is not"
    " yes.",
    "{entry}: never used, because the lookup key is a sender and"
    " smtp_sender_dependent_authentication is not yes",
    "Set smtp_sender_dependent_authentication = yes in main.cf and run: postfix reload. If senders"
    f" need no logins of their own, remove the entry ({_REMOVE})",
)
UNUSED_ENTRY = Kind(
    "unused_entry",
    "notice",
    "Postfix never uses an entry, because it relays no mail to this server.",
    "{entry}: never used, because no mail is relayed to this server",
    f"Remove the entry ({_REMOVE}), and deactivate its access key or ingress endpoint if nothing"
    " else uses it",
)
NO_ENTRY = Kind(
    "no_entry",
    "critical",
    "Postfix finds no login for an SES endpoint. It sends the mail without one, and SES rejects"
    " it.",
    "Postfix finds no login for {key} and sends the mail without one",
    _ADD,
    blocks=True,
)
NO_ENTRY_BUT_A_SIMILAR_ONE = Kind(
    "no_entry",
    "critical",
    "Postfix finds no login for a server, although there is an entry for the same name. For"
    " example, the port is missing in the lookup key.",
    "Postfix finds no login for {key} and sends the mail without one. There is an entry for"
    " {similar!r}, but Postfix looks up {host!r} and then {key!r}",
    _ADD,
    blocks=True,
)
IGNORED_LINE = Kind(
    "line_ignored",
    "warning",
    "A line of a source is not an entry. Postfix ignores it.",
    "Line {line}: not an entry; Postfix ignores it",
    "Correct the line, or remove it. An entry is the lookup key, white space, and USERNAME:PASSWORD."
    f" {_COMPILE}",
)
IGNORED_LINE_NOT_COMPILED = replace(
    IGNORED_LINE,
    meaning=_NOT_COMPILED,
    remedy=IGNORED_LINE.remedy.replace(_COMPILE, _RELOAD),
)
REPEATED_KEY = Kind(
    "repeated_key",
    "warning",
    "A source has several entries with one lookup key. Postfix uses the first.",
    "Line {line}: the lookup key {key!r} occurs before; Postfix uses the first entry only",
    f"Find out which of the entries is right, and remove the other line. {_COMPILE}",
)
REPEATED_KEY_NOT_COMPILED = replace(
    REPEATED_KEY,
    meaning=_NOT_COMPILED,
    remedy=REPEATED_KEY.remedy.replace(_COMPILE, _RELOAD),
)


def name_entry(line: int | None, key: str) -> str:
    """Return how messages name an entry, which has no line if only the compiled table has it."""
    return f"Line {line}" if line else f"The entry {key!r} of the compiled table"
