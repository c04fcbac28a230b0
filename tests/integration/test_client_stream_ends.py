"""Every way a stream of predictions can end: what was answered comes first, then one error that says why."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from support.client.both import Connect
from support.client.scripted import Gate, Refused, ScriptedServer, first_pixels
from support.client.sources import Source
from support.pictures.pixels import image
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import Client, ClientClosed, DeadlineExceeded, InvalidInput, Overloaded, ServerError, Unavailable

PATIENCE_SECONDS = 30.0


def test_a_caller_that_stops_ends_the_rpc_and_closes_the_source(connect: Connect, script: ScriptedServer) -> None:
    source = Source()
    answers = connect(script.target).predict_stream(source)
    assert next(answers).digit == 7
    answers.close()
    until(lambda: not script.streams[0].is_active(), "the server sees the end")
    assert source.closed.wait(PATIENCE_SECONDS)


def test_a_caller_that_stops_does_not_wait_for_a_source_that_blocks(script: ScriptedServer) -> None:
    more = threading.Event()

    def source() -> Iterator[NDArray[np.uint8]]:
        yield image(1)
        more.wait(PATIENCE_SECONDS)
        yield image(2)

    with Client(script.target) as client:
        begin = time.monotonic()
        for item in client.predict_stream(source()):
            assert item.digit == 1
            break
        until(lambda: not script.streams[0].is_active(), "the server sees the end")
        assert time.monotonic() - begin < PATIENCE_SECONDS / 2
    more.set()


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        (Refused(grpc.StatusCode.INVALID_ARGUMENT, "the reason"), InvalidInput),
        (Refused(grpc.StatusCode.UNAVAILABLE, "the reason"), Unavailable),
        (Refused(grpc.StatusCode.INTERNAL, "the reason"), ServerError),
        (Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "the reason", 5), Overloaded),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_failure_ends_the_stream_after_the_answers_before_it(
    connect: Connect, script: ScriptedServer, refused: Refused, kind: type[Exception]
) -> None:
    def answer(request: PredictRequest) -> PredictResponse:
        if request.images[0] == 6:
            raise refused
        return first_pixels(request)

    script.answer = answer
    answers = connect(script.target).predict_stream([image(value) for value in range(10)], batch_size=2)
    assert [next(answers).digit for _ in range(6)] == [*range(6)]
    with pytest.raises(kind, match="the reason") as caught:
        next(answers)
    assert caught.value.failed == range(6, 8)  # type: ignore[attr-defined]
    assert isinstance(caught.value.__cause__, grpc.RpcError)
    assert list(answers) == []


def test_an_invalid_image_ends_the_stream_after_the_answers_before_it(connect: Connect, script: ScriptedServer) -> None:
    answers = connect(script.target).predict_stream([image(1), image(2), np.zeros((5, 5), np.uint8), image(3)])
    assert [next(answers).digit, next(answers).digit] == [1, 2]
    with pytest.raises(InvalidInput, match=r"images\[2\]") as caught:
        next(answers)
    assert caught.value.failed == range(2, 3)


def test_an_exception_of_the_source_is_raised_after_the_answers_before_it(
    connect: Connect, script: ScriptedServer
) -> None:
    def source() -> Iterator[NDArray[np.uint8]]:
        yield image(1)
        raise KeyError("the camera is gone")

    answers = connect(script.target).predict_stream(source())
    assert next(answers).digit == 1
    with pytest.raises(KeyError, match="the camera is gone"):
        next(answers)


def test_an_answer_that_is_late_ends_the_stream_and_the_rpc(connect: Connect, script: ScriptedServer) -> None:
    gate = Gate()
    script.answer = lambda request: (gate if request.images[0] == 2 else first_pixels)(request)
    answers = connect(script.target, timeout=60).predict_stream([image(1), image(2)], timeout=0.3)
    assert next(answers).digit == 1
    with pytest.raises(DeadlineExceeded, match=r"within 0\.3 seconds after its request") as caught:
        next(answers)
    assert caught.value.failed == range(1, 2)
    gate.open()
    until(lambda: not script.streams[0].is_active(), "the server sees the end")


def test_close_ends_a_stream_that_waits(connect: Connect, script: ScriptedServer) -> None:
    script.answer = gate = Gate()
    client = connect(script.target, timeout=PATIENCE_SECONDS)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(lambda: list(client.predict_stream([image(1)])))
        until(lambda: len(script.requests) == 1, "the request is at the server")
        client.close()
        with pytest.raises(ClientClosed):
            call.result(PATIENCE_SECONDS / 2)
    gate.open()
    with pytest.raises(ClientClosed):
        list(client.predict_stream([image(1)]))


def test_a_server_that_dies_ends_the_stream(connect: Connect, script: ScriptedServer) -> None:
    source = Source()
    answers = connect(script.target).predict_stream(source)
    next(answers)
    script._server.stop(None)
    with pytest.raises((Unavailable, ServerError)):
        for _ in answers:
            pass
    assert source.closed.wait(PATIENCE_SECONDS)


BROKEN: dict[str, Callable[[PredictRequest], PredictResponse]] = {
    "too few": lambda _: PredictResponse(model_version=1),
    "too many": lambda _: PredictResponse(digits=[1, 2], confidences=[1, 1], model_version=1),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
def test_a_server_that_breaks_the_protocol_is_an_error(connect: Connect, script: ScriptedServer, answer: Any) -> None:
    script.answer = answer
    with pytest.raises(ServerError, match="expected answers") as caught:
        list(connect(script.target).predict_stream([image(1)]))
    assert caught.value.failed == range(1)
