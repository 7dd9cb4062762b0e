# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Whether the servers of a relay accept their logins."""

from __future__ import annotations

import functools
import typing as t

from ._settings import RelayError

if t.TYPE_CHECKING:
    from .._smtp._server import SmtpLogin

__all__ = ("try_logins",)


def try_logins(
    logins: t.Iterable[SmtpLogin],
    timeout: float,
    ca_file: str | None,
    *,
    retries: int = 0,
    delay: float = 0.0,
) -> None:
    """Log in to each server; `timeout` is in seconds for each attempt, of which there are more
    while a refusal may pass, `delay` seconds apart.

    Raises RelayError, with what the server's answer means, if one refuses.
    """
    # Only now: without verify, TLS would take a tenth of a run that has nothing to do.
    from .._smtp._login import (  # noqa: PLC0415
        LoginRefused,
        log_in,
        log_in_with_retries,
    )

    accepted = set()
    for login in logins:
        same = (login.server, login.username, login.password)
        if same in accepted:
            continue
        attempt = functools.partial(log_in, login, timeout=timeout, ca_file=ca_file)
        try:
            log_in_with_retries(attempt, retries, delay)
        except LoginRefused as refused:
            message = f"{login.requested_by}: {refused.message}"
            raise RelayError(f"{message}. Nothing was changed") from None
        accepted.add(same)
