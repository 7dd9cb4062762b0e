# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Amazon SES checks after the final dot, each check alone.

AWS does not say in which order they come, and no public transcript shows it.
"""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass

from . import answers
from .account_book import AccountBook
from .accounts import Account
from .behaviour import Behaviour
from .headers import (
    HeaderError,
    Mailbox,
    check_headers,
    check_recipient,
    read_headers,
    split_addresses,
    values_of,
)

#: The mailbox simulator's local parts; each may have a label (AWS, "Using the mailbox simulator").
_SIMULATORS = frozenset({"success", "bounce", "complaint", "ooto", "suppressionlist"})
#: Instead of what is wrong with a header, where SES's words are not known.
_OTHER_GUESS = "Invalid header."


@dataclass(frozen=True)
class Submission:
    """A message that an account has sent to a region."""

    account: Account
    region: str
    mail_from: str
    recipients: tuple[str, ...]
    content: bytes
    behaviour: Behaviour
    book: AccountBook

    @functools.cached_property
    def headers(self) -> list[tuple[str, str]]:
        return read_headers(self.content)

    def mailboxes(self, *names: str) -> list[Mailbox]:
        """The addresses of the fields with these names."""
        values = [value for name in names for value in values_of(self.headers, name)]
        return [mailbox for value in values for mailbox in split_addresses(value)]

    def first(self, name: str) -> str | None:
        """The value of the first field with this name."""
        return next(iter(values_of(self.headers, name)), None)

    def identity_of(self, address: str) -> str | None:
        return self.account.find_identity(address, self.region)

    @property
    def outsiders(self) -> list[str]:
        """The recipients for which a sandbox needs an identity."""
        return [address for address in self.recipients if not is_simulator(address)]


def is_simulator(address: str) -> bool:
    """Whether it is an address of AWS's mailbox simulator."""
    local, _at, domain = address.lower().rpartition("@")
    return domain == "simulator.amazonses.com" and local.partition("+")[0] in _SIMULATORS


def judge(submission: Submission) -> str | None:
    """The refusal of a message, or None; of several, the first in the order of its behaviour."""
    for check in submission.behaviour.arrange(CHECKS):
        refusal = check(submission)
        if refusal is not None:
            return refusal
    return None


def _check_size(submission: Submission) -> str | None:
    if len(submission.content) > submission.behaviour.message_size:
        return submission.behaviour.say(answers.TOO_LONG)
    return None


def _check_recipients(submission: Submission) -> str | None:
    limit = submission.behaviour.recipients
    if len(submission.recipients) > limit:
        reason = f"Recipient count exceeds {limit}."
        return submission.behaviour.say(answers.TRANSACTION_FAILED, reason=reason)
    return None


def _check_syntax(submission: Submission) -> str | None:
    try:
        # That it is refused over SMTP, as it is in the API, is a guess.
        check_headers(submission.headers, needs_to=not submission.behaviour.other_guesses)
        for address in submission.recipients:
            check_recipient(address)
    except HeaderError as error:
        guessed = error.confidence is answers.Confidence.INFERRED
        other = guessed and submission.behaviour.other_guesses
        reason = _OTHER_GUESS if other else str(error)
        return submission.behaviour.say(answers.TRANSACTION_FAILED, reason=reason)
    return None


def _check_configuration_set(submission: Submission) -> str | None:
    named = submission.first("X-SES-CONFIGURATION-SET")
    name = named or submission.account.default_configuration_set
    if name is not None and name not in submission.account.configuration_sets:
        return submission.behaviour.say(answers.CONFIGURATION_SET, name=name)
    return None


def _check_permission(submission: Submission) -> str | None:
    account = submission.account
    sender = [box.address for box in submission.mailboxes("From")] or [submission.mail_from]
    needed = [*sender, *(submission.outsiders if account.sandbox else [])]
    values = {
        "from_address": sender,
        "from_display_name": [box.display_name for box in submission.mailboxes("From")],
        "recipients": submission.recipients,
        "feedback_address": [submission.first("Return-Path") or submission.mail_from],
    }
    for address in needed:
        identity = submission.identity_of(address) or address
        resource = account.identity_arn(submission.region, identity)
        if not any(item.allows(resource, values) for item in account.permissions):
            return submission.behaviour.say(
                answers.ACCESS_DENIED, user=account.user_arn, resource=resource
            )
    return None


def _check_paused(submission: Submission) -> str | None:
    return submission.behaviour.say(answers.PAUSED) if submission.account.paused else None


def _check_identities(submission: Submission) -> str | None:
    senders = submission.mailboxes("From", "Sender", "Return-Path")
    written = [(box.written, box.address) for box in senders]
    written.append((submission.mail_from, submission.mail_from))
    if submission.account.sandbox:
        written += [(address, address) for address in submission.outsiders]
    failed = dict.fromkeys(text for text, address in written if not submission.identity_of(address))
    if not failed:
        return None
    listed = ", ".join(failed)
    limit = submission.behaviour.listed
    if len(listed) > limit:
        listed = f"{listed[:limit]}..."
    return submission.behaviour.say(
        answers.NOT_VERIFIED, region=submission.region.upper(), identities=listed
    )


def _check_mail_from_domain(submission: Submission) -> str | None:
    identity = submission.identity_of(submission.mail_from)
    if identity in submission.account.broken_mail_from:
        return submission.behaviour.say(answers.MAIL_FROM_DOMAIN)
    return None


def _check_rate(submission: Submission) -> str | None:
    count = len(submission.recipients)
    if submission.book.is_within_rate(submission.account, submission.region, count):
        return None
    return submission.behaviour.say(answers.SENDING_RATE)


def _check_quota(submission: Submission) -> str | None:
    count = len(submission.recipients)
    if submission.book.is_within_quota(submission.account, submission.region, count):
        return None
    return submission.behaviour.say(answers.DAILY_QUOTA)


#: In the likeliest order.
CHECKS: tuple[t.Callable[[Submission], str | None], ...] = (
    _check_size,
    _check_syntax,
    _check_recipients,
    _check_permission,
    _check_paused,
    _check_configuration_set,
    _check_identities,
    _check_mail_from_domain,
    _check_rate,
    _check_quota,
)
