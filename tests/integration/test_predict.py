"""The promises of Predict and PredictStream, over a real socket with generated stubs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.rpc import DEADLINE, refusal
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import GetModelRequest, PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_server.runtimes.litert import LiteRTRuntime

pytestmark = OVER_BOTH_TRANSPORTS

Images = NDArray[np.uint8]


@pytest.fixture(scope="module")
def alone(repository: Path, test_images: Images) -> NDArray[np.float32]:
    """The probabilities of the test images, each computed by itself."""
    runtime = LiteRTRuntime(Path(repository, "digits/1/model.tflite").read_bytes())
    return np.concatenate([runtime.predict(test_images[index : index + 1]) for index in range(2000)])


def test_the_test_set_is_answered_as_well_as_the_manifest_says(
    stub: PredictionServiceStub, test_images: Images, test_labels: NDArray[np.uint8]
) -> None:
    replies = [
        stub.Predict(PredictRequest(images=test_images[start : start + 1000].tobytes()), timeout=DEADLINE)
        for start in range(0, 10_000, 1000)
    ]
    digits = np.concatenate([reply.digits for reply in replies])
    manifest = stub.GetModel(GetModelRequest(), timeout=DEADLINE).manifest
    assert (digits == test_labels).mean() == pytest.approx(manifest.metrics.test_accuracy, abs=1e-9)
    assert {reply.model_version for reply in replies} == {1}


def test_concurrent_callers_each_get_the_answers_of_their_own_images(
    server: ServerProcess, test_images: Images, alone: NDArray[np.float32]
) -> None:
    rng = np.random.default_rng(5)
    choices = [
        rng.integers(0, 2000, size=rng.choice([1, 1, 1, 2, 7, 60, 900, 1000])) for _ in range(300)
    ]  # at most 32 × 1,000 at once: the queue has room

    def call(chosen: NDArray[np.int64]) -> float:
        reply = stub.Predict(
            PredictRequest(images=test_images[chosen].tobytes(), include_probabilities=True), timeout=DEADLINE
        )
        probabilities = np.array(reply.probabilities).reshape(-1, 10)
        assert list(reply.digits) == list(alone[chosen].argmax(axis=1))
        assert np.allclose(reply.confidences, alone[chosen].max(axis=1), atol=1e-5)
        return float(np.abs(probabilities - alone[chosen]).max())

    with server.channel() as channel, ThreadPoolExecutor(32) as callers:
        stub = PredictionServiceStub(channel)
        assert max(callers.map(call, choices)) <= 1e-5


def test_probabilities_come_on_request_only(stub: PredictionServiceStub, test_images: Images) -> None:
    pixels = test_images[:3].tobytes()
    without = stub.Predict(PredictRequest(images=pixels), timeout=DEADLINE)
    having = stub.Predict(PredictRequest(images=pixels, include_probabilities=True), timeout=DEADLINE)
    assert len(without.probabilities) == 0
    rows = np.array(having.probabilities).reshape(3, 10)
    assert list(rows.argmax(axis=1)) == list(having.digits) == list(without.digits)
    assert np.allclose(rows.sum(axis=1), 1, atol=1e-5)


def test_a_request_may_name_the_version_that_serves(stub: PredictionServiceStub, test_images: Images) -> None:
    reply = stub.Predict(PredictRequest(images=test_images[0].tobytes(), model_version=1), timeout=DEADLINE)
    assert reply.model_version == 1


def test_a_stream_gets_one_reply_a_request_in_order(
    stub: PredictionServiceStub, test_images: Images, alone: NDArray[np.float32]
) -> None:
    sizes = [1, 900, 1, 3, 1500, 2] * 10
    starts = np.cumsum([0, *sizes]) % 400
    requests = [
        PredictRequest(images=test_images[start : start + size].tobytes())
        for start, size in zip(starts, sizes, strict=False)
    ]
    replies = list(stub.PredictStream(iter(requests), timeout=DEADLINE))
    assert [list(reply.digits) for reply in replies] == [
        list(alone[start : start + size].argmax(axis=1)) for start, size in zip(starts, sizes, strict=False)
    ]


def test_a_stream_ends_with_the_status_of_its_first_bad_request(
    stub: PredictionServiceStub, test_images: Images
) -> None:
    good, bad = PredictRequest(images=test_images[0].tobytes()), PredictRequest(images=b"short")
    replies = stub.PredictStream(iter([good, good, bad, good]), timeout=DEADLINE)
    assert [len(next(replies).digits) for _ in range(2)] == [1, 1]
    status, message = refusal(lambda: next(replies))
    assert status == "INVALID_ARGUMENT"
    assert "784" in message


def test_an_empty_stream_ends_well(stub: PredictionServiceStub) -> None:
    assert list(stub.PredictStream(iter([]), timeout=DEADLINE)) == []
