# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What people give instead of a secret access key, known by its form, and the remedy."""

from __future__ import annotations

import base64
import binascii
import json
import re

__all__ = (
    "HOW_TO_TAKE",
    "find_mistake",
    "find_mistake_of_password",
    "has_iam_form",
    "locate_white_space",
    "warn_of_form",
)

_HOW_TO_STORE = (
    "Store it without: `ansible-vault encrypt_string --stdin-name NAME` with Ctrl-D pressed twice "
    "and no Enter, or a plain YAML scalar instead of a '|' block"
)
#: What to do with a dict or a list that has the secret in it.
HOW_TO_TAKE = "Take the secret out of it, like `.secret_access_key`"

# 40 times X is a mask.
_IAM_SECRET = re.compile(r"(?![Xx]{40})[A-Za-z0-9/+]{40}")
# Printable ASCII from end to end, no "$" of a variable that was not expanded.
_PRINTABLE = re.compile(r"(?!\$)[!-~]+")
_ACCESS_KEY = re.compile(r"A[KS]IA[A-Z0-9]{16}")

# Each is searched for in the text without the white space around it.
_ENCRYPTED_BY_VAULT = r"\A\$ANSIBLE_VAULT;"
_ENCRYPTED_BY_OTHERS = r"\AENC\["
_PEM_BLOCK = r"\A-----BEGIN "
_TEMPLATE = r"\{\{|\{%|\A\$[{(]"
_WITH_ID = r"(?i)\AA[KS]IA[A-Z0-9]{12,124}\s*[:,;\s]|\A\W*access key id\b"
# Not the "=" at the end of base64.
_WITH_NAME = r"(?im)^\s*(?:export\s+|set\s+)?[\w.-]*(?:secret|key)[\w.-]*\s*[=:]\s*[^\s=]"
_ARN = r"\Aarn:"
_ADDRESS = r"\A[A-Za-z][A-Za-z0-9+.-]*://"
_MASK = (
    r"(?i)\A(?:VALUE_SPECIFIED_IN_NO_LOG_PARAMETER|\*+|x{3,}|\$REDACTED\$"
    r"|[<\[(*]*(?:redacted|masked|hidden|sensitive(?: value)?)[>\])*]*)\Z"
    r"|\Athe output has been hidden"
)
_NO_VALUE = r"(?i)\A(?:none|null|nil|undefined|nan|true|false|~|__omit_place_holder__\w*)\Z"
_PLACEHOLDER = (
    r"(?i)\A(?:<[^<>]*>|(?:please[-_ ]?)?(?:change|replace|fill)[-_ ]?(?:me|this|it|in)\b.*"
    r"|(?:your|my|insert|enter|paste)[-_ ].*|todo|tbd|fixme|placeholder)\Z"
)
_PERCENT_ENCODED = r"(?i)%2[BF]"

_MISTAKES = {
    _ENCRYPTED_BY_VAULT: (
        "is still encrypted by ansible-vault. Mark it with !vault in the YAML file, or read the "
        "vaulted file with vars_files instead of a lookup without decryption"
    ),
    _ENCRYPTED_BY_OTHERS: (
        "is still encrypted, by sops or by eyaml. Decrypt it first, for example with "
        "community.sops.load_vars"
    ),
    _PEM_BLOCK: (
        "is a PEM block, such as a private key or an encrypted message. Give the secret access key "
        "of an IAM user"
    ),
    _TEMPLATE: (
        "has a template in it: the template was not rendered. Ansible renders no template in a "
        "value that comes from a file, a lookup or a module. Write the template into the playbook "
        "or its variables"
    ),
    _WITH_ID: (
        "is an access key ID and its secret in one text. Give the ID as access_key, and only the "
        "secret as secret_key"
    ),
    _WITH_NAME: (
        "has its name before it, as in a file of settings. Give only the value, without the name"
    ),
    _ARN: (
        "is an ARN, the name of a secret and not its value. Look up the value, for example with "
        "amazon.aws.secretsmanager_secret"
    ),
    _ADDRESS: (
        "is the address of a secret and not its value. Look up the value with the lookup plugin of "
        "the store that has it"
    ),
    _MASK: (
        "is what a program shows in place of a secret. It was taken from an output. Take it from "
        "where it is stored"
    ),
    _NO_VALUE: (
        "is the text of a variable that has no value. Check the variable, or the lookup, that "
        "should hold the secret"
    ),
    _PLACEHOLDER: "is a placeholder. Replace it with the secret access key of an IAM user",
    _PERCENT_ENCODED: ("is percent-encoded, as it is in a URL. Decode it with `| urldecode`"),
}
#: What no password can be meant by, whatever server it is for.
_OF_ANY_SECRET = (
    _ENCRYPTED_BY_VAULT,
    _ENCRYPTED_BY_OTHERS,
    _TEMPLATE,
    _ARN,
    _ADDRESS,
    _MASK,
    _NO_VALUE,
)


