"""One RPC: parsing, the errors callers see, and its metrics. They are the same over every transport."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from google.protobuf.message import DecodeError

from digits_server.errors import InvalidRequest, ServingError, Status
from digits_server.observability.metrics import RpcMetrics
from digits_server.rpcs.stream_limit import Room
from digits_server.service.calls import Call, request_id

log = logging.getLogger(__name__)

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

    def refused(self, error: ServingError) -> None:
        """Counts a call that a transport ended with `error` before it was answered."""
        self.metrics.started.value += 1
        self.metrics.handled(error.status, 0.0)
        self.metrics.rejections.count(error)

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
