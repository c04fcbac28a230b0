"""Many requests, with all that goes wrong now and then: nothing grows, and the server counts what its callers count."""

import os
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.calls.open_inference import grpc_request
from support.calls.rpc import DEADLINE, refusal
from support.load.ledger import OK
from support.load.open_loop import Offer, begin, collect
from support.machine.usage import Usage
from support.models.variants import publish
from support.records import Record
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until
from support.wire.frames import END_HEADERS, HEADERS, PREFACE, call_headers, frame

from digits.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = [OVER_BOTH_TRANSPORTS, pytest.mark.alone]

LEAKING = Path(__file__).parents[1] / "support/faults/leaking"
GOOD, BAD, CANCELLED, KILLED = 20, 10, 10, 5
"""Calls of each round beside the load: checked ones, bad input, cancelled ones, connections killed within a call."""

MOST_GROWTH = 0.05
"""Of the resident memory, from when the server has settled to the end, along a straight line through all rounds."""

BACKLOG_RATE = 15_000.0
"""Calls a second, more than any server here answers."""

SPARE_DESCRIPTORS, SPARE_THREADS = 4, 4


@dataclass(frozen=True)
class Length:
    """`rounds` of `rate` calls a second for `seconds` each; the first `settling` of them are not looked at.

    images   of each call: in a short run enough for a leak of calls to show
    backlog  calls at once before all that: what a backlog takes is kept for the next, and each stall of the machine
             makes one
    """

    rounds: int
    settling: int
    rate: float
    seconds: float
    images: int = 1
    backlog: int = 100


SHORT = Length(rounds=5, settling=2, rate=800, seconds=0.8, images=16)
FULL = {
    "grpcio": Length(rounds=24, settling=6, rate=1_400, seconds=30, backlog=1_500),
    "native": Length(rounds=24, settling=6, rate=3_000, seconds=14, backlog=1_500),
}


@dataclass
class Tally:
    """The counts of the callers, and the resources of the process after each round."""

    predicted: int = 0
    bad: int = 0
    refused_versions: int = 0
    inferred_at_most: int = 0
    wrong: list[str] = field(default_factory=list)
    images_by_version: dict[str, int] = field(default_factory=dict)
    """The server's count for each. It forgets a version some time after that has left, so it is asked each round."""
    resident: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def growth(self, settling: int) -> float:
        """How much of its memory the process gained after the first rounds, by the line that fits best."""
        settled = np.array(self.resident[settling:])
        slope, start = np.polyfit(np.arange(len(settled)), settled, 1)
        return float(slope * (len(settled) - 1) / start)


@pytest.fixture
def length(full: bool, transport: str) -> Length:
    return FULL[transport] if full else SHORT


@contextmanager
def served(repository: Path, models: Path, environment: dict[str, str] | None = None) -> Iterator[ServerProcess]:
    publish(repository, models, 1)
    flags = ["--poll-interval", "0.05", "--served-versions", "1"]
    with ServerProcess("--repository", models, *flags, environment=environment) as server:
        yield server.wait_ready()


@dataclass(frozen=True)
class Soak:
    """`server` follows `models`, whose versions are made of the one in `repository`."""

    server: ServerProcess
    repository: Path
    models: Path
    length: Length

    def run(self) -> Tally:
        tally, usage = Tally(), Usage(self.server.process.pid)
        self._collect(begin(self._offer(BACKLOG_RATE, self.length.backlog / BACKLOG_RATE)), tally)
        for number in range(self.length.rounds):
            load = begin(self._offer(self.length.rate, self.length.seconds, seed=number))
            self._reload(2 * number + 2, tally)
            self._call(2 * number + 2, tally)
            self._leave(tally)
            self._collect(load, tally)
            tally.images_by_version |= images_by_version(self.server)
            most = min(tally.descriptors, default=10_000) + SPARE_DESCRIPTORS
            until(lambda most=most: usage.descriptors <= most, "the connections are closed")  # type: ignore[misc]
            tally.resident.append(usage.resident)
            tally.descriptors.append(usage.descriptors)
            tally.threads.append(usage.threads)
        return tally

    def _offer(self, rate: float, seconds: float, seed: int = 0) -> Offer:
        return Offer(self.server.target, rate, seconds, DEADLINE, images=self.length.images, seed=seed)

    def _collect(self, load: "subprocess.Popen[bytes]", tally: Tally) -> None:
        statuses = Counter(collect(load).status.tolist())
        tally.predicted += statuses.pop(OK)
        tally.wrong += [f"{count} of the load ended in {status}" for status, count in statuses.items()]

    def _reload(self, version: int, tally: Tally) -> None:
        """A version that is swapped in, and one that is refused."""
        publish(self.repository, self.models, version)
        until(partial(serves, self.server, version), f"version {version} serves")
        damaged = publish(self.repository, self.models / "aside", version + 1)
        damaged.joinpath("model.tflite").write_bytes(b"no model")
        damaged.rename(self.models / "digits" / str(version + 1))
        tally.refused_versions += 1
        refused = partial(self.server.metric, "digits_model_load_failures_total")
        until(lambda: refused() == tally.refused_versions, "the bad version is refused")

    def _call(self, version: int, tally: Tally) -> None:
        """Good calls whose answers are looked at, and bad input."""
        images = self.length.images
        with self.server.channel() as channel:
            predict = PredictionServiceStub(channel).Predict
            for _ in range(GOOD):
                reply = predict(PredictRequest(images=bytes(784 * images)), timeout=DEADLINE)
                tally.predicted += 1
                if (reply.model_version, list(reply.digits)) != (version, [version % 10] * images):
                    tally.wrong.append(f"version {reply.model_version} answered {list(reply.digits)}")
            for _ in range(BAD):
                tally.bad += 1
                if refusal(lambda: predict(PredictRequest(images=b"bad"), timeout=DEADLINE))[0] != "INVALID_ARGUMENT":
                    tally.wrong.append("bad input")

    def _leave(self, tally: Tally) -> None:
        """Calls of another method, whose callers cancel them or vanish with their connection."""
        question = grpc_request(np.zeros((1, 28, 28), np.uint8), [1, 28, 28], raw=True)
        with self.server.channel() as channel:
            infer = GRPCInferenceServiceStub(channel).ModelInfer
            for call in [infer.future(question, timeout=DEADLINE) for _ in range(CANCELLED)]:
                call.cancel()
        host, _, port = self.server.target.rpartition(":")
        begun = frame(HEADERS, END_HEADERS, 1, call_headers("/inference.GRPCInferenceService/ModelInfer"))
        for _ in range(KILLED):
            with socket.create_connection((host, int(port)), timeout=DEADLINE) as killed:
                killed.sendall(PREFACE + begun)
        tally.inferred_at_most += CANCELLED + KILLED


