"""Passes the bytes of a connection to the parser in small pieces, so that no caller can block the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

import h11
from uvicorn.protocols.http.flow_control import FlowControl

PIECE_BYTES = 1024
"""Bytes of headers and chunked bodies that are parsed at once: 170 chunks of one byte, which take some milliseconds."""

MAX_HEADERS = 128
"""Most headers of one request. Short headers take a hundred times as long to parse as one long header of that size."""

MAX_CHUNKS = 4096
"""Most chunks of one body: chunks of 1 KiB for the largest body. A chunk takes as long to parse as many kilobytes."""


class Turns:
    """Work on the event loop: one piece in each turn of the loop, no matter how many connections wait."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, work: Callable[[], None]) -> None:
        """Calls `work` when its turn comes."""
        self._waiting.append(work)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        try:
            self._waiting[0]()
        finally:
            self._waiting.popleft()
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._next)


class Flow(FlowControl):
    """uvicorn's flow control, which resumes reading only when all arrived data is parsed."""

    def __init__(self, transport: asyncio.Transport, unread: bytearray) -> None:
        super().__init__(transport)
        self._unread = unread

    def resume_reading(self) -> None:
        if not self._unread:
            super().resume_reading()


class CountingConnection(h11.Connection):
    """h11's state of a connection, which rejects bodies of more than MAX_CHUNKS chunks."""

    _chunks = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next event. Raises RemoteProtocolError at one chunk too many, as for any data that is not HTTP."""
        event = super().next_event()
        if isinstance(event, h11.Data) and event.chunk_start:
            self._chunks += 1
            if self._chunks > MAX_CHUNKS:
                raise h11.RemoteProtocolError(f"more than {MAX_CHUNKS} chunks")
        elif isinstance(event, h11.Request):
            self._chunks = 0
        return event
