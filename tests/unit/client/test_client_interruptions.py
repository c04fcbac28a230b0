"""Ctrl-C, signal handlers and closed channels at any step of a coalesced call: the other callers do not notice."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import ClientClosed, Coalescing, Prediction, ServerError
from digits_client._coalescing import threads
from digits_client._coalescing.calls import Call, Kind
from digits_client._coalescing.core import Coalescer
from digits_client._coalescing.threads import ThreadCoalescer

KIND = Kind(0, probabilities=False)
PIXELS = bytes(784)
SECONDS = 30.0


def reply(request: PredictRequest) -> PredictResponse:
    count = len(request.images) // 784
    return PredictResponse(digits=bytes([3] * count), confidences=[1.0] * count, model_version=1)


class Rpc:
    """An RPC in flight, which ends when the test says so."""

    def __init__(self, request: PredictRequest, *, answered: bool) -> None:
        self.request, self.cancelled = request, False
        self.answered = answered

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self.callback = callback
        if self.answered:
            callback(self)

    def result(self) -> PredictResponse:
        return reply(self.request)

    def cancel(self) -> None:
        self.cancelled = True


class Method:
    """A unary method of gRPC."""

    def __init__(self) -> None:
        self.rpcs: list[Rpc] = []
        self.answered = False
        self.during: Callable[[], Any] = lambda: None
        self.before: Callable[[], Any] = lambda: None

    def __call__(self, request: PredictRequest, *, timeout: float) -> PredictResponse:  # noqa: ARG002 - as in gRPC
        self.during()
        return reply(request)

    def future(self, request: PredictRequest, *, timeout: float) -> Rpc:  # noqa: ARG002
        self.before()
        self.rpcs.append(Rpc(request, answered=self.answered))
        return self.rpcs[-1]


def once(action: Callable[[], Any]) -> Callable[[], Any]:
    actions = [action]
    return lambda: actions.pop()() if actions else None


def interrupt() -> None:
    raise KeyboardInterrupt


def interrupted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool) -> None:
    """Ctrl-C just before or just after the next call of a function."""
    original, strike = getattr(owner, name), once(interrupt)

    def call(*arguments: Any) -> Any:
        if not after:
            strike()
        result = original(*arguments)
        strike()
        return result

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("owner", "name"), [(Coalescer, "join"), (ThreadCoalescer, "_claim"), (threads, "_request")])
def test_an_interrupted_call_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool
) -> None:
    coalescer = ThreadCoalescer(Method(), Coalescing(rpcs_in_flight=1))
    interrupted(monkeypatch, owner, name, after=after)
    with pytest.raises(KeyboardInterrupt):
        coalescer.predict(PIXELS, KIND, SECONDS)
    stats = coalescer.stats()
    assert (stats.rpcs_in_flight, stats.images_in_flight, stats.images_waiting) == (0, 0, 0)
    assert coalescer.predict(PIXELS, KIND, SECONDS).digit == 3


class Together:
    """A call in flight on another thread, and `others` that wait behind it."""

    def __init__(self, coalescer: ThreadCoalescer, method: Method) -> None:
        self.coalescer, self.answers = coalescer, list[Any]()
        self.threads: list[threading.Thread] = []
        arrived, self.release = threading.Event(), threading.Event()

        def stay() -> None:
            arrived.set()
            self.release.wait(SECONDS)

        method.during = once(stay)
        self.calls()
        assert arrived.wait(SECONDS)

    def calls(self) -> None:
        self.threads.append(threading.Thread(target=self._call))
        self.threads[-1].start()

    def waits(self, images: int) -> None:
        """Returns when so many images wait."""
        pause, left = threading.Event(), 3000
        while self.coalescer.stats().images_waiting < images and left:
            left -= pause.wait(0.01) is False
        assert left

    def ended(self) -> list[Any]:
        self.release.set()
        for thread in self.threads:
            thread.join(SECONDS)
        return self.answers

    def _call(self) -> None:
        try:
            self.answers.append(self.coalescer.predict(PIXELS, KIND, SECONDS))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.answers.append(error)


def test_a_group_whose_sender_is_interrupted_is_sent_for_its_other_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    method = Method()
    coalescer = ThreadCoalescer(method, Coalescing(images_per_rpc=2, rpcs_in_flight=2))
    together = Together(coalescer, method)
    together.calls()
    together.waits(1)
    interrupted(monkeypatch, Coalescer, "join", after=True)
    with pytest.raises(KeyboardInterrupt):
        coalescer.predict(PIXELS, KIND, SECONDS)
    assert len(method.rpcs) == 1
    method.rpcs[0].callback(method.rpcs[0])
    assert [type(answer) for answer in together.ended()] == [Prediction, Prediction]


def test_the_rpc_that_only_an_interrupted_caller_wanted_is_cancelled() -> None:
    method = Method()
    coalescer = ThreadCoalescer(method, Coalescing(rpcs_in_flight=1))
    call = Call(PIXELS, KIND, SECONDS, threading.Lock())
    group = coalescer._core.join(call)
    assert group
    coalescer._start(group)
    coalescer._withdraw(call)  # Ctrl-C before the caller began to wait
    assert [rpc.cancelled for rpc in method.rpcs] == [True]


def test_a_caller_interrupted_after_its_answer_takes_no_place_of_an_rpc(monkeypatch: pytest.MonkeyPatch) -> None:
    method = Method()
    coalescer = ThreadCoalescer(method, Coalescing(images_per_rpc=2, rpcs_in_flight=2))
    together = Together(coalescer, method)
    together.calls()
    together.waits(1)
    method.answered = True
    interrupted(monkeypatch, ThreadCoalescer, "_start", after=True)
    with pytest.raises(KeyboardInterrupt):
        coalescer.predict(PIXELS, KIND, SECONDS)
    assert [type(answer) for answer in together.ended()] == [Prediction, Prediction]
    assert coalescer.stats().rpcs_in_flight == 0


@pytest.mark.parametrize("failure", [ValueError("closed channel"), KeyboardInterrupt()])
def test_callers_whose_rpc_cannot_be_sent_are_told(failure: BaseException) -> None:
    method = Method()
    coalescer = ThreadCoalescer(method, Coalescing(images_per_rpc=2, rpcs_in_flight=2))
    together = Together(coalescer, method)
    together.calls()
    together.waits(1)

    def fail() -> None:
        raise failure

    method.before = once(fail)
    with pytest.raises(ServerError if isinstance(failure, Exception) else KeyboardInterrupt):
        coalescer.predict(PIXELS, KIND, SECONDS)
    assert sorted(type(answer).__name__ for answer in together.ended()) == ["Prediction", "ServerError"]
    assert coalescer.stats().rpcs_in_flight == 0


def test_a_call_on_a_closed_channel_is_an_error_of_the_client() -> None:
    method = Method()

    def fail() -> None:
        raise ValueError("Cannot invoke RPC on closed channel!")

    method.during = fail
    coalescer = ThreadCoalescer(method, Coalescing())
    with pytest.raises(ServerError, match="closed channel"):
        coalescer.predict(PIXELS, KIND, SECONDS)
    coalescer.close()
    with pytest.raises(ClientClosed):
        coalescer.predict(PIXELS, KIND, SECONDS)


def test_a_signal_handler_that_predicts_is_answered_at_any_step(monkeypatch: pytest.MonkeyPatch) -> None:
    method = Method()
    coalescer = ThreadCoalescer(method, Coalescing(rpcs_in_flight=1))
    answers: list[Prediction] = []
    handler = once(lambda: answers.append(coalescer.predict(PIXELS, KIND, SECONDS)))
    method.during = handler
    assert coalescer.predict(PIXELS, KIND, SECONDS).digit == 3
    join, in_the_core = Coalescer.join, once(lambda: answers.append(coalescer.predict(PIXELS, KIND, SECONDS)))
    monkeypatch.setattr(Coalescer, "join", lambda *arguments: (in_the_core(), join(*arguments))[1])
    assert coalescer.predict(PIXELS, KIND, SECONDS).digit == 3
    assert [answer.digit for answer in answers] == [3, 3]
    assert coalescer.stats().rpcs_in_flight == 0
