"""Many images of one caller → RPCs, for threads: in order, a few in flight at once."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from digits_client import _shared
from digits_client._answers.results import Predictions
from digits_client._coalescing.calls import Kind
from digits_client._connection.metadata import Pairs
from digits_client._errors import DigitsError
from digits_client._inputs.chunks import Chunk, located
from digits_client._settings import Retries


@dataclass(frozen=True, slots=True)
class ThreadBulk:
    """The parts that all RPCs of one call share.

    method    returns the method to call; after a fork, another one
    error     turns the exception of a call into the client's error
    deadline  when the next RPC must be answered
    metadata  of this call alone
    on_retry  called for each RPC that is sent again
    """

    method: Callable[[], Any]
    error: Callable[[Exception], DigitsError]
    asked: Kind
    deadline: Callable[[], float]
    metadata: Pairs
    retries: Retries | None
    on_retry: Callable[[], object]

    def parts(self, line: Iterator[Chunk]) -> Iterator[Predictions]:
        """The answers of the chunks in their order, some RPCs ahead of the reader."""
        in_flight: deque[tuple[Chunk, Any, float]] = deque()
        try:
            for chunk in line:
                end = self.deadline()
                in_flight.append((chunk, self._sent(chunk, end), end))
                while in_flight and (len(in_flight) >= chunk.rpcs_in_flight or in_flight[0][1].done()):
                    yield self._part(*in_flight.popleft())
            while in_flight:
                yield self._part(*in_flight.popleft())
        finally:
            for _, call, _ in in_flight:
                call.cancel()

    def _sent(self, chunk: Chunk, deadline: float) -> Any:
        method = self.method()
        try:
            return method.future(chunk.request, timeout=_shared.left(deadline), metadata=self.metadata)
        except ValueError as error:  # what gRPC raises on a channel that was closed meanwhile
            raise self.error(error) from error

    def _part(self, chunk: Chunk, call: Any, deadline: float) -> Predictions:
        refusals = 0
        while True:
            try:
                return _shared.predictions(call.result(), chunk.count, self.asked)
            except DigitsError as error:
                raise located(error, chunk)  # noqa: B904  # it is the same error
            except (grpc.RpcError, grpc.FutureCancelledError, ValueError) as error:
                failure = self.error(error)
                delay = _shared.retry_delay(failure, refusals, deadline, self.retries)
                if delay is None:
                    raise located(failure, chunk) from error
            refusals += 1
            self.on_retry()
            time.sleep(delay)
            call = self._sent(chunk, deadline)
