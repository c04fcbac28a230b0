"""A channel, and what is called on it: for the threads of a process, for the tasks of an event loop."""

import asyncio
import os
from typing import TYPE_CHECKING, Any

import grpc

from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_client import _forks, _health
from digits_client._channel import Endpoint
from digits_client._coalescing import Coalescing
from digits_client._coalescing_tasks import TaskCoalescer
from digits_client._coalescing_threads import ThreadCoalescer
from digits_client._errors import Misused
from digits_client._tokens import bearing

if TYPE_CHECKING:
    from digits_client._tracing import Tracing


def tracer() -> "Tracing":
    """What traces the RPCs of connections. Misused where OpenTelemetry is not installed."""
    try:
        from digits_client._tracing import Tracing  # nobody else pays for OpenTelemetry
    except ModuleNotFoundError as error:
        raise Misused("tracing needs OpenTelemetry: install digits-client[tracing]") from error
    return Tracing()


class ThreadConnection:
    """Of this process. Misused in a forked one where gRPC would hang."""

    def __init__(self, endpoint: Endpoint, coalescing: Coalescing | None, tracing: "Tracing | None") -> None:
        _forks.connecting(on_event_loop=False)
        self._channel = endpoint.channel()
        channel = bearing(tracing.over_threads(self._channel) if tracing else self._channel, endpoint.token)
        self.stub: PredictionServiceStub = PredictionServiceStub(channel)
        self.check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_health.CHECK)
        coalescer = tracing.thread_coalescer if tracing else ThreadCoalescer
        self.coalescer = coalescer(self.stub.Predict, coalescing) if coalescing else None

    def close(self) -> None:
        if self.coalescer:
            self.coalescer.close()
        self._channel.close()


class TaskConnection:
    """Of the running event loop. Misused in a forked process where gRPC would hang."""

    def __init__(self, endpoint: Endpoint, coalescing: Coalescing | None, tracing: "Tracing | None") -> None:
        _forks.connecting(on_event_loop=True)
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._channel = endpoint.async_channel()
        channel = bearing(tracing.over_tasks(self._channel) if tracing else self._channel, endpoint.token)
        self.stub: Any = PredictionServiceStub(channel)
        self.check: Any = channel.unary_unary(_health.CHECK)
        coalescer = tracing.task_coalescer if tracing else TaskCoalescer
        self.coalescer = coalescer(self.stub.Predict, coalescing) if coalescing else None

    def check_usable(self) -> None:
        """Misused in a forked process and on any other event loop: gRPC would never answer there."""
        if os.getpid() != self._process:
            raise Misused(_forks.SENTENCE)
        if asyncio.get_running_loop() is not self._loop:
            raise Misused("an AsyncClient belongs to the event loop of its first call: make one for each loop")

    async def close(self) -> None:
        if self.coalescer:
            await self.coalescer.close()
        await self._channel.close()
