# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SMTP client: replies, offers, addresses, one deadline for everything, and hostile servers."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import typing as t

import pytest
from ansible_collections.mailops.ses.plugins.module_utils._smtp import _client as _smtp_client
from ansible_collections.mailops.ses.plugins.module_utils._smtp._client import (
    NoNamesError,
    NotSmtpError,
    Reply,
    SmtpClient,
)
from ansible_collections.mailops.ses.tests.support.ses.scripted_server import (
    Conversation,
    ScriptedServer,
    talk,
)
from hypothesis import given
from hypothesis import strategies as st

# what the server sends, the reply
REPLIES: list[tuple[bytes, Reply]] = [
    (b"220 hello\r\n", Reply(220, "hello")),
    (b"250-one\r\n250-two\r\n250 three\r\n", Reply(250, "one\ntwo\nthree")),
    (b"250\r\n", Reply(250, "")),
    (b"235 bare newline\n", Reply(235, "bare newline")),
    (b"535 \x1b[31mred\x07\xff\r\n", Reply(535, "?[31mred??")),
    (b"421 too many \r\n", Reply(421, "too many")),
]
NO_REPLIES: list[tuple[str, bytes]] = [
    ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("an HTTP answer", b"HTTP/1.1 400 Bad Request\r\n"),
    ("an empty line", b"\r\n"),
    ("no code of SMTP", b"999 hello\r\n"),
    ("no separator", b"220hello\r\n"),
    ("a line without end", b"2" * 9000),
    ("a reply without end", b"250-again\r\n" * 101),
    ("TLS", b"\x15\x03\x03\x00\x02\x02\x46\r\n"),
]
# the EHLO reply, the offers
OFFERS: list[tuple[bytes, dict[str, str]]] = [
    (b"250 alone\r\n", {}),
    (
        b"250-host\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n",
        {"STARTTLS": "", "AUTH": "PLAIN LOGIN"},
    ),
    (b"250-host\r\n250-starttls\r\n250 auth=login\r\n", {"STARTTLS": "", "AUTH": "LOGIN"}),
    (b"250-host\r\n250 SIZE 10485760\r\n", {"SIZE": "10485760"}),
    (b"500 what?\r\n", {}),
]


def connected(server: ScriptedServer, timeout: float = 10.0) -> SmtpClient:
    client = SmtpClient("127.0.0.1", server.port, timeout)
    client.connect()
    return client


