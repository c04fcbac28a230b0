"""Callers that leave at any moment take nothing from those who stay: no answer, no time, no place in the queue."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from grpc import aio
from numpy.typing import NDArray
from support.calls.rpc import DEADLINE
from support.records import Record
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

CALLS, CALLS_IN_FULL = 800, 10_000
CANCELLED_SHARE = 0.3
LATEST_SECONDS = 0.05  # after which a call that is to be cancelled is
SIZES = (1, 1, 1, 2, 7, 32, 33, 150, 500, 1500)  # images; the largest takes two batches
CONNECTIONS = 6
OF_ITS_OWN = [("grpc.use_local_subchannel_pool", 1)]
AT_ONCE = 48
IMAGES = 2000
TOLERANCE = 1e-5
PREDICT = {"grpc_service": "digits.v1.PredictionService", "grpc_method": "Predict"}


@dataclass
class Tally:
    """The outcomes of the calls, and the largest difference of a probability from that of the image alone."""

    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    difference: float = 0.0


def probabilities(reply: PredictResponse, count: int) -> NDArray[np.float32]:
    return np.array(reply.probabilities, np.float32).reshape(count, 10)


async def alone(stub: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The answer to each image in a separate request, one after the other: float32[N, 10]."""
    rows = []
    for image in images:
        request = PredictRequest(images=image.tobytes(), include_probabilities=True)
        rows.append(probabilities(await stub.Predict(request, timeout=DEADLINE), 1))
    return np.concatenate(rows)


async def one_call(
    stub: Any,
    images: NDArray[np.uint8],
    expected: NDArray[np.float32],
    leaves_after: float | None,
    tally: Tally,
) -> None:
    call = stub.Predict(PredictRequest(images=images.tobytes(), include_probabilities=True), timeout=DEADLINE)
    if leaves_after is not None:
        asyncio.get_running_loop().call_later(leaves_after, call.cancel)
    try:
        found = probabilities(await call, len(images))
    except asyncio.CancelledError:
        tally.ends["cancelled"] += 1
        return
    except grpc.RpcError as error:
        tally.wrong.append(str(error))
        return
    tally.ends["answered"] += 1
    difference = float(np.abs(found - expected).max())
    tally.difference = max(tally.difference, difference)
    if difference > TOLERANCE:
        tally.wrong.append(f"{len(images)} images: a probability is off by {difference}")


async def many_calls(server: ServerProcess, images: NDArray[np.uint8], calls: int) -> Tally:
    """`calls` calls over several connections, some of which leave; returns when all have ended."""
    choose = random.Random(7)
    tally = Tally()
    channels = [aio.insecure_channel(server.target, OF_ITS_OWN) for _ in range(CONNECTIONS)]
    stubs: list[Any] = [PredictionServiceStub(channel) for channel in channels]  # awaitable here; their types are sync
    expected = await alone(stubs[0], images)
    places = asyncio.Semaphore(AT_ONCE)

    async def call() -> None:
        count = choose.choice(SIZES)
        first = choose.randrange(len(images) - count)
        leaves_after = choose.uniform(0, LATEST_SECONDS) if choose.random() < CANCELLED_SHARE else None
        chosen = slice(first, first + count)
        async with places:
            await one_call(choose.choice(stubs), images[chosen], expected[chosen], leaves_after, tally)

    async with asyncio.timeout(20 * DEADLINE), asyncio.TaskGroup() as tasks:
        for _ in range(calls):
            tasks.create_task(call())
    for channel in channels:
        await channel.close()
    return tally


def in_flight(server: ServerProcess) -> float:
    started = server.metric("grpc_server_started_total", **PREDICT)
    return started - server.metric("grpc_server_handled_total", **PREDICT)


async def test_callers_that_leave_at_random_cost_the_others_nothing(
    server: ServerProcess, test_images: NDArray[np.uint8], full: bool, record: Record
) -> None:
    calls = CALLS_IN_FULL if full else CALLS
    tally = await many_calls(server, test_images[:IMAGES], calls)
    hung = calls - tally.ends.total() - len(tally.wrong)
    record(
        f"{calls:,} calls, {CANCELLED_SHARE:.0%} told to leave: left, hung, failed or wrong",
        f"{tally.ends['cancelled']:,}, {hung}, {len(tally.wrong)}",
        met=not hung and not tally.wrong,
    )
    record(
        "an answer out of any batch: furthest from that of the image alone (1e-5)",
        f"{tally.difference:.1e}",
        met=tally.difference <= TOLERANCE,
    )
    assert tally.wrong == []
    assert hung == 0
    assert tally.ends["cancelled"] > 0.1 * CANCELLED_SHARE * calls
    until(lambda: in_flight(server) == 0, "no call is under way")
    until(lambda: server.metric("digits_queue_images") == 0, "the queue is empty")
