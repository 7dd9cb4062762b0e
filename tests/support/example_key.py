# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AWS's public example key, the published test vectors, and how to look for a secret in a text."""

from __future__ import annotations

import base64
import json
import re
import typing as t
from pathlib import Path
from urllib.parse import quote

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

#: A login for Mail Manager, whose password has characters of every kind that is accepted there.
MAIL_MANAGER = {
    "username": "inp-1a2b3c4d5e6f7g8h9i",
    "password": "Sesame=[open]{8}|#$%&",
    "endpoint": "abcdefgh.ijklmnop.mail-manager-smtp.amazonaws.com",
}

VECTORS_FILE = Path(__file__).with_name("vectors.json")
_CONTENT = json.loads(VECTORS_FILE.read_text(encoding="utf-8"))
#: Rows with version, secret_access_key, region (None for version 2) and smtp_password.
VECTORS: list[dict[str, t.Any]] = _CONTENT["vectors"]
#: Rows with mistake, secret_access_key, region and wrong_smtp_password.
MISTAKES: list[dict[str, t.Any]] = _CONTENT["mistakes"]

#: Of the example key, by region; the last two have a "/", the last also a "+".
PASSWORD_OF = {
    row["region"]: row["smtp_password"] for row in VECTORS if row["secret_access_key"] == SECRET_KEY
}


def spellings(secret: str) -> set[str]:
    """Return the forms in which ``secret`` may stand in a text from which white space is removed.

    Base64 of a text that holds the secret has three forms, by where the secret begins in it; each
    is cut to the characters that depend on the secret alone.
    """
    raw = secret.encode("utf-8")
    forms = {secret, quote(secret, safe=""), quote(secret), raw.hex()}
    forms.add(json.dumps(secret)[1:-1])
    forms.add(re.sub(r"[^A-Za-z0-9]", lambda found: f"\\u{ord(found.group()):04x}", secret))
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode("ascii").rstrip("=")
        whole = (before + len(raw)) * 8 // 6
        forms.add(encoded[-(-before * 8 // 6) : whole])
    return {re.sub(r"\s", "", form) for form in forms}


def found_in(text: str, secrets: t.Iterable[str]) -> list[str]:
    """Return the spellings of ``secrets`` in ``text``, however it is wrapped and coloured."""
    bare = re.sub(r"\x1b\[[0-9;]*m|\s", "", text)
    return sorted(
        form for secret in secrets for form in spellings(secret) if form.lower() in bare.lower()
    )


def longest_common_part(text: str, secret: str) -> str:
    """Return the longest piece of ``secret`` that occurs in ``text``."""
    pieces = (
        secret[start:end]
        for start in range(len(secret))
        for end in range(start + 1, len(secret) + 1)
    )
    return max((piece for piece in pieces if piece in text), key=len, default="")
