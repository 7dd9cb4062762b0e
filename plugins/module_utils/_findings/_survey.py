# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The survey of a Postfix instance: everything that is read, and nothing that is concluded."""

from __future__ import annotations

import glob
import json
import os
import re
import time
import typing as t

from .._postfix._destination import CLIENT_SETTINGS, Client
from .._postfix._lookup_table import (
    Table,
    read_table,
)
from .._postfix._main_cf import (
    read_settings,
    tokens,
)
from .._postfix._map_entry import text
from .._postfix._master_cf import overrides
from .._postfix._programs import (
    Postfix,
    PostfixError,
)
from .._postfix._tls import (
    CHECKED_LEVELS,
    check_ca_file,
    policy_keys,
    policy_level,
)
from .._ses._redaction import redact
from ._facts import (
    DeferredMail,
    InstanceFacts,
    Use,
)
from ._lookup import (
    Routes,
    senders_keys,
    uses_of,
)
from ._map_facts import (
    map_facts,
    open_file,
    open_files,
)

if t.TYPE_CHECKING:
    from .._ses._candidate_digests import Candidates

__all__ = ["config_directories", "deferred_mail", "survey"]

_MAPS = "smtp_sasl_password_maps"
_LMTP_MAPS = "lmtp_sasl_password_maps"
_SENDERS = "sender_dependent_relayhost_maps"
_POLICIES = "smtp_tls_policy_maps"
_TRANSPORTS = ("transport_maps", "sender_dependent_default_transport_maps")
_INSTANCE = (
    "config_directory",
    "daemon_directory",
    _LMTP_MAPS,
    "default_transport",
    "mail_owner",
    "mail_version",
    "multi_instance_name",
    "relay_transport",
    "relayhost",
    _SENDERS,
    "smtp_fallback_relay",
    "smtputf8_enable",
    *_TRANSPORTS,
)
# Where Cyrus SASL's plugins are: Debian; Red Hat and SUSE; Alpine and others.
_SASL_DIRECTORIES = (
    "/usr/lib/*/sasl2",
    "/usr/lib64/sasl2",
    "/usr/lib/sasl2",
    "/usr/local/lib/sasl2",
)
_SASL_PLUGINS = ("libplain.so*", "liblogin.so*")

# Of a queue's listing: some 20,000 messages.
_QUEUE_BYTES = 8 * 1024 * 1024
_REFUSED_LOGIN = re.compile(r"\bserver ([^\s\[]+)\[[^]]*\] said: 535[ -]")


def config_directories(postfix: Postfix) -> list[str]:
    """The configuration directories of all instances, as postmulti knows them.

    postmulti itself lists none if one of them is broken.
    """
    values = read_settings(postfix, ("config_directory", "multi_instance_directories"))
    directories = " ".join(values.values())
    return list(dict.fromkeys(tokens(directories)))


def survey(postfix: Postfix, candidates: Candidates) -> InstanceFacts:
    """Read an instance. Raises PostfixError if it can't be read."""
    return _Survey(postfix, candidates).facts()


