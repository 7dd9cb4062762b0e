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
from ansible_collections.mailops.ses.plugins.module_utils._secret_shapes import looks_secret

__all__ = (
    "REDACTED",
    "Spec",
    "TaskSecrets",
    "canonical_names",
    "secret_in_wrong_option",
    "secret_values",
)

REDACTED = "[redacted]"

Spec = t.Mapping[str, t.Mapping[str, t.Any]]

#: A shorter secret is replaced only where it is a word: it may be a part of "secret_key" too.
SHORT = 8
#: A secret of this length in another option is there by mistake, not by chance.
_LONG = 16
#: Long enough for a secret access key; what has the characters of several kinds is no word or path.
_TOKEN = re.compile(r"[A-Za-z0-9/+]{40,}")
_KINDS = (re.compile("[A-Z]"), re.compile("[a-z]"), re.compile("[0-9/+]"))
#: Options that have a check of their own, with a better message.
_CHECKED_ELSEWHERE = frozenset(["access_key", "region", "regions", "version"])


class TaskSecrets:
    """The secrets of one task. It replaces them in texts, however they are quoted there."""

    def __init__(self) -> None:
        """Know of none."""
        self._texts: set[str] = set()

    def add(self, secret: str) -> None:
        """Add a secret."""
        self._texts.update({secret, secret.strip()} - {""})

    def add_options(self, spec: Spec, given: t.Any) -> None:
        """Add what may be secret in a task's options.

        A secret with white space inside is shown in pieces. An unknown option may be a misspelt
        secret_key.
        """
        for text in secret_values(spec, given):
            self.add(text)
            self._texts.update(piece for piece in text.split() if len(piece) >= SHORT)
        names = canonical_names(spec)
        for name, value in _as_dict(given).items():
            if name not in names:
                self._texts.update(text for text in _texts(value) if len(text) >= _LONG)

    def redacted(self, value: t.Any) -> t.Any:
        """Return ``value``, a text or what JSON can hold, with its secrets replaced."""
        if isinstance(value, dict):
            return {self.redacted(key): self.redacted(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.redacted(item) for item in value]
        if not isinstance(value, str):
            return value
        text = str(value)
        for form in sorted(self._forms(), key=len, reverse=True):
            if len(form) < SHORT:
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", REDACTED, text)
            else:
                text = text.replace(form, REDACTED)
        return _TOKEN.sub(lambda found: REDACTED if _is_mixed(found[0]) else found[0], text)

    def are_in(self, text: str) -> bool:
        """Return whether ``text`` holds a secret that is long enough not to be there by chance."""
        return any(secret in text for secret in self._texts if len(secret) >= _LONG)

    def _forms(self) -> set[str]:
        forms = set()
        for secret in self._texts:
            forms |= {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]}
            forms |= {quote(secret), quote(secret, safe="")}
        return forms


def canonical_names(spec: Spec) -> dict[str, str]:
    """Return every name that ``spec`` accepts, aliases included, with the option that it is."""
    return {
        name: option
        for option, about in spec.items()
        for name in [option, *about.get("aliases", [])]
    }


def secret_values(spec: Spec, given: t.Any) -> t.Iterator[str]:
    """Yield every string among the values of the no_log options in ``given``."""
    names = canonical_names(spec)
    for name, value in _as_dict(given).items():
        option = spec.get(names.get(name, ""), {})
        if option.get("no_log"):
            yield from _texts(value)
        elif option.get("options"):
            for item in value if isinstance(value, list) else [value]:
                yield from secret_values(option["options"], item)


def secret_in_wrong_option(spec: Spec, given: t.Any, secrets: TaskSecrets) -> str | None:
    """Return the name of an option that is shown and has a secret for its value, or None.

    ``given`` are options that ``spec`` accepts.
    """
    names = canonical_names(spec)
    for name, value in _as_dict(given).items():
        option = spec[names[name]]
        if option.get("no_log") or names[name] in _CHECKED_ELSEWHERE:
            continue
        if option.get("options"):
            for number, item in enumerate(value or ()):
                found = secret_in_wrong_option(option["options"], item, secrets)
                if found:
                    return f"{name}[{number}].{found}"
            continue
        # A path may have the length of a secret. A user name is checked with its password.
        by_shape = names[name] != "username"
        for text in _texts(value):
            is_path = option.get("type") == "path" and text.startswith(("/", "~"))
            if secrets.are_in(text) or (by_shape and not is_path and _has_secret_shape(text)):
                return str(name)
    return None


def _has_secret_shape(text: str) -> bool:
    return looks_secret(text.strip()) or any(map(_is_mixed, _TOKEN.findall(text)))


def _is_mixed(token: str) -> bool:
    return all(kind.search(token) for kind in _KINDS)


def _as_dict(given: t.Any) -> dict[t.Any, t.Any]:
    """Return options as ansible-core reads them: a dict, JSON, or key=value."""
    try:
        options = check_type_dict(given)
    except (TypeError, ValueError):
        return {}
    return options if isinstance(options, dict) else {}  # up to ansible-core 2.18 also a set


def _texts(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
