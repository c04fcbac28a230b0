"""One stream of requests answered in order, several at a time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from digits_server.errors import Unavailable
from digits_server.service.read_ahead import Window

Request = TypeVar("Request")
Reply = TypeVar("Reply")


async def in_order(
    requests: AsyncIterator[Request],
    answer: Callable[[Request], Awaitable[Reply]],
    *,
    window: Window,
    draining: asyncio.Event,
    size: Callable[[Request], int] = lambda _: 1,
) -> AsyncGenerator[Reply]:
    """Yields the answer of each request, in the order of the requests, with a `window` of requests in work at once.

    size  bytes of a request

    The first error ends the stream, after the answers before it. Once `draining` is set, no further request is read:
    requests in work are answered, then Unavailable is raised.
    """
    answers: asyncio.Queue[asyncio.Future[Reply] | None] = asyncio.Queue()

    async def read() -> None:
        """Puts one future for each request into `answers`, and None at the end of the stream."""
        try:
            while True:
                await window.open()
                if (request := await _next(requests)) is None:
                    answers.put_nowait(None)
                    return
                window.took(size(request))
                answers.put_nowait(asyncio.ensure_future(answer(request)))
                del request  # it is kept until it is answered
        except Exception as error:  # noqa: BLE001 - whatever ended the reading ends the stream, in its turn
            answers.put_nowait(_failed(error))

    async def stop_when_draining() -> None:
        await draining.wait()
        reader.cancel()
        answers.put_nowait(_failed(Unavailable("the server is draining")))

    reader = asyncio.ensure_future(read())
    watcher = asyncio.ensure_future(stop_when_draining())
    try:
        while pending := await answers.get():
            yield await pending
            window.answered()
    finally:
        await _cancelled(reader, watcher)
        while not answers.empty():
            if left := answers.get_nowait():
                await _cancelled(left)
        window.close()


async def until(draining: asyncio.Event, requests: AsyncIterator[Request]) -> AsyncGenerator[Request]:
    """The requests of a stream, until it ends or `draining` is set: then Unavailable is raised."""
    drained = asyncio.ensure_future(draining.wait())
    reading: asyncio.Future[Request | None] | None = None
    try:
        while True:
            reading = asyncio.ensure_future(_next(requests))
            await asyncio.wait((reading, drained), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                raise Unavailable("the server is draining")
            if (request := reading.result()) is None:
                return
            yield request
    finally:
        await _cancelled(drained, *([reading] if reading else []))


async def _next(requests: AsyncIterator[Request]) -> Request | None:
    return await anext(requests, None)


def _failed(error: Exception) -> "asyncio.Future[Reply]":
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


async def _cancelled(*futures: "asyncio.Future[Any]") -> None:
    """Cancels the futures that still run and retrieves the errors of the others, so that asyncio does not warn."""
    for future in futures:
        future.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await future
