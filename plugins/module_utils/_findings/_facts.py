# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What there is to know about the relay of a Postfix instance. No password is in it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._postfix._destination import parse_host
from .._smtp._server import is_ses_host, region_of_endpoint

if t.TYPE_CHECKING:
    from .._postfix._configuration import Configuration
    from .._postfix._destination import Client, Destination
    from .._postfix._flows import Flows
    from .._postfix._lookup_table import State
    from .._ses._candidate_digests import Match

__all__ = [
    "DeferredMail",
    "Entry",
    "InstanceFacts",
    "MapFacts",
    "OpenFile",
    "Queue",
    "Use",
]


@dataclass(frozen=True)
class Use:
    """That mail, of one sender or (None) of all, goes to a destination.

    `sender` is an address or @domain, and matters with smtp_sender_dependent_authentication only.
    """

    destination: Destination
    sender: str | None = None


@dataclass(frozen=True)
class Entry:
    """An entry of a password map.

    `folded` is the key as Postfix compares it; `key` and `username` are redacted, the user
    name None where it may be a secret. `is_active` says that Postfix would find it now, rather
    than once the table is made again. Entries with one login have the same `login`, a number
    that says nothing about it.
    """

    table: str
    path: str
    folded: bytes
    key: str
    line: int | None = None
    is_active: bool = True
    username: str | None = None
    username_problem: str | None = None
    version: int | None = None
    is_raw_secret: bool = False
    match: Match | None = None
    login: int = field(default=0, compare=False, repr=False)

    @property
    def is_for_ses(self) -> bool:
        """Whether the key names a host of one of SES's SMTP systems."""
        return is_ses_host(parse_host(self.key) or "")

    @property
    def key_region(self) -> str | None:
        """The region of the SES endpoint that the key names."""
        return region_of_endpoint(parse_host(self.key) or "")


@dataclass(frozen=True)
class OpenFile:
    """A file with passwords that others can read or change. `what` says what file it is."""

    path: str
    what: str
    status: str


@dataclass(frozen=True)
class MapFacts:
    """A password map.

    `settings` are those that name it: a parameter of main.cf, or service/type/parameter of
    master.cf, as `postconf -P` has it. `are_entries_known` says that `entries` are all that the table
    and its source have.
    """

    name: str
    path: str | None
    state: State
    mode: str | None = None
    table_path: str | None = None
    type: str = ""
    is_source_missing: bool = False
    is_source_denied: bool = False
    is_older: bool = False
    entries: tuple[Entry, ...] = ()
    #: Lines of the source that are no entry for Postfix, and those of keys that were there before.
    ignored_lines: tuple[int, ...] = ()
    repeated: tuple[tuple[str, int], ...] = ()
    #: Whether table and source have other entries.
    differs: bool = False
    #: Whether proxymap, which is to read the table, may not.
    is_closed_to_proxymap: bool = False
    is_complete: bool = True
    is_inline: bool = False
    settings: tuple[str, ...] = ()
    are_entries_known: bool = True


@dataclass(frozen=True)
class DeferredMail:
    """Mail that waits because the server refuses the login. `more` says that not all was read."""

    count: int
    oldest: float  # seconds
    servers: tuple[str, ...]
    has_more: bool = False


@dataclass(frozen=True)
class Queue:
    """The deferred mail of an instance.

    `is_complete` says that all of the queue was read. `oldest_age`, in seconds, and `oldest_reason` are
    those of the message that waits longest; they are None where nothing is known of it.
    """

    messages: int
    is_complete: bool
    oldest_age: int | None = None
    oldest_reason: str | None = None

    def show(self) -> dict[str, t.Any]:
        """Return the queue as a result has it."""
        return {
            "messages": self.messages,
            "complete": self.is_complete,
            "oldest_age": self.oldest_age,
            "oldest_reason": self.oldest_reason,
        }


@dataclass(frozen=True)
class InstanceFacts:
    """One instance. `are_uses_known` says that there are no other destinations than in `uses`.

    `configuration` and `flows` are the model of where mail goes. `maps` are all password maps,
    `asked_maps` has the indexes in it of those that a client asks, in its order, by the name of its
    service.
    """

    name: str
    directory: str
    mail_version: str
    is_running: bool
    utf8: bool
    client: Client
    configuration: Configuration
    flows: Flows
    relayhost: tuple[str, ...] = ()
    uses: tuple[Use, ...] = ()
    are_uses_known: bool = True
    maps: tuple[MapFacts, ...] = ()
    asked_maps: t.Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    other_tables: tuple[tuple[str, str, State], ...] = ()
    open_files: tuple[OpenFile, ...] = ()
    ca_problem: str | None = None
    sasl_directories: tuple[str, ...] = ()
    can_sasl_log_in: bool = True
    deferred: DeferredMail | None = None
    queue: Queue | None = None

    @property
    def main_cf(self) -> str:
        """The path of main.cf."""
        return f"{self.directory}/main.cf"

    def list_maps(self, client: Client) -> tuple[MapFacts, ...]:
        """The maps that a client asks, in its order."""
        return tuple(self.maps[number] for number in self.asked_maps.get(client.service, ()))
