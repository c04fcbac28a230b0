"""The calls under way over Envoy: who is asked whether it is still there, and who is given up."""

import asyncio
from collections.abc import Callable
from typing import Any

from digits_server.settings import Settings
from digits_server.transports.envoy.calls import FIRST_LOOK_SECONDS, MOST_LOOKS, Calls
from digits_server.transports.envoy.reads import SILENT_TICKS
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


PEERS = ["modest"] * 2 + ["greedy"] * limits(Settings()).unfinished_calls + ["middling"] * 10
"""Of each call: ten more are unfinished than may be, and two."""


async def given_up(*, answered: int, ticks: int) -> list[int]:
    """Which of the calls of PEERS, all without a message, once one that asked after the first `answered` has it."""
    clock: Any = Clock()
    calls = Calls(limits(Settings()))
    calls._loop = clock

    async def begin(peer: str, receive: Callable[[], Any]) -> None:
        call = calls.enter(receive, None, peer, {})
        call.unfinished = True
        await call.reader.next()
        call.unfinished = False

    async def whole() -> dict[str, Any]:
        return {"type": "http.request"}

    tasks = [asyncio.create_task(begin(peer, asyncio.Future)) for peer in PEERS[:answered]]
    await asyncio.sleep(0)  # they ask
    if answered:
        await begin("quick", whole)
    tasks += [asyncio.create_task(begin(peer, asyncio.Future)) for peer in PEERS[answered:]]
    await asyncio.sleep(0)
    for _ in range(ticks):
        clock.due()
    await asyncio.sleep(0)
    return [number for number, task in enumerate(tasks) if task.done()]


def test_of_too_many_unfinished_calls_the_oldest_of_the_greediest_connection_are_given_up() -> None:
    """Whoever has few of them keeps them, however old they are."""
    assert asyncio.run(given_up(answered=len(PEERS), ticks=1)) == list(range(2, 14))


def test_a_call_whose_message_may_be_there_unread_is_not_given_up() -> None:
    """However many have come at once."""
    assert asyncio.run(given_up(answered=0, ticks=SILENT_TICKS)) == []
    assert asyncio.run(given_up(answered=len(PEERS) - 11, ticks=1)) == [2]


def test_where_nobody_has_an_answer_for_long_the_greediest_are_given_up_all_the_same() -> None:
    assert asyncio.run(given_up(answered=0, ticks=SILENT_TICKS + 1)) == list(range(2, 14))
