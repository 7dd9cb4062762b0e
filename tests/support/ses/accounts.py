# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which credentials the stand-in for SES accepts, and which faults are switched on.

The passwords come from botocore's own SigV4 signer, never from this collection's code.
"""

from __future__ import annotations

import base64
import enum
import functools
import hashlib
import hmac
import json
import threading
import typing as t
from dataclasses import dataclass
from pathlib import Path

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .answers import FAULTS, Fault, Stage

#: AWS General Reference, "Amazon Simple Email Service endpoints and quotas".
SMTP_REGIONS: tuple[str, ...] = (
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-north-1",
    "sa-east-1",
    "ap-south-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-southeast-1",
    "ap-southeast-2",
    "us-gov-west-1",
    "us-gov-east-1",
)


class Verdict(enum.Enum):
    """What a user name and password turned out to be; the reason is for tests, not for clients."""

    ACCEPTED = "accepted"
    UNKNOWN_USER = "unknown user"
    VERSION_2 = "version 2 password"
    OTHER_REGION = "password of another region"
    RAW_SECRET = "the secret access key itself"
    WRONG_PASSWORD = "wrong password"


@dataclass(frozen=True)
class Account:
    """An IAM user's access key that may send through SES, in every region."""

    access_key: str
    secret_key: str


@functools.lru_cache(maxsize=4096)
def password_v4(secret_key: str, region: str) -> str:
    """The SMTP password of ``secret_key`` in ``region``, as botocore signs it.

    Returns 44 characters: base64 of the version byte 4 and the 32 bytes of the signature.
    """
    request = AWSRequest(method="GET", url="https://email.example.com/")
    request.context["timestamp"] = "11111111T000000Z"
    signer = SigV4Auth(Credentials("AKIAIOSFODNN7EXAMPLE", secret_key), "ses", region)
    signature: str = signer.signature("SendRawEmail", request)
    return base64.b64encode(b"\x04" + bytes.fromhex(signature)).decode()


def password_v2(secret_key: str) -> str:
    """The SMTP password of the 2018 format, which SES refuses since 2021."""
    signature = hmac.new(secret_key.encode(), b"SendRawEmail", hashlib.sha256).digest()
    return base64.b64encode(b"\x02" + signature).decode()


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


class AccountBook:
    """The accounts and faults of a stand-in; may be changed from any thread while it runs."""

    def __init__(self, accounts: t.Iterable[Account] = ()) -> None:
        self._lock = threading.RLock()
        self._accounts = {account.access_key: account for account in accounts}
        self._faults: list[_SwitchedOn] = []

    def add(self, account: Account) -> None:
        """Accept this key from now on (next to the others: an IAM user has up to two)."""
        with self._lock:
            self._accounts[account.access_key] = account

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

    def judge(self, username: str, password: str, region: str) -> Verdict:
        """What SES in ``region`` makes of these credentials, and why."""
        with self._lock:
            self._refresh()
            account = self._accounts.get(username)
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

    def _refresh(self) -> None:
        """Where the book is kept elsewhere, read it again; called with the lock held."""


class AccountFile(AccountBook):
    """An account book that follows a JSON file, so that another process can change it.

    The file holds ``accounts``, a list of ``{"access_key", "secret_key"}``, and ``faults``, a list
    of ``{"fault": NAME, "username": ..., "times": ...}``. Replace it by a rename: from then on
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
        self._accounts = {
            entry["access_key"]: Account(entry["access_key"], entry["secret_key"])
            for entry in content["accounts"]
        }
        self._faults = [
            _SwitchedOn(FAULTS[entry["fault"]], entry.get("username"), entry.get("times"))
            for entry in content.get("faults", ())
        ]
        self._seen = (status.st_ino, status.st_mtime_ns)
