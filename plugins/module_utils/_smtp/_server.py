# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""An SMTP server and a login for it, as controller and managed host know them."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .._ses._mail_manager import IAM, MAIL_MANAGER, is_ingress_endpoint, is_mail_manager_host
from .._ses._regions import DOMAINS
from .._ses._secret_shapes import is_access_key

__all__ = (
    "PORTS_OF_TLS",
    "SmtpLogin",
    "SmtpServer",
    "is_ses_host",
    "region_of_endpoint",
    "smtp_system",
)

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


def is_ses_host(host: str) -> bool:
    """Return whether a host is of one of SES's two SMTP systems."""
    return is_mail_manager_host(host) or region_of_endpoint(host) is not None


def smtp_system(
    hosts: t.Iterable[str], username: str | None = None, version: int | None = None
) -> str | None:
    """Return which SMTP system of SES a login is for, None if for neither of them.

    The names of its ``hosts`` decide; if they are none of SES's, its ``username``, or ``version``,
    that of its password, which only those derived from an access key have.
    """
    names = tuple(hosts)
    if any(map(is_mail_manager_host, names)):
        return MAIL_MANAGER
    if any(map(region_of_endpoint, names)):
        return IAM
    if username is not None and is_ingress_endpoint(username):
        return MAIL_MANAGER
    is_derived = version is not None or (username is not None and is_access_key(username))
    return IAM if is_derived else None
