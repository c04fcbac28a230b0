"""The closed loop that every asynchronous contender runs in. It needs only NumPy."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.figures import percentile

Ask = Callable[[NDArray[np.uint8]], Awaitable[int]]
"""uint8[28, 28] → the digit."""

WARM_UP_SHARE = 0.2
"""Share of the measured time: both sides connect, and run every line once."""


@dataclass(frozen=True)
class Work:
    """The images to send, how many at a time, for how long.

    images     uint8[N, 28, 28], asked about in turn
    digits     uint8[N], what the published network answers
    in_flight  calls at once: each caller sends the next call as soon as the last is answered
    seconds    how long new calls are started
    """

    images: NDArray[np.uint8]
    digits: NDArray[np.uint8]
    in_flight: int
    seconds: float


def work(path: str, in_flight: str, seconds: str) -> Work:
    """The work of a command line; `path` is an .npz with `images` and `digits`."""
    with np.load(Path(path)) as arrays:
        return Work(arrays["images"], arrays["digits"], int(in_flight), float(seconds))


async def measure(ask: Ask, todo: Work) -> None:
    """Warms up, measures, prints one line of JSON. An answer that is not the network's ends it."""
    await _run(ask, todo, todo.seconds * WARM_UP_SHARE)
    cpu = time.process_time()
    begin = time.perf_counter()
    latencies = await _run(ask, todo, todo.seconds)
    elapsed = time.perf_counter() - begin
    report(latencies, elapsed, time.process_time() - cpu)


def check(todo: Work, place: int, digit: int) -> None:
    """Ends the run when an answer is not the network's."""
    if digit != todo.digits[place]:
        raise AssertionError(f"image {place}: expected {todo.digits[place]}, got {digit}")


def report(latencies: list[float], elapsed: float, cpu: float) -> None:
    """One line of JSON, of seconds."""
    figures = {
        "images_per_second": len(latencies) / elapsed,
        "p50_ms": 1000 * median(latencies),
        "p99_ms": 1000 * percentile(sorted(latencies), 0.99),
        "cpu_us": 1e6 * cpu / len(latencies),
    }
    json.dump(figures, sys.stdout)


async def _run(ask: Ask, todo: Work, seconds: float) -> list[float]:
    latencies: list[float] = []
    following = 0
    end = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal following
        while (begin := time.perf_counter()) < end:
            place = following % len(todo.images)
            following += 1
            digit = await ask(todo.images[place])
            latencies.append(time.perf_counter() - begin)
            check(todo, place, digit)

    await asyncio.gather(*(caller() for _ in range(todo.in_flight)))
    return latencies
