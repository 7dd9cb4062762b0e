# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Setting up the relay of an instance: what is read, planned and checked for it."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import replace

from .._postfix._main_cf import split_tokens
from .._postfix._tls import check_ca_file, find_system_ca_file
from .._ses._redaction import redact
from ._checks import (
    ALSO_READ,
    RouteCheck,
    check_accepted,
    check_maps,
    check_routes,
    check_version,
)
from ._decision import Decision
from ._settings import MAPS, NAMES, RelayError, RelayLogins
from ._setup_plan import plan_setup
from ._snapshot import RelaySnapshot, read_for_setup
from ._transport import check_transport

if t.TYPE_CHECKING:
    from .._files._safe_path import SafePath
    from ._instance import Instance
    from ._plan import RelayPlan, RelayRequest

__all__ = ["complete_request", "decide_setup"]


def complete_request(request: RelayRequest) -> RelayRequest:
    """The request with the system's CA file, if one is needed and the task gives none.

    Raises PostfixError if the system has none, RelayError if no service can have the name.
    """
    check_transport(request.transport)
    if request.ca_file is None and request.tls_level == "secure":
        return replace(request, ca_file=find_system_ca_file())
    return request


def decide_setup(request: RelayRequest, instance: Instance) -> Decision[RelaySnapshot, RelayPlan]:
    """Plan a set-up, for a request that is complete. Writes nothing, and takes no lock.

    Raises RelayError, PasswordMapError, PostfixError or SecretFileError if what would be there then
    could not work.
    """
    return Decision(
        instance.tools,
        instance,
        read=functools.partial(read_for_setup, instance, request),
        make_plan=functools.partial(plan_setup, request),
        check=functools.partial(_check_plan, instance, request),
        check_staged=functools.partial(_check_staged, instance, request),
    )


def _check_plan(
    instance: Instance, request: RelayRequest, now: RelaySnapshot, plan: RelayPlan
) -> RouteCheck:
    check_accepted(request.accept_findings)
    thoroughly = bool(plan.settings or plan.master_cf)
    _check(instance, request, now, plan.values, thoroughly=thoroughly)
    # Where settings change, what that comes to is only known once they are staged.
    is_final = not plan.settings
    return _check_routes(instance, request, now, plan, plan.values, is_final=is_final)


def _check_staged(
    instance: Instance,
    request: RelayRequest,
    now: RelaySnapshot,
    plan: RelayPlan,
    staged: SafePath,
) -> RouteCheck:
    """Raise RelayError if the new main.cf would not have the effect that it is to have."""
    values = instance.main_cf.read_staged(staged, (*NAMES, *ALSO_READ))
    for setting in now.settings:
        value = values.get(setting.name, "")
        if not setting.is_satisfied_by(value):
            raise RelayError(
                f"with these changes {setting.name} would be {redact(value)!r}, and not"
                f" {setting.value!r}. Look at how main.cf sets it"
            )
    _check(instance, request, now, values, thoroughly=True)
    return _check_routes(instance, request, now, plan, values, is_final=True)


def _check(
    instance: Instance,
    request: RelayRequest,
    now: RelaySnapshot,
    values: t.Mapping[str, str],
    *,
    thoroughly: bool,
) -> None:
    """Raise RelayError if mail would not go as requested with these values.

    The one place for that: before anything is written, with the values that are predicted, and
    again with those of the new main.cf.
    """
    if now.client:
        values = {**values, **now.client.settings}
    postfix = instance.postfix
    logins = [*request.logins, *request.senders]
    check_version(values, len(request.logins))
    check_maps(postfix, split_tokens(values.get(MAPS, "")), now.table, logins)
    if request.ca_file:
        check_ca_file(request.ca_file, thoroughly)


def _check_routes(
    instance: Instance,
    request: RelayRequest,
    now: RelaySnapshot,
    plan: RelayPlan,
    values: t.Mapping[str, str],
    *,
    is_final: bool,
) -> RouteCheck:
    """Raise RelayError if mail would not reach the relay with these values, if they are final."""
    return check_routes(
        instance.postfix,
        now.directory,
        now.values,
        values,
        RelayLogins(request.logins, request.senders),
        tls_level=request.tls_level,
        table=now.table,
        sender_table=f"{now.type.name}:{now.routes_path}",
        master_cf=plan.master_cf.after if plan.master_cf else None,
        accept=request.accept_findings,
        is_final=is_final,
    )
