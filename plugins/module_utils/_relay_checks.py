# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Whether mail will be relayed as the settings say: what postfix check does not look at.

postfix check passes an unknown TLS level and a map that is missing; nothing in Postfix says that
another setting, another map or a line of master.cf beats what was asked for.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.mailops.ses.plugins.module_utils._main_cf import Override, tokens
from ansible_collections.mailops.ses.plugins.module_utils._postfix_table import (
    TABLE_TYPES,
    Postfix,
    reason,
)
from ansible_collections.mailops.ses.plugins.module_utils._redaction import is_harmless, redact
from ansible_collections.mailops.ses.plugins.module_utils._relay_settings import (
    MAPS,
    RelayError,
    RelayLogin,
    Setting,
)

__all__ = [
    "ALSO_READ",
    "CHECKED_LEVELS",
    "check_ca_file",
    "check_maps",
    "check_overrides",
    "check_routing",
    "check_tls_policy",
    "opened",
    "system_ca_file",
]

#: Settings that decide whether ours have an effect.
ALSO_READ = (
    "mail_version",
    "default_transport",
    "relay_transport",
    "smtp_sasl_tls_verified_security_options",
    "smtp_tls_policy_maps",
)

# Debian, Ubuntu, Alpine, Arch; Red Hat, in two versions; SUSE.
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
)
_BEGIN = b"-----BEGIN "
#: The levels of smtp_tls_security_level that check the certificate (postconf(5)).
CHECKED_LEVELS = frozenset({"secure", "verify", "fingerprint", "dane-only"})
# Each is good enough for those before it.
_GOOD_ENOUGH = {
    "encrypt": CHECKED_LEVELS | {"encrypt", "dane", "half-dane"},
    "secure": CHECKED_LEVELS,
}
# The service that finds the next hop.
_REWRITE = "rewrite/unix"
_READ_BY_REWRITE = frozenset({"relayhost", "sender_dependent_relayhost_maps"})


def system_ca_file() -> str:
    """The file with the CA certificates of this system. Raises RelayError if there is none."""
    for path in _CA_FILES:
        if os.path.isfile(path):
            return path
    raise RelayError(
        f"this host has no file with CA certificates (none of {', '.join(_CA_FILES)}). Install the"
        " package ca-certificates, or name the file in ca_file"
    )


def check_ca_file(path: str, thoroughly: bool) -> None:
    """Raise RelayError if Postfix could verify no certificate with this file.

    Reading all certificates takes as long as a small task, so that a look at the file must do
    where nothing changes.
    """
    problem = None
    try:
        with open(path, "rb") as file:
            if _BEGIN not in file.read(64 * 1024):
                problem = "has no certificate in PEM form"
    except OSError as exc:
        problem = f"can't be read: {os.strerror(exc.errno) if exc.errno else type(exc).__name__}"
    if thoroughly and not problem:
        problem = _problem_with_certificates(path)
    if problem:
        raise RelayError(
            f"the CA file {path} {problem}. Without it Postfix would defer all mail. The system's own"
            " comes with the package ca-certificates"
        )


def _problem_with_certificates(path: str) -> str | None:
    # Only now: it takes a tenth of a run that has nothing to do.
    import ssl  # noqa: PLC0415

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        return "has no valid certificate in PEM form"
    authorities = context.cert_store_stats()["x509_ca"]
    return None if authorities else "has no certificate of an authority"


def check_routing(values: t.Mapping[str, str], servers: int) -> None:
    """Raise RelayError if another setting keeps relayhost, or the login, from having an effect."""
    transport, _colon, nexthop = values.get("default_transport", "smtp").partition(":")
    if nexthop:
        raise RelayError(
            f"default_transport is {redact(f'{transport}:{nexthop}')}, and its next hop beats relayhost. Take"
            " the next hop out of it"
        )
    verified = "smtp_sasl_tls_verified_security_options"
    if "noplaintext" in tokens(values.get(verified, "")):
        raise RelayError(
            f"{verified} in main.cf has noplaintext, which leaves SES no mechanism to log in with."
            " Remove the setting; its default is right"
        )
    version = values.get("mail_version", "")
    if servers > 1 and _older_than_3_5(version):
        raise RelayError(
            f"this is Postfix {version}, and relayhost can be a list only since 3.5. Give one"
            " region"
        )


