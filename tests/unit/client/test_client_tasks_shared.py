"""How tasks share RPCs: what each RPC asks for, who gets which answer, and what ends the waiting."""

import asyncio
import re
from typing import Any

import grpc
import pytest

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import ClientClosed, Coalescing, DeadlineExceeded, DigitsError, ServerError
from digits_client._coalescing.calls import Kind
from digits_client._coalescing.tasks import TaskCoalescer

KIND = Kind(7, probabilities=False)
LONG = 30.0
"""Seconds of a timeout that never passes."""


class Server:
    """A gRPC method: notes what it is asked, and answers when the test says so."""

    def __init__(self) -> None:
        self.ended = 0
        """RPCs that were cancelled and have ended."""
        self.asked: asyncio.Queue[tuple[PredictRequest, float, asyncio.Future[PredictResponse]]] = asyncio.Queue()

    async def __call__(self, request: PredictRequest, **options: float) -> PredictResponse:
        reply: asyncio.Future[PredictResponse] = asyncio.get_running_loop().create_future()
        self.asked.put_nowait((request, options["timeout"], reply))
        try:
            return await reply
        except asyncio.CancelledError:
            for _ in range(5):  # an RPC does not end at once
                await asyncio.sleep(0)
            self.ended += 1
            raise

    async def next(self) -> tuple[PredictRequest, float, "asyncio.Future[PredictResponse]"]:
        return await asyncio.wait_for(self.asked.get(), LONG)


def answer(*digits: int) -> PredictResponse:
    return PredictResponse(digits=digits, confidences=[0.5] * len(digits), model_version=7)


def pixels(mark: int) -> bytes:
    return bytes([mark]) * 784


def started(coalescer: TaskCoalescer, mark: int, timeout: float = LONG) -> "asyncio.Task[Any]":
    return asyncio.create_task(coalescer.predict(pixels(mark), KIND, timeout))


async def one_alone_and_two_together(
    coalescer: TaskCoalescer, server: Server
) -> tuple[list["asyncio.Task[Any]"], "asyncio.Future[PredictResponse]"]:
    """Three calls, of which the first has been answered and the others are in flight; the reply they wait for."""
    first = started(coalescer, 1)
    request, timeout, reply = await server.next()
    assert (request.images, request.model_version, timeout) == (pixels(1), 7, LONG)
    tasks = [started(coalescer, 2), started(coalescer, 3, timeout=2 * LONG)]
    await asyncio.sleep(0)
    reply.set_result(answer(4))
    assert (await first).digit == 4
    request, timeout, reply = await server.next()
    assert (request.images, request.model_version) == (pixels(2) + pixels(3), 7)
    assert LONG < timeout <= 2 * LONG  # of the one that waits the longest
    return tasks, reply


async def test_each_caller_gets_the_answer_of_its_own_image() -> None:
    server = Server()
    coalescer = TaskCoalescer(server, Coalescing(rpcs_in_flight=1))
    tasks, reply = await one_alone_and_two_together(coalescer, server)
    reply.set_result(answer(5, 6))
    assert [(await task).digit for task in tasks] == [5, 6]
    stats = coalescer.stats()
    assert (stats.rpcs_sent, stats.rpcs_answered, stats.rpcs_failed, stats.rpcs_in_flight) == (2, 2, 0, 0)
    await coalescer.close()


async def test_a_shared_rpc_that_fails_gives_each_caller_an_error_of_its_own() -> None:
    server = Server()
    coalescer = TaskCoalescer(server, Coalescing(rpcs_in_flight=1))
    tasks, reply = await one_alone_and_two_together(coalescer, server)
    cause = RuntimeError("a fault of the library")
    reply.set_exception(cause)
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, ServerError)
    assert isinstance(second, ServerError)
    assert str(first) == str(second) == "INTERNAL: a fault of the library"
    assert first is not second
    assert first.__cause__ is second.__cause__ is cause
    assert coalescer.stats().rpcs_failed == 1
    await coalescer.close()


async def test_what_grpc_raises_becomes_the_error_that_the_client_makes_of_it() -> None:
    server, seen = Server(), []

    def failure(error: Any) -> DigitsError:
        seen.append(error)
        return ServerError("made here")

    coalescer = TaskCoalescer(server, Coalescing(rpcs_in_flight=1), failure)
    nothing = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, nothing, nothing, "details")
    alone = started(coalescer, 1)
    (await server.next())[2].set_exception(error)
    with pytest.raises(ServerError, match=r"^made here$"):
        await alone
    tasks, reply = await one_alone_and_two_together(coalescer, server)
    reply.set_exception(error)
    for task in tasks:
        with pytest.raises(ServerError, match=r"^made here$"):
            await task
    assert seen == [error] * 3
    await coalescer.close()


