"""An overload: the calls beyond a server's capacity, their outcome, and the rows in the table."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

import numpy as np

from support.load.ledger import CANCELLED, DEADLINE_EXCEEDED, OK, RESOURCE_EXHAUSTED, UNAVAILABLE
from support.load.open_loop import Offer, Outcomes, offered
from support.records import Record
from support.servers.process import ServerProcess

LOAD_CORE = max(os.sched_getaffinity(0))
DEADLINE = 0.1  # seconds of each call, and the objective that the 99th percentile has to meet
NAMES = {
    RESOURCE_EXHAUSTED: "RESOURCE_EXHAUSTED",
    CANCELLED: "CANCELLED",
    UNAVAILABLE: "UNAVAILABLE",
    DEADLINE_EXCEEDED: "nothing in time",
}
QUEUE = 2000  # images
STEP = 1.1
PROMISED = {2: 0.9, 5: 0.8}  # of the capacity that is answered in time, at each multiple of it
REFUSED = {RESOURCE_EXHAUSTED, CANCELLED, UNAVAILABLE}
"""Statuses of refused calls. CANCELLED: grpcio's core refused the call before Python saw it. UNAVAILABLE: the stream
was opened before the server had seen the reset of another one (grpcio), or a connection was closed or refused
(Envoy)."""


@dataclass(frozen=True)
class Calls:
    """The load of an overload.

    images        of each call
    least_rate    calls a second at which the search for the capacity begins
    assumed_rate  the same, where the capacity is not looked for
    least_goodput of the capacity, at each multiple of it, that a full run has to see
    """

    name: str
    images: int
    least_rate: float
    assumed_rate: float
    least_goodput: dict[int, float]


@contextmanager
def watched(server: ServerProcess) -> Iterator[list[float]]:
    """Watches the queue until the end of the context; yields its lengths, in images."""
    seen: list[float] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.1):
            seen.append(server.metric("digits_queue_images"))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def offer(server: ServerProcess, rate: float, seconds: float, images: int = 1, connections: int = 8) -> Offer:
    return Offer(server.target, rate, seconds, DEADLINE, images=images, connections=connections, core=LOAD_CORE)


def percentile(seconds: "np.ndarray[tuple[int], np.dtype[np.float64]]", share: float) -> float:
    """In milliseconds; 0 if there are no values."""
    return float(np.percentile(seconds, share)) * 1000 if len(seconds) else 0.0


def is_normal(outcomes: Outcomes) -> bool:
    """No error, and the 99th percentile within the objective."""
    return set(outcomes.status) <= {OK} and percentile(outcomes.latency, 99) <= DEADLINE * 1000


def capacity(server: ServerProcess, calls: Calls, seconds: float | None, rate: float) -> float:
    """The highest rate, from `rate` on, at which the server is normal; a stall of the machine is forgiven twice."""
    if seconds is None:
        return calls.assumed_rate
    while any(is_normal(offered(offer(server, rate * STEP, seconds, calls.images))) for _ in range(3)):
        rate *= STEP
    return rate


def computed_in_vain(server: ServerProcess) -> float:
    """Images that the model computed, but that answered no caller."""
    samples = server.samples()
    answered = sum(value for (name, _), value in samples.items() if name == "digits_predictions_total")
    return samples["digits_batch_size_sum", frozenset()] - answered


def cpu_seconds(server: ServerProcess) -> float:
    """CPU time of the server's process: user and system time, the 14th and 15th fields of proc(5)'s stat."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Overload:
    """The result of an overload.

    goodput  answered in time, of the capacity
    in_vain  images whose callers left while they were computed
    share    of its core that the server had: on a machine that others use too, not all
    """

    outcomes: Outcomes
    goodput: float
    in_vain: float
    share: float

    def answered(self) -> Outcomes:
        return self.outcomes.having(OK)

    def refused(self) -> Outcomes:
        return self.outcomes.among(REFUSED)


def overload(server: ServerProcess, calls: Calls, most: float, times: int, seconds: float) -> Overload:
    """Offers `times` the capacity `most`.

    On any machine the queue must be bounded, and every call must end in an expected status.
    """
    vain, cpu, begun = computed_in_vain(server), cpu_seconds(server), monotonic()
    with watched(server) as queue:
        outcomes = offered(offer(server, times * most, seconds, calls.images))
    share = (cpu_seconds(server) - cpu) / (monotonic() - begun)
    assert set(outcomes.status) <= {OK, DEADLINE_EXCEEDED, *REFUSED}
    assert not np.isnan(outcomes.having(RESOURCE_EXHAUSTED).pushback).any()
    assert max(queue, default=0) <= QUEUE
    in_time = float((outcomes.having(OK).latency <= DEADLINE).sum())
    return Overload(outcomes, in_time / seconds / most, computed_in_vain(server) - vain, share)


def record_overload(record: Record, calls: Calls, times: int, rounds: list[Overload]) -> None:
    """Rows of the table: medians of the rounds, and what was counted in all of them together."""

    def row(promise: str, figure: str, met: bool = True) -> None:
        record(f"{calls.name}, {times} C: {promise}", figure, met=met)

    def p99(of: Callable[[Overload], Outcomes]) -> float:
        return median(percentile(of(each).latency, 99) for each in rounds)

    goodput = median(each.goodput for each in rounds)
    every = ", ".join(f"{each.goodput:.0%}" for each in rounds)
    row(
        f"answered in time, of C (at least {PROMISED[times]:.0%})",
        f"{goodput:.0%} ({every})",
        goodput >= PROMISED[times],
    )
    accepted, refused = p99(Overload.answered), p99(Overload.refused)
    row(
        f"p99 of what is answered (at most {DEADLINE * 1000:.0f} ms)", f"{accepted:.0f} ms", accepted <= DEADLINE * 1000
    )
    row("p99 of refusals (at most 20 ms)", f"{refused:.0f} ms", refused <= 20)
    since_left = median(percentile(each.refused().since_left(), 99) for each in rounds)
    row("the same without what their callers held back", f"{since_left:.0f} ms", since_left <= 20)
    told = Counter(status for each in rounds for status in each.outcomes.status.tolist())
    row("what they say", ", ".join(f"{told[status]:,} {name}" for status, name in NAMES.items() if told[status]))
    unanswered = told[DEADLINE_EXCEEDED]
    row(
        "neither answered nor refused before the deadline (none)",
        f"{unanswered:,} of {told.total():,}",
        unanswered == 0,
    )
    in_vain = sum(each.in_vain for each in rounds)
    row("images whose callers left while they were computed; answered", f"{in_vain:.0f}; {told[OK] * calls.images:,}")
    shares = ", ".join(f"{each.share:.0%}" for each in rounds)
    row("what the server had of its core; the rest went to others", shares)
