# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may send what: AWS accounts with their access keys, and Mail Manager's ingress endpoints."""

from __future__ import annotations

import dataclasses
import fnmatch
import typing as t
from dataclasses import dataclass

from .passwords import SMTP_REGIONS, password_v2, password_v4

__all__ = [
    "ANY_IDENTITY",
    "SMTP_REGIONS",
    "Account",
    "IngressEndpoint",
    "Permission",
    "password_v2",
    "password_v4",
]

#: For a test that says by this name that it does not care about identities: all addresses are verified.
ANY_IDENTITY: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Permission:
    """A statement of an IAM policy that allows ses:SendRawEmail.

    All are patterns with ``*`` and ``?``. ``resources`` are ARNs of identities; the others are
    conditions, each on a key of the same name: ses:FromAddress, ses:FromDisplayName, ses:Recipients,
    ses:FeedbackAddress. None is no condition.
    """

    resources: tuple[str, ...] = ("*",)
    from_address: tuple[str, ...] | None = None
    from_display_name: tuple[str, ...] | None = None
    recipients: tuple[str, ...] | None = None
    feedback_address: tuple[str, ...] | None = None

    def allows(self, resource: str, values: t.Mapping[str, t.Sequence[str]]) -> bool:
        """Whether it allows sending from ``resource`` with these values of the conditions' keys."""
        return _match(self.resources, resource) and all(
            patterns is None or all(_match(patterns, value) for value in values[name])
            for name in ("from_address", "from_display_name", "recipients", "feedback_address")
            for patterns in (getattr(self, name),)
        )


@dataclass(frozen=True)
class Account:
    """An IAM user's access key, and the AWS account that it belongs to.

    ``identities`` are addresses and domains that are verified: a plain name in every region, an ARN
    such as ``arn:aws:ses:eu-west-1:123456789012:identity/example.com`` in one. Without any, SES refuses
    every message.

    ``configuration_sets`` are those that exist; the ``default_configuration_set`` is used for a message
    that names none. A domain in ``broken_mail_from`` has a custom MAIL FROM domain without an MX record,
    and "reject the message" was chosen for it. ``daily_quota`` and ``rate`` (each second) count
    recipients, per region; accounts with the same ``number`` share them.
    """

    access_key: str
    secret_key: str
    identities: tuple[str, ...] = ()
    permissions: tuple[Permission, ...] = (Permission(),)
    configuration_sets: tuple[str, ...] = ()
    default_configuration_set: str | None = None
    broken_mail_from: tuple[str, ...] = ()
    sandbox: bool = False
    paused: bool = False
    daily_quota: int | None = None
    rate: float | None = None
    number: str = "123456789012"
    user: str = "mail"

    @property
    def user_arn(self) -> str:
        return f"arn:aws:iam::{self.number}:user/{self.user}"

    def identity_arn(self, region: str, identity: str) -> str:
        return f"arn:aws:ses:{region}:{self.number}:identity/{identity}"

    def find_identity(self, address: str, region: str) -> str | None:
        """The verified identity that covers ``address`` in ``region``, or None.

        An address counts as written, upper and lower case. A domain covers its sub-domains.
        """
        _local, _at, domain = address.rpartition("@")
        verified = [name for name in map(self._in_region(region), self.identities) if name]
        if address in verified:
            return address
        labels = domain.lower().split(".")
        for start in range(len(labels)):
            for name in verified:
                if name.lower() == ".".join(labels[start:]):
                    return name
        return domain if "*" in verified else None

    def _in_region(self, region: str) -> t.Callable[[str], str | None]:
        def read(identity: str) -> str | None:
            if not identity.startswith("arn:"):
                return identity
            _arn, _aws, _ses, its_region, _number, resource = identity.split(":", 5)
            return resource.partition("/")[2] if its_region == region else None

        return read

    def with_changes(self, **changes: t.Any) -> Account:
        """The same with other values of these fields."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class IngressEndpoint:
    """An ingress endpoint of Mail Manager, AWS's second SMTP system: a chosen password, no derivation.

    For a time after a change its ``passwords`` are two.
    """

    username: str
    passwords: tuple[str, ...]


def _match(patterns: t.Sequence[str], value: str) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns)


_R = t.TypeVar("_R", Account, IngressEndpoint, Permission)


def dump(item: Account | IngressEndpoint) -> dict[str, t.Any]:
    """As JSON has it; ``load`` reads it."""
    return dataclasses.asdict(item)


def load(kind: type[_R], content: t.Mapping[str, t.Any]) -> _R:
    """An account, endpoint or permission from JSON; what is not there has its default.

    Raises TypeError for a name that is no field.
    """
    values: dict[str, t.Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    if "permissions" in values:
        values["permissions"] = tuple(load(Permission, item) for item in values["permissions"])
    return kind(**values)
