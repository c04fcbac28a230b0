"""Many images of one caller → RPCs, for tasks: in order, a few in flight at once."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from digits_client import _shared
from digits_client._answers.results import Predictions
from digits_client._coalescing.calls import Kind
from digits_client._errors import DigitsError
from digits_client._inputs.chunks import Chunk, located
from digits_client._inputs.reader import Reader
from digits_client._settings import Retries


@dataclass(frozen=True, slots=True)
class TaskBulk:
    """The parts that all RPCs of one call share.

    call      sends a request with a timeout in seconds, and raises the client's errors
    deadline  when the next RPC must be answered
    on_retry  called for each RPC that is sent again
    """

    call: Callable[[Any, float], Awaitable[Any]]
    asked: Kind
    deadline: Callable[[], float]
    retries: Retries | None
    on_retry: Callable[[], object]

    async def parts(self, reader: Reader, *, early: bool = False) -> AsyncGenerator[Predictions, None]:
        """The answers of the chunks in their order. early: an incomplete chunk is sent when nothing is in flight."""
        in_flight: deque[asyncio.Task[Predictions]] = deque()
        most = 1
        try:
            while True:
                reader.changed.clear()
                while len(in_flight) < most and (chunk := reader.take(incomplete=early and not in_flight)):
                    most = chunk.rpcs_in_flight
                    in_flight.append(asyncio.create_task(self._part(chunk, self.deadline())))
                    in_flight[-1].add_done_callback(lambda _: reader.changed.set())
                if in_flight and in_flight[0].done():
                    yield await in_flight.popleft()
                elif reader.ended and not in_flight:
                    return
                else:
                    await reader.changed.wait()
        finally:
            for task in in_flight:
                task.cancel()
            await asyncio.gather(reader.close(), *in_flight, return_exceptions=True)

    async def _part(self, chunk: Chunk, deadline: float) -> Predictions:
        refusals = 0
        while True:
            try:
                reply = await self.call(chunk.request, _shared.left(deadline))
                return _shared.predictions(reply, chunk.count, self.asked)
            except DigitsError as error:
                delay = _shared.retry_delay(error, refusals, deadline, self.retries)
                if delay is None:
                    raise located(error, chunk)  # noqa: B904  # it is the same error
            refusals += 1
            self.on_retry()
            await asyncio.sleep(delay)
