"""One HTTP connection: the time limits of its caller, and how it is closed when one has passed."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from digits_server.web.places import Places, Waiting
from digits_server.web.reading import MAX_HEADERS, PIECE_BYTES, CountingConnection, Flow, Turns
from digits_server.web.routes import BROKEN

MAX_REQUEST_BYTES = 16 * 1024
"""Bytes of a request's line and headers."""

HEADERS_SECONDS = 15
"""Time from the connection, or from the last answer on it, to the end of the next request's headers. It also limits how
long an idle connection stays open, and how long a caller may take to read the end of an answer."""

END_OF_HEADERS = b"\r\n\r\n"

RESET_SECONDS = 0.1
"""Time between two checks whether a caller that has closed its side has also reset the connection."""

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""The socket option SO_LINGER with a time of 0: unsent data is discarded."""

ROOM_MADE = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b'retry-after: 1\r\ncontent-length: 69\r\n\r\n{"error":"closed for others: the request took too long to come here"}'
)
"""The answer to a caller whose unfinished request was dropped in favour of another connection."""


class Connection(H11Protocol):
    """uvicorn's protocol, with a place before its first byte and a deadline for everything its caller does.

    turns       work on the event loop, shared by all connections
    seconds     from a request's headers to its answer; reading the answer has HEADERS_SECONDS more
    unreadable  counts data between two requests that is not HTTP
    """

    def __init__(
        self,
        accepted: socket.socket,
        places: Places,
        *,
        turns: Turns,
        seconds: float,
        unreadable: Callable[[], None],
        config: Config,
        server_state: ServerState,
    ) -> None:
        super().__init__(config, server_state, {})
        self.conn = CountingConnection(h11.SERVER, MAX_REQUEST_BYTES)
        self._socket = accepted
        self._places = places
        self._seconds = seconds
        self._unreadable = unreadable
        self._since = self.loop.time()
        """When the server began to wait for the caller's current action: event-loop time, seconds."""
        self._stalled_since: float | None = None
        """When the caller stopped reading, or None."""
        self._due: asyncio.TimerHandle | None = None
        self._turns = turns
        self._unread = bytearray()
        """Data that has arrived and is not parsed yet."""
        self._has_turn = False
        self._head_lines = 0
        self._ended = False
        """Whether the caller has closed its side of the connection."""
        self.pushed_out = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = Flow(transport, self._unread)
        if self.pushed_out:
            transport.abort()
        self._give(HEADERS_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due:
            self._due.cancel()
        self._places.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._take_up()

    def handle_events(self) -> None:
        last = self.cycle
        super().handle_events()
        if self.cycle is not last:
            self._head_lines = 0
            self._give(self._seconds + HEADERS_SECONDS)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio keeps the connection for sending if True
        """The caller will send nothing more. Complete requests are answered first; half a request is rejected."""
        if self.scheme == "https" or (self.is_idle and not self._unread):
            return False
        self._ended = True
        if self.conn.their_state is h11.SEND_BODY:
            if not self._unread:
                super().data_received(b"")
        elif self.scope["http_version"] == "1.1" and not self.cycle.response_started:
            # A caller that has closed its whole connection looks the same, and resets it when this line arrives.
            self.transport.write(self.conn.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            self._abort_if_reset()
        return True

    def pause_writing(self) -> None:
        self._stalled_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled_since = None
        super().resume_writing()

    def on_response_complete(self) -> None:
        self._give(HEADERS_SECONDS)
        super().on_response_complete()
        self._take_up()
        if self._ended and self.is_idle and not self._unread:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Rejects data that is not HTTP. In the middle of an answer, no error can be sent."""
        if self.cycle and not self.cycle.response_complete:
            if not self._ended:  # else the caller has left in the middle of its body
                self.cycle.scope[BROKEN] = True  # type: ignore[literal-required]  # an extension of ASGI
            self.cycle.disconnected = True
        else:
            self._unreadable()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def waiting(self) -> Waiting | None:
        """Since when the server waits for the caller to finish its handshake, send its request or read its answer."""
        if self._stalled_since is not None:
            return Waiting(kept=False, since=self._stalled_since)
        if self.is_idle:
            kept = self.cycle is not None and not self.transport.get_write_buffer_size()
            return Waiting(kept, self._since)
        return Waiting(kept=False, since=self._since) if self.cycle.more_body else None

    def push_out(self) -> None:
        """Closes the connection at once. A caller whose request is not finished is told why."""
        self.pushed_out = True
        opened: asyncio.Transport | None = self.transport
        if opened is None:  # in the handshake
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        elif self.is_idle or self.cycle.response_started or self.scheme == "https":
            self._abort()
        else:
            with suppress(OSError):
                self._socket.send(ROOM_MADE)
            self.transport.abort()

    def _give(self, seconds: float) -> None:
        """Gives the caller `seconds` for its next action."""
        self._since = self.loop.time()
        if self._due:
            self._due.cancel()
        self._due = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        """Closes a connection whose time is up."""
        if self.is_idle and not self.transport.get_write_buffer_size():
            self.transport.close()
            if self.cycle is not None:
                return  # an idle connection, which is normal
        else:
            self._abort()
        self._places.closed("late")

    def _abort(self) -> None:
        """Closes the connection and discards what its caller has not read."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.transport.abort()

    @property
    def _is_chunked(self) -> bool:
        """Whether a chunked body is being read."""
        return self.conn.their_state is h11.SEND_BODY and any(name == b"transfer-encoding" for name, _ in self.headers)

    def _take_up(self) -> None:
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

    def _abort_if_reset(self) -> None:
        """Ends the request of a caller that has reset its connection. After the end of input, only polling shows that.

        Checks again until the request has ended.
        """
        if self.is_idle or self.transport.is_closing():
            return
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self.loop.call_later(RESET_SECONDS, self._abort_if_reset)
