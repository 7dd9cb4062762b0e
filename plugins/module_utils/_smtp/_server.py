# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""An SMTP server and a login for it, as controller and managed host know them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .._ses._regions import DOMAINS

__all__ = ("PORTS_OF_TLS", "SmtpLogin", "SmtpServer", "region_of_endpoint")

#: https://docs.aws.amazon.com/ses/latest/dg/smtp-connect.html
PORTS_OF_TLS = {"starttls": (587, 25, 2587), "wrapper": (465, 2465)}

# AWS General Reference, "Amazon SES endpoints and quotas"
_DOMAIN = "|".join(map(re.escape, DOMAINS))
_SES_ENDPOINT = re.compile(rf"email-smtp(?:-fips)?\.([a-z0-9-]+)\.(?:{_DOMAIN})", re.IGNORECASE)


@dataclass(frozen=True)
class SmtpServer:
    """Where SES takes mail. ``tls`` is "starttls", or "wrapper" for TLS from the first byte."""

    host: str
    port: int
    tls: str

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"

    @property
    def relayhost(self) -> str:
        """The server as Postfix's relayhost and password maps name it, without an MX lookup."""
        return f"[{self.host}]:{self.port}"


@dataclass(frozen=True)
class SmtpLogin:
    """A user name and a password for a server.

    ``requested_by`` is the place in the task that requests it, for errors. ``diagnosis`` is what the
    controller knows about why the server may refuse it; it holds no secret.
    """

    server: SmtpServer
    username: str
    password: str = field(repr=False)
    requested_by: str = "the task"
    diagnosis: str | None = None


def region_of_endpoint(host: str) -> str | None:
    """Return the region in the host name of an SES SMTP endpoint, None for every other name."""
    found = _SES_ENDPOINT.fullmatch(host)
    return found.group(1).lower() if found else None
