"""Every kind of failure over each protocol: each increases exactly one series of each family that counts it."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from support.calls.doors import BEARER, KNOWN, TOKEN, Doors, Failure, Moved, moves_exactly, picture, rpc, web
from support.calls.rpc import refusal
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.wire.http2 import framed
from support.wire.raw_http import request

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS
MAX_MESSAGE_BYTES = 100_000
INFER, INFER_ROUTE = "/v2/models/digits/infer", "/v2/models/{name}/infer"
VERSION_9, VERSION_ROUTE = "/v2/models/digits/versions/9/infer", "/v2/models/{name}/versions/{version}/infer"
ONE = PredictRequest(images=bytes(784))
FILE = PredictRequest(image_files=[picture()])
TOO_LARGE = bytes(MAX_MESSAGE_BYTES + 1)
TENSOR = {"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": [0] * 784}
JSON = json.dumps({"inputs": [TENSOR]}).encode()


@pytest.fixture(scope="module")
def doors(repository: Path, transport: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:  # noqa: ARG001
    folder = tmp_path_factory.mktemp("faulty")
    tokens = folder / "tokens"
    tokens.write_text(TOKEN)
    flags: list[str | Path] = ["--tokens", tokens, "--http-open", "/metrics,/healthz", "--http-timeout", "0.5"]
    limits = ["--max-message-bytes", str(MAX_MESSAGE_BYTES)]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1] / "support/faults/faulty"), "FAULTY": str(folder)}
    with ServerProcess("--repository", repository, *flags, *limits, environment=environment) as running:
        yield Doors(running.wait_ready(), folder)


UNREAD: Moved = {("digits_grpc_refused_total", "unread")}
UNKNOWN_METHOD: Moved = {("digits_grpc_refused_total", "unknown_method")}
UNSEEN: Moved = set()
"""The library of the native transport refuses such calls without reporting them; docs/operating.md says so."""


def upload(path: str, kind: str, sent: bytes = b"{", *, chunked: bool = False) -> bytes:
    """The beginning of a request whose body is not complete."""
    length = "transfer-encoding: chunked" if chunked else "content-length: 5000"
    return request("POST", path, BEARER, f"content-type: {kind}", length) + sent


def infer(path: str = INFER, body: bytes = JSON) -> Failure:
    return lambda doors: doors.http("POST", path, body, "content-type: application/json")


def page(body: bytes = picture(), kind: str = "image/png") -> Failure:
    return lambda doors: doors.http("POST", "/predict", body, f"content-type: {kind}")


FILES = {"name": "image_files", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 0}}


def infer_file() -> bytes:
    """A request of the Open Inference Protocol with one image file."""
    file = picture()
    tensor = FILES | {"parameters": {"binary_data_size": len(file) + 4}}
    head = json.dumps({"inputs": [tensor]}).encode()
    length = f"inference-header-content-length: {len(head)}"
    return request("POST", INFER, BEARER, length, body=head + len(file).to_bytes(4, "little") + file)


PAGE_FILE = request("POST", "/predict", BEARER, "content-type: image/png", body=picture())
LONG = (KNOWN, ("x-long", "y" * 20_000))
OVER_GRPC: dict[str, tuple[Failure, str, Moved, Moved | None]] = {
    # what is sent, the file that breaks the server, what moves over grpcio, and over native if that differs
    "not protobuf": (lambda d: d.grpc(b"\xff\xff"), "", rpc("INVALID_ARGUMENT", "invalid"), None),
    "no image": (lambda d: d.grpc(b""), "", rpc("INVALID_ARGUMENT", "invalid"), None),
    "no token": (lambda d: d.grpc(b"", metadata=()), "", rpc("UNAUTHENTICATED", "unauthenticated"), None),
    "no such version": (
        lambda d: d.grpc(PredictRequest(images=bytes(784), model_version=9).SerializeToString()),
        "",
        rpc("NOT_FOUND", "not_found"),
        None,
    ),
    "no such method": (lambda d: d.grpc(b"", path="/digits.v1.PredictionService/No"), "", UNKNOWN_METHOD, None),
    "too large": (lambda d: d.grpc(TOO_LARGE), "", UNREAD, rpc("RESOURCE_EXHAUSTED", "too_large")),
    "too much metadata": (lambda d: d.grpc(b"", metadata=LONG), "", UNREAD, UNSEEN),
    "left in mid-message": (lambda d: d.leave_call(framed(bytes(100))[:50], end=False), "", UNREAD, UNSEEN),
    "left": (
        lambda d: d.leave_call(framed(FILE.SerializeToString()), end=True),
        "slow",
        rpc("CANCELLED", "cancelled"),
        None,
    ),
    "late": (
        lambda d: d.grpc(FILE.SerializeToString(), seconds=0.3),
        "slow",
        rpc("DEADLINE_EXCEEDED", "deadline"),
        None,
    ),
    "no model": (lambda d: d.grpc(FILE.SerializeToString()), "unavailable", rpc("UNAVAILABLE", "unavailable"), None),
    "too busy": (
        lambda d: d.grpc(FILE.SerializeToString()),
        "overloaded",
        rpc("RESOURCE_EXHAUSTED", "overloaded"),
        None,
    ),
    "the model fails": (
        lambda d: d.grpc(ONE.SerializeToString()),
        "fail",
        rpc("INTERNAL", "inference_failed"),
        None,
    ),
    "the server fails": (lambda d: d.grpc(FILE.SerializeToString()), "crash", rpc("INTERNAL", "internal"), None),
    "a stream with no image": (
        lambda d: d.stream(PredictRequest()),
        "",
        rpc("INVALID_ARGUMENT", "invalid", "PredictStream"),
        None,
    ),
    "a late stream": (
        lambda d: d.stream(FILE, seconds=0.3),
        "slow",
        rpc("DEADLINE_EXCEEDED", "deadline", "PredictStream"),
        None,
    ),
    "a stream on which the server fails": (
        lambda d: d.stream(FILE),
        "crash",
        rpc("INTERNAL", "internal", "PredictStream"),
        None,
    ),
}
OVER_HTTP: dict[str, tuple[Failure, str, Moved]] = {
    "not JSON": (infer(body=b"{"), "", web(INFER_ROUTE, 400, "invalid")),
    "no token": (lambda d: d.raw(request("POST", INFER)), "", web(INFER_ROUTE, 401, "unauthenticated")),
    "no such version": (infer(VERSION_9), "", web(VERSION_ROUTE, 404, "not_found")),
    "no such path": (lambda d: d.http("GET", "/no"), "", web("unknown", 404, "not_found")),
    "another method": (lambda d: d.http("DELETE", "/predict"), "", web("/predict", 405, "invalid")),
    "too large": (infer(body=TOO_LARGE), "", web(INFER_ROUTE, 413, "too_large")),
    "compressed": (
        lambda d: d.http("POST", INFER, JSON, "content-encoding: gzip"),
        "",
        web(INFER_ROUTE, 415, "invalid"),
    ),
    "left in mid-body": (
        lambda d: d.raw(upload(INFER, "application/json"), answered=False),
        "",
        web(INFER_ROUTE, 499, "cancelled"),
    ),
    "half a body": (lambda d: d.raw(upload(INFER, "application/json")), "", web(INFER_ROUTE, 504, "deadline")),
    "a broken chunk": (
        lambda d: d.raw(upload(INFER, "application/json", b"zz\r\n", chunked=True)),
        "",
        web(INFER_ROUTE, 400, "invalid"),
    ),
    "not HTTP": (lambda d: d.raw(b"what is this?\r\n\r\n"), "", web("unknown", 400, "invalid")),
    "left": (lambda d: d.raw(infer_file(), answered=False), "slow", web(INFER_ROUTE, 499, "cancelled")),
    "late": (lambda d: d.raw(infer_file()), "slow", web(INFER_ROUTE, 504, "deadline")),
    "no model": (infer(), "unavailable", web(INFER_ROUTE, 503, "unavailable")),
    "too busy": (infer(), "overloaded", web(INFER_ROUTE, 429, "overloaded")),
    "the model fails": (infer(), "fail", web(INFER_ROUTE, 500, "inference_failed")),
    "the server fails": (infer(), "crash", web(INFER_ROUTE, 500, "internal")),
    "page: no picture": (page(b"text"), "", web("/predict", 400, "invalid")),
    "page: no image's type": (page(kind="text/plain"), "", web("/predict", 415, "invalid")),
    "page: too large": (page(TOO_LARGE), "", web("/predict", 413, "too_large")),
    "page: left in mid-body": (
        lambda d: d.raw(upload("/predict", "image/png"), answered=False),
        "",
        web("/predict", 499, "cancelled"),
    ),
    "page: left": (lambda d: d.raw(PAGE_FILE, answered=False), "slow", web("/predict", 499, "cancelled")),
    "page: late": (lambda d: d.raw(PAGE_FILE), "slow", web("/predict", 504, "deadline")),
    "page: no model": (page(), "unavailable", web("/predict", 503, "unavailable")),
    "page: too busy": (page(), "overloaded", web("/predict", 429, "overloaded")),
    "page: the model fails": (page(), "fail", web("/predict", 500, "inference_failed")),
    "page: the server fails": (page(), "crash", web("/predict", 500, "internal")),
}


@pytest.mark.parametrize("name", OVER_GRPC)
def test_a_failure_over_grpc_moves_one_series_of_each_family(doors: Doors, transport: str, name: str) -> None:
    failure, broken_by, over_grpcio, over_native = OVER_GRPC[name]
    moves_exactly(
        doors, failure, broken_by, over_native if over_native is not None and transport == "native" else over_grpcio
    )


@pytest.mark.parametrize("name", OVER_HTTP)
def test_a_failure_over_http_moves_one_series_of_each_family(doors: Doors, name: str) -> None:
    moves_exactly(doors, *OVER_HTTP[name])


def test_a_compressed_message_is_refused_or_read(doors: Doors, transport: str) -> None:
    def call(each: Doors) -> None:
        with each.server.channel() as channel:
            stub = PredictionServiceStub(channel)
            if transport == "native":  # its library decompresses gzip; the proxy in front bounds the result
                stub.Predict(ONE, metadata=(KNOWN,), timeout=30, compression=grpc.Compression.Gzip)
            else:
                refusal(lambda: stub.Predict(ONE, metadata=(KNOWN,), timeout=30, compression=grpc.Compression.Gzip))

    moves_exactly(doors, call, "", UNSEEN if transport == "native" else UNREAD)
