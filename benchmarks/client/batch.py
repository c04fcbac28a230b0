"""All of MNIST in one call: images/s of `predict_batch(uint8[70000, 28, 28])`. `TARGET REPEATS`."""

import asyncio
import json
import sys
import time
from statistics import median

import numpy as np

from digits_client import AsyncClient, Client
from digits_training.data import read

SECONDS = 60.0
"""Deadline of one call."""


async def asynchronous(target: str, images: np.ndarray, repeats: int) -> list[float]:
    async with AsyncClient(target, timeout=SECONDS) as client:
        rates = []
        for _ in range(repeats):
            begin = time.perf_counter()
            await client.predict_batch(images)
            rates.append(len(images) / (time.perf_counter() - begin))
        return rates


def synchronous(target: str, images: np.ndarray, repeats: int) -> list[float]:
    with Client(target, timeout=SECONDS) as client:
        rates = []
        for _ in range(repeats):
            begin = time.perf_counter()
            client.predict_batch(images)
            rates.append(len(images) / (time.perf_counter() - begin))
        return rates


def main(target: str, repeats: str) -> None:
    data = read(None)
    images = np.concatenate([data.train.images, data.test.images])
    figures = {
        "Client": median(synchronous(target, images, int(repeats))),
        "AsyncClient": median(asyncio.run(asynchronous(target, images, int(repeats)))),
    }
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
