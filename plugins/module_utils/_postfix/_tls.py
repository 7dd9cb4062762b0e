# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""TLS of Postfix's SMTP client: the levels, what they check, and which policy holds for a server."""

from __future__ import annotations

import os
import re
import typing as t

from ._programs import PostfixError

__all__ = [
    "CHECKED_LEVELS",
    "GOOD_ENOUGH",
    "MANDATORY_LEVELS",
    "OPTIONAL_LEVELS",
    "allows_tls_1_2",
    "check_ca_file",
    "find_system_ca_file",
    "find_tls_level",
    "list_policy_keys",
    "parse_policy_level",
]

#: The levels of smtp_tls_security_level that check the certificate (postconf(5)).
CHECKED_LEVELS = frozenset({"secure", "verify", "fingerprint", "dane-only"})
#: Those that let mail go out without TLS.
OPTIONAL_LEVELS = frozenset({"none", "may"})
#: Those that don't.
MANDATORY_LEVELS = CHECKED_LEVELS | {"encrypt", "dane", "half-dane"}
#: By the level that is requested: those that are at least as safe.
GOOD_ENOUGH = {
    "encrypt": MANDATORY_LEVELS,
    "secure": CHECKED_LEVELS,
}
# Debian, Ubuntu, Alpine, Arch; Red Hat, in two versions; SUSE.
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
)
_BEGIN = b"-----BEGIN "
# Of TLS protocols, by their names in Postfix and OpenSSL's numbers.
_VERSIONS = {"sslv3": 0x300, "tlsv1": 0x301, "tlsv1.1": 0x302, "tlsv1.2": 0x303, "tlsv1.3": 0x304}
_TLS_1_2 = (0x303, 0x304)
_HOST = re.compile(r"[\w.-]+\Z")


def find_tls_level(settings: t.Mapping[str, str]) -> str:
    """The security level; older settings count only without the newer one (postconf(5))."""

    def is_on(name: str) -> bool:
        return settings.get(name, "").lower() == "yes"

    level = settings.get("smtp_tls_security_level", "")
    if level:
        return level.lower()
    if is_on("smtp_enforce_tls"):
        return "verify" if is_on("smtp_tls_enforce_peername") else "encrypt"
    return "may" if is_on("smtp_use_tls") else "none"


def allows_tls_1_2(protocols: str) -> bool:
    """Whether a list of protocols leaves TLS 1.2 or 1.3, older than which SES refuses mail.

    A list that Postfix can't read disables TLS. Source: tls_proto_mask_lims().
    """
    lowest, highest = 0, 0xFFFF
    excluded: set[int] = set()
    included: set[int] = set()
    for token in re.split(r"[\s,:]+", protocols.strip()):
        if not token:
            continue
        if token[:2] in (">=", "<="):
            limit = _limit(token[2:])
            if limit is None:
                return False
            if limit and token[0] == ">":
                lowest = limit
            elif limit:
                highest = limit
            continue
        name = token.lstrip("!").lower()
        if name == "sslv2":  # which no OpenSSL has any more
            included |= {0} if not token.startswith("!") else set()
            continue
        if name not in _VERSIONS or token.startswith("!!"):
            return False
        (excluded if token.startswith("!") else included).add(_VERSIONS[name])
    return any(
        lowest <= version <= highest
        and version not in excluded
        and (not included or version in included)
        for version in _TLS_1_2
    )


def _limit(text: str) -> int | None:
    """The number of a protocol, by its name or in hexadecimal; None if it is neither."""
    if text.lower() in _VERSIONS:
        return _VERSIONS[text.lower()]
    try:
        return int(text, 16) if text else 0
    except ValueError:
        return None


def list_policy_keys(destination: str) -> list[str]:
    """What the client looks up in smtp_tls_policy_maps: a plain name with its parents, anything else as it is.

    Source: smtp_tls_policy.c.
    """
    text = destination.lower()
    if not _HOST.match(text):
        return [text]
    labels = text.split(".")
    return [text, *("." + ".".join(labels[number:]) for number in range(1, len(labels)))]


def parse_policy_level(policy: str) -> str:
    """The level in the value of a TLS policy, empty if it has none."""
    words = policy.replace(",", " ").split()
    return words[0].lower() if words else ""


def find_system_ca_file() -> str:
    """The file with the CA certificates of this system. Raises PostfixError if there is none."""
    for path in _CA_FILES:
        if os.path.isfile(path):
            return path
    raise PostfixError(
        f"this host has no file with CA certificates (none of {', '.join(_CA_FILES)}). Install the"
        " package ca-certificates, or name the file in ca_file"
    )


def check_ca_file(path: str, thoroughly: bool) -> None:
    """Raise PostfixError if Postfix could verify no certificate with this file.

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
        raise PostfixError(
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
