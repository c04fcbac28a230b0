"""New versions go live under load without a lost request and without a reply that mixes versions."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self

import grpc
import pytest
from support.calls.rpc import DEADLINE, status_of
from support.machine.usage import Usage
from support.models.variants import publish
from support.records import Record
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import GetModelRequest, PredictRequest, PredictResponse
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

PICTURE = Path("docs/digit.png").read_bytes()
SWAPS, SWAPS_WITHOUT_LOAD, SWAPS_IN_FULL = 3, 10, 100
"""The versions of so many swaps without load are more than a server counts."""

CALLERS = 4
AHEAD, AHEAD_IN_FULL = 8, 1_000_000
"""Requests of a stream that may wait for their replies; in full, as many as the server takes in."""

SETTLED = 50
"""Calls after which a server has allocated all it needs to answer."""
SERVED_VERSIONS, DEPARTED_VERSIONS = 2, 8
"""That answer by default, and that are counted still though they have left."""
GROWTH = 1.1
"""Of resident memory, at most; ten versions that stayed would add four times that or more."""


class Load:
    """Calls without a pause from several callers, until the end of the context; every answer is checked."""

    def __init__(
        self, server: ServerProcess, call: Callable[[PredictionServiceStub, "Load"], None], ahead: int
    ) -> None:
        self.ahead = ahead
        self._server = server
        self._call = call
        self._stop = threading.Event()
        self.answers: Counter[int] = Counter()
        """Replies by the version that gave them."""
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(CALLERS)
        self._callers = [self._pool.submit(self._run) for _ in range(CALLERS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        for caller in self._callers:
            caller.result()

    def check(self, reply: PredictResponse) -> None:
        """Every image of a reply was answered by the version it names."""
        self.answers[reply.model_version] += 1
        if set(reply.digits) != {reply.model_version % 10}:
            self.wrong.append(f"version {reply.model_version} answered {list(reply.digits)}")

    def has_answer_of(self, version: int) -> bool:
        return self.answers[version] > 0

    def until_stopped(self, requests: Iterator[PredictRequest]) -> Iterator[PredictRequest]:
        for request in requests:
            if self._stop.is_set():
                return
            yield request

    def _run(self) -> None:
        with self._server.channel() as channel:
            stub = PredictionServiceStub(channel)
            while not self._stop.is_set():
                try:
                    self._call(stub, self)
                except grpc.RpcError as error:
                    self.wrong.append(" ".join(status_of(error)))


def requests() -> Iterator[PredictRequest]:
    """Small and large requests and files in turns, without end; the largest takes several batches."""
    while True:
        for images in (1, 7, 1, 64, 1, 500):
            yield PredictRequest(images=bytes(784 * images))
        yield PredictRequest(image_files=[PICTURE] * 3)


def unary(stub: PredictionServiceStub, load: Load) -> None:
    for request in load.until_stopped(requests()):
        load.check(stub.Predict(request, timeout=DEADLINE))


def stream(stub: PredictionServiceStub, load: Load) -> None:
    room = threading.Semaphore(load.ahead)

    def sent() -> Iterator[PredictRequest]:
        for request in load.until_stopped(requests()):
            if not room.acquire(timeout=DEADLINE):
                return
            yield request

    for reply in stub.PredictStream(sent(), timeout=DEADLINE):
        load.check(reply)
        room.release()


def counted(server: ServerProcess) -> set[int]:
    """The versions whose answers are on the page of metrics."""
    return {
        int(dict(having)["model_version"]) for name, having in server.samples() if name == "digits_predictions_total"
    }


def newest(last: int) -> set[int]:
    """The versions that are counted after `last` of them have answered."""
    return set(range(last, 0, -1)[: SERVED_VERSIONS + DEPARTED_VERSIONS])


def current(server: ServerProcess) -> int:
    with server.channel() as channel:
        model = PredictionServiceStub(channel).GetModel(GetModelRequest(), timeout=DEADLINE)
    return model.manifest.model_version


@pytest.mark.parametrize("call", [unary, stream])
def test_versions_swapped_under_load_lose_no_request_and_mix_no_reply(
    repository: Path,
    tmp_path: Path,
    full: bool,
    record: Record,
    call: Callable[[PredictionServiceStub, Load], None],
) -> None:
    swaps = SWAPS_IN_FULL if full else SWAPS
    publish(repository, tmp_path, 1)
    with ServerProcess("--repository", tmp_path, "--poll-interval", "0.02") as server:
        server.wait_ready()
        with Load(server, call, AHEAD_IN_FULL if full else AHEAD) as load:
            for version in range(2, 2 + swaps):
                publish(repository, tmp_path, version)
                until(partial(load.has_answer_of, version), f"version {version} answers")
        figure = f"{len(load.wrong)} of {load.answers.total():,}"
        record(f"{swaps} swaps under load ({call.__name__}): calls failed or mixed", figure, met=not load.wrong)
        assert load.wrong == []
        assert current(server) == 1 + swaps
        assert set(load.answers) == set(range(1, 2 + swaps))
        until(lambda: server.metric("digits_queue_images") == 0, "the queues are empty")
        assert server.metric("digits_rejected_total") == 0
        until(lambda: counted(server) == newest(1 + swaps), "versions that left long ago are counted no more")


def test_versions_that_have_left_hold_no_memory_and_are_counted_no_more(
    repository: Path, tmp_path: Path, full: bool, record: Record
) -> None:
    swaps = SWAPS_IN_FULL if full else SWAPS_WITHOUT_LOAD
    for version in range(1, 1 + SERVED_VERSIONS):  # as many as stay: the memory before and after is of as many
        publish(repository, tmp_path, version)
    with ServerProcess("--repository", tmp_path, "--poll-interval", "0.02") as server, server.channel() as channel:
        server.wait_ready()
        stub, usage = PredictionServiceStub(channel), Usage(server.process.pid)

        def answered_by(version: int) -> bool:
            return stub.Predict(PredictRequest(images=bytes(784 * 500)), timeout=DEADLINE).model_version == version

        for _ in range(SETTLED):
            assert answered_by(SERVED_VERSIONS)
        before = usage.resident
        for version in range(1 + SERVED_VERSIONS, 1 + SERVED_VERSIONS + swaps):
            publish(repository, tmp_path, version)
            until(partial(answered_by, version), f"version {version} answers")
        assert newest(version) < set(range(SERVED_VERSIONS, version + 1)), "all that answered are counted still"
        until(lambda: usage.resident <= GROWTH * before, "the memory of those that left is given back")
        until(lambda: counted(server) == newest(version), "versions that left long ago are counted no more")
        growth = usage.resident / before - 1
        record(f"{swaps} swaps: resident memory (at most +{GROWTH - 1:.0%})", f"{growth:+.1%}")
