"""The fast transport: HTTP/2 and gRPC framing in Rust, outside Python's lock; calls arrive in batches.

It is the only file that knows the library, pygrpc-native. One thread receives all calls. It answers Predict calls of
pixels itself, batch by batch, and passes all other calls to the event loop, many at a time. The library cannot carry
streams of requests; they go to grpcio through a Unix socket.

The library reads a message of any size completely before it passes it on, and does not limit connections. So this
transport is for callers on this machine, or behind a proxy that bounds both.
"""

import asyncio
import logging
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from time import perf_counter
from typing import Any

from pygrpc_native import EVENT_CALL, STREAM_FULL, NativeGrpcFront

from digits_server.errors import Overloaded, RequestTooLarge, ServingError, Unavailable
from digits_server.rpcs.rpc import StreamRpc, UnaryRpc
from digits_server.service.direct_predictions import DirectPredictions
from digits_server.system.ports import why_unavailable
from digits_server.system.socket_folder import socket_folder
from digits_server.transports.grpcio import GrpcioTransport
from digits_server.transports.limits import (
    MAX_METADATA_BYTES,
    PING_SECONDS,
    PONG_SECONDS,
    QUIET_SECONDS,
    SETTLE_SECONDS,
    Limits,
)

IO_THREADS = 1
"""Threads of the library. One handles more calls than Python can answer; a second one would compete for a core."""

EVENTS = 256
"""Most calls and cancellations received at once."""

MOST_EVENTS = 4096
"""Most events taken from the library's queue before the next batch is computed."""

LOOK_SECONDS = 0.01
"""Time between two checks, at a stop, whether calls still arrive."""

FULL_SECONDS = 0.05
"""Between two tries to send a message to a caller that reads too slowly."""

RETRY_AFTER_MS = 100
"""Milliseconds after which a caller that was rejected because of too many calls may try again."""

PUSHBACK = "digits-retry-pushback-ms"
"""The metadata that says when a rejected caller may try again. The library reserves every name that begins with grpc-,
including the usual grpc-retry-pushback-ms."""

log = logging.getLogger(__name__)

Metadata = Sequence[tuple[str, str | bytes]]
Event = tuple[int, int, int, Any, Any, Any]
"""An event of the library: kind, call, method, message, key of the client, (metadata, peer, seconds left)."""

Receive = Callable[..., list[Event] | None]


class NativeCall:
    """One call, as the library describes it."""

    __slots__ = ("_metadata", "deadline", "peer")

    def __init__(self, details: tuple[Metadata, str, float | None]) -> None:
        self._metadata, self.peer, left = details
        self.deadline = None if left is None else asyncio.get_running_loop().time() + left

    def metadata(self, name: str) -> str | None:
        return _value(self._metadata, name)


