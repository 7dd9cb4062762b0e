# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What keeps one of Postfix's SMTP clients from logging in to SES inside verified TLS. Pure."""

from __future__ import annotations

import typing as t

from .._postfix._configuration import FILE_SETTINGS
from .._postfix._destination import MECHANISM_FILTER as FILTER
from .._postfix._destination import MECHANISMS
from .._postfix._login_keys import SENDERS_OWN
from .._postfix._main_cf import split_tokens
from .._postfix._map_entry import decode
from .._postfix._search import UnansweredError, UnusableTableError, matches_list
from .._postfix._table_name import parse_table_name
from .._postfix._tls import CHECKED_LEVELS, GOOD_ENOUGH, OPTIONAL_LEVELS, allows_tls_1_2
from .._postfix._tls_policy import LEVEL, PER_SITE, POLICIES, TLS_REQUIRED, find_tls
from .._ses._mail_manager import is_mail_manager_host
from .._ses._redaction import redact
from .._smtp._server import PORTS_OF_TLS
from ._connection_findings import connection_findings
from ._finding import find
from ._relay_kinds import (
    AUTH_DISABLED,
    MAIL_MANAGER_PORT,
    NO_CA_FILE,
    SASL_NOPLAINTEXT,
    TLS_NOT_VERIFIED,
    TLS_NOT_VERIFIED_BY_POLICY,
    TLS_OPTIONAL,
    TLS_OPTIONAL_BY_POLICY,
    WRAPPERMODE_OFF,
    WRAPPERMODE_ON,
)
from ._route_kinds import (
    AUTH_DISABLED_BY_SERVICE,
    AUTH_SOFT_BOUNCE_OFF,
    CERTIFICATE_MATCH,
    CERTIFICATE_MATCH_BY_POLICY,
    CIPHERS,
    CLIENT_CHAIN_MISSING,
    CLIENT_FILE_MISSING,
    EHLO_DISABLED,
    EHLO_DISABLED_BY_ADDRESS,
    MECHANISM_FILTER,
    OTHER_CA_FILE,
    OTHER_PASSWORD_MAPS,
    PROTOCOLS,
    SASL_TYPE,
    SENDER_LOGINS_OFF,
    TLS_NOT_VERIFIED_BY_HEADER,
    TLS_NOT_VERIFIED_BY_SERVICE,
    TLS_NOT_VERIFIED_PER_SITE,
    TLS_OPTIONAL_BY_SERVICE,
    TLS_UNKNOWN,
)
from ._table_kinds import UNUSABLE
from ._where import locate_setting, remove_setting, show_value

if t.TYPE_CHECKING:
    from .._postfix._configuration import Configuration
    from .._postfix._destination import Destination
    from .._postfix._tls_policy import Tls
    from ._finding import Finding, Kind

__all__ = ["find_client_mistakes"]

_AUTH = "smtp_sasl_auth_enable"
_MAPS = "smtp_sasl_password_maps"
_SASL_TYPE = "smtp_sasl_type"
_TLS_OPTIONS = "smtp_sasl_tls_security_options"
_SOFT_BOUNCE = "smtp_sasl_auth_soft_bounce"
_CA_FILE = "smtp_tls_CAfile"
_WRAPPERMODE = "smtp_tls_wrappermode"
_CHAIN = "smtp_tls_chain_files"
_ANCHORS = "smtp_tls_trust_anchor_file"
_EHLO_MAPS = "smtp_discard_ehlo_keyword_address_maps"
_NEEDED_KEYWORDS = frozenset({"auth", "starttls"})
_GRADES = ("export", "low", "medium", "high")
_EXCLUDE_ALL = ("all", "tls")


def find_client_mistakes(
    configuration: Configuration,
    destination: Destination,
    level: str = "secure",
    table: str | None = None,
    has_senders: bool = True,
) -> t.Iterator[Finding]:
    """What is wrong with the client of a server, for mail that goes to it.

    `level` is the TLS level that is demanded, secure or encrypt; `table` the password map that has
    the login, None if any will do. `has_senders` says that senders may have logins of their own.
    """
    yield from _Client(configuration, destination, level, table, has_senders).findings()


