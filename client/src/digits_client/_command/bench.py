"""Measures a server through the client: closed loop (N calls at once) or open loop (N calls a second)."""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from math import ceil

import numpy as np
from numpy.typing import NDArray

from digits_client._async import AsyncClient
from digits_client._command.digits import drawn_digits
from digits_client._errors import DigitsError

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
MOST_OUTSTANDING = 10_000
"""Most unanswered calls of the open loop: with more, the server is far too slow for the rate."""

MOST_RATE = 1_000_000
"""Highest rate, in calls a second: far more than any process can begin."""

LATEST_SECONDS = 1.0
"""Time after the end of the open loop in which calls that were due before the end may still begin."""


@dataclass(kw_only=True, slots=True)
class Load:
    """The settings of a run.

    seconds          how long calls are begun
    in_flight        calls at once, in the closed loop
    rate             calls a second, evenly spaced whatever the server does; None: closed loop
    images_per_call  1: `predict`; more: `predict_batch`
    """

    seconds: float
    in_flight: int
    rate: float | None
    images_per_call: int


@dataclass(slots=True)
class Run:
    """The results of a run.

    seconds    from the first call to the last answer
    latencies  seconds of each answered call, in order of arrival; in the open loop counted from when the call was due,
               so that a stalled server cannot hide the calls it delayed
    errors     how many calls failed, by the name of the error
    due        calls that the open loop was to begin; 0 in the closed loop
    late       those of them that were never begun because this process had no time for them
    unsent     those that were not begun because MOST_OUTSTANDING were unanswered
    """

    images_per_call: int
    seconds: float = 0.0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    errors: Counter[str] = field(default_factory=Counter)
    due: int = 0
    late: int = 0
    unsent: int = 0

    @property
    def calls_per_second(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def images_per_second(self) -> float:
        return self.calls_per_second * self.images_per_call

    def shortfall(self) -> str | None:
        """Why the open loop did not begin every call, in a sentence; None: it did."""
        if not self.late + self.unsent:
            return None
        reasons = {
            f"this process had no time for {self.late:,} of them": self.late,
            f"{self.unsent:,} of them were due while {MOST_OUTSTANDING:,} calls had no answer": self.unsent,
        }
        begun = self.due - self.late - self.unsent
        return (
            f"the rate was not reached: {begun:,} of {self.due:,} calls were begun; "
            f"{' and '.join(reason for reason, count in reasons.items() if count)}"
        )

    def percentile(self, percent: float) -> float:
        """The latency in seconds that `percent` of the answered calls do not exceed: the nearest rank."""
        ordered = sorted(self.latencies)
        return ordered[max(0, ceil(percent / 100 * len(ordered)) - 1)]


async def measure(client: AsyncClient, load: Load) -> Run:
    """Waits until the server is ready, calls once to connect, then measures.

    Raises the errors of the first two steps.
    """
    call = caller(client, load.images_per_call)
    await client.wait_ready()
    await call()
    run = Run(load.images_per_call)
    begin = time.perf_counter()
    if load.rate is None:
        await closed_loop(call, load, run)
    else:
        await open_loop(call, load.rate, load.seconds, run)
    run.seconds = time.perf_counter() - begin
    return run


def caller(client: AsyncClient, images_per_call: int) -> Callable[[], Awaitable[object]]:
    """A call with its own images: drawn digits, each as often as the others.

    A live server counts them like any others. The same image each time would be reported as drift.
    """
    digits = drawn_digits()
    in_turn = np.resize(digits, (images_per_call + len(digits), 28, 28))
    calls = count()

    def images() -> NDArray[np.uint8]:
        first = next(calls) * images_per_call % len(digits)
        part: NDArray[np.uint8] = in_turn[first : first + images_per_call]
        return part

    if images_per_call == 1:
        return lambda: client.predict(images()[0])
    return lambda: client.predict_batch(images())


async def closed_loop(call: Callable[[], Awaitable[object]], load: Load, run: Run) -> None:
    """Each of `in_flight` callers calls again as soon as it is answered."""
    end = time.perf_counter() + load.seconds

    async def caller() -> None:
        while (begin := time.perf_counter()) < end:
            await _one(call, begin, run)

    await asyncio.gather(*(caller() for _ in range(load.in_flight)))


async def open_loop(call: Callable[[], Awaitable[object]], rate: float, seconds: float, run: Run) -> None:
    """Calls when they are due, answered or not: what independent users do. Begins none long after the end."""
    begin = time.perf_counter()
    outstanding: set[asyncio.Task[None]] = set()
    run.due = ceil(rate * seconds)
    for number in range(run.due):
        due = begin + number / rate
        if (early := due - (now := time.perf_counter())) > 0:
            await asyncio.sleep(early)
        elif now >= begin + seconds + LATEST_SECONDS:
            run.late = run.due - number
            break
        elif number % 16 == 0:
            await asyncio.sleep(0)  # behind: answers must still be taken
        if len(outstanding) >= MOST_OUTSTANDING:
            run.unsent += 1
            continue
        task = asyncio.create_task(_one(call, due, run))
        outstanding.add(task)
        task.add_done_callback(outstanding.discard)
    await asyncio.gather(*outstanding)


async def _one(call: Callable[[], Awaitable[object]], begin: float, run: Run) -> None:
    try:
        await call()
    except DigitsError as error:
        run.errors[type(error).__name__] += 1
    else:
        run.latencies.append(time.perf_counter() - begin)
