"""Coalescing for threads: each caller waits on a lock of its own; no thread is added."""

import time
from _thread import allocate_lock
from collections.abc import Callable
from functools import partial
from threading import TIMEOUT_MAX, Lock
from typing import Any

import grpc

from digits_client import _shared
from digits_client._coalescing import Call, Coalescer, Coalescing, Group, Kind
from digits_client._errors import ClientClosed, DeadlineExceeded, DigitsError, ServerError, from_rpc
from digits_client._results import Prediction

Failure = Callable[[], DigitsError]
"""Makes the error anew for each caller: an exception that several threads raise mixes their tracebacks up."""


class ThreadCoalescer:
    """Sends the images of calling threads through `predict`, a gRPC method, as few RPCs as the rules allow."""

    _call: type[Call] = Call

    def __init__(self, predict: Any, rules: Coalescing) -> None:
        self._predict = predict
        self._core = Coalescer(rules)
        self._lock = Lock()
        self._closed = False

    def predict(self, pixels: bytes, kind: Kind, timeout: float) -> Prediction:
        """The answer for 784 bytes of pixels. Raises DigitsError."""
        waker = allocate_lock()
        waker.acquire()
        call = self._call(pixels, kind, time.monotonic() + timeout, waker)
        with self._lock:
            if self._closed:
                raise ClientClosed
            group = self._core.join(call)
        if group and len(group.calls) == 1:
            return self._alone(group, timeout)
        if group:
            self._start(group)
        return self._wait(call, timeout)

    def close(self) -> None:
        """Fails every call that waits or is on the way; the channel ends their RPCs."""
        with self._lock:
            self._closed = True
            for call in self._core.clear():
                _settle(call, error=ClientClosed())

    def _alone(self, group: Group, timeout: float) -> Prediction:
        """On the caller's own thread, which is the fastest way there is."""
        try:
            reply = self._predict(_request(group), timeout=timeout)
        except grpc.RpcError as error:
            raise self._error(error) from error
        except ValueError as error:  # what gRPC raises on a closed channel
            raise self._error(error) from error
        finally:
            self._returned(group)
        return _shared.answers(reply, 1, group.kind)[0]

    def _wait(self, call: Call, timeout: float) -> Prediction:
        settled = False
        try:
            settled = call.waker.acquire(timeout=min(max(timeout, 0.0), TIMEOUT_MAX))
        finally:
            if not settled:  # the timeout, or an interruption
                self._abandon(call)
        if call.error:
            raise call.error
        if call.answer is None:
            raise DeadlineExceeded(f"no answer within {timeout:g} seconds")
        answer: Prediction = call.answer
        return answer

    def _abandon(self, call: Call) -> None:
        with self._lock:
            unwanted = self._core.abandon(call)
        if unwanted and unwanted.rpc:
            unwanted.rpc.cancel()

    def _start(self, group: Group) -> None:
        timeout = max(0.0, group.deadline - time.monotonic())
        try:
            group.rpc = self._predict.future(_request(group), timeout=timeout)
        except Exception as error:  # noqa: BLE001  # ValueError on a closed channel; any other would leave callers waiting
            self._ended(group, failure=partial(self._error, error))
        else:
            group.rpc.add_done_callback(partial(self._completed, group))

    def _completed(self, group: Group, rpc: Any) -> None:
        """On gRPC's thread."""
        try:
            answers = _shared.answers(rpc.result(), len(group.calls), group.kind)
        except Exception as error:  # noqa: BLE001  # whatever it is belongs to the callers; nobody else would see it
            self._ended(group, failure=partial(self._error, error))
        else:
            self._ended(group, answers)

    def _ended(self, group: Group, answers: list[Prediction] | None = None, failure: Failure | None = None) -> None:
        self._returned(group)  # first: the server works on the next while these callers wake
        with self._lock:
            for index, call in enumerate(group.calls):
                _settle(call, answer=answers[index] if answers else None, error=failure() if failure else None)

    def _returned(self, group: Group) -> None:
        with self._lock:
            leaving = self._core.returned(group)
        for following in leaving:
            self._start(following)

    def _error(self, error: Exception) -> DigitsError:
        if self._closed:
            return ClientClosed()
        if isinstance(error, grpc.RpcError):
            return from_rpc(error)
        return type(error)(*error.args) if isinstance(error, DigitsError) else ServerError(f"INTERNAL: {error}")


def _request(group: Group) -> Any:
    return _shared.request([call.pixels for call in group.calls], group.kind)


def _settle(call: Call, *, answer: Prediction | None = None, error: DigitsError | None = None) -> None:
    """Once: of close() and an RPC's end, the second finds the waker released. Both hold the coalescer's lock."""
    if call.waker.locked():
        call.answer = answer
        call.error = error
        call.waker.release()
