"""Is the canary worse? Requests, seconds, confidences and failures are counted for each version."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.rpc import DEADLINE, refusal
from support.models.variants import LEAST_CONFIDENCE, publish
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until
from support.wire.raw_http import ask, request

from digits.v1.prediction_pb2 import GetModelRequest, PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

SERVED = (2, 3)
FAILURES = (
    *("inference_failed", "internal", "deadline", "cancelled"),
    *("overloaded", "unavailable", "too_large"),
)


@dataclass(frozen=True)
class Trial:
    """A server of the versions 2 and 3. A file `fail` in `folder` makes its models fail."""

    server: ServerProcess
    stub: PredictionServiceStub
    folder: Path

    def rollout(self, **pins: object) -> None:
        self.folder.joinpath("digits/pin.json").write_text(json.dumps(pins))
        wanted = int(str(pins.get("canaryVersion", 0)))
        until(lambda: self.stub.GetModel(GetModelRequest()).canary_version == wanted, "the rollout is followed")

    def answered_by(self, images: int = 1, version: int = 0) -> int:
        asked = PredictRequest(images=bytes(784 * images), model_version=version)
        return self.stub.Predict(asked, timeout=DEADLINE).model_version

    def counts(self) -> dict[int, NDArray[np.float64]]:
        """For each version: its requests, their seconds, its images, the sum of their confidences."""
        names = [f"{family}_{part}" for family in ("request_seconds", "confidence") for part in ("count", "sum")]
        metric = self.server.metric
        return {
            version: np.array([metric(f"digits_version_{name}", model_version=str(version)) for name in names])
            for version in SERVED
        }

    def failures(self) -> dict[tuple[int, str], float]:
        """The failures on the page."""
        return {
            (int(dict(labels)["model_version"]), dict(labels)["reason"]): value
            for (family, labels), value in self.server.samples().items()
            if family == "digits_version_failures_total"
        }


@pytest.fixture(scope="module")
def trial(repository: Path, transport: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:  # noqa: ARG001
    folder = tmp_path_factory.mktemp("trial")
    for version in SERVED:
        publish(repository, folder, version)
    environment = {"PYTHONPATH": str(Path(__file__).parents[1] / "support/faults/faulty"), "FAULTY": str(folder)}
    with (
        ServerProcess("--repository", folder, "--poll-interval", "0.05", environment=environment) as server,
        server.channel() as channel,
    ):
        server.wait_ready()
        stub = PredictionServiceStub(channel)
        until(lambda: [each.state for each in stub.GetModel(GetModelRequest()).versions] == [1, 1], "both serve")
        yield Trial(server, stub, folder)


def test_every_failure_of_a_version_that_serves_begins_at_0(trial: Trial) -> None:
    assert trial.failures() == {(version, reason): 0 for version in SERVED for reason in FAILURES}


def test_the_current_version_is_counted_one_image_or_many_to_a_call(trial: Trial) -> None:
    before = trial.counts()
    sizes = [1] * 20 + [3] * 5 + [40] * 2
    assert {trial.answered_by(size) for size in sizes} == {3}
    after = trial.counts()
    assert not (after[2] - before[2]).any()
    requests, seconds, images, confidence = after[3] - before[3]
    assert (requests, images) == (len(sizes), sum(sizes))
    assert 0 < seconds < DEADLINE
    assert LEAST_CONFIDENCE * images < confidence <= images * 1.001


def test_the_canary_and_the_version_beside_it_are_counted_apart(trial: Trial) -> None:
    trial.rollout(canaryVersion="3", canaryShare=0.3)
    before = trial.counts()
    answers = [trial.answered_by() for _ in range(50)]
    named = [trial.answered_by(version=3) for _ in range(10)]
    after = trial.counts()
    for version in SERVED:
        requests, seconds, images, confidence = after[version] - before[version]
        assert requests == images == (answers + named).count(version)
        assert 0 < seconds < DEADLINE
        assert LEAST_CONFIDENCE * images < confidence <= images * 1.001


@pytest.mark.parametrize("version", [0, 2, 3])
def test_a_model_that_fails_is_counted_under_its_version(trial: Trial, version: int) -> None:
    trial.rollout(canaryVersion="0")
    before, counts = trial.failures(), trial.counts()
    broken = trial.folder / "fail"
    broken.touch()
    try:
        assert refusal(lambda: trial.answered_by(version=version))[0] == "INTERNAL"
        body = json.dumps({"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": [0] * 784}]})
        path = f"/v2/models/digits/versions/{version}/infer" if version else "/v2/models/digits/infer"
        ask(trial.server, request("POST", path, "content-type: application/json", body=body.encode()))
    finally:
        broken.unlink()
    series = (version or 3, "inference_failed")
    assert trial.failures() == before | {series: before[series] + 2}
    assert {version: list(each) for version, each in trial.counts().items()} == {
        version: list(each) for version, each in counts.items()
    }


def test_requests_that_fail_before_they_have_a_version_are_no_failures_of_one(trial: Trial) -> None:
    before = trial.failures()
    assert refusal(lambda: trial.stub.Predict(PredictRequest(images=b"?")))[0] == "INVALID_ARGUMENT"
    assert refusal(lambda: trial.answered_by(version=9))[0] == "NOT_FOUND"
    assert trial.failures() == before
