"""Streams read ahead within bounds, each for itself and all together."""

import asyncio

import pytest

from digits_server.errors import Overloaded
from digits_server.service.read_ahead import ReadAhead, Window


def ahead(requests: int = 4, own_bytes: int = 100, all_bytes: int = 1000) -> ReadAhead:
    return ReadAhead(requests, own_bytes, all_bytes)


async def is_open(window: Window) -> bool:
    opening = asyncio.ensure_future(window.open())
    await asyncio.sleep(0)
    opening.cancel()
    return opening.done() and not opening.cancelled()


async def test_a_stream_reads_no_more_requests_than_its_window() -> None:
    window = ahead().of("a")
    for _ in range(4):
        assert await is_open(window)
        window.took(1)
    assert not await is_open(window)
    window.answered()
    assert await is_open(window)


async def test_a_stream_reads_no_further_with_its_bytes_in_work_but_always_a_first_request() -> None:
    window = ahead().of("a")
    assert await is_open(window)
    window.took(150)
    assert not await is_open(window)
    window.answered()
    assert await is_open(window)


async def test_no_stream_reads_ahead_beyond_half_of_all_bytes() -> None:
    streams = ahead(own_bytes=400)
    for peer in "abcde":
        streams.of(peer).took(100)
    window = streams.of("f")
    assert await is_open(window)
    window.took(1)
    assert not await is_open(window)


async def test_a_connection_with_a_quarter_of_all_bytes_does_not_read() -> None:
    streams = ahead()
    first = streams.of("a")
    first.took(250)
    second = streams.of("a")
    assert not await is_open(second)
    assert await is_open(streams.of("b"))
    first.close()
    assert await is_open(second)


async def test_beyond_all_bytes_a_request_is_rejected_and_beyond_three_quarters_for_one_connection() -> None:
    streams = ahead()
    streams.of("a").took(600)
    with pytest.raises(Overloaded, match="max_stream_bytes"):
        streams.of("a").took(151)
    streams.of("b").took(300)
    with pytest.raises(Overloaded, match="max_stream_bytes"):
        streams.of("c").took(101)
    streams.of("c").took(100)


async def test_ended_streams_free_their_bytes() -> None:
    streams = ahead()
    for _ in range(100):
        window = streams.of("a")
        window.took(400)
        window.took(20)
        window.answered()
        window.close()
    assert streams.held == 0
    assert not streams.by_peer


async def test_a_request_that_is_being_read_counts_like_the_one_before_it() -> None:
    streams = ahead(own_bytes=500)
    first, second = streams.of("a"), streams.of("a")
    first.took(130)
    await first.open()
    assert not await is_open(second)
    first.answered()
    assert streams.held == 0
    assert await is_open(second)
