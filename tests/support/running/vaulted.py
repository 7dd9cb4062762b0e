# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ansible-vault makes of a text, without the half a second that the program takes.

The program itself is test_vault_and_warnings.py's.
"""

from __future__ import annotations

from ansible.parsing.vault import VaultLib, VaultSecret


def vaulted(text: str, password: str) -> str:
    """A vault's file with this ``text``; of the ``password``, white space at its ends is no part."""
    secret = VaultSecret(password.strip().encode())
    encrypted: bytes = VaultLib().encrypt(text, secret)
    return encrypted.decode("ascii")


def inline(text: str, password: str, spaces: int) -> str:
    """The same as an inline value in YAML, its lines indented by ``spaces``."""
    lines = ["!vault |", *vaulted(text, password).splitlines()]
    return ("\n" + " " * spaces).join(lines) + "\n"
