"""Puts observers (access log, tracing) around RPCs. Without observers, RPCs are unchanged.

`watched` does so once, when the server is composed, so that a server without observers has no extra cost.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol

from digits_server.errors import Status
from digits_server.rpcs.rpc import Data, Rpc, StreamRpc, UnaryRpc, status_of
from digits_server.service.calls import REQUEST_ID, TALLY, TRACEPARENT, Call, Tally, request_id, trace_of


class WatchedCall:
    """A call, with the data that its observers keep about it. Its request id never changes."""

    __slots__ = ("_call", "request_id", "span", "tally", "trace_id")

    def __init__(self, call: Call) -> None:
        self._call = call
        self.request_id = request_id(call)
        self.tally = Tally()
        self.span: Any = None
        self.trace_id = trace_of(call.metadata(TRACEPARENT))

    @property
    def deadline(self) -> float | None:
        return self._call.deadline

    @property
    def peer(self) -> Hashable:
        return self._call.peer

    def metadata(self, name: str) -> str | None:
        return self.request_id if name == REQUEST_ID else self._call.metadata(name)


class Watcher(Protocol):
    """An observer of every call, called on the event loop."""

    def began(self, rpc: Rpc, call: WatchedCall) -> None: ...

    def ended(self, rpc: Rpc, call: WatchedCall, status: Status, seconds: float) -> None: ...


def watched(rpcs: Iterable[UnaryRpc | StreamRpc], watchers: Sequence[Watcher]) -> list[UnaryRpc | StreamRpc]:
    """The same RPCs with `watchers` around each, told in this order."""
    if not watchers:
        return list(rpcs)
    around: list[UnaryRpc | StreamRpc] = []
    for rpc in rpcs:
        fields = {name: getattr(rpc, name) for name in type(rpc).__dataclass_fields__}
        if isinstance(rpc, UnaryRpc):
            around.append(WatchedUnary(**fields, inner=rpc, watchers=watchers))
        else:
            around.append(WatchedStream(**fields, inner=rpc, watchers=watchers))
    return around


@dataclass(frozen=True, slots=True)
class WatchedUnary(UnaryRpc):
    """`inner`, watched."""

    inner: UnaryRpc
    watchers: Sequence[Watcher]

    async def answer(self, data: Data, call: Call) -> bytes:
        with _Watching(self.inner, WatchedCall(call), self.watchers) as seen:
            return await self.inner.answer(data, seen)


@dataclass(frozen=True, slots=True)
class WatchedStream(StreamRpc):
    """`inner`, watched."""

    inner: StreamRpc
    watchers: Sequence[Watcher]

    async def answers(self, incoming: AsyncIterator[Data], call: Call) -> AsyncGenerator[bytes]:
        with _Watching(self.inner, WatchedCall(call), self.watchers) as seen:
            async for reply in self.inner.answers(incoming, seen):
                yield reply


class _Watching:
    """One call, from its beginning to its end."""

    def __init__(self, rpc: Rpc, call: WatchedCall, watchers: Sequence[Watcher]) -> None:
        self._rpc = rpc
        self._call = call
        self._watchers = watchers

    def __enter__(self) -> WatchedCall:
        self._begin = perf_counter()
        TALLY.set(self._call.tally)
        for watcher in self._watchers:
            watcher.began(self._rpc, self._call)
        return self._call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        seconds = perf_counter() - self._begin
        status = status_of(error, self._call)
        for watcher in self._watchers:
            watcher.ended(self._rpc, self._call, status, seconds)
