"""A caller over HTTP that stops reading its answer, and a connection whose time is up."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from digits_server.web.connections import Connection
from digits_server.web.places import Places, Waiting


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
