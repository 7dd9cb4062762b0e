# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What main.cf must say for mail to be relayed through SES, and what changes for that: pure."""

from __future__ import annotations

import enum
import re
import typing as t
from dataclasses import dataclass

from .._postfix._login_keys import list_login_keys, list_sender_keys
from .._postfix._main_cf import split_tokens
from .._postfix._map_entry import PasswordMapError
from .._postfix._own_client import OwnClient, list_client_settings
from .._postfix._table_name import parse_table_name
from .._postfix._tls_policy import TLS_REQUIRED
from .._smtp._server import SmtpLogin

__all__ = [
    "MAPS",
    "NAMES",
    "ROUTING",
    "RelayError",
    "RelayLogin",
    "RelayLogins",
    "Setting",
    "SettingChange",
    "find_dropped",
    "lacks_setting",
    "list_client",
    "list_settings",
    "list_unless_older",
    "plan_settings",
    "predict_values",
    "restore_setting",
]

MAPS = "smtp_sasl_password_maps"
_SENDERS = "sender_dependent_relayhost_maps"
# Settings whose default is another one's value: that default changes with the other.
_FOLLOW = {
    "smtp_sasl_tls_security_options": "smtp_sasl_security_options",
    "smtp_sasl_tls_verified_security_options": "smtp_sasl_tls_security_options",
}
#: All settings that this collection may set.
NAMES = (
    MAPS,
    _SENDERS,
    "smtp_sender_dependent_authentication",
    "smtp_sasl_auth_enable",
    "smtp_sasl_security_options",
    "smtp_sasl_tls_security_options",
    "smtp_tls_security_level",
    "smtp_tls_CAfile",
    "smtp_tls_wrappermode",
    TLS_REQUIRED,
    "relayhost",
    "default_transport",
    "relay_transport",
)
#: Those of them that say where mail goes; the others are the client's.
ROUTING = frozenset({_SENDERS, "relayhost", "default_transport", "relay_transport"})
_LISTS_OF_MAPS = frozenset({MAPS, _SENDERS})
# Types of lookup tables whose entries are in main.cf itself.
_INLINE = ("inline:", "static:")
# $name, ${name}, $(name), or ${name?...} and the like (postconf(5)).
_PARAMETER = re.compile(r"\$[{(]?\s{0,20}(\w+)")


class RelayError(PasswordMapError):
    """Why this Postfix can't relay as requested, in words for the operator."""


@dataclass(frozen=True)
class RelayLogin:
    """A login for all mail or, with `sender`, for mail from this address or @domain."""

    login: SmtpLogin
    sender: str = ""

    @property
    def destination(self) -> str:
        """The server as relayhost has it, without an MX lookup."""
        return self.login.server.relayhost

    @property
    def keys(self) -> tuple[str, ...]:
        """What Postfix's client looks up in the password maps, in this order.

        With smtp_sender_dependent_authentication, the sender comes before all else.
        """
        if self.sender:
            return list_sender_keys(self.sender)[:1]
        return list_login_keys(self.login.server.host, self.destination)

    @property
    def key(self) -> str:
        """The key of the entry in our own map."""
        return self.sender or self.destination


@dataclass(frozen=True)
class RelayLogins:
    """All logins that a task requests: for all mail, and for senders."""

    logins: tuple[RelayLogin, ...] = ()
    senders: tuple[RelayLogin, ...] = ()


class Kind(enum.Enum):
    """What makes two values of a setting equal."""

    WORD = "word"
    LIST = "list"
    SET = "set"
    # A list of lookup tables that has ours; others in it are none of our business.
    WITH_TABLE = "with table"


