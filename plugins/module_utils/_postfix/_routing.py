# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Where a message would go, and under which settings: a pure function of a configuration.

It follows trivial-rewrite(8), which the queue manager asks for each recipient, and the queue manager
itself. Sources: resolve.c, transport.c, qmgr_message.c.
"""

from __future__ import annotations

import enum
import re
import typing as t
from dataclasses import dataclass, replace

from ._main_cf import split_tokens
from ._search import (
    Hit,
    LookupKey,
    Question,
    UnansweredError,
    UnusableTableError,
    is_local,
    list_address_keys,
    list_parent_keys,
    matches,
    search,
)

if t.TYPE_CHECKING:
    from ._configuration import Configuration
    from ._destination import Client
    from ._master_cf import Service

__all__ = ["AddressClass", "Decision", "Route", "answer_questions", "find_route", "resolve_route"]

_REWRITE = "rewrite/unix"
_QUEUE_MANAGER = "qmgr/unix"
# Transports whose next hop is a text for people.
_TEXTS = ("error", "retry")
_UNDELIVERABLE = "Address is undeliverable"
_ERROR = "error"
# Whatever else an address may have in it, trivial-rewrite takes apart first.
_LOCAL_PART = re.compile(r"[\w.+=/#$&'*?^{}|~-]+\Z")
_DOMAIN = re.compile(
    r"(?:\[(?:[\d.]+|ipv6:[\da-f:.]+)\]|(?:[\w-]{1,63}\.)*[\w-]{1,63}\.?)\Z", re.IGNORECASE
)
# More than the tables of a Postfix have to be asked in turn.
_ROUNDS = 10

Ask = t.Callable[[str, t.Sequence[str]], t.Optional[t.Mapping[str, str]]]


class AddressClass(enum.Enum):
    """The classes of addresses (ADDRESS_CLASS_README)."""

    LOCAL = "local"
    ALIAS = "virtual alias"
    VIRTUAL = "virtual mailbox"
    RELAY = "relay"
    DEFAULT = "default"


@dataclass(frozen=True)
class Decision:
    """What decides: a setting of main.cf, or of one service of master.cf, and the line with it.

    `table` and `key` are those of the entry, if it is a lookup table's.
    """

    setting: str
    value: str
    file: str
    line: int | None = None
    service: str = ""
    table: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Route:
    """Where mail goes: the service of master.cf that delivers it, and its next hop.

    `transport` and `nexthop` are empty if Postfix can't tell: then `failed` says which table it
    can't use, or `unknown` what tables that can't be listed have to be asked. `service` is None if
    master.cf does not have it, `client` if it is not Postfix's SMTP client. `deferred` says what
    has the queue manager keep the mail, `rewritten_by` what has changed the recipient before.
    """

    sender: str
    recipient: str
    address_class: AddressClass = AddressClass.DEFAULT
    transport: str = ""
    nexthop: str = ""
    transport_by: Decision | None = None
    nexthop_by: Decision | None = None
    service: Service | None = None
    client: Client | None = None
    deferred: Decision | None = None
    failed: Decision | None = None
    unknown: tuple[Question, ...] = ()
    rewritten_by: Decision | None = None


@dataclass(frozen=True)
class _Hop:
    """A transport and a next hop, with what decided each."""

    transport: str
    nexthop: str
    transport_by: Decision
    nexthop_by: Decision


class _FailedError(Exception):
    def __init__(self, by: Decision) -> None:
        super().__init__(by)
        self.by = by


def find_route(
    configuration: Configuration, ask: Ask, sender: str, recipient: str
) -> tuple[Configuration, Route]:
    """Resolve a route, and ask the tables that can't be listed for what it takes.

    `ask` gives what a table has for some keys, None if it can't be asked. Returns the configuration
    with the answers, too. Raises ValueError as resolve_route() does.
    """
    configuration = answer_questions(
        configuration, ask, lambda known: resolve_route(known, sender, recipient).unknown
    )
    return configuration, resolve_route(configuration, sender, recipient)


def answer_questions(
    configuration: Configuration,
    ask: Ask,
    find_questions: t.Callable[[Configuration], t.Sequence[Question]],
) -> Configuration:
    """Ask until there is no question left, or only those that nobody can answer."""
    for _round in range(_ROUNDS):
        keys: dict[str, list[str]] = {}
        for question in find_questions(configuration):
            keys.setdefault(question.table, []).append(question.key)
        found = {table: ask(table, its_keys) for table, its_keys in keys.items()}
        answers = {
            (table, key): values.get(key)
            for table, values in found.items()
            if values is not None
            for key in keys[table]
        }
        if not answers:
            break
        configuration = configuration.with_answers(answers)
    return configuration


def resolve_route(configuration: Configuration, sender: str, recipient: str) -> Route:
    """Where mail from `sender` to `recipient` goes. Asks nobody.

    Raises ValueError for an address that Postfix would take apart before: with routing characters
    or quotes.
    """
    return _Resolver(configuration, sender, recipient).resolve()


class _Resolver:
    def __init__(self, configuration: Configuration, sender: str, recipient: str) -> None:
        self._configuration = configuration
        self._sender = sender
        self._recipient = self._complete(recipient)
        self._domain = self._recipient.rpartition("@")[2]

    def resolve(self) -> Route:
        """The whole route."""
        known = Route(self._sender, self._recipient)
        try:
            address_class, hop = self._hop()
        except UnansweredError as exc:
            return replace(known, unknown=exc.questions)
        except UnusableTableError as exc:
            return replace(known, failed=self._fail(exc.table))
        except _FailedError as exc:
            return replace(known, failed=exc.by)
        return replace(
            known,
            address_class=address_class,
            transport=hop.transport,
            nexthop=hop.nexthop,
            transport_by=hop.transport_by,
            nexthop_by=hop.nexthop_by,
            service=self._configuration.find_transport(hop.transport),
            client=self._configuration.find_client(hop.transport),
            deferred=self._find_deferral(hop.transport),
        )

    def _complete(self, recipient: str) -> str:
        """The recipient with a domain, as trivial-rewrite completes it."""
        recipient = recipient or self._get("empty_address_recipient")
        local, at, domain = recipient.rpartition("@")
        if not at:
            local, domain = recipient, self._get("myhostname")
        if not _LOCAL_PART.match(local) or not _DOMAIN.match(domain):
            raise ValueError(f"no plain address: {recipient!r}")
        return f"{local}@{domain[:-1] if domain.endswith('.') else domain}"

    def _get(self, name: str) -> str:
        return self._configuration.get(name, _REWRITE)

    def _decision(self, name: str, value: str = "", hit: Hit | None = None) -> Decision:
        own = self._configuration.get_own(name, _REWRITE) is not None
        file, line = self._configuration.locate(name, _REWRITE)
        decision = Decision(name, value or self._get(name), file, line, _REWRITE if own else "")
        return replace(decision, table=hit.table, key=hit.key) if hit else decision

    def _fail(self, table: str) -> Decision:
        """The setting that names a table, which Postfix can't use."""
        settings = self._configuration.settings
        names = [name for name in settings if table in self._get(name)]
        return replace(self._decision(names[0] if names else "", table), table=table)

    def _hop(self) -> tuple[AddressClass, _Hop]:
        address_class, hop = self._of_class()
        transport, colon, nexthop = hop.transport.partition(":")
        hop = replace(hop, transport=transport)
        if colon and nexthop:
            hop = replace(hop, nexthop=nexthop, nexthop_by=hop.transport_by)
        if not transport:
            raise _FailedError(hop.transport_by)
        if address_class is not AddressClass.ALIAS:
            hop = self._apply_transport_maps(hop)
        return address_class, self._apply_relocated_maps(hop)

    def _of_class(self) -> tuple[AddressClass, _Hop]:
        """What main.cf says for the class of the address. Order as in resolve.c."""
        configuration, domain = self._configuration, self._domain
        if is_local(configuration, domain, service=_REWRITE):
            return AddressClass.LOCAL, self._from_setting("local_transport")
        if self._matches("virtual_alias_domains"):
            in_table = self._get("show_user_unknown_table_name") != "no"
            by = self._decision("virtual_alias_domains")
            nexthop = "5.1.1 User unknown" + (" in virtual alias table" if in_table else "")
            return AddressClass.ALIAS, _Hop(_ERROR, nexthop, by, by)
        if self._matches("virtual_mailbox_domains"):
            return AddressClass.VIRTUAL, self._from_setting("virtual_transport")
        if self._matches("relay_domains", with_parents=True):
            return AddressClass.RELAY, self._apply_relayhost(self._from_setting("relay_transport"))
        hop = self._from_setting("default_transport")
        name = "sender_dependent_default_transport_maps"
        hit = self._of_sender(name, "empty_address_default_transport_maps_lookup_key")
        if hit:
            hop = replace(hop, transport=hit.value, transport_by=self._decision(name, hit=hit))
        return AddressClass.DEFAULT, self._apply_relayhost(hop)

    def _matches(self, setting: str, *, with_parents: bool = False) -> bool:
        return matches(
            self._configuration, setting, self._domain, service=_REWRITE, with_parents=with_parents
        )

    def _from_setting(self, name: str) -> _Hop:
        by = self._decision(name)
        return _Hop(self._get(name), self._domain, by, by)

    def _apply_relayhost(self, hop: _Hop) -> _Hop:
        """With the next hop of relayhost, or of the sender's own."""
        name = "sender_dependent_relayhost_maps"
        hit = self._of_sender(name, "empty_address_relayhost_maps_lookup_key")
        if hit:
            return replace(hop, nexthop=hit.value, nexthop_by=self._decision(name, hit=hit))
        relayhost = self._get("relayhost")
        by = self._decision("relayhost")
        return replace(hop, nexthop=relayhost or self._domain, nexthop_by=by)

    def _of_sender(self, name: str, empty: str) -> Hit | None:
        """What a table has for the sender; None for DUNNO."""
        value = self._get(name)
        if not value:
            return None
        sender = self._sender or self._get(empty)
        keys = list_address_keys(self._configuration, sender, service=_REWRITE)
        hit = search(self._configuration, value, keys)
        return hit if hit and hit.value.upper() != "DUNNO" else None

    def _apply_transport_maps(self, hop: _Hop) -> _Hop:
        """What transport_maps makes of it: see transport(5)."""
        value = self._get("transport_maps")
        if not value:
            return hop
        keys = list_parent_keys(self._configuration, self._recipient, service=_REWRITE)
        hit = search(self._configuration, value, keys)
        hit = hit or search(self._configuration, value, [LookupKey("*")])
        if not hit:
            return hop
        by = self._decision("transport_maps", hit=hit)
        transport, _colon, nexthop = hit.value.partition(":")
        if transport:
            default = _UNDELIVERABLE if transport in _TEXTS else self._domain
            hop = _Hop(transport, default, by, by)
        return replace(hop, nexthop=nexthop, nexthop_by=by) if nexthop else hop

    def _apply_relocated_maps(self, hop: _Hop) -> _Hop:
        value = self._get("relocated_maps")
        if not value:
            return hop
        keys = list_address_keys(self._configuration, self._recipient, service=_REWRITE)
        hit = search(self._configuration, value, keys)
        if not hit:
            return hop
        by = self._decision("relocated_maps", hit=hit)
        return _Hop(_ERROR, f"5.1.6 User has moved to {hit.value}", by, by)

    def _find_deferral(self, transport: str) -> Decision | None:
        """What has the queue manager keep mail for a transport."""
        name = "defer_transports"
        if transport not in split_tokens(self._configuration.get(name, _QUEUE_MANAGER)):
            return None
        own = self._configuration.get_own(name, _QUEUE_MANAGER) is not None
        file, line = self._configuration.locate(name, _QUEUE_MANAGER)
        value = self._configuration.get(name, _QUEUE_MANAGER)
        return Decision(name, value, file, line, _QUEUE_MANAGER if own else "")
