# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for Amazon SES's SMTP endpoints.

In a test::

    with SesStandIn([Listener("eu-west-1", certificate)], [account]) as ses:
        ses.port("eu-west-1") ... ses.recorder.messages

As a program, for a network namespace of its own or for the demo::

    python -m tests.support.ses.stand_in --config FILE

FILE is JSON: ``spool`` (a directory; records.jsonl is written there), ``listeners`` (a list of
``region``, ``certificate`` and, if wanted, ``address``, ``port``, ``mode``), ``accounts`` and
``faults`` (see AccountFile; these two are followed while the program runs). When all ports are
open it prints one line of JSON, the listeners with their ports, and runs until it gets SIGTERM
or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
import threading
import typing as t
from pathlib import Path

from .account_book import AccountBook, AccountFile
from .accounts import Account
from .behaviour import Behaviour
from .protocol import Connection, Listener, Mode, System
from .records import Message, Recorder, Session

_START_TIMEOUT = 60.0  # seconds; binding a few ports takes none


class SesStandIn:
    """SES in a thread of this process, for the length of a ``with`` block."""

    def __init__(
        self,
        listeners: t.Sequence[Listener],
        accounts: t.Iterable[Account] | AccountBook = (),
        spool: Path | None = None,
    ) -> None:
        self.accounts = accounts if isinstance(accounts, AccountBook) else AccountBook(accounts)
        self.recorder = Recorder(spool)
        self.listeners = list(listeners)  # with their real ports once started
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ses-stand-in")
        self._servers: list[asyncio.Server] = []

    def __enter__(self) -> SesStandIn:
        """Open all ports. Raises OSError if one can't be had."""
        self._thread.start()
        try:
            self._await(self._open())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up and close all ports."""
        self._await(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def port(self, region: str, mode: Mode = Mode.STARTTLS) -> int:
        """The port of the listener for ``region`` with ``mode``. Raises KeyError if none is."""
        for listener in self.listeners:
            if listener.region == region and listener.mode is mode:
                return listener.port
        raise KeyError(f"no listener for {region} with {mode.value}")

    @property
    def messages(self) -> list[Message]:
        return self.recorder.messages

    @property
    def sessions(self) -> list[Session]:
        return self.recorder.sessions

    def _await(self, work: t.Coroutine[t.Any, t.Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_TIMEOUT)

    async def _open(self) -> None:
        for index, listener in enumerate(self.listeners):
            server = await self._loop.create_server(
                self._factory(listener), listener.address, listener.port, backlog=512
            )
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
            self.listeners[index] = dataclasses.replace(listener, port=port)

    def _factory(self, listener: Listener) -> t.Callable[[], Connection]:
        context = listener.tls_context()
        return lambda: Connection(listener, context, self.accounts, self.recorder)

    async def _hang_up(self) -> None:
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks() - {t.cast("asyncio.Task[t.Any]", asyncio.current_task())}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _listener(entry: dict[str, t.Any]) -> Listener:
    return Listener(
        **{
            **entry,
            "certificate": Path(entry["certificate"]),
            "mode": Mode(entry.get("mode", Mode.STARTTLS.value)),
            "system": System(entry.get("system", System.SES.value)),
            "behaviour": Behaviour(**entry.get("behaviour", {})),
        }
    )


def main(arguments: t.Sequence[str]) -> None:
    """Run as a program until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="A stand-in for Amazon SES's SMTP endpoints.")
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see the module")
    path: Path = parser.parse_args(arguments).config
    config = json.loads(path.read_text("utf-8"))
    # Blocked before any thread starts, so that sigwait alone gets them.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    listeners = [_listener(entry) for entry in config["listeners"]]
    with SesStandIn(listeners, AccountFile(path), Path(config["spool"])) as ses:
        ready = [
            {"region": item.region, "address": item.address, "port": item.port}
            | {"mode": item.mode.value}
            for item in ses.listeners
        ]
        print(json.dumps(ready), flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main(sys.argv[1:])
