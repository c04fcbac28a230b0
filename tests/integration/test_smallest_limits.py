"""A limit of one still accepts one: requests that come alone are answered, whatever the limits."""

from pathlib import Path

import numpy as np
import pytest
from support.calls.open_inference import post, rest_request
from support.calls.rpc import DEADLINE
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

FILE = Path(__file__).parents[2].joinpath("docs/digit.png").read_bytes()
SMALLEST = [
    *("--max-queue-size", "--max-calls", "--max-batch-size", "--max-streams", "--max-connection-streams"),
    *("--max-stream-window", "--max-stream-bytes", "--max-connections", "--max-grpc-connections"),
    *("--max-waiting-bytes", "--max-waiting-files", "--max-waiting-file-bytes", "--max-image-files"),
]
"""Every limit of waiting work and of open streams."""


@pytest.mark.parametrize("flags", [["--max-queue-size"], SMALLEST], ids=["max-queue-size", "every limit"])
def test_a_request_that_comes_alone_is_answered(repository: Path, flags: list[str]) -> None:
    ones = [word for flag in flags for word in (flag, "1")]
    with ServerProcess("--repository", repository, *ones) as server:
        server.wait_ready()
        with server.channel() as channel:
            stub = PredictionServiceStub(channel)
            for _ in range(2):
                for request in (PredictRequest(images=bytes(784)), PredictRequest(image_files=[FILE])):
                    assert len(stub.Predict(request, timeout=DEADLINE).digits) == 1
                requests = iter([PredictRequest(images=bytes(784))] * 3)
                assert len(list(stub.PredictStream(requests, timeout=DEADLINE))) == 3
        body, headers = rest_request(np.zeros((1, 784), np.uint8), [1, 784], form="flat")
        assert post(f"{server.http}/v2/models/digits/infer", body, headers)[0] == 200
        assert post(f"{server.http}/predict", FILE, {"content-type": "image/png"})[0] == 200
