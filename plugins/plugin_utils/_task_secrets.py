# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The secrets among a task's arguments, and how to keep them out of messages and other options."""

from __future__ import annotations

import json
import re
import typing as t
from urllib.parse import quote

from ansible.module_utils.common.validation import check_type_dict

from ..module_utils._ses._redaction import REDACTED
from ..module_utils._ses._secret_shapes import looks_secret

__all__ = (
    "REDACTED",
    "Spec",
    "TaskSecrets",
    "find_secret_in_wrong_option",
    "list_secret_values",
    "map_names",
    "parse_options",
)

Spec = t.Mapping[str, t.Mapping[str, t.Any]]

#: A shorter secret is replaced only where it is a word: it may be a part of "secret_key" too.
SHORT = 8
#: A secret of this length in another option is there by mistake, not by chance.
_LONG = 16
#: Long enough for a secret access key; what has the characters of several kinds is no word or path.
_TOKEN = re.compile(r"[A-Za-z0-9/+]{40,}")
_KINDS = (re.compile("[A-Z]"), re.compile("[a-z]"), re.compile("[0-9/+]"))
#: A name in a dict that has a secret, as the stores of secrets have it; messages have it, too.
_NAME_OF_SECRET = re.compile(
    r"(?=.{1,32}\Z)[A-Za-z_]*(?:secret|access|key)[A-Za-z_]*", re.IGNORECASE
)
_LOGIN = re.compile(r"[\w.@+-]+:\S")
#: Options that have a check of their own, with a better message.
_CHECKED_ELSEWHERE = frozenset(["access_key", "region", "regions", "version"])


class TaskSecrets:
    """The secrets of one task. It replaces them in texts, however they are quoted there."""

    def __init__(self) -> None:
        """Know of none."""
        self._texts: set[str] = set()
        self._of_length: dict[int, set[str]] | None = None

    def add(self, secret: str) -> None:
        """Add a secret."""
        self._texts.update({secret, secret.strip()} - {""})
        self._of_length = None

    def add_options(self, spec: Spec, given: t.Any) -> set[str]:
        """Add what may be secret in a task's options; return what is in the no_log ones.

        A secret with white space inside is shown in pieces. An unknown option may be a misspelt
        secret_key.
        """
        known = set(list_secret_values(spec, given))
        for text in known:
            self.add(text)
            self._texts.update(piece for piece in text.split() if len(piece) >= SHORT)
        names = map_names(spec)
        for name, value in parse_options(given).items():
            if name not in names:
                self._texts.update(text for text in _texts(value) if len(text) >= _LONG)
        return known

    def redact(self, value: t.Any) -> t.Any:
        """Return ``value``, a text or what JSON can hold, with its secrets replaced."""
        forms = sorted(self._forms(), key=len, reverse=True)
        return _redact(value, forms)

    def are_in(self, text: str) -> bool:
        """Return whether ``text`` holds a secret that is long enough not to be there by chance."""
        if self._of_length is None:
            self._of_length = {}
            for secret in self._texts:
                if len(secret) >= _LONG:
                    self._of_length.setdefault(len(secret), set()).add(secret)
        # A task may have 10,000 secrets and as many texts, but the secrets have few lengths.
        return any(
            text[start : start + length] in secrets
            for length, secrets in self._of_length.items()
            for start in range(len(text) - length + 1)
        )

    def _forms(self) -> set[str]:
        forms = set()
        for secret in self._texts:
            forms |= {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]}
            forms |= {quote(secret), quote(secret, safe="")}
        return forms


def map_names(spec: Spec) -> dict[str, str]:
    """Return every name that ``spec`` accepts, aliases included, with the option that it is."""
    return {
        name: option
        for option, about in spec.items()
        for name in [option, *about.get("aliases", [])]
    }


def list_secret_values(spec: Spec, *given: t.Any) -> t.Iterator[str]:
    """Yield every string among the values of the no_log options in ``given``, a task's or more."""
    names = map_names(spec)
    for options in given:
        for name, value in parse_options(options).items():
            option = spec.get(names.get(name, ""), {})
            if option.get("no_log"):
                yield from _texts(value)
            elif option.get("options"):
                items = value if isinstance(value, list) else [value]
                yield from list_secret_values(option["options"], *items)


def find_secret_in_wrong_option(spec: Spec, secrets: TaskSecrets, *given: t.Any) -> str | None:
    """Return which option is shown and has a secret for its value, or None.

    ``given`` are options that ``spec`` accepts, a task's or more. The answer has the place in them
    and the name, such as "[0].path".
    """
    names = map_names(spec)
    for number, options in enumerate(given):
        for name, value in parse_options(options).items():
            option = spec[names[name]]
            if option.get("no_log") or names[name] in _CHECKED_ELSEWHERE or value is None:
                continue
            if option.get("options"):
                found = find_secret_in_wrong_option(option["options"], secrets, *value)
                if found:
                    return f"[{number}].{name}{found}"
            elif _is_wrong(option, names[name], value, secrets):
                return f"[{number}].{name}"
    return None


def _is_wrong(option: t.Mapping[str, t.Any], name: str, value: t.Any, secrets: TaskSecrets) -> bool:
    for text in _texts(value):
        if name == "username":
            # Its form is checked with its password, and "user:password" where it is refused.
            if not _LOGIN.match(text) and secrets.are_in(text):
                return True
            continue
        # A path may have the length of a secret.
        is_path = option.get("type") == "path" and text.startswith(("/", "~"))
        if secrets.are_in(text) or (not is_path and _has_secret_shape(text)):
            return True
    return False


def _redact(value: t.Any, secrets: t.Sequence[str]) -> t.Any:
    if isinstance(value, dict):
        return {_redact(key, secrets): _redact(item, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact(item, secrets) for item in value]
    if not isinstance(value, str):
        return value
    text = str(value)
    for secret in secrets:
        if secret in text and len(secret) >= SHORT:
            text = text.replace(secret, REDACTED)
        elif secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", REDACTED, text)
    return _TOKEN.sub(lambda found: REDACTED if _is_mixed(found[0]) else found[0], text)


def _has_secret_shape(text: str) -> bool:
    return looks_secret(text.strip()) or any(map(_is_mixed, _TOKEN.findall(text)))


def _is_mixed(token: str) -> bool:
    return all(kind.search(token) for kind in _KINDS)


def parse_options(given: t.Any) -> dict[t.Any, t.Any]:
    """Return options as ansible-core reads them: a dict, JSON, or key=value."""
    try:
        options = check_type_dict(given)
    except (TypeError, ValueError):
        return {}
    return options if isinstance(options, dict) else {}  # up to ansible-core 2.18 also a set


def _texts(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if not (isinstance(key, str) and _NAME_OF_SECRET.fullmatch(key)):
                yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
