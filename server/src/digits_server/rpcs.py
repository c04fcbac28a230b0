"""The RPCs this server answers, as bytes in and bytes out: what every transport carries, and none defines.

Parsing, the errors callers see and the RPC metrics are the same whatever carried the call, so they happen here.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from operator import methodcaller
from time import perf_counter
from typing import Any

from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2

from digits.v1 import prediction_pb2
from digits_server import messages
from digits_server.calls import Call, request_id
from digits_server.errors import InvalidRequest, ServingError, Status
from digits_server.health import Health
from digits_server.metrics import Metrics, RpcMetrics
from digits_server.open_inference.grpc import INFERENCE_SERVICE, inference_rpcs
from digits_server.open_inference.protocol import OpenInference
from digits_server.room import Room
from digits_server.service import PredictionService

log = logging.getLogger(__name__)

PREDICTION_SERVICE = prediction_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name
HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

INFERENCE_HEALTH = {(INFERENCE_SERVICE, "ServerLive"), (INFERENCE_SERVICE, "ServerReady")}

Data = bytes | memoryview
"""A message on its way in: a view where a transport can spare the copy."""


@dataclass(frozen=True, slots=True)
class Format:
    """How the messages of one method are written.

    parse      bytes → request; raises DecodeError when they are none
    serialise  reply → bytes
    name       of the request's type, for who sent something else
    """

    parse: Callable[[Data], Any]
    serialise: Callable[[Any], bytes]
    name: str


def protobuf(request_type: type[Message]) -> Format:
    """Requests and replies are protobuf's own objects."""
    parse: Any = request_type.FromString  # it takes a view as well; its types do not say so
    return Format(parse, methodcaller("SerializeToString"), request_type.DESCRIPTOR.full_name)


PREDICTIONS = Format(
    messages.parse_request, messages.serialise_reply, prediction_pb2.PredictRequest.DESCRIPTOR.full_name
)


Admit = Callable[[Call], None]
"""Lets a call pass, or raises Unauthenticated."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One method. `admit` None takes every call."""

    service: str
    method: str
    format: Format
    metrics: RpcMetrics
    admit: Admit | None

    def parse(self, data: Data) -> Any:
        """The request in `data`; InvalidRequest when the bytes are no such message."""
        try:
            return self.format.parse(data)
        except DecodeError as error:
            name = self.format.name
            raise InvalidRequest(f"the message cannot be parsed: expected {name} in protobuf wire format") from error

    def failed(self, error: BaseException, call: Call, seconds: float) -> None:
        """Counts a call that `error` ended. Raises ServingError for an error that is not one; its cause is logged."""
        self.metrics.handled(status_of(error, call), seconds)
        if isinstance(error, Exception) and not isinstance(error, ServingError):
            request = request_id(call)
            log.error("%s/%s failed", self.service, self.method, exc_info=error, extra={"request_id": request})
            raise ServingError(f"the server failed on this request; its log says why (request id {request})") from error


def status_of(error: BaseException | None, call: Call) -> Status:
    """What the caller sees of a call that ended in `error`."""
    if error is None:
        return Status.OK
    if isinstance(error, ServingError):
        return error.status
    if isinstance(error, Exception):
        return Status.INTERNAL
    late = call.deadline is not None and asyncio.get_running_loop().time() >= call.deadline
    return Status.DEADLINE_EXCEEDED if late else Status.CANCELLED  # the caller's, or the generator was closed


@dataclass(frozen=True, slots=True)
class UnaryRpc(Rpc):
    """One request, one reply."""

    behaviour: Callable[[Any, Call], Awaitable[Any]]

    async def answer(self, data: Data, call: Call) -> bytes:
        begin = perf_counter()
        self.metrics.started.value += 1
        try:
            if self.admit:
                self.admit(call)
            reply = self.format.serialise(await self.behaviour(self.parse(data), call))
        except BaseException as error:
            self.failed(error, call, perf_counter() - begin)
            raise
        self.metrics.succeeded(perf_counter() - begin)
        return reply


@dataclass(frozen=True, slots=True)
class StreamRpc(Rpc):
    """A stream of replies to one request (`takes_stream` false) or to a stream of requests."""

    behaviour: Callable[[AsyncIterator[Any], Call], AsyncIterator[Any]]
    takes_stream: bool
    room: Room

    async def answers(self, incoming: AsyncIterator[Data], call: Call) -> AsyncGenerator[bytes]:
        begin = perf_counter()
        self.metrics.started.value += 1
        try:
            if self.admit:
                self.admit(call)
            with self.room.for_one():
                async for reply in self.behaviour(self._requests(incoming), call):
                    yield self.format.serialise(reply)
        except BaseException as error:
            self.failed(error, call, perf_counter() - begin)
            raise
        self.metrics.succeeded(perf_counter() - begin)

    async def _requests(self, incoming: AsyncIterator[Data]) -> AsyncIterator[Any]:
        async for data in incoming:
            yield self.parse(data)


def all_rpcs(
    service: PredictionService,
    inference: OpenInference,
    health: Health,
    metrics: Metrics,
    *,
    reflection: bool,
    max_streams: int,
    admit: Admit | None = None,
) -> list[UnaryRpc | StreamRpc]:
    """Every RPC of the server. All but those of health ask `admit`: whoever balances load knows no token.

    max_streams  streams of one RPC open at once
    """

    def guard(name: str, method: str) -> Admit | None:
        return None if name == HEALTH_SERVICE or (name, method) in INFERENCE_HEALTH else admit

    def unary(name: str, method: str, form: Format, behaviour: Any) -> UnaryRpc:
        return UnaryRpc(name, method, form, metrics.rpc("unary", name, method), guard(name, method), behaviour)

    def stream(name: str, method: str, form: Format, behaviour: Any, *, takes_stream: bool) -> StreamRpc:
        counters = metrics.rpc("bidi_stream" if takes_stream else "server_stream", name, method)
        room = Room(max_streams, metrics.rejections)
        return StreamRpc(name, method, form, counters, guard(name, method), behaviour, takes_stream, room)

    health_check = protobuf(health_pb2.HealthCheckRequest)
    rpcs: list[UnaryRpc | StreamRpc] = [
        unary(PREDICTION_SERVICE, "Predict", PREDICTIONS, service.predict),
        stream(PREDICTION_SERVICE, "PredictStream", PREDICTIONS, service.predict_stream, takes_stream=True),
        unary(PREDICTION_SERVICE, "GetModel", protobuf(prediction_pb2.GetModelRequest), service.get_model),
        unary(HEALTH_SERVICE, "Check", health_check, health.check),
        unary(HEALTH_SERVICE, "List", protobuf(health_pb2.HealthListRequest), health.list_all),
        stream(HEALTH_SERVICE, "Watch", health_check, health.watch, takes_stream=False),
        *(unary(INFERENCE_SERVICE, name, protobuf(kind), answer) for name, kind, answer in inference_rpcs(inference)),
    ]
    if reflection:
        from digits_server.reflection import SERVICE_NAME, ServerReflectionRequest, reflect

        info = reflect({rpc.service for rpc in rpcs}, service.models.draining)
        form = protobuf(ServerReflectionRequest)
        rpcs.append(stream(SERVICE_NAME, "ServerReflectionInfo", form, info, takes_stream=True))
    return rpcs
