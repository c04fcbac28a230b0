"""Streams, queued work and HTTP calls that end before their time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from starlette.datastructures import Headers
from starlette.requests import Request
from support.waiting import until_cancelled

from digits_server.errors import Unavailable
from digits_server.service.offload import Offload
from digits_server.service.read_ahead import ReadAhead, Window
from digits_server.service.streaming import in_order, until
from digits_server.web.calls import HttpCall, while_connected
from digits_server.web.interceptors import WatchedRequest

SECONDS = 10.0


def window() -> Window:
    return ReadAhead(4, 1000, 1000).of("a connection")


async def same(number: int) -> int:
    return number


async def test_a_request_that_cannot_be_read_ends_the_stream_after_the_answers_before_it() -> None:
    async def requests() -> AsyncIterator[int]:
        yield 1
        raise ValueError("not a message")

    answers = in_order(requests(), same, window=window(), draining=asyncio.Event())
    assert await anext(answers) == 1
    with pytest.raises(ValueError, match="not a message"):
        await anext(answers)


async def test_a_caller_that_leaves_cancels_the_answers_in_work() -> None:
    begun, cancelled = asyncio.Queue[int](), list[int]()

    async def requests() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async def answer(number: int) -> int:
        if number:
            begun.put_nowait(number)
            await until_cancelled(number, cancelled)
        return number

    answers = in_order(requests(), answer, window=window(), draining=asyncio.Event())
    assert await anext(answers) == 0
    for _ in range(2):
        await asyncio.wait_for(begun.get(), SECONDS)
    await answers.aclose()
    assert cancelled == [1, 2]


async def test_a_silent_stream_ends_when_the_server_drains() -> None:
    async def silent() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    draining = asyncio.Event()
    requests = until(draining, silent())
    assert await anext(requests) == 1
    draining.set()
    with pytest.raises(Unavailable, match="draining"):
        await asyncio.wait_for(anext(requests), SECONDS)


async def test_a_patient_message_waits_for_a_place_where_another_is_refused() -> None:
    offload = Offload("test", max_bytes=100)
    first = asyncio.create_task(offload.run(int, peer=1, size=80, deadline=None))
    await asyncio.sleep(0)
    patient = asyncio.create_task(offload.run(lambda: 7, peer=2, size=80, deadline=None, patient=True))
    await asyncio.sleep(0)
    assert offload.held_bytes == 80
    answers = await asyncio.wait_for(asyncio.gather(first, patient), SECONDS)
    assert tuple(answers) == (0, 7)
    offload.close()


class Abrupt(Offload):
    """The caller `leaving` leaves in the moment in which its turn comes."""

    leaving: "asyncio.Task[int] | None" = None

    def _next(self) -> None:
        super()._next()
        if self.leaving and self._working:
            self.leaving.cancel()
            self.leaving = None


async def test_a_caller_that_leaves_when_its_turn_comes_passes_the_turn_on() -> None:
    offload = Abrupt("test", max_bytes=100)
    first = asyncio.create_task(offload.run(int, peer=1, size=1, deadline=None))
    leaving = asyncio.create_task(offload.run(int, peer=2, size=1, deadline=None))
    await asyncio.sleep(0)
    assert offload.held_bytes == 2
    offload.leaving = leaving
    assert await asyncio.wait_for(first, SECONDS) == 0
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert offload.held_bytes == 0
    assert await asyncio.wait_for(offload.run(lambda: 7, peer=3, size=1, deadline=None), SECONDS) == 7
    offload.close()


HEADERS = [(b"x-request-id", b"first"), (b"x-request-id", b"last")]


def scope() -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "headers": HEADERS}


@pytest.mark.parametrize("call", [HttpCall(None, None, Headers(raw=HEADERS)), WatchedRequest(scope())])
def test_the_last_header_of_a_name_counts(call: HttpCall | WatchedRequest) -> None:
    assert call.metadata("x-request-id") == "last"
    assert call.metadata("authorization") is None


async def test_work_that_the_server_cancels_is_unavailable_to_its_caller() -> None:
    async def receive() -> Any:
        await asyncio.Event().wait()

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(Unavailable, match="draining"):
        await while_connected(Request(scope(), receive), cancelled(), asyncio.get_running_loop().time() + SECONDS)


async def test_an_untraced_submission_makes_no_span() -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from digits_server.batching.batch_costs import BatchCosts
    from digits_server.observability.metrics import Metrics
    from digits_server.observers.tracing import PREDICTING, TracedBatcher

    exported, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    tracer = provider.get_tracer("test")

    def predict(images: Any) -> Any:
        return np.full((len(images), 10), 0.1, np.float32)

    costs = BatchCosts({1: 1.0, 2: 1.0})
    batcher = TracedBatcher(predict, Metrics(), costs, max_batch_size=2, max_queue_size=2, tracer=tracer)
    image = np.zeros((1, 28, 28), np.uint8)
    assert (await batcher.submit(image)).shape == (1, 10)
    assert exported.get_finished_spans() == ()
    PREDICTING.set(tracer.start_span("call"))
    await batcher.submit(image)
    assert {span.name for span in exported.get_finished_spans()} == {"queue", "batch", "compute"}
    await batcher.close()
    provider.shutdown()
