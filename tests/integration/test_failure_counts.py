"""Whatever fails is counted once: in exactly one series of each family, and this test says which."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from PIL import Image, ImageDraw
from support.open_inference import post
from support.rpc import DEADLINE, raw_call, refusal
from support.servers import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

PREDICTION = "digits.v1.PredictionService"
INFER = "/v2/models/digits/infer"
IMAGE = PredictRequest(images=bytes(784))


def slow_pictures() -> PredictRequest:
    """Takes a second or more to decode."""
    picture = Image.new("L", (4000, 4000), 255)
    ImageDraw.Draw(picture).line((2000, 900, 2000, 3100), fill=0, width=300)
    file = BytesIO()
    picture.save(file, "PNG")
    return PredictRequest(image_files=[file.getvalue()] * 8)


SLOW = slow_pictures()


@pytest.fixture(scope="module")
def server(repository: Path, transport: str) -> Iterator[ServerProcess]:  # noqa: ARG001
    with ServerProcess("--repository", repository, "--max-message-bytes", str(2**20)) as running:
        yield running.wait_ready()


def raw(path: str, message: bytes) -> Callable[[ServerProcess], None]:
    def call(server: ServerProcess) -> None:
        with server.channel() as channel:
            assert refusal(lambda: raw_call(channel, path, message))[0] != "OK"

    return call


def predict(request: PredictRequest) -> Callable[[ServerProcess], None]:
    return raw(f"/{PREDICTION}/Predict", request.SerializeToString())


def too_late(server: ServerProcess) -> None:
    with server.channel() as channel, pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
        PredictionServiceStub(channel).Predict(SLOW, timeout=0.3)


def left(server: ServerProcess) -> None:
    started = server.metric("grpc_server_started_total", grpc_method="Predict")
    with server.channel() as channel:
        call = PredictionServiceStub(channel).Predict.future(SLOW, timeout=DEADLINE)
        until(lambda: server.metric("grpc_server_started_total", grpc_method="Predict") > started, "the call arrives")
        call.cancel()


def stream(request: PredictRequest) -> Callable[[ServerProcess], None]:
    def call(server: ServerProcess) -> None:
        with server.channel() as channel, pytest.raises(grpc.RpcError):
            list(PredictionServiceStub(channel).PredictStream(iter([IMAGE, request]), timeout=DEADLINE))

    return call


def left_stream(server: ServerProcess) -> None:
    """It has all its answers."""
    with server.channel() as channel:
        held = threading.Event()

        def requests() -> Iterator[PredictRequest]:
            yield IMAGE
            held.wait(DEADLINE)

        replies = PredictionServiceStub(channel).PredictStream(requests(), timeout=DEADLINE)
        next(replies)
        replies.cancel()
        held.set()


def http(path: str, body: bytes | None, method: str = "POST", **headers: str) -> Callable[[ServerProcess], None]:
    def call(server: ServerProcess) -> None:
        assert post(server.http + path, body or b"", headers, method)[0] >= 400

    return call


def left_in_its_body(server: ServerProcess) -> None:
    host, _, port = server.http.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), DEADLINE) as caller:
        caller.sendall(f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{{".encode())


def tensor(**changes: object) -> bytes:
    images = {"name": "images", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784} | changes
    return json.dumps({"inputs": [images]}).encode()


class Failure(NamedTuple):
    """What is done, and the series that count it: of the RPC's status or the HTTP route's, and the reason."""

    act: Callable[[ServerProcess], None]
    method: str
    status: str
    reason: str | None


PICTURE = {"content-type": "image/png"}
UNPARSABLE = b"\xff" * 20
RPCS = {
    "no protobuf": Failure(raw(f"/{PREDICTION}/Predict", UNPARSABLE), "Predict", "INVALID_ARGUMENT", "invalid"),
    "no images": Failure(predict(PredictRequest(model_version=1)), "Predict", "INVALID_ARGUMENT", "invalid"),
    "half an image": Failure(predict(PredictRequest(images=bytes(400))), "Predict", "INVALID_ARGUMENT", "invalid"),
    "no picture": Failure(predict(PredictRequest(image_files=[b"text"])), "Predict", "INVALID_ARGUMENT", "invalid"),
    "another version": Failure(
        predict(PredictRequest(images=bytes(784), model_version=99)), "Predict", "NOT_FOUND", "not_found"
    ),
    "too many pictures": Failure(
        predict(PredictRequest(image_files=[b"x"] * 1000)), "Predict", "RESOURCE_EXHAUSTED", "too_large"
    ),
    "a deadline": Failure(too_late, "Predict", "DEADLINE_EXCEEDED", "deadline"),
    "a caller who leaves": Failure(left, "Predict", "CANCELLED", "cancelled"),
    "no protobuf to GetModel": Failure(
        raw(f"/{PREDICTION}/GetModel", UNPARSABLE), "GetModel", "INVALID_ARGUMENT", "invalid"
    ),
    "half an image in a stream": Failure(
        stream(PredictRequest(images=bytes(400))), "PredictStream", "INVALID_ARGUMENT", "invalid"
    ),
    "another version in a stream": Failure(
        stream(PredictRequest(images=bytes(784), model_version=99)), "PredictStream", "NOT_FOUND", "not_found"
    ),
    "a stream left with all answers": Failure(left_stream, "PredictStream", "CANCELLED", None),
    "no service of that name": Failure(
        raw("/grpc.health.v1.Health/Check", HealthCheckRequest(service="none").SerializeToString()),
        "Check",
        "NOT_FOUND",
        "not_found",
    ),
    "no inputs": Failure(
        raw("/inference.GRPCInferenceService/ModelInfer", b"\x0a\x06digits"),
        "ModelInfer",
        "INVALID_ARGUMENT",
        "invalid",
    ),
    "another model": Failure(
        raw("/inference.GRPCInferenceService/ModelMetadata", b"\x0a\x05other"),
        "ModelMetadata",
        "NOT_FOUND",
        "not_found",
    ),
    "another method": Failure(raw(f"/{PREDICTION}/Train", b""), "unknown", "UNIMPLEMENTED", "invalid"),
    "another service": Failure(raw("/other.Service/Call", b""), "unknown", "UNIMPLEMENTED", "invalid"),
}
MODEL_INFER = "/v2/models/{name}/infer"
REQUESTS = {
    "no JSON": Failure(http(INFER, b"{"), MODEL_INFER, "400", "invalid"),
    "a wrong shape": Failure(http(INFER, tensor(shape=[1, 27, 28])), MODEL_INFER, "400", "invalid"),
    "another model": Failure(http("/v2/models/other/infer", tensor()), MODEL_INFER, "404", "not_found"),
    "too many bytes": Failure(http(INFER, b" " * (2**20 + 1)), MODEL_INFER, "413", "too_large"),
    "compressed": Failure(http(INFER, b"x", **{"content-encoding": "gzip"}), MODEL_INFER, "415", "invalid"),
    "a caller who leaves in its body": Failure(left_in_its_body, MODEL_INFER, "499", "cancelled"),
    "no picture": Failure(http("/predict", b"text", **PICTURE), "/predict", "400", "invalid"),
    "an empty body": Failure(http("/predict", b"", **PICTURE), "/predict", "400", "invalid"),
    "another method": Failure(http("/predict", None, "GET"), "/predict", "405", "invalid"),
    "another path": Failure(http("/favicon.ico", None, "GET"), "unknown", "404", "not_found"),
    "another host": Failure(http(INFER, tensor(), host="other.example"), MODEL_INFER, "421", "invalid"),
    "another site": Failure(http(INFER, tensor(), **{"sec-fetch-site": "cross-site"}), MODEL_INFER, "403", "invalid"),
}


def counts(server: ServerProcess) -> dict[str, dict[str, float]]:
    """The series of the families that count requests, scrapes and probes left out."""
    found: dict[str, dict[str, float]] = {}
    for (name, labels), value in server.samples().items():
        having = dict(labels)
        if name == "grpc_server_handled_total":
            found.setdefault("rpcs", {})[f"{having['grpc_method']} {having['grpc_code']}"] = value
        elif name == "digits_rejected_total":
            found.setdefault("rejected", {})[having["reason"]] = value
        elif name == "digits_http_requests_total" and having["route"] not in {"/metrics", "/readyz"}:
            found.setdefault("http", {})[f"{having['route']} {having['status']}"] = value
    return found


def moved(before: dict[str, dict[str, float]], after: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """By how much each series has moved, those that have not left out."""
    moves = {
        family: {name: value - before.get(family, {}).get(name, 0) for name, value in series.items()}
        for family, series in after.items()
    }
    return {
        family: changed
        for family, series in moves.items()
        if (changed := {name: move for name, move in series.items() if move})
    }


def held(server: ServerProcess, failure: Failure, door: str) -> None:
    expected = {door: {f"{failure.method} {failure.status}": 1.0}}
    if failure.reason:
        expected["rejected"] = {failure.reason: 1.0}
    before = counts(server)
    failure.act(server)
    until(lambda: door in moved(before, counts(server)), "the failure is counted")
    assert moved(before, counts(server)) == expected


@pytest.mark.parametrize("name", RPCS)
def test_an_rpc_that_fails_moves_one_series_of_each_family(server: ServerProcess, name: str) -> None:
    held(server, RPCS[name], "rpcs")


@pytest.mark.parametrize("name", REQUESTS)
def test_an_http_request_that_fails_moves_one_series_of_each_family(server: ServerProcess, name: str) -> None:
    held(server, REQUESTS[name], "http")


def test_what_a_message_beyond_the_limit_moves_depends_on_the_transport(server: ServerProcess, transport: str) -> None:
    """The library grpcio refuses it by itself, and tells nobody."""
    before = counts(server)
    raw(f"/{PREDICTION}/Predict", bytes(2**20 + 1))(server)
    native = {"rpcs": {"Predict RESOURCE_EXHAUSTED": 1.0}, "rejected": {"too_large": 1.0}}
    assert moved(before, counts(server)) == (native if transport == "native" else {})
