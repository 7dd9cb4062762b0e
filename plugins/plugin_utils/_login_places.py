# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The places that give the options of a login, and which halves of a login go together.

An item has from the task what it does not give, and the task from the controller's environment.
Half of one login with half of another is a login that SES can only refuse.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import typing as t

from ..module_utils._ses._secret_shapes import is_access_key
from ..module_utils._ses._smtp_password import (
    SesSmtpError,
    check_access_key,
    check_secret_key,
)

__all__ = (
    "ENVIRONMENT_VARIABLES",
    "KEY_PAIR",
    "LOGIN",
    "Place",
    "check_halves",
    "check_one_secret_each",
    "merge",
    "read_environment",
    "respect_environment_of_task",
    "with_environment",
)

# Each half, with what checks its form.
_CHECKS = {"access_key": check_access_key, "secret_key": check_secret_key}
KEY_PAIR = ("access_key", "secret_key")
LOGIN = ("username", "password")

ENVIRONMENT_VARIABLES = {
    "access_key": ("AWS_ACCESS_KEY_ID",),
    "secret_key": ("AWS_SECRET_ACCESS_KEY",),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
}


#: What names an access key for AWS's own tools. Of these, a task's ``environment`` has been given some.
_KEY_VARIABLES = frozenset(
    {
        *ENVIRONMENT_VARIABLES["access_key"],
        *ENVIRONMENT_VARIABLES["secret_key"],
        "AWS_DEFAULT_PROFILE",
        "AWS_PROFILE",
    }
)
_of_task: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar(
    "_of_task", default=frozenset()
)


class Place(t.NamedTuple):
    """The options, by their canonical names, that one place gives; None is not given.

    ``name`` is the place's name in an error: "the task", "senders[0]".
    """

    name: str
    options: t.Mapping[str, t.Any]


def read_environment() -> Place:
    """Return what this process's environment, the controller's, gives."""
    options = {}
    for option, variables in ENVIRONMENT_VARIABLES.items():
        found = [os.environ[name] for name in variables if name in os.environ]
        options[option] = max(found, key=bool, default=None)  # the first that isn't empty
    return Place("the controller's environment", options)


@contextlib.contextmanager
def respect_environment_of_task(variables: t.Iterable[str]) -> t.Iterator[None]:
    """Let no login be made of the controller's environment if the task's own names another access key.

    ``variables`` are the names in the ``environment`` of the task, which is the managed host's.
    """
    token = _of_task.set(_KEY_VARIABLES & set(variables))
    try:
        yield
    finally:
        _of_task.reset(token)


def merge(*places: Place) -> dict[str, t.Any]:
    """Return the options that ``places`` give, the nearest place first."""
    return {
        name: value
        for place in reversed(places)
        for name, value in place.options.items()
        if value is not None
    }


def with_environment(*places: Place) -> dict[str, t.Any]:
    """Return the options of ``places``, the nearest first, and what they lack of the environment's.

    The nearest place that gives any part of a login decides its kind: a key pair, or a user name
    and a password. What the others give of the other kind is left out.

    :raises SesSmtpError: if the half of a login that one place gives could only be completed with
        the half of another login. The message says which half is missing, where the other login is,
        and no secret.
    """
    everywhere = (*places, read_environment())
    nearest = next((each for each in places if _part(each, KEY_PAIR + LOGIN)), everywhere[-1])
    options = {
        name: value for name, value in merge(*everywhere).items() if name not in KEY_PAIR + LOGIN
    }
    if _part(nearest, LOGIN):
        return {**options, **_part(nearest, KEY_PAIR), **_complete(LOGIN, places)}
    pair = _complete(KEY_PAIR, everywhere)
    if _of_task.get() and len(pair) == len(KEY_PAIR) and pair != _complete(KEY_PAIR, places):
        raise SesSmtpError(
            f"{', '.join(sorted(_of_task.get()))} in the environment of the task or play is for"
            " programs on the managed host, and is not read here. Without the options access_key and"
            " secret_key, the task would use the key in the environment of Ansible on the controller."
            " Give the options, and remove the variables"
        )
    return {**options, **pair}


def check_halves(*places: Place) -> None:
    """Check that ``places``, the nearest first, give no half of one login with half of another.

    :raises SesSmtpError: if they do, as with_environment() says.
    """
    for pair in (KEY_PAIR, LOGIN):
        _complete(pair, places)


def check_one_secret_each(places: t.Iterable[Place]) -> None:
    """Check that no two of ``places`` give different secret keys for one access key ID.

    :raises SesSmtpError: if two do; the message names them and the access key ID.
    """
    first_with: dict[str, Place] = {}
    for place in places:
        pair = _part(place, KEY_PAIR)
        if len(pair) < len(KEY_PAIR) or not isinstance(pair["access_key"], str):
            continue
        first = first_with.setdefault(pair["access_key"], place)
        if first.options["secret_key"] != pair["secret_key"]:
            raise SesSmtpError(
                f"{first.name} and {place.name} give different values of secret_key for the same"
                f" access_key{_show('access_key', pair)}, and an access key ID has exactly one"
                " secret. Correct the one that is wrong"
            )


def _part(place: Place, names: t.Iterable[str]) -> dict[str, t.Any]:
    return {name: place.options[name] for name in names if place.options.get(name) is not None}


def _complete(pair: tuple[str, str], places: t.Iterable[Place]) -> dict[str, t.Any]:
    """Return the nearest place's part of ``pair``, with the other half from where it may come."""
    parts = [(place, part) for place in places if (part := _part(place, pair))]
    if not parts:
        return {}
    (_nearest, given), *others = parts
    if len(given) == len(pair):
        return given
    (half,) = given
    (missing,) = set(pair) - {half}
    owner = None  # the place whose login the other half may belong to
    for place, part in others:
        is_same = part.get(half) == given[half]
        # A user name has another password for each region, so a password replaces another.
        if not is_same and part.get(half) and half != "password":
            owner = place
        if missing in part:
            if owner and not is_same:
                raise _of_another_login(half, given, missing, place, owner)
            return {**given, missing: part[missing]}
    return given


def _of_another_login(
    half: str, given: t.Mapping[str, t.Any], missing: str, place: Place, owner: Place
) -> SesSmtpError:
    if half in _CHECKS:  # no half at all, which is the better message
        _CHECKS[half](given[half])
    there = "there" if owner is place else f"of {owner.name}"
    return SesSmtpError(
        f"{missing} is missing beside {half}{_show(half, given)}. The"
        f" {missing}{_show(missing, place.options)} of {place.name} belongs to the"
        f" {half}{_show(half, owner.options)} {there}, which is another one. Give {half} and"
        f" {missing} together, or neither"
    )


def _show(name: str, options: t.Mapping[str, t.Any]) -> str:
    """Return the value of an option with a blank before it, "" if it may be a secret."""
    value = options.get(name)
    is_shown = name in ("access_key", "username") and isinstance(value, str)
    return f" {value}" if is_shown and is_access_key(t.cast(str, value)) else ""
