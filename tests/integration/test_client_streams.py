"""PredictStream from Python: answers as they come, and a source that is never read far ahead."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.client.both import Connect
from support.client.scripted import Gate, ScriptedServer
from support.client.sources import Source
from support.pictures.pixels import image
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits_client import AsyncClient, Client, Image, InvalidInput
from digits_client._limits import STREAM_REQUESTS_IN_FLIGHT

PATIENCE_SECONDS = 30.0
ANSWER_SECONDS, PAUSE_SECONDS = 2.0, 2.2
"""How long an answer may take, and a pause longer than that, while no answer is due."""


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


def test_answers_arrive_while_the_source_pauses(script: ScriptedServer) -> None:
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


def test_answers_arrive_while_an_asynchronous_source_pauses(script: ScriptedServer) -> None:
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


def test_a_slow_caller_is_not_late(connect: Connect, script: ScriptedServer) -> None:
    answers = connect(script.target).predict_stream([image(1), image(2), image(3)], timeout=ANSWER_SECONDS)
    found = [next(answers).digit]
    time.sleep(PAUSE_SECONDS)
    found += [item.digit for item in answers]
    assert found == [1, 2, 3]


@OVER_BOTH_TRANSPORTS
def test_many_streams_run_side_by_side(connect: Connect, server: ServerProcess, test_images: NDArray[np.uint8]) -> None:
    client = connect(server.target, timeout=60)
    expected = client.predict_batch(test_images[:64]).digits.tolist()

    def digits(_: int) -> list[int]:
        return [item.digit for item in client.predict_stream(test_images[:64], batch_size=8)]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(digits, range(8))) == [expected] * 8
