# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What to warn of in the options of a login: what may be right, but probably is not."""

from __future__ import annotations

from ..module_utils._ses._mail_manager import MAIL_MANAGER_PORTS, is_mail_manager_host
from ..module_utils._ses._regions import region_warning
from ..module_utils._smtp._server import PORTS_OF_TLS, region_of_endpoint

__all__ = ("option_warnings",)


def option_warnings(region: str | None, host: str | None, port: int | None) -> list[str]:
    """Return what to warn of in a region and in the server's host and port, each None if not given."""
    found = (region_warning(region), _port_warning(host, port))
    return [warning for warning in found if warning]


def _port_warning(host: str | None, port: int | None) -> str | None:
    if host is None or port is None:
        return None
    if is_mail_manager_host(host) and port not in MAIL_MANAGER_PORTS:
        ports = " and ".join(map(str, MAIL_MANAGER_PORTS))
        return f"port {port} is none of Mail Manager's ports. {host} has {ports}. Give one of these"
    if region_of_endpoint(host) is None:
        return None
    if any(port in ports for ports in PORTS_OF_TLS.values()):
        return None
    usual = {tls: ", ".join(map(str, sorted(ports))) for tls, ports in PORTS_OF_TLS.items()}
    return (
        f"port {port} is none of SES's ports. {host} has {usual['starttls']} for STARTTLS and "
        f"{usual['wrapper']} for TLS from the first byte. Give one of these"
    )
