# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is private to the mailops.ses collection: it can change at any time without notice.

"""The Postfix instance that a relay is set up on, or taken away from."""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

from .._files._rights import check_can_write
from .._files._safe_path import UnsafePathError
from .._files._safe_walk import (
    MissingDirectoryError,
    Places,
)
from .._files._secret_file import (
    Staging,
    check_lock,
    hold_lock,
    remove_files,
)
from .._postfix._config_file import MasterCf
from .._postfix._main_cf import (
    MainCf,
    read_settings,
    split_tokens,
)
from .._postfix._map_files import MapFiles, Tools
from .._postfix._map_plan import check_source_path, find_table_type
from .._postfix._master_cf import read_services
from .._postfix._own_client import is_own_client
from .._postfix._programs import (
    TABLE_TYPES,
    Postfix,
    PostfixError,
    find_reason,
)
from .._postfix._table_name import parse_table_name
from .._ses._redaction import redact_message
from ._checks import ALSO_READ
from ._record import RecordStore
from ._settings import (
    MAPS,
    NAMES,
    RelayError,
)

if t.TYPE_CHECKING:
    from .._files._attributes import FileAttributes
    from .._files._safe_path import SafePath
    from .._postfix._programs import TableType

__all__ = ["Instance", "last_words"]

_INSTANCE = ("default_database_type", "config_directory", "smtputf8_enable")
# Where a running master(8) has its lock, and where it is itself.
_OF_MASTER = ("queue_directory", "process_id_directory", "daemon_directory")
_LOCK_SECONDS = 120.0
_ROUTES = "ses_sender_relayhost"


