"""Images from an iterator: answers in order while it goes on, and it is never read far ahead."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from support.client.both import Connect
from support.client.bulk import CHUNK, failing, numbered
from support.client.scripted import Gate, ScriptedServer, first_pixels
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import InvalidInput, ServerError


def test_an_iterator_gives_each_answer_in_order(connect: Connect, script: ScriptedServer) -> None:
    images = numbered(5 * CHUNK + 7)
    client = connect(script.target)
    expected = [index // CHUNK for index in range(len(images))]
    assert [item.digit for item in client.predict_iter(images)] == expected
    assert [item.digit for item in client.predict_iter(image for image in images)] == expected
    assert list(client.predict_iter([])) == []


def test_an_iterator_holds_a_few_chunks_of_an_endless_line(connect: Connect, script: ScriptedServer) -> None:
    taken = [0]

    def endless() -> Iterator[NDArray[np.uint8]]:
        while True:
            taken[0] += 1
            yield np.full((28, 28), taken[0] % 10, np.uint8)

    answers = connect(script.target).predict_iter(endless())
    for number in range(1, 3001):
        assert next(answers).digit == number % 10
        assert taken[0] <= number + 6 * CHUNK
    close(answers)


def test_an_iterator_begins_to_answer_before_its_images_end(connect: Connect, script: ScriptedServer) -> None:
    """A memory-mapped file of any size is also read step by step."""
    allowed = threading.Semaphore(6 * CHUNK)

    def slow() -> Iterator[NDArray[np.uint8]]:
        for _ in range(8 * CHUNK):
            assert allowed.acquire(timeout=30), "more was read than needed for the first answer"
            yield np.zeros((28, 28), np.uint8)

    answers = connect(script.target).predict_iter(slow())
    assert next(answers).digit == 0
    allowed.release(8 * CHUNK)
    assert sum(1 for _ in answers) == 8 * CHUNK - 1


def test_an_iterator_gives_all_answers_before_the_failure_then_its_place(
    connect: Connect, script: ScriptedServer
) -> None:
    script.answer = failing(2, grpc.StatusCode.INTERNAL)
    answers = connect(script.target).predict_iter(numbered(6 * CHUNK))
    assert [next(answers).digit for _ in range(2 * CHUNK)] == [0] * CHUNK + [1] * CHUNK
    with pytest.raises(ServerError) as caught:
        next(answers)
    assert caught.value.failed == range(2 * CHUNK, 3 * CHUNK)


def test_an_iterator_left_early_ends_its_rpcs(connect: Connect, script: ScriptedServer) -> None:
    ended = threading.Semaphore(0)
    gate = Gate()

    def answer(request: PredictRequest) -> PredictResponse:
        if request.images[0] == 0:
            return first_pixels(request)
        script.contexts[-1].add_callback(ended.release)
        return gate(request)

    script.answer = answer
    answers = connect(script.target, timeout=60).predict_iter(numbered(20 * CHUNK))
    next(answers)
    until(lambda: len(script.requests) == 4, "further chunks are at the server")
    close(answers)
    assert ended.acquire(timeout=15), "no RPC was cancelled"
    gate.open()


def close(answers: Any) -> None:
    answers.close()


def test_an_iterator_with_a_batch_size_answers_while_its_source_goes_on(
    connect: Connect, script: ScriptedServer
) -> None:
    """The source ends when answers arrive, so it would never end if they arrived only at its end."""
    answered = threading.Event()

    def source() -> Iterator[NDArray[np.uint8]]:
        for _ in range(1000):
            if answered.wait(0.01):
                return
            yield np.full((28, 28), 7, np.uint8)
        pytest.fail("no answer came while the source went on")

    for item in connect(script.target).predict_iter(source(), batch_size=1):
        assert item.digit == 7
        answered.set()
    assert set(script.sizes) == {1}


@pytest.mark.parametrize(("size", "sizes"), [(3, [3, 3, 1]), (None, [7]), (1024, [7])])
def test_a_batch_size_is_the_number_of_images_of_each_rpc(
    connect: Connect, script: ScriptedServer, size: int | None, sizes: list[int]
) -> None:
    client = connect(script.target)
    for images in (numbered(7), list(numbered(7)), [b"\x07"] * 7):
        script.requests.clear()
        assert len(list(client.predict_iter(images, batch_size=size))) == 7
        assert sorted(script.sizes, reverse=True) == sizes


@pytest.mark.parametrize("size", [0, -1, 1025, 1.5, "1"])
def test_a_batch_size_that_no_rpc_can_have_is_refused_by_name(connect: Connect, size: Any) -> None:
    with pytest.raises(InvalidInput, match="batch_size: expected 1 to 1,024"):
        list(connect("localhost:1").predict_iter([], batch_size=size))
