"""What a shadow costs: throughput with one and without one, in pairs of runs on two servers that stay up."""

import statistics
from contextlib import ExitStack
from dataclasses import dataclass

from support.models.variants import publish

from benchmarks.lifecycle.swaps import Place
from benchmarks.loads import closed_loop
from benchmarks.loads.closed_loop import Load
from benchmarks.loads.payloads import Payloads
from benchmarks.loads.protocols import DIGITS
from benchmarks.servers.running import Running

SECONDS = 2.0
LOADS = (Load(connections=8, streams=8, images=1), Load(connections=2, streams=4, images=32))


@dataclass(frozen=True)
class Shadowing:
    """Requests per second of each pair of runs."""

    transport: str
    load: Load
    without: list[float]
    beside: list[float]

    @property
    def cost(self) -> float:
        """The median pair's loss, as a share of the throughput without a shadow."""
        return statistics.median(1 - with_it / alone for alone, with_it in zip(self.without, self.beside, strict=True))


def run(place: Place, payloads: Payloads, *, pairs: int) -> list[Shadowing]:
    """Version 1 answers on two servers; on one of them version 2 is its shadow."""
    repository, alone = place.folder / "shadowed", place.folder / "alone"
    for version in (1, 2):
        publish(payloads.repository, repository, version)
    publish(payloads.repository, alone, 1)
    servers = (place.server(alone), place.server(repository, "--shadow", "2"))
    with ExitStack() as stack:
        both = []
        for number, server in enumerate(servers):
            both.append(stack.enter_context(Running(server, place.server_core, place.folder / f"{number}.log")))
            both[-1].first_answer(payloads.images[:1])  # it has its ports now, so that the next one takes others
        return [_pairs(place, payloads, load, (both[0], both[1]), pairs) for load in LOADS]


def _pairs(place: Place, payloads: Payloads, load: Load, both: tuple[Running, Running], pairs: int) -> Shadowing:
    """Runs in turns: each pair begins with the other server than the one before."""
    frame = payloads.payload(DIGITS, load.images).frame
    log = place.folder / "h2load.log"
    rates: dict[Running, list[float]] = {running: [] for running in both}
    for number in range(pairs):
        for running in both if number % 2 else reversed(both):
            url = f"http://{running.address}{DIGITS.method}"
            report = closed_loop.run(url, frame, load, place.load_core, *closed_loop.lasting(SECONDS), log=log)
            rates[running].append(report.rate)
    return Shadowing(place.transport, load, rates[both[0]], rates[both[1]])
