"""One contender that calls a Digits server: `NAME TARGET WORK.npz IN_FLIGHT SECONDS`."""

import asyncio
import sys

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.client.loop import Work, measure, work
from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_client import AsyncClient, Coalescing


async def with_client(target: str, todo: Work, coalescing: Coalescing | None) -> None:
    async with AsyncClient(target, coalescing=coalescing) as client:

        async def ask(image: NDArray[np.uint8]) -> int:
            return (await client.predict(image)).digit

        await measure(ask, todo)


async def with_stub(target: str, todo: Work) -> None:
    """What generated code and grpc.aio give anyone."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = PredictionServiceStub(channel)

        async def ask(image: NDArray[np.uint8]) -> int:
            reply = await stub.Predict(PredictRequest(images=image.tobytes()), timeout=10)
            return reply.digits[0]

        await measure(ask, todo)


def main(name: str, target: str, *asked: str) -> None:
    todo = work(*asked)
    if name == "stub":
        asyncio.run(with_stub(target, todo))
    else:
        asyncio.run(with_client(target, todo, Coalescing() if name == "coalescing" else None))


if __name__ == "__main__":
    main(*sys.argv[1:])
