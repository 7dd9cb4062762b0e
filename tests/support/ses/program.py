# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts, steers and stops the stand-in for SES as a program of its own.

For where a thread of the test will not do: in another network namespace, or beside a demo.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from ..waiting import SECONDS
from .accounts import Account, IngressEndpoint, dump
from .protocol import Listener, Mode
from .records import Message, Session, read_records

_TESTS = Path(__file__).resolve().parents[2]
_START_TIMEOUT = 120.0  # seconds, with the import of botocore on a busy machine


class StandInProgram:
    """The program, running for the length of a ``with`` block.

    ``directory`` must exist; configuration and spool go there. ``prefix`` is put before the
    command, as in ``["ip", "netns", "exec", "ses"]``.
    """

    def __init__(
        self,
        directory: Path,
        listeners: t.Sequence[Listener],
        accounts: t.Iterable[Account],
        prefix: t.Sequence[str] = (),
    ) -> None:
        self.spool = directory
        self._config = directory / "stand-in.json"
        self._log = directory / "stand-in.log"
        self._listeners = list(listeners)
        self._accounts = list(accounts)
        self._prefix = list(prefix)
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[tuple[str, Mode], int] = {}

    def __enter__(self) -> StandInProgram:
        """Start and wait until all ports are open.

        Raises RuntimeError with the program's own words if it ends or is not ready in time.
        """
        self.configure(self._accounts)
        command = [*self._prefix, sys.executable, "-m", "support.ses.stand_in"]
        output = self.spool / "stand-in.ready"
        with self._log.open("wb") as log, output.open("wb") as ready:
            self._process = subprocess.Popen(
                [*command, "--config", str(self._config)],
                env={**os.environ, "PYTHONPATH": str(_TESTS)},
                stdin=subprocess.DEVNULL,
                stdout=ready,
                stderr=log,
            )
        deadline = time.monotonic() + _START_TIMEOUT
        while not output.read_bytes().endswith(b"\n"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"the stand-in did not start: {self._log.read_text()}")
            time.sleep(0.02)
        for entry in json.loads(output.read_bytes()):
            self._ports[entry["region"], Mode(entry["mode"])] = entry["port"]
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program, and wait until it has ended."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def configure(
        self,
        accounts: t.Iterable[Account],
        faults: t.Sequence[dict[str, t.Any]] = (),
        ingress_endpoints: t.Iterable[IngressEndpoint] = (),
    ) -> None:
        """Replace accounts, faults and ingress endpoints; in force for the next command of any client.

        ``faults`` is a list of ``{"fault": NAME, "username": ..., "times": ...}``.
        """
        content = {
            "spool": str(self.spool),
            "listeners": [
                {
                    "region": listener.region,
                    "certificate": str(listener.certificate),
                    "address": listener.address,
                    "port": listener.port,
                    "mode": listener.mode.value,
                    "system": listener.system.value,
                    "behaviour": dataclasses.asdict(listener.behaviour),
                }
                for listener in self._listeners
            ],
            "accounts": [dump(account) for account in accounts],
            "ingress_endpoints": [dump(endpoint) for endpoint in ingress_endpoints],
            "faults": list(faults),
        }
        new = self._config.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(content), encoding="utf-8")
        new.replace(self._config)

    def port(self, region: str, mode: Mode = Mode.STARTTLS) -> int:
        """The port of the listener for ``region`` with ``mode``. Raises KeyError if none is."""
        return self._ports[region, mode]

    @property
    def messages(self) -> list[Message]:
        """The messages that were accepted so far."""
        return read_records(self.spool)[1]

    @property
    def sessions(self) -> list[Session]:
        """The sessions that have ended so far."""
        return read_records(self.spool)[0]

    def wait_for_messages(self, count: int, timeout: float = SECONDS) -> list[Message]:
        """The messages as soon as there are ``count``; TimeoutError after ``timeout`` seconds."""
        return self._wait(lambda: self.messages, count, timeout)

    def wait_for_sessions(self, count: int, timeout: float = SECONDS) -> list[Session]:
        """The ended sessions as soon as there are ``count``; TimeoutError after ``timeout``."""
        return self._wait(lambda: self.sessions, count, timeout)

    def _wait(
        self, read: t.Callable[[], list[_Record]], count: int, timeout: float
    ) -> list[_Record]:
        deadline = time.monotonic() + timeout
        while True:
            records = read()
            if len(records) >= count:
                return records
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(records)} of {count} records within {timeout} s")
            time.sleep(0.05)


_Record = t.TypeVar("_Record", Message, Session)
