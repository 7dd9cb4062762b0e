# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The logins that the action plugin hands over, and whether their servers accept them."""

from __future__ import annotations

import functools
import json
import typing as t

from ._settings import (
    RelayError,
    RelayLogin,
    SenderLogin,
)

__all__ = ["handed_over", "log_in"]


def handed_over(password: str | None) -> tuple[tuple[RelayLogin, ...], tuple[SenderLogin, ...]]:
    """The servers for all mail and those of senders, all as JSON in the option password.

    Raises RelayError if that is not what the action plugin has made.
    """
    try:
        said = json.loads(password or "")
        return (
            tuple(RelayLogin(**one) for one in said["logins"]),
            tuple(SenderLogin(**one) for one in said["senders"]),
        )
    except (KeyError, TypeError, ValueError):
        # Without the cause: it could show the password.
        raise RelayError(
            "this module does not run without its action plugin: call it as"
            " mailops.ses.postfix_relay"
        ) from None


def log_in(
    logins: t.Iterable[RelayLogin],
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
        SmtpServer,
        login,
        login_with_retries,
    )

    accepted = set()
    for one in logins:
        server = SmtpServer(one.host, one.port, one.tls)
        same = (server, one.username, one.password)
        if same in accepted:
            continue
        attempt = functools.partial(
            login, server, one.username, one.password, timeout=timeout, ca_file=ca_file
        )
        try:
            login_with_retries(attempt, retries, delay)
        except LoginRefused as refused:
            message = f"{one.asked_by}: {refused.message}"
            if one.diagnosis and refused.reason in ("credentials_invalid", "version_2"):
                message += f". {one.diagnosis}"
            raise RelayError(f"{message}. Nothing was changed") from None
        accepted.add(same)
