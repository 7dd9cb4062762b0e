# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Which of SES's two SMTP systems a login is for, and that login, host and port agree on it.

SES's regional endpoints accept a password that is derived from an access key. Mail Manager accepts
the one that was chosen for an ingress endpoint.
"""

from __future__ import annotations

from ..module_utils._ses._mail_manager import (
    MAIL_MANAGER_PORTS,
    MAIL_MANAGER_WITHOUT_WRAPPER,
    explain_not_derived,
    is_ingress_endpoint,
    is_mail_manager_host,
)
from ..module_utils._ses._secret_shapes import is_access_key
from ..module_utils._ses._smtp_password import SesSmtpError
from ..module_utils._smtp._server import PORTS_OF_TLS, region_of_endpoint

__all__ = ("check_derivable", "check_mail_manager_port", "check_username_of_system")


def check_derivable(host: str, place: str = "endpoint") -> None:
    """Check that a password for ``host``, of the option ``place``, can be derived.

    :raises SesSmtpError: if it is one of Mail Manager.
    """
    if is_mail_manager_host(host):
        raise SesSmtpError(explain_not_derived(f"{place} '{host}'"))


def check_mail_manager_port(
    host: str, port: int | None, tls: str | None = None, place: str = "endpoint"
) -> None:
    """Check that Mail Manager has TLS at a port as requested. ``host`` may be another server's.

    :raises SesSmtpError: if not.
    """
    if is_mail_manager_host(host) and (tls == "wrapper" or port in PORTS_OF_TLS["wrapper"]):
        raise SesSmtpError(
            f"{place} '{host}' is an ingress endpoint of Mail Manager, and"
            f" {MAIL_MANAGER_WITHOUT_WRAPPER}. Give port {MAIL_MANAGER_PORTS[0]} or"
            f" {MAIL_MANAGER_PORTS[1]} with tls 'starttls'"
        )


def check_username_of_system(username: str, host: str, place: str = "endpoint") -> None:
    """Check that a user name and a host are not certainly of different systems.

    :raises SesSmtpError: if they are.
    """
    if is_mail_manager_host(host) and is_access_key(username):
        raise SesSmtpError(
            f"username is an access key ID, but {place} '{host}' is an ingress endpoint of Mail"
            " Manager. Its user name is the ID of the ingress endpoint (inp-...), and its password"
            " the one that was chosen for it. Give these two, or the region of the access key"
            " instead of the endpoint"
        )
    if is_ingress_endpoint(username) and region_of_endpoint(host) is not None:
        raise SesSmtpError(
            f"username '{username}' is the ID of an ingress endpoint of Mail Manager, but the host"
            f" '{host}' is of SES's other SMTP system, which refuses this login. Give the A record"
            " of the ingress endpoint (....mail-manager-smtp.amazonaws.com) as endpoint"
        )
