"""Predictions in flight over HTTP: accepted while the server serves, and finished before it stops."""

import asyncio
from contextlib import suppress
from types import TracebackType

from digits_server.errors import Unavailable


class InFlight:
    """A context manager around each prediction, for any number of requests at once. Lives on the event loop."""

    def __init__(self) -> None:
        self._count = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        """Raises Unavailable once closed."""
        if self._closed:
            raise Unavailable("the server is draining")
        self._count += 1
        self._idle.clear()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._count -= 1
        if not self._count:
            self._idle.set()

    async def close(self, seconds: float) -> None:
        """Rejects new predictions, and returns when the last one has ended, after `seconds` at the latest."""
        self._closed = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)
