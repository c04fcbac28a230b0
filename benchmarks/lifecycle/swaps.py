"""Versions swapped under open-loop load at a share of the server's capacity, with a caller that checks every answer."""

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
from support.models.variants import publish

from benchmarks.common.paths import SCRIPTS
from benchmarks.loads import closed_loop, open_loop
from benchmarks.loads.closed_loop import Load
from benchmarks.loads.open_loop import Queueing
from benchmarks.loads.payloads import Payloads
from benchmarks.loads.protocols import DIGITS
from benchmarks.servers.catalogue import Command, Server
from benchmarks.servers.process_tree import memory
from benchmarks.servers.running import Running
from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

SHARE = 0.7
"""Of the capacity that is offered."""

ROUNDS = 25
"""Of a quiet span and one as long with swaps: a machine that is slower for a while is so for both."""

CAPACITY_SECONDS = 4.0
CAPACITY = Load(connections=8, streams=8, images=1)
OBJECTIVE_MILLISECONDS = 100.0
"""The 99th percentile within which a server copes, as the alert DigitsLatencyHigh has it."""

STEPS = [1.0 - 0.05 * step for step in range(15)]
"""Shares of what the closed loop found that are tried in turn: arrivals that do not wait cost a server more."""

BURST, BURST_SECONDS = 6.0, 2.0
"""A burst of so many times the capacity fills the server before its memory is first taken: the backlog of a moment in
which the machine stops then counts before the swaps as well as after."""

CHECK_SECONDS = 0.01
"""Between two requests of the caller that checks answers."""

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Place:
    """A folder for repositories, and the cores of server and load."""

    folder: Path
    transport: str
    server_core: str
    load_core: str

    def server(self, repository: Path, *flags: str) -> Server:
        def command(port: int) -> Command:
            ports = ["--grpc-port", str(port), "--http-port", str(port + 2), "--log-level", "error"]
            told: Command = ["--repository", repository, "--transport", self.transport, *ports, *flags]
            return [SCRIPTS / "digits-server", *told]

        return Server(f"digits-{self.transport}", self.transport, command, has_model=True)


@dataclass(frozen=True)
class Swapping:
    """What the swaps did.

    capacity      requests per second, one image each: the highest rate of arrivals that do not wait with which the
                  server copes
    quiet         of each round
    swapping      the same
    checked       answers looked at one by one; `mixed` of them were not the version's they named
    memory        MB of resident memory before and after, both after the server was once full
    """

    transport: str
    capacity: float
    swaps: int
    quiet: list[Queueing]
    swapping: list[Queueing]
    checked: int
    mixed: int
    unanswered: int
    versions: int
    memory: tuple[float, float]


class Checker:
    """One caller that looks at every answer, until the end of the context."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.checked = self.mixed = self.unanswered = 0
        self.versions: set[int] = set()

    def __enter__(self) -> "Checker":  # noqa: PYI034 - it is final
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        request = PredictRequest(images=bytes(784 * 8))
        with grpc.insecure_channel(self._address) as channel:
            stub = PredictionServiceStub(channel)
            while not self._stop.wait(CHECK_SECONDS):
                try:
                    reply = stub.Predict(request, timeout=10.0)
                except grpc.RpcError:
                    self.unanswered += 1
                    continue
                self.checked += 1
                self.versions.add(reply.model_version)
                self.mixed += set(reply.digits) != {reply.model_version % 10}


def run(place: Place, payloads: Payloads, *, count: int, seconds: float) -> Swapping:
    """Publishes `count` versions in `seconds` of load, with as many quiet seconds between."""
    repository, ready = place.folder / "models", place.folder / "ready"
    for version in (1, 2):  # as many as stay loaded: the memory before and after is of as many
        publish(payloads.repository, repository, version)
    incoming = [publish(payloads.repository, ready, version) for version in range(3, count + 3)]
    payload = payloads.payload(DIGITS, 1)
    server = place.server(repository, "--poll-interval", str(POLL_SECONDS))
    log = place.folder / "server.log"
    with Running(server, place.server_core, log) as running:
        running.first_answer(payloads.images[:1])
        reply_bytes = len(running.call(payloads.images[:1]))

        def offer(rate: float, seconds: float) -> Queueing:
            return open_loop.run(
                running.address,
                DIGITS.method,
                payload.message,
                place.load_core,
                rate=rate,
                seconds=seconds,
                seed=1,
                reply_bytes=reply_bytes,
            )

        capacity = _capacity(offer, _closed_loop(running, place, payload.frame))
        rate, span = SHARE * capacity, seconds / ROUNDS
        offer(BURST * capacity, BURST_SECONDS)
        offer(rate, span)
        memory_before = memory(running.pid).rss
        quiet, swapping = [], []
        with Checker(running.address) as checker:
            for number in range(ROUNDS):
                quiet.append(offer(rate, span))
                versions = incoming[number * count // ROUNDS : (number + 1) * count // ROUNDS]
                with _Publisher(versions, repository, span):
                    swapping.append(offer(rate, span))
        _wait_for(lambda: count + 2 in _served(running))
        memory_after = memory(running.pid).rss
    return Swapping(
        transport=place.transport,
        capacity=capacity,
        swaps=count,
        quiet=quiet,
        swapping=swapping,
        checked=checker.checked,
        mixed=checker.mixed,
        unanswered=checker.unanswered,
        versions=len(checker.versions),
        memory=(memory_before, memory_after),
    )


class _Publisher:
    """Renames one version after the other into the repository, evenly over `seconds`."""

    def __init__(self, incoming: list[Path], repository: Path, seconds: float) -> None:
        self._incoming, self._models, self._pause = incoming, repository / "digits", seconds / (len(incoming) + 1)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        for version in self._incoming:
            time.sleep(self._pause)
            version.rename(self._models / version.name)


def _capacity(offer: Callable[[float, float], Queueing], highest: float) -> float:
    """The highest of STEPS × `highest` with no failure and the objective kept."""
    for step in STEPS:
        found = offer(step * highest, CAPACITY_SECONDS)
        if not found.failed and found.p99 is not None and found.p99 <= OBJECTIVE_MILLISECONDS:
            return step * highest
    raise RuntimeError(f"the server does not cope with {STEPS[-1] * highest:.0f} requests per second")


def _closed_loop(running: Running, place: Place, frame: Path) -> float:
    url = f"http://{running.address}{DIGITS.method}"
    extent = closed_loop.lasting(CAPACITY_SECONDS)
    runs = [
        closed_loop.run(url, frame, CAPACITY, place.load_core, *extent, log=place.folder / "h2load.log").rate
        for _ in range(3)
    ]
    return statistics.median(runs)


def _served(running: Running) -> set[int]:
    with grpc.insecure_channel(running.address) as channel:
        reply = PredictionServiceStub(channel).Predict(PredictRequest(images=bytes(784)), timeout=10.0)
    return {reply.model_version}


def _wait_for(holds: Callable[[], bool]) -> None:
    for _ in range(100):
        if holds():
            return
        time.sleep(POLL_SECONDS)
    raise TimeoutError("the last version was not served within ten seconds")
