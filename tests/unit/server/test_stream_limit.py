"""Which stream of requests gives way to a new one when all places are taken."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from digits_server.errors import Overloaded
from digits_server.rpcs.stream_limit import SILENT_SECONDS, OpenStream, StreamLimit

LONG_AGO = 2 * SILENT_SECONDS


def streams(count: int) -> list[OpenStream]:
    return [OpenStream() for _ in range(count)]


async def ends(limit: StreamLimit, stream: OpenStream, entered: asyncio.Event) -> str:
    """Holds a place until it is taken away; the error's message."""
    try:
        async with limit.place(stream, "caller"):
            entered.set()
            await asyncio.Event().wait()
    except Overloaded as error:
        return error.message
    raise AssertionError("nothing took the place away")


async def test_the_stream_that_has_waited_longest_for_its_caller_gives_way() -> None:
    limit = StreamLimit(2, 2, "a setting", silent=True)
    longest, shorter, newest = streams(3)
    entered = [asyncio.Event(), asyncio.Event()]
    waiting = [asyncio.create_task(ends(limit, each, at)) for each, at in zip((shorter, longest), entered, strict=True)]
    for at in entered:
        await at.wait()
    shorter.since -= LONG_AGO
    longest.since -= LONG_AGO + 1
    async with limit.place(newest, "another"):
        message = await asyncio.wait_for(waiting[1], 10)
        assert not waiting[0].done()
    assert message == (
        "ended to make room for another one: all 2 streams (a setting) were open, and it had waited longest for its "
        "next request"
    )
    waiting[0].cancel()


@pytest.mark.parametrize("state", ["it has just sent a reply", "a request of it is being answered"])
async def test_no_stream_that_is_in_use_gives_way(state: str) -> None:
    limit = StreamLimit(1, 1, silent=True)
    (stream,) = streams(1)
    async with limit.place(stream, "caller"):
        stream.since -= LONG_AGO
        stream.requests += 1
        if state == "it has just sent a reply":
            stream.replied()
        with pytest.raises(Overloaded, match="1 streams are open; at most 1 may be"):
            async with AsyncExitStack() as entering:
                await entering.enter_async_context(limit.place(streams(1)[0], "another"))