async def test_closing_fails_every_call_and_ends_the_rpcs() -> None:
    server = Server()
    coalescer = TaskCoalescer(server, Coalescing(rpcs_in_flight=1))
    tasks, reply = await one_alone_and_two_together(coalescer, server)
    waiting = started(coalescer, 4)
    await asyncio.sleep(0)
    await coalescer.close()
    assert reply.cancelled()
    assert server.ended == 1
    for task in (*tasks, waiting):
        with pytest.raises(ClientClosed):
            await task
    with pytest.raises(ClientClosed):
        await coalescer.predict(pixels(1), KIND, LONG)


async def test_a_channel_that_is_closed_below_a_call_is_no_cancellation_of_its_task() -> None:
    server = Server()
    coalescer = TaskCoalescer(server, Coalescing())
    task = started(coalescer, 1)
    _, _, reply = await server.next()
    await coalescer.close()
    reply.cancel()  # as gRPC does when its channel is closed
    with pytest.raises(ClientClosed):
        await task


async def test_an_rpc_that_fails_on_a_closed_channel_says_that_the_client_is_closed() -> None:
    coalescer = TaskCoalescer(Server(), Coalescing())
    await coalescer.close()
    error = ValueError("the channel is closed")
    made = coalescer._error(error)
    assert isinstance(made, ClientClosed)
    assert made.__cause__ is error


async def test_a_task_that_is_cancelled_is_cancelled_even_if_the_client_is_closed() -> None:
    server = Server()
    coalescer = TaskCoalescer(server, Coalescing())
    task = started(coalescer, 1)
    await server.next()
    await coalescer.close()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_whose_timeout_passes_in_flight_says_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    coalescer = TaskCoalescer(server, Coalescing(rpcs_in_flight=1))
    (first, second), _ = await one_alone_and_two_together(coalescer, server)
    loop = asyncio.get_running_loop()
    later = loop.time() + 1.5 * LONG
    monkeypatch.setattr(loop, "time", lambda: later)
    with pytest.raises(DeadlineExceeded) as caught:
        await first
    assert re.fullmatch(
        r"its RPC of 2 images was sent \d+(\.\d+)? seconds before and is not answered", str(caught.value.__cause__)
    )
    assert not second.done()
    await coalescer.close()
    with pytest.raises(ClientClosed):
        await second


async def test_a_call_behind_a_silent_rpc_leaves_without_it() -> None:
    server = Server()
    coalescer = TaskCoalescer(server, Coalescing())
    first, second = started(coalescer, 1), started(coalescer, 2)
    (_, _, silent), (request, _, reply) = await server.next(), await server.next()
    assert request.images == pixels(2)
    reply.set_result(answer(5))
    assert (await second).digit == 5
    third = started(coalescer, 3)  # the timer starts again
    (await server.next())[2].set_result(answer(6))
    assert (await third).digit == 6
    silent.set_result(answer(4))
    assert (await first).digit == 4
    await coalescer.close()


async def test_a_call_whose_timeout_passes_ends_alone() -> None:
    server = Server()
    coalescer = TaskCoalescer(server, Coalescing(rpcs_in_flight=1))
    first, short, long = started(coalescer, 1), started(coalescer, 2, timeout=0.01), started(coalescer, 3)
    _, _, reply = await server.next()
    with pytest.raises(DeadlineExceeded, match=r"^no answer within the timeout$") as caught:
        await short
    assert str(caught.value.__cause__) == "it waited in the client: 1 RPCs are in flight"
    assert not long.done()
    reply.set_result(answer(4))
    assert (await first).digit == 4
    request, _, reply = await server.next()
    assert request.images == pixels(3)
    reply.set_result(answer(5))
    assert (await long).digit == 5
    await coalescer.close()


async def test_an_rpc_that_no_caller_wants_any_longer_is_cancelled() -> None:
    server = Server()
    coalescer = TaskCoalescer(server, Coalescing(rpcs_in_flight=1))
    tasks, reply = await one_alone_and_two_together(coalescer, server)
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    assert not reply.done()
    tasks[1].cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(0)
    assert reply.cancelled()
    await coalescer.close()