class NativeTransport:
    """Serves `rpcs` on host:port, in plaintext. Port 0 takes a free one.

    direct  answers Predict calls of pixels; None: they go to the event loop like all others
    knows   whether the metadata `authorization` of a call is accepted; None: every call is. The event loop checks again
            the calls that it gets
    refused counts a call that gRPC refuses by itself, by reason
    shared  whether other processes of the same server listen there too
    """

    def __init__(
        self,
        rpcs: Iterable[UnaryRpc | StreamRpc],
        direct: DirectPredictions | None,
        host: str,
        port: int,
        limits: Limits,
        *,
        knows: Callable[[str | None], bool] | None,
        refused: Callable[[str], None] = lambda _: None,
        shared: bool,
    ) -> None:
        every = list(rpcs)
        self._rpcs = [rpc for rpc in every if isinstance(rpc, UnaryRpc) or not rpc.takes_stream]
        self._predict = next(n for n, rpc in enumerate(self._rpcs) if rpc.method == "Predict")
        self._direct = direct
        self._knows = knows
        self._host = host
        self.port = port
        self._limits = limits
        self._refused = refused
        self._shared = shared
        self._passed_on = [rpc for rpc in every if rpc not in self._rpcs]
        self._tasks: dict[int, asyncio.Task[None]] = {}
        """What answers each call in flight on the event loop."""
        self._calls = 0
        """How many of them have a single answer. Streams of answers have limits of their own."""
        self._held_bytes = 0
        """Bytes of the messages of those calls."""
        self._thread: threading.Thread | None = None
        self._arrived = 0
        """Calls that have arrived so far."""

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._folder = socket_folder("streams")
        self._streams = GrpcioTransport(
            self._passed_on, "", 0, self._limits, refused=self._refused, unix_socket=self._folder / "streams"
        )
        try:
            self._front = self._listen()
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise why_unavailable(self._host, self.port, "gRPC") from error
        self.port = self._front.bound_port
        await self._streams.open()

    async def start(self) -> None:
        await self._streams.start()
        self._front.set_fallback(str(self._folder / "streams"))
        self._front.start()
        self._thread = thread = threading.Thread(target=self._receive, name="receive", daemon=True)
        thread.start()

    async def stop(self, grace: float) -> None:
        """Stops as `Transport.stop` says.

        When the library is closed, it ends every call that it still has. So new calls are answered until none has
        arrived for a while, and calls in flight until they have ended.
        """
        end = self._loop.time() + grace
        await self._quiet(min(SETTLE_SECONDS, grace))
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=max(0.0, end - self._loop.time()))
        await self._streams.stop(max(0.0, end - self._loop.time()))
        for task in list(self._tasks.values()):
            task.cancel()
        self._front.close()
        if self._thread:
            await asyncio.to_thread(self._thread.join)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self) -> NativeGrpcFront:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return NativeGrpcFront(
            f"{host}:{self.port}",
            [(f"/{rpc.service}/{rpc.method}", isinstance(rpc, StreamRpc)) for rpc in self._rpcs],
            io_threads=IO_THREADS,
            call_details=True,
            delay_stream_headers=True,
            keepalive_time_ms=PING_SECONDS * 1000,
            keepalive_timeout_ms=PONG_SECONDS * 1000,
            max_concurrent_streams=self._limits.streams,
            max_metadata_size=MAX_METADATA_BYTES,
            reuse_port=self._shared,
        )

    def _receive(self) -> None:
        """The receiving thread, until the library is closed."""
        while (events := self._next_events()) is not None:
            try:
                self._handle(events)
            except Exception:  # if this thread ended, no call would be answered
                log.exception("the receiving thread failed on %d events", len(events))
                for _, call, *_ in events:
                    self._fail(call, ServingError("the server failed on this request; its log says why"))
                self._loop.call_soon_threadsafe(self._count_failed, events)

    def _handle(self, events: list[Event]) -> None:
        direct = self._direct
        others = events if direct is None else self._take(direct, events)
        if others:
            self._loop.call_soon_threadsafe(self._dispatch, others)
        if direct and direct.calls_wait:
            direct.answer(self._front.respond, self._fail)

    def _next_events(self) -> list[Event] | None:
        """The events that have arrived, up to MOST_EVENTS. Waits for one if no call waits for the model."""
        receive: Receive = self._front.recv_batch_details
        if self._direct and self._direct.calls_wait:
            events = receive(EVENTS, 0)
        else:
            if self._direct:
                self._direct.rest()
            events = receive(EVENTS)
        more = events
        while events and more and len(more) == EVENTS and len(events) < MOST_EVENTS:
            more = receive(EVENTS, 0)
            events += more or []
        return events

    def _take(self, direct: DirectPredictions, events: list[Event]) -> list[Event]:
        """Passes `direct` the calls that it accepts; returns the other events."""
        others = []
        predict = self._predict if direct.may_take() else -1
        knows = self._knows
        now = perf_counter()
        for event in events:
            kind, call, method, message, _, details = event
            if kind == EVENT_CALL and method == predict and (not knows or knows(_value(details[0], "authorization"))):
                try:
                    taken = direct.take(call, message, details[1], details[2], now)
                except ServingError as error:
                    self._fail(call, error)
                    taken = True
                if taken:
                    self._arrived += 1
                    continue
            elif kind != EVENT_CALL:
                direct.cancel(call)
            others.append(event)
        return others

    def _dispatch(self, events: list[Event]) -> None:
        """On the event loop: starts a task for each call, and cancels the task of each caller that has left."""
        for kind, call, method, message, _, details in events:
            if kind == EVENT_CALL:
                self._arrived += 1
                rpc, known = self._rpcs[method], NativeCall(details)
                if isinstance(rpc, UnaryRpc):
                    self._calls += 1
                    self._held_bytes += len(message)
                    answering = self._answer(call, rpc, message, known)
                else:
                    answering = self._stream(call, rpc, message, known)
                self._tasks[call] = self._loop.create_task(answering)
            elif task := self._tasks.get(call):
                task.cancel()

    async def _answer(self, call: int, rpc: UnaryRpc, message: bytes, known: NativeCall) -> None:
        try:
            if error := self._too_much(message):
                rpc.refused(error)
                raise error
            self._front.respond(call, await rpc.answer(message, known))
        except ServingError as error:
            self._fail(call, error)
        except asyncio.CancelledError:
            self._fail(call, Unavailable("the server has stopped"))  # no effect if the caller has left
        finally:
            del self._tasks[call]
            self._calls -= 1
            self._held_bytes -= len(message)

    async def _stream(self, call: int, rpc: StreamRpc, message: bytes, known: NativeCall) -> None:
        """Sends a stream of answers to one message."""
        try:
            if len(message) > self._limits.message_bytes:
                error = self._too_large(message)
                rpc.refused(error)
                raise error
            async with aclosing(rpc.answers(_once(message), known)) as replies:
                async for reply in replies:
                    while self._front.stream_try_send(call, reply) == STREAM_FULL:  # noqa: ASYNC110 - it tells nobody
                        await asyncio.sleep(FULL_SECONDS)
            self._front.stream_end(call)
        except ServingError as error:
            self._fail(call, error)
        except asyncio.CancelledError:
            self._fail(call, Unavailable("the server has stopped"))  # no effect if the caller has left
        finally:
            del self._tasks[call]

    def _count_failed(self, events: list[Event]) -> None:
        """Counts the calls on which the receiving thread failed."""
        for kind, _, method, *_ in events:
            if kind == EVENT_CALL:
                self._rpcs[method].refused(ServingError())

    def _too_much(self, message: bytes) -> ServingError | None:
        """The error for a call that is rejected on arrival; None if it is accepted."""
        limits = self._limits
        if len(message) > limits.message_bytes:
            return self._too_large(message)
        if self._calls > limits.calls:
            return Overloaded(f"{limits.calls} calls are in flight, and no more may be (max_calls)", RETRY_AFTER_MS)
        if self._held_bytes > limits.held_bytes:
            return Overloaded(
                "the messages of the calls in flight need all the memory that they may use", RETRY_AFTER_MS
            )
        return None

    def _too_large(self, message: bytes) -> RequestTooLarge:
        most = f"at most {self._limits.message_bytes} are accepted (max_message_bytes)"
        return RequestTooLarge(f"the message has {len(message)} bytes; {most}")

    def _fail(self, call: int, error: ServingError) -> None:
        trailers = [(PUSHBACK, str(error.retry_after_ms))] if isinstance(error, Overloaded) else []
        self._front.fail(call, int(error.status), error.message, trailers)

    async def _quiet(self, seconds: float) -> None:
        """Returns when no call has arrived for QUIET_SECONDS, after `seconds` at the latest."""
        begin = since = self._loop.time()
        arrived = self._arrived
        while (now := self._loop.time()) - begin < seconds and now - since < QUIET_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            if arrived != self._arrived:
                arrived, since = self._arrived, self._loop.time()


async def _once(message: bytes) -> AsyncIterator[bytes]:
    yield message


def _value(metadata: Metadata, name: str) -> str | None:
    """The last value of `name`; None if there is no value."""
    values = [value for key, value in metadata if key == name]
    return str(values[-1]) if values else None
