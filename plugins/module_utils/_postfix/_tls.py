# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""TLS of Postfix's SMTP client: which levels check a certificate, and against which authorities."""

from __future__ import annotations

import os

from ._programs import PostfixError

__all__ = ["CHECKED_LEVELS", "check_ca_file", "system_ca_file"]

#: The levels of smtp_tls_security_level that check the certificate (postconf(5)).
CHECKED_LEVELS = frozenset({"secure", "verify", "fingerprint", "dane-only"})
# Debian, Ubuntu, Alpine, Arch; Red Hat, in two versions; SUSE.
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
)
_BEGIN = b"-----BEGIN "


def system_ca_file() -> str:
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
