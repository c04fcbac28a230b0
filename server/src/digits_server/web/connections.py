"""HTTP connections that ask for nothing, and make room for those that do."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_SECONDS = 15
"""What a caller has from its connection, or from the last answer on it, to the end of its next request's headers. It is
also how long an idle connection stays open: longer than a scraper's usual interval would gain nothing."""


class Connection(H11Protocol):
    """uvicorn's, which alone would wait for the first request for as long as its caller likes.

    Of more connections than the limit the idle one that has waited longest is closed, those first that never asked for
    anything: who floods the server with idle connections pushes out his own, and probes are answered.
    """

    idle_since = 0.0
    """Event-loop time, seconds."""
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

    def on_response_complete(self) -> None:
        self._rest()
        super().on_response_complete()

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
