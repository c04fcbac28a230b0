"""The reference transport: grpcio's asyncio server. It has TLS, and serves streams of `native` over a Unix socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import aclosing
from math import inf
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from digits_server.errors import Overloaded, ServingError
from digits_server.observability.metrics import UNKNOWN_METHOD, UNREAD
from digits_server.rpcs.rpc import StreamRpc, UnaryRpc
from digits_server.security.reloading import Reloading
from digits_server.security.tls import HANDSHAKE_SECONDS, Identity
from digits_server.system.ports import why_unavailable
from digits_server.transports.limits import (
    MAX_METADATA_BYTES,
    PING_SECONDS,
    PONG_SECONDS,
    QUIET_SECONDS,
    SETTLE_SECONDS,
    Limits,
)

STATUS = {code.value[0]: code for code in grpc.StatusCode}

UNIX_PEER = "unix:"
"""grpcio's name for the other end of a Unix socket."""

MIN_PING_SECONDS, PING_STRIKES = 10, 2
"""The connection of a caller that pings more often than this, so many times, is closed."""

LOOK_SECONDS = 0.005
"""Between two looks, at a stop, at whether a call has arrived."""

HELD_SHARE = 0.25
"""Of the time that a call has left, how much may pass at a stop until clients are told to go elsewhere."""

GOAWAY_SECONDS = 0.02
"""What clients have to read that, before the held calls are answered and they send the next ones."""

IDENTITY_ONLY = 1
"""Bit set of message encodings: no compression. grpcio inflates without a bound, so a few kilobytes could fill the
memory; and pixels are small."""


class GrpcioTransport:
    """Serves `rpcs` on host:port, with TLS if there is an `identity`. Port 0 takes a free one.

    refused      counts a call that grpcio refuses by itself, by reason: UNKNOWN_METHOD or UNREAD
    shared       whether other processes of the same server listen there too
    unix_socket  listens at this path instead of host:port, for calls that another transport passes on
    """

    def __init__(
        self,
        rpcs: Iterable[UnaryRpc | StreamRpc],
        host: str,
        port: int,
        limits: Limits,
        *,
        refused: Callable[[str], None] = lambda _: None,
        shared: bool = False,
        identity: Reloading[Identity] | None = None,
        unix_socket: Path | None = None,
    ) -> None:
        self._rpcs = list(rpcs)
        self._identity = identity
        self._refused = refused
        self._gate = _Gate()
        self._host = host
        self.port = port
        self._unix_socket = unix_socket
        self._options = _options(limits, shared=shared)

    async def open(self) -> None:
        self._server = aio.server(options=self._options)
        self._server.add_generic_rpc_handlers([_Methods(self._rpcs, self._gate, self._refused)])
        if self._unix_socket:
            self._server.add_insecure_port(f"unix:{self._unix_socket}")
        else:
            self._listen()

    async def start(self) -> None:
        await self._server.start()

    def _listen(self) -> None:
        host = f"[{self._host}]" if ":" in self._host else self._host
        address = f"{host}:{self.port}"
        try:
            if self._identity is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, _credentials(self._identity))
        except RuntimeError as error:
            raise why_unavailable(self._host, self.port, "gRPC") from error

    async def stop(self, grace: float) -> None:
        """Stops as `Transport.stop` says, without cutting off a call.

        Calls are answered as they come, until none has come for a while, a second at most. When grpcio stops, it
        cancels calls that it has received but not yet handed over. So further calls are held at the gate, until none
        has come for a while or their deadlines allow no more; clients are told to go elsewhere; then the held calls
        are answered.
        """
        await self._gate.quiet(min(SETTLE_SECONDS, grace))
        self._gate.closed = True
        await self._gate.quiet(min(SETTLE_SECONDS, grace))
        stopping = asyncio.create_task(self._server.stop(grace))
        await asyncio.sleep(GOAWAY_SECONDS)
        self._gate.open()
        await stopping


def _options(limits: Limits, *, shared: bool) -> list[tuple[str, int]]:
    idle = [("grpc.max_connection_idle_ms", round(limits.idle_seconds * 1000))] if limits.idle_seconds else []
    age = [("grpc.max_connection_age_ms", round(limits.age_seconds * 1000))] if limits.age_seconds else []
    return [
        ("grpc.so_reuseport", int(shared)),  # otherwise a taken port is an error
        ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY),
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", limits.streams),
        # A call counts against the stream limit until its memory is freed, some time after the client has the reply. A
        # client that has more calls than the limit sends its next one at once, so calls that have ended need a limit of
        # their own: else that one is refused (REFUSED_STREAM). Calls that their callers took back count the same way.
        ("grpc.http2.max_deallocating_streams", limits.streams),
        # Refusing a call in Python costs most of what answering does, so grpcio's core is to refuse what is too much.
        ("grpc.server.max_pending_requests", limits.calls),
        ("grpc.server.max_pending_requests_hard_limit", limits.calls),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
        ("grpc.keepalive_time_ms", PING_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", PONG_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_SECONDS * 1000),
        ("grpc.http2.max_ping_strikes", PING_STRIKES),
        *idle,
        *age,
    ]


