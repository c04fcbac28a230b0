"""A PredictStream for tasks: a task reads the source, a thread reads the replies, and the caller's task waits for both.

The RPC is one of gRPC's for threads. In grpc.aio, if a request is written while the server ends the stream, INTERNAL
replaces the server's status. Callers would then not learn why their stream ended.
"""

import asyncio
import time
from _thread import start_new_thread
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from digits.v1.prediction_pb2 import PredictRequest
from digits_client import _limits, _shared
from digits_client._answers.results import Predictions
from digits_client._calls.streams import Answers, Sent, read_replies
from digits_client._coalescing.calls import Kind
from digits_client._errors import DigitsError
from digits_client._inputs.chunks import Chunk


@dataclass(frozen=True, slots=True)
class TaskStream:
    """The parameters of a stream.

    begin    starts the RPC with its requests, and returns gRPC's call
    error    turns the exception of a call into the client's error
    timeout  seconds that each answer may take
    """

    begin: Callable[[Iterator[PredictRequest]], Awaitable[Any]]
    error: Callable[[Exception], DigitsError]
    asked: Kind
    timeout: float

    async def parts(self, line: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Predictions, None]:
        """The answers of the chunks in their order, as they come."""
        loop = asyncio.get_running_loop()
        answers = Answers(self.asked, self.timeout)
        events: asyncio.Queue[Any] = asyncio.Queue()
        outgoing: SimpleQueue[PredictRequest | None] = SimpleQueue()
        window = asyncio.Semaphore(_limits.STREAM_REQUESTS_IN_FLIGHT)

        def put(event: Any) -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile: no task waits
                loop.call_soon_threadsafe(events.put_nowait, event)

        call = await self.begin(iter(outgoing.get, None))
        start_new_thread(read_replies, (call, self.error, put))
        source = asyncio.create_task(self._read(line, answers, events, outgoing, window))
        try:
            while not answers.ended:
                part = answers.take(await self._event(events, answers))
                if part is not None:
                    yield part
                    window.release()
        finally:
            outgoing.put(None)
            call.cancel()
            source.cancel()
            await asyncio.gather(source, return_exceptions=True)

    async def _event(self, events: "asyncio.Queue[Any]", answers: Answers) -> Any:
        if not events.empty():
            return events.get_nowait()
        due = answers.due
        try:
            return await asyncio.wait_for(events.get(), None if due is None else _shared.left(due))
        except asyncio.TimeoutError:
            late = answers.late()
        raise late

    async def _read(
        self,
        line: AsyncGenerator[Chunk, None],
        answers: Answers,
        events: "asyncio.Queue[Any]",
        outgoing: "SimpleQueue[PredictRequest | None]",
        window: asyncio.Semaphore,
    ) -> None:
        try:
            async with aclosing(line):
                async for chunk in line:
                    await window.acquire()
                    events.put_nowait(Sent(chunk, time.monotonic() + self.timeout))
                    outgoing.put(chunk.request)
        except Exception as error:  # noqa: BLE001  # it is raised where the answers are read
            answers.source_failure = error
        outgoing.put(None)
