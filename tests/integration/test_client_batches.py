"""Many images in one call: split, pipelined, in order; failed images are named.

Against a server that follows a script.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from support.client.both import Connect
from support.client.bulk import CHUNK, failing, numbered
from support.client.scripted import Gate, ScriptedServer, first_pixels
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import AsyncClient, DeadlineExceeded, InvalidInput, ServerError, Unavailable
from digits_client._limits import FILES_PER_RPC


@pytest.mark.parametrize(
    ("status", "kind"), [(grpc.StatusCode.INTERNAL, ServerError), (grpc.StatusCode.UNAVAILABLE, Unavailable)]
)
def test_a_failed_batch_names_the_failed_images_and_keeps_the_answers(
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


def test_answers_can_be_kept_and_the_rest_requested_again(connect: Connect, script: ScriptedServer) -> None:
    """Their use: resume at the failed image."""
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


def test_an_invalid_image_in_the_middle_is_named_with_the_answers_before_it(
    connect: Connect, script: ScriptedServer
) -> None:
    images: list[Any] = [*numbered(2 * CHUNK), None, *numbered(CHUNK)]
    with pytest.raises(InvalidInput, match=r"^images\[2048\]: ") as caught:
        connect(script.target).predict_batch(images)
    assert caught.value.failed is not None
    assert 2 * CHUNK in caught.value.failed


def test_the_timeout_of_a_batch_is_that_of_all_its_parts_together(connect: Connect, script: ScriptedServer) -> None:
    """Each part alone would be in time: it is answered a fifth of the timeout after it has arrived."""
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
    assert min(left for left in list(script.deadlines) if left is not None) < timeout - timeout / 5


def test_a_memory_mapped_array_needs_no_copy_in_memory(
    connect: Connect, script: ScriptedServer, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", numbered(3 * CHUNK))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert [item.digit for item in connect(script.target).predict_iter(mapped)][:: CHUNK // 2] == [0, 0, 1, 1, 2, 2]


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
