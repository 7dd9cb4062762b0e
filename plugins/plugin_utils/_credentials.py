# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The options that the collection's actions have in common, and the SMTP login they request.

It runs on the controller only: this is where the AWS secret ends and the SMTP password begins.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
from urllib.parse import quote

from ..module_utils._ses._regions import check_region, smtp_endpoint
from ..module_utils._ses._secret_mistakes import (
    find_mistake_of_password,
)
from ..module_utils._ses._secret_shapes import (
    is_access_key,
    looks_secret,
)
from ..module_utils._ses._smtp_password import (
    SesSmtpError,
    check_access_key,
    derive_password,
    find_password_version,
    type_name,
)
from ..module_utils._smtp._server import (
    PORTS_OF_TLS,
    SmtpLogin,
    SmtpServer,
    region_of_endpoint,
    smtp_system,
)
from ._login_places import (
    ENVIRONMENT_VARIABLES,
    KEY_PAIR,
)
from ._secret_warning import (
    warn_of_secret_key,
)
from ._smtp_systems import (
    check_derivable,
    check_mail_manager_port,
    check_username_of_system,
)

__all__ = (
    "SmtpCredentials",
    "check_not_swapped",
    "find_credentials",
    "find_server",
    "find_username_and_password",
)

_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


@dataclasses.dataclass(frozen=True)
class SmtpCredentials:
    """A login for SES over SMTP, and what its password was derived for.

    ``version`` is None for a password that is none of SES's, ``region`` if none was given.
    """

    login: SmtpLogin
    region: str | None
    version: int | None

    @property
    def system(self) -> str | None:
        """Which of SES's SMTP systems it is for, None if for another server."""
        return smtp_system([self.login.server.host], self.login.username, self.version)

    @property
    def quoted_password(self) -> str:
        """The password as it stands in a URL. RFC 3986, section 3.2.1: "/" would end the host."""
        return quote(self.login.password, safe="")

    @property
    def url(self) -> str:
        """The login as a URL, smtp:// for STARTTLS and smtps:// for TLS from the first byte."""
        server = self.login.server
        scheme = "smtps" if server.tls == "wrapper" else "smtp"
        user = quote(self.login.username, safe="")
        return f"{scheme}://{user}:{self.quoted_password}@{server.host}:{server.port}"


def check_not_swapped(username: str, password: str = "") -> None:
    """Check that ``username`` is no secret: unlike the password, a user name is shown.

    :raises SesSmtpError: if it looks like a secret access key or an SMTP password, or if the
        password looks like an access key ID.
    """
    if looks_secret(username):
        raise SesSmtpError(
            "username looks like a secret. It is the access key ID, like AKIAIOSFODNN7EXAMPLE; "
            "were username and password swapped?"
        )
    if is_access_key(password):
        raise SesSmtpError(
            "password is an access key ID, which is the user name. The password is the SMTP "
            "password that was derived from the secret access key; were username and password "
            "swapped?"
        )


def find_server(options: t.Mapping[str, t.Any]) -> SmtpServer:
    """Return the server that the options region, endpoint, port, tls, fips and dualstack name.

    :raises SesSmtpError: if they name none, or contradict each other.
    """
    port, tls = _port_and_tls(options.get("port"), options.get("tls"))
    host = _host(options)
    check_mail_manager_port(host, port, tls)
    return SmtpServer(host, port, tls)


def find_username_and_password(options: t.Mapping[str, t.Any]) -> tuple[str, str]:
    """Return the user name and password that the common options request.

    Unlike find_credentials(), it needs no server: a login that is given may be for any.

    :raises SesSmtpError: if an option is missing, wrong, or contradicts another.
    """
    username, password = options.get("username"), options.get("password")
    if username is not None or password is not None:
        return _given_login(username, password, options)
    return _derived_login(options.get("region"), options)


def find_credentials(
    options: t.Mapping[str, t.Any], requested_by: str = "the task"
) -> SmtpCredentials:
    """Return the login that the common options request, deriving its password unless it is given.

    ``options`` has canonical names only and may lack any of them. ``requested_by`` is the place in
    the task that gives them.

    :raises SesSmtpError: if an option is missing, wrong, or contradicts another.
    """
    username, password = find_username_and_password(options)
    server = find_server(options)
    check_username_of_system(username, server.host)
    return SmtpCredentials(
        login=SmtpLogin(server, username, password, requested_by),
        region=options.get("region"),
        version=find_password_version(password),
    )


