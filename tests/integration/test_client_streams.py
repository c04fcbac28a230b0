"""PredictStream from Python: answers as they come, a source that is never read far ahead, and every way it can end."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from support.clients import Connect
from support.scripted import Gate, Refused, ScriptedServer, first_pixels
from support.servers import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import (
    AsyncClient,
    Client,
    ClientClosed,
    DeadlineExceeded,
    Image,
    InvalidInput,
    Overloaded,
    ServerError,
    Unavailable,
)
from digits_client._limits import STREAM_REQUESTS_IN_FLIGHT

PATIENCE_SECONDS = 30.0
ANSWER_SECONDS, PAUSE_SECONDS = 2.0, 2.2
"""How long an answer may take, and a pause longer than that, while no answer is due."""


def image(value: int) -> NDArray[np.uint8]:
    return np.full((28, 28), value, np.uint8)


class Source:
    """Endless images, and what became of them."""

    def __init__(self) -> None:
        self.taken = 0
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        try:
            while True:
                self.taken += 1
                yield image(7)
        finally:
            self.closed.set()


@OVER_BOTH_TRANSPORTS
@pytest.mark.parametrize("batch_size", [None, 1, 7, 1024])
def test_a_stream_gives_the_answers_of_a_batch(
    connect: Connect, server: ServerProcess, test_images: NDArray[np.uint8], batch_size: int | None
) -> None:
    client = connect(server.target, timeout=60)
    expected = client.predict_batch(test_images[:50], probabilities=True)
    found = list(client.predict_stream(test_images[:50], probabilities=True, batch_size=batch_size))
    assert [item.digit for item in found] == expected.digits.tolist()
    rows: list[Any] = [item.probabilities for item in found]
    assert expected.probabilities is not None
    assert np.allclose(rows, expected.probabilities)
    assert {item.model_version for item in found} == {1}


@OVER_BOTH_TRANSPORTS
def test_files_and_arrays_may_take_turns(connect: Connect, server: ServerProcess) -> None:
    source: list[Image] = [image(0), "docs/digit.png", image(0), "docs/digit.png"]
    found = list(connect(server.target, timeout=60).predict_stream(source))
    assert (found[1].digit, found[3].digit) == (7, 7)
    assert found[0] == found[2]


@OVER_BOTH_TRANSPORTS
def test_a_stream_of_nothing_ends_at_once(connect: Connect, server: ServerProcess) -> None:
    assert list(connect(server.target).predict_stream([])) == []


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, 1025], ids=str)
def test_a_batch_size_that_no_request_can_have_is_refused(
    connect: Connect, script: ScriptedServer, batch_size: int
) -> None:
    with pytest.raises(InvalidInput, match="batch_size: expected 1 to 1,024"):
        list(connect(script.target).predict_stream([image(1)], batch_size=batch_size))
    assert not script.streams


def test_a_stream_is_one_rpc_with_a_request_for_each_batch(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target)
    assert [item.digit for item in client.predict_stream([image(value) for value in range(9)], batch_size=4)] == [
        *range(9)
    ]
    assert len(script.streams) == 1
    assert script.sizes == [4, 4, 1]


def test_answers_come_while_the_source_has_nothing_to_give(script: ScriptedServer) -> None:
    more = threading.Event()

    def source() -> Iterator[NDArray[np.uint8]]:
        yield image(1)
        yield image(2)
        assert more.wait(PATIENCE_SECONDS)
        yield image(3)

    with Client(script.target, timeout=ANSWER_SECONDS) as client:
        answers = client.predict_stream(source())
        assert [next(answers).digit, next(answers).digit] == [1, 2]
        time.sleep(PAUSE_SECONDS)
        more.set()
        assert [item.digit for item in answers] == [3]


def test_answers_come_while_an_asynchronous_source_has_nothing_to_give(script: ScriptedServer) -> None:
    async def digits() -> list[int]:
        more = asyncio.Event()

        async def source() -> AsyncIterator[NDArray[np.uint8]]:
            yield image(1)
            await more.wait()
            yield image(3)

        async with AsyncClient(script.target, timeout=ANSWER_SECONDS) as client:
            answers = client.predict_stream(source())
            first = await anext(answers)
            await asyncio.sleep(PAUSE_SECONDS)
            more.set()
            return [first.digit] + [item.digit async for item in answers]

    assert asyncio.run(digits()) == [1, 3]


def test_the_source_is_read_a_window_ahead_of_the_answers_and_no_further(
    connect: Connect, script: ScriptedServer
) -> None:
    """A slow server, then a slow caller."""
    script.answer = gate = Gate()
    source = Source()
    answers = connect(script.target).predict_stream(source)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(next, answers)
        until(lambda: source.taken >= STREAM_REQUESTS_IN_FLIGHT, "the window is full")
        gate.open()
        assert first.result(PATIENCE_SECONDS).digit == 7
    for _ in range(100):
        next(answers)
    until(lambda: len(script.requests) >= 100 + STREAM_REQUESTS_IN_FLIGHT, "the window is full again")
    assert source.taken <= 101 + STREAM_REQUESTS_IN_FLIGHT + 1  # one more image is in hand, and not sent
    assert len(script.requests) <= 101 + STREAM_REQUESTS_IN_FLIGHT
    answers.close()


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


def test_what_is_not_an_image_ends_the_stream_after_the_answers_before_it(
    connect: Connect, script: ScriptedServer
) -> None:
    answers = connect(script.target).predict_stream([image(1), image(2), np.zeros((5, 5), np.uint8), image(3)])
    assert [next(answers).digit, next(answers).digit] == [1, 2]
    with pytest.raises(InvalidInput, match=r"images\[2\]") as caught:
        next(answers)
    assert caught.value.failed == range(2, 3)


def test_what_the_source_raises_is_raised_after_the_answers_before_it(connect: Connect, script: ScriptedServer) -> None:
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


def test_a_slow_caller_is_not_late(connect: Connect, script: ScriptedServer) -> None:
    answers = connect(script.target).predict_stream([image(1), image(2), image(3)], timeout=ANSWER_SECONDS)
    found = [next(answers).digit]
    time.sleep(PAUSE_SECONDS)
    found += [item.digit for item in answers]
    assert found == [1, 2, 3]


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


@OVER_BOTH_TRANSPORTS
def test_many_streams_run_side_by_side(connect: Connect, server: ServerProcess, test_images: NDArray[np.uint8]) -> None:
    client = connect(server.target, timeout=60)
    expected = client.predict_batch(test_images[:64]).digits.tolist()

    def digits(_: int) -> list[int]:
        return [item.digit for item in client.predict_stream(test_images[:64], batch_size=8)]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(digits, range(8))) == [expected] * 8
