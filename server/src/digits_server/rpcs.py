"""The RPCs this server answers, as bytes in and bytes out: what every transport carries, and none defines.

Parsing, the errors callers see and the RPC metrics are the same whatever carried the call, so they happen here.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Any

from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2

from digits.v1 import prediction_pb2
from digits_server.errors import InvalidRequest, ServingError, Status
from digits_server.health import Health
from digits_server.metrics import Metrics, RpcMetrics
from digits_server.service import PredictionService
from digits_server.streaming import until

log = logging.getLogger(__name__)

PREDICTION_SERVICE = prediction_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name
HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

Data = bytes | memoryview
"""A message on its way in: a view where a transport can spare the copy."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One method. `deadline` is a time of the event loop's clock, seconds, or None."""

    service: str
    method: str
    request_type: type[Message]
    metrics: RpcMetrics

    def parse(self, data: Data) -> Any:
        """The request in `data`; InvalidRequest when the bytes are no such message."""
        try:
            return self.request_type.FromString(data)  # type: ignore[arg-type]  # a view does as well
        except DecodeError as error:
            name = self.request_type.DESCRIPTOR.full_name
            raise InvalidRequest(f"the message cannot be parsed: expected {name} in protobuf wire format") from error

    def observed(self, deadline: float | None) -> "_Observed":
        """Counts one call and lets no error out but ServingError and cancellation."""
        return _Observed(self, deadline)


class _Observed:
    """A context manager by hand: written as a generator it costs every call twice as much."""

    __slots__ = ("_begin", "_deadline", "_rpc")

    def __init__(self, rpc: Rpc, deadline: float | None) -> None:
        self._rpc = rpc
        self._deadline = deadline

    def __enter__(self) -> None:
        self._rpc.metrics.started.inc()
        self._begin = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._rpc.metrics.handled(self._status(error), perf_counter() - self._begin)
        if isinstance(error, Exception) and not isinstance(error, ServingError):
            log.error("%s/%s failed", self._rpc.service, self._rpc.method, exc_info=error)
            raise ServingError("the server failed on this request; its log says why") from error

    def _status(self, error: BaseException | None) -> Status:
        if error is None:
            return Status.OK
        if isinstance(error, ServingError):
            return error.status
        if isinstance(error, Exception):
            return Status.INTERNAL
        late = self._deadline is not None and asyncio.get_running_loop().time() >= self._deadline
        return Status.DEADLINE_EXCEEDED if late else Status.CANCELLED  # the caller's, or the generator was closed


@dataclass(frozen=True, slots=True)
class UnaryRpc(Rpc):
    """One request, one reply."""

    behaviour: Callable[[Any, float | None], Awaitable[Message]]

    async def answer(self, data: Data, deadline: float | None) -> bytes:
        with self.observed(deadline):
            return (await self.behaviour(self.parse(data), deadline)).SerializeToString()


@dataclass(frozen=True, slots=True)
class StreamRpc(Rpc):
    """A stream of replies to one request (`takes_stream` false) or to a stream of requests."""

    behaviour: Callable[[AsyncIterator[Any], float | None], AsyncIterator[Message]]
    takes_stream: bool

    async def answers(self, messages: AsyncIterator[Data], deadline: float | None) -> AsyncGenerator[bytes]:
        with self.observed(deadline):
            async for reply in self.behaviour(self._requests(messages), deadline):
                yield reply.SerializeToString()

    async def _requests(self, messages: AsyncIterator[Data]) -> AsyncIterator[Any]:
        async for data in messages:
            yield self.parse(data)


def all_rpcs(
    service: PredictionService, health: Health, metrics: Metrics, *, reflection: bool
) -> list[UnaryRpc | StreamRpc]:
    """Every RPC of the server."""

    def unary(name: str, method: str, request: type[Message], behaviour: Any) -> UnaryRpc:
        return UnaryRpc(name, method, request, metrics.rpc("unary", name, method), behaviour)

    def stream(name: str, method: str, request: type[Message], behaviour: Any, *, takes_stream: bool) -> StreamRpc:
        counters = metrics.rpc("bidi_stream" if takes_stream else "server_stream", name, method)
        return StreamRpc(name, method, request, counters, behaviour, takes_stream)

    prediction, request = PREDICTION_SERVICE, prediction_pb2.PredictRequest
    rpcs: list[UnaryRpc | StreamRpc] = [
        unary(prediction, "Predict", request, service.predict),
        stream(prediction, "PredictStream", request, service.predict_stream, takes_stream=True),
        unary(prediction, "GetModel", prediction_pb2.GetModelRequest, service.get_model),
        unary(HEALTH_SERVICE, "Check", health_pb2.HealthCheckRequest, health.check),
        unary(HEALTH_SERVICE, "List", health_pb2.HealthListRequest, health.list_all),
        stream(HEALTH_SERVICE, "Watch", health_pb2.HealthCheckRequest, health.watch, takes_stream=False),
    ]
    if reflection:
        from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio
        from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

        servicer = aio.ReflectionServicer(sorted({rpc.service for rpc in rpcs} | {SERVICE_NAME}))

        def info(requests: AsyncIterator[Any], _deadline: float | None) -> Any:
            return servicer.ServerReflectionInfo(until(service.models.draining, requests), None)

        rpcs.append(stream(SERVICE_NAME, "ServerReflectionInfo", ServerReflectionRequest, info, takes_stream=True))
    return rpcs
