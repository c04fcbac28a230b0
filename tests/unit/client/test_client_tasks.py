"""Moments of an event loop that a test cannot cause with sockets."""

import asyncio
from typing import Any

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import Coalescing
from digits_client._coalescing.calls import Kind
from digits_client._coalescing.tasks import TaskCoalescer

KIND = Kind(0, probabilities=False)
ANSWER = PredictResponse(digits=[3], confidences=[0.5], model_version=1)
DEADLINE = 10.0


class Held:
    """A gRPC method that answers when the test says so."""

    def __init__(self) -> None:
        self.replies: asyncio.Queue[asyncio.Future[PredictResponse]] = asyncio.Queue()

    async def __call__(self, _request: PredictRequest, **_settings: float) -> PredictResponse:
        reply: asyncio.Future[PredictResponse] = asyncio.get_running_loop().create_future()
        self.replies.put_nowait(reply)
        return await reply


async def test_an_rpc_cancelled_before_its_first_step_gives_its_place_free() -> None:
    """In one turn of the loop, the last RPC returns and the only caller that waits for the next RPC is cancelled."""
    held = Held()
    coalescer = TaskCoalescer(held, Coalescing(rpcs_in_flight=1))

    def call() -> "asyncio.Task[Any]":
        return asyncio.create_task(coalescer.predict(bytes(784), KIND, DEADLINE))

    first, second = call(), call()
    reply = await held.replies.get()
    reply.set_result(ANSWER)
    second.cancel()
    assert (await first).digit == 3
    third = call()
    reply = await asyncio.wait_for(held.replies.get(), DEADLINE / 2)
    reply.set_result(ANSWER)
    assert (await third).digit == 3
    assert second.cancelled()
    await coalescer.close()