def check_overrides(
    found: t.Sequence[Override], values: t.Mapping[str, str], wanted: t.Sequence[Setting]
) -> None:
    """Raise RelayError if master.cf sets something else for a service that our mail goes through."""
    settings = {setting.name: setting for setting in wanted}
    clients = {
        values.get(name, default).partition(":")[0] + "/unix"
        for name, default in (("default_transport", "smtp"), ("relay_transport", "relay"))
    }
    for override in found:
        services = {_REWRITE} if override.name in _READ_BY_REWRITE else clients
        setting = settings.get(override.name)
        if override.service in services and setting and not setting.satisfied_by(override.value):
            raise RelayError(
                f"master.cf, line {override.line}: {override.service}/{override.name} ="
                f" {redact(override.value)} beats the {override.name} of main.cf, which is to be"
                f" {setting.value}. Remove it (postconf -PX"
                f" {override.service}/{override.name})"
            )


def check_maps(
    postfix: Postfix, maps: t.Sequence[str], table: str, logins: t.Sequence[RelayLogin]
) -> None:
    """Raise RelayError unless Postfix's client will find our logins with these maps.

    `maps` are the tables in smtp_sasl_password_maps, expanded; `table` is ours among them, which
    has the logins and was checked by itself. Postfix asks all maps for a key, one after the
    other, before it goes on to the next key (maps_find(), smtp_sasl_glue.c).
    """
    if all(opened(name) == table for name in maps):
        return
    keys = list(dict.fromkeys(key for login in logins for key in login.keys))
    found = {
        name: set() if opened(name) == table else _look_up(postfix, name, keys, MAPS)
        for name in maps
    }
    for login in logins:
        for key in login.keys:
            for name in maps:
                if opened(name) == table and key == login.key:
                    break
                if key in found[name]:
                    raise RelayError(
                        f"{redact(name)}, in {MAPS}, has an entry for {key!r}, which Postfix finds before"
                        f" the one for {login.key!r} in {table}: the credentials asked for would"
                        f" never be used. {_way_out(opened(name))}"
                    )


def _way_out(table: str) -> str:
    """What to do about a table with an entry that is found before ours."""
    name, _colon, path = table.partition(":")
    if name in TABLE_TYPES:
        return f"Set path to {path}, so that the relay's login takes the place of that entry"
    return "Remove that entry"


def check_tls_policy(
    postfix: Postfix, value: str, level: str, logins: t.Sequence[RelayLogin]
) -> None:
    """Raise RelayError if a TLS policy makes the connection less safe than it is to be.

    Source: smtp_tls_policy.c; a next hop in brackets is looked up as it is, and nothing else.
    """
    destinations = list(dict.fromkeys(login.destination for login in logins))
    for name in tokens(value):
        policies = _entries(postfix, name, destinations, "smtp_tls_policy_maps")
        for destination, policy in policies.items():
            words = policy.split() or [""]
            if words[0] not in _GOOD_ENOUGH[level]:
                raise RelayError(
                    f"{redact(name)}, in smtp_tls_policy_maps, has the level {redact(words[0])!r} for"
                    f" {destination!r}, which beats smtp_tls_security_level = {level}. Remove that"
                    " entry"
                )


def _look_up(postfix: Postfix, name: str, keys: t.Sequence[str], setting: str) -> set[str]:
    if any(word in name for word in ("inline:", "static:")):
        # As an argument of postmap it would show the passwords in it.
        raise RelayError(
            f"{setting} has passwords in main.cf itself (inline: or static:), which can't be"
            " checked: an entry for the server's name there would beat ours. Move them into a table"
        )
    return set(_entries(postfix, name, keys, setting))


def _entries(postfix: Postfix, name: str, keys: t.Sequence[str], setting: str) -> dict[str, str]:
    """What a table has for these keys, as Postfix's daemons see it."""
    if not is_harmless(name):
        # As an argument of postmap it would show what may be a password.
        raise RelayError(
            f"{redact(name)}, in {setting}, is not a lookup table, like"
            " hash:/etc/postfix/sasl_passwd. What is redacted may be a password, which anybody can"
            f" read in main.cf. Move it into a lookup table, and take it out of {setting}"
        )
    data = os.fsencode("".join(f"{key}\n" for key in keys))
    table = opened(name)
    code, out, err = postfix.run("postmap", "-q", "-", table, data=data, binary_data=True)
    if b"fatal:" in err or b"error:" in err:
        raise RelayError(
            f"{redact(table)}, in {setting}, can't be read: {reason(code, err)}. Postfix would defer the"
            f" mail. Make the table, or take it out of {setting}"
        )
    lines = (line.partition("\t") for line in out.decode(errors="replace").split("\n"))
    return {key: value for key, tab, value in lines if tab}


def opened(name: str) -> str:
    """The table that a daemon opens in the end: proxymap needs a running Postfix, postmap not."""
    name = name[1:-1].strip() if name.startswith("{") and name.endswith("}") else name
    return name[len("proxy:") :] if name.startswith("proxy:") else name


def _older_than_3_5(version: str) -> bool:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers.group(1)), int(numbers.group(2))) < (3, 5)