def has_iam_form(text: str) -> bool:
    """Return whether ``text`` has the form of every secret access key that IAM makes."""
    return _IAM_SECRET.fullmatch(text) is not None


def find_mistake(secret_key: str) -> str | None:
    """Return what is wrong with ``secret_key`` and the remedy, to follow its name; None if nothing.

    The text has no part of the secret. That a text is no known mistake does not make it a secret:
    see warn_of_form().
    """
    if has_iam_form(secret_key):
        return None
    text = secret_key.strip()
    for form, mistake in _MISTAKES.items():
        if re.search(form, text):
            return mistake
    if text[:1] in ("{", "["):
        return _mistake_of_structure(text)
    if _is_encoded(text):
        return "is the base64 text of a secret. Decode it with `| b64decode | trim`"
    place = locate_white_space(secret_key)
    if place:
        # What trim removes is what strip() does.
        trim = "" if not text or locate_white_space(text) else ". Or remove it with `| trim`"
        return f"has white space {place}. {_HOW_TO_STORE}{trim}"
    if _ACCESS_KEY.fullmatch(secret_key):
        return (
            "is an access key ID, not the secret. The ID is the SMTP user name; "
            "the secret access key that belongs to it is expected here"
        )
    if secret_key[:1] in ("'", '"'):
        return "begins with a quotation mark. Store it without the quotes"
    if not _PRINTABLE.fullmatch(secret_key):
        return (
            "contains a character that no secret access key has: one outside printable "
            "ASCII, or a '$' in first place. Copy it again from where AWS shows it"
        )
    return None


def find_mistake_of_password(password: str) -> str | None:
    """Return what is wrong with an SMTP password, as find_mistake() does; None if nothing is known.

    Only of what is no password of any server: which one it is for, nobody can tell here.
    """
    text = password.strip()
    return next((_MISTAKES[form] for form in _OF_ANY_SECRET if re.search(form, text)), None)


def warn_of_form(secret_key: str) -> str | None:
    """Return what to warn of if ``secret_key`` has not the form of IAM's secrets, else None.

    It may be right all the same: published examples have other lengths.
    """
    if has_iam_form(secret_key):
        return None
    return (
        "secret_key does not look like the secret access key of an IAM user, which has 40 "
        "characters: letters, digits, '/' and '+'. SES refuses the password of a wrong secret. "
        "Check the value"
    )


def locate_white_space(text: str) -> str | None:
    """Tell where ``text`` has white space, None if nowhere."""
    visible = [i for i, character in enumerate(text) if not _is_white_space(character)]
    if len(visible) == len(text):
        return None
    if not visible:
        return "in place of a value"
    first, last = visible[0], visible[-1]
    places = []
    if first > 0:
        places.append("before it")
    if last + 1 < len(text):
        places.append("after it (a newline at the end)" if text.endswith("\n") else "after it")
    if len(visible) < last + 1 - first:
        newline = "\n" in text[first:last]
        places.append("inside it (a newline)" if newline else "inside it")
    return " and ".join(places)


def _is_white_space(character: str) -> bool:
    # What is not seen on a screen counts too: a pasted zero-width space, a file's BOM.
    return character.isspace() or character in "\u200b\u2060\ufeff"


def _mistake_of_structure(text: str) -> str:
    try:
        json.loads(text)
    except ValueError:
        kind = "dict" if text[0] == "{" else "list"
        return f"is the text of a {kind}. Don't make text of it. {HOW_TO_TAKE}"
    return f"is JSON text. Parse it with `| from_json`. {HOW_TO_TAKE}"


def _is_encoded(text: str) -> bool:
    """Return whether ``text`` is base64 of a secret, perhaps with a newline."""
    try:
        decoded = base64.b64decode(f"{text}==")  # more padding than there has to be does no harm
        return has_iam_form(decoded.decode().strip())
    except (binascii.Error, ValueError):
        return False
