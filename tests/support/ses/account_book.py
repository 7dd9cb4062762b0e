# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The accounts and faults of a stand-in for SES: what it accepts now, and what it has counted."""

from __future__ import annotations

import enum
import json
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .accounts import Account, IngressEndpoint, load
from .answers import FAULTS, Fault, Stage
from .passwords import SMTP_REGIONS, password_v2, password_v4

_DAY = 86_400.0  # seconds


class Verdict(enum.Enum):
    """What a user name and password turned out to be; the reason is for tests, not for clients."""

    ACCEPTED = "accepted"
    UNKNOWN_USER = "unknown user"
    VERSION_2 = "version 2 password"
    OTHER_REGION = "password of another region"
    RAW_SECRET = "the secret access key itself"
    WRONG_PASSWORD = "wrong password"


@dataclass
class _SwitchedOn:
    """A fault that is on, for one user or for all, and how often it is still given."""

    fault: Fault
    username: str | None
    times: int | None

    def applies(self, stage: Stage, username: str | None) -> bool:
        return (
            self.fault.stage is stage
            and self.username in (None, username)
            and (self.times is None or self.times > 0)
        )


@dataclass
class TokenBucket:
    """``capacity`` tokens, of which ``rate`` come back each second; starts full at the time ``now``."""

    capacity: float
    rate: float
    now: float

    def __post_init__(self) -> None:
        self._tokens = self.capacity

    def has(self, tokens: int, now: float) -> bool:
        """Whether there are that many at the time ``now``."""
        self._tokens = min(self.capacity, self._tokens + (now - self.now) * self.rate)
        self.now = now
        return self._tokens >= tokens

    def take(self, tokens: int) -> None:
        """Take what ``has`` has found."""
        self._tokens -= tokens


class AccountBook:
    """The accounts and faults of a stand-in; may be changed from any thread while it runs."""

    def __init__(
        self,
        accounts: t.Iterable[Account] = (),
        ingress_endpoints: t.Iterable[IngressEndpoint] = (),
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.RLock()
        self._accounts = {account.access_key: account for account in accounts}
        self._ingress = {item.username: item for item in ingress_endpoints}
        self._faults: list[_SwitchedOn] = []
        self._clock = clock
        self._buckets: dict[tuple[object, ...], TokenBucket] = {}

    def add(self, account: Account) -> None:
        """Accept this key from now on (next to the others: an IAM user has up to two)."""
        with self._lock:
            self._accounts[account.access_key] = account

    def add_ingress_endpoint(self, endpoint: IngressEndpoint) -> None:
        """Accept its login at Mail Manager from now on."""
        with self._lock:
            self._ingress[endpoint.username] = endpoint

    def remove(self, access_key: str) -> None:
        """Refuse this key from now on. Sessions that are logged in stay so, as with SES.

        Raises KeyError if there is no such account.
        """
        with self._lock:
            del self._accounts[access_key]

    def switch_on(
        self, fault: str | Fault, *, username: str | None = None, times: int | None = None
    ) -> None:
        """Answer with ``fault`` (a name in FAULTS, or one's own) at its stage.

        Only for the account ``username`` if given; only ``times`` times if given. Before the
        login no user name is known, so a fault at CONNECT can only be for all.

        Raises KeyError for a name that is not in FAULTS.
        """
        chosen = FAULTS[fault] if isinstance(fault, str) else fault
        with self._lock:
            self._faults.append(_SwitchedOn(chosen, username, times))

    def switch_off_all(self) -> None:
        """Answer normally again."""
        with self._lock:
            self._faults.clear()

    def take_fault(self, stage: Stage, username: str | None) -> Fault | None:
        """The fault to answer with at ``stage``, if one is on; counts it as given."""
        with self._lock:
            self._refresh()
            for switched_on in self._faults:
                if switched_on.applies(stage, username):
                    if switched_on.times is not None:
                        switched_on.times -= 1
                    return switched_on.fault
            return None

    def find(self, username: str) -> Account | None:
        """The account of this access key, as it is now."""
        with self._lock:
            self._refresh()
            return self._accounts.get(username)

    def judge(self, username: str, password: str, region: str) -> Verdict:
        """What SES in ``region`` makes of these credentials, and why."""
        account = self.find(username)
        if account is None:
            return Verdict.UNKNOWN_USER
        if password == password_v4(account.secret_key, region):
            return Verdict.ACCEPTED
        if password == password_v2(account.secret_key):
            return Verdict.VERSION_2
        if password == account.secret_key:
            return Verdict.RAW_SECRET
        if any(password == password_v4(account.secret_key, other) for other in SMTP_REGIONS):
            return Verdict.OTHER_REGION
        return Verdict.WRONG_PASSWORD

    def judge_ingress(self, username: str, password: str) -> Verdict:
        """What Mail Manager makes of these credentials."""
        with self._lock:
            self._refresh()
            endpoint = self._ingress.get(username)
        if endpoint is None:
            return Verdict.UNKNOWN_USER
        return Verdict.ACCEPTED if password in endpoint.passwords else Verdict.WRONG_PASSWORD

    def is_within_rate(self, account: Account, region: str, recipients: int) -> bool:
        """Whether the account may send to that many recipients this second."""
        rate = account.rate
        return rate is None or self._bucket(account, region, rate, rate).has(
            recipients, self._clock()
        )

    def is_within_quota(self, account: Account, region: str, recipients: int) -> bool:
        """Whether the account may send to that many recipients today."""
        quota = account.daily_quota
        return quota is None or self._bucket(account, region, quota, quota / _DAY).has(
            recipients, self._clock()
        )

    def count(self, account: Account, region: str, recipients: int) -> None:
        """Count an accepted message."""
        with self._lock:
            for (number, its_region, *_numbers), bucket in self._buckets.items():
                if (number, its_region) == (account.number, region):
                    bucket.take(recipients)

    def _bucket(self, account: Account, region: str, capacity: float, rate: float) -> TokenBucket:
        with self._lock:
            name = (account.number, region, capacity, rate)
            if name not in self._buckets:
                self._buckets[name] = TokenBucket(capacity, rate, self._clock())
            return self._buckets[name]

    def _refresh(self) -> None:
        """Where the book is kept elsewhere, read it again; called with the lock held."""


class AccountFile(AccountBook):
    """An account book that follows a JSON file, so that another process can change it.

    The file holds ``accounts`` and ``ingress_endpoints``, lists of objects with the fields of
    ``Account`` and ``IngressEndpoint``, and ``faults``, a list of
    ``{"fault": NAME, "username": ..., "times": ...}``. Replace it by a rename: from then on
    every login and every command sees the new one.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._seen: tuple[int, int] | None = None
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        status = self._path.stat()
        if self._seen == (status.st_ino, status.st_mtime_ns):
            return
        content = json.loads(self._path.read_text("utf-8"))
        accounts = [load(Account, entry) for entry in content.get("accounts", ())]
        ingress = [load(IngressEndpoint, entry) for entry in content.get("ingress_endpoints", ())]
        self._accounts = {account.access_key: account for account in accounts}
        self._ingress = {endpoint.username: endpoint for endpoint in ingress}
        self._faults = [
            _SwitchedOn(FAULTS[entry["fault"]], entry.get("username"), entry.get("times"))
            for entry in content.get("faults", ())
        ]
        self._seen = (status.st_ino, status.st_mtime_ns)
