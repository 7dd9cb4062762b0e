# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Amazon SES finds in a message's header, and says about it in JavaMail's words."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .answers import Confidence

#: AWS's "header fields": those that a message may have several times.
_OFTEN = frozenset({"to", "cc", "bcc", "received", "comments", "keywords"})
_ADDRESSES = ("From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Return-Path")
_SPECIALS = frozenset('()<>,;:\\"[]')
_TOKEN = re.compile(r"[^\s\x00-\x1f\x7f()<>@,;:\\\"/\[\]?=]+")


#: How the words begin that are in public logs. Any others are JavaMail's own, and only inferred.
_SEEN: t.Mapping[str, Confidence] = {
    "Address contains illegal characters in user name: ": Confidence.MEDIUM,
    "Domain contains illegal character": Confidence.MEDIUM,
    "Duplicate header ": Confidence.HIGH,
    "Empty required header 'To'.": Confidence.MEDIUM,
    "Expected '/', got ": Confidence.MEDIUM,
    "Expected ';', got ": Confidence.MEDIUM,
    "Expected disposition, got ": Confidence.MEDIUM,
    "Invalid domain name: ": Confidence.HIGH,
    "Local address contains control or whitespace": Confidence.MEDIUM,
    "Missing final '@domain'": Confidence.HIGH,
    "Missing required header 'From'.": Confidence.MEDIUM,
}


class HeaderError(Exception):
    """A header that SES refuses; its text is what SES says after "Transaction failed: "."""

    @property
    def confidence(self) -> Confidence:
        """How well the text is known."""
        found = (value for words, value in _SEEN.items() if str(self).startswith(words))
        return next(found, Confidence.INFERRED)


@dataclass(frozen=True)
class Mailbox:
    """An address in a header: as it is written there, the address alone, and its display name."""

    written: str
    address: str
    display_name: str


def read_headers(content: bytes) -> list[tuple[str, str]]:
    """The header's fields in order, unfolded."""
    head = re.split(rb"\r?\n\r?\n", content, maxsplit=1)[0].decode("utf-8", "surrogateescape")
    fields = re.sub(r"\r?\n(?=[ \t])", "", head).splitlines()
    divided = (line.partition(":") for line in fields)
    return [(name.strip(), value.strip()) for name, colon, value in divided if colon]


def values_of(headers: t.Sequence[tuple[str, str]], name: str) -> list[str]:
    """All values of the fields with this name."""
    return [value for field, value in headers if field.lower() == name.lower()]


def check_headers(headers: t.Sequence[tuple[str, str]], *, needs_to: bool) -> None:
    """Refuse what SES refuses: missing, empty, and doubled fields, and bad syntax.

    Raises HeaderError with SES's words.
    """
    for name in ("From", "To"):
        values = values_of(headers, name)
        if not values and (name == "From" or needs_to):
            raise HeaderError(f"Missing required header '{name}'.")
        if values and not any(values):
            raise HeaderError(f"Empty required header '{name}'.")
    seen = set()
    for name, _value in headers:
        key = name.lower()
        if key in seen and key not in _OFTEN and not key.startswith("x-"):
            raise HeaderError(f"Duplicate header '{name}'.")
        seen.add(key)
    for name in _ADDRESSES:
        for value in values_of(headers, name):
            for mailbox in split_addresses(value):
                check_address(mailbox.address)
    for value in values_of(headers, "Content-Type"):
        _check_content_type(value)
    for value in values_of(headers, "Content-Disposition"):
        _check_disposition(value)


def split_addresses(value: str) -> list[Mailbox]:
    """The mailboxes of an address list; of a group, its members.

    Raises HeaderError for a semicolon that ends no group.
    """
    mailboxes = []
    in_group = False
    for part in _split(value):
        group = re.match(r"[^\"<>@:]*:", part)
        in_group = in_group or group is not None
        written = part[group.end() :].strip() if group else part.strip()
        if written.endswith(";"):
            if not in_group:
                raise HeaderError("Illegal semicolon, not in group")
            written, in_group = written[:-1].strip(), False
        if written:
            mailboxes.append(_read_mailbox(written))
    return mailboxes


def _read_mailbox(written: str) -> Mailbox:
    angle = re.search(r"<([^<>]*)>\s*$", written)
    if not angle:
        return Mailbox(written, re.sub(r"\([^()]*\)", "", written).strip(), "")
    return Mailbox(written, angle[1].strip(), written[: angle.start()].strip().strip('"'))


