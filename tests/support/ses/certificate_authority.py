# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate authority for tests, and certificates with the names of SES's SMTP endpoints."""

from __future__ import annotations

from pathlib import Path

import trustme


def endpoint_names(region: str) -> list[str]:
    """The names that the SMTP endpoint of ``region`` can have (AWS General Reference)."""
    hosts = ("email-smtp", "email-smtp-fips")
    return [
        f"{host}.{region}.{domain}" for host in hosts for domain in ("amazonaws.com", "api.aws")
    ]


class CertificateAuthority:
    """Made anew for each use; its files are in ``directory``, which must exist."""

    def __init__(self, directory: Path, name: str = "mailops.ses test authority") -> None:
        self._directory = directory
        # ECDSA: a hundred signatures in the time of one RSA key.
        self._authority = trustme.CA(organization_name=name, key_type=trustme.KeyType.ECDSA)
        #: What clients are told to trust.
        self.ca_file = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca_file))
        # Postfix's smtp client reads it without being root.
        self.ca_file.chmod(0o644)

    def issue(self, *names: str) -> Path:
        """A PEM file with the key and the chain of a server that has these names."""
        path = self._directory / f"{names[0]}.pem"
        path.touch(mode=0o600)
        issued = self._authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA)
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    def issue_for_region(self, region: str) -> Path:
        """The same for all names of a region's SMTP endpoint."""
        return self.issue(*endpoint_names(region))