def _given_login(
    username: str | None, password: t.Any, options: t.Mapping[str, t.Any]
) -> tuple[str, str]:
    if options.get("access_key") is not None or options.get("secret_key") is not None:
        raise SesSmtpError(
            "username and password are for a login that is derived already; access_key and "
            "secret_key are for one to derive. Give either pair, not both"
        )
    for name, value in (("username", username), ("password", password)):
        if value is None or value == "":
            raise SesSmtpError(f"{name} is missing. username and password go together")
        if not isinstance(value, str):
            raise SesSmtpError(f"{name} must be a string, not {type_name(value)}")
    check_not_swapped(t.cast(str, username), t.cast(str, password))
    mistake = find_mistake_of_password(t.cast(str, password))
    if mistake:
        raise SesSmtpError(f"password {mistake}")
    return t.cast(str, username), t.cast(str, password)


def _derived_login(region: t.Any, options: t.Mapping[str, t.Any]) -> tuple[str, str]:
    if options.get("endpoint") is not None:
        check_derivable(options["endpoint"])
    for option in KEY_PAIR:
        if options.get(option) is None:
            raise SesSmtpError(
                f"{option} is missing. Give the option, or set {ENVIRONMENT_VARIABLES[option][0]} in the "
                f"environment of Ansible on the controller{_about_profile()}"
            )
    version = options.get("version")
    password = derive_password(
        options["secret_key"],
        region,
        4 if version is None else version,
        endpoint=options.get("endpoint"),
    )
    username = check_access_key(options["access_key"])
    warn_of_secret_key(options["secret_key"])
    return username, password


def _about_profile() -> str:
    is_set = any(os.environ.get(name) for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"))
    return ". AWS_PROFILE is set there, but profiles are not read" if is_set else ""


def _host(options: t.Mapping[str, t.Any]) -> str:
    region, endpoint = options.get("region"), options.get("endpoint")
    if endpoint is None:
        if region is None:
            raise SesSmtpError(
                "region is missing. Give the region that mail is sent through, like 'eu-west-1', "
                "or set AWS_REGION in the environment of Ansible on the controller"
            )
        return smtp_endpoint(
            region,
            fips=bool(options.get("fips")),
            dualstack=bool(options.get("dualstack")),
        )
    for option in ("fips", "dualstack"):
        if options.get(option):
            raise SesSmtpError(
                f"{option} picks one of the region's endpoints, and endpoint is given. "
                "Give either of them"
            )
    if not _HOST_NAME.fullmatch(endpoint):
        raise SesSmtpError(
            "endpoint must be a plain host name, like 'email-smtp.eu-west-1.amazonaws.com': "
            "no brackets, no port, no smtp://"
        )
    if region is not None:  # version 2 and a password that is given don't look at it
        check_region(region)
    found = region_of_endpoint(endpoint)
    if found and region is not None and found != region:
        raise SesSmtpError(
            f"endpoint '{endpoint}' is in another region than region '{region}', and the password "
            "of one is refused by the other. Give the region of the endpoint"
        )
    return str(endpoint)


def _port_and_tls(port: int | None, tls: str | None) -> tuple[int, str]:
    if port is None:
        tls = tls or "starttls"
        return PORTS_OF_TLS[tls][0], tls
    if not 1 <= port <= 65535:
        raise SesSmtpError(f"port must be between 1 and 65535, not {port}")
    usual = "wrapper" if port in PORTS_OF_TLS["wrapper"] else "starttls"
    tls = tls or usual
    if tls != usual and any(port in ports for ports in PORTS_OF_TLS.values()):
        raise SesSmtpError(
            f"port {port} of SES is for tls '{usual}', not '{tls}'. With tls '{tls}' the ports are "
            f"{', '.join(str(number) for number in sorted(PORTS_OF_TLS[tls]))}"
        )
    return port, tls
