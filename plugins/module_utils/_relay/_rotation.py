# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""Giving a relay another IAM key in two phases that live on the host: what is read for it."""

from __future__ import annotations

import functools
import os
import typing as t

from .._files._safe_path import UnsafePathError
from .._files._safe_walk import MissingDirectoryError
from .._files._secret_file import (
    Staging,
    make_kept_name,
)
from ._decision import Decision
from ._record import MAP
from ._rotation_plan import (
    RotatedMap,
    RotationPlan,
    RotationSnapshot,
    plan_rotation,
)
from ._settings import (
    MAPS,
    RelayError,
)

if t.TYPE_CHECKING:
    from .._postfix._programs import TableType
    from ._instance import Instance
    from ._rotation_plan import RotationRequest

__all__ = ["decide_rotation"]


def decide_rotation(
    request: RotationRequest, instance: Instance
) -> Decision[RotationSnapshot, RotationPlan]:
    """Plan a rotation. Writes nothing, and takes no lock.

    Raises RelayError, PasswordMapError, PostfixError or SecretFileError if it can't be done.
    """
    return Decision(
        instance.tools,
        instance,
        read=functools.partial(_read, instance, request),
        make_plan=functools.partial(plan_rotation, request),
    )


def _read(instance: Instance, request: RotationRequest) -> RotationSnapshot:
    """Read what a rotation depends on.

    A map that has no old key, and nothing that was kept or left behind, is not even read.
    """
    tables = instance.list_password_tables()
    _refuse_unknown_maps(request, tables)
    maps = [_read_map(instance, request, path, its_type) for path, its_type in tables.items()]
    record = instance.store.load()
    has_previous = record is not None and record.map.existed
    return RotationSnapshot(
        maps=tuple(each for each in maps if each),
        record=record,
        map_before=instance.store.read_kept(MAP) if has_previous else None,
        is_left=instance.store.is_left_behind(),
    )


def _refuse_unknown_maps(request: RotationRequest, tables: t.Iterable[str]) -> None:
    known = set(map(os.path.realpath, tables))
    for login in request.logins:
        if os.path.realpath(login.path) not in known:
            raise RelayError(
                f"the entry {login.entry.key!r} is in {login.path}, which no {MAPS} of main.cf or of"
                " a client in master.cf names as a table that can be made. Change that entry by hand"
            )


def _read_map(
    instance: Instance, request: RotationRequest, path: str, its_type: TableType
) -> RotatedMap | None:
    """What there is of a map, None if the rotation has nothing to do with it."""
    try:
        source = instance.places.find(path)
    except MissingDirectoryError:
        return None
    except UnsafePathError:
        # Nothing of ours is there, so without the old key it does not matter who owns it.
        real = os.path.realpath(path)
        if any(os.path.realpath(login.path) == real for login in request.logins):
            raise
        return None
    kept = make_kept_name(source)
    content = kept.read()
    logins = tuple(login for login in request.logins if os.path.realpath(login.path) == source)
    if not (logins or content is not None or Staging(source).is_there()):
        return None
    now = instance.open_map(path, its_type).read(utf8=instance.utf8)
    return RotatedMap(now, str(kept), content, logins)
