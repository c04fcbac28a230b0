"""The calls under way over Envoy: who is asked whether it is still there, and who is given up."""

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


def test_of_too_many_unfinished_calls_the_oldest_of_the_greediest_connection_are_given_up() -> None:
    """Whoever has few of them keeps them, however old they are."""
    most = limits(Settings()).unfinished_calls

    async def given_up() -> list[int]:
        clock: Any = Clock()
        calls = Calls(limits(Settings()))
        calls._loop = clock

        async def unfinished(peer: str) -> None:
            calls.enter(asyncio.Future, None, peer, {}).unfinished = True
            await asyncio.Future()

        peers = ["modest"] * 2 + ["greedy"] * most + ["middling"] * 10
        tasks = [asyncio.create_task(unfinished(peer)) for peer in peers]
        await asyncio.sleep(0)
        clock.due()
        await asyncio.sleep(0)
        return [number for number, task in enumerate(tasks) if task.done()]

    assert asyncio.run(given_up()) == list(range(2, 14))
