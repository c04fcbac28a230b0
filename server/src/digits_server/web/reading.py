"""Passes the bytes of a connection to the parser in small pieces, so that no caller can block the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

PIECE_BYTES = 1024
"""Bytes of headers and chunked bodies that are parsed at once: 170 chunks of one byte, which take some milliseconds."""

MAX_REQUEST_BYTES = 16 * 1024
"""Bytes of a request's line and headers."""

END_OF_HEADERS = b"\r\n\r\n"

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


class PiecewiseProtocol(H11Protocol):
    """uvicorn's protocol, which reads a body no further than the application has taken it.

    turns  work on the event loop, shared by all connections
    """

    def __init__(self, config: Config, server_state: ServerState, turns: Turns) -> None:
        super().__init__(config, server_state, {})
        self.conn = CountingConnection(h11.SERVER, MAX_REQUEST_BYTES)
        self._turns = turns
        self._unread = bytearray()
        """Data that has arrived and is not parsed yet."""
        self._has_turn = False
        self._head_lines = 0
        self._ended = False
        """Whether the caller has closed its side of the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = Flow(transport, self._unread)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self.take_up()

    def handle_events(self) -> None:
        last = self.cycle
        super().handle_events()
        if self.cycle is not last:
            self._head_lines = 0
            self.request_began()

    def request_began(self) -> None:
        """The headers of a request have been read."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_chunked(self) -> bool:
        """Whether a chunked body is being read."""
        return self.conn.their_state is h11.SEND_BODY and any(name == b"transfer-encoding" for name, _ in self.headers)

    def take_up(self) -> None:
        """Parses arrived data: the first request of a connection at once, later ones in turns with other connections.

        A probe on a new connection so waits for no caller that sends one request after the other.
        """
        if self._has_turn:
            return
        if self._unread and self.cycle is not None and self.conn.their_state is h11.IDLE:
            self._wait_for_turn()
        else:
            self._read_on()

    def _wait_for_turn(self) -> None:
        self._has_turn = True
        self._turns.add(self._read_on)

    def _read_on(self) -> None:
        """Parses arrived data: chunks in turns with other connections, the next request after this one's answer."""
        self._has_turn = False
        while self._unread and not self.transport.is_closing() and self.conn.their_state is not h11.DONE:
            whole = self.conn.their_state is h11.SEND_BODY and not self._is_chunked
            length = len(self._unread) if whole else PIECE_BYTES
            if self.conn.their_state is h11.IDLE and (end := self._unread.find(END_OF_HEADERS, 0, length)) >= 0:
                length = end + len(END_OF_HEADERS)  # and nothing of the next request
            piece = bytes(memoryview(self._unread)[:length])
            del self._unread[: len(piece)]
            if self.conn.their_state is h11.IDLE:
                self._head_lines += piece.partition(END_OF_HEADERS)[0].count(b"\n")
                if self._head_lines > MAX_HEADERS:
                    self.send_400_response(f"expected at most {MAX_HEADERS} headers")
                    break
            super().data_received(piece)
            if self._unread and self._is_chunked:
                self._wait_for_turn()
                break
        if self._unread:
            self.flow.pause_reading()
            return
        if (
            self.is_idle or len(self.cycle.body) <= HIGH_WATER_LIMIT
        ):  # else uvicorn resumes when the body has been taken
            self.flow.resume_reading()
        if self._ended and self.conn.their_state is h11.SEND_BODY:
            super().data_received(b"")
        elif self._ended and self.is_idle:
            self.transport.close()