def _credentials(identity: Reloading[Identity]) -> grpc.ServerCredentials:
    """Credentials that follow `identity`. gRPC asks for them before each handshake, in its own threads."""
    given = identity.value

    def renewed() -> Any:
        nonlocal given
        if given is identity.value:
            return None  # unchanged: keep what gRPC has built
        given = identity.value
        return _configuration(given)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(given), renewed, require_client_authentication=given.client_ca is not None
    )


def _configuration(own: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(own.key, own.certificate)], own.client_ca)


class _Gate:
    """A gate: calls wait at it while it is closed."""

    def __init__(self) -> None:
        self.closed = False
        self.passed = 0
        """Calls that have arrived so far; each counts itself, and waits if the gate is closed."""
        self._opened = asyncio.Event()
        self._open_by = inf
        """On the event loop's clock: when it must open for the calls that wait."""

    async def wait(self, context: Any) -> None:
        """Returns when the gate is open."""
        if (left := context.time_remaining()) is not None:
            self._open_by = min(self._open_by, asyncio.get_running_loop().time() + left * HELD_SHARE)
        await self._opened.wait()

    def open(self) -> None:
        self.closed = False
        self._opened.set()

    async def quiet(self, seconds: float) -> None:
        """Returns when no call has arrived for QUIET_SECONDS, after `seconds`, or when it must open for held calls."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        passed, looks = self.passed, 0
        while looks * LOOK_SECONDS < QUIET_SECONDS:  # looks, not time: on a busy machine calls may arrive late
            if clock() >= min(end, self._open_by):
                return
            await asyncio.sleep(LOOK_SECONDS)
            looks = looks + 1 if passed == self.passed else 0
            passed = self.passed


class GrpcioCall:
    """One call, as grpcio describes it."""

    __slots__ = ("_context", "deadline", "peer")

    def __init__(self, context: Any) -> None:
        self._context = context
        peer = str(context.peer())
        # Calls passed on by another transport all have one connection. Each of them has turns and bounds of its own.
        self.peer: Hashable = context if peer == UNIX_PEER else peer
        remaining = context.time_remaining()
        self.deadline = None if remaining is None else asyncio.get_running_loop().time() + remaining

    def metadata(self, name: str) -> str | None:
        values = [value for key, value in self._context.invocation_metadata() if key == name]
        return str(values[-1]) if values else None


class _Methods(grpc.GenericRpcHandler):
    """Finds the method of each call, in the task that answers the call; sees calls that grpcio refuses after that.

    Such a call's task ends although no method has begun: its message could not be read.
    """

    def __init__(self, rpcs: Iterable[UnaryRpc | StreamRpc], gate: _Gate, refused: Callable[[str], None]) -> None:
        self._refused = refused
        self._handlers = {f"/{rpc.service}/{rpc.method}": _handler(rpc, gate, self._began) for rpc in rpcs}

    def service(self, handler_call_details: Any) -> "grpc.RpcMethodHandler[Any, Any] | None":
        found = self._handlers.get(handler_call_details.method)
        if found is None:
            self._refused(UNKNOWN_METHOD)
        elif not found.request_streaming and (task := asyncio.current_task()):
            task.add_done_callback(self._never_began)
        return found

    def _began(self) -> None:
        if task := asyncio.current_task():
            task.remove_done_callback(self._never_began)

    def _never_began(self, _task: object) -> None:
        self._refused(UNREAD)


def _handler(rpc: UnaryRpc | StreamRpc, gate: _Gate, began: Callable[[], None]) -> "grpc.RpcMethodHandler[Any, Any]":
    """Without a serialiser grpcio passes bytes, as an Rpc expects."""
    if isinstance(rpc, UnaryRpc):
        return grpc.unary_unary_rpc_method_handler(_unary(rpc, gate, began))
    if rpc.takes_stream:
        return grpc.stream_stream_rpc_method_handler(_stream(rpc, gate, began))
    return grpc.unary_stream_rpc_method_handler(_stream(rpc, gate, began))


def _unary(rpc: UnaryRpc, gate: _Gate, began: Callable[[], None]) -> Any:
    async def handle(data: bytes, context: Any) -> bytes:
        began()
        gate.passed += 1
        if gate.closed:
            await gate.wait(context)
        try:
            return await rpc.answer(data, GrpcioCall(context))
        except ServingError as error:
            await _abort(context, error)
            raise  # not reached: aborting raises

    return handle


def _stream(rpc: StreamRpc, gate: _Gate, began: Callable[[], None]) -> Any:
    async def handle(data: Any, context: Any) -> AsyncIterator[bytes]:
        if not rpc.takes_stream:
            began()
        gate.passed += 1
        if gate.closed:
            await gate.wait(context)
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
