# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""A task's own options and those that it has from module_defaults.

An action gets both in one dict. ansible-core lets a task's own option replace a default of the same
name only; here it replaces one under any of the option's names, and one that excludes it.
"""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.module_utils.common.validation import check_type_list
from ansible.parsing.mod_args import ModuleArgsParser

from ..module_utils._ses._mail_manager import is_mail_manager_host
from ..module_utils._ses._smtp_password import SesSmtpError
from ..module_utils._smtp._server import (
    PORTS_OF_TLS,
    region_of_endpoint,
)
from ._login_places import KEY_PAIR, LOGIN
from ._task_secrets import (
    Spec,
    map_names,
    parse_options,
)

__all__ = (
    "LOGIN_REPLACES_KEY",
    "REPLACED_DEFAULTS",
    "Replaces",
    "drop_replaced_defaults",
    "find_defaults",
    "list_own_names",
    "use_one_name_each",
)

Options = t.Mapping[str, t.Any]


class Replaces(t.NamedTuple):
    """That a task's own ``options`` replace ``defaults``, if ``when`` is true of all its options."""

    options: tuple[str, ...]
    defaults: tuple[str, ...]
    when: t.Callable[[Options], bool] = lambda _options: True


def _tls_is_for_other_ports(options: Options) -> bool:
    port, tls = options["port"], options["tls"]
    is_known = any(port in ports for ports in PORTS_OF_TLS.values())
    return is_known and port not in PORTS_OF_TLS[tls]


def _endpoint_is_elsewhere(options: Options) -> bool:
    if is_mail_manager_host(options["endpoint"]):
        return True  # what needs a region is the other system
    return region_of_endpoint(options["endpoint"]) not in (None, options["region"])


#: Of the options that all modules have.
REPLACED_DEFAULTS = (
    Replaces(("port",), ("tls",), _tls_is_for_other_ports),
    Replaces(("tls",), ("port",), _tls_is_for_other_ports),
    Replaces(("endpoint",), ("fips", "dualstack")),
    Replaces(("fips",), ("endpoint",), lambda options: options["fips"] is True),
    Replaces(("dualstack",), ("endpoint",), lambda options: options["dualstack"] is True),
    Replaces(("region",), ("endpoint",), _endpoint_is_elsewhere),
    Replaces(KEY_PAIR, LOGIN),
)
#: Where a key beside a login is not for the diagnosis of its refusal.
LOGIN_REPLACES_KEY = Replaces(LOGIN, KEY_PAIR)


def find_defaults(task: t.Any, module: str) -> dict[str, t.Any]:
    """Return the options for ``module`` in the module_defaults of ``task``, not templated yet."""
    latest: dict[str, t.Any] = {}
    for each in task.module_defaults or ():
        latest.update(each)
    groups = {f"group/{name}" for name in task._parent._play._action_groups.get(module, ())}
    options: dict[str, t.Any] = {}
    for name in (*(name for name in latest if name in groups), module):
        given = latest.get(name)
        # From ansible-core 2.19 on it may be a template; what that says isn't known here.
        options.update(given if isinstance(given, dict) else {})
    return options


def list_own_names(task: t.Any) -> frozenset[str] | None:
    """Return the names of the options that ``task`` itself gives, None if that can't be told.

    It can't for options in a template, ``args: "{{ options }}"``, beside module_defaults.
    """
    if not task.module_defaults:
        return frozenset(task.args)
    try:
        parser = ModuleArgsParser(task.get_ds())
        _action, options, _delegate_to = parser.parse(skip_action_validation=True)
    except AnsibleError:
        return None
    return None if {"_variable_params", "_raw_params"} & options.keys() else frozenset(options)


def use_one_name_each(spec: Spec, given: Options, own: frozenset[str] | None) -> dict[str, t.Any]:
    """Return a task's options, each under one of its names, those of its items too; none is None.

    ``given`` are the task's with those of module_defaults, ``own`` the names of the former, or None
    if that is not known.

    :raises SesSmtpError: if two names of one option have different values, and it can't be told
        which of them is a default.
    """
    options = _one_name_each(spec, given, own, "")
    for name, value in options.items():
        suboptions = spec.get(map_names(spec).get(name, ""), {}).get("options")
        if suboptions:
            options[name] = _items(suboptions, value, name)
    return options


def drop_replaced_defaults(
    options: Options, own: t.Container[str], rules: t.Iterable[Replaces]
) -> dict[str, t.Any]:
    """Return ``options`` with None for the defaults that the task's own options replace.

    ``options`` have canonical names and their right types, ``own`` are the names of the task's own.
    """
    result = dict(options)
    for rule in rules:
        ours = [name for name in rule.options if name in own and result.get(name) is not None]
        theirs = [
            name for name in rule.defaults if name not in own and result.get(name) is not None
        ]
        if ours and theirs and rule.when(result):
            result.update(dict.fromkeys(theirs))
    return result


def _items(spec: Spec, value: t.Any, place: str) -> t.Any:
    try:
        items = check_type_list(value)
    except TypeError:
        return value  # the check of types says so
    items = [
        _one_name_each(spec, parse_options(item), None, f"{place}[{number}].")
        if parse_options(item)
        else item
        for number, item in enumerate(items)
    ]
    return items if isinstance(value, list) else value


def _one_name_each(
    spec: Spec, given: Options, own: frozenset[str] | None, place: str
) -> dict[str, t.Any]:
    canonical = map_names(spec)
    written: dict[str, list[str]] = {}
    for name in given:
        if name in canonical:
            written.setdefault(canonical[name], []).append(name)
    result = dict(given)
    for names in written.values():
        candidates = [name for name in names if own is not None and name in own] or names
        told = [name for name in candidates if given[name] is not None] or candidates
        for other in told[1:]:
            if str(given[other]) != str(given[told[0]]):
                where = "" if place else ", from the task or from module_defaults"
                raise SesSmtpError(
                    f"{place}{told[0]} and {place}{other} are names of one option, and have"
                    f" different values. Remove one of them{where}"
                )
        for name in names:
            # Null is no value, which the check of an option's type or choices would refuse.
            if name != told[0] or given[name] is None:
                del result[name]
    return result
