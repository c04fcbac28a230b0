"""Images from an asynchronous iterator: answered while it pauses, and let go when the caller stops."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
from numpy.typing import NDArray
from support.client.bulk import CHUNK
from support.client.scripted import HOLD_SECONDS, Gate, ScriptedServer
from support.waiting import until

from digits_client import AsyncClient


async def test_the_async_client_takes_async_iterables(script: ScriptedServer) -> None:
    async def images() -> AsyncIterator[NDArray[np.uint8]]:
        for value in range(30):
            await asyncio.sleep(0)
            yield np.full((28, 28), value, np.uint8)

    async with AsyncClient(script.target) as client:
        assert [item.digit async for item in client.predict_iter(images())] == [value % 10 for value in range(30)]
        assert list((await client.predict_batch(images())).digits) == [value % 10 for value in range(30)]


async def test_images_of_an_async_source_are_sent_and_answered_while_it_pauses(
    script: ScriptedServer,
) -> None:
    """The source continues only when all its images are answered: to wait for more images would be to wait for ever."""
    answered: asyncio.Queue[int] = asyncio.Queue()

    async def source() -> AsyncIterator[NDArray[np.uint8]]:
        for value in range(10):
            for _ in range(value + 1):
                yield np.full((28, 28), value, np.uint8)
            async with asyncio.timeout(30):
                assert [await answered.get() for _ in range(value + 1)] == [value] * (value + 1)

    async with AsyncClient(script.target) as client:
        async for item in client.predict_iter(source()):
            answered.put_nowait(item.digit)
    assert sum(script.sizes) == 55


async def test_images_that_come_while_an_rpc_is_in_flight_leave_together(script: ScriptedServer) -> None:
    script.answer = gate = Gate()

    async def source() -> AsyncIterator[NDArray[np.uint8]]:
        for value in range(100):
            yield np.full((28, 28), value, np.uint8)
            await asyncio.sleep(0)
            if value == 50:
                await asyncio.to_thread(until, lambda: bool(script.sizes), "the first image is at the server")
        gate.open()

    async with AsyncClient(script.target) as client:
        assert [item.digit async for item in client.predict_iter(source())] == [value % 10 for value in range(100)]
    assert sum(script.sizes) == 100
    assert len(script.sizes) <= 3


async def test_an_async_source_that_fails_ends_the_iterator_with_its_own_error(script: ScriptedServer) -> None:
    async def source(images: int) -> AsyncIterator[NDArray[np.uint8]]:
        for value in range(images):
            yield np.full((28, 28), value % 10, np.uint8)
        raise OSError("the camera is off")

    async with AsyncClient(script.target) as client:
        for images in (0, 1, 3 * CHUNK):
            with pytest.raises(OSError, match="the camera is off"):
                async for _ in client.predict_iter(source(images)):
                    pass


async def test_an_iterator_left_early_stops_reading_its_async_source(script: ScriptedServer) -> None:
    ended = asyncio.Event()

    async def source() -> AsyncIterator[NDArray[np.uint8]]:
        try:
            yield np.full((28, 28), 7, np.uint8)
            await asyncio.sleep(HOLD_SECONDS)
            pytest.fail("the source was read on")
        finally:
            ended.set()

    async with AsyncClient(script.target) as client:
        answers = client.predict_iter(source())
        assert (await anext(answers)).digit == 7
        await answers.aclose()
        async with asyncio.timeout(15):
            await ended.wait()
