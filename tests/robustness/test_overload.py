"""More calls than the server can answer: it goes on answering what it can, and says no to the rest at once.

Once calls are single images, for which the transport is the bottleneck, not the model: to refuse one costs a good part
of what an answer does. Once they take the model longer than all else, as they do of a convolutional network. They
leave on a schedule that waits for no answer, and every one has a deadline.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic

import pytest
from support.calls.rpc import DEADLINE
from support.load.ledger import CANCELLED, OK, RESOURCE_EXHAUSTED, UNAVAILABLE
from support.load.open_loop import Offer, Outcomes, begin, collect, offered
from support.load.overload import (
    PROMISED,
    QUEUE,
    Calls,
    Overload,
    capacity,
    is_normal,
    offer,
    overload,
    record_overload,
)
from support.machine.usage import Usages
from support.models.hostile_models import with_work
from support.models.repositories import copy_version, replace_file
from support.records import Record
from support.servers.arrangements import BEHIND_ENVOY, OVER_EACH_ARRANGEMENT, server_process
from support.servers.process import ServerProcess
from support.waiting import until

pytestmark = [OVER_EACH_ARRANGEMENT, pytest.mark.alone]

SERVER_CORE = min(os.sched_getaffinity(0))
MAX_CALLS = 20  # of which each connection may have a quarter: gone through in the time a refusal may take
AGAIN = 0.6  # of the last capacity found, at which the next search begins
GREEDY_RATE, MODEST_RATE = 15_000.0, 20.0
BURST, BURST_RATE = 1_900, 30_000.0
"""Calls, and calls a second: about all that may be under way unless told otherwise, faster than any are answered."""

SINGLE = Calls("one image a call", 1, 1_000, 2_500, {2: 0.5, 5: 0.3})
HEAVY = Calls("32 images of a slow network a call", 32, 20, 200, {2: 0.9, 5: 0.8})


@dataclass(frozen=True)
class Lengths:
    """Of a run.

    rounds    of a search for the capacity and each of the overloads: the machine's speed changes from one to the next
    step      seconds of one step of the search for the capacity; None: it is not looked for
    overload  seconds of each overload
    after     share of the capacity that is offered afterwards
    """

    rounds: int
    step: float | None
    overload: float
    after: float

    def recovered(self, outcomes: Outcomes) -> bool:
        """Whether the server is back to normal; of a short run, on a machine that may be slow: whether it answers."""
        return is_normal(outcomes) if self.step else bool((outcomes.status == OK).any())


@pytest.fixture
def lengths(full: bool) -> Lengths:
    return Lengths(3, 2.0, 4.0, 0.5) if full else Lengths(1, None, 1.0, 0.05)


@pytest.fixture(params=[SINGLE, HEAVY], ids=["single", "heavy"])
def calls(request: pytest.FixtureRequest) -> Calls:
    offered: Calls = request.param
    return offered


@pytest.fixture
def served(repository: Path, tmp_path: Path, calls: Calls) -> Path:
    """The repository of the model for these calls."""
    if calls is SINGLE:
        return repository
    version = copy_version(repository, tmp_path, 1)
    replace_file(version, "model.tflite", with_work(version.joinpath("model.tflite").read_bytes()))
    return tmp_path


@contextmanager
def bounded(arrangement: str, repository: Path) -> Iterator[ServerProcess]:
    """A server with a short queue and few calls at once; it has a core to itself, and to Envoy if that is in front."""
    bounds = ["--max-calls", str(MAX_CALLS), "--max-queue-size", str(QUEUE)]
    with server_process(arrangement, "--repository", repository, *bounds) as server:
        Usages(server.wait_ready().pids).pin(SERVER_CORE)
        yield server


def test_more_calls_than_can_be_answered_leave_the_server_answering(
    served: Path, transport: str, calls: Calls, lengths: Lengths, record: Record
) -> None:
    capacities: list[float] = []
    overloads: dict[int, list[Overload]] = {times: [] for times in PROMISED}
    with bounded(transport, served) as server:
        for _ in range(lengths.rounds):
            begin_at = AGAIN * capacities[-1] if capacities else calls.least_rate
            capacities.append(capacity(server, calls, lengths.step, begin_at))
            for times, found in overloads.items():
                found.append(overload(server, calls, capacities[-1], times, lengths.overload))
        begun = monotonic()
        offer_less = partial(offer, server, lengths.after * capacities[-1], 0.5, calls.images)
        until(lambda: lengths.recovered(offered(offer_less())), "it is back to normal")
        seconds = monotonic() - begun
        until(lambda: server.metric("digits_queue_images") == 0, "the queue is empty")
    record(f"{calls.name}: capacity C, calls a second", ", ".join(f"{each:,.0f}" for each in capacities))
    for times, rounds in overloads.items():
        record_overload(record, calls, times, rounds)
    record(f"{calls.name}: back to normal after 5 C (at most 5 s)", f"{seconds:.1f} s", met=seconds <= 5)
    if lengths.step:
        goodputs = {times: median(each.goodput for each in rounds) for times, rounds in overloads.items()}
        assert all(goodputs[times] >= least for times, least in calls.least_goodput.items()), goodputs


def test_a_greedy_connection_does_not_starve_a_modest_one(
    repository: Path, transport: str, lengths: Lengths, record: Record
) -> None:
    with bounded(transport, repository) as server:
        greedy = begin(offer(server, GREEDY_RATE, lengths.overload, connections=1))
        modest = offered(offer(server, MODEST_RATE, lengths.overload, connections=1))
        collect(greedy)
    answered = float((modest.status == OK).mean())
    record(
        f"beside a connection that offers {GREEDY_RATE:,.0f}/s: another's {MODEST_RATE:.0f}/s answered in time",
        f"{answered:.1%}",
    )
    if not transport.endswith(BEHIND_ENVOY):  # there both share the connections between Envoy and the server
        assert not set(modest.status) & {RESOURCE_EXHAUSTED, CANCELLED, UNAVAILABLE}
    assert (modest.status == OK).any()


def test_a_burst_of_all_the_calls_there_may_be_is_answered(server: ServerProcess, full: bool, record: Record) -> None:
    """They are many before one of them is read, and not to be taken for calls whose message does not come."""
    bursts = [
        Offer(server.target, BURST_RATE, BURST / BURST_RATE, DEADLINE, seed=seed) for seed in range(40 if full else 8)
    ]
    statuses = Counter(status for burst in bursts for status in offered(burst).status.tolist())
    record(
        f"{len(bursts)} bursts of {BURST:,} calls: not answered",
        f"{statuses.total() - statuses[OK]} of {statuses.total():,}",
        met=set(statuses) == {OK},
    )
    assert set(statuses) == {OK}
