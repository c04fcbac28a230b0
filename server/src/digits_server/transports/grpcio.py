"""The default transport: grpcio's asyncio server."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

import grpc
from grpc import aio

from digits_server.errors import AddressUnavailable, Overloaded, ServingError
from digits_server.rpcs import StreamRpc, UnaryRpc

STATUS = {code.value[0]: code for code in grpc.StatusCode}

MAX_CONCURRENT_STREAMS = 1024
"""Calls of one connection at once; a caller's further ones wait on its side."""

IDENTITY_ONLY = 1
"""Bit set of message encodings: no compression. grpcio inflates without a bound, so that a few kilobytes could fill the
memory; pixels are small already."""


class GrpcioTransport:
    """Serves `rpcs` on host:port. Port 0 takes a free one."""

    def __init__(self, rpcs: Iterable[UnaryRpc | StreamRpc], host: str, port: int, *, max_message_bytes: int) -> None:
        self._rpcs = list(rpcs)
        self._host = host
        self.port = port
        self._options = [
            ("grpc.so_reuseport", 0),  # a taken port is an error, not a share of somebody else's calls
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_concurrent_streams", MAX_CONCURRENT_STREAMS),
            ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY),
        ]

    async def start(self) -> None:
        self._server = aio.server(options=self._options)
        services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for rpc in self._rpcs:
            services.setdefault(rpc.service, {})[rpc.method] = _handler(rpc)
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, handlers) for service, handlers in services.items()]
        )
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            self.port = self._server.add_insecure_port(f"{host}:{self.port}")
        except RuntimeError as error:
            raise AddressUnavailable(f"cannot listen for gRPC on {host}:{self.port}: is the port taken?") from error
        await self._server.start()

    async def stop(self, grace: float) -> None:
        await self._server.stop(grace)


def _handler(rpc: UnaryRpc | StreamRpc) -> "grpc.RpcMethodHandler[Any, Any]":
    """Without a serialiser grpcio hands over bytes, which is what an Rpc takes and gives."""
    if isinstance(rpc, UnaryRpc):
        return grpc.unary_unary_rpc_method_handler(_unary(rpc))
    if rpc.takes_stream:
        return grpc.stream_stream_rpc_method_handler(_stream(rpc))
    return grpc.unary_stream_rpc_method_handler(_stream(rpc))


def _unary(rpc: UnaryRpc) -> Any:
    async def handle(data: bytes, context: Any) -> bytes:
        try:
            return await rpc.answer(data, _deadline(context))
        except ServingError as error:
            await _abort(context, error)
            raise  # not reached: aborting raises

    return handle


def _stream(rpc: StreamRpc) -> Any:
    async def handle(data: Any, context: Any) -> AsyncIterator[bytes]:
        messages = data if rpc.takes_stream else _once(data)
        try:
            async with aclosing(rpc.answers(messages, _deadline(context))) as replies:
                async for reply in replies:
                    yield reply
        except ServingError as error:
            await _abort(context, error)

    return handle


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _deadline(context: Any) -> float | None:
    """The caller's deadline as a time of the event loop's clock."""
    remaining = context.time_remaining()
    return None if remaining is None else asyncio.get_running_loop().time() + remaining


async def _abort(context: Any, error: ServingError) -> None:
    """Ends the call with the error's status; raises."""
    trailers = (("grpc-retry-pushback-ms", str(error.retry_after_ms)),) if isinstance(error, Overloaded) else ()
    await context.abort(STATUS[error.status], error.message, trailers)
