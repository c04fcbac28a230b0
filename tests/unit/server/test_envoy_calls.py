"""The calls under way over Envoy: who is asked whether it is still there."""

import asyncio
from collections.abc import Callable
from typing import Any

from digits_server.settings import Settings
from digits_server.transports.envoy.calls import FIRST_LOOK_SECONDS, MOST_LOOKS, Calls
from digits_server.transports.limits import limits


class Clock:
    """An event loop's clock, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: Callable[[], None]

    def time(self) -> float:
        return self.now

    def call_later(self, _seconds: float, what: Callable[[], None]) -> None:
        self.due = what


def test_only_a_few_callers_are_asked_at_a_time_and_everybody_in_the_end() -> None:
    async def asked_by_tick(ticks: int) -> list[int]:
        clock: Any = Clock()
        calls = Calls(limits(Settings()))
        calls._loop = clock
        asked: set[int] = set()
        for number in range(2 * MOST_LOOKS + 1):

            async def receive(number: int = number) -> dict[str, Any]:
                asked.add(number)
                return {"type": "http.request"}

            calls.enter(receive, None, None, {}).reading = False
        clock.now = 2 * FIRST_LOOK_SECONDS
        counts = []
        for _ in range(ticks):
            clock.due()
            await asyncio.sleep(0)  # the questions begin
            counts.append(len(asked))
        return counts

    assert asyncio.run(asked_by_tick(3)) == [MOST_LOOKS, 2 * MOST_LOOKS, 2 * MOST_LOOKS + 1]
