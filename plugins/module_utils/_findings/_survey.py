# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The survey of a Postfix instance: everything that is read, and nothing that is concluded."""

from __future__ import annotations

import glob
import os
import typing as t

from .._postfix._asking import ask_tables
from .._postfix._configuration import ROUTING_SETTINGS, read_configuration
from .._postfix._destination import CLIENT_SETTINGS, Client
from .._postfix._flows import Flows, find_flows
from .._postfix._lookup_table import (
    Table,
    read_table,
)
from .._postfix._main_cf import (
    read_settings,
    split_tokens,
)
from .._postfix._programs import (
    Postfix,
    PostfixError,
)
from .._postfix._tls import (
    CHECKED_LEVELS,
    check_ca_file,
)
from .._postfix._tls_policy import POLICIES
from .._ses._redaction import redact
from ._facts import InstanceFacts
from ._lookup import (
    find_sender_keys,
    find_uses,
)
from ._map_facts import (
    open_file,
    open_files,
    read_map_facts,
)
from ._queue import read_queue

if t.TYPE_CHECKING:
    from .._postfix._lookup_table import State
    from .._ses._candidate_digests import Candidates

__all__ = ["list_directories", "survey"]

_MAPS = "smtp_sasl_password_maps"
_LMTP_MAPS = "lmtp_sasl_password_maps"
_TABLES_OF_ROUTES = (
    "sender_dependent_relayhost_maps",
    "sender_dependent_default_transport_maps",
    "transport_maps",
)
_NAMES = (
    *ROUTING_SETTINGS,
    *CLIENT_SETTINGS,
    "config_directory",
    "daemon_directory",
    _LMTP_MAPS,
    "mail_owner",
    "mail_version",
    "multi_instance_name",
)
# Where Cyrus SASL's plugins are: Debian; Red Hat and SUSE; Alpine and others.
_SASL_DIRECTORIES = (
    "/usr/lib/*/sasl2",
    "/usr/lib64/sasl2",
    "/usr/lib/sasl2",
    "/usr/local/lib/sasl2",
)
_SASL_PLUGINS = ("libplain.so*", "liblogin.so*")


def list_directories(postfix: Postfix) -> list[str]:
    """The configuration directories of all instances, as postmulti knows them.

    postmulti itself lists none if one of them is broken.
    """
    values = read_settings(postfix, ("config_directory", "multi_instance_directories"))
    directories = " ".join(values.values())
    return list(dict.fromkeys(split_tokens(directories)))


def survey(postfix: Postfix, candidates: Candidates) -> InstanceFacts:
    """Read an instance. Raises PostfixError if it can't be read."""
    return _Survey(postfix, candidates).read()


class _Survey:
    def __init__(self, postfix: Postfix, candidates: Candidates) -> None:
        self._candidates = candidates
        self._values = read_settings(postfix, _NAMES)
        if "config_directory" not in self._values:
            raise PostfixError("postconf does not know config_directory")
        self._directory = self._values["config_directory"]
        self._postfix = postfix
        self._configuration = read_configuration(postfix, self._directory, self._values)

    def read(self) -> InstanceFacts:
        asked = self._password_maps()
        by_token = {
            token: read_table(self._postfix, token, self._utf8)
            for token in dict.fromkeys(token for each in asked.values() for token in each)
        }
        passwords = list(by_token.values())
        maps = tuple(
            read_map_facts(
                table,
                self._candidates,
                self._get("mail_owner"),
                [setting for setting, named in asked.items() if token in named],
            )
            for token, table in by_token.items()
        )
        logins = find_sender_keys(
            entry for each in maps for entry in each.entries if entry.is_active
        )
        configuration, flows = find_flows(self._configuration, ask_tables(self._postfix), logins)
        uses = find_uses(flows)
        client = flows.default.route.client or self._client_without_service(flows)
        directories, can_log_in = _sasl()
        refused, queue = read_queue(self._postfix)
        return InstanceFacts(
            name=self._get("multi_instance_name") or "-",
            directory=self._directory,
            mail_version=self._get("mail_version"),
            is_running=self._is_running(),
            utf8=self._utf8,
            client=client,
            configuration=configuration,
            flows=flows,
            relayhost=tuple(map(redact, split_tokens(self._get("relayhost")))),
            uses=uses,
            are_uses_known=flows.are_known,
            maps=maps,
            asked_maps=_find_asked_maps(
                [client, *(use.destination.client for use in uses)], by_token
            ),
            other_tables=tuple(self._other_tables()),
            open_files=tuple(self._open_files(passwords)),
            ca_problem=_ca_problem(client),
            sasl_directories=directories,
            can_sasl_log_in=can_log_in,
            deferred=refused,
            queue=queue,
        )

    @property
    def _utf8(self) -> bool:
        return self._configuration.utf8

    def _get(self, name: str) -> str:
        return self._values.get(name, "")

    def _client_without_service(self, flows: Flows) -> Client:
        """What main.cf says, for a transport that is no SMTP client, or not in master.cf."""
        settings = {name: self._values[name] for name in CLIENT_SETTINGS if name in self._values}
        return Client(flows.default.route.transport or "smtp", settings)

    def _password_maps(self) -> dict[str, tuple[str, ...]]:
        """The password maps of every SMTP and LMTP client, by the setting that names them."""
        values = {name: self._get(name) for name in (_MAPS, _LMTP_MAPS)}
        for service in self._configuration.services.values():
            names = (name for name in (_MAPS, _LMTP_MAPS) if name in service.overrides)
            values.update(
                {f"{service.path}/{name}": service.overrides[name].value for name in names}
            )
        return {setting: split_tokens(value) for setting, value in values.items()}

    def _other_tables(self) -> t.Iterator[tuple[str, str, State]]:
        """The tables that say where mail goes, with the settings that name them."""
        for setting in (*_TABLES_OF_ROUTES, POLICIES):
            for token in split_tokens(self._get(setting)):
                table = self._configuration.tables[token]
                yield setting, table.name, table.state

    def _is_running(self) -> bool:
        """Whether the master is running. As `postfix status` does, which logs that it was asked."""
        master = os.path.join(self._get("daemon_directory"), "master")
        return self._postfix.at(self._directory).run(master, "-t")[0] != 0

    def _open_files(self, passwords: t.Sequence[Table]) -> t.Iterator[t.Any]:
        owner = self._get("mail_owner")
        yield from open_files(passwords, owner)
        if any(table.is_inline for table in passwords):
            main_cf = open_file(os.path.join(self._directory, "main.cf"), "main.cf", owner)
            if main_cf:
                yield main_cf


def _find_asked_maps(
    clients: t.Iterable[Client], known: t.Iterable[str]
) -> dict[str, tuple[int, ...]]:
    """Which of the `known` maps these clients ask, by service."""
    numbers = {token: number for number, token in enumerate(known)}
    return {
        client.service: tuple(numbers[token] for token in split_tokens(client.get(_MAPS)))
        for client in clients
    }


def _ca_problem(client: Client) -> str | None:
    """Why no certificate could be verified, None if some can, or none has to be."""
    if client.tls_level not in CHECKED_LEVELS - {"fingerprint", "dane-only"}:
        return None
    path = client.get("smtp_tls_CAfile")
    if not path:
        if client.get("smtp_tls_CApath") or client.is_on("tls_append_default_CA"):
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