def resolving(monkeypatch: pytest.MonkeyPatch, addresses: list[tuple[int, str, int]]) -> None:
    """Let every name have these addresses: family, address, port."""
    found = [(family, socket.SOCK_STREAM, 6, "", (host, port)) for family, host, port in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(("sent", "reply"), REPLIES)
def test_reply(sent: bytes, reply: Reply) -> None:
    with ScriptedServer(talk(sent, stays=True)) as server, connected(server) as client:
        assert client.reply() == reply


@pytest.mark.parametrize(("case", "sent"), NO_REPLIES, ids=[row[0] for row in NO_REPLIES])
def test_no_reply(case: str, sent: bytes) -> None:
    with ScriptedServer(talk(sent, stays=True)) as server:
        client = connected(server)
        with client, pytest.raises(NotSmtpError) as caught:
            client.reply()
    assert sent[:8].decode("latin-1").strip() not in str(caught.value) or case == "an empty line"


@given(st.binary(max_size=300))
def test_whatever_the_server_sends_is_a_reply_or_an_error(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    client = SmtpClient("127.0.0.1", 1, 10)
    client._socket = ours
    client._deadline = time.monotonic() + 10
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        try:
            reply = client.reply()
        except (NotSmtpError, ConnectionError):
            return
    assert 200 <= reply.code < 600
    assert all(" " <= character <= "~" or character == "\n" for character in reply.text)


def test_a_server_that_hangs_up() -> None:
    with ScriptedServer(talk(b"220-hel")) as server:
        client = connected(server)
        with client, pytest.raises(ConnectionError):
            client.reply()


def test_two_replies_in_one_packet() -> None:
    script = talk(b"220 a\r\n250 b\r\n", stays=True)
    with ScriptedServer(script) as server, connected(server) as client:
        assert (client.reply(), client.reply()) == (Reply(220, "a"), Reply(250, "b"))


@pytest.mark.parametrize(("reply", "offers"), OFFERS)
def test_ehlo(reply: bytes, offers: dict[str, str]) -> None:
    with ScriptedServer(talk(b"", reply)) as server, connected(server) as client:
        assert client.ehlo().code in (250, 500)
        assert client.extensions == offers
    (conversation,) = server.conversations
    assert conversation.received == b"EHLO [127.0.0.1]\r\n"


def test_ehlo_by_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(talk(b"", b"250 ok\r\n"), socket.AF_INET6) as server:
        resolving(monkeypatch, [(socket.AF_INET6, "::1", server.port)])
        with SmtpClient("localhost", server.port, 10) as client:
            client.connect()
            client.ehlo()
    assert client.addresses == ["::1"]
    assert server.conversations[0].received == b"EHLO [IPv6:::1]\r\n"


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(talk(b"220 hello\r\n")) as server:
        resolving(
            monkeypatch,
            [
                (socket.AF_INET, "127.0.0.1", closed_port()),
                (socket.AF_INET, "127.0.0.1", server.port),
            ],
        )
        with SmtpClient("any", 587, 10) as client:
            client.connect()
            assert client.reply().code == 220
    assert client.addresses == ["127.0.0.1", "127.0.0.1"]


def test_an_address_family_that_this_host_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(talk(b"220 hello\r\n")) as server:
        resolving(monkeypatch, [(999, "::1", 1), (socket.AF_INET, "127.0.0.1", server.port)])
        with SmtpClient("any", 587, 10) as client:
            client.connect()
            assert client.reply().code == 220
    assert client.addresses == ["::1", "127.0.0.1"]


def test_the_most_telling_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, [(999, "::1", 1), (socket.AF_INET, "127.0.0.1", closed_port())])
    with SmtpClient("any", 587, 10) as client, pytest.raises(ConnectionRefusedError):
        client.connect()
    for error in (socket.timeout(), TimeoutError()):  # noqa: UP041  # differ up to Python 3.9
        assert _smtp_client._dullness(error) < _smtp_client._dullness(ConnectionRefusedError())


def test_each_address_has_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        # With its queue full it answers no more, as behind a firewall that drops.
        held = [socket.socket() for _number in range(3)]
        for waiting in held:
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        with ScriptedServer(talk(b"220 hello\r\n")) as server:
            resolving(
                monkeypatch,
                [(socket.AF_INET, "127.0.0.1", port), (socket.AF_INET, "127.0.0.1", server.port)],
            )
            started = time.monotonic()
            with SmtpClient("any", 587, 1.0) as client:
                client.connect()
                assert client.reply().code == 220
            assert 0.4 < time.monotonic() - started < 0.95
            resolving(monkeypatch, [(socket.AF_INET, "127.0.0.1", port)] * 2)
            with SmtpClient("any", 587, 0.3) as client, pytest.raises(socket.timeout):
                client.connect()
        for waiting in held:
            waiting.close()


def test_one_deadline_for_a_server_that_drips() -> None:
    stop = threading.Event()

    def drip(conversation: Conversation) -> None:
        for _number in range(100):
            if stop.wait(0.05):
                return
            conversation.send(b"2")

    with ScriptedServer(drip) as server, connected(server, 0.4) as client:
        started = time.monotonic()
        with pytest.raises(socket.timeout):
            client.reply()
        with pytest.raises(socket.timeout):  # it is over for what follows, too
            client.command("QUIT")
        client.quit()
        assert time.monotonic() - started < 2
        stop.set()


def test_not_connected() -> None:
    with SmtpClient("127.0.0.1", 1, 10) as client, pytest.raises(ConnectionError):
        client.command("NOOP")


def test_quit_passes_over_whatever_comes() -> None:
    for reply in (b"500 no\r\n", b"nonsense\r\n", b""):
        with ScriptedServer(talk(b"", reply)) as server, connected(server) as client:
            client.quit()
        assert server.conversations[0].received == b"QUIT\r\n"


class TlsInName:
    """A context whose TLS is only a name, for what a test does not need real TLS for."""

    def __init__(self, *names_of_certificate: tuple[str, str]) -> None:
        self.names: list[str] = []
        self._certificate = {"subjectAltName": names_of_certificate}

    def wrap_socket(self, plain: socket.socket, server_hostname: str) -> t.Any:
        self.names.append(server_hostname)
        certificate = self._certificate

        class Wrapped:
            def __getattr__(self, name: str) -> t.Any:
                return getattr(plain, name)

            def version(self) -> str:
                return "TLSv1.3"

            def getpeercert(self) -> dict[str, t.Any]:
                return certificate

        return Wrapped()


@pytest.mark.parametrize("name", [("DNS", "localhost"), ("IP Address", "127.0.0.1")])
def test_start_tls_forgets_the_offers_and_verifies_the_name(name: tuple[str, str]) -> None:
    context = TlsInName(name)
    script = talk(b"", b"250-a\r\n250 AUTH PLAIN\r\n", b"250 b\r\n")
    with ScriptedServer(script) as server, connected(server) as client:
        client.ehlo()
        client.start_tls(t.cast(ssl.SSLContext, context))
        assert (client.extensions, client.tls_version) == ({}, "TLSv1.3")
        client.ehlo()
        assert client.extensions == {}
    assert context.names == ["127.0.0.1"]


@pytest.mark.parametrize("names", [(), (("email", "a@example.com"),)])
def test_a_certificate_that_names_no_host(names: tuple[tuple[str, str], ...]) -> None:
    """As Python 3.7 accepts it, for the common name in the subject."""
    context = TlsInName(*names)
    with ScriptedServer(talk(b"", stays=True)) as server, connected(server) as client:
        with pytest.raises(NoNamesError):
            client.start_tls(t.cast(ssl.SSLContext, context))
        assert client.tls_version is None


MESSAGES: list[tuple[bytes, bytes]] = [
    (b"A: b\r\n\r\ntext\r\n", b"A: b\r\n\r\ntext\r\n.\r\n"),
    (b".\r\n..\r\na.b\r\n", b"..\r\n...\r\na.b\r\n.\r\n"),
]


@pytest.mark.parametrize(("message", "sent"), MESSAGES)
def test_send_message(message: bytes, sent: bytes) -> None:
    script = talk(b"", *[b""] * message.count(b"\n"), b"250 Ok 01\r\n")
    with ScriptedServer(script) as server, connected(server) as client:
        assert client.send_message(message) == Reply(250, "Ok 01")
    assert server.conversations[0].received == sent


def test_what_was_sent_ahead_of_tls_is_not_taken_for_the_servers() -> None:
    context = TlsInName()
    injected = b"220 go\r\n250 AUTH PLAIN\r\n"
    with ScriptedServer(talk(b"", injected)) as server, connected(server) as client:
        client.command("STARTTLS")
        with pytest.raises(NotSmtpError):
            client.start_tls(t.cast(ssl.SSLContext, context))
    assert context.names == []
    assert client.tls_version is None
