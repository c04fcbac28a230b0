"""Many images in one call: cut, pipelined, in order; what fails is named. Against a server that follows a script."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from support.clients import Connect
from support.scripted import HOLD_SECONDS, Answer, Gate, Refused, ScriptedServer, first_pixels
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import AsyncClient, DeadlineExceeded, InvalidInput, ServerError, Unavailable
from digits_client._limits import FILES_PER_RPC

CHUNK = 1024
"""Images of one RPC."""


def numbered(count: int) -> NDArray[np.uint8]:
    """uint8[count, 28, 28]; every pixel of image i is i // CHUNK: the chunk it leaves in."""
    return np.repeat(np.arange(count) // CHUNK, 784).astype(np.uint8).reshape(-1, 28, 28)


def failing(chunk: int, status: grpc.StatusCode) -> Answer:
    """Refuses the images of one chunk, always."""

    def answer(request: PredictRequest) -> PredictResponse:
        if request.images[0] == chunk:
            raise Refused(status, "the reason")
        return first_pixels(request)

    return answer


@pytest.mark.parametrize(
    ("status", "kind"), [(grpc.StatusCode.INTERNAL, ServerError), (grpc.StatusCode.UNAVAILABLE, Unavailable)]
)
def test_a_batch_that_fails_tells_which_images_failed_and_what_was_answered(
    connect: Connect, script: ScriptedServer, status: grpc.StatusCode, kind: type[Exception]
) -> None:
    script.answer = failing(2, status)
    with pytest.raises(kind, match="the reason") as caught:
        connect(script.target).predict_batch(numbered(9 * CHUNK))
    error: Any = caught.value
    assert error.failed == range(2 * CHUNK, 3 * CHUNK)
    assert list(error.answered.digits) == [0] * CHUNK + [1] * CHUNK


def test_the_first_chunk_may_fail_too(connect: Connect, script: ScriptedServer) -> None:
    script.answer = failing(0, grpc.StatusCode.INTERNAL)
    with pytest.raises(ServerError) as caught:
        connect(script.target).predict_batch(numbered(2 * CHUNK), probabilities=True)
    assert caught.value.failed == range(CHUNK)
    assert caught.value.answered is not None
    assert len(caught.value.answered) == 0


def test_what_was_answered_can_be_kept_and_the_rest_asked_again(connect: Connect, script: ScriptedServer) -> None:
    """The use of both: resume where it stopped."""
    script.answer = failing(3, grpc.StatusCode.INTERNAL)
    images = numbered(5 * CHUNK + 7)
    client = connect(script.target)
    with pytest.raises(ServerError) as caught:
        client.predict_batch(images)
    script.answer = first_pixels
    done = caught.value.answered
    assert done is not None
    rest = client.predict_batch(images[len(done) :])
    assert list(np.concatenate([done.digits, rest.digits])) == [index // CHUNK for index in range(5 * CHUNK + 7)]


def test_after_a_failure_nothing_more_is_sent(connect: Connect, script: ScriptedServer) -> None:
    script.answer = failing(1, grpc.StatusCode.INTERNAL)
    with pytest.raises(ServerError):
        connect(script.target).predict_batch(numbered(40 * CHUNK))
    assert len(script.requests) < 10


def test_an_image_in_the_middle_that_is_none_is_named_with_what_came_before(
    connect: Connect, script: ScriptedServer
) -> None:
    images: list[Any] = [*numbered(2 * CHUNK), None, *numbered(CHUNK)]
    with pytest.raises(InvalidInput, match=r"^images\[2048\]: ") as caught:
        connect(script.target).predict_batch(images)
    assert caught.value.failed is not None
    assert 2 * CHUNK in caught.value.failed


def test_the_timeout_of_a_batch_is_that_of_all_its_parts_together(connect: Connect, script: ScriptedServer) -> None:
    """Each part would be in time by itself, for it is answered a fifth of the timeout after it has come."""
    timeout = 3.0
    never = threading.Event()

    def answer(request: PredictRequest) -> PredictResponse:
        never.wait(timeout / 5)
        return first_pixels(request)

    script.answer = answer
    with pytest.raises(DeadlineExceeded) as caught:
        connect(script.target).predict_batch(numbered(60 * CHUNK), timeout=timeout)
    assert caught.value.answered is not None
    assert caught.value.failed is not None
    assert len(caught.value.answered) == caught.value.failed.start > 0
    assert min(left or 0 for left in list(script.deadlines)) < timeout - timeout / 5


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
    """A memory-mapped file of any size is read as it goes, too."""
    allowed = threading.Semaphore(6 * CHUNK)

    def slow() -> Iterator[NDArray[np.uint8]]:
        for _ in range(8 * CHUNK):
            assert allowed.acquire(timeout=30), "more was read than needed for the first answer"
            yield np.zeros((28, 28), np.uint8)

    answers = connect(script.target).predict_iter(slow())
    assert next(answers).digit == 0
    allowed.release(8 * CHUNK)
    assert sum(1 for _ in answers) == 8 * CHUNK - 1


def test_a_memory_mapped_array_needs_no_copy_in_memory(
    connect: Connect, script: ScriptedServer, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", numbered(3 * CHUNK))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert [item.digit for item in connect(script.target).predict_iter(mapped)][:: CHUNK // 2] == [0, 0, 1, 1, 2, 2]


def test_an_iterator_gives_all_answers_before_the_failure_then_its_place(
    connect: Connect, script: ScriptedServer
) -> None:
    script.answer = failing(2, grpc.StatusCode.INTERNAL)
    answers = connect(script.target).predict_iter(numbered(6 * CHUNK))
    assert [next(answers).digit for _ in range(2 * CHUNK)] == [0] * CHUNK + [1] * CHUNK
    with pytest.raises(ServerError) as caught:
        next(answers)
    assert caught.value.failed == range(2 * CHUNK, 3 * CHUNK)


def test_an_iterator_left_early_ends_what_it_had_sent(connect: Connect, script: ScriptedServer) -> None:
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


async def test_the_async_client_takes_async_iterables(script: ScriptedServer) -> None:
    async def images() -> AsyncIterator[NDArray[np.uint8]]:
        for value in range(30):
            await asyncio.sleep(0)
            yield np.full((28, 28), value, np.uint8)

    async with AsyncClient(script.target) as client:
        assert [item.digit async for item in client.predict_iter(images())] == [value % 10 for value in range(30)]
        assert list((await client.predict_batch(images())).digits) == [value % 10 for value in range(30)]


async def test_what_an_async_source_has_given_is_sent_and_answered_while_the_source_pauses(
    script: ScriptedServer,
) -> None:
    """The source goes on only when all that it has given is answered: waiting for more images would be for ever."""
    answered: asyncio.Queue[int] = asyncio.Queue()

    async def source() -> AsyncIterator[NDArray[np.uint8]]:
        for value in range(10):
            for _ in range(value + 1):
                yield np.full((28, 28), value, np.uint8)
            async with asyncio.timeout(30):
                assert [await answered.get() for _ in range(value + 1)] == [value] * (value + 1)

    async with AsyncClient(script.target) as client:
        async for item in client.predict_iter(source()):
            answered.put_nowait(item.digit)
    assert sum(script.sizes) == 55


async def test_images_that_come_while_an_rpc_is_in_flight_leave_together(script: ScriptedServer) -> None:
    script.answer = gate = Gate()

    async def source() -> AsyncIterator[NDArray[np.uint8]]:
        for value in range(100):
            yield np.full((28, 28), value, np.uint8)
            await asyncio.sleep(0)
            if value == 50:
                await asyncio.to_thread(until, lambda: bool(script.sizes), "the first image is at the server")
        gate.open()

    async with AsyncClient(script.target) as client:
        assert [item.digit async for item in client.predict_iter(source())] == [value % 10 for value in range(100)]
    assert sum(script.sizes) == 100
    assert len(script.sizes) <= 3


async def test_an_async_source_that_fails_ends_the_iterator_with_its_own_error(script: ScriptedServer) -> None:
    async def source(images: int) -> AsyncIterator[NDArray[np.uint8]]:
        for value in range(images):
            yield np.full((28, 28), value % 10, np.uint8)
        raise OSError("the camera is off")

    async with AsyncClient(script.target) as client:
        for images in (0, 1, 3 * CHUNK):
            with pytest.raises(OSError, match="the camera is off"):
                async for _ in client.predict_iter(source(images)):
                    pass


async def test_an_iterator_left_early_reads_no_more_of_its_async_source(script: ScriptedServer) -> None:
    ended = asyncio.Event()

    async def source() -> AsyncIterator[NDArray[np.uint8]]:
        try:
            yield np.full((28, 28), 7, np.uint8)
            await asyncio.sleep(HOLD_SECONDS)
            pytest.fail("the source was read on")
        finally:
            ended.set()

    async with AsyncClient(script.target) as client:
        answers = client.predict_iter(source())
        assert (await anext(answers)).digit == 7
        await answers.aclose()
        async with asyncio.timeout(15):
            await ended.wait()


async def test_a_cancelled_batch_ends_its_rpcs(script: ScriptedServer) -> None:
    script.answer = gate = Gate()
    async with AsyncClient(script.target, timeout=60) as client:
        task = asyncio.create_task(client.predict_batch(numbered(10 * CHUNK)))
        await asyncio.to_thread(until, lambda: len(script.requests) == 4, "four chunks are at the server")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(15):
                await task
        await asyncio.to_thread(until, lambda: not any(one.is_active() for one in script.contexts), "all ended", 15)
    gate.open()


def close(answers: Any) -> None:
    answers.close()


def test_two_rpcs_of_files_are_in_flight_and_four_of_pixels(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target)
    for images, expected in (([b"\x07"] * (6 * FILES_PER_RPC), 2), (numbered(8 * CHUNK), 4)):
        script.requests.clear()
        script.answer = gate = Gate()
        with ThreadPoolExecutor(1) as thread:
            answers = thread.submit(client.predict_batch, images)
            until(lambda: len(script.requests) == expected, "as many RPCs as may be in flight have arrived")  # noqa: B023
            gate.open()
            assert len(answers.result(60)) == len(images)


def test_an_iterator_with_a_batch_size_answers_while_its_source_goes_on(
    connect: Connect, script: ScriptedServer
) -> None:
    """The source ends when answers come, so it would never end if they came at its end only."""
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
