"""One RPC: parsing, the errors callers see, and its metrics. They are the same over every transport."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from google.protobuf.message import DecodeError

from digits_server.errors import InvalidRequest, RequestTooLarge, ServingError, Status
from digits_server.observability.metrics import RpcMetrics
from digits_server.rpcs.stream_limit import OpenStream, StreamLimit
from digits_server.service.calls import Call, is_late, reason_of, request_id
from digits_server.service.offload import Offload
from digits_server.service.wire import SMALL_BYTES

Data = bytes | memoryview
"""A received message: a view if the transport can avoid the copy."""


@dataclass(frozen=True, slots=True)
class Format:
    """How the messages of one method are written.

    parse        bytes → request. Raises DecodeError for other bytes, or ServingError
    serialise    reply → bytes
    name         name of the request's type, for error messages
    parse_large  as `parse`, of a large message, in any thread; None: `parse` does that as well
    at_once      a large message → request, if that takes no longer than for a small one; else None
    is_small     whether large messages are refused: no valid message is large, and a stream may hold its request for
                 hours
    """

    parse: Callable[[Data], Any]
    serialise: Callable[[Any], bytes]
    name: str
    parse_large: Callable[[Data], Any] | None = None
    at_once: Callable[[Data], Any | None] = lambda _: None
    is_small: bool = False


Admit = Callable[[Call], None]
"""Lets a call pass, or raises Unauthenticated."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One method.

    admit   checks a call; None accepts every call
    beside  where large messages are parsed
    """

    service: str
    method: str
    format: Format
    metrics: RpcMetrics
    admit: Admit | None
    beside: Offload

    def parse(self, data: Data) -> Any:
        """The request in a small message. Raises ServingError."""
        return self._parsed(self.format.parse, data)

    async def parse_large(self, data: Data, call: Call, *, patient: bool = False) -> Any:
        """The request in a large message, parsed beside the event loop. Raises ServingError.

        A `patient` message waits where another is rejected because too many are being parsed.
        """
        if self.format.is_small:
            raise RequestTooLarge(
                f"the message has {len(data)} bytes; {self.format.name} may have less than {SMALL_BYTES}"
            )
        if (request := self.format.at_once(data)) is not None:
            return request
        parse = partial(self._parsed, self.format.parse_large or self.format.parse, data)
        return await self.beside.run(parse, peer=call.peer, size=len(data), deadline=call.deadline, patient=patient)

    def _parsed(self, parse: Callable[[Data], Any], data: Data) -> Any:
        """The result of `parse`. Raises InvalidRequest if the bytes are not such a message."""
        try:
            return parse(data)
        except DecodeError as error:
            name = self.format.name
            raise InvalidRequest(f"the message cannot be parsed: expected {name} in protobuf wire format") from error

    def refused(self, error: ServingError) -> None:
        """Counts a call that a transport ended with `error` before it was answered."""
        self.metrics.started.value += 1
        self.metrics.handled(error.status, 0.0)
        self.metrics.rejections.add(error.reason)

    def failed(self, error: BaseException, call: Call, seconds: float, *, unanswered: bool = True) -> None:
        """Counts a call that `error` ended. Logs an unexpected error once, and raises a ServingError for it.

        unanswered  whether a request has no reply yet: a caller that ends a stream between two requests misses no reply
        """
        self.metrics.handled(status_of(error, call), seconds)
        if unanswered or isinstance(error, Exception):
            self.metrics.rejections.add(reason_of(error, call))
        if isinstance(error, Exception) and not isinstance(error, ServingError):
            request = request_id(call)
            self.metrics.failures.report(f"{self.service}/{self.method}", error, request)
            raise ServingError(f"the server failed on this request; its log says why (request id {request})") from error


def status_of(error: BaseException | None, call: Call) -> Status:
    """The error that the caller gets if a call ended in `error`."""
    if error is None:
        return Status.OK
    if isinstance(error, ServingError):
        return error.status
    if isinstance(error, Exception):
        return Status.INTERNAL
    late = is_late(call.deadline, asyncio.get_running_loop().time())
    return Status.DEADLINE_EXCEEDED if late else Status.CANCELLED  # by the caller, or by closing the generator


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
            request = self.parse(data) if len(data) < SMALL_BYTES else await self.parse_large(data, call)
            reply = self.format.serialise(await self.behaviour(request, call))
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
    limit: StreamLimit

    async def answers(self, incoming: AsyncIterator[Data], call: Call) -> AsyncGenerator[bytes]:
        begin = perf_counter()
        self.metrics.started.value += 1
        stream = OpenStream()
        try:
            if self.admit:
                self.admit(call)
            async with self.limit.place(stream, call.peer):
                async for reply in self.behaviour(self._requests(incoming, call, stream), call):
                    stream.replied()
                    yield self.format.serialise(reply)
        except BaseException as error:
            self.failed(error, call, perf_counter() - begin, unanswered=stream.requests > 0)
            raise
        self.metrics.succeeded(perf_counter() - begin)

    async def _requests(self, incoming: AsyncIterator[Data], call: Call, stream: OpenStream) -> AsyncIterator[Any]:
        async for data in incoming:
            stream.requests += 1
            small = len(data) < SMALL_BYTES
            request = self.parse(data) if small else await self.parse_large(data, call, patient=True)
            del data  # hold only the request while waiting for the next message
            yield request
            del request
