"""The HTTP server without descriptors or places left, and while handshakes are in progress."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from digits_server.settings import RESERVED_CONNECTIONS
from digits_server.web import acceptor
from digits_server.web.acceptor import Acceptor
from digits_server.web.places import Places, Waiting

SECONDS = 30.0


class Guest(asyncio.Protocol):
    """A connection whose request the server works on."""

    pushed_out = False

    def __init__(self, made: asyncio.Event) -> None:
        self._made = made

    def connection_made(self, _: asyncio.BaseTransport) -> None:
        self._made.set()

    def waiting(self) -> Waiting | None:
        return None

    def push_out(self) -> None:
        raise AssertionError("the server works for it")


class Exhausted(socket.socket):
    """A listening socket of a process that has no descriptor left at first."""

    refusals = 1

    def accept(self) -> tuple[socket.socket, Any]:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def listening(kind: type[socket.socket] = socket.socket) -> socket.socket:
    listener = kind(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def serving(
    listener: socket.socket, limit: int = 10, tls: ssl.SSLContext | None = None
) -> tuple[Acceptor, Places, asyncio.Event, list[str]]:
    reasons: list[str] = []
    places, made = Places(limit, reasons.append), asyncio.Event()
    connection: Callable[[socket.socket], Any] = lambda _: Guest(made)  # noqa: E731 - with a type
    return Acceptor([listener], places, connection, tls), places, made, reasons


async def test_a_connection_that_finds_no_descriptor_is_accepted_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "PAUSE_SECONDS", 0.01)
    listener = listening(Exhausted)
    accepts, _, made, _ = serving(listener)
    accepts.start()
    with socket.create_connection(listener.getsockname(), SECONDS):
        await asyncio.wait_for(made.wait(), SECONDS)
        assert isinstance(listener, Exhausted)
        assert listener.refusals == 0
        accepts.close()
        accepts._resume(listener)  # the end of a pause that the end of the server overtook
        await accepts.wait_closed()


async def test_a_connection_without_a_place_is_closed_and_counted_and_the_next_ones_are_not_harmed() -> None:
    listener = listening()
    accepts, places, _, reasons = serving(listener, limit=0)
    guests: list[Any] = [Guest(asyncio.Event()) for _ in range(RESERVED_CONNECTIONS)]
    assert all(map(places.enter, guests))
    assert len(places) == RESERVED_CONNECTIONS
    accepts.start()
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    assert await asyncio.wait_for(reader.read(), SECONDS) == b""
    writer.close()
    assert reasons == ["limit"]
    accepts.close()


async def test_the_end_of_the_server_cancels_a_handshake_and_frees_its_place() -> None:
    listener = listening()
    accepts, places, _, reasons = serving(listener, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    accepts.start()
    reader, writer = await asyncio.open_connection(*listener.getsockname())  # and sends no handshake
    async with asyncio.timeout(SECONDS):
        while not len(places):  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.001)
        accepts.close()
        await accepts.wait_closed()
        assert len(places) == 0
        assert reasons == []  # cancelled at once, not late
        assert await reader.read() == b""
    writer.close()
