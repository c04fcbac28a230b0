"""One HTTP connection: the time limits of its caller, and how it is closed when one has passed."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

import h11
from uvicorn.config import Config
from uvicorn.server import ServerState

from digits_server.web.places import Places, Waiting
from digits_server.web.reading import PiecewiseProtocol, Turns
from digits_server.web.routes import BROKEN

HEADERS_SECONDS = 15
"""Time from the connection, or from the last answer on it, to the end of the next request's headers. It also limits how
long an idle connection stays open, and how long a caller may take to read the end of an answer."""

RESET_SECONDS = 0.1
"""Time between two checks whether a caller that has closed its side has also reset the connection."""

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""The socket option SO_LINGER with a time of 0: unsent data is discarded."""

ROOM_MADE = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b'retry-after: 1\r\ncontent-length: 69\r\n\r\n{"error":"closed for others: the request took too long to come here"}'
)
"""The answer to a caller whose unfinished request was dropped in favour of another connection."""


class Connection(PiecewiseProtocol):
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
        super().__init__(config, server_state, turns)
        self._socket = accepted
        self._places = places
        self._seconds = seconds
        self._unreadable = unreadable
        self._since = self.loop.time()
        """When the server began to wait for the caller's current action: event-loop time, seconds."""
        self._stalled_since: float | None = None
        """When the caller stopped reading, or None."""
        self._due: asyncio.TimerHandle | None = None
        self.pushed_out = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if self.pushed_out:
            transport.abort()
        self._give(HEADERS_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due:
            self._due.cancel()
        self._places.leave(self)
        super().connection_lost(exc)

    def request_began(self) -> None:
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
        self.take_up()
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