class _Client:
    def __init__(
        self,
        configuration: Configuration,
        destination: Destination,
        level: str,
        table: str | None,
        has_senders: bool,
    ) -> None:
        self._configuration = configuration
        self._destination = destination
        self._client = destination.client
        self._path = f"{self._client.service}/unix"
        self._level = level
        self._table = table
        self._has_senders = has_senders
        self._main_cf = f"{configuration.directory}/main.cf"
        self._tls = find_tls(configuration, self._client, destination)

    def findings(self) -> t.Iterator[Finding]:
        yield from self._level_findings()
        yield from self._wrappermode()
        if not (self._destination.is_ses or self._table):
            return
        yield from self._login()
        if self._tls.level is not None and self._tls.level != "none":
            yield from self._tls_settings(self._tls)
        yield from self._ehlo()
        for kind, name in connection_findings(self._configuration, self._destination):
            yield self._finds(kind, name)

    def _finds(self, kind: Kind, name: str, **values: t.Any) -> Finding:
        """A finding about a setting of the client."""
        own = name in self._client.own
        more = {
            "where": locate_setting(self._configuration, name, self._path),
            "command": remove_setting(self._configuration, name, self._path),
            "directory": self._configuration.directory,
            "setting": name,
            "value": show_value(self._client.get(name)),
            "service": self._client.service,
            "level": redact(str(self._tls.level)),
            "table": redact(self._table or ""),
            **values,
        }
        file, _line = self._configuration.locate(name, self._path)
        kept = {part: value for part, value in more.items() if part in kind.parts}
        return find(kind, file if own else self._main_cf, self._destination.shown_text, **kept)

    def _level_findings(self) -> t.Iterator[Finding]:
        level = self._tls.level
        if level is None:
            yield from self._unknown_level()
            return
        if level in CHECKED_LEVELS and self._client.is_on(TLS_REQUIRED):
            yield self._finds(TLS_NOT_VERIFIED_BY_HEADER, TLS_REQUIRED)
        if level in GOOD_ENOUGH[self._level]:
            return
        if self._tls.by == PER_SITE:
            yield self._finds(TLS_NOT_VERIFIED_PER_SITE, PER_SITE)
        elif self._tls.by in self._client.own and self._tls.by in (LEVEL, POLICIES):
            optional = level in OPTIONAL_LEVELS
            kind = TLS_OPTIONAL_BY_SERVICE if optional else TLS_NOT_VERIFIED_BY_SERVICE
            yield self._finds(kind, self._tls.by)
        elif self._tls.by == POLICIES:
            optional = level in OPTIONAL_LEVELS
            kind = TLS_OPTIONAL_BY_POLICY if optional else TLS_NOT_VERIFIED_BY_POLICY
            yield self._finds(kind, POLICIES)
        else:
            yield self._finds(TLS_OPTIONAL if level in OPTIONAL_LEVELS else TLS_NOT_VERIFIED, LEVEL)

    def _unknown_level(self) -> t.Iterator[Finding]:
        token = self._tls.table
        table = self._configuration.tables[token]
        if table.state not in UNUSABLE:
            yield self._finds(TLS_UNKNOWN, self._tls.by, table=redact(token))
        elif self._table:  # the audit reports a table that can't be used by itself
            yield self._finds(UNUSABLE[table.state], self._tls.by, table=table.name)

    def _wrappermode(self) -> t.Iterator[Finding]:
        port = self._destination.port
        usual = next((tls for tls, ports in PORTS_OF_TLS.items() if port in ports), None)
        if usual is None and self._is_set_up_by_main_cf():
            usual = "wrapper" if self._configuration.get(_WRAPPERMODE) == "yes" else "starttls"
        if usual == "wrapper" and is_mail_manager_host(self._destination.host):
            values = {"port": port, "host": self._destination.shown_host}
            yield self._finds(MAIL_MANAGER_PORT, _WRAPPERMODE, **values)
        elif usual and usual != self._client.tls:
            kind = WRAPPERMODE_OFF if usual == "wrapper" else WRAPPERMODE_ON
            values = {"port": port, "host": self._destination.shown_host}
            yield self._finds(kind, _WRAPPERMODE, **values)

    def _login(self) -> t.Iterator[Finding]:
        client = self._client
        if not client.is_on(_AUTH):
            yield self._finds(
                AUTH_DISABLED_BY_SERVICE if _AUTH in client.own else AUTH_DISABLED, _AUTH
            )
            return
        verified = "verified_" if self._tls.level in CHECKED_LEVELS else ""
        name = f"smtp_sasl_tls_{verified}security_options"
        if name not in client.own and name not in self._configuration.lines:
            # Its default is the other one's value, which the service may have for itself.
            name = _TLS_OPTIONS
        if "noplaintext" in split_tokens(client.get(name)):
            yield self._finds(SASL_NOPLAINTEXT, name)
        if client.get(_SASL_TYPE) not in ("", "cyrus"):
            yield self._finds(SASL_TYPE, _SASL_TYPE)
        if client.get(FILTER) and not self._allows_mechanisms():
            yield self._finds(MECHANISM_FILTER, FILTER)
        if self._table and _MAPS in client.own:
            maps = [str(parse_table_name(token)) for token in split_tokens(client.get(_MAPS))]
            if self._table not in maps:
                yield self._finds(OTHER_PASSWORD_MAPS, _MAPS)
        is_on = self._configuration.get(SENDERS_OWN).lower() == "yes"
        if self._has_senders and is_on and not client.is_on(SENDERS_OWN):
            yield self._finds(SENDER_LOGINS_OFF, SENDERS_OWN)
        if client.get(_SOFT_BOUNCE).lower() == "no":
            yield self._finds(AUTH_SOFT_BOUNCE_OFF, _SOFT_BOUNCE)

    def _allows_mechanisms(self) -> bool:
        """Whether the filter leaves a mechanism of SES's. Unknown counts as yes."""
        value = self._client.get(FILTER)
        try:
            return any(matches_list(self._configuration, value, each) for each in MECHANISMS)
        except UnansweredError:
            return True
        except UnusableTableError:
            return False

    def _tls_settings(self, tls: Tls) -> t.Iterator[Finding]:
        client = self._client
        is_mandatory = tls.level not in OPTIONAL_LEVELS
        prefix = "mandatory_" if is_mandatory else ""
        if tls.protocols and not allows_tls_1_2(tls.protocols):
            name = f"smtp_tls_{prefix}protocols"
            is_policy = tls.protocols != client.get(name)
            values = {"value": show_value(tls.protocols)}
            yield self._finds(PROTOCOLS, POLICIES if is_policy else name, **values)
        if not is_mandatory:
            return
        grade = client.get("smtp_tls_mandatory_ciphers").lower()
        if grade and grade not in _GRADES:
            yield self._finds(CIPHERS, "smtp_tls_mandatory_ciphers")
        for name in ("smtp_tls_exclude_ciphers", "smtp_tls_mandatory_exclude_ciphers"):
            if any(
                each.lower() in _EXCLUDE_ALL
                for each in split_tokens(client.get(name).replace(":", " "))
            ):
                yield self._finds(CIPHERS, name)
        if tls.level in ("secure", "verify") and tls.match and not self._has_name(tls.match):
            kind = "secure" if tls.level == "secure" else "verify"
            name = f"smtp_tls_{kind}_cert_match"
            if tls.match == split_tokens(client.get(name).replace(":", " ")):
                yield self._finds(CERTIFICATE_MATCH, name)
            else:
                value = show_value(":".join(tls.match))
                yield self._finds(CERTIFICATE_MATCH_BY_POLICY, POLICIES, value=value)
        yield from self._files()

    def _has_name(self, names: t.Iterable[str]) -> bool:
        """Whether SES's certificate, which has the endpoint's name, has one of these."""
        host = self._destination.host
        return any(
            name.lower() in ("nexthop", "hostname", host)
            or (name.startswith(".") and host.endswith(name.lower()))
            for name in names
        )

    def _files(self) -> t.Iterator[Finding]:
        """Those that are not there. The newer setting replaces the older ones."""
        client = self._client
        if self._table and _CA_FILE in client.own and not client.get(_CA_FILE):
            where = locate_setting(self._configuration, _CA_FILE, self._path)
            yield self._finds(NO_CA_FILE, _CA_FILE, problem=f"{where} has no {_CA_FILE}")
        elif self._has_other_ca_file():
            yield self._finds(OTHER_CA_FILE, _CA_FILE)
        names = [_CHAIN] if client.get(_CHAIN) else [*FILE_SETTINGS]
        if _CA_FILE in client.own:
            names.append(_CA_FILE)
        if _ANCHORS not in names:
            names.append(_ANCHORS)
        for name in names:
            if name.endswith("key_file") and not client.get(name.replace("key_file", "cert_file")):
                continue
            missing = [
                path
                for path in split_tokens(client.get(name))
                if path in self._configuration.missing
            ]
            # The default of a key's setting is the certificate's.
            inherited = name.endswith("key_file") and name not in client.own
            if missing and not (inherited and name not in self._configuration.lines):
                kind = CLIENT_CHAIN_MISSING if name == _CHAIN else CLIENT_FILE_MISSING
                yield self._finds(kind, name, value=redact(missing[0]))

    def _is_set_up_by_main_cf(self) -> bool:
        """Whether this is a set-up, and its client one without TLS level and password map of its own."""
        return bool(self._table) and not {LEVEL, _MAPS} <= {*self._client.own}

    def _has_other_ca_file(self) -> bool:
        """Whether the client trusts other authorities than the relay's."""
        path = self._client.get(_CA_FILE)
        return (
            self._is_set_up_by_main_cf()
            and _CA_FILE in self._client.own
            and self._tls.level in CHECKED_LEVELS
            and path != self._configuration.get(_CA_FILE)
            and path not in self._configuration.missing
        )

    def _ehlo(self) -> t.Iterator[Finding]:
        if self._client.is_on("smtp_never_send_ehlo"):
            yield self._finds(EHLO_DISABLED, "smtp_never_send_ehlo")
        discarded = {
            each.lower() for each in split_tokens(self._client.get("smtp_discard_ehlo_keywords"))
        }
        if discarded & _NEEDED_KEYWORDS:
            yield self._finds(EHLO_DISABLED, "smtp_discard_ehlo_keywords")
        for token in split_tokens(self._client.get(_EHLO_MAPS)):
            table = self._configuration.tables[token]
            values = [*table.values.values()]
            found = [*self._configuration.results.get(token, ()), *map(decode, values)]
            if any(_NEEDED_KEYWORDS & {*split_tokens(each.lower())} for each in found):
                # Which addresses the server has, nobody knows before.
                kind = EHLO_DISABLED if table.type == "static" else EHLO_DISABLED_BY_ADDRESS
                yield self._finds(kind, _EHLO_MAPS, table=redact(token))