def _split(value: str) -> t.Iterator[str]:
    """At the commas outside quotes, comments and angle brackets."""
    return (
        found[0]
        for found in re.finditer(r'(?:"(?:\\.|[^"\\])*"|\([^()]*\)|<[^<>]*>|[^,"(<]|["(<])+', value)
    )


def check_address(address: str) -> None:
    """Refuse an address that JavaMail's InternetAddress refuses.

    Raises HeaderError with its words.
    """
    if not address:
        raise HeaderError("Empty address")
    local, at, domain = _divide(address)
    if local.startswith("."):
        raise HeaderError("Local address starts with dot")
    unquoted = re.sub(r'^"(?:\\.|[^"\\])*"$', "", local)
    if '"' in unquoted:
        raise HeaderError("Quote not at start of local address")
    if any(character <= " " or character >= "\x7f" for character in unquoted):
        raise HeaderError("Local address contains control or whitespace")
    if _SPECIALS & set(unquoted):
        raise HeaderError("Local address contains illegal character")
    if ".." in unquoted:
        raise HeaderError("Local address contains dot-dot")
    if not at:
        raise HeaderError("Missing final '@domain'")
    if not local:
        raise HeaderError("Missing local name")
    if unquoted.endswith("."):
        raise HeaderError("Local address ends with dot")
    _check_domain(domain)


def _divide(address: str) -> tuple[str, str, str]:
    """Local part, @ or nothing, and domain; an @ in quotes does not divide."""
    quoted = re.match(r'"(?:\\.|[^"\\])*"', address)
    start = quoted.end() if quoted else 0
    local, at, domain = address[start:].partition("@")
    return address[:start] + local, at, domain


def _check_domain(domain: str) -> None:
    if not domain:
        raise HeaderError("Missing domain")
    if domain.startswith("["):
        return  # a literal: not looked at
    if domain.startswith("."):
        raise HeaderError("Domain starts with dot")
    for character in domain:
        if character <= " " or character == "\x7f":
            raise HeaderError("Domain contains control or whitespace")
        if not (character.isalnum() or character in "-."):
            raise HeaderError("Domain contains illegal character")
    if ".." in domain:
        raise HeaderError("Domain contains dot-dot")
    if domain.endswith("."):
        raise HeaderError("Domain ends with dot")


def check_recipient(address: str) -> None:
    """Refuse an envelope's recipient that SES accepted at RCPT and cannot send to.

    Raises HeaderError with SES's words.
    """
    local, _at, domain = _divide(address)
    if ":" in local or "@" in local:
        raise HeaderError(f"Address contains illegal characters in user name: '<{address}>'.")
    labels = domain.split(".")
    bad = not all(
        re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?", label) for label in labels
    )
    if bad or labels[-1].isdigit():
        raise HeaderError(f"Invalid domain name: '{domain}'.")


def _check_content_type(value: str) -> None:
    kind = _TOKEN.match(value)
    if not kind:
        raise HeaderError(f"Expected MIME type, got {value[:1]}")
    rest = value[kind.end() :].lstrip()
    if not rest.startswith("/"):
        raise HeaderError(f"Expected '/', got {rest[:1]}")
    subtype = _TOKEN.match(rest[1:].lstrip())
    if not subtype:
        raise HeaderError(f"Expected MIME subtype, got {rest[1:].lstrip()[:1]}")
    _check_parameters(rest[1:].lstrip()[subtype.end() :])


def _check_disposition(value: str) -> None:
    kind = _TOKEN.match(value)
    if not kind:
        raise HeaderError(f"Expected disposition, got {value[:1]}.")
    rest = value[kind.end() :].lstrip()
    if rest.startswith("="):
        raise HeaderError("Expected disposition, got =.")
    _check_parameters(rest)


def _check_parameters(rest: str) -> None:
    rest = rest.strip()
    while rest:
        if not rest.startswith(";"):
            token = re.match(r'"[^"]*"?|\S', rest)
            raise HeaderError(f"Expected ';', got \"{token[0] if token else rest}\"")
        rest = rest[1:].lstrip()
        parameter = re.match(r'[^\s=;]+\s*=\s*("(?:\\.|[^"\\])*"|[^\s;"]+)', rest)
        if not rest:
            return
        if not parameter:
            raise HeaderError(f'Expected parameter name, got "{rest[:1]}"')
        rest = rest[parameter.end() :].lstrip()
