"""Answers in the order of their requests, a window of them at a time."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.waiting import until_cancelled

from digits_server.errors import InvalidRequest, Unavailable
from digits_server.service.read_ahead import ReadAhead, Window
from digits_server.service.streaming import in_order


def window(requests: int) -> Window:
    return ReadAhead(requests, 1000, 1000).of("a connection")


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def test_answers_come_in_order_whichever_is_done_first() -> None:
    async def answer(number: int) -> int:
        for _ in range((7 * number) % 11):
            await asyncio.sleep(0)
        return number

    answers = in_order(numbers(50), answer, window=window(8), draining=asyncio.Event())
    assert [reply async for reply in answers] == list(range(50))


async def test_no_more_than_the_window_is_in_work_at_once() -> None:
    at_once = most = 0

    async def answer(number: int) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _ in range(5):
            await asyncio.sleep(0)
        at_once -= 1
        return number

    assert (
        len([reply async for reply in in_order(numbers(40), answer, window=window(4), draining=asyncio.Event())]) == 40
    )
    assert most == 4


async def test_the_first_error_ends_the_stream_after_the_answers_before_it_and_cancels_the_rest() -> None:
    begun: list[int] = []
    cancelled: list[int] = []

    async def answer(number: int) -> int:
        if number == 3:
            raise InvalidRequest("number 3")
        if number > 3:
            begun.append(number)
            await until_cancelled(number, cancelled)
        return number

    answers = in_order(numbers(20), answer, window=window(6), draining=asyncio.Event())
    assert [await anext(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InvalidRequest, match="number 3"):
        await anext(answers)
    assert begun
    assert cancelled == begun


async def test_a_failing_sender_ends_the_stream_in_its_turn() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 0
        raise InvalidRequest("torn")

    async def answer(number: int) -> int:
        return number

    answers = in_order(broken(), answer, window=window(4), draining=asyncio.Event())
    assert await anext(answers) == 0
    with pytest.raises(InvalidRequest, match="torn"):
        await anext(answers)


async def test_draining_answers_requests_in_work_and_ends_an_idle_stream() -> None:
    draining, silence, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def one_then_silence() -> AsyncIterator[int]:
        yield 1
        await silence.wait()

    async def answer(number: int) -> int:
        await go_on.wait()
        return number

    answers = in_order(one_then_silence(), answer, window=window(4), draining=draining)
    first = asyncio.ensure_future(anext(answers))
    await asyncio.sleep(0)
    draining.set()
    await asyncio.sleep(0)
    go_on.set()
    assert await asyncio.wait_for(first, 30) == 1
    with pytest.raises(Unavailable):
        await asyncio.wait_for(anext(answers), 30)
