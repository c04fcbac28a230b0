"""Coalescing for the tasks of one event loop: each caller awaits its own future."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc

from digits_client import _shared
from digits_client._answers.results import Prediction
from digits_client._coalescing.calls import Call, Group, Kind
from digits_client._coalescing.core import Coalescer
from digits_client._coalescing.rules import Coalescing
from digits_client._coalescing.stats import Stats
from digits_client._errors import ClientClosed, DeadlineExceeded, DigitsError, ServerError, caused, from_rpc


class TaskCoalescer:
    """Sends the images of calling tasks through `predict`, a gRPC method, in as few RPCs as the rules allow."""

    _call: type[Call] = Call

    def __init__(
        self,
        predict: Callable[..., Any],
        rules: Coalescing,
        failure: Callable[[Any], DigitsError] = from_rpc,
    ) -> None:
        self._predict = predict
        self._failure = failure
        self._core = Coalescer(rules)
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._closed = False

    async def predict(self, pixels: bytes, kind: Kind, timeout: float) -> Prediction:
        """The answer for 784 bytes of pixels. Raises DigitsError."""
        if self._closed:
            raise ClientClosed
        waker: asyncio.Future[Prediction] = self._loop.create_future()
        now = self._loop.time()
        call = self._call(pixels, kind, now + timeout, waker)
        group = self._core.join(call, now)
        if group and len(group.calls) == 1:
            return await self._alone(group, timeout)
        if group:
            self._start(group)
        elif self._patience is None:
            self._patience = self._loop.call_later(self._core.patience, self._overdue)
        self._watch(call.deadline)
        try:
            return await waker
        except (asyncio.CancelledError, DeadlineExceeded):
            self._abandon(call)
            raise

    def stats(self) -> Stats:
        return self._core.stats()

    async def close(self) -> None:
        """Fails every call that waits or is in flight, and ends their RPCs."""
        self._closed = True
        for timer in (self._alarm, self._patience):
            if timer:
                timer.cancel()
        calls = self._core.clear()
        rpcs = {call.group.rpc for call in calls if call.group and call.group.rpc}
        for call in calls:
            _fail(call, ClientClosed())
        for rpc in rpcs:
            rpc.cancel()
        await asyncio.gather(*rpcs, return_exceptions=True)

    async def _alone(self, group: Group, timeout: float) -> Prediction:
        """Calls in the caller's own task, which is the fastest way."""
        answered = False
        try:
            reply = await self._predict(_request(group), timeout=timeout)
            answered = True
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from error
        except asyncio.CancelledError as error:
            # Closing the channel cancels its RPCs, and gRPC reports that as if the task had been cancelled.
            if self._closed and not _shared.task_is_cancelled():
                raise ClientClosed from error
            raise
        finally:
            self._returned(group, answered=answered)
        return _shared.answers(reply, 1, group.kind)[0]

    def _start(self, group: Group) -> None:
        group.rpc = self._loop.create_task(self._together(group))
        # If a task is cancelled before its first step, none of its code runs, not even its `finally`.
        group.rpc.add_done_callback(lambda _: self._returned(group))

    async def _together(self, group: Group) -> None:
        answered = False
        try:
            reply = await self._predict(_request(group), timeout=max(0.0, group.deadline - self._loop.time()))
            answers = _shared.answers(reply, len(group.calls), group.kind)
        except Exception as error:  # noqa: BLE001  # the callers get it, whatever it is: it would be lost otherwise
            for call in group.calls:
                _fail(call, self._error(error))
        else:
            answered = True
            for call, answer in zip(group.calls, answers, strict=True):
                try:  # `suppress` takes longer than the rest of the loop
                    call.waker.set_result(answer)
                except asyncio.InvalidStateError:  # noqa: PERF203  # cancelled, be it by a signal just now
                    continue
        finally:
            self._returned(group, answered=answered)

    def _returned(self, group: Group, *, answered: bool = False) -> None:
        for following in self._core.returned(group, self._loop.time(), answered=answered):
            self._start(following)

    def _overdue(self) -> None:
        """One timer for all callers that wait; it runs as long as there are any."""
        self._patience = None
        for group in self._core.overdue(self._loop.time()):
            self._start(group)
        if self._core.waiting:
            self._patience = self._loop.call_later(self._core.patience, self._overdue)

    def _abandon(self, call: Call) -> None:
        unwanted = self._core.abandon(call)
        if unwanted and unwanted.rpc:
            unwanted.rpc.cancel()

    def _watch(self, deadline: float) -> None:
        """One timer for all callers, at the earliest deadline: one for each would cost more than the call."""
        if self._alarm is None or deadline < self._alarm.when():
            if self._alarm:
                self._alarm.cancel()
            self._alarm = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        now = self._loop.time()
        self._alarm = None
        waiting = [call for call in self._core.unfinished() if not call.waker.done()]
        for call in waiting:
            if call.deadline <= now:
                _fail(call, _shared.too_late(self._predict, self._core.standing(call, now)))
            else:
                self._watch(call.deadline)

    def _error(self, error: Exception) -> DigitsError:
        """A new error for each caller: if several tasks raise the same exception, their tracebacks get mixed up."""
        if self._closed:
            return caused(ClientClosed(), error)
        if isinstance(error, grpc.aio.AioRpcError):
            return self._failure(error)
        again = type(error)(*error.args) if isinstance(error, DigitsError) else ServerError(f"INTERNAL: {error}")
        return caused(again, error)


def _request(group: Group) -> Any:
    return _shared.request([call.pixels for call in group.calls], group.kind)


def _fail(call: Call, error: DigitsError) -> None:
    with suppress(asyncio.InvalidStateError):  # cancelled, perhaps by a signal at this very moment
        call.waker.set_exception(error)
        call.waker.exception()  # mark it as retrieved: a caller that is cancelled at this very moment will not read it
