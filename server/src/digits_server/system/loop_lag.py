"""Measures how late the event loop runs: while something blocks it, every answer waits."""

import asyncio
from collections.abc import Callable

INTERVAL_SECONDS = 0.025
"""Time between two measurements: a longer block is certainly seen."""


class LoopLag:
    """Reports to `observe` the seconds by which the running event loop is late, from `start` to `stop`."""

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
