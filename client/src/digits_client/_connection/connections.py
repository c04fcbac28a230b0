"""A channel and its methods: for the threads of a process, or for the tasks of an event loop."""

import asyncio
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_client._coalescing.rules import Coalescing
from digits_client._coalescing.stats import Stats
from digits_client._coalescing.tasks import TaskCoalescer
from digits_client._coalescing.threads import ThreadCoalescer
from digits_client._connection import health
from digits_client._connection.bearing import Bearing
from digits_client._connection.channel import Endpoint
from digits_client._connection.forks import SENTENCE, connecting
from digits_client._connection.log import telling, watch_on_loop
from digits_client._connection.metadata import Pairs
from digits_client._errors import ClientClosed, Misused

if TYPE_CHECKING:
    from digits_client._connection.tracing import Tracing


def tracer() -> "Tracing":
    """The object that traces the RPCs of connections. Misused if OpenTelemetry is not installed."""
    try:
        from digits_client._connection.tracing import Tracing  # OpenTelemetry is imported only for tracing
    except ModuleNotFoundError as error:
        raise Misused("tracing needs OpenTelemetry: install digits-client with its extra 'tracing'") from error
    return Tracing()


class ThreadConnection:
    """A connection of this process. Misused in a forked process in which gRPC would hang."""

    def __init__(self, endpoint: Endpoint, coalescing: Coalescing | None, tracing: "Tracing | None") -> None:
        connecting(on_event_loop=False)
        self._channel = endpoint.channel()
        if telling():
            self._channel.subscribe(endpoint.connectivity.changed)
        self.bearing = Bearing(endpoint.token, endpoint.metadata)
        channel = self.bearing.over_threads(tracing.over_threads(self._channel) if tracing else self._channel)
        self.stub: PredictionServiceStub = PredictionServiceStub(channel)
        self.check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(health.CHECK)
        coalescer = tracing.thread_coalescer if tracing else ThreadCoalescer
        self.coalescer = coalescer(self.stub.Predict, coalescing, endpoint.failure) if coalescing else None

    def begin_stream(self, requests: Iterator[PredictRequest], own: Pairs, timeout: float) -> Any:
        """A PredictStream without a deadline.

        It begins when its token has arrived, which may take `timeout` seconds.
        """
        return self.stub.PredictStream(requests, metadata=self.bearing.of_stream(own, timeout))

    def stats(self) -> Stats:
        return self.coalescer.stats() if self.coalescer else Stats()

    def close(self) -> None:
        if self.coalescer:
            self.coalescer.close()
        self.bearing.close()
        self._channel.close()


class TaskConnection:
    """A connection of the running event loop. Misused in a forked process in which gRPC would hang."""

    def __init__(self, endpoint: Endpoint, coalescing: Coalescing | None, tracing: "Tracing | None") -> None:
        connecting(on_event_loop=True)
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._endpoint = endpoint
        self._tracing = tracing
        self._closed = False
        self._channel = endpoint.async_channel()
        self._stream_channel: grpc.Channel | None = None
        self._watch = self._loop.create_task(watch_on_loop(self._channel, endpoint.connectivity)) if telling() else None
        self.bearing = Bearing(endpoint.token, endpoint.metadata)
        channel = self.bearing.over_tasks(tracing.over_tasks(self._channel) if tracing else self._channel)
        self.stub: Any = PredictionServiceStub(channel)
        self.check: Any = channel.unary_unary(health.CHECK)
        coalescer = tracing.task_coalescer if tracing else TaskCoalescer
        self.coalescer = coalescer(self.stub.Predict, coalescing, endpoint.failure) if coalescing else None

    def check_usable(self) -> None:
        """Misused in a forked process or on another event loop: gRPC would never answer there."""
        if os.getpid() != self._process:
            raise Misused(SENTENCE)
        if asyncio.get_running_loop() is not self._loop:
            raise Misused("an AsyncClient belongs to the event loop of its first call: make one for each loop")

    async def begin_stream(self, requests: Iterator[PredictRequest], own: Pairs, timeout: float) -> Any:
        """A PredictStream of gRPC for threads, see `stream_tasks`; otherwise as in ThreadConnection."""
        metadata = await self.bearing.of_stream_on_loop(own, timeout)
        if self._closed:
            raise ClientClosed
        if self._stream_channel is None:
            self._stream_channel = self._endpoint.channel()
        channel = self._tracing.over_threads(self._stream_channel) if self._tracing else self._stream_channel
        return PredictionServiceStub(channel).PredictStream(requests, metadata=metadata)

    def stats(self) -> Stats:
        return self.coalescer.stats() if self.coalescer else Stats()

    async def close(self) -> None:
        self._closed = True
        if self.coalescer:
            await self.coalescer.close()
        self.bearing.close()
        if self._watch:
            self._watch.cancel()
        if self._stream_channel:
            self._stream_channel.close()
        await self._channel.close()
