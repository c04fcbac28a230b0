"""Calls that the event loop answers, a task for each."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from pygrpc_native import EVENT_CALL, STREAM_FULL, NativeGrpcFront

from digits_server.errors import Overloaded, RequestTooLarge, ServingError, Unavailable
from digits_server.rpcs.rpc import StreamRpc, UnaryRpc
from digits_server.transports.limits import Limits
from digits_server.transports.native import Event, Metadata, last_value
from digits_server.transports.native.replies import Replies

FULL_SECONDS = 0.05
"""Time between two tries to send a message to a caller that reads too slowly."""

RETRY_AFTER_MS = 100
"""Milliseconds after which a caller that was rejected because of too many calls can try again."""


class NativeCall:
    """One call, as the library describes it."""

    __slots__ = ("_metadata", "deadline", "peer")

    def __init__(self, details: tuple[Metadata, str, float | None]) -> None:
        self._metadata, self.peer, left = details
        self.deadline = None if left is None else asyncio.get_running_loop().time() + left

    def metadata(self, name: str) -> str | None:
        return last_value(self._metadata, name)


class LoopCalls:
    """Answers calls of `rpcs`, whose order is that of the library's methods."""

    def __init__(
        self, front: NativeGrpcFront, replies: Replies, rpcs: Sequence[UnaryRpc | StreamRpc], limits: Limits
    ) -> None:
        self._front = front
        self._replies = replies
        self._rpcs = rpcs
        self._limits = limits
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._calls = 0
        """Calls in flight that have a single answer. Streams of answers have separate limits."""
        self._held_bytes = 0
        """Bytes of the messages of those calls."""

    async def finish(self, seconds: float) -> None:
        """Returns when the calls that are in flight now have ended, after `seconds` at the latest."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=max(0.0, seconds))

    def cancel(self) -> None:
        """Ends the calls that are still in flight."""
        for task in list(self._tasks.values()):
            task.cancel()

    def dispatch(self, events: list[Event]) -> None:
        """Starts a task for each call, and cancels the task of each caller that has left."""
        for kind, call, method, message, _, details in events:
            if kind == EVENT_CALL:
                rpc, known = self._rpcs[method], NativeCall(details)
                if isinstance(rpc, UnaryRpc):
                    self._calls += 1
                    self._held_bytes += len(message)
                    answering = self._answer(call, rpc, message, known)
                else:
                    answering = self._stream(call, rpc, message, known)
                self._tasks[call] = asyncio.get_running_loop().create_task(answering)
            elif task := self._tasks.get(call):
                task.cancel()

    def count_failed(self, events: list[Event]) -> None:
        """Counts calls that the receiving thread ended because it failed on them."""
        for kind, _, method, *_ in events:
            if kind == EVENT_CALL:
                self._rpcs[method].refused(ServingError())

    async def _answer(self, call: int, rpc: UnaryRpc, message: bytes, known: NativeCall) -> None:
        try:
            if error := self._too_much(message):
                rpc.refused(error)
                raise error
            self._replies.respond(call, await rpc.answer(message, known))
        except ServingError as error:
            self._replies.fail(call, error)
        except asyncio.CancelledError:
            self._replies.fail(call, Unavailable("the server has stopped"))  # no effect if the caller has left
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
            self._replies.fail(call, error)
        except asyncio.CancelledError:
            self._replies.fail(call, Unavailable("the server has stopped"))  # no effect if the caller has left
        finally:
            del self._tasks[call]

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


async def _once(message: bytes) -> AsyncIterator[bytes]:
    yield message
