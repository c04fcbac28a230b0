"""The methods of grpcio's server: each call finds its RPC, which answers it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import aclosing
from typing import Any

import grpc

from digits_server.errors import InvalidRequest, Overloaded, ServingError
from digits_server.observability.metrics import UNKNOWN_METHOD, UNREAD
from digits_server.rpcs.rpc import StreamRpc, UnaryRpc
from digits_server.transports.grpcio.gate import Gate
from digits_server.transports.grpcio.unfinished import Unfinished

NO_MESSAGE = InvalidRequest("the call ended without a whole message; expected one")

STATUS = {code.value[0]: code for code in grpc.StatusCode}

UNIX_PEER = "unix:"
"""grpcio's name for the other end of a Unix socket."""


class GrpcioCall:
    """One call, as grpcio describes it."""

    __slots__ = ("_context", "deadline", "peer")

    def __init__(self, context: Any) -> None:
        self._context = context
        peer = str(context.peer())
        # Calls that another transport passes on share one connection, so each call gets its own turns and bounds.
        self.peer: Hashable = context if peer == UNIX_PEER else peer
        remaining = context.time_remaining()
        self.deadline = None if remaining is None else asyncio.get_running_loop().time() + remaining

    def metadata(self, name: str) -> str | None:
        values = [value for key, value in self._context.invocation_metadata() if key == name]
        return str(values[-1]) if values else None


class Methods(grpc.GenericRpcHandler):
    """Finds the method of each call, in the task that answers the call; sees calls that grpcio refuses after that.

    Such a call's task ends although no method has begun: its message could not be read.

    unfinished  messages of calls that may be arriving at once: grpcio reads three quarters of them, `Unfinished` others
    """

    def __init__(
        self, rpcs: Iterable[UnaryRpc | StreamRpc], gate: Gate, refused: Callable[[str], None], unfinished: int
    ) -> None:
        by_path = {f"/{rpc.service}/{rpc.method}": rpc for rpc in rpcs}
        self._refused = refused
        self._handlers = {path: _handler(rpc, gate, self._began) for path, rpc in by_path.items()}
        self._unread, self._most_unread = 0, max(1, unfinished * 3 // 4)
        others = Unfinished(max(1, unfinished // 4))
        self._reading = {
            path: _reading_handler(rpc, gate, others, refused)
            for path, rpc in by_path.items()
            if isinstance(rpc, UnaryRpc) or not rpc.takes_stream
        }

    def service(self, handler_call_details: Any) -> "grpc.RpcMethodHandler[Any, Any] | None":
        method = handler_call_details.method
        found = self._handlers.get(method)
        if found is None:
            self._refused(UNKNOWN_METHOD)
        elif not found.request_streaming and (task := asyncio.current_task()):
            if self._unread >= self._most_unread:
                return self._reading[method]
            self._unread += 1
            task.add_done_callback(self._never_began)
        return found

    def _began(self) -> None:
        if task := asyncio.current_task():
            task.remove_done_callback(self._never_began)
            self._unread -= 1

    def _never_began(self, _task: object) -> None:
        self._unread -= 1
        self._refused(UNREAD)


def _handler(rpc: UnaryRpc | StreamRpc, gate: Gate, began: Callable[[], None]) -> "grpc.RpcMethodHandler[Any, Any]":
    """Without a serialiser grpcio passes bytes, as an Rpc expects."""
    if isinstance(rpc, UnaryRpc):
        return grpc.unary_unary_rpc_method_handler(_unary(rpc, gate, began))
    if rpc.takes_stream:
        return grpc.stream_stream_rpc_method_handler(_stream(rpc, gate, began))
    return grpc.unary_stream_rpc_method_handler(_stream(rpc, gate, began))


def _reading_handler(
    rpc: UnaryRpc | StreamRpc, gate: Gate, unfinished: Unfinished, refused: Callable[[str], None]
) -> "grpc.RpcMethodHandler[Any, Any]":
    """As `_handler`, of an RPC with one message, which is read by `unfinished`. For grpcio its calls are streams."""

    async def read(context: Any) -> bytes:
        try:
            message = await unfinished.read(context)
        except Overloaded as error:
            rpc.refused(error)
            await _abort(context, error)
            raise  # not reached: aborting raises
        except asyncio.CancelledError:  # its caller has left
            refused(UNREAD)
            raise
        if message is None:
            refused(UNREAD)
            await _abort(context, NO_MESSAGE)
            raise NO_MESSAGE  # not reached: aborting raises
        return message

    if isinstance(rpc, UnaryRpc):
        answer = _unary(rpc, gate, lambda: None)

        async def handle(_messages: object, context: Any) -> bytes:
            return bytes(await answer(await read(context), context))

        return grpc.stream_unary_rpc_method_handler(handle)
    answers = _stream(rpc, gate, lambda: None)

    async def handle_stream(_messages: object, context: Any) -> AsyncIterator[bytes]:
        async with aclosing(answers(await read(context), context)) as replies:
            async for reply in replies:
                yield reply

    return grpc.stream_stream_rpc_method_handler(handle_stream)


def _unary(rpc: UnaryRpc, gate: Gate, began: Callable[[], None]) -> Any:
    async def handle(data: bytes, context: Any) -> bytes:
        began()
        await gate.enter(context)
        try:
            return await rpc.answer(data, GrpcioCall(context))
        except ServingError as error:
            await _abort(context, error)
            raise  # not reached: aborting raises

    return handle


def _stream(rpc: StreamRpc, gate: Gate, began: Callable[[], None]) -> Any:
    async def handle(data: Any, context: Any) -> AsyncIterator[bytes]:
        if not rpc.takes_stream:
            began()
        await gate.enter(context)
        messages = data if rpc.takes_stream else _once(data)
        try:
            async with aclosing(rpc.answers(messages, GrpcioCall(context))) as replies:
                async for reply in replies:
                    yield reply
        except ServingError as error:
            await _abort(context, error)

    return handle


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _abort(context: Any, error: ServingError) -> None:
    """Ends the call with the error's status; raises."""
    trailers = (("grpc-retry-pushback-ms", str(error.retry_after_ms)),) if isinstance(error, Overloaded) else ()
    await context.abort(STATUS[error.status], error.message, trailers)
