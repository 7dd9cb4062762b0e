# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""What a run has shown of its relay: by Postfix's own probe, by our own login only, or not at all."""

from __future__ import annotations

import time
import typing as t
from dataclasses import asdict, dataclass

from ._settings import RelayError

if t.TYPE_CHECKING:
    from .._findings._probe import RelayProbe
    from ._settings import RelayLogins

__all__ = ["Proof", "lack_proof", "prove"]

_OF_SENDER = (
    "Postfix's probe has a sender of its own, double-bounce, so it can't show the login of another"
    " sender"
)


@dataclass(frozen=True)
class Proof:
    """What was shown of one server, for the mail of one sender or (None) of all others.

    `shown_by` is "postfix" if Postfix's own probe was accepted, "login" if only our own login was,
    and "nothing". `reason` is the server's reply, or why there is no better proof. `tls_verified`
    says that Postfix verifies the server's certificate before it sends the login.
    """

    server: str
    sender: str | None
    shown_by: str
    tls_verified: bool
    reason: str

    def show(self) -> dict[str, t.Any]:
        """The proof as a result has it."""
        return asdict(self)


def prove(
    logins: RelayLogins,
    unverified: t.Container[str],
    ask: t.Callable[[], RelayProbe],
    *,
    retries: int = 0,
    delay: float = 0.0,
    afterwards: str = "Nothing was changed",
    find_suspects: t.Callable[[RelayProbe], t.Sequence[str]] = lambda _found: (),
    sleep: t.Callable[[float], None] = time.sleep,
) -> tuple[Proof, ...]:
    """Have Postfix probe its relay, once our own logins were accepted.

    `unverified` has the servers whose certificate Postfix does not verify. `ask` makes one probe.
    While it fails with what may pass, as for our own login, it is made again, `retries` times and
    `delay` seconds apart. Raises RelayError with Postfix's reason if mail would not reach the relay,
    with the settings that may be the cause, and with the host's state `afterwards`. A Postfix that
    can't be asked is no failure: then the proof says why.
    """
    found = ask()
    for _attempt in range(retries):
        if not (_is_failure(found) and found.may_pass):
            break
        sleep(delay)
        found = ask()
    if _is_failure(found):
        suspects = "; ".join(find_suspects(found))
        cause = f". The cause may be one of these settings: {suspects}" if suspects else ""
        raise RelayError(
            f"Postfix's own probe of the relay failed: {found.reason}{cause}. {afterwards}"
        )
    reason = found.reason
    by_postfix = found.accepted and len(logins.logins) == 1
    if found.accepted and not by_postfix:
        reason = (
            f"Postfix's probe was accepted ({reason}), but it meets one of {len(logins.logins)}"
            " servers and does not say which"
        )
    of_all = ("postfix" if by_postfix else "login", reason)
    return _proofs(logins, unverified, of_all, ("login", _OF_SENDER))


def lack_proof(
    logins: RelayLogins, unverified: t.Container[str], reason: str, *, logged_in: bool
) -> tuple[Proof, ...]:
    """The proof of a run that does not ask Postfix, for a `reason`."""
    shown = ("login" if logged_in else "nothing", reason)
    return _proofs(logins, unverified, shown, shown)


def _is_failure(found: RelayProbe) -> bool:
    return found.accepted is False or found.is_late


def _proofs(
    logins: RelayLogins,
    unverified: t.Container[str],
    of_all: tuple[str, str],
    of_senders: tuple[str, str],
) -> tuple[Proof, ...]:
    """A proof of each server; `of_all` and `of_senders` have what it was shown by, and the reason."""
    return tuple(
        Proof(
            each.destination,
            each.sender or None,
            shown_by,
            each.destination.lower() not in unverified,
            reason,
        )
        for group, (shown_by, reason) in ((logins.logins, of_all), (logins.senders, of_senders))
        for each in group
    )
