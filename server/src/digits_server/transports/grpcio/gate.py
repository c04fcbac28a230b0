"""A gate: calls wait at it while it is closed."""

import asyncio
from typing import Any

from digits_server.transports.arrivals import Arrivals


class Gate:
    """Counts the calls that arrive; holds them while it is `closed`."""

    def __init__(self) -> None:
        self.closed = False
        self.arrivals = Arrivals()
        self._opened = asyncio.Event()

    async def enter(self, context: Any) -> None:
        """Returns when the call can be answered."""
        self.arrivals.count += 1
        if self.closed:
            self.arrivals.hold(context.time_remaining())
            await self._opened.wait()

    def open(self) -> None:
        self.closed = False
        self._opened.set()
