"""The fast transport: its parts, its start and its stop."""

import asyncio
import shutil
from collections.abc import Callable, Iterable

from pygrpc_native import NativeGrpcFront

from digits_server.rpcs.rpc import StreamRpc, UnaryRpc
from digits_server.service.direct_predictions import DirectPredictions
from digits_server.system.ports import why_unavailable
from digits_server.system.socket_folder import socket_folder
from digits_server.transports.grpcio.transport import GrpcioTransport
from digits_server.transports.limits import (
    MAX_METADATA_BYTES,
    PING_SECONDS,
    PONG_SECONDS,
    SETTLE_SECONDS,
    Limits,
)
from digits_server.transports.native.connections import close_surplus
from digits_server.transports.native.goaway import send_away
from digits_server.transports.native.loop_calls import LoopCalls
from digits_server.transports.native.receiver import Receiver
from digits_server.transports.native.replies import Replies

IO_THREADS = 1
"""Threads of the library. One handles more calls than Python can answer; a second one would compete for a core."""


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
        self._passed_on = [rpc for rpc in every if rpc not in self._rpcs]
        self._direct = direct
        self._knows = knows
        self._host = host
        self.port = port
        self._limits = limits
        self._refused = refused
        self._shared = shared
        self._bounding: asyncio.Task[None] | None = None

    async def open(self) -> None:
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
        self._replies = Replies(self._front)
        self._calls = LoopCalls(self._front, self._replies, self._rpcs, self._limits)
        self._receiver = Receiver(
            self._front,
            self._replies,
            next(n for n, rpc in enumerate(self._rpcs) if rpc.method == "Predict"),
            self._direct,
            self._knows,
            dispatch=self._calls.dispatch,
            failed=self._calls.count_failed,
        )
        await self._streams.open()

    async def start(self) -> None:
        await self._streams.start()
        self._front.set_fallback(str(self._folder / "streams"))
        self._front.start()
        self._receiver.start()
        self._bounding = asyncio.create_task(close_surplus(self.port, self._limits.connections))

    async def stop(self, grace: float) -> None:
        """Stops as `Transport.stop` says, without cutting off a call.

        Calls are answered as they come, until none has come for a while, a second at most. Then clients are told to go
        elsewhere, and calls are still answered as they come, until none has come for a while.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        quiet = self._receiver.arrivals.quiet
        await quiet(min(SETTLE_SECONDS, grace))
        await self._calls.finish(end - loop.time())
        await self._streams.stop(max(0.0, end - loop.time()))
        if self._bounding:
            self._bounding.cancel()
        await send_away(self.port, min(SETTLE_SECONDS, max(0.0, end - loop.time())))
        await quiet(min(SETTLE_SECONDS, max(0.0, end - loop.time())), busy=lambda: not self._receiver.idle)
        await self._calls.finish(end - loop.time())
        self._calls.cancel()
        await asyncio.sleep(0)  # so that they end
        self._front.close()
        await asyncio.to_thread(self._receiver.join)
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
