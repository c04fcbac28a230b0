"""More calls than the server can answer: it goes on answering what it can, and says no to the rest at once.

Calls are single images, for which the transport is the bottleneck, not the model: the harder case. They leave on a
schedule that waits for no answer, and every one has a deadline.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from support.open_loop import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    OK,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    Offer,
    Outcomes,
    begin,
    collect,
    offered,
)
from support.records import Record
from support.servers import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

pytestmark = OVER_BOTH_TRANSPORTS

SERVER_CORE, LOAD_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
DEADLINE = 0.1  # seconds of each call, and the objective that the 99th percentile has to meet
NAMES = {8: "RESOURCE_EXHAUSTED", 1: "CANCELLED", 14: "UNAVAILABLE", 4: "nothing in time"}
MAX_CALLS = 100  # a tenth of a second at most, over either transport
QUEUE = 2000  # images
LEAST_RATE = 500.0  # calls a second at which the search for the capacity begins
STEP = 1.25
ASSUMED_RATE = 2500.0  # where the capacity is not looked for
GREEDY_RATE, MODEST_RATE = 15_000.0, 20.0
REFUSED = {RESOURCE_EXHAUSTED, CANCELLED, UNAVAILABLE}
"""How callers are told no. CANCELLED is what grpcio's core says where Python is not asked. UNAVAILABLE is a stream
opened before the server had seen the reset of another (grpcio), or a connection closed for its many resets (Envoy)."""


@dataclass(frozen=True)
class Lengths:
    """Seconds of one step of the search for the capacity (None: it is not looked for), and of each overload."""

    step: float | None
    overload: float


@pytest.fixture
def lengths(full: bool) -> Lengths:
    return Lengths(1.0, 8.0) if full else Lengths(None, 1.0)


@pytest.fixture
def server(repository: Path) -> Iterator[ServerProcess]:
    bounds = ["--max-calls", str(MAX_CALLS), "--max-queue-size", str(QUEUE)]
    with ServerProcess("--repository", repository, *bounds) as server:
        for task in Path(f"/proc/{server.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {SERVER_CORE})
        yield server.wait_ready()


@contextmanager
def watched(server: ServerProcess) -> Iterator[list[float]]:
    """Looks at the queue until the end of the context; yields what it saw, in images."""
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


def offer(server: ServerProcess, rate: float, seconds: float, connections: int = 8) -> Offer:
    return Offer(server.target, rate, seconds, DEADLINE, connections=connections, core=LOAD_CORE)


def percentile(seconds: "np.ndarray[tuple[int], np.dtype[np.float64]]", share: float) -> float:
    """Milliseconds; 0 where there are none."""
    return float(np.percentile(seconds, share)) * 1000 if len(seconds) else 0.0


def is_normal(outcomes: Outcomes) -> bool:
    """No error, and the 99th percentile within the objective."""
    return set(outcomes.status) <= {OK} and percentile(outcomes.latency, 99) <= DEADLINE * 1000


def capacity(server: ServerProcess, seconds: float | None) -> float:
    """The highest rate of the search at which the server is normal; a stall of the machine is forgiven twice."""
    if seconds is None:
        return ASSUMED_RATE
    rate = LEAST_RATE
    while any(is_normal(offered(offer(server, rate * STEP, seconds))) for _ in range(3)):
        rate *= STEP
    return rate


def computed_in_vain(server: ServerProcess) -> float:
    """Images that went through the model and answered nobody."""
    samples = server.samples()
    answered = sum(value for (name, _), value in samples.items() if name == "digits_predictions_total")
    return samples["digits_batch_size_sum", frozenset()] - answered


def cpu_seconds(server: ServerProcess) -> float:
    """What the server's process has used: user and system time, the 14th and 15th fields of proc(5)'s stat."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_more_calls_than_can_be_answered_leave_the_server_answering(
    server: ServerProcess, lengths: Lengths, full: bool, record: Record
) -> None:
    most = capacity(server, lengths.step)
    record("capacity C: calls a second, one image each", f"{most:,.0f}")
    goodputs = {}
    for times, promised in ((2, 0.9), (5, 0.8)):
        vain, cpu, begun = computed_in_vain(server), cpu_seconds(server), monotonic()
        with watched(server) as queue:
            outcomes = offered(offer(server, times * most, lengths.overload))
        share = (cpu_seconds(server) - cpu) / (monotonic() - begun)
        record(f"at {times} C: what the server had of its core; the rest went to others", f"{share:.0%}")
        answered, refused = outcomes.having(OK), outcomes.status != OK
        assert set(outcomes.status) <= {OK, DEADLINE_EXCEEDED, *REFUSED}
        assert not np.isnan(outcomes.having(RESOURCE_EXHAUSTED).pushback).any()
        assert max(queue, default=0) <= QUEUE
        goodputs[times] = float((answered.latency <= DEADLINE).sum()) / lengths.overload / most
        record(
            f"at {times} C: answered in time, of C (at least {promised:.0%})",
            f"{goodputs[times]:.0%}",
            met=goodputs[times] >= promised,
        )
        accepted = percentile(answered.latency, 99)
        record(
            f"at {times} C: p99 of what is answered (at most {DEADLINE * 1000:.0f} ms)",
            f"{accepted:.0f} ms",
            met=accepted <= DEADLINE * 1000,
        )
        said_no = outcomes.latency[refused & (outcomes.status != DEADLINE_EXCEEDED)]
        rejected = percentile(said_no, 99)
        record(f"at {times} C: p99 of refusals (at most 20 ms)", f"{rejected:.0f} ms", met=rejected <= 20)
        told = Counter(outcomes.status[refused].tolist())
        figure = ", ".join(f"{told[status]:,} {name}" for status, name in NAMES.items() if told[status])
        record(f"at {times} C: what the others are told", figure)
        late = told[DEADLINE_EXCEEDED] / len(outcomes.status)
        record(f"at {times} C: neither answered nor refused before the deadline (none)", f"{late:.1%}", met=late == 0)
        vain = computed_in_vain(server) - vain
        record(
            f"at {times} C: images computed for callers who had gone meanwhile, of those answered (0)",
            f"{vain:.0f} of {len(answered.status):,}",
            met=vain == 0,
        )
    begun = monotonic()
    until(lambda: is_normal(offered(offer(server, most / 2, 0.5))), "the server is back to normal")
    seconds = monotonic() - begun
    record("back to normal after 5 C (at most 5 s)", f"{seconds:.1f} s", met=seconds <= 5)
    until(lambda: server.metric("digits_queue_images") == 0, "the queue is empty")
    if full:
        assert goodputs[2] >= 0.5


def test_a_greedy_connection_does_not_starve_a_modest_one(
    server: ServerProcess, lengths: Lengths, record: Record
) -> None:
    greedy = begin(offer(server, GREEDY_RATE, lengths.overload, connections=1))
    modest = offered(offer(server, MODEST_RATE, lengths.overload, connections=1))
    collect(greedy)
    answered = float((modest.status == OK).mean())
    record(
        f"beside a connection that offers {GREEDY_RATE:,.0f}/s: another's {MODEST_RATE:.0f}/s answered in time",
        f"{answered:.1%}",
    )
    assert not set(modest.status) & {RESOURCE_EXHAUSTED, CANCELLED, UNAVAILABLE}
    assert (modest.status == OK).any()
