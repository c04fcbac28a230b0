"""The page of metrics: the names of the contract, and counts that equal the calls."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.rpc import DEADLINE, raw_call, refusal
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

PREDICT = {"grpc_type": "unary", "grpc_service": "digits.v1.PredictionService", "grpc_method": "Predict"}


@pytest.fixture
def fresh(repository: Path) -> Iterator[ServerProcess]:
    """A server that nobody has called: its counters are 0."""
    with ServerProcess("--repository", repository) as running:
        yield running.wait_ready()


def test_the_metrics_count_the_answers_exactly(fresh: ServerProcess, test_images: NDArray[np.uint8]) -> None:
    sizes = [1] * 50 + [3] * 20 + [1100] * 3
    total = sum(sizes)

    def call(size: int) -> NDArray[np.int64]:
        reply = stub.Predict(PredictRequest(images=test_images[:size].tobytes()), timeout=DEADLINE)
        return np.bincount(reply.digits, minlength=10)

    with fresh.channel() as channel, ThreadPoolExecutor(16) as callers:
        stub = PredictionServiceStub(channel)
        digits = sum(callers.map(call, sizes))
        refusal(lambda: stub.Predict(PredictRequest(images=b"?"), timeout=DEADLINE))

    counted = [fresh.metric("digits_predictions_total", model_version="1", digit=str(digit)) for digit in range(10)]
    assert counted == list(np.asarray(digits))
    assert fresh.metric("digits_predictions_total") == total
    assert fresh.metric("digits_prediction_confidence_count") == total
    assert fresh.metric("digits_batch_size_sum") == total
    assert fresh.metric("digits_queue_seconds_count") == len(sizes)
    assert fresh.metric("digits_inference_seconds_count") == fresh.metric("digits_batch_size_count") < total
    assert fresh.metric("digits_queue_images") == 0
    assert fresh.metric("grpc_server_started_total", **PREDICT) == len(sizes) + 1
    assert fresh.metric("grpc_server_handled_total", grpc_code="OK", **PREDICT) == len(sizes)
    assert fresh.metric("grpc_server_handled_total", grpc_code="INVALID_ARGUMENT", **PREDICT) == 1
    assert fresh.metric("grpc_server_handling_seconds_count", **PREDICT) == len(sizes) + 1
    assert fresh.metric("digits_rejected_total", reason="invalid") == 1
    assert fresh.metric("digits_rejected_total") == 1


def test_the_serving_model_is_named(server: ServerProcess) -> None:
    assert server.metric("digits_model_info", model_version="1", runtime="litert", network="mlp") == 1
    assert 0 < server.metric("digits_model_load_seconds") < DEADLINE
    assert server.metric("process_resident_memory_bytes") > 0


def test_callers_cannot_grow_the_series(server: ServerProcess) -> None:
    def strange_calls(count: int) -> None:
        with server.channel() as channel:
            for number in range(count):
                request = PredictRequest(images=bytes(784), model_version=1000 + number).SerializeToString()
                for path, message in (
                    ("/digits.v1.PredictionService/Predict", request),
                    (f"/digits.v1.PredictionService/M{number}", b""),
                    (f"/service{number}/Predict", b""),
                ):
                    refusal(partial(raw_call, channel, path, message))
        server.get(f"/page{count}")

    strange_calls(3)
    series = set(server.samples())
    strange_calls(30)
    assert set(server.samples()) == series


def test_openmetrics_is_served_on_request(server: ServerProcess) -> None:
    status, page = server.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert status == 200
    assert page.endswith("# EOF\n")


def test_probes_over_http(server: ServerProcess) -> None:
    assert server.get("/healthz") == (200, "alive\n")
    assert server.get("/readyz") == (200, "ready\n")
    assert server.get("/nothing")[0] == 404
