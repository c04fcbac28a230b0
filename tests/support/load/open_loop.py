"""Open-loop load: calls are sent on a Poisson schedule, whether or not earlier ones were answered.

A latency counts from the moment its call was meant to leave, so that neither a slow server nor a late generator hides
delays.

    python -m support.load.open_loop '{"target": "127.0.0.1:5051", "rate": 1000, …}'

is one run of `Offer`, in a separate process; it writes the rows of `Outcomes` to standard output.
"""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import accumulate, count, takewhile
from pathlib import Path
from random import Random
from socket import socket
from time import perf_counter, sleep
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from support.load.ledger import Ledger
from support.load.open_connection import Connection, message

RUN_SECONDS = 120.0
"""Deadline of one run."""

SPIN_SECONDS = 0.0005


@dataclass(frozen=True)
class Offer:
    """The load: `rate` calls a second of `images` each for `seconds`, over `connections` in turns.

    deadline  seconds each call has, from when it was meant to leave
    core      where the generator runs
    """

    target: str
    rate: float
    seconds: float
    deadline: float
    images: int = 1
    connections: int = 8
    seed: int = 1
    core: int | None = None


class Outcomes(NamedTuple):
    """The outcome of each call, in the order of their schedule. Times are seconds.

    intended  since the beginning
    late      until it was sent; NaN: it was not sent before its deadline
    latency   until its status arrived or the deadline passed
    status    gRPC's
    pushback  ms after which to try again; NaN: the server did not say
    """

    intended: NDArray[np.float64]
    late: NDArray[np.float64]
    latency: NDArray[np.float64]
    status: NDArray[np.float64]
    pushback: NDArray[np.float64]

    def since_left(self) -> NDArray[np.float64]:
        """Seconds from the sending of a call until its status; for calls that were sent."""
        seconds: NDArray[np.float64] = self.latency - self.late
        return seconds[~np.isnan(seconds)]

    def having(self, status: int) -> "Outcomes":
        """The calls that ended in `status`."""
        return self.among({status})

    def among(self, statuses: Iterable[int]) -> "Outcomes":
        """The calls that ended in one of `statuses`."""
        chosen = np.isin(self.status, list(statuses))
        return Outcomes(*(column[chosen] for column in self))


def offered(offer: Offer) -> Outcomes:
    """Makes the load from a separate process, and waits for the last outcome."""
    return collect(begin(offer))


def begin(offer: Offer) -> "subprocess.Popen[bytes]":
    """Starts the load; `collect` waits for its end."""
    return subprocess.Popen(
        [sys.executable, "-m", "support.load.open_loop", json.dumps(asdict(offer))],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )


def collect(running: "subprocess.Popen[bytes]") -> Outcomes:
    try:
        output, _ = running.communicate(timeout=RUN_SECONDS)
    finally:
        running.kill()
    assert running.returncode == 0, "the load generator failed"
    return Outcomes(*np.load(BytesIO(output)))


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """A Poisson process: seconds since the beginning."""
    random = Random(seed)
    return list(takewhile(lambda at: at < seconds, accumulate(random.expovariate(rate) for _ in count())))


class Watch:
    """Finds the connections that have data to read, while their sockets come and go."""

    def __init__(self, connections: list[Connection]) -> None:
        self._sockets: dict[Connection, socket | None] = dict.fromkeys(connections)
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._selector.close()

    def heard(self) -> list[Connection]:
        changed = [connection for connection, known in self._sockets.items() if connection.socket is not known]
        for connection in changed:
            if known := self._sockets[connection]:
                self._selector.unregister(known)
        for connection in changed:
            if connection.socket:
                self._selector.register(connection.socket, selectors.EVENT_READ, connection)
            self._sockets[connection] = connection.socket
        return [key.data for key, _ in self._selector.select(0)]


def run(offer: Offer) -> NDArray[np.float64]:
    """The rows of `Outcomes`, a call each."""
    ledger = Ledger(arrivals(offer.rate, offer.seconds, offer.seed))
    due, sent, calls = ledger.due, 0, len(ledger.due)
    body = message(offer.images)
    connections = [Connection(offer.target, body, offer.deadline, ledger, seed) for seed in range(offer.connections)]
    with Watch(connections) as watch:
        begin = perf_counter()
        while sent < calls or any(connections):
            now = perf_counter() - begin
            while sent < calls and due[sent] <= now:
                connections[sent % len(connections)].call(sent)
                sent += 1
            for connection in connections:
                connection.write(now)
            for connection in watch.heard():
                connection.read(perf_counter() - begin)
            if sent < calls and due[sent] > now + SPIN_SECONDS:
                sleep(SPIN_SECONDS / 4)
    for connection in connections:
        connection.close()
    return ledger.rows()


if __name__ == "__main__":
    what = Offer(**json.loads(sys.argv[1]))
    if what.core is not None:
        os.sched_setaffinity(0, {what.core})
    np.save(sys.stdout.buffer, run(what).T)
