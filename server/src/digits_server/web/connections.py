"""HTTP connections that ask for nothing, and make room for those that do."""

import asyncio
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_SECONDS = 15
"""What a caller has from its connection, or from the last answer on it, to the end of its next request's headers. It is
also how long an idle connection stays open: longer than a scraper's usual interval would gain nothing."""

RESET_SECONDS = 0.1
"""Between two looks whether a caller that sends nothing more has reset its connection."""


class Connection(H11Protocol):
    """uvicorn's, which alone would wait for the first request for as long as its caller likes.

    Of more connections than the limit the idle one that has waited longest is closed, those first that never asked for
    anything: who floods the server with idle connections pushes out his own, and probes are answered.
    """

    idle_since = 0.0
    """Event-loop time, seconds."""
    ended = False
    """Whether the caller has closed its side of the connection."""
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._rest()
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due:
            self._due.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio keeps the connection for sending if True
        """The caller sends nothing more. What it has asked for is answered first; half a request is refused."""
        if self.scheme == "https" or self.is_idle:
            return False
        self.ended = True
        if self.conn.their_state is h11.SEND_BODY:
            self.data_received(b"")
        elif self.scope["http_version"] == "1.1" and not self.cycle.response_started:
            # A caller that has closed its whole connection looks the same. It resets the connection on this line.
            self.transport.write(self.conn.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            self._abort_if_reset()
        return True

    def _abort_if_reset(self) -> None:
        """Ends the request of a caller that has reset its connection, which nothing else tells after the end of input.

        Asks again until the request has ended.
        """
        if self.is_idle or self.transport.is_closing():
            return
        if self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self.loop.call_later(RESET_SECONDS, self._abort_if_reset)

    def send_400_response(self, msg: str) -> None:
        """Refuses what is not HTTP. In the middle of an answer there is no place to say so."""
        if self.cycle:
            self.cycle.disconnected = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def on_response_complete(self) -> None:
        self._rest()
        super().on_response_complete()
        if self.ended and self.is_idle:
            self.leave()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def leave(self) -> None:
        self.connections.discard(self)  # at once: closing takes a turn of the loop
        self.transport.close()

    def _make_room(self) -> None:
        others = [other for other in self.connections if isinstance(other, Connection) and other is not self]
        idle = [other for other in others if other.is_idle]
        if idle:
            min(idle, key=lambda other: (other.cycle is not None, other.idle_since)).leave()

    def _rest(self) -> None:
        """Gives the caller its time for the next request."""
        self.idle_since = self.loop.time()
        if self._due:
            self._due.cancel()
        self._due = self.loop.call_later(HEADERS_SECONDS, self._too_late, self.cycle)

    def _too_late(self, last: Any) -> None:
        if self.cycle is last:
            self.leave()