class _Survey:
    def __init__(self, postfix: Postfix, candidates: Candidates) -> None:
        self._candidates = candidates
        names = (*_INSTANCE, *CLIENT_SETTINGS)
        self._values = read_settings(postfix, names)
        if "config_directory" not in self._values:
            raise PostfixError("postconf does not know config_directory")
        self._directory = self._values["config_directory"]
        self._postfix = postfix
        self._overrides: dict[str, dict[str, str]] = {}
        names_of_clients = (*CLIENT_SETTINGS, _LMTP_MAPS)
        for override in overrides(postfix, self._directory, names_of_clients):
            of_service = self._overrides.setdefault(override.service, {})
            of_service[override.name] = override.value

    def facts(self) -> InstanceFacts:
        client = self._client("")
        asked = self._password_maps()
        by_token = {
            token: read_table(self._postfix, token, self._utf8)
            for token in dict.fromkeys(token for each in asked.values() for token in each)
        }
        passwords = list(by_token.values())
        senders = self._tables(self._says(_SENDERS))
        transports = [table for name in _TRANSPORTS for table in self._tables(self._says(name))]
        maps = tuple(
            map_facts(
                table,
                self._candidates,
                self._says("mail_owner"),
                [setting for setting, named in asked.items() if token in named],
            )
            for token, table in by_token.items()
        )
        routes = Routes(
            relayhost=self._says("relayhost"),
            client=self._client,
            default_transport=self._says("default_transport"),
            relay_transport=self._says("relay_transport"),
            fallback_relay=self._says("smtp_fallback_relay"),
            senders=_first_found(senders),
            transports=[text(value) for table in transports for value in table.values.values()],
        )
        logins = senders_keys(entry for each in maps for entry in each.entries if entry.in_force)
        uses = uses_of(routes, logins)
        others = [(_SENDERS, table) for table in senders]
        directories, can_log_in = _sasl()
        return InstanceFacts(
            name=self._says("multi_instance_name") or "-",
            directory=self._directory,
            mail_version=self._says("mail_version"),
            running=self._is_running(),
            utf8=self._utf8,
            client=client,
            relayhost=tuple(map(redact, tokens(self._says("relayhost")))),
            uses=uses,
            uses_known=all(table.complete for table in (*senders, *transports)),
            maps=maps,
            asked_maps=self._asked_maps(uses, list(by_token)),
            other_tables=tuple((setting, table.name, table.state) for setting, table in others),
            tls_policies=self._tls_policies(client, uses),
            open_files=tuple(self._open_files(passwords)),
            ca_problem=_ca_problem(client),
            sasl_directories=directories,
            sasl_can_log_in=can_log_in,
            deferred=self._deferred(),
        )

    @property
    def _utf8(self) -> bool:
        return self._says("smtputf8_enable") == "yes"

    def _says(self, name: str) -> str:
        return self._values.get(name, "")

    def _client(self, transport: str) -> Client:
        """The client of a transport, which is the name of a service in master.cf."""
        name = transport or self._says("default_transport").partition(":")[0] or "smtp"
        settings = {
            setting: self._values[setting] for setting in CLIENT_SETTINGS if setting in self._values
        }
        settings.update(self._overrides.get(f"{name}/unix", {}))
        return Client(name, settings)

    def _password_maps(self) -> dict[str, tuple[str, ...]]:
        """The password maps of every SMTP and LMTP client, by the setting that names them."""
        values = {name: self._says(name) for name in (_MAPS, _LMTP_MAPS)}
        for service, settings in self._overrides.items():
            names = (name for name in (_MAPS, _LMTP_MAPS) if name in settings)
            values.update({f"{service}/{name}": settings[name] for name in names})
        return {setting: tokens(value) for setting, value in values.items()}

    def _asked_maps(
        self, uses: t.Iterable[Use], known: t.Sequence[str]
    ) -> dict[str, tuple[int, ...]]:
        """Which of the `known` maps the clients of these destinations ask, by service."""
        clients = [self._client(""), *(use.destination.client for use in uses)]
        return {
            client.service: tuple(known.index(token) for token in tokens(client.says(_MAPS)))
            for client in clients
        }

    def _tables(self, value: str) -> list[Table]:
        return [read_table(self._postfix, token, self._utf8) for token in tokens(value)]

    def _is_running(self) -> bool:
        """Whether the master is running. As `postfix status` does, which logs that it was asked."""
        master = os.path.join(self._says("daemon_directory"), "master")
        return self._postfix.at(self._directory).run(master, "-t")[0] != 0

    def _open_files(self, passwords: t.Sequence[Table]) -> t.Iterator[t.Any]:
        owner = self._says("mail_owner")
        yield from open_files(passwords, owner)
        if any(table.inline for table in passwords):
            main_cf = open_file(os.path.join(self._directory, "main.cf"), "main.cf", owner)
            if main_cf:
                yield main_cf

    def _tls_policies(self, client: Client, uses: t.Iterable[Use]) -> dict[str, str | None]:
        """The level that a TLS policy has for a destination; None if nobody can tell."""
        tables = self._tables(client.says(_POLICIES))
        values = {key.decode(errors="replace"): text(value) for key, value in _pairs(tables)}
        known = all(table.complete for table in tables)
        found: dict[str, str | None] = {}
        for destination in {use.destination for use in uses} if tables else ():
            policy = next(
                (values[key] for key in policy_keys(destination.text) if key in values), None
            )
            if policy is not None:
                found[destination.text] = policy_level(policy)
            elif not known:
                found[destination.text] = None
        return found

    def _deferred(self) -> DeferredMail | None:
        """The mail that waits because of SES's 535. Reads the queue's beginning only."""
        listing = self._postfix.run_bounded(_QUEUE_BYTES, "postqueue", "-j")
        return deferred_mail(listing, time.time())


def deferred_mail(listing: bytes, now: float) -> DeferredMail | None:
    """What `postqueue -j` says of mail that waits because of a 535, None if it says nothing."""
    more = len(listing) >= _QUEUE_BYTES
    arrivals = []
    servers: dict[str, None] = {}
    for line in listing.split(b"\n"):
        if b"535" not in line:
            continue
        try:
            message = json.loads(line)
            reasons = [str(each.get("delay_reason", "")) for each in message["recipients"]]
            arrived = float(message["arrival_time"])
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
        refusing = [
            redact(match.group(1)) for match in map(_REFUSED_LOGIN.search, reasons) if match
        ]
        if refusing:
            servers.update(dict.fromkeys(refusing))
            arrivals.append(arrived)
    if not arrivals:
        return None
    return DeferredMail(len(arrivals), max(0.0, now - min(arrivals)), tuple(servers), more)


def _first_found(tables: t.Sequence[Table]) -> dict[str, str]:
    return {text(key): text(value) for key, value in _pairs(tables)}


def _pairs(tables: t.Sequence[Table]) -> t.Iterator[tuple[bytes, bytes]]:
    """The entries of several tables, of which the first that has a key wins."""
    values: dict[bytes, bytes] = {}
    for table in reversed(tables):
        values.update(table.values)
    return iter(values.items())


def _ca_problem(client: Client) -> str | None:
    """Why no certificate could be verified, None if some can, or none has to be."""
    if client.tls_level not in CHECKED_LEVELS - {"fingerprint", "dane-only"}:
        return None
    path = client.says("smtp_tls_CAfile")
    if not path:
        if client.says("smtp_tls_CApath") or client.is_on("tls_append_default_CA"):
            return None
        return "smtp_tls_CAfile is not set, so that all mail waits"
    # One that can't be read disables TLS, whatever else there is (tls_certkey.c).
    try:
        check_ca_file(path, thoroughly=False)
    except PostfixError as exc:
        # The path is main.cf's here, not a task's.
        return str(exc).replace(path, redact(path))
    return None


def _sasl() -> tuple[tuple[str, ...], bool]:
    """The directories with Cyrus SASL's plugins, and whether SES's mechanisms are among them."""
    directories = [path for pattern in _SASL_DIRECTORIES for path in sorted(glob.glob(pattern))]
    found = any(
        glob.glob(os.path.join(glob.escape(path), name))
        for path in directories
        for name in _SASL_PLUGINS
    )
    return tuple(directories), found