def serves(server: ServerProcess, version: int) -> bool:
    return server.metric("digits_model_info", model_version=str(version)) == 1


def images_by_version(server: ServerProcess) -> dict[str, int]:
    """Images predicted by each version that the server remembers."""
    found = Counter[str]()
    for (name, labels), value in server.samples().items():
        if name == "digits_predictions_total":
            found[dict(labels)["model_version"]] += int(value)
    return found


def handled(server: ServerProcess, method: str, code: str | None = None) -> int:
    labels = {"grpc_method": method} | ({"grpc_code": code} if code else {})
    return int(server.metric("grpc_server_handled_total", **labels))


def test_nothing_grows_and_the_counters_are_exact(
    repository: Path, tmp_path: Path, length: Length, record: Record
) -> None:
    with served(repository, tmp_path) as server:
        tally = Soak(server, repository, tmp_path, length).run()
        growth = tally.growth(length.settling)
        flat = max(tally.descriptors[length.settling :]) - tally.descriptors[length.settling]
        threads = max(tally.threads[length.settling :]) - tally.threads[length.settling]
        until(lambda: server.metric("grpc_server_started_total") == server.metric("grpc_server_handled_total"), "ends")
        counted = handled(server, "Predict", "OK"), handled(server, "Predict", "INVALID_ARGUMENT")
        inferred = handled(server, "ModelInfer")
        images = length.images * tally.predicted + handled(server, "ModelInfer", "OK")
        counted_images = sum((tally.images_by_version | images_by_version(server)).values())
        exact = (*counted, counted_images) == (tally.predicted, tally.bad, images)
        record(
            f"a million requests, {length.rounds} reloads, faults: memory; descriptors; threads; counters",
            f"of {tally.predicted:,}: {100 * growth:+.1f} %; {flat:+d}; {threads:+d}; {'exact' if exact else 'wrong'}",
            met=growth <= MOST_GROWTH and exact and not tally.wrong,
        )
        assert tally.wrong == []
        assert counted == (tally.predicted, tally.bad)
        assert handled(server, "Predict") == tally.predicted + tally.bad
        assert inferred <= tally.inferred_at_most
        assert counted_images == images
        assert server.metric("digits_rejected_total", reason="invalid") == tally.bad
        assert server.metric("digits_queue_images") == 0
        assert growth <= MOST_GROWTH, tally.resident
        assert flat <= SPARE_DESCRIPTORS, tally.descriptors
        assert threads <= SPARE_THREADS, tally.threads


def test_a_leak_planted_on_purpose_is_caught(repository: Path, tmp_path: Path, record: Record) -> None:
    """The same detector over a server that keeps every request."""
    path = os.pathsep.join(filter(None, [str(LEAKING), os.environ.get("PYTHONPATH")]))
    with served(repository, tmp_path, {"PYTHONPATH": path}) as server:
        tally = Soak(server, repository, tmp_path, SHORT).run()
        growth = tally.growth(SHORT.settling)
        record("a planted leak is caught: memory", f"{100 * growth:+.1f} %", met=growth > MOST_GROWTH)
        assert growth > MOST_GROWTH, tally.resident