@dataclass(frozen=True)
class Setting:
    """A setting as it is to be."""

    name: str
    value: str
    kind: Kind = Kind.WORD

    def is_satisfied_by(self, effective: str) -> bool:
        """Whether a value (expanded) is as good as ours."""
        if self.kind is Kind.WITH_TABLE:
            has_ours = self.value in (
                str(parse_table_name(token)) for token in split_tokens(effective)
            )
            return has_ours and not self.has_previous(effective)
        if self.kind is Kind.LIST:
            return split_tokens(effective) == split_tokens(self.value)
        if self.kind is Kind.SET:
            return set(split_tokens(effective)) == set(split_tokens(self.value))
        return (
            effective.lower() == self.value.lower()
            if self.value in ("yes", "no")
            else (effective == self.value)
        )

    def add_to(self, value: str) -> str:
        """The value that satisfies, with what else is in a list of tables."""
        if self.kind is not Kind.WITH_TABLE:
            return self.value
        parts = [self.value if self._is_previous(token) else token for token in split_tokens(value)]
        if self.value not in parts:
            parts.insert(0, self.value)
        return ", ".join(dict.fromkeys(parts))

    def has_previous(self, value: str) -> bool:
        """Whether a list of tables has ours under a type that it does not have any more."""
        return self.kind is Kind.WITH_TABLE and any(map(self._is_previous, split_tokens(value)))

    def _is_previous(self, token: str) -> bool:
        name, ours = parse_table_name(token), parse_table_name(self.value)
        return name.path == ours.path and name.type != ours.type


@dataclass(frozen=True)
class SettingChange:
    """A setting that changes in main.cf: None where main.cf does not have it."""

    name: str
    before: str | None
    after: str | None


def list_settings(
    logins: t.Sequence[RelayLogin],
    senders: t.Sequence[RelayLogin],
    *,
    table: str,
    sender_table: str,
    tls_level: str,
    ca_file: str | None,
    is_shared: bool = True,
) -> list[Setting]:
    """The settings for these logins. `table` and `sender_table` are like hash:/path.

    `is_shared` says that SES has no SMTP client of its own, so that main.cf has what it needs.
    Raises RelayError if the servers can't be had at once.

    Sources: SASL_README, TLS_README and facts about SES: no password outside TLS, TLS with a
    certificate that was checked.
    """
    relayhost = Setting("relayhost", ", ".join(each.destination for each in logins), Kind.LIST)
    routes = [Setting(_SENDERS, sender_table, Kind.WITH_TABLE)] if senders else []
    if not is_shared:
        return [relayhost, *routes]
    settings = [
        Setting(MAPS, table, Kind.WITH_TABLE),
        Setting("smtp_sasl_auth_enable", "yes"),
        Setting("smtp_sasl_security_options", "noanonymous, noplaintext", Kind.SET),
        Setting("smtp_sasl_tls_security_options", "noanonymous", Kind.SET),
        Setting("smtp_tls_security_level", tls_level),
        Setting("smtp_tls_wrappermode", _wrappermode([*logins, *senders])),
        relayhost,
    ]
    if ca_file:
        settings.append(Setting("smtp_tls_CAfile", ca_file))
    if senders:
        settings += [*routes, Setting("smtp_sender_dependent_authentication", "yes")]
    return settings


def list_client(
    name: str,
    logins: t.Sequence[RelayLogin],
    senders: t.Sequence[RelayLogin],
    values: t.Mapping[str, str],
    *,
    table: str,
    tls_level: str,
    ca_file: str | None,
) -> OwnClient:
    """The SMTP client for these logins alone, `name` in master.cf. `values` are main.cf's.

    Raises RelayError if the servers can't be had at once, or master.cf can't name a file.
    """
    if ca_file and (split_tokens(ca_file) != (ca_file,) or "{" in ca_file):
        raise RelayError(
            f"ca_file {ca_file!r} has white space, a comma or a brace in it, which master.cf can't"
            " have in a setting of a service. Set ca_file to a path without, or transport to smtp."
            " Nothing was changed"
        )
    settings = list_client_settings(
        values,
        table=table,
        tls_level=tls_level,
        ca_file=ca_file,
        wrappermode=_wrappermode([*logins, *senders]) == "yes",
        has_senders=bool(senders),
    )
    return OwnClient(name, settings)


def list_unless_older(effective: t.Mapping[str, str]) -> list[Setting]:
    """The settings for which a Postfix may be too old.

    Since 3.10 a message with the header TLS-Required: no goes out, and Postfix logs in for it, even
    if the server's certificate can't be verified.
    """
    return [Setting(TLS_REQUIRED, "no")] if TLS_REQUIRED in effective else []


def lacks_setting(requested: t.Iterable[Setting], effective: t.Mapping[str, str]) -> bool:
    """Whether one of the settings is not what it is to be."""
    return not all(
        setting.is_satisfied_by(effective.get(setting.name, "")) for setting in requested
    )


