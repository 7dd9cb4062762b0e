# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What Postfix's SMTP client looks up in its password maps, and in which order.

Source: smtp_sasl_glue.c. It looks for the sender, with smtp_sender_dependent_authentication only;
the bare name of the server; the destination as written. For each key it asks all maps in turn.
"""

from __future__ import annotations

import re

from ._map_entry import fold

__all__ = ["SENDERS_OWN", "find_bare_host", "list_login_keys", "list_sender_keys"]

#: The setting that has the client look for the sender first.
SENDERS_OWN = "smtp_sender_dependent_authentication"
_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::[^:\[\]]+)?\Z")


def list_login_keys(host: str, destination: str, sender: str | None = None) -> tuple[str, ...]:
    """The lookup keys for a server, as its name and as written, like [name]:587, in their order.

    `sender` is an address or @domain, and given only if the client looks for it.
    """
    keys = (*(list_sender_keys(sender) if sender else ()), host, destination)
    return tuple(dict.fromkeys(keys))


def list_sender_keys(sender: str) -> tuple[str, ...]:
    """The lookup keys for a sender, an address or @domain. Source: mail_addr_find.c."""
    return tuple(dict.fromkeys((sender, "@" + sender.rpartition("@")[2])))


def find_bare_host(key: str, utf8: bool) -> bytes | None:
    """The folded key that comes before `[host]:port`; None for other keys."""
    match = _BRACKETED.match(key)
    if not match:
        return None
    first, *_rest = list_login_keys(match.group(1), key)
    return fold(first.encode(), utf8)
