# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail servers that are not SES: the internet, an internal server, a content filter, a company's own.

Each has an address of its own. None offers AUTH; the company's alone offers STARTTLS, with a
certificate of an authority that only the company trusts.
"""

from __future__ import annotations

import asyncio
import functools
import smtplib
import ssl
import threading
import typing as t
from pathlib import Path

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession

from ..isolation.hosts_file import loopback_address

_START_TIMEOUT = 60.0  # seconds
_LMTP_PORT = 24
#: The ports of each server. All speak SMTP, but for the one of LMTP.
PORTS: t.Mapping[str, t.Sequence[int]] = {
    "internet": (25,),
    "other": (25, 587, 2525, 2526, _LMTP_PORT),
    "filter": (2525,),
    "company": (25,),
}


class OtherServers:
    """The servers in a thread of this process, for the length of a ``with`` block.

    The filter hands all mail on to the address and port in ``after_filter``.
    """

    def __init__(self, company_certificate: Path) -> None:
        self.addresses = {name: loopback_address() for name in PORTS}
        self.after_filter: tuple[str, int] | None = None
        self._certificate = company_certificate
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="other-servers")
        self._servers: list[asyncio.Server] = []

    def __enter__(self) -> OtherServers:
        self._thread.start()
        self._await(self._open())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._await(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:
        """Take a message, as aiosmtpd calls it; the filter hands it on."""
        transport = server.transport
        assert transport is not None
        if transport.get_extra_info("sockname")[0] == self.addresses["filter"]:
            await asyncio.to_thread(self._hand_on, envelope)
        return "250 OK"

    def _hand_on(self, envelope: Envelope) -> None:
        assert self.after_filter is not None
        assert isinstance(envelope.content, bytes)
        with smtplib.SMTP(*self.after_filter, timeout=30) as client:
            client.sendmail(envelope.mail_from or "", envelope.rcpt_tos, envelope.content)

    def _await(self, work: t.Coroutine[t.Any, t.Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_TIMEOUT)

    async def _open(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate)
        for name, ports in PORTS.items():
            for port in ports:
                protocol: t.Callable[..., SMTP] = LMTP if port == _LMTP_PORT else SMTP
                factory = functools.partial(
                    protocol,
                    self,
                    hostname=f"{name}.example",
                    tls_context=context if name == "company" else None,
                    loop=self._loop,
                )
                server = await self._loop.create_server(factory, self.addresses[name], port)
                self._servers.append(server)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks() - {t.cast("asyncio.Task[t.Any]", asyncio.current_task())}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
