"""Other projects' clients of the Open Inference Protocol call our server unchanged: tritonclient and kserve."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.open_inference import CLIENTS, Tensors
from support.calls.rpc import DEADLINE
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

COUNT = 20
SECONDS = 200.0
"""Deadline of one script; importing kserve takes seconds."""

SCRIPTS = Path(__file__).parents[1] / "inference_clients"
BEYOND_THE_PROTOCOL = {
    "an output twice": ("INVALID_ARGUMENT", "400"),
    "classification": ("INVALID_ARGUMENT", "400"),
    "compression": ("UNIMPLEMENTED", "415"),
    "configuration": ("UNIMPLEMENTED", "404"),
    "statistics": ("UNIMPLEMENTED", "404"),
    "repository": ("UNIMPLEMENTED", "404"),
}
"""Features of Triton that this server does not have: the status over gRPC and over HTTP."""

Found = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def images(test_images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(path, test_images[:COUNT])
    return path


@pytest.fixture
def expected(stub: PredictionServiceStub, test_images: NDArray[np.uint8]) -> Tensors:
    request = PredictRequest(images=test_images[:COUNT].tobytes(), include_probabilities=True)
    reply = stub.Predict(request, timeout=DEADLINE)
    probabilities = np.array(reply.probabilities, np.float32).reshape(-1, 10)
    return {"digits": np.array(reply.digits), "confidences": probabilities.max(axis=1), "probabilities": probabilities}


def run(script: str, *arguments: str | Path) -> Found:
    """The output of a script in the clients' environment, by client and subject."""
    python = CLIENTS / "bin/python"
    assert python.exists(), "no environment of the clients: `make inference-clients` makes it"
    ended = subprocess.run(
        [python, SCRIPTS / script, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stderr
    told = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    return {(item.pop("client"), item.pop("about")): item for item in told}


def check(found: dict[str, Any], expected: Tensors) -> None:
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name], tensor, atol=1e-5)


def test_every_client_of_tritonclient_gets_the_answers_of_predict(
    server: ServerProcess, expected: Tensors, images: Path, transport: str
) -> None:
    found = run("triton.py", server.target, server.http.removeprefix("http://"), images)
    for client in ("grpc", "aio", "http"):
        assert found[client, "health"]["states"] == [True] * 4
        check(found[client, "UINT8"], expected)
        check(found[client, "FP32"], expected)
        assert found[client, "BYTES"]["digits"] == [7, 7]
    for datatype in ("UINT8", "FP32"):
        check(found["http", f"{datatype} as JSON"], expected)
    for client in ("grpc", "http"):
        assert found[client, "metadata"] == {"names": ["digits-server", "digits"], "versions": ["1"]}
        assert found[client, "one output"] == {"id": "an id", "digits": expected["digits"].tolist()}
        for about, status in (("another model", "404"), ("another version", "404"), ("no input", "400")):
            names = {"404": "StatusCode.NOT_FOUND", "400": "StatusCode.INVALID_ARGUMENT"}
            assert found[client, about]["status"] == (status if client == "http" else names[status])
            assert "expected" in found[client, about]["message"]

        check(found[client, "parameters"], expected)
        for about, (code, status) in BEYOND_THE_PROTOCOL.items():
            if (client, about, transport) == ("grpc", "compression", "native"):
                continue  # it inflates compressed messages
            refusal = found[client, about]
            assert refusal["status"] == (status if client == "http" else f"StatusCode.{code}"), about
    for about in ("an answer that may be compressed", "in the background"):
        check(found["http", about], expected)


def test_both_clients_of_kserve_get_the_answers_of_predict(
    server: ServerProcess, expected: Tensors, images: Path
) -> None:
    found = run("kserve_sdk.py", server.target, server.http, images)
    for client in ("grpc", "rest"):
        assert found[client, "health"]["states"] == [True] * 3
        for datatype in ("UINT8", "FP32"):
            for binary in (True, False):
                answer = found[client, f"{datatype} {binary}"]
                assert answer["id"] == "an id"
                check(answer, expected)
    assert found["grpc", "another model"]["status"] == "StatusCode.NOT_FOUND"
    assert found["rest", "another model"]["status"] == "404"
    assert "expected digits" in found["rest", "another model"]["message"]