def find_dropped(requested: t.Iterable[Setting], recorded: t.Iterable[str]) -> list[str]:
    """The names of the settings that we have set, and that are not to be any more."""
    names = {setting.name for setting in requested}
    return [name for name in recorded if name not in names]


def plan_settings(
    requested: t.Sequence[Setting], effective: t.Mapping[str, str], explicit: t.Mapping[str, str]
) -> list[SettingChange]:
    """What changes in main.cf. `effective` and `explicit` are of read_settings().

    `explicit` has all that main.cf says, because a setting may be another one's value.
    Raises RelayError for a value that can't be edited without showing a password.
    """
    unlike = {
        setting.name
        for setting in requested
        if not setting.is_satisfied_by(effective.get(setting.name, ""))
    }
    unlike |= _followers(unlike, [setting.name for setting in requested], explicit)
    found = []
    for setting in requested:
        if setting.name not in unlike:
            continue
        before = explicit.get(setting.name)
        current = before or ""
        expanded = effective.get(setting.name, "")
        if setting.has_previous(expanded) and not setting.has_previous(current):
            # Our table under another type is in there by way of a parameter.
            current = expanded
        _refuse_passwords(setting.name, current)
        after = setting.add_to(current)
        found.append(SettingChange(setting.name, before, after))
    return found


def predict_values(
    requested: t.Sequence[Setting],
    effective: t.Mapping[str, str],
    explicit: t.Mapping[str, str],
    changing: t.Sequence[SettingChange],
) -> dict[str, str]:
    """The effective values once main.cf has changed; without those that nobody can tell yet."""
    values = dict(effective)
    settings = {setting.name: setting for setting in requested}
    for change in changing:
        if change.name in settings:
            values[change.name] = settings[change.name].add_to(effective.get(change.name, ""))
        else:
            values.pop(change.name, None)
    changed = {change.name for change in changing}
    for name, followed in _FOLLOW.items():
        if changed and name not in explicit and name not in changed and followed in values:
            values[name] = values[followed]
    return values


def restore_setting(
    name: str, before: str | None, wrote: str, now: str | None
) -> tuple[SettingChange | None, str | None]:
    """How a setting gets back the value from before ours, or why somebody has to look at it.

    All values are as main.cf has them. Ours is taken out of a list of tables to which somebody
    has added; any other value that is not ours any more stays.
    """
    if now == before:
        return None, None
    if now is not None and split_tokens(now) == split_tokens(wrote):
        return SettingChange(name, now, before), None
    if name in _LISTS_OF_MAPS and now is not None:
        ours = set(split_tokens(wrote)) - set(split_tokens(before or ""))
        rest = [token for token in split_tokens(now) if token not in ours]
        if len(rest) == len(split_tokens(now)):
            return None, None
        _refuse_passwords(name, now)
        return SettingChange(name, now, ", ".join(rest) or None), None
    return None, f"{name} was changed by somebody else since, so it stays as it is"


def _followers(
    changing: t.Collection[str], names: t.Iterable[str], explicit: t.Mapping[str, str]
) -> set[str]:
    """Those of `names` whose value, or default, contains that of a setting which is changing."""
    raw = {**{name: f"${followed}" for name, followed in _FOLLOW.items()}, **explicit}
    return {name for name in names if not _parameters(raw.get(name, ""), raw).isdisjoint(changing)}


def _parameters(value: str, raw: t.Mapping[str, str]) -> set[str]:
    """The parameters in a value, and those in their values."""
    found: set[str] = set()
    pending = _PARAMETER.findall(value)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += _PARAMETER.findall(raw.get(name, ""))
    return found


def _refuse_passwords(name: str, value: str) -> None:
    if name == MAPS and any(word in value for word in _INLINE):
        raise RelayError(
            f"{name} in main.cf holds passwords itself (inline: or static:), and others would see"
            " them while it is edited. Move them into a table"
        )


def _wrappermode(logins: t.Sequence[RelayLogin]) -> str:
    by_tls = {login.login.server.tls: login for login in logins}
    if len(by_tls) > 1:
        raise RelayError(
            f"{by_tls['starttls'].destination} begins with STARTTLS and"
            f" {by_tls['wrapper'].destination} with TLS from the first byte, but Postfix's"
            " smtp_tls_wrappermode is for all servers. Give all of them ports of one kind: 587,"
            " 2587 or 25, or else 465 or 2465"
        )
    return "yes" if "wrapper" in by_tls else "no"
