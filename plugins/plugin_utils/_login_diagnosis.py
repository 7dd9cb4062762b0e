# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What the controller, which has the AWS secret, can add to SES's refusal of a password."""

from __future__ import annotations

import typing as t

from ..module_utils._ses._smtp_password import (
    SesSmtpError,
    derive_password,
    find_region_of_password,
)
from ..module_utils._smtp._login_mistakes import usual_causes
from ..module_utils._smtp._server import region_of_endpoint
from ._credentials import SmtpCredentials
from ._login_places import (
    KEY_PAIR,
    LOGIN,
    Place,
    with_environment,
)

__all__ = ("diagnose", "find_login_and_key_pair")

_ABOUT_THE_KEY = (
    "the access key may be deactivated or deleted, or not the one that the secret key belongs to."
    " If it is new, SES knows it only after half a minute (retries helps)"
)


def find_login_and_key_pair(*places: Place) -> tuple[dict[str, t.Any], dict[str, t.Any] | None]:
    """Return the options of a login, and an access key pair that can tell more about its refusal.

    ``places`` give the options, the nearest first. A login that is given does without the pair,
    which then is, from the same place or the environment, for the diagnosis alone; it may be of no
    use. For a login to derive there is no other pair, which is None.

    :raises SesSmtpError: if the login could only be made of halves of two.
    """
    options = with_environment(*places)
    if all(options.get(name) is None for name in LOGIN):
        return options, None
    login = {name: value for name, value in options.items() if name not in KEY_PAIR}
    try:
        key_pair = with_environment(Place("", {name: options.get(name) for name in KEY_PAIR}))
    except SesSmtpError:  # half of a pair is no help
        key_pair = {}
    return login, key_pair


def diagnose(credentials: SmtpCredentials, key_pair: t.Mapping[str, t.Any] | None) -> str | None:
    """Tell why SES may refuse ``credentials``, None if ``key_pair`` can't help.

    ``key_pair`` is of find_login_and_key_pair(). The text holds no secret. It stands in place of the usual
    causes, because it rules some of them out: so it has those that are left.
    """
    login, region = credentials.login, credentials.region
    host = login.server.host
    if key_pair is None:
        return _diagnose_derived(credentials)
    secret_key = key_pair.get("secret_key")
    if secret_key is None or key_pair.get("access_key") != login.username:
        return None
    if login.password == secret_key:
        return "The password is the secret access key itself"
    try:
        found = find_region_of_password(secret_key, login.password, [region] if region else [])
        version_2 = derive_password(secret_key, version=2)
    except SesSmtpError as exc:
        return f"{usual_causes(host)}. Whether it is the password for another region can't be told: {exc}"
    if login.password == version_2:
        return "This is the version 2 password of the secret key"
    if found is None:
        return (
            "This password was derived from another secret key than that of the task or the "
            "environment: one of the two is outdated or damaged"
        )
    expected = region_of_endpoint(host) or region
    if found == expected or expected is None:
        return f"This is the password of the secret key for {found}, so that {_ABOUT_THE_KEY}"
    return f"This is the password for {found}; region says {expected}. Derive it for {expected}"


def _diagnose_derived(credentials: SmtpCredentials) -> str:
    """Tell why SES may refuse a password that was derived here."""
    host = credentials.login.server.host
    if credentials.version != 4:
        return f"The password was derived for no region (version 2) and offered to {host}"
    derived = f"The password was derived for region {credentials.region} and offered to {host}"
    if region_of_endpoint(host) is None:
        return f"{derived}. {usual_causes(host)}"
    # Another region than the endpoint's is an error of find_credentials().
    return f"{derived}, so that {_ABOUT_THE_KEY}"
