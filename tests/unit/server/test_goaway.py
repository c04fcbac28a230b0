"""At a stop, a port takes no more connections, and the clients of the open ones are told to go elsewhere."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from digits_server.transports.native.goaway import DESCRIPTORS, GOAWAY, send_away

SECONDS = 30.0


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with socket.create_server((request.param, 0), family=socket.getaddrinfo(request.param, None)[0][0]) as listener:
        yield listener


def pair(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """A client, and the server's end of its connection."""
    client = socket.create_connection(listener.getsockname()[:2], SECONDS)
    return client, listener.accept()[0]


async def test_clients_are_told_and_new_ones_are_refused(listener: socket.socket) -> None:
    address = listener.getsockname()[:2]
    client, server = pair(listener)
    with client, server:
        await send_away(address[1], SECONDS)
        assert client.recv(100) == GOAWAY
        client.sendall(b"a call that was under way")
        assert server.recv(100) == b"a call that was under way"
        server.sendall(b"its answer")
        assert client.recv(100) == b"its answer"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, SECONDS)


async def test_nothing_is_written_into_replies_that_a_client_has_not_read(listener: socket.socket) -> None:
    client, server = pair(listener)
    server.setblocking(False)
    sent = 0
    with client, server:
        try:
            while True:
                sent += server.send(bytes(1 << 20))
        except BlockingIOError:
            await send_away(listener.getsockname()[1], 0.05)
        server.close()
        received = b"".join(iter(lambda: client.recv(1 << 20), b""))
    assert received == bytes(sent)


async def test_a_client_is_told_once_it_has_read_its_replies(listener: socket.socket) -> None:
    client, server = pair(listener)
    server.setblocking(False)
    sent = 0
    with client, server:
        try:
            while True:
                sent += server.send(bytes(1 << 20))
        except BlockingIOError:
            telling = asyncio.create_task(send_away(listener.getsockname()[1], SECONDS))
        received = b""
        while len(received) < sent + len(GOAWAY):
            received += await asyncio.to_thread(client.recv, 1 << 20)
        await telling
    assert received == bytes(sent) + GOAWAY


async def test_other_sockets_and_files_stay_as_they_are(listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        client, server = pair(other)
        before = len(list(DESCRIPTORS.iterdir()))
        await send_away(listener.getsockname()[1], SECONDS)
        assert len(list(DESCRIPTORS.iterdir())) == before
        with client, server:
            server.sendall(b"nothing before this")
            assert client.recv(100) == b"nothing before this"
            for end in pair(other):
                end.close()
