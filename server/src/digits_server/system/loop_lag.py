"""How late the event loop is: everything it answers waits as long as something else holds it."""

import asyncio
from collections.abc import Callable

INTERVAL_SECONDS = 0.025
"""Between two looks: what holds the loop longer is seen for certain."""


class LoopLag:
    """Tells `observe` the seconds by which the running event loop is late, again and again, from `start` to `stop`."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        self._due = self._loop.time() + INTERVAL_SECONDS
        self._timer = self._loop.call_at(self._due, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        self._observe(max(0.0, self._loop.time() - self._due))
        self.start()
