# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the action plugins hand over, for tests that run a module without its action plugin.

Written from the format's description, not with the collection's code. What an entry or a login
lacks has the usual value.
"""

from __future__ import annotations

import json
import typing as t

FORMAT_VERSION = 1

Given = t.Mapping[str, t.Any]


def payload(module: str, content: t.Any, **changes: t.Any) -> str:
    """The payload for a module; ``changes`` are to its other parts."""
    parts = {"module": f"mailops.ses.{module}", "version": FORMAT_VERSION, "content": content}
    return json.dumps({**parts, **changes})


def entry(given: Given) -> dict[str, t.Any]:
    """An entry of a password map: of key, username, password, present, requested_by."""
    usual = {"username": "", "password": "", "present": True, "requested_by": "the task"}
    return {**usual, **given}


def login(given: Given) -> dict[str, t.Any]:
    """A login: of host, port, tls, username, password, requested_by, diagnosis."""
    server = {
        "host": given["host"],
        "port": given.get("port", 587),
        "tls": given.get("tls", "starttls"),
    }
    usual = {"requested_by": "the task", "diagnosis": None}
    rest = {name: value for name, value in given.items() if name not in (*server, "sender")}
    return {"server": server, **usual, **rest}


def entries_payload(*entries: Given) -> str:
    """The payload for postfix_sasl_passwd."""
    return payload("postfix_sasl_passwd", {"entries": list(map(entry, entries))})


def relay_payload(logins: t.Iterable[Given] = (), senders: t.Iterable[Given] = ()) -> str:
    """The payload for postfix_relay; a sender's login has the sender in it, too."""
    content = {
        name: [{"login": login(each), "sender": each.get("sender", "")} for each in given]
        for name, given in (("logins", logins), ("senders", senders))
    }
    return payload("postfix_relay", content)


def rotation_payload(*entries: Given) -> str:
    """The payload for postfix_relay_key: entries with their path, and perhaps servers."""
    content = [
        {
            "path": each["path"],
            "entry": entry({name: each[name] for name in each if name not in ("path", "servers")}),
            "servers": list(each.get("servers", ())),
        }
        for each in entries
    ]
    return payload("postfix_relay_key", {"entries": content})


def ping_payload(given: Given) -> str:
    """The payload for ses_smtp_ping."""
    return payload("ses_smtp_ping", login(given))
