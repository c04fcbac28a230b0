"""The Envoy transport: answers the calls that Envoy hands over as ASGI requests."""

import asyncio
import shutil
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from digits_server.errors import CapacityError, DeadlineExceeded, InvalidRequest, ServingError, Unimplemented
from digits_server.rpcs import StreamRpc, UnaryRpc
from digits_server.transports import Counts, grpc_wire
from digits_server.transports.envoy.admin import Admin
from digits_server.transports.envoy.calls import Call, Calls
from digits_server.transports.envoy.connections import Door
from digits_server.transports.envoy.launch import ADMIN
from digits_server.transports.envoy.reads import Receive
from digits_server.transports.envoy.relief import relieve
from digits_server.transports.envoy.replies import END_OF_BODY, Replies, Send
from digits_server.transports.envoy.shedding import Useful
from digits_server.transports.envoy.threads import answer_before_reading
from digits_server.transports.grpc_wire import CONTENT_TYPE, Deframer, only_message
from digits_server.transports.limits import Limits

READY_SECONDS = 0.005
"""Between two questions whether Envoy listens."""

SETTLE_SECONDS = 1.0
"""What callers have, at a stop, for the calls under way to arrive, at most."""

QUIET_SECONDS = 0.1
"""A pause this long with no call under way means that all that were have been answered."""

LOOK_SECONDS = 0.01
"""Between two looks at whether that is so."""

COUNT_SECONDS = 1.0
"""Between two questions how many calls Envoy has refused by itself."""

NOT_GRPC = {
    "type": "http.response.start",
    "status": 415,
    "headers": [(b"accept-post", CONTENT_TYPE)],
}


