"""Open-loop load: requests are sent on a Poisson schedule without waiting for answers, so that queueing shows.

The generator is `open_loop.cc`. A latency counts from the moment its request was meant to leave. A generator that fell
behind, and one that waits for answers, would hide exactly the delays that are asked for.
"""

import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.cores import on_cores
from benchmarks.common.figures import percentile
from benchmarks.common.native import binary

TIME_LIMIT = 60.0  # seconds for one run
OK = 0  # gRPC's status code


@dataclass(frozen=True)
class Arrival:
    """One request: when it was meant to leave, how much later it left, when its answer had come. ms."""

    intended: float
    late: float
    latency: float
    status: int
    reply_bytes: int


@dataclass(frozen=True)
class Queueing:
    """Latency under one offered rate.

    offered   requests per second that the schedule asked for
    p50, p99  ms from intended to answered, over the requests that were answered
    told      how many failed with which of gRPC's status codes; OK with a reply of the wrong size
    late_p99  ms that the generator itself was late; its share of p99
    """

    offered: float
    requests: int
    told: Counter[int]
    p50: float | None
    p99: float | None
    late_p99: float

    def figures(self) -> dict[str, float | None]:
        """The figures that the results of a run keep."""
        return {
            "offered": self.offered,
            "requests": self.requests,
            "failed": self.failed,
            "p50": self.p50,
            "p99": self.p99,
            "late_p99": self.late_p99,
        }

    @property
    def failed(self) -> int:
        """Requests with another status than OK, or a reply of the wrong size."""
        return self.told.total()


def parse(output: str) -> list[Arrival]:
    """The generator's lines; times there are µs."""
    arrivals = []
    for line in output.splitlines():
        intended, late, latency, status, size = line.split("\t")
        arrivals.append(Arrival(int(intended) / 1e3, int(late) / 1e3, int(latency) / 1e3, int(status), int(size)))
    return arrivals


def account(arrivals: list[Arrival], offered: float, reply_bytes: int) -> Queueing:
    """Failures are counted apart: a fast refusal must not make a server look quick."""
    answered: list[float] = []
    told: Counter[int] = Counter()
    for arrival in arrivals:
        if (arrival.status, arrival.reply_bytes) == (OK, reply_bytes):
            answered.append(arrival.latency)
        else:
            told[arrival.status] += 1
    answered.sort()
    return Queueing(
        offered=offered,
        requests=len(arrivals),
        told=told,
        p50=percentile(answered, 0.5) if answered else None,
        p99=percentile(answered, 0.99) if answered else None,
        late_p99=percentile(sorted(arrival.late for arrival in arrivals), 0.99),
    )


def run(
    address: str, method: str, message: Path, cores: str, *, rate: float, seconds: float, seed: int, reply_bytes: int
) -> Queueing:
    """Offers `rate` requests per second for `seconds`."""
    schedule = [f"{rate:.3f}", f"{seconds:.3f}", str(seed)]
    line = on_cores(cores, [binary("open_loop"), address, method, message, *schedule])
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=TIME_LIMIT)
    return account(parse(done.stdout), rate, reply_bytes)