class Instance:
    """One instance: its settings as they were read last, its files, and its running daemons.

    Raises PostfixError if there is no Postfix here, UnsafePathError if others can redirect what is
    written to its directory.
    """

    def __init__(
        self, postfix: Postfix, attributes: FileAttributes, places: Places | None = None
    ) -> None:
        self.postfix = postfix
        self.places = places or Places()
        self.tools = Tools(postfix, attributes, self.places)
        if postfix.config_directory:
            check_can_write(postfix.config_directory)
            # Before Postfix's programs read what another user may have put there. That there is no
            # such directory is for them to report.
            with contextlib.suppress(MissingDirectoryError):
                self.places.find(os.path.join(postfix.config_directory, "main.cf")).stat()
        self.values = self._read()
        self.directory = self.values["config_directory"]
        check_can_write(self.directory)
        self.main_cf = MainCf(postfix, self.directory, self.places)
        self.master_cf = MasterCf(self.directory, self.places)
        check_lock(self.main_cf.path)
        self.store = RecordStore(self.directory, self.places)
        #: Whether this run has had Postfix read its configuration.
        self.reloaded = False
        self._reload_tried = False

    @property
    def utf8(self) -> bool:
        """Whether maps are UTF-8 for Postfix."""
        return self.values["smtputf8_enable"] == "yes"

    def is_left_behind(self) -> bool:
        """Whether a killed run has left files beside main.cf, master.cf or the record."""
        files = self.list_config_files()
        return self.store.is_left_behind() or any(file.staging.is_there() for file in files)

    def list_config_files(self) -> list[MainCf | MasterCf]:
        """The files of the configuration beside which something of ours can have been made."""
        files: list[MainCf | MasterCf] = [self.main_cf]
        with contextlib.suppress(UnsafePathError):
            files += [self.master_cf] if self.master_cf.path else []
        return files

    def read(self) -> None:
        """Read the settings again."""
        self.main_cf.path.note()
        self.values = self._read()

    def _read(self) -> dict[str, str]:
        """All settings that matter, in one call, because most runs do little else."""
        values = read_settings(self.postfix, (*NAMES, *ALSO_READ, *_INSTANCE))
        lacking = [name for name in _INSTANCE if name not in values]
        if lacking:
            raise PostfixError(f"postconf does not know {', '.join(lacking)}")
        return values

    def find_map_path(self, requested: str | None) -> str:
        """The source of the password map. Raises RelayError if main.cf can't name it."""
        path = check_source_path(requested or os.path.join(self.directory, "sasl_passwd"))
        if split_tokens(path) != (path,):
            raise RelayError(
                f"the path {path!r} has white space or a comma in it, where main.cf would end the"
                " name of the table. Set path to one without"
            )
        return path

    def make_routes_path(self, map_path: str) -> str:
        """The source of the table with the senders' servers, beside the password map."""
        return os.path.join(os.path.dirname(map_path), _ROUTES)

    def find_map_type(self, requested: str | None, path: str) -> TableType:
        """The requested type; else the one that a client has for this map; else the default.

        After an upgrade of Postfix, main.cf may name a type that is gone.
        """
        default = self.values["default_database_type"]
        if requested is None:
            for token in self._named_maps():
                name, its_path, _is_proxied = parse_table_name(token)
                if its_path == path and name in TABLE_TYPES and name != default:
                    with contextlib.suppress(PostfixError):
                        self.postfix.check_type(TABLE_TYPES[name])
                        return TABLE_TYPES[name]
        return find_table_type(requested, default)

    def client_values(self) -> dict[str, str]:
        """The effective settings of the SMTP client that default_transport names."""
        transport = self.values.get("default_transport", "").partition(":")[0]
        service = read_services(self.postfix, self.directory).get(f"{transport}/unix")
        own = service.overrides.values() if service else ()
        return {**self.values, **{each.name: each.value for each in own}}

    def _named_maps(self) -> list[str]:
        """The password maps that main.cf names, and clients for SES alone."""
        services = read_services(self.postfix, self.directory).values()
        clients = [service for service in services if is_own_client(service)]
        values = [self.values.get(MAPS, ""), *(each.overrides[MAPS].value for each in clients)]
        return [token for value in values for token in split_tokens(value)]

    def list_password_tables(self) -> dict[str, TableType]:
        """The password maps that main.cf or a client for SES alone names and we can make, by path.

        A source that is named twice, by a link or for two types, counts once: Postfix finds what is
        in the first of them.
        """
        found: dict[str, tuple[str, TableType]] = {}
        for token in self._named_maps():
            name, path, _is_proxied = parse_table_name(token)
            if name in TABLE_TYPES:
                found.setdefault(os.path.realpath(path), (path, TABLE_TYPES[name]))
        return dict(found.values())

    def open_map(self, path: str, its_type: TableType) -> MapFiles:
        """The files of one of our maps."""
        return MapFiles(self.tools, path, its_type)

    def list_files(self, path: str | None) -> tuple[str, ...]:
        """The files of a map that are there: tables of all types, then the source."""
        if path is None:
            return ()
        suffixes = {known.suffix for known in TABLE_TYPES.values()} - {""}
        names = [*(path + suffix for suffix in sorted(suffixes)), path]
        return tuple(name for name in names if self._removable(name) is not None)

    def remove_left(self, path: str) -> None:
        """Remove what a killed run has left beside a map and its tables: it may hold passwords."""
        suffixes = {known.suffix for known in TABLE_TYPES.values()}
        for suffix in suffixes:
            # Nothing was made where another user decides what a name leads to.
            with contextlib.suppress(MissingDirectoryError, UnsafePathError):
                name = self.places.find(f"{path}").name
                Staging(self.places.find(f"{path}{suffix}").get_beside(name)).remove()

    def remove_files(self, paths: t.Iterable[str]) -> None:
        """Remove files, in this order, if they are there; of a link of root's, what it points to."""
        found = map(self._removable, paths)
        remove_files([path for path in found if path is not None])

    def _removable(self, path: str) -> SafePath | None:
        """What is to be removed of a file of ours, None if it is not there.

        Of a link that another user has made, that is the link.
        """
        try:
            found = self.places.find(path)
        except MissingDirectoryError:
            return None
        except UnsafePathError as exc:
            if not self.places.removing:
                raise
            self.places.warn(f"{exc}: {path} was not removed")
            return None
        status = found.directory.stat(found.name)
        if status is None or stat.S_ISDIR(status.st_mode):
            return None
        is_link = stat.S_ISLNK(status.st_mode) and self.places.removing
        return found if is_link or found.stat() is not None else None

    def hold_lock(self) -> t.ContextManager[None]:
        """Hold the lock that every change of this instance's relay takes."""
        return hold_lock(self.main_cf.path, _LOCK_SECONDS)

    def is_running(self) -> bool:
        """Whether this instance's master is running. Asks for this instance, not for all.

        Raises RelayError if nobody can tell: a Postfix that was not reloaded would go on as before.
        """
        postfix = self.postfix.at(self.directory)
        code, _out, err = postfix.run("postfix", "status")
        if code == 0:
            return True
        # It exits with 1 whether Postfix is stopped or something is wrong; only master(8) says which.
        values = read_settings(self.postfix, _OF_MASTER)
        queue, pid, daemons = (values.get(name, "") for name in _OF_MASTER)
        try:
            os.stat(os.path.join(queue, pid, "master.pid"))
        except (FileNotFoundError, NotADirectoryError):
            return False  # it has never run
        if postfix.run(os.path.join(daemons, "master"), "-t")[0] == 0:
            return False
        raise RelayError(
            "whether Postfix is running, and has to be reloaded, can't be told: postfix status"
            f" failed ({last_words(code, err)}). Run postfix -c {self.directory} status as root, and"
            " correct what it reports. Nothing was changed"
        )

    def reload(self) -> None:
        """Make Postfix read its configuration, if it is running.

        Raises RelayError with Postfix's own last words, redacted, if it can't.
        """
        if not self.is_running():
            return
        self._reload_tried = True
        code, _out, err = self.postfix.at(self.directory).run("postfix", "reload")
        if code:
            raise RelayError(f"Postfix can't be reloaded: {last_words(code, err)}")
        self.reloaded = True

    def reload_again(self) -> None:
        """After files were put back: if there was a reload, once more, whatever comes of it."""
        if self._reload_tried:
            self.postfix.at(self.directory).run("postfix", "reload")


def last_words(code: int, err: bytes) -> str:
    """The cause of a failure; if it is none that is known, what Postfix has said last, redacted."""
    why = find_reason(code, err)
    lines = err.decode(errors="replace").strip().splitlines()
    return redact_message(lines[-1]) if lines and why == find_reason(code, b"") else why
