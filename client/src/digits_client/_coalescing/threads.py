"""Coalescing for threads: each caller waits on its own lock; no thread is added."""

import time
from _thread import allocate_lock, get_ident
from collections.abc import Callable
from functools import partial
from threading import TIMEOUT_MAX, RLock
from typing import Any

import grpc

from digits_client import _shared
from digits_client._answers.results import Prediction
from digits_client._coalescing.calls import Call, Group, Kind
from digits_client._coalescing.core import Coalescer
from digits_client._coalescing.rules import Coalescing
from digits_client._coalescing.stats import Stats
from digits_client._errors import ClientClosed, DigitsError, ServerError, caused, from_rpc

Failure = Callable[[], DigitsError]
"""Makes a new error for each caller: if several threads raise the same exception, their tracebacks get mixed up."""


class ThreadCoalescer:
    """Sends the images of calling threads through `predict`, a gRPC method, in as few RPCs as the rules allow."""

    _call: type[Call] = Call

    def __init__(self, predict: Any, rules: Coalescing, failure: Callable[[Any], DigitsError] = from_rpc) -> None:
        self._predict = predict
        self._failure = failure
        self._core = Coalescer(rules)
        self._lock = RLock()  # a signal handler may call while its thread holds it
        self._busy = False  # the core is being changed
        self._callers: set[int] = set()  # threads inside `predict`
        self._closed = False

    def predict(self, pixels: bytes, kind: Kind, timeout: float) -> Prediction:
        """The answer for 784 bytes of pixels. Raises DigitsError."""
        waker = allocate_lock()
        waker.acquire()
        now = time.monotonic()
        call = self._call(pixels, kind, now + timeout, waker)
        thread = get_ident()
        if thread in self._callers:  # a signal handler: the call that it interrupted cannot continue meanwhile
            return self._alone(Group(kind, [call], 1, now), timeout)
        try:
            self._callers.add(thread)
            return self._joined(call, now, timeout)
        except DigitsError:
            raise
        except BaseException:  # an interruption (Ctrl-C) between any two steps: the other callers must not notice
            self._withdraw(call)
            raise
        finally:
            self._callers.discard(thread)

    def stats(self) -> Stats:
        with self._lock:
            return self._core.stats()

    def close(self) -> None:
        """Fails every call that waits or is in flight; the channel ends their RPCs."""
        with self._lock:
            self._closed = True
            for call in self._core.clear():
                _settle(call, error=ClientClosed())

    def _joined(self, call: Call, now: float, timeout: float) -> Prediction:
        with self._lock:
            if self._closed:
                raise ClientClosed
            group: Group | None = None
            self._busy = True
            try:
                group = self._core.join(call, now)
            finally:
                self._busy = False
        if group and len(group.calls) == 1 and self._claim(group):
            return self._alone(group, timeout)
        if group:
            self._start(group)
        return self._wait(call, timeout)

    def _claim(self, group: Group) -> bool:
        """Whether this thread must send it. If this thread was interrupted, another thread sends it."""
        with self._lock:
            sent, group.sent = group.sent, True
        return not sent

    def _alone(self, group: Group, timeout: float) -> Prediction:
        """Calls on the caller's own thread, which is the fastest way."""
        answered = False
        try:
            reply = self._predict(_request(group), timeout=timeout)
            answered = True
        except grpc.RpcError as error:
            raise self._error(error) from error
        except ValueError as error:  # what gRPC raises on a closed channel
            raise self._error(error) from error
        finally:
            self._returned(group, answered=answered)
        return _shared.answers(reply, 1, group.kind)[0]

    def _wait(self, call: Call, timeout: float) -> Prediction:
        settled = False
        try:
            while not settled:
                left = call.deadline - time.monotonic()
                # A call in flight only needs its answer; a waiting call must not wait for a frozen server.
                patience = left if call.group else min(left, self._core.patience)
                settled = call.waker.acquire(timeout=min(max(patience, 0.0), TIMEOUT_MAX))
                if not settled and left <= patience:
                    break
                if not settled:
                    self._overdue()
        finally:
            if not settled:  # the timeout, or an interruption
                self._abandon(call)
        if call.error and settled:  # not settled: the RPC's own error, as this call has just cancelled it
            raise call.error
        if call.answer is None:
            raise _shared.too_late(self._predict, self._core.standing(call, time.monotonic()), timeout)
        answer: Prediction = call.answer
        return answer

    def _overdue(self) -> None:
        for group in self._changed(lambda: self._core.overdue(time.monotonic())):
            self._start(group)

    def _changed(self, change: Callable[[], list[Group]]) -> list[Group]:
        """Sends the groups that a change of the core releases."""
        with self._lock:
            if self._busy:  # in a signal handler, whose call is not in the core
                return []
            self._busy = True
            try:
                return change()
            finally:
                self._busy = False

    def _withdraw(self, call: Call) -> None:
        with self._lock:
            self._busy = False
            unsent = self._core.withdraw(call)
        if (group := call.group) and group.wanted <= 0:
            if group.rpc:
                group.rpc.cancel()
            else:
                self._returned(group)
        for other in unsent:
            if other.wanted > 0:
                self._start(other)

    def _abandon(self, call: Call) -> None:
        unwanted: list[Group] = self._changed(lambda: [group] if (group := self._core.abandon(call)) else [])
        for group in unwanted:
            if group.rpc:
                group.rpc.cancel()

    def _start(self, group: Group) -> None:
        try:
            if self._claim(group):
                timeout = max(0.0, group.deadline - time.monotonic())
                group.rpc = self._predict.future(_request(group), timeout=timeout)
                group.rpc.add_done_callback(partial(self._completed, group))
        except BaseException as error:  # a closed channel, or an interruption: callers must not wait for ever
            self._ended(group, failure=partial(self._error, error))
            if not isinstance(error, Exception):
                raise

    def _completed(self, group: Group, rpc: Any) -> None:
        """Runs on gRPC's thread."""
        try:
            answers = _shared.answers(rpc.result(), len(group.calls), group.kind)
        except Exception as error:  # noqa: BLE001  # the callers get it, whatever it is: it would be lost otherwise
            self._ended(group, failure=partial(self._error, error))
        else:
            self._ended(group, answers)

    def _ended(self, group: Group, answers: list[Prediction] | None = None, failure: Failure | None = None) -> None:
        self._returned(
            group, answered=answers is not None
        )  # first send the next RPC: the server works on it while these callers wake up
        with self._lock:
            for index, call in enumerate(group.calls):
                _settle(call, answer=answers[index] if answers else None, error=failure() if failure else None)

    def _returned(self, group: Group, *, answered: bool = False) -> None:
        now = time.monotonic()
        for following in self._changed(lambda: self._core.returned(group, now, answered=answered)):
            self._start(following)

    def _error(self, error: BaseException) -> DigitsError:
        if self._closed:
            return caused(ClientClosed(), error)
        if isinstance(error, grpc.RpcError):
            return self._failure(error)
        again = type(error)(*error.args) if isinstance(error, DigitsError) else ServerError(f"INTERNAL: {error}")
        return caused(again, error)


def _request(group: Group) -> Any:
    return _shared.request([call.pixels for call in group.calls], group.kind)


def _settle(call: Call, *, answer: Prediction | None = None, error: DigitsError | None = None) -> None:
    """Only once: after close() or the RPC's end, the other one finds the waker released.

    Both hold the coalescer's lock.
    """
    if call.waker.locked():
        call.answer = answer
        call.error = error
        call.waker.release()
