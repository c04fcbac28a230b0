"""A caller over HTTP that stops reading its answer, and a connection whose time is up."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from digits_server.web.connections import Connection
from digits_server.web.places import Places, Waiting
from digits_server.web.reading import Turns


class Transport:
    """A connection's transport, with `unsent` bytes in its buffer."""

    def __init__(self, unsent: int) -> None:
        self.unsent = unsent
        self.ended: list[str] = []

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def close(self) -> None:
        self.ended.append("close")

    def abort(self) -> None:
        self.ended.append("abort")


def connection(cycle: Any, unsent: int = 0) -> tuple[Connection, Transport, list[str]]:
    made, transport, reasons = object.__new__(Connection), Transport(unsent), list[str]()
    made.loop = asyncio.get_running_loop()
    made.flow = cast("Any", SimpleNamespace(pause_writing=lambda: None, resume_writing=lambda: None))
    made.cycle, made.transport = cycle, cast("asyncio.Transport", transport)
    made._places = cast("Places", SimpleNamespace(closed=reasons.append))
    made._socket, made._since, made._stalled_since = socket.socket(), 1.0, None
    return made, transport, reasons


def answering(*, complete: bool) -> Any:
    return SimpleNamespace(response_complete=complete, more_body=False)


async def test_the_server_waits_for_a_caller_that_stops_reading_until_it_reads_on() -> None:
    made, _, _ = connection(answering(complete=False))
    with made._socket:
        assert made.waiting() is None
        made.pause_writing()
        assert made.waiting() == Waiting(kept=False, since=made._stalled_since or 0.0)
        made.resume_writing()
        assert made.waiting() is None


@pytest.mark.parametrize(
    ("cycle", "unsent", "ended", "reasons"),
    [
        (None, 0, ["close"], ["late"]),  # it sent no request in time
        (answering(complete=True), 0, ["close"], []),  # it was answered, and is idle
        (answering(complete=True), 9, ["abort"], ["late"]),  # it does not read the end of its answer
        (answering(complete=False), 0, ["abort"], ["late"]),
    ],
)
async def test_only_an_idle_connection_is_closed_without_being_counted_as_late(
    cycle: Any, unsent: int, ended: list[str], reasons: list[str]
) -> None:
    made, transport, counted = connection(cycle, unsent)
    with made._socket:
        made._late()
    assert transport.ended == ended
    assert counted == reasons


class Pausable(Transport):
    """A transport that can be told to read no further."""

    def __init__(self) -> None:
        super().__init__(unsent=0)
        self.reading = asyncio.Event()
        self.reading.set()

    def pause_reading(self) -> None:
        self.reading.clear()

    def resume_reading(self) -> None:
        self.reading.set()

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        pass

    def get_extra_info(self, _name: str) -> None:
        return None


async def test_a_body_is_read_no_further_than_the_application_has_taken_it() -> None:
    """The system hands over a large body within one turn of the event loop: it must not all be taken in."""
    asked, taken = asyncio.Event(), list[int]()

    async def application(_scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["more_body"]:
            taken.append(len(message["body"]))
            await asked.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(application, http="h11", lifespan="off", log_config=None)
    config.load()
    transport = Pausable()
    with socket.socket() as accepted:
        made = Connection(
            accepted,
            cast("Places", SimpleNamespace(leave=lambda _: None)),
            turns=Turns(),
            seconds=30.0,
            unreadable=lambda: None,
            config=config,
            server_state=ServerState(),
        )
        made.connection_made(cast("asyncio.Transport", transport))
        made.data_received(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 400000\r\n\r\n")
        made.data_received(bytes(100_000))
        assert not transport.reading.is_set()
        made.data_received(bytes(1))  # what had been received already
        assert not transport.reading.is_set()
        asked.set()
        await asyncio.wait_for(transport.reading.wait(), 10.0)
        made.data_received(bytes(299_999))
        assert not transport.reading.is_set()
        await asyncio.wait_for(transport.reading.wait(), 10.0)
        assert made.is_idle
        made.connection_lost(None)
    assert taken == [100_001]
