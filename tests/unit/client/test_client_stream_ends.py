"""Ends of streams that no server of ours causes: an unasked answer, a failure while reading, a closed loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import DigitsError, ServerError
from digits_client._calls.stream_tasks import TaskStream
from digits_client._calls.streams import Answers, End, read_replies
from digits_client._coalescing.calls import Kind
from digits_client._inputs.chunks import Chunk

KIND = Kind(0, probabilities=False)
ANSWER = PredictResponse(digits=[3], confidences=[0.5], model_version=1)
SECONDS = 30.0


def test_an_answer_without_a_request_ends_the_stream() -> None:
    with pytest.raises(ServerError, match="an answer without a request"):
        Answers(KIND, SECONDS).take(ANSWER)


def wrapped(error: Exception) -> DigitsError:
    return ServerError(str(error))


def test_replies_are_passed_on_and_a_failure_after_them_too() -> None:
    def replies() -> Iterator[PredictResponse]:
        yield ANSWER
        raise ValueError("the channel is closed")

    events: list[Any] = []
    read_replies(replies(), wrapped, events.append)
    reply, end = events
    assert reply is ANSWER
    assert str(end.failure) == "the channel is closed"
    with pytest.raises(ServerError, match="the channel is closed"):
        Answers(KIND, SECONDS).take(end)


def test_the_end_of_the_replies_is_passed_on_without_a_failure() -> None:
    events: list[Any] = []
    read_replies(iter([ANSWER]), wrapped, events.append)
    assert isinstance(events[-1], End)
    assert events[-1].failure is None


class LateCall:
    """An RPC whose one reply comes when the test says so."""

    def __init__(self) -> None:
        self.go, self.read_on = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[PredictResponse]:
        assert self.go.wait(SECONDS)
        yield ANSWER
        self.read_on.set()  # the reply has been passed on without an error

    def cancel(self) -> None:
        """It goes on: gRPC may have a reply in hand when it is cancelled."""


def test_a_reply_that_comes_after_the_event_loop_was_closed_is_dropped() -> None:
    call = LateCall()

    async def begin(_: Iterator[PredictRequest]) -> LateCall:
        return call

    async def nothing() -> AsyncGenerator[Chunk, None]:
        await asyncio.Event().wait()
        yield Chunk(0, 1, PredictRequest(), 1)

    async def leave_early() -> None:
        parts = TaskStream(begin, wrapped, KIND, SECONDS).parts(nothing())
        waiting = asyncio.ensure_future(anext(parts))
        for _ in range(3):  # until it waits for an event
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(leave_early())
    call.go.set()
    assert call.read_on.wait(SECONDS)
