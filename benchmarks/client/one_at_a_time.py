"""One call at a time: the client and a bare stub, in turns within one process. `TARGET WORK.npz BLOCKS`."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.client.loop import work
from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_client import AsyncClient, Client

Image = NDArray[np.uint8]
CALLS = 100
"""Calls of a block. Blocks of both take turns, so that what the machine does meanwhile happens to both."""


def threads(target: str, images: Image, blocks: int) -> dict[str, float]:
    with grpc.insecure_channel(target) as channel, Client(target) as client:
        stub = PredictionServiceStub(channel)

        def bare(image: Image) -> int:
            return stub.Predict(PredictRequest(images=image.tobytes()), timeout=10).digits[0]

        def ours(image: Image) -> int:
            return client.predict(image).digit

        def block(ask: Callable[[Image], int]) -> list[float]:
            latencies = []
            for image in images[:CALLS]:
                begin = time.perf_counter()
                ask(image)
                latencies.append(time.perf_counter() - begin)
            return latencies

        return _compared([(block(bare), block(ours)) for _ in range(blocks)])


async def tasks(target: str, images: Image, blocks: int) -> dict[str, float]:
    async with grpc.aio.insecure_channel(target) as channel, AsyncClient(target) as client:
        stub = PredictionServiceStub(channel)

        async def bare(image: Image) -> int:
            reply = await stub.Predict(PredictRequest(images=image.tobytes()), timeout=10)
            return reply.digits[0]

        async def ours(image: Image) -> int:
            return (await client.predict(image)).digit

        async def block(ask: Callable[[Image], Awaitable[int]]) -> list[float]:
            latencies = []
            for image in images[:CALLS]:
                begin = time.perf_counter()
                await ask(image)
                latencies.append(time.perf_counter() - begin)
            return latencies

        return _compared([(await block(bare), await block(ours)) for _ in range(blocks)])


def _compared(blocks: list[tuple[list[float], list[float]]]) -> dict[str, float]:
    """Medians, the first block left out: it connects."""
    bare = [latency for first, _ in blocks[1:] for latency in first]
    ours = [latency for _, second in blocks[1:] for latency in second]
    return {
        "stub_p50_us": 1e6 * median(bare),
        "client_p50_us": 1e6 * median(ours),
        "ratio": median(median(second) / median(first) for first, second in blocks[1:]),
    }


def main(target: str, path: str, blocks: str) -> None:
    images = work(path, "1", "0").images
    figures = {
        "Client": threads(target, images, int(blocks)),
        "AsyncClient": asyncio.run(tasks(target, images, int(blocks))),
    }
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