class EnvoyTransport:
    """Serves `rpcs` through the Envoy this process is.

    held     the socket that holds the port for Envoy until it listens there
    folder   where this process and Envoy meet
    counts   is told, now and then, what Envoy has refused
    shed     whether connections are closed when most calls are in vain
    """

    def __init__(
        self,
        rpcs: Iterable[UnaryRpc | StreamRpc],
        held: socket.socket,
        folder: Path,
        *,
        limits: Limits,
        counts: Counts,
        shed: bool = True,
    ) -> None:
        self.port = held.getsockname()[1]
        self._held = held
        self.may_listen = asyncio.Event()
        """Set when Envoy may go on with its start, which waits for it."""
        self._rpcs = {f"/{rpc.service}/{rpc.method}": rpc for rpc in rpcs}
        self._limit = limits.message_bytes
        self._calls = Calls(limits)
        self._useful = Useful(by_connection=shed)
        self._folder = folder
        self._counts = counts
        self._shed = shed

    async def start(self) -> None:
        self._admin = Admin(self._folder / ADMIN)
        self.may_listen.set()
        while not await self._admin.serves():  # noqa: ASYNC110 - it is Envoy's state, not ours to be told of
            await asyncio.sleep(READY_SECONDS)
        self._held.close()
        answer_before_reading()
        self._watching = [asyncio.create_task(self._count_refusals())]
        if self._shed:
            relief = relieve(self._admin, Door(self._folder), self.port, self._useful, self._counts.closed_for_load)
            self._watching.append(asyncio.create_task(relief))

    async def stop(self, grace: float) -> None:
        """Stops as `Transport.stop` says. Envoy itself stays until the process ends, with nothing left to do."""
        for watch in self._watching:
            watch.cancel()
        await self._admin.turn_callers_away()
        await self._quiet(grace)
        self._calls.end_all()
        await self._sent(SETTLE_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def answer(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One call, from its headers to its trailers."""
        peer = scope.get("client")
        self._useful.arrived += 1
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"")
        if kind != CONTENT_TYPE and not kind.startswith((CONTENT_TYPE + b"+", CONTENT_TYPE + b";")):
            self._useful.answered(peer, 0)
            await send(NOT_GRPC)
            await send(END_OF_BODY)
            return
        replies = Replies(send)
        try:
            rpc, seconds = self._called(scope, headers)
        except ServingError as error:
            self._useful.answered(peer, 0)
            await replies.fail(error)
            return
        call = self._calls.enter(receive, seconds, peer, headers)
        try:
            if isinstance(rpc, UnaryRpc):
                message = await self._only_message(call)
                await replies.only(await rpc.answer(message, call))
                self._useful.answered(peer, len(message))
            else:
                self._useful.answered(peer, 0)  # by lasting
                await self._stream(rpc, call, replies)
        except ServingError as error:
            if not isinstance(error, CapacityError | DeadlineExceeded):
                self._useful.answered(peer, 0)
            await replies.fail(error)
        except asyncio.CancelledError:
            if not call.cut:
                raise
            if call.ended:
                await replies.fail(call.ended)
        except OSError:  # what Envoy's module raises when a reply finds nobody
            pass
        finally:
            self._calls.leave(call)

    def _called(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> tuple[UnaryRpc | StreamRpc, float | None]:
        """What is called, and the seconds it has. Raises ServingError when nothing is, or not in a way known here."""
        rpc = self._rpcs.get(scope["path"])
        if rpc is None:
            raise Unimplemented("the method is not known here")
        grpc_wire.check_size(scope["headers"])
        grpc_wire.check_encoding(headers.get(b"grpc-encoding"))
        return rpc, grpc_wire.timeout_seconds(headers.get(b"grpc-timeout"))

    async def _only_message(self, call: Call) -> memoryview:
        """The message of a call that has one."""
        call.unfinished = True
        event = await call.reader.next()
        data = only_message(event.get("body", b""), self._limit)
        if data is None:  # it comes in pieces, or something is wrong with it
            async with aclosing(self._messages(call, event)) as messages:
                data = await anext(messages, None)
            if data is None:
                raise InvalidRequest("the call ended before its message")
            self._calls.holds(call, 0)
        call.reading = call.unfinished = False
        return data

    async def _stream(self, rpc: StreamRpc, call: Call, replies: Replies) -> None:
        messages = self._messages(call, of_use=True) if rpc.takes_stream else _once(await self._only_message(call))
        async with aclosing(rpc.answers(messages, call)) as answers:
            async for reply in answers:
                await replies.add(reply)
        await replies.end()

    async def _messages(
        self, call: Call, event: dict[str, Any] | None = None, *, of_use: bool = False
    ) -> AsyncGenerator[memoryview]:
        """The messages of a body, of which `event` may be the first piece. Ends the call when its caller leaves.

        of_use  whether each counts as answered, not the call
        """
        deframer = Deframer(self._limit)
        event = event or await call.reader.next()
        while event["type"] == "http.request":
            for message in deframer.feed(event["body"]):
                if of_use:
                    self._useful.took(call.peer, len(message))
                yield message
            self._calls.holds(call, deframer.unfinished)
            if not event["more_body"]:
                deframer.close()
                call.reading = False
                return
            event = await call.reader.next()
        call.end(None)
        await asyncio.get_running_loop().create_future()  # until the cancellation arrives

    async def _count_refusals(self) -> None:
        told: Counter[str] = Counter()
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            refused = Counter(await self._admin.refused())
            for reason, calls in (refused - told).items():
                self._counts.refused(reason, calls)
            told = refused

    async def _quiet(self, seconds: float) -> None:
        """Returns when no call has been under way for QUIET_SECONDS, after `seconds` at the latest."""
        arrived, quiet = self._calls.arrived, 0.0
        for _ in range(round(seconds / LOOK_SECONDS)):
            await asyncio.sleep(LOOK_SECONDS)
            quiet = 0.0 if self._calls or arrived != self._calls.arrived else quiet + LOOK_SECONDS
            arrived = self._calls.arrived
            if quiet >= QUIET_SECONDS:
                return

    async def _sent(self, seconds: float) -> None:
        """Returns when every reply has left, after `seconds` at the latest."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            if not await self._admin.unsent():
                return
            await asyncio.sleep(LOOK_SECONDS)


async def _once(message: memoryview) -> AsyncGenerator[memoryview]:
    yield message
